"""Whether the app can do its work, part by part; asked often, looked at rarely."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common import telemetry

KEPT_SECONDS = 5.0
"""However often strangers ask, the database and the hub are looked at no more often than this."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something that the app cannot do without."""

    name: str
    """All that a stranger gets to hear of it."""
    works: Callable[[], bool]
    """Looks at it, within a second or so; an exception means that it does not work."""


@dataclass(frozen=True, slots=True)
class State:
    """What was found."""

    failing: str | None
    """Name of the first part that does not work; None if all of them do."""
    found_at: float
    """Monotonic time, in seconds."""


class Readiness:
    """Looks at the parts in order, up to the first that fails. Safe to share between threads."""

    def __init__(self, parts: Sequence[Part], monotonic: Callable[[], float]) -> None:
        """Take the parts, and a clock in seconds that never runs backwards."""
        self._parts = parts
        self._monotonic = monotonic
        self._looking = threading.Lock()
        self._known: State | None = None

    def state(self) -> State:
        """What was found last; looks anew where that is too old.

        One caller looks at a time. The others hear what was found before, so that a part that answers slowly
        does not take all of the worker's threads; only before the first look is over do they wait for it.
        """
        known = self._known
        if known is None:
            with self._looking:
                return self._known or self._look()
        if self._is_fresh(known) or not self._looking.acquire(blocking=False):
            return known
        try:
            newest = self._known or known
            return newest if self._is_fresh(newest) else self._look()
        finally:
            self._looking.release()

    def _is_fresh(self, known: State) -> bool:
        return self._monotonic() - known.found_at < KEPT_SECONDS

    def _look(self) -> State:
        failing = next((part.name for part in self._parts if not _works(part)), None)
        if failing is not None:
            telemetry.log(logging.WARNING, "not_ready", part=failing)
        self._known = State(failing, self._monotonic())
        return self._known


def _works(part: Part) -> bool:
    try:
        return part.works()
    except Exception:  # noqa: BLE001 - whatever it is, the part does not work; its text may quote a secret
        return False
