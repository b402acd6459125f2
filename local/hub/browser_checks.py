"""What is refused of a push to a browser (pure).

Sources: Notification Hubs, "Web push notifications" (the device handle is the subscription's endpoint, its
keys are headers); RFC 8291 (`p256dh` is an uncompressed point of P-256, `auth` has 16 octets).
"""

import base64
import re
from urllib.parse import urlsplit

from local.hub.check import Check
from local.hub.direct_send import SERVICE_PREFIX, ParsedSend

P256DH_BYTES, AUTH_BYTES = 65, 16

_BASE64URL = re.compile(r"[0-9A-Za-z_-]+={0,2}", re.ASCII)
_HOST = re.compile(r"([0-9a-z]([0-9a-z-]*[0-9a-z])?\.)+[a-z][0-9a-z-]*", re.ASCII)
_OWN_NETWORK = frozenset({"local", "internal", "localhost"})


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
    try:
        endpoint = urlsplit(send.headers[SERVICE_PREFIX + "devicehandle"])
        host, _ = endpoint.hostname or "", endpoint.port
    except ValueError:
        return True
    public = _HOST.fullmatch(host) and host.rpartition(".")[2] not in _OWN_NETWORK
    return endpoint.scheme != "https" or "@" in endpoint.netloc or "\\" in endpoint.geturl() or not public


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
