"""One call and one platform → the push: body and headers (pure).

What the keys are called: the Calling SDK's `PushNotificationInfo` as the C# sample fills it. What the hub
wants: Notification Hubs REST, "Direct Send" and the platforms' native notification pages.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from pydantic_core import to_json

from models.device import Platform, rfc3339
from models.errors import PushTooLargeError
from models.push import Push, PushNotificationInfo

INCOMING_CALL_EVENT_ID = 107

JSON_CONTENT_TYPE = "application/json;charset=utf-8"
RAW_CONTENT_TYPE = "application/octet-stream"

MAXIMUM_BODY_BYTES = {Platform.APPLE: 4_096, Platform.FCM_V1: 4_096, Platform.WINDOWS: 5_120}
"""Notification Hubs takes 4 kB for APNs (5 kB would need APNs itself) and FCM, 5 kB for WNS raw."""

_ELLIPSIS = "…"
_ZERO_WIDTH_JOINER = "\u200d"
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)
"""Regional indicators: two of them make one flag."""
_FLAG_ALPHABET = "".join(map(chr, _FLAG_LETTERS))
_EXTENDERS = (range(0x1F3FB, 0x1F400), range(0xE0020, 0xE0080), range(0x1160, 0x1200))
"""Skin tones, the tags of a region's flag, and the later letters of a decomposed Hangul syllable."""


def build_push(platform: Platform, info: PushNotificationInfo, now: datetime, ends_at: datetime) -> Push:
    """The push that wakes a device of `platform`.

    Args:
        platform: decides body, headers and limit.
        info: what the phone is told; its display name is shortened where the body would be too large.
        now: the current time, UTC.
        ends_at: when the call stops ringing; no push outlives it.

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
    # The expiry is sent the .NET SDK's way and the REST page's way: which one counts is documented nowhere.
    # There is no apns-topic: it follows from the hub's Bundle ID, and setting it breaks token authentication.
    return (
        ("apns-push-type", "voip"),
        ("ServiceBusNotification-Apns-Push-Type", "voip"),
        ("apns-priority", "10"),
        ("apns-expiration", str(int(ends_at.timestamp()))),
        ("ServiceBusNotification-Apns-Expiry", rfc3339(ends_at)),
    )


def _data(info: PushNotificationInfo) -> dict[str, str]:
    """The strings of the push; what is not known is left out, never null."""
    values = {
        "cp": info.call_context,
        "callId": info.call_id,
        "recipientId": info.recipient_id,
        "callerId": info.caller_id,
        "displayName": info.display_name,
        "videoCall": "false",  # the event does not say
    }
    return {key: value for key, value in values.items() if value}


def _native_body(info: PushNotificationInfo) -> bytes:
    # The hub rejects an apple body without `aps`; Windows apps read the same JSON.
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
    low, high = 0, len(name)
    while low < high:
        middle = (low + high + 1) // 2
        shortened = encode(replace(info, display_name=name[:middle] + _ELLIPSIS))
        low, high = (middle, high) if len(shortened) <= limit else (low, middle - 1)
    kept = _whole_characters(name, low)
    return encode(replace(info, display_name=kept + _ELLIPSIS)) if kept else shortest


def _whole_characters(name: str, length: int) -> str:
    """The longest prefix of at most `length` code points that tears no accent or emoji apart."""
    while 0 < length < len(name) and _tears(name, length):
        length -= 1
    return name[:length].rstrip()


def _tears(name: str, position: int) -> bool:
    """True if a cut at `position` would go through what a reader takes for one character (UAX #29)."""
    before, after = name[position - 1], name[position]
    if _ZERO_WIDTH_JOINER in {before, after} or unicodedata.category(after) in {"Mn", "Me", "Mc"}:
        return True
    if ord(after) in _FLAG_LETTERS:
        kept = name[:position]
        return (len(kept) - len(kept.rstrip(_FLAG_ALPHABET))) % 2 == 1
    return any(ord(after) in extenders for extenders in _EXTENDERS)
