"""Outcome, attempt and time left → wait or give up (pure; clock and randomness come in)."""

from datetime import UTC
from email.utils import parsedate_to_datetime


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """The seconds that a `Retry-After` header asks for, RFC 9110: a number of seconds or a date.

    Args:
        header: its value, None if there is none.
        now: Unix time in seconds.

    Returns:
        Seconds from now, never negative; None without a header or with one that cannot be read.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now)
    except (ValueError, OverflowError):
        return None
