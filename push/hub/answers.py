"""What the hub can answer to a Direct Send, and what each answer means (pure).

Sources:
    REST: https://learn.microsoft.com/en-us/rest/api/notificationhubs/direct-send
    SDK: https://github.com/Azure/azure-notificationhubs-dotnet, src/…/ExceptionUtility.cs
    RFC 9110: https://www.rfc-editor.org/rfc/rfc9110
"""

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from urllib.parse import unquote

from models.hub import DEFAULT_HUB, HubSettingNames
from models.push import OutcomeKind, Unanswered

DEFAULT_THROTTLE_SECONDS = 10.0
"""How long a throttled sender waits where the hub names no time (REST)."""

_LONGEST_DETAIL = 200
"""Of the hub's own words, in characters."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A final answer. The status counts even where the body is cut off."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case; the first one where a name repeats."""
    body: bytes = field(default=b"", repr=False)
    """Its beginning."""


class NoAnswer(Enum):
    """Why there is no final answer."""

    # Less than the whole body was sent, so the hub cannot have queued the push.
    NO_TIME = auto()
    NAME_NOT_FOUND = auto()
    NO_CONNECTION = auto()
    TLS_FAILED = auto()
    CERTIFICATE_REFUSED = auto()
    CA_FILE_UNREADABLE = auto()
    PROXY_FAILED = auto()
    PROXY_MALFORMED = auto()
    # The whole body was sent.
    TIMED_OUT = auto()
    CONNECTION_LOST = auto()
    NOT_HTTP = auto()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an answer, or its absence, means for the push."""

    kind: OutcomeKind
    reason: str
    """For an operator: what happened and, where something has to be corrected, what to check. In the tables,
    `{}` stands for the name of a setting of the hub."""
    unanswered: Unanswered | None = None


_DEFAULT_SETTINGS = HubSettingNames.of(DEFAULT_HUB)

_THROTTLED = Meaning(OutcomeKind.THROTTLED, "the hub is throttling")

_ANSWERS: Mapping[int, Meaning] = {
    # REST: queued, which is not yet delivered.
    201: Meaning(OutcomeKind.ACCEPTED, "queued by the hub"),
    # REST
    400: Meaning(OutcomeKind.REJECTED, "the hub calls the push malformed"),
    # REST. A missing right has been seen to be a 401 as well:
    # https://github.com/paolosalvatori/ServiceBusExplorer/issues/128
    401: Meaning(
        OutcomeKind.MISCONFIGURED,
        "the key is wrong or lacks the Send right: compare {connection_string} with the hub's policies",
    ),
    # REST: quota or size. A missing right is answered like this, too. SDK: with Retry-After it is throttling.
    403: Meaning(
        OutcomeKind.MISCONFIGURED,
        "the key lacks the Send right, or the namespace's quota is exceeded, or the push is too large: use a "
        "policy with Send, and compare the namespace's usage with its tier",
    ),
    # REST
    404: Meaning(
        OutcomeKind.MISCONFIGURED, "there is no such hub: check {hub_name} and the namespace in {url}"
    ),
    # RFC 9110, 15.5.9. The SDK repeats it.
    408: Meaning(OutcomeKind.TRANSIENT, "the hub timed out"),
    # SDK. Not documented for Direct Send; services also answer it for a retired API version.
    410: Meaning(OutcomeKind.GONE, "the hub says that the device is gone"),
    # REST
    413: Meaning(OutcomeKind.REJECTED, "the hub calls the push too large"),
    # SDK; RFC 6585, 4.
    429: _THROTTLED,
}

_NO_ANSWERS: Mapping[NoAnswer, Meaning] = {
    NoAnswer.NO_TIME: Meaning(OutcomeKind.TRANSIENT, "there was no time left to send the push"),
    NoAnswer.NAME_NOT_FOUND: Meaning(OutcomeKind.TRANSIENT, "the hub's host name cannot be looked up"),
    NoAnswer.NO_CONNECTION: Meaning(OutcomeKind.TRANSIENT, "the hub cannot be reached"),
    NoAnswer.TLS_FAILED: Meaning(
        OutcomeKind.TRANSIENT, "the TLS handshake with the hub failed: look for a firewall that interferes"
    ),
    NoAnswer.CERTIFICATE_REFUSED: Meaning(
        OutcomeKind.MISCONFIGURED,
        "the certificate of the hub, or of a proxy on the way, is not trusted: the authority of a proxy that "
        "opens TLS has to be in the file that REQUESTS_CA_BUNDLE or SSL_CERT_FILE names; a wrong clock makes "
        "certificates invalid as well",
    ),
    NoAnswer.CA_FILE_UNREADABLE: Meaning(
        OutcomeKind.MISCONFIGURED,
        "the certificate authorities cannot be read: REQUESTS_CA_BUNDLE or SSL_CERT_FILE has to name a file "
        "of PEM certificates",
    ),
    NoAnswer.PROXY_FAILED: Meaning(
        OutcomeKind.TRANSIENT,
        "the hub cannot be reached through the proxy: check HTTPS_PROXY, ALL_PROXY and NO_PROXY, and whether "
        "the proxy lets this app through to port 443",
    ),
    NoAnswer.PROXY_MALFORMED: Meaning(
        OutcomeKind.MISCONFIGURED,
        "the proxy's address cannot be used: HTTPS_PROXY or ALL_PROXY needs the form http://host:port",
    ),
    NoAnswer.TIMED_OUT: Meaning(OutcomeKind.TRANSIENT, "the hub did not answer in time", Unanswered.TIMEOUT),
    NoAnswer.CONNECTION_LOST: Meaning(
        OutcomeKind.TRANSIENT, "the connection to the hub was lost", Unanswered.LOST
    ),
    NoAnswer.NOT_HTTP: Meaning(
        OutcomeKind.TRANSIENT, "what came back from the hub is no HTTP answer", Unanswered.LOST
    ),
}


def meaning_of(reply: Answer | NoAnswer, settings: HubSettingNames = _DEFAULT_SETTINGS) -> Meaning:
    """What an answer, or its absence, means for the push; `settings` are those of the hub."""
    meaning = _meaning_of(reply)
    if meaning.kind is not OutcomeKind.MISCONFIGURED:
        return meaning
    return replace(meaning, reason=meaning.reason.format_map(asdict(settings)))


def _meaning_of(reply: Answer | NoAnswer) -> Meaning:
    if isinstance(reply, NoAnswer):
        return _NO_ANSWERS[reply]
    if reply.status == 403 and "retry-after" in reply.headers:
        return _THROTTLED
    return _ANSWERS.get(reply.status) or _meaning_of_class(reply.status)


def _meaning_of_class(status: int) -> Meaning:
    """Of a status that has no row of its own: RFC 9110, 15, goes by its first digit."""
    if status >= 500:
        return Meaning(OutcomeKind.TRANSIENT, "the hub has a passing fault")
    if status >= 400:
        return Meaning(OutcomeKind.REJECTED, "the hub refuses the push")
    if status >= 300:
        return Meaning(OutcomeKind.MISCONFIGURED, "something redirects the hub's URL: check {url}")
    # The hub takes a push with 201. A block page of a firewall or proxy may come with 200.
    return Meaning(
        OutcomeKind.MISCONFIGURED,
        "something answers in the hub's place: look for a firewall or a proxy on the way, and check {url}",
    )


_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """The seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3), decimals included.

    Args:
        header: its value, None if there is none.
        now: Unix time in seconds.

    Returns:
        Seconds from now, never negative; None without a header or with one that cannot be read.
    """
    if header is None:
        return None
    text = header.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now)
    except (ValueError, OverflowError):
        return None


_NOTIFICATION_ID = re.compile(r"[\w.-]{1,100}", re.ASCII)


def notification_id(location: str | None) -> str | None:
    """The last segment of the path in a `Location` header; None without one that could be an id."""
    if location is None:
        return None
    segment = location.partition("?")[0].rstrip("/").rpartition("/")[2]
    return segment if _NOTIFICATION_ID.fullmatch(segment) else None


_DETAIL = re.compile(r"<Detail>(.*?)(?:</Detail>|$)", re.DOTALL | re.IGNORECASE)
_TRAILER = re.compile(
    r"(?<![\s,])[\s,]*\b(?:TrackingId\s*:\s*[\w-]*|SystemTracker\s*:\s*[^\s,]*|TimeStamp\s*:[^,<]*)",
    re.IGNORECASE,
)
"""What Service Bus appends to its own words: made for support, different each time."""
_WORD = re.compile(r"[^\s'\"<>()\[\]{},;]{8,}")


def detail_of(body: bytes, secrets: Iterable[str]) -> str | None:
    """What the body of a refusal says in its `<Detail>`, fit for a log.

    Args:
        body: of the answer, perhaps cut off.
        secrets: a word that is one of these, or a part of one, is left out.

    Returns:
        At most 200 printable characters; None if there is none.
    """
    found = _DETAIL.search(body.decode("utf-8", "replace"))
    if found is None:
        return None
    text = _TRAILER.sub("", html.unescape(found[1]))
    hidden = [_plain(secret) for secret in secrets]
    text = _WORD.sub(lambda word: "[…]" if _reveals(word[0], hidden) else word[0], text)
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:_LONGEST_DETAIL].rstrip() or None


def _reveals(word: str, hidden: Iterable[str]) -> bool:
    bare = _plain(word.strip(".:!?…"))
    return any(bare in secret or secret in bare for secret in hidden)


def _plain(text: str) -> str:
    return unquote(text).lower()
