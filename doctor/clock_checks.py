"""Whether this machine's clock agrees with Azure's and the database's (pure)."""

from doctor.findings import Area, Check

AREA = Area("clock")
LARGEST_SKEW_SECONDS = 5.0
"""More than a `Date` header of whole seconds and a slow answer explain, little beside a minute of ringing."""


def check_clock(other: str, ahead_seconds: float | None) -> Check:
    """Compare with the clock of `other`.

    Args:
        other: whose clock it is.
        ahead_seconds: by how much ours is ahead; None if it is not known.
    """
    if ahead_seconds is None:
        return AREA.unknown(other, "it did not say what time it is", counts=False)
    apart = f"{abs(ahead_seconds):.1f} s {'ahead of' if ahead_seconds > 0 else 'behind'} it"
    if abs(ahead_seconds) <= LARGEST_SKEW_SECONDS:
        return AREA.passed(other, f"this machine's clock is {apart}")
    return AREA.failed(
        other,
        f"this machine's clock is {apart}",
        "Set the clock by NTP. This is the clock here, not that of the functions in Azure; but where it is "
        "the app's, a clock that is ahead drops calls as late and one that is behind by an hour has its SAS "
        "tokens refused.",
    )
