"""Whether the app can do its work, part by part. Results are cached, since anyone may ask."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from common import telemetry
from common.clock_watch import ClockWatch
from models.errors import ServiceError

CACHED_SECONDS = 5.0
"""How long a result is answered before the parts are checked again."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something that the app needs."""

    name: str
    """Public: it stands in answers to unauthenticated callers."""
    problem: Callable[[], str | None]
    """Checks it within a second or two: why it does not work, for the log, or None. It may raise as well."""


@dataclass(frozen=True, slots=True)
class State:
    """The result of one check."""

    failing: str | None
    """Name of the first part that does not work; None if all work."""
    checked_at: float
    """Monotonic time, in seconds."""
    clock_off_by_seconds: float | None
    """By how much this instance's clock is ahead of the hub's, if that is too much. It fails no part."""
    database_sign_in: str | None
    """How the app signs in to the database; None if its settings do not tell. Public, and no secret."""
    failing_hubs: tuple[str, ...] = ()
    """Named hubs that do not work. Each stops its own devices only, so it fails no part."""


class Readiness:
    """Checks the parts in order, up to the first that fails. Safe to share between threads."""

    def __init__(
        self,
        parts: Sequence[Part],
        monotonic: Callable[[], float],
        clock_watch: ClockWatch,
        database_sign_in: Callable[[], str],
        named_hubs: Sequence[Part] = (),
    ) -> None:
        """Take what is reported.

        Args:
            parts: what the app needs.
            monotonic: tells seconds and never runs backwards.
            clock_watch: what is known about the time.
            database_sign_in: how the app signs in to the database. It may raise.
            named_hubs: one part each, by the hub's name. They are looked at where all else works.
        """
        self._parts = parts
        self._named_hubs = named_hubs
        self._monotonic = monotonic
        self._clock_watch = clock_watch
        self._database_sign_in = database_sign_in
        self._checking = threading.Lock()
        self._last: State | None = None

    def state(self) -> State:
        """The last result, or a new one where the last is too old.

        One caller checks at a time; the others get the last result, so a part that answers slowly does not
        occupy all threads of the worker. Before the first result they wait for it.
        """
        last = self._last
        if last is None:
            with self._checking:
                return self._last or self._check()
        if self._is_fresh(last) or not self._checking.acquire(blocking=False):
            return last
        try:
            newest = self._last or last
            return newest if self._is_fresh(newest) else self._check()
        finally:
            self._checking.release()

    def _is_fresh(self, state: State) -> bool:
        return self._monotonic() - state.checked_at < CACHED_SECONDS

    def _check(self) -> State:
        failing = None
        for part in self._parts:
            if problem := _problem(part):
                failing = part.name
                telemetry.log(logging.WARNING, "not_ready", part=failing, reason=problem)
                break
        hubs = () if failing else self._failing_hubs()
        off_by = self._clock_watch.off_by_seconds
        self._last = State(failing, self._monotonic(), off_by, self._sign_in_way(), hubs)
        return self._last

    def _sign_in_way(self) -> str | None:
        try:
            return self._database_sign_in()
        except ServiceError:
            return None

    def _failing_hubs(self) -> tuple[str, ...]:
        """Looks at all side by side: one that does not answer takes its whole time."""
        if not self._named_hubs:
            return ()
        with ThreadPoolExecutor(len(self._named_hubs)) as pool:
            problems = list(pool.map(_problem, self._named_hubs))
        failing = []
        for hub, problem in zip(self._named_hubs, problems, strict=True):
            if problem:
                failing.append(hub.name)
                telemetry.log(logging.WARNING, "hub_not_ready", hub=hub.name, reason=problem)
        return tuple(failing)


def _problem(part: Part) -> str | None:
    try:
        return part.problem()
    except ServiceError as error:
        return error.detail
    except Exception as error:  # noqa: BLE001 - any exception means that the part fails
        return type(error).__name__  # its text may quote a secret
