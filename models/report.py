"""What a phone reports of a call."""

from dataclasses import dataclass
from enum import Enum, StrEnum

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


class ReportEffect(Enum):
    """What a report has changed."""

    NO_SUCH_CALL = "no such call"
    """No such call rang for the callee within the day, or the callee has no such device."""
    NOTED = "noted"
    """It is written down; the call goes on as before."""
    RING_ENDED = "ring ended"
    """It is the first word that the callee has answered or declined."""
