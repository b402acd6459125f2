"""What Notification Hubs refuses in a Direct Send request, as tables (pure).

Written from the public documentation. It shares no code with the app, since a test double that shares the
code under test proves nothing, but for one definition: the shape of device tokens. Sources: Notification
Hubs REST ("Direct Send"). What Microsoft's SDKs send is accepted; beyond that, this is stricter than the
service. The tables of the platforms are in modules of their own.
"""

import re

from local.hub.access import AUTHENTICATION, SEND_RIGHT
from local.hub.apple_checks import APPLE
from local.hub.browser_checks import BROWSER
from local.hub.check import Check, Refusal, first_refusal
from local.hub.conditions import not_matching
from local.hub.config import HubConfig
from local.hub.direct_send import SERVICE_PREFIX, DirectSend, ParsedSend
from local.hub.fcm_checks import FCM
from local.hub.service_request import GUID, HubRequest, ServiceRequest
from local.hub.windows_checks import WINDOWS
from models.device_token import is_device_token
from models.platform import Platform

API_VERSIONS = frozenset({"2015-01", "2015-04", "2016-07", "2020-06"})
SIZE_LIMITS = {"apple": 4096, "fcmv1": 4096, "windows": 5120, "browser": 3800}
"""Maximum size of the whole body in bytes, by ServiceBusNotification-Format. A push service takes 4,096 bytes
of what a browser's push becomes when it is encrypted and padded (RFC 8030, 7.2; RFC 8291, 4)."""

NO_SUCH_HUB = Refusal(404, "no such notification hub or resource; sends go to /{hub}/messages/")

_KNOWN_SERVICE_HEADERS = frozenset(
    SERVICE_PREFIX + name
    for name in ("format", "devicehandle", "tags", "apns-expiry", "apns-push-type", "apns-priority")
)

API_VERSION: Check[ServiceRequest] = Check(
    400,
    "api-version is missing or unknown: one of " + ", ".join(sorted(API_VERSIONS)),
    lambda request: request.query.get("api-version", [""])[0] not in API_VERSIONS,
)


def check_direct_send(request: HubRequest, hub: HubConfig, now: float) -> DirectSend | Refusal:
    """The push that a request makes at `now` (Unix seconds), or the first reason to refuse it."""
    send = ParsedSend(request, hub, now)
    return refused_send(send) or send.push()


def refused_send(send: ParsedSend) -> Refusal | None:
    """The first reason to refuse a request; None if there is none."""
    return first_refusal(send, _FOR_EVERY_PUSH) or first_refusal(send, _BY_FORMAT.get(send.format, ()))


def _unknown_service_header(send: ParsedSend) -> bool:
    return any(
        name.startswith(SERVICE_PREFIX) and name not in _KNOWN_SERVICE_HEADERS for name in send.headers
    )


def _not_a_token(send: ParsedSend) -> bool:
    # A browser's token is its whole subscription, of which the handle is a part: see `browser_checks`.
    handle = send.headers[SERVICE_PREFIX + "devicehandle"]
    return send.format != "browser" and not is_device_token(Platform(send.format), handle)


_ADDRESS: tuple[Check[ParsedSend], ...] = (
    Check(
        404,
        NO_SUCH_HUB.reason,
        lambda send: send.request.segments != [send.hub.hub_name.lower(), "messages"],
    ),
    Check(405, "messages are sent with POST", lambda send: send.request.method != "POST"),
)
_QUERY: tuple[Check[ParsedSend], ...] = (
    Check(
        400,
        "the query has no `direct`: the service would push to every device",
        lambda send: "direct" not in send.query,
    ),
    API_VERSION,
)
_SERVICE_HEADERS: tuple[Check[ParsedSend], ...] = (
    Check(
        400,
        "ServiceBusNotification-Tags cannot be used in a direct send",
        lambda send: SERVICE_PREFIX + "tags" in send.headers,
    ),
    Check(
        400,
        "unknown ServiceBusNotification header; Direct Send does not have ServiceBusNotification-Type",
        _unknown_service_header,
    ),
    Check(
        400,
        "ServiceBusNotification-Format gcm: the legacy protocol is switched off, use fcmv1",
        lambda send: send.format == "gcm",
    ),
    Check(
        400,
        "ServiceBusNotification-Format is missing or unknown: one of " + ", ".join(SIZE_LIMITS),
        lambda send: send.format not in SIZE_LIMITS,
    ),
    Check(
        400,
        "ServiceBusNotification-DeviceHandle is missing, empty or not ASCII",
        lambda send: not re.fullmatch(r"[!-~]+", send.headers.get(SERVICE_PREFIX + "devicehandle", "")),
    ),
    Check(400, "ServiceBusNotification-DeviceHandle is not a device token of the platform", _not_a_token),
    Check(400, "TrackingId is not a GUID", not_matching("trackingid", GUID.pattern)),
)
_SIZE: tuple[Check[ParsedSend], ...] = (
    Check(
        413,
        "the body is larger than the platform accepts",
        lambda send: len(send.request.body) > SIZE_LIMITS[send.format],
    ),
)
_JSON_BODY: tuple[Check[ParsedSend], ...] = (
    Check(
        400,
        "Content-Type must be application/json, with the charset utf-8 or none",
        # The SDK for .NET sends no charset.
        lambda send: send.content_type not in {("application/json", "utf-8"), ("application/json", "")},
    ),
    Check(400, "the body is not UTF-8", lambda send: send.text is None),
    Check(400, "the body is not a JSON object", lambda send: not isinstance(send.json, dict)),
)
_FOR_EVERY_PUSH: tuple[Check[ParsedSend], ...] = (
    *_ADDRESS,
    *AUTHENTICATION,
    SEND_RIGHT,
    *_QUERY,
    *_SERVICE_HEADERS,
    *_SIZE,
)
_BY_FORMAT: dict[str, tuple[Check[ParsedSend], ...]] = {
    "apple": _JSON_BODY + APPLE,
    "fcmv1": _JSON_BODY + FCM,
    "windows": WINDOWS,
    "browser": _JSON_BODY + BROWSER,
}
