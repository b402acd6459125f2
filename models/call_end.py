"""The events that tell how a call goes on: a participant joined it, or it ended.

Shapes: "voice and video calling events" of the Communication Services documentation and
`AcsCallEndedEventData`, `AcsCallParticipantEventData` of azure-rest-api-specs, which differ; all are
accepted.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from models.call_keys import call_keys
from models.errors import InvalidEventError
from models.event import Envelope, OrAbsent, Part, Party, Text, event_time
from models.identity import Identity

CALL_ENDED_EVENT_TYPE = "Microsoft.Communication.CallEnded"
PARTICIPANT_ADDED_EVENT_TYPE = "Microsoft.Communication.CallParticipantAdded"

_TEAMS_APP_PREFIX_BY_CLOUD = {"public": "28:orgid:", "dod": "28:dod:", "gcch": "28:gcch:"}


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


def _identity(value: object) -> object:
    """The identity, which stands in the member itself or in one below it."""
    if isinstance(value, dict):
        for name in ("communicationIdentifier", "communicationidentifier"):
            if isinstance(value.get(name), dict):
                return value[name]
    return value


class _TeamsApp(Part):
    app_id: Text = Field(alias="appId", default=None)
    cloud: Text = None

    def mri(self) -> str | None:
        prefix = _TEAMS_APP_PREFIX_BY_CLOUD.get((self.cloud or "public").lower())
        return f"{prefix}{self.app_id}" if prefix and self.app_id else None


class _Participant(Party):
    """Bots join calls, too. Each of their events would be delivered for a day if it were refused."""

    teams_app: Annotated[_TeamsApp | None, OrAbsent()] = Field(alias="microsoftTeamsApp", default=None)

    def mri(self) -> str | None:
        return super().mri() or (self.teams_app.mri() if self.teams_app else None)


class _Data(Part):
    user: Annotated[_Participant | None, BeforeValidator(_identity), OrAbsent()] = None
    correlation_id: Text = Field(alias="correlationId", default=None)
    server_call_id: Text = Field(alias="serverCallId", default=None)


def parse_call_end(envelope: Envelope) -> CallEnd:
    """Read a CallEnded or CallParticipantAdded event.

    Raises:
        InvalidEventError: it does not say which call ended, or who joined it.
    """
    if not isinstance(envelope.data, dict):
        raise InvalidEventError("The event cannot be understood: its data is not a JSON object.")
    data = _Data.model_validate(envelope.data)
    keys = call_keys(data.correlation_id, data.server_call_id)
    if not keys:
        raise InvalidEventError(
            "The event cannot be understood: it names no call; data needs a correlationId or a serverCallId."
        )
    joined = None
    if envelope.event_type == PARTICIPANT_ADDED_EVENT_TYPE:
        mri = data.user.mri() if data.user else None
        if mri is None:
            raise InvalidEventError("The event cannot be understood: data.user names no participant.")
        joined = Identity.parse(mri)
    return CallEnd(
        event_id=envelope.event_id,
        source=envelope.source,
        keys=keys,
        time=event_time(envelope.time),
        joined=joined,
        correlation_id=data.correlation_id,
    )
