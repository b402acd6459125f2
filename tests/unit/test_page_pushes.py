"""How a simulated phone reads a push, and how the page masks it."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from local.hub.records import ReceivedPush
from local.page import masks
from local.page.push_view import push_view
from local.page.pushes import PushKind, read_push
from models.platform import Platform
from models.push import Push, PushNotificationInfo, StopInfo, VisibleInfo
from push.hub.payload import build_push, build_stop
from push.hub.visible_payload import build_visible
from tests.page_evidence import CONTEXT, NOW, TOKEN, push

MOMENT = datetime.fromtimestamp(NOW, UTC)
ENDS = MOMENT + timedelta(seconds=30)
PHONES = list(Platform)


def received(sent: Push) -> ReceivedPush:
    """As the hub simulator records it."""
    headers = {name.lower(): value for name, value in sent.headers}
    return push(format=sent.format, headers=headers, body=sent.body.decode())


@pytest.mark.parametrize("platform", PHONES)
class TestWhatTheAppSends:
    def test_ring(self, platform: Platform) -> None:
        """A ring: its call, the caller, and when it expires."""
        info = PushNotificationInfo(CONTEXT, "CALL", "8:acs:a", "8:acs:b", "Grace Hopper")
        message = read_push(received(build_push(platform, info, MOMENT, ENDS)))
        assert (message.kind, message.call_id, message.caller) == (PushKind.RING, "call", "Grace Hopper")
        assert message.expires_at == NOW + 30

    def test_stop(self, platform: Platform) -> None:
        """A stop: its call and the reason."""
        info = StopInfo("CALL", "8:acs:a", "8:acs:b", "declined")
        message = read_push(received(build_stop(platform, info, MOMENT)))
        assert (message.kind, message.call_id, message.reason) == (PushKind.STOP, "call", "declined")

    @pytest.mark.parametrize(
        ("event", "kind"), [("missedCall", PushKind.MISSED), ("incomingCall", PushKind.SHOW)]
    )
    def test_visible(self, platform: Platform, event: str, kind: PushKind) -> None:
        """A visible notification: its texts, also those with characters of XML."""
        info = VisibleInfo(
            event, "CALL", "8:acs:b", "Grace", "Missed <call>", "Grace & Ada", time_sensitive=False
        )
        message = read_push(received(build_visible(platform, info, MOMENT, ENDS)))
        assert (message.kind, message.call_id) == (kind, "call")
        assert (message.title, message.body) == ("Missed <call>", "Grace & Ada")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"data": 1}',
        '{"data": {"eventId": null}}',
        "<toast",
        "<toast/>",
        "<a>&b;</a>",
    ],
)
@pytest.mark.parametrize("platform", ["apple", "fcmv1", "windows", "browser", "unknown"])
def test_unreadable(platform: str, body: str) -> None:
    """A push that cannot be read is of another kind, and never an error."""
    message = read_push(push(format=platform, body=body, headers={}))
    assert (message.kind, message.call_id, message.expires_at) == (PushKind.OTHER, "", None)


@pytest.mark.parametrize(
    ("platform", "headers", "body", "expected"),
    [
        ("apple", {"apns-expiration": "soon"}, {}, None),
        ("fcmv1", {}, {"message": {"android": {"ttl": "3.5s"}}}, NOW + 3.5),
        ("fcmv1", {}, {"message": {}}, None),
        ("windows", {"x-wns-ttl": "12"}, {}, NOW + 12),
        ("browser", {}, {"ringsUntil": "2027-01-15T08:00:30Z"}, NOW + 30),
        ("browser", {}, {"ringsUntil": "later"}, None),
    ],
)
def test_expiry(platform: str, headers: dict[str, str], body: object, expected: float | None) -> None:
    """The expiry is read from each platform's own field; one that cannot be read is none."""
    message = read_push(push(format=platform, headers=headers, body=json.dumps(body)))
    assert message.expires_at == expected


class TestMasks:
    def test_no_token_and_no_context(self) -> None:
        """A push is shown with neither the device token nor the whole call context."""
        text = push_view(push()).model_dump_json()
        assert TOKEN not in text
        assert CONTEXT not in text

    def test_context_is_shortened(self) -> None:
        """The start and the length of the context are shown, every other field unchanged."""
        shown = json.loads(push_view(push()).body)
        assert shown["data"] == {
            "eventId": 107,
            "callId": "call",
            "cp": "H4sIAAAAH4sI… (400 characters)",
            "displayName": "Ada",
        }

    @pytest.mark.parametrize("name", ["cp", "incomingCallContext"])
    def test_context_in_a_list(self, name: str) -> None:
        """A nested context is shortened too, and so is a browser's."""
        assert CONTEXT not in masks.masked_body(json.dumps([{"a": [{name: CONTEXT}]}]))

    def test_body_that_cannot_be_read(self) -> None:
        """A body that cannot be parsed cannot be masked: only its length is shown."""
        assert masks.masked_body(f"cp={CONTEXT}") == "(not JSON, 403 characters)"

    def test_body_size_is_the_real_one(self) -> None:
        """The size is that of the received body."""
        assert push_view(push()).body_bytes == len(push().body)
