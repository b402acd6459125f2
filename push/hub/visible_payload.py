"""A visible notification for one platform: body and headers (pure).

Sources: Apple, "Generating a remote notification"; FCM HTTP v1, "Message"; WNS, "toast content"; Notification
Hubs REST.
"""

import hashlib
import re
from datetime import datetime
from html import escape

from models.compact_json import to_json
from models.errors import PushTooLargeError
from models.platform import Platform
from models.push import Push, VisibleInfo
from push.hub.payload import JSON_CONTENT_TYPE, MAXIMUM_BODY_BYTES, apple_headers, prefix_of

XML_CONTENT_TYPE = "application/xml"

LONGEST_TEXT = 200
"""Characters of a title, a body or a name: a phone shows fewer."""

_COLLAPSE_ID = re.compile(r"(?! )[\x20-\x7e]{1,64}(?<! )")
"""A header's value cannot begin or end with a space."""


def build_visible(platform: Platform, info: VisibleInfo, now: datetime, ends_at: datetime) -> Push:
    """The push that shows a notification on a device of `platform`.

    Args:
        platform: decides body, headers and limit.
        info: what is shown; long texts are cut.
        now: the current time, UTC.
        ends_at: until when the platform keeps it for a device that is off.

    Raises:
        PushTooLargeError: the body exceeds the platform's limit.
    """
    seconds_left = max(0, int((ends_at - now).total_seconds()))
    match platform:
        case Platform.APPLE:
            headers = (*apple_headers("alert", ends_at), *_collapse(info.call_id))
            push = Push(platform.value, JSON_CONTENT_TYPE, headers, _apple_body(info))
        case Platform.FCM_V1:
            push = Push(platform.value, JSON_CONTENT_TYPE, (), _fcm_body(info, seconds_left))
        case Platform.WINDOWS:
            headers = (("X-WNS-Type", "wns/toast"), ("X-WNS-TTL", str(seconds_left)))
            push = Push(platform.value, XML_CONTENT_TYPE, headers, _toast(info))
        case Platform.BROWSER:
            flat = to_json({**_data(info), "title": _cut(info.title), "body": _cut(info.body)})
            push = Push(platform.value, JSON_CONTENT_TYPE, (), flat)
    limit = MAXIMUM_BODY_BYTES[platform]
    if len(push.body) > limit:
        raise PushTooLargeError(f"The notification takes {len(push.body)} bytes; the limit is {limit} bytes.")
    return push


def collapse_id(call_id: str) -> str:
    """The name under which APNs replaces a notification by a later one: 1 to 64 printable ASCII
    characters."""
    return call_id if _COLLAPSE_ID.fullmatch(call_id) else hashlib.sha256(call_id.encode()).hexdigest()


def _collapse(call_id: str | None) -> tuple[tuple[str, str], ...]:
    return (("apns-collapse-id", collapse_id(call_id)),) if call_id else ()


def _data(info: VisibleInfo) -> dict[str, str]:
    values = {
        "event": info.event,
        "callId": info.call_id,
        "callerId": info.caller_id,
        "displayName": _cut(info.display_name or ""),
    }
    return {name: value for name, value in values.items() if value}


def _apple_body(info: VisibleInfo) -> bytes:
    aps = {
        "alert": {"title": _cut(info.title), "body": _cut(info.body)},
        "sound": "default",
        "interruption-level": "time-sensitive" if info.time_sensitive else "active",
    }
    return to_json({"aps": aps, "data": _data(info)})


def _fcm_body(info: VisibleInfo, seconds_left: int) -> bytes:
    android: dict[str, object] = {"priority": "high", "ttl": f"{seconds_left}s"}
    if info.call_id:
        # A later notification of the same call replaces this one.
        android["notification"] = {"tag": info.call_id}
    notification = {"title": _cut(info.title), "body": _cut(info.body)}
    return to_json({"message": {"notification": notification, "android": android, "data": _data(info)}})


def _toast(info: VisibleInfo) -> bytes:
    launch = escape(_xml(to_json(_data(info)).decode()))
    title, body = escape(_xml(_cut(info.title))), escape(_xml(_cut(info.body)))
    visual = (
        f'<visual><binding template="ToastGeneric"><text>{title}</text><text>{body}</text></binding></visual>'
    )
    return f'<toast launch="{launch}">{visual}</toast>'.encode()


def _xml(text: str) -> str:
    """The text without characters that no XML document may hold, even escaped."""
    return "".join(
        one
        for one in text
        if one in "\t\n\r" or " " <= one <= "\ud7ff" or "\ue000" <= one <= "\ufffd" or one >= "\U00010000"
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{prefix_of(text, LONGEST_TEXT - 1)}…"
