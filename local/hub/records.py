"""What the simulator records, and the documents of its control API, as typed values.

Importing this does not import the server: a client in another process needs these shapes only.
"""

from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from local.hub.config import Tier
from local.hub.faults import EFFECTS, Fault, FaultKind


class _Record(BaseModel):
    """Frozen; camelCase in JSON."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid", frozen=True
    )


class PlatformOutcome(StrEnum):
    """What a platform makes of a push, named as in the hub's telemetry and feedback."""

    SUCCESS = "Success"
    EXPIRED_CHANNEL = "ExpiredChannel"
    """The app is no longer on the device."""
    BAD_CHANNEL = "BadChannel"
    WRONG_TOKEN = "WrongToken"  # noqa: S105 - a name
    """The token belongs to another app or environment."""
    INVALID_CREDENTIALS = "InvalidCredentials"
    INVALID_NOTIFICATION_FORMAT = "InvalidNotificationFormat"
    INVALID_NOTIFICATION_SIZE = "InvalidNotificationSize"
    THROTTLED = "Throttled"
    PNS_UNAVAILABLE = "PnsUnavailable"
    PNS_SERVER_ERROR = "PnsServerError"
    DROPPED = "Dropped"
    UNKNOWN_ERROR = "UnknownError"


class DeviceOutcome(_Record):
    """What a platform makes of every further push to a device."""

    device_handle: str = Field(min_length=1)
    outcome: PlatformOutcome


class OutcomeList(_Record):
    """Answer to `GET /simulator/outcomes`: devices whose pushes do not succeed."""

    outcomes: tuple[DeviceOutcome, ...]


class HubTier(_Record):
    """A hub and its pricing tier."""

    hub: str
    tier: Tier


class HubList(_Record):
    """Answer to `GET /simulator/hubs`."""

    hubs: tuple[HubTier, ...]


class ReceivedPush(_Record):
    """A push that the hub accepted. `received_at`: Unix seconds; `headers`: without Authorization."""

    sequence: int
    """Counts from 1 and is not reset when the pushes are deleted."""
    device_handle: str
    format: str
    headers: Mapping[str, str]
    body: str
    call_id: str | None
    """`data.callId` of the payload, if there is one."""
    event: str | None = None
    """`data.eventId` of the payload (`107` rings, `110` stops), or `data.event` of a visible notification."""
    received_at: float
    tracking_id: str
    notification_id: str
    hub: str
    """Name of the hub."""
    outcome: PlatformOutcome = PlatformOutcome.SUCCESS
    """What the platform made of it: with any other than `Success`, the device received nothing."""


class Attempt(_Record):
    """One request to send, recorded when its body has been read, with any outcome."""

    device_handle: str | None
    status: int | None
    """The status that the hub decided on; `None` if a fault suppressed the answer."""
    fault: FaultKind | None
    """The fault that was applied."""
    reason: str | None
    """Why the request was refused."""
    tracking_id: str
    received_at: float
    """Unix seconds."""
    monotonic: float
    """Seconds on the simulator's monotonic clock: compare only with each other."""
    call_id: str | None = None
    """`data.callId` of the payload; `None` for a refused request."""
    hub: str | None = None
    """Name of the hub; `None` if there is no hub of the addressed name."""

    @property
    def is_accepted(self) -> bool:
        """The push was accepted, whether or not the answer arrived."""
        return self.status == 201 or (self.fault is not None and EFFECTS[self.fault].accepts)

    @property
    def result(self) -> str:
        """The status as text, or the kind of the fault that suppressed the answer."""
        return str(self.status) if self.status is not None else str(self.fault)


class Connections(_Record):
    """Connections that carried at least one request to send; those of the control API are not counted."""

    open: int
    total: int


class Summary(_Record):
    """Complete counts since the pushes were last deleted (connections: since the start)."""

    accepted: int
    refused: int
    handles: Mapping[str, int]
    """Accepted pushes by device handle."""
    calls: Mapping[str, Mapping[str, int]]
    """Accepted pushes by call id, then by device handle."""
    events: Mapping[str, Mapping[str, int]]
    """Accepted pushes by device handle, then by `ReceivedPush.event` ("" if there was none)."""
    attempts: Mapping[str, Mapping[str, int]]
    """Requests by device handle ("" if there was none), then by `Attempt.result`."""
    connections: Connections


class Latency(_Record):
    """Delay in seconds: before every answer, or before telemetry and feedback know of a push."""

    delay_seconds: float = Field(ge=0, le=3600)


class FaultList(_Record):
    """Answer to `GET /simulator/faults`, oldest first; `times` is the number of applications left."""

    faults: tuple[Fault, ...]


class PushList(_Record):
    """Answer to `GET /simulator/pushes`, oldest first."""

    pushes: tuple[ReceivedPush, ...]


class AttemptList(_Record):
    """Answer to `GET /simulator/attempts`, oldest first."""

    attempts: tuple[Attempt, ...]
