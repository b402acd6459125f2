"""A migration's run that cannot go on: what has not begun is not waited for."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from migrate.adoption import Adoption
from migrate.earlier_runs import EarlierRuns
from migrate.mover import Mover
from migrate.patience import Patience
from migrate.report import Report
from migrate.sample_documents import Rules
from models.errors import DatabaseUnavailableError, ServiceError
from tests.fakes import FakeClock
from tests.memory_store import WORK, new_collection

DOCUMENTS = [
    {
        "_id": f"8:acs:resource_{number}",
        "deviceInfos": [
            {"deviceUUID": "phone", "deviceToken": f"token-{number}", "platform": "android"},
        ],
    }
    for number in range(9)
]


class Waiting(Future[Any]):
    """Work that has not begun, and would take for ever."""

    def result(self, timeout: float | None = None) -> Any:
        """What came of it; AssertionError instead of waiting."""
        assert self.done(), "waits for work that has not begun"
        return super().result(timeout)


class Interrupted(Future[Any]):
    """Work during which Ctrl-C is pressed."""

    def result(self, timeout: float | None = None) -> Any:  # noqa: ARG002 - the interface is Future's
        """Never anything."""
        raise KeyboardInterrupt


class OneWorker(Executor):
    """Begins the first few pieces of work; the rest wait for ever."""

    def __init__(self, *begun: Future[Any]) -> None:
        self._begun = list(begun)
        self.waiting: list[Waiting] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ARG002
        """The next of the pieces that have begun, or one that waits."""
        if self._begun:
            return self._begun.pop(0)
        self.waiting.append(Waiting())
        return self.waiting[-1]


def ended(outcome: Adoption | ServiceError) -> Future[Any]:
    """Work that has come to its end."""
    future: Future[Any] = Future()
    if isinstance(outcome, ServiceError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
    return future


def move(pool: Executor, report: Report, patience: Patience | None = None) -> None:
    """A run over `DOCUMENTS` in one batch; `pool` decides what becomes of each adoption."""
    earlier = EarlierRuns(new_collection(), WORK, read_only=True)
    mover = Mover(
        lambda *_: Adoption.TAKEN_OVER,
        earlier,
        pool,
        patience or Patience(FakeClock()),
        Rules(ttl_seconds=86_400, maximum_devices=3),
    )
    mover.move(lambda: DOCUMENTS, len(DOCUMENTS), report, lambda _: None)


def test_database_is_away_for_good() -> None:
    """The first device for which the patience has run out ends the run: each further one would take as long,
    with hundreds of users a batch hours. What was done before counts."""
    pool = OneWorker(ended(Adoption.TAKEN_OVER), ended(DatabaseUnavailableError("away")))
    report = Report(dry_run=False)
    with pytest.raises(DatabaseUnavailableError):
        move(pool, report)
    assert all(future.cancelled() for future in pool.waiting)
    assert len(pool.waiting) == len(DOCUMENTS) - 2
    assert (report.taken_over, report.users, report.finished) == (1, 1, False)


def test_interrupted() -> None:
    """After Ctrl-C nothing more is begun, and what has begun is not repeated."""
    pool, patience = OneWorker(Interrupted()), Patience(FakeClock())
    with pytest.raises(KeyboardInterrupt):
        move(pool, Report(dry_run=False), patience)
    assert pool.waiting
    assert all(future.cancelled() for future in pool.waiting)
    tries = 0

    def refused() -> None:
        nonlocal tries
        tries += 1
        raise DatabaseUnavailableError("away")

    with pytest.raises(DatabaseUnavailableError):
        patience.run(refused)
    assert tries == 1
