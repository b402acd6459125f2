"""What Azure says of a deployed app, as values. None of them holds a secret."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A question that Azure did not answer."""

    detail: str
    remedy: str
    commands: tuple[str, ...] = ()
    is_absent: bool = False
    """Azure answered that there is no such thing."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A Key Vault reference among the app's settings."""

    status: str
    """As Azure names it; `Resolved` is good."""
    vault: str
    secret: str


@dataclass(frozen=True, slots=True)
class ApnsCredentials:
    """How the hub signs in to APNs."""

    by_token: bool
    """False for a certificate."""
    is_sandbox: bool
    bundle_id: str | None


@dataclass(frozen=True, slots=True)
class PlatformCredentials:
    """What the hub has to sign in to the platforms' push services."""

    apns: ApnsCredentials | None
    fcm_v1: bool
    gcm: bool
    """The legacy protocol, which Google switched off in 2024."""
    wns: bool
    browser: bool


@dataclass(frozen=True, slots=True)
class EventSubscription:
    """A subscription to events of a Communication Services resource."""

    name: str
    group: str
    topic: str
    """Name of its system topic."""
    takes_incoming_calls: bool
    has_filter: bool
    """It filters by more than the type of the event."""
    is_ours: bool
    """It delivers to the function of this app."""
    target: str
    """What it delivers to, for people."""
    state: str
    """`Succeeded` is good."""
    dead_letters: tuple[str, str] | None
    """Storage account and container; None if they are not kept."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A Communication Services resource and its event subscriptions."""

    communication_service: str
    """Its name."""
    linked_hub: str | Unanswered | None
    """Resource id of the notification hub that it is linked to."""
    subscriptions: Sequence[EventSubscription]


@dataclass(frozen=True, slots=True)
class Site:
    """The function app itself."""

    resource_id: str
    state: str
    always_ready: Mapping[str, int]
    """Instances by group or function."""
    is_flex: bool
    """It runs on the Flex Consumption plan."""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """All of Azure's answers about a deployed app."""

    app: str
    group: str
    site: Site | Unanswered
    functions: frozenset[str] | Unanswered
    references: Mapping[str, Reference] | Unanswered
    """By setting."""
    credentials: PlatformCredentials | Unanswered
    topics: Sequence[Topic] | Unanswered
    """Of the Communication Services resources of the Azure subscription."""
    credentials_of_named_hubs: Mapping[str, PlatformCredentials | Unanswered] = field(default_factory=dict)
    """By the hubs' names in the settings."""
    recent_dead_letters: Mapping[str, int | Unanswered] = field(default_factory=dict)
    """Of the last day, by event subscription."""
