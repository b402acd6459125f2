"""One call and one platform → the push: body and headers (pure).

Keys of the body: the Calling SDK's `PushNotificationInfo`, as the C# sample fills it. Headers: Notification
Hubs REST, "Direct Send" and the platforms' native notification pages.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from models.compact_json import to_json
from models.device import rfc3339
from models.errors import PushTooLargeError
from models.platform import Platform
from models.push import Push, PushNotificationInfo, StopInfo

INCOMING_CALL_EVENT_ID = 107
STOP_RINGING_EVENT_ID = 110
STOP_LIFE = timedelta(seconds=30)
"""How long a platform keeps a stop for a device that it cannot reach."""

JSON_CONTENT_TYPE = "application/json;charset=utf-8"
RAW_CONTENT_TYPE = "application/octet-stream"

MAXIMUM_BODY_BYTES = {
    Platform.APPLE: 4_096,
    Platform.FCM_V1: 4_096,
    Platform.WINDOWS: 5_120,
    Platform.BROWSER: 3_800,
}
"""Bytes of the whole body. Notification Hubs takes 4 kB for APNs, which itself takes 5 kB. A push service of
browsers takes 4,096 bytes, the encryption's own among them (RFC 8291)."""

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
            return Push(platform.value, JSON_CONTENT_TYPE, apple_headers("voip", ends_at), body)
        case Platform.FCM_V1:
            limit = MAXIMUM_BODY_BYTES[platform]
            body = _fitting(info, limit, lambda fitted: _fcm_body(fitted, seconds_left))
            return Push(platform.value, JSON_CONTENT_TYPE, (), body)
        case Platform.WINDOWS:
            body = _fitting(info, MAXIMUM_BODY_BYTES[platform], _native_body)
            return Push(platform.value, RAW_CONTENT_TYPE, _raw_headers(seconds_left), body)
        case Platform.BROWSER:
            body = _fitting(info, MAXIMUM_BODY_BYTES[platform], lambda fitted: _browser_body(fitted, ends_at))
            return Push(platform.value, JSON_CONTENT_TYPE, (), body)


def build_stop(platform: Platform, info: StopInfo, now: datetime) -> Push:
    """The push that tells a device of `platform` to ring no more, in the envelope of the ring.

    Args:
        platform: decides body and headers.
        info: the call, and why it rings no more.
        now: the current time, UTC.

    Raises:
        PushTooLargeError: the ids of the call exceed the platform's limit.
    """
    values = {
        "callId": info.call_id,
        "recipientId": info.recipient_id,
        "callerId": info.caller_id,
        "reason": info.reason,
    }
    data = {key: value for key, value in values.items() if value}
    seconds = int(STOP_LIFE.total_seconds())
    match platform:
        case Platform.APPLE:
            headers = apple_headers("voip", now + STOP_LIFE)
            push = Push(platform.value, JSON_CONTENT_TYPE, headers, _native(STOP_RINGING_EVENT_ID, data))
        case Platform.FCM_V1:
            push = Push(platform.value, JSON_CONTENT_TYPE, (), _fcm(STOP_RINGING_EVENT_ID, data, seconds))
        case Platform.WINDOWS:
            body = _native(STOP_RINGING_EVENT_ID, data)
            push = Push(platform.value, RAW_CONTENT_TYPE, _raw_headers(seconds), body)
        case Platform.BROWSER:
            flat = to_json({"eventId": STOP_RINGING_EVENT_ID, **data})
            push = Push(platform.value, JSON_CONTENT_TYPE, (), flat)
    if len(push.body) > MAXIMUM_BODY_BYTES[platform]:
        raise PushTooLargeError(f"The stop push takes {len(push.body)} bytes.")
    return push


def _raw_headers(seconds: int) -> tuple[tuple[str, str], ...]:
    return (("X-WNS-Type", "wns/raw"), ("X-WNS-TTL", str(seconds)))


def apple_headers(push_type: str, ends_at: datetime) -> tuple[tuple[str, str], ...]:
    """Headers of a push to APNs.

    Args:
        push_type: `voip` or `alert`.
        ends_at: when the push expires.
    """
    # The expiry is sent as the .NET SDK and as the REST page has it: which of them counts is not documented.
    # There is no apns-topic: it follows from the hub's Bundle ID, and setting it breaks token authentication.
    return (
        ("apns-push-type", push_type),
        ("ServiceBusNotification-Apns-Push-Type", push_type),
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
    return _native(INCOMING_CALL_EVENT_ID, _data(info))


def _native(event_id: int, data: Mapping[str, str]) -> bytes:
    # The hub rejects a body for Apple without `aps`; Windows apps read the same JSON.
    return to_json({"aps": {}, "data": {"eventId": event_id, **data}})


def _fcm_body(info: PushNotificationInfo, seconds_left: int) -> bytes:
    return _fcm(INCOMING_CALL_EVENT_ID, _data(info), seconds_left)


def _fcm(event_id: int, data: Mapping[str, str], seconds: int) -> bytes:
    # FCM's data is flat and holds strings only.
    android = {"priority": "high", "ttl": f"{seconds}s"}
    return to_json({"message": {"android": android, "data": {"eventId": str(event_id), **data}}})


def _browser_body(info: PushNotificationInfo, ends_at: datetime) -> bytes:
    # The page hands the context on under the name that the web Calling SDK reads. Whether the hub passes a
    # time to live on is not documented, so the body says when the ring ends.
    data = _data(info)
    context = data.pop("cp")
    ring = {"eventId": INCOMING_CALL_EVENT_ID, "incomingCallContext": context, **data}
    return to_json({**ring, "ringsUntil": rfc3339(ends_at)})


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
    kept = prefix_of(name, low)
    return encode(replace(info, display_name=kept + _ELLIPSIS)) if kept else shortest


def prefix_of(name: str, length: int) -> str:
    """The longest prefix of at most `length` code points that ends before no combining mark."""
    while 0 < length < len(name) and unicodedata.category(name[length]).startswith("M"):
        length -= 1
    return name[:length].rstrip()
