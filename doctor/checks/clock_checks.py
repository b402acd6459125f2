"""Whether this machine's clock agrees with those of Azure and the database."""

from common.clock_watch import LARGEST_SKEW_SECONDS
from doctor.checks.findings import Area, Check

AREA = Area("clock")


def check_clock(other: str, ahead_seconds: float | None) -> Check:
    """Compare this machine's clock with another.

    Args:
        other: what the other clock belongs to.
        ahead_seconds: by how much this machine's clock is ahead of it; None if it is not known.
    """
    if ahead_seconds is None:
        return AREA.unknown(other, "its answer did not contain a time", counts=False)
    apart = f"{abs(ahead_seconds):.1f} s {'ahead of' if ahead_seconds > 0 else 'behind'} it"
    if abs(ahead_seconds) <= LARGEST_SKEW_SECONDS:
        return AREA.passed(other, f"this machine's clock is {apart}")
    return AREA.failed(
        other,
        f"this machine's clock is {apart}",
        "Synchronise this machine's clock (NTP). This is the clock here and not that of the functions in "
        "Azure. Where the app runs on this machine, a clock that is ahead makes it treat calls as over, and "
        "one that is an hour behind makes the hub refuse its SAS tokens.",
    )
