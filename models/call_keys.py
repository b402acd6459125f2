"""What names a call across its events, and in a phone's report.

The correlation id names it, without letter case (Swift writes UUIDs in capitals). The server call id does so
too: it is base64, unpadded, of a URL whose query differs from event to event. That both are equal across the
event types on live events has not been confirmed.
"""

import base64
import binascii
import re

_URL = re.compile(r"(?P<origin>[A-Za-z][A-Za-z0-9+.-]*://[^/?#]+)(?P<path>[^?#]*)")
"""`urllib.parse` would take twenty times as long, in every call's way."""


def call_keys(correlation_id: str | None, server_call_id: str | None) -> tuple[str, ...]:
    """The keys of a call; two events whose keys overlap are about the same call."""
    correlation = [correlation_key(correlation_id)] if correlation_id else []
    return (*correlation, *([f"s:{_server_call(server_call_id)}"] if server_call_id else []))


def correlation_key(correlation_id: str) -> str:
    """The key of a call by its correlation id."""
    return f"c:{correlation_id.lower()}"


def _server_call(server_call_id: str) -> str:
    """Scheme, host and path of the call's URL; the id itself where it holds none."""
    unpadded = server_call_id.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        decoded = base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return server_call_id
    url = _URL.match(decoded)
    return f"{url['origin'].lower()}{url['path']}" if url else server_call_id
