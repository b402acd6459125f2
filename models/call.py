"""An incoming call: one event in, one value out, and how long the call still rings.

Shape: `Microsoft.Communication.IncomingCall`, azure-rest-api-specs, Microsoft.Communication Event Grid
schema. There every property of `data` is optional, and unknown ones have to be tolerated.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from models.call_keys import call_keys
from models.errors import InvalidEventError
from models.event import Envelope, event_time
from models.identity import Identity
from models.members import Members
from models.party import mri_of

INCOMING_CALL_EVENT_TYPE = "Microsoft.Communication.IncomingCall"


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """One call that is ringing for one callee."""

    event_id: str
    event_source: str
    event_time: datetime | None
    callee: Identity
    recipient_id: str
    """The callee's MRI as the event has it."""
    incoming_call_context: str | None = field(repr=False)
    """As the event carries it; a credential."""
    correlation_id: str | None = None
    keys: tuple[str, ...] = ()
    """By any of them the call's other events are joined with it (`call_keys`)."""
    caller_mri: str | None = None
    caller_display_name: str | None = field(default=None, repr=False)

    def ends_at(self, ring_time: timedelta, first_seen: datetime) -> datetime:
        """When it stops ringing: `ring_time` after its event time, or after `first_seen` where that is
        earlier.

        Args:
            ring_time: how long a call rings.
            first_seen: when the event first reached the app; stands in for an event time that is missing or
                in the future (the clocks of two machines differ).
        """
        return min(self.event_time or first_seen, first_seen) + ring_time


def parse_incoming_call(envelope: Envelope) -> IncomingCall:
    """Read the `data` of an IncomingCall event.

    Raises:
        InvalidEventError: it names no callee.
    """
    if not isinstance(envelope.data, dict):
        raise InvalidEventError("The event cannot be understood: its data is not a JSON object.")
    data = Members(envelope.data)
    callee = mri_of(data.object("to"))
    if callee is None:
        raise InvalidEventError(
            "The event cannot be understood: it names no callee; data.to needs a rawId, "
            "a communicationUser.id, a microsoftTeamsUser.userId or a teamsExtensionUser."
        )
    correlation_id = data.text("correlationId")
    return IncomingCall(
        event_id=envelope.event_id,
        event_source=envelope.source,
        event_time=event_time(envelope.time),
        callee=Identity.parse(callee),
        recipient_id=callee,
        incoming_call_context=data.text("incomingCallContext"),
        correlation_id=correlation_id,
        keys=call_keys(correlation_id, data.text("serverCallId")),
        caller_mri=mri_of(data.object("from")),
        caller_display_name=data.text("callerDisplayName"),
    )
