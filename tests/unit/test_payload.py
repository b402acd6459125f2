"""Call and platform → body and headers of the push."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import PushTooLargeError
from models.platform import Platform
from models.push import Push, PushNotificationInfo
from push.hub.payload import build_push
from tests.fakes import NOW

ENDS_AT = NOW + timedelta(seconds=42, milliseconds=900)
LIMITS = {
    Platform.APPLE: 4_096,
    Platform.FCM_V1: 4_096,
    Platform.WINDOWS: 5_120,
    Platform.BROWSER: 3_800,
}
INFO = PushNotificationInfo(
    call_context="H4sIAAAA/+8=",
    call_id="d0c5a8f5",
    recipient_id="8:acs:r_1",
    caller_id="4:+14255550123",
    display_name='Zoë "Z" \\ 📱',
)
ONLY_CONTEXT = PushNotificationInfo("H4sI", None, None, None, None)

platforms = pytest.mark.parametrize("platform", list(Platform))


def push(platform: Platform, info: PushNotificationInfo = INFO, ends_at: datetime = ENDS_AT) -> Push:
    return build_push(platform, info, NOW, ends_at)


def data_of(body: bytes) -> dict[str, Any]:
    """What the SDK on the phone reads, or the page in the browser, where the context has another name."""
    whole = json.loads(body)
    data = whole["message"]["data"] if "message" in whole else whole.get("data", whole)
    assert isinstance(data, dict)
    return {"cp" if key == "incomingCallContext" else key: value for key, value in data.items()}


class TestBody:
    NATIVE = (
        b'{"aps":{},"data":{"eventId":107,"cp":"H4sIAAAA/+8=","callId":"d0c5a8f5","recipientId":"8:acs:r_1",'
        b'"callerId":"4:+14255550123","displayName":"Zo\xc3\xab \\"Z\\" \\\\ \xf0\x9f\x93\xb1",'
        b'"videoCall":"false"}}'
    )
    FCM = (
        b'{"message":{"android":{"priority":"high","ttl":"42s"},"data":{"eventId":"107","cp":"H4sIAAAA/+8=",'
        b'"callId":"d0c5a8f5","recipientId":"8:acs:r_1","callerId":"4:+14255550123",'
        b'"displayName":"Zo\xc3\xab \\"Z\\" \\\\ \xf0\x9f\x93\xb1","videoCall":"false"}}}'
    )
    BROWSER = (
        b'{"eventId":107,"incomingCallContext":"H4sIAAAA/+8=","callId":"d0c5a8f5","recipientId":"8:acs:r_1",'
        b'"callerId":"4:+14255550123","displayName":"Zo\xc3\xab \\"Z\\" \\\\ \xf0\x9f\x93\xb1",'
        b'"videoCall":"false","ringsUntil":"2100-01-31T12:00:42Z"}'
    )

    @pytest.mark.parametrize(
        ("platform", "body"),
        [
            (Platform.APPLE, NATIVE),
            (Platform.WINDOWS, NATIVE),
            (Platform.FCM_V1, FCM),
            (Platform.BROWSER, BROWSER),
        ],
    )
    def test_bytes(self, platform: Platform, body: bytes) -> None:
        """The very bytes: compact UTF-8 JSON with the keys that the Calling SDK reads."""
        assert push(platform).body == body

    BARE_NATIVE = b'{"aps":{},"data":{"eventId":107,"cp":"H4sI","videoCall":"false"}}'
    BARE_FCM = (
        b'{"message":{"android":{"priority":"high","ttl":"42s"},'
        b'"data":{"eventId":"107","cp":"H4sI","videoCall":"false"}}}'
    )

    BARE_BROWSER = (
        b'{"eventId":107,"incomingCallContext":"H4sI","videoCall":"false",'
        b'"ringsUntil":"2100-01-31T12:00:42Z"}'
    )

    @pytest.mark.parametrize(
        ("platform", "body"),
        [
            (Platform.APPLE, BARE_NATIVE),
            (Platform.WINDOWS, BARE_NATIVE),
            (Platform.FCM_V1, BARE_FCM),
            (Platform.BROWSER, BARE_BROWSER),
        ],
    )
    def test_missing_values(self, platform: Platform, body: bytes) -> None:
        """Values that the event does not have are left out, never null; an empty text counts as missing."""
        assert push(platform, ONLY_CONTEXT).body == body
        assert push(platform, PushNotificationInfo("H4sI", "", "", "", "")).body == body

    @platforms
    @pytest.mark.parametrize("name", ["call_id", "recipient_id", "caller_id", "display_name"])
    def test_one_missing_value(self, platform: Platform, name: str) -> None:
        """Each value can be missing without the others."""
        changes: dict[str, Any] = {name: None}
        keys = {"call_id": "callId", "recipient_id": "recipientId", "caller_id": "callerId"}
        whole, less = push(platform), push(platform, replace(INFO, **changes))
        assert data_of(whole.body).keys() - data_of(less.body).keys() == {keys.get(name, "displayName")}

    def test_fcm_data(self) -> None:
        """FCM's data is flat, holds strings only, avoids the reserved keys and names no target."""
        message = json.loads(push(Platform.FCM_V1).body)["message"]
        assert message.keys() == {"android", "data"}
        assert all(isinstance(value, str) for value in message["data"].values())
        reserved = [key for key in message["data"] if key in {"from", "message_type"} or "." in key]
        assert not reserved


class TestHeaders:
    def test_apple(self) -> None:
        """A VoIP push without delay, with its expiry in both spellings, and without a topic."""
        sent = push(Platform.APPLE)
        assert sent.format == "apple"
        assert sent.content_type == "application/json;charset=utf-8"
        assert dict(sent.headers) == {
            "apns-push-type": "voip",
            "ServiceBusNotification-Apns-Push-Type": "voip",
            "apns-priority": "10",
            "apns-expiration": "4105080042",
            "ServiceBusNotification-Apns-Expiry": "2100-01-31T12:00:42Z",
        }
        assert len(dict(sent.headers)) == len(sent.headers)

    def test_fcm(self) -> None:
        """All of FCM's options are in the body."""
        sent = push(Platform.FCM_V1)
        assert (sent.format, sent.content_type) == ("fcmv1", "application/json;charset=utf-8")
        assert sent.headers == ()

    def test_windows(self) -> None:
        """A raw push, with its time to live in seconds."""
        sent = push(Platform.WINDOWS)
        assert (sent.format, sent.content_type) == ("windows", "application/octet-stream")
        assert dict(sent.headers) == {"X-WNS-Type": "wns/raw", "X-WNS-TTL": "42"}

    @pytest.mark.parametrize(
        ("left", "seconds"), [(60.0, 60), (59.999, 59), (1.0, 1), (0.5, 0), (0.0, 0), (-5.0, 0)]
    )
    def test_expiry(self, left: float, seconds: int) -> None:
        """A push expires when the call stops ringing, in whole seconds rounded down, never negative."""
        ends_at = NOW + timedelta(seconds=left)
        android = json.loads(push(Platform.FCM_V1, ends_at=ends_at).body)["message"]["android"]
        assert android == {"priority": "high", "ttl": f"{seconds}s"}
        assert dict(push(Platform.WINDOWS, ends_at=ends_at).headers)["X-WNS-TTL"] == str(seconds)
        apple = dict(push(Platform.APPLE, ends_at=ends_at).headers)
        expiry = datetime.fromisoformat(apple["ServiceBusNotification-Apns-Expiry"])
        assert int(apple["apns-expiration"]) == expiry.timestamp()
        assert timedelta(0) <= ends_at - expiry < timedelta(seconds=1)

    @platforms
    def test_repr_hides_the_body(self, platform: Platform) -> None:
        """The body, which holds the call context and the name, is in no representation."""
        assert INFO.call_context not in repr(push(platform)) + repr(INFO)
        assert "Zo" not in repr(push(platform)) + repr(INFO)


def leaving(platform: Platform, room: int) -> Callable[[str | None], PushNotificationInfo]:
    """Makes infos whose body leaves exactly `room` bytes for a display name, quotes and key included."""
    bare = len(push(platform, ONLY_CONTEXT).body) - len("H4sI")
    context = "A" * (LIMITS[platform] - room - bare)
    return lambda name: PushNotificationInfo(context, None, None, None, name)


# ,"displayName":""
KEY = 17


def shortened(platform: Platform, room: int, name: str) -> str | None:
    """The display name in the body if `room` bytes are left for its text."""
    body = push(platform, leaving(platform, room + KEY)(name)).body
    assert len(body) <= LIMITS[platform]
    arrived = data_of(body).get("displayName")
    assert arrived is None or isinstance(arrived, str)
    return arrived


def size(text: str) -> int:
    """Bytes that a text takes in JSON, without its quotes."""
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


class TestSize:
    @platforms
    def test_exact_limit(self, platform: Platform) -> None:
        """A body of exactly the limit is sent whole; with one byte more the name is shortened."""
        for name in ("Ann", "Zoë", "📱", '"'):
            whole = push(platform, leaving(platform, KEY + size(name))(name)).body
            assert len(whole) == LIMITS[platform]
            assert data_of(whole)["displayName"] == name
            short = push(platform, leaving(platform, KEY + size(name) - 1)(name)).body
            assert len(short) < LIMITS[platform]
            assert data_of(short).get("displayName") != name

    @platforms
    def test_too_large_without_a_name(self, platform: Platform) -> None:
        """What fits only without a name is sent without one; a byte more is an error that quotes nothing."""
        fitting = leaving(platform, 0)("Ann")
        assert len(push(platform, fitting).body) == LIMITS[platform]
        assert "displayName" not in data_of(push(platform, fitting).body)
        for name in ("Ann", "", None):
            with pytest.raises(PushTooLargeError) as caught:
                push(platform, leaving(platform, -1)(name))
            assert str(LIMITS[platform]) in str(caught.value)
            assert "AAAA" not in str(caught.value)

    def test_size_counts_the_whole_body(self) -> None:
        """The limit counts the bytes of the whole body, the digits of the time to live included."""
        info = leaving(Platform.FCM_V1, 0)(None)
        assert build_push(Platform.FCM_V1, info, NOW, NOW + timedelta(seconds=99)).body
        with pytest.raises(PushTooLargeError):
            build_push(Platform.FCM_V1, info, NOW, NOW + timedelta(seconds=100))

    @pytest.mark.parametrize(
        ("name", "room", "arrived"),
        [
            ("Annabelle", 8, "Annab…"),
            ("Annabelle", 4, "A…"),
            ("Annabelle", 3, None),
            ("ÄÖÜäöü", 11, "ÄÖÜä…"),
            ("ÄÖÜäöü", 10, "ÄÖÜ…"),
            ("📱📱📱", 11, "📱📱…"),
            ("📱📱📱", 10, "📱…"),
            ("📱📱📱", 6, None),
            ('""""', 7, '""…'),
            ('""""', 6, '"…'),
            ("a\n\n\n\n", 5, "a…"),
            ("^^^^^^^^", 7, "^^^^…"),
            ("````````", 7, "````…"),
            # Accents written apart and a keycap: a mark stays with the character before it.
            ("Zoe\u0308 M", 6, "Zo…"),
            ("Zoe\u0308 Mur", 8, "Zoe\u0308…"),
            ("a1\ufe0f\u20e3b", 8, "a…"),
            ("a" + "\u0301" * 50, 40, None),
            # No blank before the ellipsis.
            ("Ann Lees", 7, "Ann…"),
            ("A       Lee", 9, "A…"),
        ],
    )
    @platforms
    def test_shortened_name(self, platform: Platform, name: str, room: int, arrived: str | None) -> None:
        """A name that is too long is cut between characters, as late as possible, and ends in an ellipsis."""
        assert shortened(platform, room, name) == arrived

    @platforms
    def test_other_values_stay(self, platform: Platform) -> None:
        """Nothing but the name is shortened."""
        info = replace(INFO, call_context="A" * 2_800, display_name="ü" * 5_000)
        arrived = data_of(push(platform, info).body)
        assert arrived.pop("displayName").endswith("ü…")
        assert arrived["cp"] == "A" * 2_800
        assert (arrived["callId"], arrived["callerId"]) == (INFO.call_id, INFO.caller_id)


@given(st.sampled_from(Platform), st.text(min_size=1), st.integers(min_value=0, max_value=60))
def test_any_name(platform: Platform, name: str, room: int) -> None:
    """For every name the body fits and is UTF-8, and the name is whole or a prefix with an ellipsis."""
    name *= 1 + 60 // len(name)
    arrived = shortened(platform, room, name)
    if size(name) <= room:
        assert arrived == name
    elif arrived is not None:
        assert arrived.endswith("…")
        assert name.startswith(arrived[:-1])
        assert arrived != "…"


# A character with its combining marks.
CHARACTERS = st.sampled_from(
    ["a", "ü", "e\u0308", "名", "📱", "1\ufe0f\u20e3", "नि", "^", '"', "\\", "\x00", " "]
)


@given(
    st.sampled_from(Platform),
    st.lists(CHARACTERS, min_size=1, max_size=30),
    st.integers(min_value=0, max_value=80),
)
def test_cut_between_characters(platform: Platform, characters: list[str], room: int) -> None:
    """As many whole characters arrive as fit together with the ellipsis, except blanks at the end."""
    name = "".join(characters)
    if size(name) <= room:
        expected: str | None = name
    else:
        prefixes = ["".join(characters[:count]) for count in range(len(characters))]
        kept = max((prefix for prefix in prefixes if size(prefix + "…") <= room), key=len, default="")
        expected = kept.rstrip() + "…" if kept.rstrip() else None
    assert shortened(platform, room, name) == expected
