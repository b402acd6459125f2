"""The browser's requests, validated in form. What the app validates itself is not validated here."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from local.hub.faults import Fault
from local.page.phone_calls import Action
from local.pydantic_errors import explain

type Schema = Literal["eventGrid", "cloudEvents"]
type HubMode = Literal["healthy", "slow", "throttled", "failing", "lost"]

_Text = Annotated[str, Field(max_length=5_000)]


class BadCommandError(ValueError):
    """The request is malformed or cannot be carried out; the message says why."""


class Command(BaseModel):
    """Frozen; camelCase in JSON."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid", frozen=True
    )


class RegisterPhone(Command):
    """Without `device_uuid` a new phone; with that of a registered phone, a new token for it."""

    acs_mri: _Text
    platform: Literal["apple", "android", "windows"]
    device_uuid: _Text | None = None
    ttl_seconds: int | None = None


class RegisterBrowser(Command):
    """Register the browser that shows the page, with its push subscription as JSON text."""

    acs_mri: _Text
    device_uuid: _Text
    subscription: _Text


class RemovePhone(Command):
    """Delete one device of a user."""

    acs_mri: _Text
    device_uuid: _Text


class UninstallApp(Command):
    """Remove the app from a phone: its platform refuses every further push."""

    phone_id: _Text


class ForgetDeadDevices(Command):
    """Run the app's timer function now."""


class PlaceCall(Command):
    """Make and deliver an IncomingCall event. `age_seconds`: time since the call began."""

    callee: _Text
    caller_name: _Text = ""
    schema_name: Schema = "eventGrid"
    age_seconds: float = Field(default=0.0, ge=-3_600, le=86_400, allow_inf_nan=False)


class HangUp(Command):
    """The caller of a call placed here hangs up."""

    call_id: _Text


class Redeliver(Command):
    """Deliver again an event of this page."""

    event_id: _Text


class ActOnCall(Command):
    """The user of a phone answers, declines or hangs up."""

    phone_id: _Text
    call_id: _Text
    action: Action


class ClearCalls(Command):
    """Show only calls that begin from now on."""


class SetOptions(Command):
    """What is switched on; `None` leaves it as it is."""

    redelivery: bool | None = None
    """Event Grid repeats a failed delivery by itself."""
    call_events: bool | None = None
    """Communication Services publishes CallParticipantAdded and CallEnded."""
    reports: bool | None = None
    """Phones report to the app."""


class SetHubMode(Command):
    """How the hub treats the next sends. `times`: `None` for all; `seconds`: for `slow` and `throttled`."""

    mode: HubMode
    times: int | None = Field(default=1, ge=1, le=1_000)
    seconds: float = Field(default=2.0, ge=0.1, le=60, allow_inf_nan=False)

    def fault(self) -> Fault | None:
        """The fault for the simulator; `None` for a healthy hub."""
        match self.mode:
            case "healthy":
                return None
            case "slow":
                return Fault(kind="slow", delay_seconds=self.seconds, times=self.times)
            case "throttled":
                # RFC 9110 allows whole seconds only.
                wait = str(max(1, round(self.seconds)))
                return Fault(kind="status", status=429, retry_after=wait, times=self.times)
            case "failing":
                return Fault(kind="status", status=503, times=self.times)
            case "lost":
                return Fault(kind="accept_then_drop", times=self.times)


def parse_command[Kind: Command](kind: type[Kind], body: bytes) -> Kind:
    """Read a command from JSON; raises BadCommandError, which quotes nothing of it."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise BadCommandError(explain(error)) from None
