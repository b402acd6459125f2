"""What Notification Hubs refuses in a Direct Send request, as tables (pure).

Written from the public documentation. It shares no code with the app, since a test double that shares the
code under test proves nothing, but for one definition: the shape of device tokens. Sources: Notification
Hubs REST ("Direct Send", "Send an APNS / WNS native notification"), Service Bus "Shared Access Signature
authentication", FCM HTTP v1 "Message", WNS "Push notification service request and response headers". What
Microsoft's SDKs send is accepted; beyond that, this is stricter than the service.
"""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException, ElementTree

from local.hub.config import HubConfig
from local.hub.direct_send import (
    GUID,
    NO_RULE,
    NO_TOKEN,
    SERVICE_PREFIX,
    DirectSend,
    HubRequest,
    ParsedSend,
    Refusal,
    signature,
)
from models.device_token import is_device_token
from models.platform import Platform

API_VERSIONS = frozenset({"2015-01", "2015-04", "2016-07", "2020-06"})
SIZE_LIMITS = {"apple": 4096, "fcmv1": 4096, "windows": 5120}
"""Maximum size of the whole body in bytes, by ServiceBusNotification-Format."""

_KNOWN_SERVICE_HEADERS = frozenset(
    SERVICE_PREFIX + name
    for name in ("format", "devicehandle", "tags", "apns-expiry", "apns-push-type", "apns-priority")
)
_UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,7})?)?(Z|\+00:00)", re.ASCII)
_RESOURCE = re.compile(r"(?:https?|sb)://([^/?#]+)(/[^?#]*)?(?:\?[^#]*)?")
"""The SDK for Java signs the whole URL, with its query."""


def check_direct_send(request: HubRequest, hub: HubConfig, now: float) -> DirectSend | Refusal:
    """The push that a request makes at `now` (Unix seconds), or the first reason to refuse it."""
    send = ParsedSend(request, hub, now)
    for check in (*_FOR_EVERY_PUSH, *_BY_FORMAT.get(send.format, ())):
        if check.refuses(send):
            return Refusal(check.status, check.reason)
    return send.push()


# --- the tables: the first row that refuses wins; a row may rely on the rows above it -----------------------


@dataclass(frozen=True)
class _Check:
    status: int
    reason: str
    refuses: Callable[[ParsedSend], bool]


def _other_hub(send: ParsedSend) -> bool:
    return send.request.path.lower().removesuffix("/") != f"/{send.hub.hub_name}/messages".lower()


def _bad_signature(send: ParsedSend) -> bool:
    expected = signature(send.rule.key, f"{send.token.resource}\n{send.token.expiry}")
    return not hmac.compare_digest(expected.encode(), send.token.signature.encode())


def _other_audience(send: ParsedSend) -> bool:
    resource = _RESOURCE.fullmatch(unquote(send.token.resource))
    # The SDK for .NET drops the port.
    if resource is None or resource[1] not in {send.hub.host, send.hub.host.partition(":")[0]}:
        return True
    addressed = [send.hub.hub_name.lower(), "messages"]
    claimed = (resource[2] or "").strip("/").split("/") if (resource[2] or "").strip("/") else []
    return claimed != addressed[: len(claimed)]


def _unknown_service_header(send: ParsedSend) -> bool:
    return any(
        name.startswith(SERVICE_PREFIX) and name not in _KNOWN_SERVICE_HEADERS for name in send.headers
    )


def _not_matching(header: str, pattern: str) -> Callable[[ParsedSend], bool]:
    """Refuse a header that is present and does not match; it may be absent."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda send: header in send.headers and not compiled.fullmatch(send.headers[header])


def _bad_apns_expiry(send: ParsedSend) -> bool:
    value = send.headers.get(SERVICE_PREFIX + "apns-expiry")
    if value is None:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return True
    return not _UTC_TIME.fullmatch(value)


def _empty_aps_without_voip(send: ParsedSend) -> bool:
    names = ("apns-push-type", SERVICE_PREFIX + "apns-push-type")
    types = {send.headers[name].lower() for name in names if name in send.headers}
    return not send.member("aps") and types != {"voip"}


_WNS_CONTENT_TYPES = {
    "wns/raw": {"application/octet-stream"},
    "wns/toast": {"application/xml", "text/xml"},
}


def _not_a_toast(send: ParsedSend) -> bool:
    if send.headers["x-wns-type"].lower() != "wns/toast":
        return False
    try:
        # Entities, the danger of XML from outside, are refused.
        root = ElementTree.fromstring(send.request.body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        return True
    return root.tag != "toast" or root.find("visual/binding/text") is None


def _lacks_object(*path: str) -> Callable[[ParsedSend], bool]:
    """Refuse unless the last name of `path` is present and an object, empty or not."""
    return lambda send: not isinstance(send.member(*path[:-1]).get(path[-1]), dict)


def _has_wrong_type(*path: str) -> Callable[[ParsedSend], bool]:
    """Refuse if the last name of `path` is present but not an object."""
    return lambda send: path[-1] in send.member(*path[:-1]) and _lacks_object(*path)(send)


def _names_a_target(send: ParsedSend) -> bool:
    return not send.member("message").keys().isdisjoint({"token", "topic", "condition"})


def _data_not_strings(send: ParsedSend) -> bool:
    return not all(isinstance(value, str) for value in send.member("message", "data").values())


def _reserved_data_key(send: ParsedSend) -> bool:
    keys = send.member("message", "data")
    return any(key in {"from", "message_type"} or key.startswith(("google.", "gcm.")) for key in keys)


def _android(name: str, pattern: str) -> Callable[[ParsedSend], bool]:
    """Refuse an `android` option that is present and does not match."""
    compiled = re.compile(pattern, re.ASCII)

    def refuses(send: ParsedSend) -> bool:
        options = send.member("message", "android")
        return name in options and not (isinstance(options[name], str) and compiled.fullmatch(options[name]))

    return refuses


_ADDRESS = (
    _Check(404, "no such notification hub; sends go to /{hub}/messages/", _other_hub),
    _Check(405, "messages are sent with POST", lambda send: send.request.method != "POST"),
)
_ACCESS = (
    _Check(401, "the Authorization header is missing", lambda send: "authorization" not in send.headers),
    _Check(
        401,
        "malformed token: expected SharedAccessSignature sr=…&sig=…&se=<unix seconds>&skn=…",
        lambda send: send.token is NO_TOKEN,
    ),
    _Check(
        401, "skn is not the name of a shared access policy of this hub", lambda send: send.rule is NO_RULE
    ),
    _Check(401, "the signature does not match sr and se", _bad_signature),
    _Check(401, "the token has expired", lambda send: int(send.token.expiry) <= send.now),
    _Check(
        401,
        "the token's audience (sr, in lower case) is not this hub",
        _other_audience,
    ),
    _Check(403, "the shared access policy has no Send right", lambda send: "Send" not in send.rule.rights),
)
_QUERY = (
    _Check(
        400,
        "the query has no `direct`: the service would push to every device",
        lambda send: "direct" not in send.query,
    ),
    _Check(
        400,
        "api-version is missing or unknown: one of " + ", ".join(sorted(API_VERSIONS)),
        lambda send: send.query.get("api-version", [""])[0] not in API_VERSIONS,
    ),
)
_SERVICE_HEADERS = (
    _Check(
        400,
        "ServiceBusNotification-Tags cannot be used in a direct send",
        lambda send: SERVICE_PREFIX + "tags" in send.headers,
    ),
    _Check(
        400,
        "unknown ServiceBusNotification header; Direct Send does not have ServiceBusNotification-Type",
        _unknown_service_header,
    ),
    _Check(
        400,
        "ServiceBusNotification-Format gcm: the legacy protocol is switched off, use fcmv1",
        lambda send: send.format == "gcm",
    ),
    _Check(
        400,
        "ServiceBusNotification-Format is missing or unknown: apple, fcmv1 or windows",
        lambda send: send.format not in SIZE_LIMITS,
    ),
    _Check(
        400,
        "ServiceBusNotification-DeviceHandle is missing, empty or not ASCII",
        lambda send: not re.fullmatch(r"[!-~]+", send.headers.get(SERVICE_PREFIX + "devicehandle", "")),
    ),
    _Check(
        400,
        "ServiceBusNotification-DeviceHandle is not a device token of the platform",
        lambda send: (
            not is_device_token(Platform(send.format), send.headers[SERVICE_PREFIX + "devicehandle"])
        ),
    ),
    _Check(400, "TrackingId is not a GUID", _not_matching("trackingid", GUID.pattern)),
)
_SIZE = (
    _Check(
        413,
        "the body is larger than the platform accepts",
        lambda send: len(send.request.body) > SIZE_LIMITS[send.format],
    ),
)
_JSON_BODY = (
    _Check(
        400,
        "Content-Type must be application/json, with the charset utf-8 or none",
        # The SDK for .NET sends no charset.
        lambda send: send.content_type not in {("application/json", "utf-8"), ("application/json", "")},
    ),
    _Check(400, "the body is not UTF-8", lambda send: send.text is None),
    _Check(400, "the body is not a JSON object", lambda send: not isinstance(send.json, dict)),
)
_APPLE = (
    _Check(400, "the body has no aps object", _lacks_object("aps")),
    _Check(
        400,
        "apns-topic breaks token authentication: it comes from the hub's Bundle ID",
        lambda send: "apns-topic" in send.headers,
    ),
    _Check(400, "an empty aps needs apns-push-type voip, in each of its headers", _empty_aps_without_voip),
    _Check(400, "apns-priority must be 5 or 10", _not_matching("apns-priority", "5|10")),
    _Check(
        400,
        "ServiceBusNotification-Apns-Priority must be 5 or 10",
        _not_matching(SERVICE_PREFIX + "apns-priority", "5|10"),
    ),
    _Check(400, "apns-expiration must be whole unix seconds", _not_matching("apns-expiration", r"\d{1,12}")),
    _Check(400, "ServiceBusNotification-Apns-Expiry must be an ISO time in UTC", _bad_apns_expiry),
)
_FCM = (
    _Check(400, "the body has no message object", _lacks_object("message")),
    _Check(400, "message has a token, topic or condition; the device handle is the target", _names_a_target),
    _Check(400, "message.data must be an object", _has_wrong_type("message", "data")),
    _Check(400, "message.data must be flat, with string values only", _data_not_strings),
    _Check(400, "message.data uses a reserved key: from, message_type, google.*, gcm.*", _reserved_data_key),
    _Check(400, "message.android must be an object", _has_wrong_type("message", "android")),
    _Check(400, "message.android.ttl must be seconds such as 30s", _android("ttl", r"\d+(\.\d{1,9})?s")),
    _Check(
        400,
        "message.android.priority must be high or normal",
        _android("priority", "high|normal|HIGH|NORMAL"),
    ),
)
_WINDOWS = (
    _Check(400, "X-WNS-Type is missing", lambda send: "x-wns-type" not in send.headers),
    _Check(
        400,
        "X-WNS-Type must be wns/raw for calls, or wns/toast",
        _not_matching("x-wns-type", "(?i:wns/(raw|toast))"),
    ),
    _Check(
        400,
        "Content-Type must be application/octet-stream for wns/raw, an XML type for wns/toast",
        lambda send: send.content_type[0] not in _WNS_CONTENT_TYPES[send.headers["x-wns-type"].lower()],
    ),
    _Check(400, "the body is not the XML of a toast", _not_a_toast),
    _Check(400, "X-WNS-TTL must be whole seconds, zero or more", _not_matching("x-wns-ttl", r"\d{1,12}")),
)
_FOR_EVERY_PUSH = _ADDRESS + _ACCESS + _QUERY + _SERVICE_HEADERS + _SIZE
_BY_FORMAT = {"apple": _JSON_BODY + _APPLE, "fcmv1": _JSON_BODY + _FCM, "windows": _WINDOWS}
