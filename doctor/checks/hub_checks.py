"""What the hub's answers mean.

Observed on the live service: a wrong key is 401 "InvalidSignature", a missing right 401 "... claim is
required" (by the documentation 403). `[?]` marks what has not been confirmed there.
"""

import shlex
from dataclasses import dataclass, field

from doctor.checks.findings import Area, Check
from push.hub.answers import NoAnswer, meaning_of

AREA = Area("hub")

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
    NoAnswer.NAME_NOT_FOUND: "Compare the Endpoint in ANHHubConnectionString with the namespace's host name: "
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
    first = found.first
    if isinstance(first, NoAnswer):
        remedy = _NO_ANSWER_REMEDIES.get(first, _FIREWALL)
        return [
            AREA.failed(REACHABLE, meaning_of(first).reason, remedy),
            *_not_told("the hub did not answer"),
        ]
    if _has_trouble(first):
        return [_trouble(first), *_not_told("the hub answered with an error of its own")]
    checks = [AREA.passed(REACHABLE, f"answered in {first.seconds * 1_000:.0f} ms"), *_judge(first, found)]
    return checks if found.secondary is None else [*checks, _secondary(found.secondary, found.named)]


def _has_trouble(answer: HubAnswer) -> bool:
    throttled = answer.status == 429 or (answer.status == 403 and answer.has_retry_after)
    return throttled or answer.status == 408 or answer.status >= 500 or 300 <= answer.status < 400


def _trouble(answer: HubAnswer) -> Check:
    detail = f"it answers with {answer.status}"
    if 300 <= answer.status < 400:
        return AREA.failed(REACHABLE, detail, "Something redirects the hub's URL: check ANHHubUrl.")
    if answer.status in {403, 429}:
        return AREA.failed(REACHABLE, f"{detail}: throttled", "Wait, or raise the namespace's tier.")
    return AREA.failed(REACHABLE, detail, "Try again; if it stays, look at Azure's status page.")


def _not_told(why: str) -> list[Check]:
    return [AREA.unknown(name, why) for name in (EXISTS, KEY, SEND)]


def _judge(first: HubAnswer, found: HubFindings) -> list[Check]:
    if first.status == 404:
        return [_no_hub(found.named), *(AREA.unknown(name, "there is no hub to ask") for name in (KEY, SEND))]
    if _lacks_right(first):
        exists = AREA.passed(EXISTS, "it knows the key")
        return [exists, AREA.passed(KEY, "the signature is accepted"), _no_send_right(first, found.named)]
    if first.status == 401:
        why = "the key is refused before that"
        return [AREA.unknown(EXISTS, why), _wrong_key(first, found.named), AREA.unknown(SEND, why)]
    return [_exists(first, found), _key(first, found), _send(first)]


def _lacks_right(answer: HubAnswer) -> bool:
    return answer.status == 403 or (answer.status == 401 and "claim" in answer.text.lower())


def _no_hub(named: HubName) -> Check:
    return AREA.failed(
        EXISTS,
        "404: the namespace has no hub of that name",
        "Compare ANHHubName with the portal: it is the hub's name, not the namespace's. Was the hub "
        "deleted? These are there:",
        named.list_hubs(),
    )


def _no_send_right(answer: HubAnswer, named: HubName) -> Check:
    return AREA.failed(
        SEND,
        f"{answer.status}: the policy in ANHHubConnectionString has no Send right, or the hub's quota is "
        "used up",
        f"Use the connection string of a policy with Send and no other right, from {_ACCESS_POLICIES}:",
        named.list_policies(),
    )


def _wrong_key(answer: HubAnswer, named: HubName) -> Check:
    return AREA.failed(
        KEY,
        f"{answer.status}: the key is wrong or was regenerated",
        f"Copy the connection string again from {_ACCESS_POLICIES}. If it is the same: the policy of "
        "another hub is refused like this too; with a policy of the hub itself a wrong ANHHubName may be "
        "[?]; a clock that is an hour behind is.",
        named.show_connection_string(),
    )


def _differs(control: HubAnswer | NoAnswer | None, first: HubAnswer) -> bool:
    """Whether the control request was refused for its deliberate mistake, which the first does not have."""
    return isinstance(control, HubAnswer) and control.status in {401, 404} and control.status != first.status


def _exists(first: HubAnswer, found: HubFindings) -> Check:
    if _is_accepted(first) or _differs(found.made_up, first):
        return AREA.passed(EXISTS, "a made-up hub is answered differently")
    return AREA.unknown(EXISTS, "a made-up hub is answered just like this one", "Compare ANHHubName.")


def _key(first: HubAnswer, found: HubFindings) -> Check:
    if _is_accepted(first) or _differs(found.forged, first):
        return AREA.passed(KEY, "a forged signature is refused, this one is not")
    return AREA.unknown(
        KEY, "a forged signature is answered just like this one", "'ring' a device of your own to find out."
    )


def _is_accepted(answer: HubAnswer) -> bool:
    return 200 <= answer.status < 300


def _send(first: HubAnswer) -> Check:
    if _is_accepted(first):
        return AREA.passed(SEND, "a push to a device that does not exist was accepted")
    return AREA.unknown(
        SEND,
        f"{first.status}: the hub objects to the format of the request and not to the policy's rights; "
        "whether it looks at the rights first is not confirmed [?]",
        f"See that the policy has Send in {_ACCESS_POLICIES}, or 'ring' a device of your own.",
        counts=False,
    )


def _secondary(answer: HubAnswer | NoAnswer, named: HubName) -> Check:
    if isinstance(answer, NoAnswer) or _has_trouble(answer):
        return AREA.unknown(SECONDARY, "not answered")
    if answer.status in {401, 403}:
        return AREA.failed(
            SECONDARY,
            f"{answer.status}: the hub refuses it, so regenerating the first key would stop all rings",
            f"Copy ANHHubConnectionStringSecondary again from {_ACCESS_POLICIES}:",
            named.show_connection_string().replace("primary", "secondary"),
        )
    return AREA.passed(SECONDARY, "answered like the first key")
