"""What a phone reports of a call."""

from dataclasses import dataclass
from enum import StrEnum

from models.identity import Identity


class DeviceState(StrEnum):
    """How a call stands on one phone."""

    RINGING = "ringing"
    ANSWERED = "answered"
    DECLINED = "declined"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class CallReport:
    """One report."""

    owner: Identity
    """The callee."""
    device_uuid: str
    call_id: str
    """As in the push, in any letter case."""
    state: DeviceState
