"""SAS tokens: the signature that lets a sender in, and one token kept for many sends.

Format: "Generate a Shared Access Signature token" of the Notification Hubs documentation. The very `sr`
that was signed is sent, so either case of its percent-encoding is right.
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
"""A token is replaced this long before it expires, so that a fast clock and a slow hub do no harm."""


def signature(key: str, text: str) -> str:
    """HMAC-SHA256 of `text` under `key` (as UTF-8, not decoded), base64."""
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode("ascii")


def sas_token(connection: HubConnectionString, hub_name: str, expires_at: int) -> str:
    """An `Authorization` header for the hub.

    Args:
        connection: whose key signs.
        hub_name: the hub that the token is made out to, with everything below it.
        expires_at: Unix time in seconds.
    """
    resource = quote_plus(connection.audience(hub_name))
    signed = quote_plus(signature(connection.key, f"{resource}\n{expires_at}"))
    key_name = quote_plus(connection.key_name)
    return f"SharedAccessSignature sr={resource}&sig={signed}&se={expires_at}&skn={key_name}"


class SasTokenSource:
    """Hands out one token until shortly before it expires. Safe to share between threads."""

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
            # A clock that was set back makes a kept token outlive its renewal, so that renews it too.
            if not self._renew_at - TOKEN_LIFETIME_SECONDS <= now < self._renew_at:
                expires_at = int(now) + TOKEN_LIFETIME_SECONDS
                self._token = sas_token(self._connection, self._hub_name, expires_at)
                self._renew_at = expires_at - RENEWAL_MARGIN_SECONDS
            return self._token
