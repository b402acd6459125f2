"""Push subscriptions as browsers make them."""

import base64
import json
from typing import Any

ENDPOINT = "https://fcm.googleapis.com/fcm/send/dQw4w9WgXcQ:APA91bH-_abc"
P256DH = base64.urlsafe_b64encode(b"\x04" + bytes(range(64))).decode().rstrip("=")
AUTH = base64.urlsafe_b64encode(bytes(range(16))).decode().rstrip("=")


def subscription(endpoint: str = ENDPOINT, **keys: Any) -> dict[str, Any]:
    """A subscription as `JSON.stringify` writes it, with some of it changed."""
    return {
        "endpoint": endpoint,
        "expirationTime": None,
        "keys": {"p256dh": P256DH, "auth": AUTH, **keys},
    }


def subscription_text(endpoint: str = ENDPOINT, **keys: Any) -> str:
    """The same as the text that a page sends."""
    return json.dumps(subscription(endpoint, **keys))
