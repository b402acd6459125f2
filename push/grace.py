"""How long a misconfiguration is worth a redelivery."""

import threading
from collections.abc import Callable

GRACE_SECONDS = 120.0
"""A redelivery may reach another instance, or come after a key rotation. Raising for longer would make Event
Grid put the endpoint on probation, which delays the calls that come after the repair."""


class Grace:
    """Tells for two minutes that something misconfigured may pass; a success starts anew.

    One misconfigured thing each: the settings, the database, a hub. Safe to share between threads.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` tells seconds and never runs backwards."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._first_met: float | None = None

    def applies(self) -> bool:
        """Note that the misconfiguration was met; True during the first two minutes without a success."""
        now = self._monotonic()
        with self._lock:
            if self._first_met is None:
                self._first_met = now
            return now - self._first_met < GRACE_SECONDS

    def succeeded(self) -> None:
        """Note that it works."""
        if self._first_met is not None:
            with self._lock:
                self._first_met = None
