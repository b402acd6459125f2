"""What the page shows of a push: all of it, but device tokens as fingerprints and the call context cut short.

The tokens and contexts of a development stack are made up. Yet a screen is shared more easily than a log, and
whoever gets used to seeing secrets here will not start at them elsewhere.
"""

import json
from collections.abc import Mapping
from typing import Any

from common.telemetry import fingerprint

DEVICE_HANDLE = "servicebusnotification-devicehandle"
SHOWN_OF_CONTEXT = 12
"""Characters of `cp` that are shown: enough to see that it is gzip in base64."""


def named(token: str) -> str:
    """A device token by its fingerprint."""
    return f"sha256:{fingerprint(token)}"


def masked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, sorted by name, with the device token as a fingerprint."""
    return {
        name: named(value) if name.lower() == DEVICE_HANDLE else value
        for name, value in sorted(headers.items())
    }


def masked_body(body: str) -> str:
    """The body as indented JSON with `cp` cut short; only its length where it is no JSON."""
    try:
        return json.dumps(_masked(json.loads(body)), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"(no JSON, {len(body)} characters)"


def _masked(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_masked(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: _short(each) if name == "cp" else _masked(each) for name, each in value.items()}


def _short(context: Any) -> str:  # noqa: ANN401 - any JSON
    text = str(context)
    return f"{text[:SHOWN_OF_CONTEXT]}… ({len(text)} characters)"
