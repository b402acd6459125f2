"""What a hub says of one notification, and what that means for the phone.

Sources: Notification Hubs REST, "Get notification message telemetry" (Standard tier; Microsoft's JavaScript
SDK reads the same document). The document holds the whole push: of it only the state and the counts of
outcomes are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from xml.etree.ElementTree import ParseError  # nosec B405 - the parser is defusedxml's

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from doctor.checks.findings import Status

MAXIMUM_BYTES = 262_144
"""Of the document; the push in it has 5 kB at most."""

SUCCESS = "Success"


class PlatformWord(StrEnum):
    """How much is known of what the platform did with a push."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NO_WORD = "no word"
    """The hub is done with it and names no outcome; seen for tokens that FCM has given up."""
    NOT_YET = "not yet known"
    NOT_TOLD = "not told"
    """The hub could not be asked, or does not tell."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What the platform did with one push, as far as the hub tells."""

    word: PlatformWord
    detail: str
    remedy: str = ""
    outcomes: Mapping[str, int] = field(default_factory=dict)
    """How often each was counted, by the service's names."""

    @property
    def status(self) -> Status:
        """Whether the push reached the platform."""
        return _STATUSES[self.word]


_STATUSES = {
    PlatformWord.ACCEPTED: Status.PASS,
    PlatformWord.REFUSED: Status.FAIL,
    PlatformWord.NO_WORD: Status.CANNOT_TELL,
    PlatformWord.NOT_YET: Status.CANNOT_TELL,
    PlatformWord.NOT_TOLD: Status.CANNOT_TELL,
}

_ENVIRONMENT = (
    "The token does not belong to the hub's credentials: compare sandbox and production, the Bundle ID, and "
    "the Firebase project. docs/hubs.md has a recipe for both environments."
)
_DEAD = "The app has been removed from the device, or has a new token: it has to register again."
_OVERLOAD = "The platform's service was overloaded or down; see its status page if it stays."
_CREDENTIALS = (
    "The hub cannot sign in to the platform: enter its credentials again (portal, the hub, Settings)."
)
_FORMAT = "The platform calls the push malformed: report it with the version of this app."

_REMEDIES = {
    "WrongToken": _ENVIRONMENT,
    "BadChannel": _DEAD,
    "ExpiredChannel": _DEAD,
    "InvalidToken": _DEAD,
    "WrongChannel": _ENVIRONMENT,
    "InvalidCredentials": _CREDENTIALS,
    "PnsCredentialsMissing": _CREDENTIALS,
    "InvalidNotificationFormat": _FORMAT,
    "InvalidNotificationSize": _FORMAT,
    "Throttled": "The platform throttles pushes to the device or the app. Fewer of them arrive all the same.",
    "ChannelThrottled": "The platform throttles pushes to the device.",
    "ChannelDisconnected": "The device was not connected; the push may arrive while the call rings.",
    "Dropped": "The platform dropped the push: on Windows the app may not run in the background.",
    "Skipped": "The hub did not send it: see its credentials for the platform.",
    "NoTargets": "The hub found no device to send to.",
    "AbandonedNotificationMessages": "The hub gave up after several tries: see its credentials and the "
    "platform's status page.",
    "PnsUnavailable": _OVERLOAD,
    "PnsUnreachable": _OVERLOAD,
    "PnsServerError": _OVERLOAD,
    "PnsInterfaceError": _OVERLOAD,
    "UnknownError": "Ask Azure support with the TrackingId.",
}
"""By the names of outcomes that the REST documentation and the SDKs list."""

NO_TIER = Telemetry(
    PlatformWord.NOT_TOLD,
    "the hub's tier does not tell what became of pushes",
    "Standard does: the hub then also names the device tokens that are dead.",
)
NOT_KNOWN_YET = Telemetry(
    PlatformWord.NOT_YET,
    "the hub does not know of the push yet",
    "Ask again in 10 seconds. It can take half an hour.",
)
_RUNNING = Telemetry(PlatformWord.NOT_YET, "the hub has not finished sending it", "Ask again in 10 seconds.")
_NO_WORD = Telemetry(
    PlatformWord.NO_WORD,
    "the hub is done with it and names no outcome",
    "That is what a token looks like that FCM has given up. See whether the phone reports later calls.",
)


def not_told(why: str, remedy: str = "") -> Telemetry:
    """The hub was asked in vain."""
    return Telemetry(PlatformWord.NOT_TOLD, why, remedy)


def telemetry_of(status: int, body: bytes) -> Telemetry:
    """What the hub's answer says.

    Args:
        status: of the answer.
        body: at most `MAXIMUM_BYTES` of it. Nothing of the push in it is kept.
    """
    if status == 404:
        return NOT_KNOWN_YET
    if status == 401:
        remedy = "The policy may need another right than Send [?]; 'check' says whether the key is right."
        return not_told("the hub refuses the key: 401", remedy)
    if status == 403:
        return NO_TIER
    if status != 200:
        return not_told(f"the hub answers {status}", "Try again; if it stays, look at Azure's status page.")
    try:
        return _read(body)
    except ValueError:
        return not_told("the hub's answer cannot be read")


def _read(body: bytes) -> Telemetry:
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        # Neither the error nor its cause may quote the push.
        raise ValueError("not XML without a DOCTYPE") from None
    if _name(root.tag) != "NotificationDetails":
        raise ValueError("another document")
    state = ""
    outcomes: dict[str, int] = {}
    for child in root:
        name = _name(child.tag)
        if name == "State":
            state = (child.text or "").strip()
        elif name.endswith("OutcomeCounts"):
            for outcome in child:
                values = {_name(each.tag): (each.text or "").strip() for each in outcome}
                count = values.get("Count", "")
                if (named := values.get("Name", "")) and count.isascii() and count.isdigit():
                    outcomes[named[:64]] = outcomes.get(named[:64], 0) + int(count[:9])
    return _judged(state, {name: count for name, count in outcomes.items() if count})


def _judged(state: str, outcomes: Mapping[str, int]) -> Telemetry:
    failed = [name for name in outcomes if name != SUCCESS]
    if failed:
        remedies = dict.fromkeys(filter(None, (_REMEDIES.get(name) for name in failed)))
        detail = f"refused: {', '.join(failed)}"
        return Telemetry(PlatformWord.REFUSED, detail, " ".join(remedies), outcomes)
    if outcomes:
        return Telemetry(PlatformWord.ACCEPTED, "accepted by the platform", outcomes=outcomes)
    if state in {"Enqueued", "Processing", "Scheduled", "Unknown"}:
        return _RUNNING
    return _NO_WORD


def _name(tag: str) -> str:
    return tag.rpartition("}")[2]
