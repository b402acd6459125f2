"""Repeats work with a database that is away or throttles, and gives up after a while."""

from collections.abc import Callable

from common.clock import Clock
from models.errors import DatabaseUnavailableError

PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0)
"""Between the tries of one piece of work: a minute and a half, which outlasts a failover."""


class Patience:
    """Waits between tries. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock to wait by."""
        self.clock = clock
        self._stopped = False

    def stop(self) -> None:
        """Wait no more: what fails from now on is not tried again."""
        self._stopped = True

    def wait(self, failures: int, seconds: float | None = None) -> bool:
        """Wait before the next try; False, at once, if there have been enough or it has been stopped.

        Args:
            failures: how many tries have failed in a row, this one not counted.
            seconds: how long the database asked to wait; None if it did not.
        """
        if self._stopped or failures >= len(PAUSES_SECONDS):
            return False
        self.clock.sleep(PAUSES_SECONDS[failures] if seconds is None else seconds)
        return True

    def run[Result](self, work: Callable[[], Result]) -> Result:
        """Do the work, and again while the database is not available.

        Args:
            work: must be safe to repeat.

        Raises:
            DatabaseUnavailableError: of the last try.
        """
        failures = 0
        while True:
            try:
                return work()
            except DatabaseUnavailableError:
                if not self.wait(failures):
                    raise
                failures += 1
