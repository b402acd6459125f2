"""The shared access signature of a feedback container's URL (pure).

It has the parts of Azure Storage's ("Create a service SAS"); what is signed is simpler.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from local.hub.service_request import signature

LIFE_SECONDS = 86_400


def signed_query(key: str, container: str, now: float) -> str:
    """The query of a container's URL that can be read and listed for a day from `now` (Unix seconds)."""
    expiry = datetime.fromtimestamp(now + LIFE_SECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    parts = {
        "sv": "2014-02-14",
        "sr": "c",
        "sig": _signature(key, container, expiry),
        "se": expiry,
        "sp": "rl",
    }
    return urlencode(parts)


def admits(key: str, container: str, query: Mapping[str, str], now: float) -> bool:
    """Whether the query has a signature for the container that has not expired."""
    expected = _signature(key, container, query.get("se", ""))
    if not hmac.compare_digest(expected.encode(), query.get("sig", "").encode()):
        return False
    return datetime.fromisoformat(query["se"]).timestamp() > now


def _signature(key: str, container: str, expiry: str) -> str:
    return signature(key, f"{container}\n{expiry}\nrl")
