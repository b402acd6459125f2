"""The events that tell how a call goes on: a participant joined it, or it ended.

Shapes: "voice and video calling events" of the Communication Services documentation and
`AcsCallEndedEventData`, `AcsCallParticipantEventData` of azure-rest-api-specs, which differ; all are
accepted.
"""

from dataclasses import dataclass
from datetime import datetime

from models.call_keys import call_keys
from models.errors import InvalidEventError
from models.event import Envelope, event_time
from models.identity import Identity
from models.members import Members
from models.party import mri_of, mri_of_app

CALL_ENDED_EVENT_TYPE = "Microsoft.Communication.CallEnded"
PARTICIPANT_ADDED_EVENT_TYPE = "Microsoft.Communication.CallParticipantAdded"


@dataclass(frozen=True, slots=True)
class CallEnd:
    """A call that ended, or that one participant joined, so that it rings no more for them."""

    event_id: str
    source: str
    keys: tuple[str, ...]
    """Of the call; at least one."""
    time: datetime | None
    joined: Identity | None
    """Who joined the call; None where the call ended."""
    correlation_id: str | None
    """As the event has it, for the log."""


def parse_call_end(envelope: Envelope) -> CallEnd:
    """Read a CallEnded or CallParticipantAdded event.

    Raises:
        InvalidEventError: it does not say which call ended, or who joined it.
    """
    if not isinstance(envelope.data, dict):
        raise InvalidEventError("The event cannot be understood: its data is not a JSON object.")
    data = Members(envelope.data)
    correlation_id = data.text("correlationId")
    keys = call_keys(correlation_id, data.text("serverCallId"))
    if not keys:
        raise InvalidEventError(
            "The event cannot be understood: it names no call; data needs a correlationId or a serverCallId."
        )
    joined = None
    if envelope.event_type == PARTICIPANT_ADDED_EVENT_TYPE:
        mri = _participant_mri(data.object("user"))
        if mri is None:
            raise InvalidEventError("The event cannot be understood: data.user names no participant.")
        joined = Identity.parse(mri)
    return CallEnd(
        event_id=envelope.event_id,
        source=envelope.source,
        keys=keys,
        time=event_time(envelope.time),
        joined=joined,
        correlation_id=correlation_id,
    )


def _participant_mri(user: Members) -> str | None:
    """The MRI of the participant, which a member of `user` names or `user` itself."""
    parties = (user.object("communicationIdentifier"), user.object("communicationidentifier"), user)
    # Bots join calls, too. Each of their events would be delivered for a day if it were refused.
    return next((mri for party in parties if (mri := mri_of(party) or mri_of_app(party))), None)
