"""SAS tokens: signing them, and keeping one for many sends.

Format: "Generate a Shared Access Signature token" of the Notification Hubs documentation. The token
holds `sr` exactly as it was signed, so either case of its percent-encoding is right.
"""

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable
from urllib.parse import quote_plus

from models.hub import HubConnectionString

TOKEN_LIFETIME_SECONDS = 3_600
RENEWAL_MARGIN_SECONDS = 600
"""A token is replaced this long before it expires, since clocks differ and the hub may be slow."""


def signature(key: str, text: str) -> str:
    """HMAC-SHA256 of `text` under `key` (as UTF-8, not decoded), base64."""
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode("ascii")


def sas_token(connection: HubConnectionString, hub_name: str, expires_at: int) -> str:
    """An `Authorization` header for the hub.

    Args:
        connection: has the key.
        hub_name: the token is valid for this hub and everything below it.
        expires_at: Unix time in seconds.
    """
    resource = quote_plus(connection.audience(hub_name))
    signed = quote_plus(signature(connection.key, f"{resource}\n{expires_at}"))
    key_name = quote_plus(connection.key_name)
    return f"SharedAccessSignature sr={resource}&sig={signed}&se={expires_at}&skn={key_name}"


class SasTokenSource:
    """Keeps one token until shortly before it expires. Safe to share between threads."""

    def __init__(self, connection: HubConnectionString, hub_name: str, clock: Callable[[], float]) -> None:
        """`clock` tells Unix time in seconds."""
        self._connection = connection
        self._hub_name = hub_name
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""  # nosec B105
        self._renew_at = 0.0

    def token(self) -> str:
        """The current token; the same one for many sends."""
        with self._lock:
            now = self._clock()
            # If the clock was set back, the kept token would be used beyond its renewal: it is renewed, too.
            if not self._renew_at - TOKEN_LIFETIME_SECONDS <= now < self._renew_at:
                expires_at = int(now) + TOKEN_LIFETIME_SECONDS
                self._token = sas_token(self._connection, self._hub_name, expires_at)
                self._renew_at = expires_at - RENEWAL_MARGIN_SECONDS
            return self._token
