"""An event of Event Grid: both schemas in, one envelope out; and the parties of a call.

Shapes: Event Grid's own schema and CloudEvents 1.0; `Microsoft.Communication` in azure-rest-api-specs. There
every property of `data` is optional, and unknown ones have to be tolerated.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
)
from pydantic_core import core_schema

from models.errors import InvalidEventError

MAXIMUM_NAME_BYTES = 1_024
"""Of an event's id, source and type. They are stored and logged; Event Grid's own are far shorter."""

_TEAMS_USER_PREFIX_BY_CLOUD = {"public": "8:orgid:", "dod": "8:dod:", "gcch": "8:gcch:"}
_ACS_USER_PREFIX_BY_CLOUD = {"public": "8:acs:", "dod": "8:dod-acs:", "gcch": "8:gcch-acs:"}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What both event schemas say around `data`."""

    event_id: str
    source: str
    """`topic` in the Event Grid schema, `source` in CloudEvents: together with the id it is unique."""
    event_type: str
    time: object
    """When the event happened, as sent; None if the event does not say."""
    data: object = field(repr=False)
    trace_parent: str | None = None
    """Of the CloudEvents extension for distributed tracing, as sent."""
    trace_state: str | None = None


class OrAbsent:
    """An optional property that is malformed counts as absent, so that the phone rings."""

    @staticmethod
    def __get_pydantic_core_schema__(source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_default_schema(handler(source), default=None, on_error="default")


def _encodable(value: object) -> object:
    # JSON may carry lone surrogates (half an emoji), which no UTF-8 body can.
    if isinstance(value, str) and not value.isascii():
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value or None


Text = Annotated[str | None, BeforeValidator(_encodable), OrAbsent()]


def _name(value: str) -> str:
    # A name is hashed and stored, so half a character in it cannot be replaced: it would be another name.
    if len(value.encode()) > MAXIMUM_NAME_BYTES:
        raise ValueError("too long")
    return value


Name = Annotated[str, Field(strict=True), AfterValidator(_name)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class _CommunicationUser(Part):
    id: Text = None


class _PhoneNumber(Part):
    value: Text = None


class _TeamsUser(Part):
    user_id: Text = Field(alias="userId", default=None)
    is_anonymous: Annotated[bool | None, OrAbsent()] = Field(alias="isAnonymous", default=None)
    cloud: Text = None


class _TeamsExtensionUser(Part):
    user_id: Text = Field(alias="userId", default=None)
    tenant_id: Text = Field(alias="tenantId", default=None)
    resource_id: Text = Field(alias="resourceId", default=None)
    cloud: Text = None

    def mri(self) -> str | None:
        prefix = _ACS_USER_PREFIX_BY_CLOUD.get((self.cloud or "public").lower())
        ids = (self.resource_id, self.tenant_id, self.user_id)
        return prefix + "_".join(filter(None, ids)) if prefix and all(ids) else None


class Party(Part):
    raw_id: Text = Field(alias="rawId", default=None)
    communication_user: Annotated[_CommunicationUser | None, OrAbsent()] = Field(
        alias="communicationUser", default=None
    )
    phone_number: Annotated[_PhoneNumber | None, OrAbsent()] = Field(alias="phoneNumber", default=None)
    teams_user: Annotated[_TeamsUser | None, OrAbsent()] = Field(alias="microsoftTeamsUser", default=None)

    teams_extension_user: Annotated[_TeamsExtensionUser | None, OrAbsent()] = Field(
        alias="teamsExtensionUser", default=None
    )

    def mri(self) -> str | None:
        """The party's MRI: its raw id, else the one that its kind's properties make."""
        if self.raw_id:
            return self.raw_id
        if self.communication_user and self.communication_user.id:
            return self.communication_user.id
        if self.teams_user and self.teams_user.user_id:
            return _teams_user_mri(self.teams_user)
        if self.teams_extension_user and (mri := self.teams_extension_user.mri()):
            return mri
        if self.phone_number and self.phone_number.value:
            return f"4:{self.phone_number.value}"
        return None


def _teams_user_mri(user: _TeamsUser) -> str | None:
    if user.is_anonymous:
        return f"8:teamsvisitor:{user.user_id}"
    prefix = _TEAMS_USER_PREFIX_BY_CLOUD.get((user.cloud or "public").lower())
    return f"{prefix}{user.user_id}" if prefix else None


class _Event(Part):
    """The two schemas differ in names only, and in `specversion`."""

    id: Annotated[Name, Field(min_length=1)]
    source: Name = Field(validation_alias=AliasChoices("source", "topic"), default="")
    type: Annotated[Name, Field(min_length=1)] = Field(validation_alias=AliasChoices("type", "eventType"))
    time: Any = Field(validation_alias=AliasChoices("time", "eventTime"), default=None)
    data: Any = None
    traceparent: Text = None
    tracestate: Text = None


def event_time(time: object) -> datetime | None:
    """An event time, with any offset and any number of fractional digits; without an offset it is UTC.

    One that cannot be read counts as missing, so that the phone rings.
    """
    # A number is no time, though 20260131 would read as a date.
    if not isinstance(time, str):
        return None
    try:
        moment = datetime.fromisoformat(time.strip().upper())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def parse_event(text: str) -> Envelope:
    """Read one event as Event Grid delivers it, in the Event Grid schema or as CloudEvents 1.0.

    Args:
        text: the JSON of one event.

    Raises:
        InvalidEventError: it is no JSON object with an id and a type, each of at most `MAXIMUM_NAME_BYTES`.
    """
    try:
        event = _Event.model_validate(json.loads(text))
    except ValidationError as error:
        names = ", ".join(dict.fromkeys(str((detail["loc"] or ("event",))[0]) for detail in error.errors()))
        raise InvalidEventError(f"The event cannot be understood: missing or malformed: {names}.") from None
    except (ValueError, RecursionError):
        raise InvalidEventError("The event cannot be understood: it is not JSON.") from None
    return Envelope(
        event.id, event.source, event.type, event.time, event.data, event.traceparent, event.tracestate
    )
