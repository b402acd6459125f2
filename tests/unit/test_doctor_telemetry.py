"""What the hub's telemetry says of a push, read without keeping any of the push."""

from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.checks.findings import Status
from doctor.checks.telemetry import NO_TIER, NOT_KNOWN_YET, PlatformWord, Telemetry, telemetry_of

NAMESPACE = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
SECRET = "do-not-show"
COUNTS = ("ApnsOutcomeCounts", "FcmV1OutcomeCounts", "WnsOutcomeCounts", "BrowserOutcomeCounts")


def document(*outcomes: tuple[str, int], state: str = "Completed", counts: str = COUNTS[0]) -> bytes:
    """As the REST documentation shows it."""
    named = "".join(
        f"<Outcome><Name>{name}</Name><Count>{count}</Count></Outcome>" for name, count in outcomes
    )
    return (
        f'<NotificationDetails xmlns="{NAMESPACE}" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">'
        f"<NotificationId>1-2-3</NotificationId><Location>sb://x/{SECRET}</Location><State>{state}</State>"
        f"<NotificationBody>{escape(SECRET)}</NotificationBody><TargetPlatforms>apple</TargetPlatforms>"
        f"<{counts}>{named}</{counts}><PnsErrorDetailsUri>https://x/{SECRET}</PnsErrorDetailsUri>"
        "</NotificationDetails>"
    ).encode()


class TestDocument:
    @pytest.mark.parametrize("counts", COUNTS)
    def test_accepted(self, counts: str) -> None:
        """A platform that took the push."""
        found = telemetry_of(200, document(("Success", 1), counts=counts))
        assert (found.word, found.status, found.outcomes) == (
            PlatformWord.ACCEPTED,
            Status.PASS,
            {"Success": 1},
        )

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("WrongToken", "sandbox and production"),
            ("ExpiredChannel", "register again"),
            ("BadChannel", "register again"),
            ("InvalidCredentials", "credentials"),
            ("PnsUnavailable", "status page"),
            ("AbandonedNotificationMessages", "gave up"),
            ("SomethingNew", ""),
        ],
    )
    def test_refused(self, name: str, hint: str) -> None:
        """One that did not, with what to do."""
        found = telemetry_of(200, document((name, 1)))
        assert (found.word, found.status) == (PlatformWord.REFUSED, Status.FAIL)
        assert name in found.detail
        assert hint in found.remedy

    @pytest.mark.parametrize(
        ("state", "word"),
        [
            ("Completed", PlatformWord.NO_WORD),
            ("NoTargetFound", PlatformWord.NO_WORD),
            ("Enqueued", PlatformWord.NOT_YET),
            ("Processing", PlatformWord.NOT_YET),
        ],
    )
    def test_no_outcome(self, state: str, word: PlatformWord) -> None:
        """A dead FCM token may show none at all; one that is still under way shows none yet."""
        found = telemetry_of(200, document(state=state))
        assert (found.word, found.status) == (word, Status.CANNOT_TELL)

    def test_nothing_counted(self) -> None:
        """An outcome that was counted zero times is none."""
        assert telemetry_of(200, document(("WrongToken", 0), ("Success", 1))).word is PlatformWord.ACCEPTED

    def test_nothing_of_the_push(self) -> None:
        """Neither the body nor an address with a key in it is kept."""
        for body in (document(("Success", 1)), document(("WrongToken", 1)), document()):
            assert SECRET not in repr(telemetry_of(200, body))

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            b"<Other/>",
            b'<!DOCTYPE x [<!ENTITY a "b">]><NotificationDetails><State>&a;</State></NotificationDetails>',
            b"<!DOCTYPE x><NotificationDetails/>",
            b'<?xml version="1.0" encoding="nonsense"?><NotificationDetails/>',
            document()[:-5],
        ],
    )
    def test_unreadable(self, body: bytes) -> None:
        """What is no such document, or has a DOCTYPE, is said to be unreadable."""
        found = telemetry_of(200, body)
        assert (found.word, found.detail) == (PlatformWord.NOT_TOLD, "the hub's answer cannot be read")

    @pytest.mark.parametrize(
        ("status", "expected"),
        [(404, NOT_KNOWN_YET), (403, NO_TIER), (401, None), (301, None), (503, None)],
    )
    def test_status(self, status: int, expected: Telemetry | None) -> None:
        """Why there is no document."""
        found = telemetry_of(status, b"")
        assert found.status is Status.CANNOT_TELL
        assert expected is None or found == expected

    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_any_bytes(self, body: bytes) -> None:
        """Whatever is answered becomes a value."""
        assert telemetry_of(200, body).word in PlatformWord

    @given(st.lists(st.tuples(st.text("abcDEF_-<&", max_size=90), st.text("0123456789-+x ٣", max_size=30))))
    def test_any_outcomes(self, outcomes: list[tuple[str, str]]) -> None:
        """Whatever an outcome is called and however it is counted."""
        named = "".join(
            f"<Outcome><Name>{escape(name)}</Name><Count>{count}</Count></Outcome>"
            for name, count in outcomes
        )
        body = f"<NotificationDetails><ApnsOutcomeCounts>{named}</ApnsOutcomeCounts></NotificationDetails>"
        found = telemetry_of(200, body.encode())
        assert found.word is not PlatformWord.NOT_TOLD
        assert all(count > 0 for count in found.outcomes.values())
