"""What a push tells a phone (pure): the kind of message, its call, and until when it is valid.

A phone's app reads the same: `docs/clients.md`.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException, ElementTree

from local.hub.records import PlatformOutcome, ReceivedPush

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s?", re.ASCII)


class PushKind(StrEnum):
    """What a phone does with a push."""

    RING = "ring"
    STOP = "stop"
    MISSED = "missed"
    """Shows a missed call."""
    SHOW = "show"
    """Shows an incoming call, where its VoIP push was refused."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Message:
    """A push as the phone reads it. Times are Unix seconds."""

    sequence: int
    kind: PushKind
    call_id: str
    """In lower case; empty if the push has none."""
    received_at: float
    expires_at: float | None
    tracking_id: str
    outcome: PlatformOutcome = PlatformOutcome.SUCCESS
    """What the platform made of it."""
    caller: str | None = field(default=None, repr=False)
    reason: str | None = None
    """Of a stop."""
    title: str = field(default="", repr=False)
    body: str = field(default="", repr=False)

    @property
    def has_arrived(self) -> bool:
        """The device has received it."""
        return self.outcome is PlatformOutcome.SUCCESS


def read_push(push: ReceivedPush) -> Message:
    """The message of a push; one that cannot be read is `OTHER`."""
    content = _toast(push.body) if push.body.lstrip().startswith("<") else _json(push.body)
    data = _data(push.format, content)
    return Message(
        sequence=push.sequence,
        kind=_kind(data),
        call_id=str(data.get("callId") or "").lower(),
        received_at=push.received_at,
        expires_at=_expires_at(push, content, data),
        tracking_id=push.tracking_id,
        outcome=push.outcome,
        caller=_text(data.get("displayName")),
        reason=_text(data.get("reason")),
        **_texts(content, data),
    )


def _json(body: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _toast(body: str) -> dict[str, Any]:
    """A toast in the form of the other platforms' notifications."""
    try:
        root = ElementTree.fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        return {}
    texts = [text.text or "" for text in root.iterfind("visual/binding/text")]
    title, shown = [*texts, "", ""][:2]
    return {"data": _json(root.get("launch", "")), "notification": {"title": title, "body": shown}}


def _data(platform: str, content: dict[str, Any]) -> dict[str, Any]:
    match platform:
        case "fcmv1":
            return _member(content, "message", "data")
        case "browser":
            return content
        case _:
            return _member(content, "data")


def _kind(data: dict[str, Any]) -> PushKind:
    if str(data.get("eventId")) == "110":
        return PushKind.STOP
    if data.get("eventId") is not None:
        return PushKind.RING
    match data.get("event"):
        case "missedCall":
            return PushKind.MISSED
        case "incomingCall":
            return PushKind.SHOW
    return PushKind.OTHER


def _texts(content: dict[str, Any], data: dict[str, Any]) -> dict[str, str]:
    """Title and body of a visible notification, wherever the platform has them."""
    places = (
        _member(content, "aps", "alert"),
        _member(content, "message", "notification"),
        _member(content, "notification"),
        data,
    )
    shown = next((place for place in places if "title" in place), {})
    return {name: _text(shown.get(name)) or "" for name in ("title", "body")}


def _expires_at(push: ReceivedPush, content: dict[str, Any], data: dict[str, Any]) -> float | None:
    """When the push expires, as its platform reads it; `None` if it does not say.

    APNs: the time in `apns-expiration`. FCM: `message.android.ttl` after the arrival. WNS: `X-WNS-TTL`
    seconds after the arrival. Browsers: `ringsUntil` in the body.
    """
    match push.format:
        case "apple":
            return _number(push.headers.get("apns-expiration"))
        case "browser":
            return _moment(data.get("ringsUntil"))
        case "fcmv1":
            left = _number(_member(content, "message", "android").get("ttl"))
        case _:
            left = _number(push.headers.get("x-wns-ttl"))
    return None if left is None else push.received_at + left


def _member(content: dict[str, Any], *path: str) -> dict[str, Any]:
    """The object at `path`, or an empty one."""
    value: Any = content
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(text: object) -> float | None:
    match = _SECONDS.fullmatch(text) if isinstance(text, str) else None
    return float(match[1]) if match else None


def _moment(text: object) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
    except ValueError:
        return None
