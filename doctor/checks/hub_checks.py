"""What the hub's answers mean.

Observed on the live service: a wrong key is 401 "InvalidSignature", a missing right 401 "... claim is
required" (by the documentation 403). `[?]` marks what has not been confirmed there.
"""

import shlex
from dataclasses import asdict, dataclass, field

from doctor.checks.findings import Area, Check
from models.hub import DEFAULT_HUB, HubSettingNames
from push.hub.answers import NoAnswer, meaning_of

REACHABLE, EXISTS, KEY, SEND, SECONDARY = "reachable", "exists", "key", "Send right", "secondary key"

_ACCESS_POLICIES = "the hub's Access Policies in the portal"


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """How the hub answered one request."""

    status: int
    has_retry_after: bool
    seconds: float
    clock_ahead_seconds: float | None
    """By how much this machine's clock is ahead of its `Date`, to about a second; None without a usable
    one."""
    text: str = field(repr=False, default="")
    """Beginning of the body; never shown, only searched."""


@dataclass(frozen=True, slots=True)
class HubName:
    """What the settings name; for commands to paste."""

    namespace: str
    hub: str
    policy: str
    name: str = DEFAULT_HUB
    """The hub's name in the settings."""

    @property
    def settings(self) -> HubSettingNames:
        """The names of the hub's settings."""
        return HubSettingNames.of(self.name)

    @property
    def area(self) -> Area:
        """What the hub's checks are called."""
        return Area("hub" if self.name == DEFAULT_HUB else f"hub {self.name}")

    def list_hubs(self) -> str:
        """Prints the hubs of the namespace."""
        return _az("list", "--namespace-name", self.namespace, "--query", "[].name")

    def list_policies(self) -> str:
        """Prints the hub's policies with their rights."""
        query = ("--query", "[].{name: name, rights: rights}")
        return _az("authorization-rule", "list", *self._named(), *query)

    def show_connection_string(self) -> str:
        """Prints the connection string of the policy."""
        chosen = ("--name", self.policy, "--query", "primaryConnectionString", "--output", "tsv")
        return _az("authorization-rule", "list-keys", *self._named(), *chosen)

    def _named(self) -> tuple[str, ...]:
        return ("--namespace-name", self.namespace, "--notification-hub-name", self.hub)


def _az(*arguments: str) -> str:
    return shlex.join(["az", "notification-hub", *arguments, "--resource-group", "GROUP"])


@dataclass(frozen=True, slots=True)
class HubFindings:
    """The answers to all requests."""

    named: HubName
    first: HubAnswer | NoAnswer
    forged: HubAnswer | NoAnswer | None = None
    """To a signature that cannot be right; None if it was not sent."""
    made_up: HubAnswer | NoAnswer | None = None
    """To a hub that does not exist."""
    secondary: HubAnswer | NoAnswer | None = None
    """To the secondary key; None without one."""


_FIREWALL = (
    "Look at the firewall between here and Azure (port 443), and whether public access to the namespace is "
    "switched off."
)
_ENVIRONMENT = "Correct it here; the app in Azure has an environment of its own."
_NO_ANSWER_REMEDIES = {
    NoAnswer.NAME_NOT_FOUND: "Compare the Endpoint in {connection_string} with the namespace's host name: "
    "the namespace was deleted or is misspelled, or this machine has no DNS.",
    NoAnswer.TLS_FAILED: _FIREWALL,
    NoAnswer.CERTIFICATE_REFUSED: "Look for a proxy that intercepts TLS, and at this machine's clock.",
    NoAnswer.CA_FILE_UNREADABLE: _ENVIRONMENT,
    NoAnswer.PROXY_FAILED: _ENVIRONMENT,
    NoAnswer.PROXY_MALFORMED: _ENVIRONMENT,
    NoAnswer.TIMED_OUT: "Try again; if it stays, look at the firewall (port 443) and at Azure's status page.",
}


def check_hub(found: HubFindings) -> list[Check]:
    """Whether the hub can be reached and exists, and whether the key is right and may send."""
    first, named = found.first, found.named
    if isinstance(first, NoAnswer):
        remedy = _NO_ANSWER_REMEDIES.get(first, _FIREWALL).format_map(asdict(named.settings))
        reason = meaning_of(first, named.settings).reason
        return [named.area.failed(REACHABLE, reason, remedy), *_not_told(named, "the hub did not answer")]
    if _has_trouble(first):
        return [_trouble(first, named), *_not_told(named, "the hub answered with an error of its own")]
    reached = named.area.passed(REACHABLE, f"answered in {first.seconds * 1_000:.0f} ms")
    checks = [reached, *_judge(first, found)]
    return checks if found.secondary is None else [*checks, _secondary(found.secondary, named)]


def _has_trouble(answer: HubAnswer) -> bool:
    throttled = answer.status == 429 or (answer.status == 403 and answer.has_retry_after)
    return throttled or answer.status == 408 or answer.status >= 500 or 300 <= answer.status < 400


def _trouble(answer: HubAnswer, named: HubName) -> Check:
    detail = f"it answers with {answer.status}"
    if 300 <= answer.status < 400:
        remedy = f"Something redirects the hub's URL: check {named.settings.url}."
    elif answer.status in {403, 429}:
        detail, remedy = f"{detail}: throttled", "Wait, or raise the namespace's tier."
    else:
        remedy = "Try again; if it stays, look at Azure's status page."
    return named.area.failed(REACHABLE, detail, remedy)


def _not_told(named: HubName, why: str) -> list[Check]:
    return [named.area.unknown(name, why) for name in (EXISTS, KEY, SEND)]


def _judge(first: HubAnswer, found: HubFindings) -> list[Check]:
    named = found.named
    area = named.area
    if first.status == 404:
        why = "there is no hub to ask"
        return [_no_hub(named), *(area.unknown(name, why) for name in (KEY, SEND))]
    if _lacks_right(first):
        exists = area.passed(EXISTS, "it knows the key")
        return [exists, area.passed(KEY, "the signature is accepted"), _no_send_right(first, named)]
    if first.status == 401:
        why = "the key is refused before that"
        return [area.unknown(EXISTS, why), _wrong_key(first, named), area.unknown(SEND, why)]
    return [_exists(first, found), _key(first, found), _send(first, area)]


def _lacks_right(answer: HubAnswer) -> bool:
    return answer.status == 403 or (answer.status == 401 and "claim" in answer.text.lower())


def _no_hub(named: HubName) -> Check:
    return named.area.failed(
        EXISTS,
        "404: the namespace has no hub of that name",
        f"Compare {named.settings.hub_name} with the portal: it is the hub's name, not the namespace's. Was "
        "the hub deleted? These are there:",
        named.list_hubs(),
    )


def _no_send_right(answer: HubAnswer, named: HubName) -> Check:
    return named.area.failed(
        SEND,
        f"{answer.status}: the policy in {named.settings.connection_string} has no Send right, or the hub's "
        "quota is used up",
        f"Use the connection string of a policy with Send and no other right, from {_ACCESS_POLICIES}:",
        named.list_policies(),
    )


def _wrong_key(answer: HubAnswer, named: HubName) -> Check:
    return named.area.failed(
        KEY,
        f"{answer.status}: the key is wrong or was regenerated",
        f"Copy the connection string again from {_ACCESS_POLICIES}. If it is the same: the policy of "
        f"another hub is refused like this too; with a policy of the hub itself a wrong "
        f"{named.settings.hub_name} may be [?]; a clock that is an hour behind is.",
        named.show_connection_string(),
    )


def _differs(control: HubAnswer | NoAnswer | None, first: HubAnswer) -> bool:
    """Whether the control request was refused for its deliberate mistake, which the first does not have."""
    return isinstance(control, HubAnswer) and control.status in {401, 404} and control.status != first.status


def _exists(first: HubAnswer, found: HubFindings) -> Check:
    named = found.named
    if _is_accepted(first) or _differs(found.made_up, first):
        return named.area.passed(EXISTS, "a made-up hub is answered differently")
    detail = "a made-up hub is answered just like this one"
    return named.area.unknown(EXISTS, detail, f"Compare {named.settings.hub_name}.")


def _key(first: HubAnswer, found: HubFindings) -> Check:
    area = found.named.area
    if _is_accepted(first) or _differs(found.forged, first):
        return area.passed(KEY, "a forged signature is refused, this one is not")
    detail = "a forged signature is answered just like this one"
    return area.unknown(KEY, detail, "'ring' a device of your own to find out.")


def _is_accepted(answer: HubAnswer) -> bool:
    return 200 <= answer.status < 300


def _send(first: HubAnswer, area: Area) -> Check:
    if _is_accepted(first):
        return area.passed(SEND, "a push to a device that does not exist was accepted")
    return area.unknown(
        SEND,
        f"{first.status}: the hub objects to the format of the request and not to the policy's rights; "
        "whether it looks at the rights first is not confirmed [?]",
        f"See that the policy has Send in {_ACCESS_POLICIES}, or 'ring' a device of your own.",
        counts=False,
    )


def _secondary(answer: HubAnswer | NoAnswer, named: HubName) -> Check:
    if isinstance(answer, NoAnswer) or _has_trouble(answer):
        return named.area.unknown(SECONDARY, "not answered")
    if answer.status in {401, 403}:
        return named.area.failed(
            SECONDARY,
            f"{answer.status}: the hub refuses it, so regenerating the first key would stop all rings",
            f"Copy {named.settings.secondary} again from {_ACCESS_POLICIES}:",
            named.show_connection_string().replace("primary", "secondary"),
        )
    return named.area.passed(SECONDARY, "answered like the first key")
