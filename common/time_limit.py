"""Time limits of work with MongoDB, which pymongo keeps and this app's own waits keep too."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType

import pymongo

_ends_at: ContextVar[float] = ContextVar("_ends_at", default=float("inf"))
"""Monotonic end of the blocks of `within` that the current context is in."""


def within(seconds: float) -> AbstractContextManager[None]:
    """A block in which all work with MongoDB ends within `seconds`. Blocks nest: the earliest end counts."""
    return _Within(seconds)


class _Within:
    """As a class, because a generator takes twice the time in every piece of work."""

    __slots__ = ("_limit", "_outer", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._outer = _ends_at.set(min(_ends_at.get(), time.monotonic() + self._seconds))
        self._limit = pymongo.timeout(max(0.001, self._seconds))
        self._limit.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self._limit.__exit__(kind, error, stack)
        _ends_at.reset(self._outer)


def seconds_left() -> float:
    """Until the block of `within` ends; infinity outside of one."""
    return _ends_at.get() - time.monotonic()


_times_as_long: ContextVar[int] = ContextVar("_times_as_long", default=1)


def taking_longer[Result](factor: int, work: Callable[[], Result]) -> Result:
    """Do work of which each piece may take `factor` times as long as it otherwise may."""
    before = _times_as_long.set(factor)
    try:
        return work()
    finally:
        _times_as_long.reset(before)


def allowed_times() -> int:
    """The factor of the call of `taking_longer` that the current context is in; 1 outside of one."""
    return _times_as_long.get()
