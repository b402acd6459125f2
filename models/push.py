"""A push: what the phone's SDK reads, what goes to the hub, and what became of it."""

from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class PushNotificationInfo:
    """What the Calling SDK's `PushNotificationInfo` is made from; None is left out, never sent as null."""

    call_context: str = field(repr=False)
    """`cp`: base64 of gzip JSON, passed on unchanged."""
    call_id: str | None
    recipient_id: str | None
    caller_id: str | None
    display_name: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Push:
    """A body with the headers that go with it, ready for the hub; one serves every device of a platform."""

    format: str
    """The hub's `ServiceBusNotification-Format`."""
    content_type: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)


class OutcomeKind(Enum):
    """What one Direct Send came to."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    GONE = "gone"
    THROTTLED = "throttled"
    TRANSIENT = "transient"
    MISCONFIGURED = "misconfigured"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one Direct Send came to, as a value; nothing of it is secret."""

    kind: OutcomeKind
    reason: str
    """One sentence for an operator."""
    status: int | None = None
    """The hub's HTTP status; None where it did not answer."""
    tracking_id: str | None = None
    """The hub's `TrackingId`, to quote to Azure support."""
    retry_after_seconds: float | None = None
    """How long the hub asked to be left alone."""
    code: str | None = None
    """Stable name of the error where it was ours, such as `push_too_large`."""
    used_secondary_key: bool = False
    """True where the hub refused the first key and was sent the push again under the second."""
    may_have_rung: bool = False
    """True where the hub had the whole request but did not answer: trying again may ring twice."""


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """What became of one device in one delivery of an event."""

    outcome: Outcome
    attempts: int
    age_ms: int
    """Age of the call when this was known, in milliseconds."""
