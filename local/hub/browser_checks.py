"""What is refused of a push to a browser (pure).

Sources: Notification Hubs, "Web push notifications" (the device handle is the subscription's endpoint, its
keys are headers); RFC 8291 (`p256dh` is an uncompressed point of P-256, `auth` has 16 octets).
"""

import base64
import json
import re

from local.hub.check import Check
from local.hub.direct_send import SERVICE_PREFIX, ParsedSend
from models.push_subscription import PushSubscription

P256DH_BYTES, AUTH_BYTES = 65, 16

_BASE64URL = re.compile(r"[0-9A-Za-z_-]+={0,2}", re.ASCII)
_RIGHT_KEYS = {
    "p256dh": base64.urlsafe_b64encode(b"\4" + bytes(P256DH_BYTES - 1)).decode(),
    "auth": base64.urlsafe_b64encode(bytes(AUTH_BYTES)).decode(),
}


def _key(send: ParsedSend, header: str) -> bytes:
    """The bytes of a key, empty if it is missing or not base64url."""
    text = send.headers.get(header, "")
    if not _BASE64URL.fullmatch(text):
        return b""
    unpadded = text.rstrip("=")
    try:
        return base64.urlsafe_b64decode(unpadded + "=" * (-len(unpadded) % 4))
    except ValueError:
        return b""


def _not_a_point(send: ParsedSend) -> bool:
    key = _key(send, "p256dh")
    return len(key) != P256DH_BYTES or key[0] != 4


def _not_an_endpoint(send: ParsedSend) -> bool:
    """By the definition that the registrar has, with keys that are right."""
    endpoint = send.headers[SERVICE_PREFIX + "devicehandle"]
    try:
        PushSubscription.parse(json.dumps({"endpoint": endpoint, "keys": _RIGHT_KEYS}))
    except ValueError:
        return True
    return False


BROWSER: tuple[Check[ParsedSend], ...] = (
    Check(
        400,
        "ServiceBusNotification-DeviceHandle is not the https URL of a push service on a public host",
        _not_an_endpoint,
    ),
    Check(
        400,
        f"P256DH must be an uncompressed P-256 point, {P256DH_BYTES} bytes in base64url",
        _not_a_point,
    ),
    Check(
        400,
        f"Auth must be {AUTH_BYTES} bytes in base64url",
        lambda send: len(_key(send, "auth")) != AUTH_BYTES,
    ),
)
