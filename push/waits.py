"""Waits that must not delay rings, which are handled by the same threads."""

import threading

from common.clock import Clock


class BoundedWaits:
    """Lets a few threads wait at once. Safe to share between threads."""

    def __init__(self, clock: Clock, threads: int) -> None:
        """Take how many threads may wait at once."""
        self._clock = clock
        self._free = threading.BoundedSemaphore(threads)

    def wait(self, seconds: float) -> bool:
        """Wait; False at once if as many threads as may are waiting."""
        if not self._free.acquire(blocking=False):
            return False
        try:
            self._clock.sleep(seconds)
        finally:
            self._free.release()
        return True
