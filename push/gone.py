"""Whether a hub's answers "the device is gone" can be believed."""

import logging
import threading
from collections import deque
from collections.abc import Callable

from common import telemetry

WINDOW_SECONDS = 300.0
FEWEST_ANSWERS = 10
"""Fewer answers than this in the window say nothing: a user may really have removed the app from all
devices."""


class GoneWatch:
    """Notices a spell in which a hub calls most devices gone, as it also does for a retired API version.

    Safe to share between threads.
    """

    def __init__(self, monotonic: Callable[[], float], hub: str) -> None:
        """`monotonic` tells seconds and never runs backwards; `hub` is the hub's name in the settings."""
        self._monotonic = monotonic
        self._hub = hub
        self._lock = threading.Lock()
        self._answers: deque[tuple[float, bool]] = deque()
        self._gone = 0
        self._told = False

    def note(self, *, gone: bool) -> None:
        """Count one answer of the hub."""
        now = self._monotonic()
        with self._lock:
            self._answers.append((now, gone))
            self._gone += gone
            while self._answers[0][0] < now - WINDOW_SECONDS:
                self._gone -= self._answers.popleft()[1]

    def is_spell(self) -> bool:
        """Most of the hub's last answers were "gone": no registration may be deleted. Logged once a spell."""
        with self._lock:
            answers = len(self._answers)
            spell = answers >= FEWEST_ANSWERS and 2 * self._gone > answers
            tell, self._told = spell and not self._told, spell
        if tell:
            telemetry.log(
                logging.CRITICAL,
                "most_devices_gone",
                hub=self._hub,
                answers=answers,
                gone=self._gone,
                remedy="The hub answered 410 to most pushes of the last minutes. No registration is deleted. "
                "Leave ANHHubApiVersion out, and look at the hub's state in the portal.",
            )
        return spell
