"""Waiting for a database that is away."""

from collections.abc import Callable

from common.clock import Clock
from models.errors import DatabaseUnavailableError

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5


def patiently[Result](work: Callable[[], Result], clock: Clock, until: float) -> Result:
    """Do work with the database, and do it again while the database is away.

    Args:
        work: must be safe to repeat.
        clock: waits between the tries.
        until: monotonic time after which no new try begins.

    Raises:
        DatabaseUnavailableError: the database was away until then.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return work()
        except DatabaseUnavailableError:
            if clock.monotonic() + pause > until:
                raise
        clock.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
