"""A browser's push subscription: where its push service takes messages, and the keys that encrypt them.

Sources: W3C, "Push API" (`PushSubscription.toJSON()`); RFC 8291 (`p256dh` is an uncompressed point of the
curve P-256, `auth` has 16 octets); Notification Hubs, "Web push notifications".
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from models.compact_json import to_json

P256DH_BYTES, AUTH_BYTES = 65, 16
_UNCOMPRESSED_POINT = 4
"""The first byte of an uncompressed point."""

_HTTPS_PORT = 443
_PRINTABLE_ASCII = re.compile(r"[!-~]+")
_BASE64URL = re.compile(r"[0-9A-Za-z_-]+={0,2}")
_LABEL = re.compile(r"[0-9a-z_]([0-9a-z_-]{0,61}[0-9a-z_])?")
_NOT_PUBLIC = frozenset({"local", "internal", "localhost", "invalid"})
"""Top-level names that mean this machine, this network, or nothing (RFC 6761): Edge on Android, which has no
push service, makes endpoints at `permanently-removed.invalid`."""

_WANTED = "must be a PushSubscription as JSON text: send JSON.stringify(subscription)"
_WANTED_ENDPOINT = "endpoint must be the https URL of a push service on a public host"
_WANTED_P256DH = f"keys.p256dh must be an uncompressed P-256 point, {P256DH_BYTES} bytes in base64url"
_WANTED_AUTH = f"keys.auth must be {AUTH_BYTES} bytes in base64url"


@dataclass(frozen=True, slots=True)
class PushSubscription:
    """One browser. All of it is secret: it is enough to push to the browser."""

    endpoint: str = field(repr=False)
    """Its host is a public name, in lower case and without a trailing dot. The app never fetches it."""
    p256dh: str = field(repr=False)
    """In base64url without padding."""
    auth: str = field(repr=False)
    """In base64url without padding."""

    @classmethod
    def parse(cls, text: str) -> "PushSubscription":
        """Read the JSON text of a subscription; members beyond these are ignored.

        Raises:
            ValueError: the message says what is expected and quotes nothing.
        """
        try:
            subscription = json.loads(text)
        except (ValueError, RecursionError):
            subscription = None
        if not isinstance(subscription, Mapping):
            raise ValueError(_WANTED)  # noqa: TRY004 - the text has a wrong value
        keys = subscription.get("keys")
        endpoint = _endpoint(subscription.get("endpoint"))
        p256dh = _key(keys, "p256dh", P256DH_BYTES)
        auth = _key(keys, "auth", AUTH_BYTES)
        if p256dh is not None and p256dh[0] != _UNCOMPRESSED_POINT:
            p256dh = None
        if endpoint is None or p256dh is None or auth is None:
            parts = ((endpoint, _WANTED_ENDPOINT), (p256dh, _WANTED_P256DH), (auth, _WANTED_AUTH))
            raise ValueError("; ".join(wanted for value, wanted in parts if value is None))
        return cls(endpoint, _base64url(p256dh), _base64url(auth))

    @property
    def text(self) -> str:
        """The one spelling in which it is stored: `parse` returns an equal subscription."""
        keys = {"p256dh": self.p256dh, "auth": self.auth}
        return to_json({"endpoint": self.endpoint, "keys": keys}).decode()


def _endpoint(value: object) -> str | None:
    """The URL, its host in one spelling; None if it cannot be that of a public push service."""
    # A backslash ends the host for some readers of URLs and not for others.
    if not isinstance(value, str) or not _PRINTABLE_ASCII.fullmatch(value) or "\\" in value:
        return None
    try:
        parts = urlsplit(value)
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return None
    if parts.scheme != "https" or "@" in parts.netloc or not _is_public_name(host):
        return None
    netloc = host if port in {None, _HTTPS_PORT} else f"{host}:{port}"
    return urlunsplit(parts._replace(netloc=netloc))


def _is_public_name(host: str) -> bool:
    """At least two labels, and the last one is no number: not an IP address in any spelling."""
    labels = host.split(".")
    top = labels[-1]
    well_formed = all(_LABEL.fullmatch(label) for label in labels)
    return len(labels) > 1 and well_formed and top[0].isalpha() and top not in _NOT_PUBLIC


def _key(keys: object, name: str, length: int) -> bytes | None:
    """The bytes of a key; None if it is not that many bytes in base64url."""
    text = keys.get(name) if isinstance(keys, Mapping) else None
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        return None
    unpadded = text.rstrip("=")
    try:
        key = base64.urlsafe_b64decode(unpadded + "=" * (-len(unpadded) % 4))
    except ValueError:
        return None
    return key if len(key) == length else None


def _base64url(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")
