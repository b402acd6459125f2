"""What all experiments have in common."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bench.services import ROOT, Hub, Services
from bench.sizes import Sizes
from bench.worker import Load, Worker, start_worker

CALLS = "IncomingCallEventHandler"


class MeasuredApp(StrEnum):
    """A function app that can be put under load."""

    OURS = "ours"
    OURS_STOPPING = "ours, StopRinging"
    """The same app where devices stop ringing at a call's end, so that it looks for ends."""
    FLOOR = "floor"
    REFERENCE = "reference"
    EMPTY = "empty function"

    @property
    def directory(self) -> Path:
        """Where its `function_app.py` is."""
        ours = self in {MeasuredApp.OURS, MeasuredApp.OURS_STOPPING}
        return ROOT if ours else ROOT / "bench" / f"{self.split()[0]}_app"

    @property
    def settings(self) -> dict[str, str]:
        """What it is set beside the database and the hub."""
        return {"StopRinging": "fcmv1,windows"} if self is MeasuredApp.OURS_STOPPING else {}


class BenchError(Exception):
    """A contender did not do its work, so its numbers mean nothing."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What an experiment works with."""

    services: Services
    sizes: Sizes
    step: Callable[[str, int], Callable[[], None]]
    """Announces a title and a number of steps; what it gives is called after each of them."""
    tell: Callable[[str], None]
    """Takes a progress line."""

    def workers(
        self, stack: ExitStack, apps: Sequence[MeasuredApp], *, tls: bool = False
    ) -> dict[MeasuredApp, Worker]:
        """A worker process for each app, until the stack ends."""
        environment = self.services.environment(tls=tls)
        return {
            app: stack.enter_context(start_worker(app.directory, {**environment, **app.settings}))
            for app in apps
        }


def rotated[Item](items: Sequence[Item], number: int) -> Iterator[Item]:
    """The items beginning with another one each round, so that no one always goes first."""
    start = number % len(items)
    yield from items[start:]
    yield from items[:start]


def check(load: Load, who: str) -> Load:
    """Return `load` if every invocation succeeded; raises BenchError."""
    if load.failures:
        raise BenchError(f"{who}: {len(load.failures)} invocations failed, first: {load.failures[0]}")
    return load


def check_pushes(hub: Hub, *, expected: int, who: str) -> None:
    """Raise BenchError unless the hub accepted exactly `expected` pushes since it was last told to begin."""
    received = hub.received()
    accepted, refused = len(received.accepted), received.refused
    if (accepted, len(refused)) != (expected, 0):
        first = f", the first with {refused[0]}" if refused else ""
        raise BenchError(
            f"{who}: the hub took {accepted} of {expected} pushes and refused {len(refused)}{first}"
        )
