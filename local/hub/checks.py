"""What Notification Hubs refuses in a Direct Send request, as tables. Pure: no I/O, the clock comes in.

Written from the public pages alone and sharing no code with the app, since a double that shares the code
it checks proves nothing. Sources: Notification Hubs REST ("Direct Send", "Send an APNS / WNS native
notification"), Service Bus "Shared Access Signature authentication", FCM HTTP v1 "Message", WNS "Push
notification service request and response headers". Where the
service is lenient about spelling, this is strict.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote, unquote_plus

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

API_VERSIONS = frozenset({"2015-01", "2015-04", "2016-07", "2020-06"})
SIZE_LIMITS = {"apple": 4096, "fcmv1": 4096, "windows": 5120}
"""Largest whole body in bytes, by ServiceBusNotification-Format."""

_PREFIX = "servicebusnotification-"
_KNOWN_SERVICE_HEADERS = frozenset(
    _PREFIX + name
    for name in ("format", "devicehandle", "tags", "apns-expiry", "apns-push-type", "apns-priority")
)
_RECORDED_PREFIXES = (_PREFIX, "apns-", "x-wns-")
_RECORDED_HEADERS = frozenset({"content-type", "trackingid", "user-agent"})
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,7})?)?(Z|\+00:00)", re.ASCII)
_RESOURCE = re.compile(r"(?:https?|sb)://([^/?#]+)(/[^?#]*)?")


class AccessRule(BaseModel):
    """A shared access policy: its key (as UTF-8, never base64-decoded) and rights such as ``Send``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    key: str = Field(min_length=1, repr=False)
    rights: frozenset[str]


_RULES = TypeAdapter(dict[str, AccessRule], config=ConfigDict(hide_input_in_errors=True))


def parse_rules(text: str) -> dict[str, AccessRule]:
    """Reads ``{"KeyName": {"key": "…", "rights": ["Send"]}}``; else a ValueError that quotes no key."""
    try:
        return _RULES.validate_json(text)
    except ValidationError as error:
        raise ValueError(explain(error)) from None


def explain(error: ValidationError) -> str:
    """One line naming each wrong field, without the values that were sent."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in problems)


@dataclass(frozen=True)
class HubConfig:
    """The hub that is played: ``https://{namespace}.servicebus.windows.net/{hub_name}`` and its users."""

    namespace: str
    hub_name: str
    rules: Mapping[str, AccessRule]

    @property
    def host(self) -> str:
        """Host name of the namespace, in lower case."""
        return f"{self.namespace}.servicebus.windows.net".lower()

    def connection_string(self, key_name: str | None = None) -> str:
        """In the portal's form, for the named rule or else the first that may send."""
        name = key_name or next(name for name, rule in self.rules.items() if "Send" in rule.rights)
        key = self.rules[name].key
        return f"Endpoint=sb://{self.host}/;SharedAccessKeyName={name};SharedAccessKey={key}"


@dataclass(frozen=True)
class HubRequest:
    """A request as it came over the wire; ``query`` is raw, headers are in any case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class DirectSend:
    """A push that the service would queue. ``headers`` have lower-case names and never Authorization."""

    device_handle: str
    format: str
    headers: Mapping[str, str]
    body: str
    call_id: str | None


@dataclass(frozen=True)
class Refusal:
    """An HTTP status and why; the reason is fixed text that quotes nothing from the request."""

    status: int
    reason: str


def check_direct_send(request: HubRequest, hub: HubConfig, now: float) -> DirectSend | Refusal:
    """Judges one request at ``now`` (unix seconds): the push it makes, or the first reason to refuse it."""
    sent = _Sent(request, hub, now)
    for check in (*_FOR_EVERY_PUSH, *_BY_FORMAT.get(sent.format, ())):
        if check.refuses(sent):
            return Refusal(check.status, check.reason)
    return DirectSend(
        device_handle=sent.headers[_PREFIX + "devicehandle"],
        format=sent.format,
        headers={name: value for name, value in sent.headers.items() if _is_recorded(name)},
        body=request.body.decode("utf-8", "replace"),
        call_id=_call_id(sent),
    )


def tracking_id(headers: Mapping[str, str]) -> str | None:
    """The caller's TrackingId if it sent a GUID (lower-case header names)."""
    value = headers.get("trackingid", "")
    return value if _GUID.fullmatch(value) else None


def signature(key: str, signed_text: str) -> str:
    """HMAC-SHA256 in padded base64, the key taken as UTF-8 (Service Bus: Shared Access Signature)."""
    digest = hmac.new(key.encode(), signed_text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode("ascii")


# --- what a request says ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Token:
    """A SharedAccessSignature taken apart; ``resource`` is still percent-encoded, just as it was signed."""

    resource: str
    signature: str
    expiry: str
    key_name: str


_NO_TOKEN = _Token("", "", "0", "")
_NO_RULE = AccessRule(key="unused", rights=frozenset())


class _Sent:
    """A request with its parts parsed on demand; a part that cannot be read is empty, never an exception."""

    def __init__(self, request: HubRequest, hub: HubConfig, now: float) -> None:
        self.request, self.hub, self.now = request, hub, now
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.query = parse_qs(request.query, keep_blank_values=True)
        self.format = self.headers.get(_PREFIX + "format", "")

    @cached_property
    def token(self) -> _Token:
        scheme, _, rest = self.headers.get("authorization", "").partition(" ")
        pairs = [part.partition("=") for part in rest.split("&")]
        fields = {name: value for name, _, value in pairs}
        whole = len(pairs) == 4 and fields.keys() == {"sr", "sig", "se", "skn"} and all(fields.values())
        if scheme != "SharedAccessSignature" or not whole or not re.fullmatch(r"[0-9]{1,12}", fields["se"]):
            return _NO_TOKEN
        # Form decoding turns a "+" that was not percent-encoded into a space, as the service does.
        return _Token(fields["sr"], unquote_plus(fields["sig"]), fields["se"], unquote_plus(fields["skn"]))

    @cached_property
    def rule(self) -> AccessRule:
        return self.hub.rules.get(self.token.key_name, _NO_RULE)

    @cached_property
    def text(self) -> str | None:
        try:
            return self.request.body.decode("utf-8")
        except UnicodeDecodeError:
            return None

    @cached_property
    def json(self) -> Any:  # noqa: ANN401 - whatever the JSON says
        try:
            return json.loads(self.text or "", parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return None

    def member(self, *path: str) -> dict[str, Any]:
        """The JSON object at ``path``, or an empty one."""
        value = self.json
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}

    @property
    def content_type(self) -> tuple[str, str]:
        """Media type and charset, both in lower case."""
        media, _, parameters = self.headers.get("content-type", "").lower().partition(";")
        name, _, charset = parameters.strip().partition("=")
        return media.strip(), charset.strip().strip('"') if name.strip() == "charset" else ""


def _refuse_constant(_name: str) -> None:
    msg = "NaN and Infinity are no JSON"
    raise ValueError(msg)


def _is_recorded(name: str) -> bool:
    return name in _RECORDED_HEADERS or name.startswith(_RECORDED_PREFIXES)


def _call_id(sent: _Sent) -> str | None:
    path = ("message", "data") if sent.format == "fcmv1" else ("data",)
    value = sent.member(*path).get("callId")
    return value if isinstance(value, str) else None


# --- the tables: first row that refuses wins; a row may rely on the rows above it ---------------------------


@dataclass(frozen=True)
class _Check:
    status: int
    reason: str
    refuses: Callable[[_Sent], bool]


def _other_hub(sent: _Sent) -> bool:
    return sent.request.path.lower().removesuffix("/") != f"/{sent.hub.hub_name}/messages".lower()


def _bad_signature(sent: _Sent) -> bool:
    expected = signature(sent.rule.key, f"{sent.token.resource}\n{sent.token.expiry}")
    return not hmac.compare_digest(expected.encode(), sent.token.signature.encode())


def _other_audience(sent: _Sent) -> bool:
    resource = _RESOURCE.fullmatch(unquote(sent.token.resource))
    if resource is None or resource[1] != sent.hub.host:
        return True
    addressed = [sent.hub.hub_name.lower(), "messages"]
    claimed = (resource[2] or "").strip("/").split("/") if (resource[2] or "").strip("/") else []
    return claimed != addressed[: len(claimed)]


def _unknown_service_header(sent: _Sent) -> bool:
    return any(name.startswith(_PREFIX) and name not in _KNOWN_SERVICE_HEADERS for name in sent.headers)


def _not_matching(header: str, pattern: str) -> Callable[[_Sent], bool]:
    """Refuses a header that is there and does not match; its absence is fine."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda sent: header in sent.headers and not compiled.fullmatch(sent.headers[header])


def _bad_apns_expiry(sent: _Sent) -> bool:
    value = sent.headers.get(_PREFIX + "apns-expiry")
    if value is None:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return True
    return not _UTC_TIME.fullmatch(value)


def _silent_but_not_voip(sent: _Sent) -> bool:
    names = ("apns-push-type", _PREFIX + "apns-push-type")
    types = {sent.headers[name].lower() for name in names if name in sent.headers}
    return not sent.member("aps") and types != {"voip"}


def _holds_no_object(*path: str) -> Callable[[_Sent], bool]:
    """Refuses unless the last name of ``path`` is there and an object, empty or not."""
    return lambda sent: not isinstance(sent.member(*path[:-1]).get(path[-1]), dict)


def _spoils_object(*path: str) -> Callable[[_Sent], bool]:
    """Refuses when the last name of ``path`` is there but no object."""
    return lambda sent: path[-1] in sent.member(*path[:-1]) and _holds_no_object(*path)(sent)


def _names_a_target(sent: _Sent) -> bool:
    return not sent.member("message").keys().isdisjoint({"token", "topic", "condition"})


def _data_not_strings(sent: _Sent) -> bool:
    return not all(isinstance(value, str) for value in sent.member("message", "data").values())


def _reserved_data_key(sent: _Sent) -> bool:
    keys = sent.member("message", "data")
    return any(key in {"from", "message_type"} or key.startswith(("google.", "gcm.")) for key in keys)


def _android(name: str, pattern: str) -> Callable[[_Sent], bool]:
    """Refuses an ``android`` option that is there and does not match."""
    compiled = re.compile(pattern, re.ASCII)

    def refuses(sent: _Sent) -> bool:
        options = sent.member("message", "android")
        return name in options and not (isinstance(options[name], str) and compiled.fullmatch(options[name]))

    return refuses


_ADDRESS = (
    _Check(404, "no such notification hub; sends go to /{hub}/messages/", _other_hub),
    _Check(405, "messages are sent with POST", lambda sent: sent.request.method != "POST"),
)
_ACCESS = (
    _Check(401, "the Authorization header is missing", lambda sent: "authorization" not in sent.headers),
    _Check(
        401,
        "malformed token: wanted SharedAccessSignature sr=…&sig=…&se=<unix seconds>&skn=…",
        lambda sent: sent.token is _NO_TOKEN,
    ),
    _Check(401, "skn names no shared access rule of this hub", lambda sent: sent.rule is _NO_RULE),
    _Check(401, "the signature does not fit sr and se", _bad_signature),
    _Check(401, "the token has expired", lambda sent: int(sent.token.expiry) <= sent.now),
    _Check(401, "the token's audience (sr, in lower case) is not this hub", _other_audience),
    _Check(403, "the shared access rule has no Send right", lambda sent: "Send" not in sent.rule.rights),
)
_QUERY = (
    _Check(
        400,
        "without `direct` in the query this would have pushed to every device",
        lambda sent: "direct" not in sent.query,
    ),
    _Check(
        400,
        "api-version is missing or unknown: one of " + ", ".join(sorted(API_VERSIONS)),
        lambda sent: sent.query.get("api-version", [""])[0] not in API_VERSIONS,
    ),
)
_SERVICE_HEADERS = (
    _Check(
        400,
        "ServiceBusNotification-Tags makes no sense in a direct send",
        lambda sent: _PREFIX + "tags" in sent.headers,
    ),
    _Check(
        400,
        "no such header: Direct Send knows no ServiceBusNotification-Type, nor whatever else was sent",
        _unknown_service_header,
    ),
    _Check(
        400,
        "ServiceBusNotification-Format gcm: the legacy protocol is switched off, use fcmv1",
        lambda sent: sent.format == "gcm",
    ),
    _Check(
        400,
        "ServiceBusNotification-Format is missing or unknown: apple, fcmv1 or windows",
        lambda sent: sent.format not in SIZE_LIMITS,
    ),
    _Check(
        400,
        "ServiceBusNotification-DeviceHandle is missing, empty or not ASCII",
        lambda sent: not re.fullmatch(r"[!-~]+", sent.headers.get(_PREFIX + "devicehandle", "")),
    ),
    _Check(400, "TrackingId is no GUID", _not_matching("trackingid", _GUID.pattern)),
)
_SIZE = (
    _Check(
        413,
        "the body is larger than the platform takes",
        lambda sent: len(sent.request.body) > SIZE_LIMITS[sent.format],
    ),
)
_JSON_BODY = (
    _Check(
        400,
        "Content-Type must be application/json;charset=utf-8",
        lambda sent: sent.content_type != ("application/json", "utf-8"),
    ),
    _Check(400, "the body is not UTF-8", lambda sent: sent.text is None),
    _Check(400, "the body is no JSON object", lambda sent: not isinstance(sent.json, dict)),
)
_APPLE = (
    _Check(400, "the body has no aps object", _holds_no_object("aps")),
    _Check(
        400,
        "apns-topic breaks token authentication: it comes from the hub's Bundle ID",
        lambda sent: "apns-topic" in sent.headers,
    ),
    _Check(
        400, "an empty aps takes apns-push-type voip, in every form in which it is sent", _silent_but_not_voip
    ),
    _Check(400, "apns-priority must be 5 or 10", _not_matching("apns-priority", "5|10")),
    _Check(
        400,
        "ServiceBusNotification-Apns-Priority must be 5 or 10",
        _not_matching(_PREFIX + "apns-priority", "5|10"),
    ),
    _Check(400, "apns-expiration must be whole unix seconds", _not_matching("apns-expiration", r"\d{1,12}")),
    _Check(400, "ServiceBusNotification-Apns-Expiry must be an ISO time in UTC", _bad_apns_expiry),
)
_FCM = (
    _Check(400, "the body has no message object", _holds_no_object("message")),
    _Check(
        400, "message names a token, topic or condition; the device handle is the target", _names_a_target
    ),
    _Check(400, "message.data must be an object", _spoils_object("message", "data")),
    _Check(400, "message.data must be flat, with string values only", _data_not_strings),
    _Check(400, "message.data uses a reserved key: from, message_type, google.*, gcm.*", _reserved_data_key),
    _Check(400, "message.android must be an object", _spoils_object("message", "android")),
    _Check(400, "message.android.ttl must be seconds such as 30s", _android("ttl", r"\d+(\.\d{1,9})?s")),
    _Check(
        400,
        "message.android.priority must be high or normal",
        _android("priority", "high|normal|HIGH|NORMAL"),
    ),
)
_WINDOWS = (
    _Check(400, "X-WNS-Type is missing", lambda sent: "x-wns-type" not in sent.headers),
    _Check(
        400, "X-WNS-Type must be wns/raw: calls are raw pushes", _not_matching("x-wns-type", "(?i:wns/raw)")
    ),
    _Check(
        400,
        "Content-Type must be application/octet-stream for wns/raw",
        lambda sent: sent.content_type[0] != "application/octet-stream",
    ),
    _Check(400, "X-WNS-TTL must be whole seconds, zero or more", _not_matching("x-wns-ttl", r"\d{1,12}")),
)
_FOR_EVERY_PUSH = _ADDRESS + _ACCESS + _QUERY + _SERVICE_HEADERS + _SIZE
_BY_FORMAT = {"apple": _JSON_BODY + _APPLE, "fcmv1": _JSON_BODY + _FCM, "windows": _WINDOWS}
