"""What the page reads, made by hand."""

import json
from datetime import UTC, datetime
from typing import Any

from local.hub.records import Attempt, ReceivedPush
from local.page.host_lines import Span, StructuredLine
from local.page.masks import DEVICE_HANDLE
from models.device import DeviceRegistration
from models.identity import Identity
from models.platform import Platform

TOKEN = "b7" * 32
CONTEXT = "H4sIAAAA" * 50
NOW = 1_800_000_000.0
CALLEE = "8:acs:callee"
RING_SECONDS = 60


def registration(token: str = TOKEN, **changes: Any) -> DeviceRegistration:
    known: dict[str, Any] = {
        "owner": Identity.parse(CALLEE),
        "device_uuid": f"uuid of {token[:2]}",
        "device_token": token,
        "platform": Platform.APPLE,
        "expires_at": datetime.fromtimestamp(NOW + 86_400, UTC),
    }
    return DeviceRegistration(**{**known, **changes})


def push(
    data: dict[str, Any] | None = None, *, sequence: int = 1, token: str = TOKEN, **changes: Any
) -> ReceivedPush:
    """A ring of the call `call` to an iPhone, a minute long; `data` changes the payload."""
    payload = {"eventId": 107, "callId": "call", "cp": CONTEXT, "displayName": "Ada", **(data or {})}
    known: dict[str, Any] = {
        "hub": "calls",
        "sequence": sequence,
        "device_handle": token,
        "format": "apple",
        "headers": {"apns-expiration": str(round(NOW) + RING_SECONDS), DEVICE_HANDLE: token},
        "body": json.dumps({"aps": {}, "data": payload}),
        "call_id": payload["callId"],
        "received_at": NOW,
        "tracking_id": f"tracked-{sequence}",
        "notification_id": "notified",
    }
    return ReceivedPush.model_validate({**known, **changes})


def stop(reason: str = "answered", **changes: Any) -> ReceivedPush:
    """A push that stops the ringing of `call`."""
    return push({"eventId": 110, "reason": reason, "cp": None}, **{"sequence": 9, **changes})


def attempt(status: int | None = 201, **changes: Any) -> Attempt:
    known: dict[str, Any] = {
        "device_handle": TOKEN,
        "status": status,
        "fault": None,
        "reason": None,
        "tracking_id": "tracked-1",
        "received_at": NOW,
        "monotonic": 1.0,
        "call_id": "call",
    }
    return Attempt.model_validate({**known, **changes})


def line(level: str = "INFO", **fields: object) -> StructuredLine:
    return StructuredLine(NOW + 1, "12:00:00,123", level, fields)


def span(
    name: str, *, trace: str = "t", start: float = NOW, seconds: float = 0.01, **attributes: Any
) -> Span:
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return Span(trace, f"{name} at {start}", name, start, start + seconds, named)
