"""A push: what the phone's SDK reads, what is sent to the hub, and the result."""

from dataclasses import dataclass, field
from enum import Enum

from models.hub import DEFAULT_HUB


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
    """The result of one Direct Send, as far as another try depends on it."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    GONE = "gone"
    THROTTLED = "throttled"
    TRANSIENT = "transient"
    MISCONFIGURED = "misconfigured"


class Unanswered(Enum):
    """How a try ended whose whole request was sent and whose answer is not known."""

    TIMEOUT = "timeout"
    """No answer in time."""
    LOST = "lost"
    """The connection was lost, or the answer was not HTTP."""


UNUSABLE_TOKEN = "unusable_token"  # noqa: S105 # nosec B105 - the name of an error
"""`Outcome.code` where the registered device token is none that the platform issues."""

HUB_NOT_USABLE = "hub_not_usable"
"""`Outcome.code` where the device's hub has no settings, or wrong ones, so that nothing was sent."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one Direct Send; nothing in it is secret."""

    kind: OutcomeKind
    reason: str
    """For an operator: what happened and, where something has to be corrected, what to check."""
    status: int | None = None
    """HTTP status of the hub's answer; None without an answer."""
    tracking_id: str | None = None
    """The hub's `TrackingId`, to quote to Azure support."""
    retry_after_seconds: float | None = None
    """What the hub asked for with `Retry-After`."""
    code: str | None = None
    """Stable name of the error where it was ours, such as `push_too_large`."""
    notification_id: str | None = None
    """The hub's name for the push, by which its telemetry is read; None on a tier that has none."""
    used_secondary_key: bool = False
    """The hub refused the first key, and the push was sent again with the second one."""
    unanswered: Unanswered | None = None
    """Set where the hub may have queued the push without saying so; None if it answered or cannot have."""

    @property
    def is_refused_as_misconfigured(self) -> bool:
        """The hub, or the way to it, refuses what the settings say. That may pass.

        Wrong settings of a named hub do not, in a process: those are `HUB_NOT_USABLE`.
        """
        return self.kind is OutcomeKind.MISCONFIGURED and self.code != HUB_NOT_USABLE

    @property
    def may_have_rung(self) -> bool:
        """The whole request was sent and no answer came, so that another try may ring twice."""
        return self.unanswered is not None


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """What became of one device in one delivery of an event."""

    outcome: Outcome
    attempts: int
    age_ms: int
    """Age of the call when this was known."""
    unanswered: int = 0
    """Tries that may have rung unseen, over all deliveries of the event."""
    device_key: str | None = None
    """Names the device, also when its token changes."""
    platform: str = "unknown"
    hub: str = DEFAULT_HUB
    """Name of the hub that the push was for."""


@dataclass(frozen=True, slots=True)
class StopInfo:
    """What a phone is told when it is to ring no more."""

    call_id: str | None
    recipient_id: str
    caller_id: str | None
    reason: str
    """`answered`, `declined` or `ended`."""


@dataclass(frozen=True, slots=True)
class VisibleInfo:
    """What a phone shows of a call."""

    event: str
    """`missedCall` or `incomingCall`."""
    call_id: str | None
    caller_id: str | None
    display_name: str | None = field(repr=False)
    title: str = field(repr=False)
    body: str = field(repr=False)
    time_sensitive: bool
    """It breaks through what keeps the phone quiet, if the app has the entitlement."""
