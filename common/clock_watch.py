"""Whether this machine's clock agrees with the clocks of the services that it talks to.

A call rings from its event time, so a clock that is a minute off drops calls or rings for calls that are
over. Nothing is corrected: the difference is reported.
"""

import logging
import threading
from datetime import UTC
from email.utils import parsedate_to_datetime

from common import telemetry

LARGEST_SKEW_SECONDS = 5.0
"""More than a `Date` header of whole seconds and a slow answer explain, and little in a minute of ringing."""

_REMEDY = (
    "Restart the function app, so that it starts on another machine; if the line comes back, open a support "
    "case. On a machine of your own, synchronise the clock by NTP. A clock that is ahead drops calls as too "
    "late, one that is behind rings for calls that are over; an hour behind, the hub refuses the SAS tokens."
)


def ahead_seconds(date: str | None, began: float, ended: float) -> float | None:
    """By how much our clock is ahead of a server's, to about a second; negative if it is behind.

    Args:
        date: the answer's `Date` header (RFC 9110, 6.6.1), in whole seconds.
        began: Unix time by our clock when the request began.
        ended: the same when the answer was there.

    Returns:
        None without a header or with one that cannot be read.
    """
    if date is None:
        return None
    try:
        moment = parsedate_to_datetime(date)
        told = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None
    # The header is cut to whole seconds, so it stands for the middle of its second.
    return (began + ended) / 2 - (told + 0.5)


class ClockWatch:
    """Remembers by how much our clock is off, and logs it once. Safe to share between threads."""

    def __init__(self) -> None:
        self._last_date: str | None = None
        self._unlogged = threading.Lock()
        self.has_compared = False
        """An answer has shown its server's time."""
        self.off_by_seconds: float | None = None
        """By how much our clock is ahead, negative if it is behind; None if it is not off, or not known."""

    def compare(self, date: str | None, began: float, ended: float) -> None:
        """Compare our clock with an answer's `Date` header; the arguments are those of `ahead_seconds`."""
        if date == self._last_date:
            return  # parsing takes longer than all the rest of an answer's handling
        self._last_date = date
        ahead = ahead_seconds(date, began, ended)
        if ahead is None:
            return
        self.has_compared = True
        uncertain = 0.5 + (ended - began) / 2
        is_off = abs(ahead) > LARGEST_SKEW_SECONDS + uncertain
        self.off_by_seconds = round(ahead, 1) if is_off else None
        if is_off and self._unlogged.acquire(blocking=False):  # never released: one line a process
            telemetry.log(logging.CRITICAL, "clock_off", ahead_seconds=self.off_by_seconds, remedy=_REMEDY)
