"""Whether a hub's answers "the device is gone" can be believed."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from common import telemetry

WINDOW_SECONDS = 300.0
_SLICE_SECONDS = 5.0
"""Answers are counted by slices of the window, so that a busy process keeps a few counts and not each
answer."""

FEWEST_ANSWERS = 10
"""Fewer answers than this in the window say nothing: a user may really have removed the app from all
devices."""


@dataclass(slots=True)
class _Slice:
    """The answers of a part of the window."""

    began: float
    answers: int = 0
    gone: int = 0


class GoneWatch:
    """Notices a spell in which a hub calls most devices gone, as it also does for a retired API version.

    Safe to share between threads.
    """

    def __init__(self, monotonic: Callable[[], float], hub: str) -> None:
        """`monotonic` tells seconds and never runs backwards; `hub` is the hub's name in the settings."""
        self._monotonic = monotonic
        self._hub = hub
        self._lock = threading.Lock()
        self._slices: deque[_Slice] = deque()
        self._told = False

    def note(self, *, gone: bool) -> None:
        """Count one answer of the hub."""
        now = self._monotonic()
        with self._lock:
            slices = self._slices
            if not slices or now - slices[-1].began >= _SLICE_SECONDS:
                slices.append(_Slice(now))
            slices[-1].answers += 1
            slices[-1].gone += gone
            while slices[0].began < now - WINDOW_SECONDS:
                slices.popleft()

    def is_spell(self) -> bool:
        """Most of the hub's last answers were "gone": no registration may be deleted. Logged once a spell."""
        with self._lock:
            answers = sum(each.answers for each in self._slices)
            gone = sum(each.gone for each in self._slices)
            spell = answers >= FEWEST_ANSWERS and 2 * gone > answers
            tell, self._told = spell and not self._told, spell
        if tell:
            telemetry.log(
                logging.CRITICAL,
                "most_devices_gone",
                hub=self._hub,
                answers=answers,
                gone=gone,
                remedy="The hub answered 410 to most pushes of the last minutes. No registration is deleted. "
                "Leave ANHHubApiVersion out, and look at the hub's state in the portal.",
            )
        return spell
