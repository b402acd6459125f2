"""One call and one platform → the push: body and headers (pure).

Keys of the body: the Calling SDK's `PushNotificationInfo`, as the C# sample fills it. Headers: Notification
Hubs REST, "Direct Send" and the platforms' native notification pages.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from pydantic_core import to_json

from models.device import rfc3339
from models.errors import PushTooLargeError
from models.platform import Platform
from models.push import Push, PushNotificationInfo

INCOMING_CALL_EVENT_ID = 107

JSON_CONTENT_TYPE = "application/json;charset=utf-8"
RAW_CONTENT_TYPE = "application/octet-stream"

MAXIMUM_BODY_BYTES = {Platform.APPLE: 4_096, Platform.FCM_V1: 4_096, Platform.WINDOWS: 5_120}
"""Bytes of the whole body. Notification Hubs takes 4 kB for APNs, which itself takes 5 kB."""

_ELLIPSIS = "…"


def build_push(platform: Platform, info: PushNotificationInfo, now: datetime, ends_at: datetime) -> Push:
    """The push that rings a device of `platform`.

    Args:
        platform: decides body, headers and limit.
        info: the call; its display name is shortened if the body would be too large.
        now: the current time, UTC.
        ends_at: when the call stops ringing, and the push expires.

    Raises:
        PushTooLargeError: the body exceeds the platform's limit even without a display name.
    """
    seconds_left = max(0, int((ends_at - now).total_seconds()))
    match platform:
        case Platform.APPLE:
            body = _fitting(info, MAXIMUM_BODY_BYTES[platform], _native_body)
            return Push(platform.value, JSON_CONTENT_TYPE, _apple_headers(ends_at), body)
        case Platform.FCM_V1:
            limit = MAXIMUM_BODY_BYTES[platform]
            body = _fitting(info, limit, lambda fitted: _fcm_body(fitted, seconds_left))
            return Push(platform.value, JSON_CONTENT_TYPE, (), body)
        case Platform.WINDOWS:
            body = _fitting(info, MAXIMUM_BODY_BYTES[platform], _native_body)
            headers = (("X-WNS-Type", "wns/raw"), ("X-WNS-TTL", str(seconds_left)))
            return Push(platform.value, RAW_CONTENT_TYPE, headers, body)


def _apple_headers(ends_at: datetime) -> tuple[tuple[str, str], ...]:
    # The expiry is sent as the .NET SDK and as the REST page has it: which of them counts is not documented.
    # There is no apns-topic: it follows from the hub's Bundle ID, and setting it breaks token authentication.
    return (
        ("apns-push-type", "voip"),
        ("ServiceBusNotification-Apns-Push-Type", "voip"),
        ("apns-priority", "10"),
        ("apns-expiration", str(int(ends_at.timestamp()))),
        ("ServiceBusNotification-Apns-Expiry", rfc3339(ends_at)),
    )


def _data(info: PushNotificationInfo) -> dict[str, str]:
    """The strings of the push. Values that the event does not have are left out, never sent as null."""
    values = {
        "cp": info.call_context,
        "callId": info.call_id,
        "recipientId": info.recipient_id,
        "callerId": info.caller_id,
        "displayName": info.display_name,
        "videoCall": "false",  # the event does not tell
    }
    return {key: value for key, value in values.items() if value}


def _native_body(info: PushNotificationInfo) -> bytes:
    # The hub rejects a body for Apple without `aps`; Windows apps read the same JSON.
    return to_json({"aps": {}, "data": {"eventId": INCOMING_CALL_EVENT_ID, **_data(info)}})


def _fcm_body(info: PushNotificationInfo, seconds_left: int) -> bytes:
    # FCM's data is flat and holds strings only.
    data = {"eventId": str(INCOMING_CALL_EVENT_ID), **_data(info)}
    android = {"priority": "high", "ttl": f"{seconds_left}s"}
    return to_json({"message": {"android": android, "data": data}})


def _fitting(
    info: PushNotificationInfo, limit: int, encode: Callable[[PushNotificationInfo], bytes]
) -> bytes:
    """The body with as much of the display name as fits into `limit` bytes."""
    body = encode(info)
    if len(body) <= limit:
        return body
    name = info.display_name or ""
    shortest = encode(replace(info, display_name=None))
    if len(shortest) > limit:
        raise PushTooLargeError(
            f"The push takes {len(shortest)} bytes without a display name; the limit is {limit} bytes."
        )
    # Binary search for the longest prefix that fits: encoding decides, since JSON escapes some characters.
    low, high = 0, len(name)
    while low < high:
        middle = (low + high + 1) // 2
        shortened = encode(replace(info, display_name=name[:middle] + _ELLIPSIS))
        low, high = (middle, high) if len(shortened) <= limit else (low, middle - 1)
    kept = _prefix(name, low)
    return encode(replace(info, display_name=kept + _ELLIPSIS)) if kept else shortest


def _prefix(name: str, length: int) -> str:
    """The longest prefix of at most `length` code points that ends before no combining mark."""
    while 0 < length < len(name) and unicodedata.category(name[length]).startswith("M"):
        length -= 1
    return name[:length].rstrip()
