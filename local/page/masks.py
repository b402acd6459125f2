"""A push as the page shows it: device tokens as fingerprints, the call context shortened.

The tokens and contexts of a development stack are invented. They are masked all the same: screenshots of the
page are shared, and developers should not get used to seeing secrets.
"""

import json
from collections.abc import Mapping
from typing import Any

from common.telemetry import fingerprint

DEVICE_HANDLE = "servicebusnotification-devicehandle"
_CONTEXTS = frozenset({"cp", "incomingCallContext"})
"""Members with the call context; the second one is a browser's."""

SHOWN_OF_CONTEXT = 12
"""Characters of the context that are shown: enough to recognise gzip in base64."""


def masked_token(token: str) -> str:
    """The fingerprint of a device token."""
    return f"sha256:{fingerprint(token)}"


def masked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, sorted by name, with the device token as a fingerprint."""
    return {
        name: masked_token(value) if name.lower() == DEVICE_HANDLE else value
        for name, value in sorted(headers.items())
    }


def masked_body(body: str) -> str:
    """The body as indented JSON with the call context shortened; a toast as it is, of anything else only the
    length."""
    if body.startswith("<toast"):
        return body
    try:
        return json.dumps(_masked(json.loads(body)), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"(not JSON, {len(body)} characters)"


def _masked(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_masked(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: _short(each) if name in _CONTEXTS else _masked(each) for name, each in value.items()}


def _short(context: Any) -> str:  # noqa: ANN401 - any JSON
    text = str(context)
    return f"{text[:SHOWN_OF_CONTEXT]}… ({len(text)} characters)"
