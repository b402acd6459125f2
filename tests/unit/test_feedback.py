"""The feedback of the platforms: which container may be read, and what its documents say."""

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.device import registration_ids
from models.feedback import Feedback
from models.platform import Platform
from push.hub.feedback import (
    LONGEST_DOCUMENT,
    Blob,
    FeedbackParser,
    blob_url,
    container_url,
    listing_url,
    parse_listing,
)
from tests.fakes import registration
from tests.subscriptions import ENDPOINT, subscription_text

SECRET = "do-not-quote"
HUB = "https://contoso.servicebus.windows.net/calls/messages/"
LOCAL_HUB = "http://127.0.0.1:7080/calls/messages/"
AZURE = f"https://nhfeedback1.blob.core.windows.net/calls-feedback?sv=2014-02-14&sig={SECRET}"


class TestContainer:
    @pytest.mark.parametrize(
        "url",
        [
            AZURE,
            AZURE.replace("windows.net", "usgovcloudapi.net"),
            AZURE.replace("windows.net", "chinacloudapi.cn"),
            AZURE.replace("/calls-", ":443/calls-"),
            f" {AZURE}\r\n",
            f'"{AZURE}"',
        ],
    )
    def test_azure_storage(self, url: str) -> None:
        """A container of Azure Storage, over https."""
        assert container_url(url, HUB) == url.strip().strip('"')

    @pytest.mark.parametrize(
        "url",
        [
            "",
            SECRET,
            AZURE.replace("https", "http"),
            AZURE.replace("windows.net", f"windows.net.{SECRET}.test"),
            AZURE.replace("nhfeedback1.", "a.b."),
            AZURE.replace("nhfeedback1.blob", "blob"),
            AZURE.replace("/calls-", ":8443/calls-"),
            AZURE.replace("https://", f"https://user:{SECRET}@"),
            AZURE.replace("https://", "https://evil.test\\@"),
            AZURE.replace("nhfeedback1", "evil.test/x"),
            AZURE.replace("nhfeedback1", "evil.test#x"),
            AZURE.replace("/calls-feedback", ""),
            AZURE + "#x",
            AZURE.replace("core", "c\u043ere"),
            AZURE.replace("/calls", "/\ncalls"),
            "https://169.254.169.254/metadata/instance",
            "https://[::1]:bad/x",
            "http://127.0.0.1:7080/container?sig=x",
            "https://localhost/container?sig=x",
            "file:///etc/passwd",
        ],
    )
    def test_elsewhere(self, url: str) -> None:
        """Anything else is not fetched, and not quoted."""
        with pytest.raises(ValueError, match=r"^(is|names) ") as caught:
            container_url(url, HUB)
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_loopback(self, scheme: str) -> None:
        """This machine, where the hub itself is there."""
        url = f"{scheme}://127.0.0.1:9/simulator-blobs/calls?sig=x"
        assert container_url(url, LOCAL_HUB) == url

    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        """Whatever the hub answers."""
        try:
            url = container_url(text, HUB)
        except ValueError:
            return
        assert url.startswith("https://")

    def test_urls(self) -> None:
        """The signature stays the query, whatever is added."""
        assert listing_url(AZURE, "") == f"{AZURE}&restype=container&comp=list"
        assert listing_url(AZURE, "a b&c").endswith("&marker=a%20b%26c")
        expected = AZURE.replace("calls-feedback?", "calls-feedback/11%252025%3F?")
        assert blob_url(AZURE, "11%2025?") == expected


class TestListing:
    def test_pages(self) -> None:
        """Names and lengths, and where the next page begins."""
        body = (
            '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="x"><Blobs>'
            "<Blob><Name>11252026</Name><Properties><Content-Length>17</Content-Length></Properties></Blob>"
            "<Blob><Name/><Properties><Content-Length>1</Content-Length></Properties></Blob>"
            "<Blob><Name>no length</Name></Blob>"
            "<Blob><Name>negative</Name><Properties><Content-Length>-1</Content-Length></Properties></Blob>"
            "</Blobs><NextMarker>more</NextMarker></EnumerationResults>"
        ).encode()
        found = parse_listing(body)
        assert (found.blobs, found.next_marker) == ((Blob("11252026", 17),), "more")

    @pytest.mark.parametrize(
        "body",
        [b"", b"{}", b"<Error/>", b"<!DOCTYPE x><EnumerationResults/>", b"<EnumerationResults>"],
    )
    def test_none(self, body: bytes) -> None:
        """What is no list, or has a DOCTYPE."""
        with pytest.raises(ValueError, match="is no list"):
            parse_listing(body)

    @given(st.binary(max_size=200))
    def test_any_bytes(self, body: bytes) -> None:
        """Whatever is answered is a list or a ValueError."""
        with suppress(ValueError):
            assert parse_listing(b"<EnumerationResults>" + body + b"</EnumerationResults>").blobs == ()


MOMENT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NAMESPACE = 'xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"'
DECLARATION = '<?xml version="1.0" encoding="utf-16"?>'


def document(
    handle: str = "token", error: str = "ExpiredChannel", at: str = "2026-11-25T12:00:00.1234567Z"
) -> str:
    """As the service writes it."""
    return (
        f"{DECLARATION}<PnsFeedback {NAMESPACE}><FeedbackTime>{at}</FeedbackTime>"
        f"<NotificationSystemError>{error}</NotificationSystemError><Platform>apple</Platform>"
        f"<PnsHandle>{escape(handle)}</PnsHandle><RegistrationId/><NotificationId>1</NotificationId>"
        "</PnsFeedback>"
    )


def parse(data: bytes, sizes: Sequence[int] = ()) -> tuple[list[Feedback], FeedbackParser]:
    """Feed the data in pieces of these sizes, and then the rest."""
    parser, found, position = FeedbackParser(), [], 0
    for size in (*sizes, len(data)):
        found += list(parser.feed(data[position : position + size]))
        position += size
    return found, parser


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")


class TestDocuments:
    @pytest.mark.parametrize("encoding", ENCODINGS)
    @pytest.mark.parametrize("between", ["", "\n", "\r\n  ", "\n<!-- a note -->\n"])
    def test_encodings(self, encoding: str, between: str) -> None:
        """Each declares UTF-16, whatever the bytes are; on one line or several."""
        text = between.join([document("a"), document("ü📱", "WrongToken"), document("<&>")])
        found, parser = parse(text.encode(encoding))
        assert [each.handle for each in found] == ["a", "ü📱", "<&>"]
        assert [each.error for each in found] == ["ExpiredChannel", "WrongToken", "ExpiredChannel"]
        assert found[0].at == MOMENT.replace(microsecond=123456)
        assert (parser.unreadable, parser.consumed) == (0, len(text.encode(encoding)))

    def test_goes_on(self) -> None:
        """What is consumed ends with a whole document, and reading may go on there in every encoding."""
        for encoding in ENCODINGS:
            data = (document("a") + document("b")).encode(encoding)
            cut = len(data) - 40
            first, parser = parse(data[:cut])
            second, _ = parse(data[parser.consumed :])
            assert [each.handle for each in (*first, *second)] == ["a", "b"]

    @pytest.mark.parametrize(
        "broken",
        [
            document(at="yesterday"),
            document(at=""),
            document(handle=" "),
            document(error=""),
            "<PnsFeedback><Open></PnsFeedback>",
            '<!DOCTYPE x [<!ENTITY a "b">]>' + document(),
            "<PnsFeedback><!DOCTYPE x></PnsFeedback>",
            document().replace("<PnsHandle>", "<PnsHandle>&a;"),
            "</PnsFeedback>",
            f"<PnsFeedback>{'x' * LONGEST_DOCUMENT}</PnsFeedback>",
        ],
        ids=lambda text: str(text)[:40],
    )
    def test_broken(self, broken: str) -> None:
        """A document that is not understood is counted, and those around it are read."""
        found, parser = parse((document("a") + broken + document("b")).encode())
        assert [each.handle for each in found] == ["a", "b"]
        assert parser.unreadable >= 1

    def test_cut_off(self) -> None:
        """A document that was never finished does not take the next one with it."""
        found, _ = parse(("<PnsFeedback><PnsHandle>a" + document("b")).encode())
        assert [each.handle for each in found] == ["b"]

    def test_no_document(self) -> None:
        """What never ends is neither kept nor read again."""
        found, parser = parse(b"x" * (3 * LONGEST_DOCUMENT), [LONGEST_DOCUMENT + 1] * 2)
        assert found == []
        assert parser.consumed > 2 * LONGEST_DOCUMENT

    @given(
        st.lists(
            st.tuples(
                st.text(min_size=1, max_size=20)
                .filter(lambda text: text.strip() == text)
                .filter(lambda text: all(character.isprintable() for character in text)),
                st.sampled_from(["", "\n", "x", "<", "</", "<Pns", "&", "\ufeff"]),
            ),
            max_size=6,
        ),
        st.lists(st.integers(1, 90), max_size=12),
        st.sampled_from(ENCODINGS),
    )
    def test_any_pieces(self, parts: list[tuple[str, str]], sizes: list[int], encoding: str) -> None:
        """However the bytes come in pieces, and whatever stands between documents, each is read once."""
        text = "".join(document(handle) + between for handle, between in parts)
        found, parser = parse(text.encode(encoding), sizes)
        assert [each.handle for each in found] == [handle for handle, _ in parts]
        assert parser.unreadable == 0

    @given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=8))
    def test_any_bytes(self, data: bytes, sizes: list[int]) -> None:
        """Whatever the bytes are, nothing is raised, and no more is consumed than came."""
        _, parser = parse(data + b"</PnsFeedback>", sizes)
        assert 0 <= parser.consumed <= len(data) + len("</PnsFeedback>")

    def test_secrets(self) -> None:
        """A device token does not show in what can be logged."""
        (found,), _ = parse(document(SECRET).encode())
        assert SECRET not in repr(found)


class TestHandles:
    @pytest.mark.parametrize(
        ("platform", "token", "handle"),
        [
            (Platform.APPLE, "ab" * 32, "AB" * 32),
            (Platform.APPLE, "AB" * 32, "ab" * 32),
            (Platform.FCM_V1, "a:B", "a:B"),
            (Platform.WINDOWS, "https://db5p.notify.windows.com/?token=a%2fb", None),
            (Platform.BROWSER, subscription_text(), ENDPOINT),
        ],
    )
    def test_under_every_platform(self, platform: Platform, token: str, handle: str | None) -> None:
        """A reported handle names the registration, whichever platform the report names."""
        device = registration(device_token=token, platform=platform)
        assert device.registration_id in registration_ids(handle or token)

    def test_case(self) -> None:
        """But for Apple's, letter case counts."""
        device = registration(device_token="a:B", platform=Platform.FCM_V1)
        assert device.registration_id not in registration_ids("a:b")

    def test_json(self) -> None:
        """A handle that looks like a subscription is no endpoint of one."""
        assert registration_ids(json.dumps({}))
