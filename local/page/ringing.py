"""What a push tells a phone (pure): the caller, and until when the push is valid."""

import json
import re
from typing import Any

from local.hub.records import ReceivedPush

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s?", re.ASCII)


def expires_at(push: ReceivedPush) -> float | None:
    """Unix seconds when the push expires, as its platform reads it; `None` if it does not say.

    APNs: the time in `apns-expiration`. FCM: `message.android.ttl` after the arrival. WNS: `X-WNS-TTL`
    seconds after the arrival.
    """
    match push.format:
        case "apple":
            return _number(push.headers.get("apns-expiration"))
        case "fcmv1":
            left = _number(_inner(push, "message", "android").get("ttl"))
        case _:
            left = _number(push.headers.get("x-wns-ttl"))
    return None if left is None else push.received_at + left


def caller_name(push: ReceivedPush) -> str | None:
    """The display name that the phone shows; `None` if the push has none."""
    data = _inner(push, "message", "data") if push.format == "fcmv1" else _inner(push, "data")
    name = data.get("displayName")
    return name if isinstance(name, str) else None


def _inner(push: ReceivedPush, *path: str) -> dict[str, Any]:
    """The object at `path` in the body, or an empty one."""
    try:
        value = json.loads(push.body)
        for name in path:
            value = value[name]
    except (ValueError, RecursionError, LookupError, TypeError):
        return {}
    return value if isinstance(value, dict) else {}


def _number(text: object) -> float | None:
    match = _SECONDS.fullmatch(text) if isinstance(text, str) else None
    return float(match[1]) if match else None
