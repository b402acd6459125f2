"""What the hub's answers mean, and what their bodies say (`Retry-After` has a file of its own)."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.push import OutcomeKind, Unanswered
from push.hub.answers import Answer, NoAnswer, detail_of, meaning_of, notification_id

TOKEN = "AB12CD34EF56AB12CD34EF56AB12CD34EF56AB12CD34EF56AB12CD34EF56AB12"


class TestMeaning:
    @given(st.integers(200, 599), st.booleans())
    def test_every_status(self, status: int, has_retry_after: bool) -> None:
        """Every status has a meaning with a reason; an answer is never unanswered. Nothing but 201 is the
        hub's acceptance, as in Microsoft's SDKs: the page of a firewall may come with 200."""
        meaning = meaning_of(Answer(status, {"retry-after": "1"} if has_retry_after else {}))
        assert meaning.reason
        assert meaning.unanswered is None
        assert (meaning.kind is OutcomeKind.ACCEPTED) is (status == 201)

    @pytest.mark.parametrize(
        ("reply", "unanswered"),
        [
            (NoAnswer.TIMED_OUT, Unanswered.TIMEOUT),
            (NoAnswer.CONNECTION_LOST, Unanswered.LOST),
            (NoAnswer.NOT_HTTP, Unanswered.LOST),
        ],
    )
    def test_may_have_rung(self, reply: NoAnswer, unanswered: Unanswered) -> None:
        """The whole request was sent: the push may have been queued."""
        meaning = meaning_of(reply)
        assert (meaning.kind, meaning.unanswered) == (OutcomeKind.TRANSIENT, unanswered)

    @pytest.mark.parametrize(
        "reply",
        [
            NoAnswer.NO_TIME,
            NoAnswer.NAME_NOT_FOUND,
            NoAnswer.NO_CONNECTION,
            NoAnswer.TLS_FAILED,
            NoAnswer.PROXY_FAILED,
        ],
    )
    def test_passing(self, reply: NoAnswer) -> None:
        """The push was not sent, and the next try may reach the hub."""
        meaning = meaning_of(reply)
        assert (meaning.kind, meaning.unanswered) == (OutcomeKind.TRANSIENT, None)

    @pytest.mark.parametrize(
        ("reply", "setting"),
        [
            (NoAnswer.CERTIFICATE_REFUSED, "REQUESTS_CA_BUNDLE"),
            (NoAnswer.CA_FILE_UNREADABLE, "REQUESTS_CA_BUNDLE"),
            (NoAnswer.PROXY_MALFORMED, "HTTPS_PROXY"),
        ],
    )
    def test_misconfigured(self, reply: NoAnswer, setting: str) -> None:
        """An operator has to act; the reason names what to look at."""
        meaning = meaning_of(reply)
        assert (meaning.kind, meaning.unanswered) == (OutcomeKind.MISCONFIGURED, None)
        assert setting in meaning.reason


class TestDetail:
    @pytest.mark.parametrize(
        ("body", "detail"),
        [
            (
                "<Detail>One or more characters are not hexadecimal digits.TrackingId:00000000</Detail>",
                "One or more characters are not hexadecimal digits.",
            ),
            (
                "<Detail>InvalidSignature.TrackingId:d7-85_G2,TimeStamp:10/26/2021 3:38:01 AM</Detail>",
                "InvalidSignature.",
            ),
            (
                "<Detail>No claim. TrackingId:b_G2, SystemTracker:a.net:b/c, Timestamp:8/21/2018 1:27:34 PM",
                "No claim.",
            ),
            ("<Error><Detail>Too &amp; large\r\n  &lt;by&gt; far</Detail></Error>", "Too & large <by> far"),
            ("<Error><Detail>cut off", "cut off"),
            ("<error><detail>lower case</detail></error>", "lower case"),
            ("<Error><Detail>" + "word " * 100 + "</Detail></Error>", ("word " * 40).strip()),
            ("<Detail>\x1b[31mred\u202e\u200b!</Detail>", "[31mred !"),
        ],
    )
    def test_detail(self, body: str, detail: str) -> None:
        """The hub's words in one line, without what it appends for support."""
        assert detail_of(body.encode(), [TOKEN]) == detail

    @pytest.mark.parametrize(
        "body", ["", "<Error/>", "<Detail></Detail>", "<Detail> \n</Detail>", "Detail: no"]
    )
    def test_none(self, body: str) -> None:
        """A body without a detail says nothing."""
        assert detail_of(body.encode(), [TOKEN]) is None

    def test_much_of_nothing(self) -> None:
        """White space and commas are read once, however many there are."""
        started = time.thread_time()
        assert detail_of(b"<Detail>" + b" ," * 40_000, []) == " ".join([","] * 100)
        assert time.thread_time() - started < 5

    def test_no_text(self) -> None:
        """A body that is no UTF-8 is read as far as it goes."""
        assert detail_of(b"<Detail>caf\xe9</Detail>", []) == "caf\ufffd"

    @pytest.mark.parametrize(
        "said",
        [
            TOKEN,
            TOKEN.lower(),
            f"'{TOKEN}'",
            f"<{TOKEN}>",
            TOKEN[:20] + "...",
            f"token={TOKEN}",
            TOKEN[10:30],
        ],
    )
    def test_device_token(self, said: str) -> None:
        """The device token, or a part of it, is left out in every letter case."""
        detail = detail_of(f"<Detail>the handle {said} is wrong</Detail>".encode(), [TOKEN])
        assert detail is not None
        assert TOKEN[10:20].lower() not in detail.lower()
        assert detail.startswith("the handle ")
        assert detail.endswith(" is wrong")

    @pytest.mark.parametrize(
        "said",
        [
            "https://db5p.notify.windows.com/?token=AwYAAAB%2fcQhYBud&x=1",
            "https://db5p.notify.windows.com/?token=AwYAAAB/cQhYBud&amp;x=1",
        ],
    )
    def test_channel(self, said: str) -> None:
        """A channel of WNS is recognised with and without its escapes."""
        channel = "https://db5p.notify.windows.com/?token=AwYAAAB%2fcQhYBud&x=1"
        assert detail_of(f"<Detail>{said} is gone</Detail>".encode(), [channel]) == "[…] is gone"

    @given(st.binary(max_size=400), st.text(max_size=80))
    def test_any_body(self, body: bytes, token: str) -> None:
        """Every body gives one printable line of at most 200 characters, or None."""
        detail = detail_of(b"<Detail>" + body, [token])
        assert detail is None or (detail.isprintable() and 0 < len(detail) <= 200)

    @given(st.text("abcdef0123456789", min_size=16, max_size=64), st.text(" .,:;!?<>&'\"", max_size=5))
    def test_any_token(self, token: str, around: str) -> None:
        """No device token comes through."""
        detail = detail_of(f"<Detail>no {around}{token}{around} yes".encode(), [token])
        assert token not in (detail or "")


class TestNotificationId:
    @pytest.mark.parametrize(
        ("location", "expected"),
        [
            ("https://x.servicebus.windows.net/hub/messages/4-81-2?api-version=2020-06", "4-81-2"),
            ("https://x.servicebus.windows.net/hub/messages/4-81-2/", "4-81-2"),
            ("sb://x.servicebus.windows.net/hub/messages/NH_81.2", "NH_81.2"),
            (None, None),
            ("", None),
            ("https://x/hub/messages/?api-version=1", "messages"),
            ("https://x/hub/messages/a b", None),
            (f"https://x/hub/messages/{'a' * 101}", None),
            ("https://x/hub/messages/ä", None),
        ],
    )
    def test_last_segment(self, location: str | None, expected: str | None) -> None:
        """It is the last segment of the path, if that could be an id."""
        assert notification_id(location) == expected
