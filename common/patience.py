"""Waiting for a database that is away."""

from collections.abc import Callable
from functools import partial

from common.clock import Clock
from common.time_limit import taking_longer, within
from models.errors import DatabaseUnavailableError

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5

LAST_TRY_SECONDS = 3.0
"""How long a try may go on after the time at which no new one begins."""


def patiently[Result](work: Callable[[], Result], clock: Clock, until: float) -> Result:
    """Do work with the database, and do it again while the database is away.

    Each repetition may take twice as long as the one before: over a slow network a new connection takes more
    time than a piece of work has, and would be given up and opened anew for ever.

    Args:
        work: must be safe to repeat.
        clock: waits between the tries.
        until: monotonic time after which no new try begins.

    Raises:
        DatabaseUnavailableError: the database was away until then.
    """
    pause = FIRST_PAUSE_SECONDS
    longer = 1
    again = work
    while True:
        try:
            return again()
        except DatabaseUnavailableError:
            if clock.monotonic() + pause > until:
                raise
        clock.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        longer *= 2
        again = partial(_repeat, work, longer, until - clock.monotonic() + LAST_TRY_SECONDS)


def _repeat[Result](work: Callable[[], Result], longer: int, seconds: float) -> Result:
    with within(seconds):
        return taking_longer(longer, work)
