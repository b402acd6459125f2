"""Stop pushes and visible notifications: body and headers for each platform."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import PushTooLargeError
from models.platform import Platform
from models.push import StopInfo, VisibleInfo
from push.hub.connection import is_header_value
from push.hub.payload import JSON_CONTENT_TYPE, MAXIMUM_BODY_BYTES, build_stop
from push.hub.visible_payload import build_visible, collapse_id
from tests.fakes import NOW

ENDS_AT = NOW + timedelta(days=1)
STOP = StopInfo("d0c5a8f5", "8:acs:r_1", "4:+14255550123", "answered")
VISIBLE = VisibleInfo("missedCall", "d0c5a8f5", "4:+1", "Zoë", "Missed call", "Zoë", time_sensitive=False)
NATIVE = (Platform.APPLE, Platform.WINDOWS)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


class TestStop:
    BODY = (
        b'{"aps":{},"data":{"eventId":110,"callId":"d0c5a8f5","recipientId":"8:acs:r_1",'
        b'"callerId":"4:+14255550123","reason":"answered"}}'
    )
    FCM = (
        b'{"message":{"android":{"priority":"high","ttl":"30s"},"data":{"eventId":"110","callId":"d0c5a8f5",'
        b'"recipientId":"8:acs:r_1","callerId":"4:+14255550123","reason":"answered"}}}'
    )

    @pytest.mark.parametrize("platform", NATIVE)
    def test_native(self, platform: Platform) -> None:
        """The envelope of a ring."""
        assert build_stop(platform, STOP, NOW).body == self.BODY

    def test_fcm(self) -> None:
        """FCM's data holds strings only."""
        assert build_stop(Platform.FCM_V1, STOP, NOW).body == self.FCM

    def test_browser(self) -> None:
        """A browser's service worker reads the members as they are."""
        push = build_stop(Platform.BROWSER, STOP, NOW)
        assert json.loads(push.body) == json.loads(self.BODY)["data"]
        assert (push.format, push.content_type, push.headers) == ("browser", JSON_CONTENT_TYPE, ())

    def test_headers(self) -> None:
        """The headers of a ring; a platform keeps a stop for 30 seconds."""
        apple = dict(build_stop(Platform.APPLE, STOP, NOW).headers)
        assert apple["apns-push-type"] == "voip"
        assert apple["apns-expiration"] == str(int((NOW + timedelta(seconds=30)).timestamp()))
        assert build_stop(Platform.WINDOWS, STOP, NOW).headers == (
            ("X-WNS-Type", "wns/raw"),
            ("X-WNS-TTL", "30"),
        )

    def test_a_caller_unknown(self) -> None:
        """What is not known is left out."""
        body = build_stop(Platform.WINDOWS, replace(STOP, caller_id=None, call_id=None), NOW).body
        assert json.loads(body)["data"] == {
            "eventId": 110,
            "recipientId": "8:acs:r_1",
            "reason": "answered",
        }

    @pytest.mark.parametrize("platform", list(Platform))
    def test_too_large(self, platform: Platform) -> None:
        """Ids are not cut."""
        with pytest.raises(PushTooLargeError):
            build_stop(platform, replace(STOP, recipient_id="8:acs:" + "r" * 6_000), NOW)


class TestCollapseId:
    @pytest.mark.parametrize("call_id", ["a", "d0c5a8f5-0e5b-4a1c-8d4e-6a5b4c3d2e1f", "x" * 64])
    def test_as_it_is(self, call_id: str) -> None:
        """APNs takes 64 bytes of a header."""
        assert collapse_id(call_id) == call_id

    @pytest.mark.parametrize("call_id", ["x" * 65, "é", "a\nb", "\x7f", "📱" * 20, " a", "a ", " "])
    def test_hashed(self, call_id: str) -> None:
        """Any other is hashed, so that both notifications of a call have the same."""
        assert len(collapse_id(call_id)) == 64
        assert collapse_id(call_id).isalnum()

    @given(texts.filter(bool))
    def test_any(self, call_id: str) -> None:
        """Whatever the call id is, the header can be sent."""
        assert 1 <= len(collapse_id(call_id)) <= 64
        assert is_header_value(collapse_id(call_id))


class TestVisible:
    def test_urgency(self) -> None:
        """An incoming call may break through a focus mode; a missed one does not."""
        for time_sensitive, level in ((True, "time-sensitive"), (False, "active")):
            info = replace(VISIBLE, time_sensitive=time_sensitive)
            body = json.loads(build_visible(Platform.APPLE, info, NOW, ENDS_AT).body)
            assert body["aps"]["interruption-level"] == level

    def test_browser(self) -> None:
        """A service worker shows title and body itself."""
        push = build_visible(Platform.BROWSER, VISIBLE, NOW, ENDS_AT)
        assert json.loads(push.body) == {
            "event": "missedCall",
            "callId": "d0c5a8f5",
            "callerId": "4:+1",
            "displayName": "Zoë",
            "title": "Missed call",
            "body": "Zoë",
        }
        assert (push.format, push.content_type, push.headers) == ("browser", JSON_CONTENT_TYPE, ())

    def test_no_call_id(self) -> None:
        """Without one nothing is replaced."""
        info = replace(VISIBLE, call_id=None)
        assert "apns-collapse-id" not in dict(build_visible(Platform.APPLE, info, NOW, ENDS_AT).headers)
        message = json.loads(build_visible(Platform.FCM_V1, info, NOW, ENDS_AT).body)["message"]
        assert "notification" not in message["android"]

    @given(title=texts, body=texts, name=texts)
    def test_any_text(self, title: str, body: str, name: str) -> None:
        """Any text gives a body that is well-formed and within the limits, with the text's beginning in
        it."""
        info = replace(VISIBLE, title=title, body=body, display_name=name)
        for platform in Platform:
            push = build_visible(platform, info, NOW, ENDS_AT)
            assert len(push.body) <= MAXIMUM_BODY_BYTES[platform]
            if platform is Platform.WINDOWS:
                root = ET.fromstring(push.body)  # noqa: S314 - the app's own
                assert json.loads(root.get("launch", ""))["event"] == "missedCall"
                assert len(list(root.iter("text"))) == 2
            else:
                json.loads(push.body)

    def test_markup(self) -> None:
        """A name may look like XML."""
        info = replace(VISIBLE, title='<b a="1">&amp;', body="]]> \x00\x0b 'x'")
        push = build_visible(Platform.WINDOWS, info, NOW, ENDS_AT)
        root = ET.fromstring(push.body)  # noqa: S314 - the app's own
        assert [text.text for text in root.iter("text")] == ['<b a="1">&amp;', "]]>  'x'"]
        assert push.headers == (("X-WNS-Type", "wns/toast"), ("X-WNS-TTL", "86400"))
        assert push.content_type == "application/xml"

    def test_too_large(self) -> None:
        """Texts are cut, ids are not."""
        with pytest.raises(PushTooLargeError):
            build_visible(Platform.APPLE, replace(VISIBLE, caller_id="4:" + "9" * 5_000), NOW, ENDS_AT)
