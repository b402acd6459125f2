"""The demo's pushes: which are whose, and how they are shown (pure)."""

import json
from collections.abc import Iterable
from typing import Any

from common.telemetry import fingerprint
from local.hub.records import ReceivedPush
from local.page.pushes import PushKind, read_push
from local.samples import Phone

_SECRET_KEYS = frozenset({"cp", "recipientId", "callerId"})
_SHOWN_HEADERS = ("apns-", "x-wns-", "content-type", "servicebusnotification-apns-")


def pushes_of(
    pushes: Iterable[ReceivedPush], call_id: str, phone: Phone, kind: PushKind
) -> list[ReceivedPush]:
    """The pushes of one kind about a call to a device, with any of its tokens."""
    tokens = {phone.device_token, phone.alerts_token}
    return [
        push
        for push in pushes
        if push.device_handle in tokens
        and (message := read_push(push)).kind is kind
        and message.call_id == call_id.lower()
    ]


def shown_headers(push: ReceivedPush) -> str:
    """The headers that the platform reads, one a line."""
    wanted = {name: value for name, value in push.headers.items() if name.lower().startswith(_SHOWN_HEADERS)}
    return "\n".join(f"{name}: {value}" for name, value in wanted.items())


def shown_body(push: ReceivedPush) -> str:
    """The body as indented JSON, with secrets and personal data as fingerprints; of a toast its texts."""
    if push.body.startswith("<toast"):
        message = read_push(push)
        return f"<toast>\n {message.title}\n {message.body}"

    def mask(value: Any, key: str = "") -> Any:  # noqa: ANN401 - any JSON
        if isinstance(value, dict):
            return {name: mask(inner, name) for name, inner in value.items()}
        return f"sha256:{fingerprint(value)}" if key in _SECRET_KEYS else value

    return json.dumps(mask(json.loads(push.body)), indent=1, ensure_ascii=False)
