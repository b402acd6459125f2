"""Device tokens: the shape of each platform, and which spellings mean the same device."""

import base64
import json
import string
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import device_token, push_subscription
from models.device_token import (
    DeviceTokenError,
    compared_form,
    former_spellings,
    is_device_token,
    parse_device_token,
    problem_of,
)
from models.platform import Platform
from tests.subscriptions import AUTH, ENDPOINT, P256DH, subscription, subscription_text

APPLE, FCM, WINDOWS, BROWSER = Platform.APPLE, Platform.FCM_V1, Platform.WINDOWS, Platform.BROWSER
HEX = "96d6bb5d412881d30046f5bf5616beaddf6aa4abe57987bccc4b5c23209dbb0c"
FCM_TOKEN = "dQw4w9WgXcQ:APA91bH-_abc.def~x"
CHANNEL = "https://db5p.notify.windows.com/?token=AwYAAAB%2fcQhYBud&x=1"


def refusal(platform: Platform, text: str) -> str:
    with pytest.raises(DeviceTokenError) as caught:
        parse_device_token(platform, text)
    assert not is_device_token(platform, text)
    assert problem_of(platform, text) == str(caught.value)
    return str(caught.value)


class TestApple:
    @pytest.mark.parametrize("token", [HEX, HEX.upper(), HEX.title(), "0" * 64, "ab" * 80, "f" * 200])
    def test_taken_as_it_is(self, token: str) -> None:
        """64 to 200 hexadecimal digits in any letter case; a simulator's token has 160."""
        assert parse_device_token(APPLE, token) == token
        assert is_device_token(APPLE, token)

    @pytest.mark.parametrize(
        "spelling",
        [
            "<96d6bb5d 412881d3 0046f5bf 5616bead df6aa4ab e57987bc cc4b5c23 209dbb0c>",
            "96d6bb5d 412881d3 0046f5bf 5616bead df6aa4ab e57987bc cc4b5c23 209dbb0c",
            f"<{HEX}>",
            f"  {HEX}\r\n",
            " ".join(HEX),
        ],
    )
    def test_old_spellings(self, spelling: str) -> None:
        """Brackets and spaces of an NSData description, and white space at the ends, are removed."""
        assert parse_device_token(APPLE, spelling) == HEX
        assert not is_device_token(APPLE, spelling)

    @pytest.mark.parametrize(
        "text",
        [
            "{length = 32, bytes = 0x965b251c 6cb1926d ... 376eab7c }",
            "lta7XUEogdMARvW/VhY+rd9qpKvleYe8zEtcIyCduww=",
            "0x" + HEX,
            f"<<{HEX}>>",
            f"<{HEX}",
            f"{HEX}\0",
            HEX.replace("9", "\uff19"),  # a fullwidth 9
            HEX.replace("a", "\u0430"),  # a Cyrillic a
            f"{HEX}-",
            FCM_TOKEN,
        ],
    )
    def test_not_hexadecimal(self, text: str) -> None:
        """Anything else is refused with the word to search for."""
        assert "hexadecimal" in refusal(APPLE, text)

    def test_token_of_fcm(self) -> None:
        """The message says what it is and which one is wanted."""
        said = refusal(APPLE, FCM_TOKEN.replace(".", "-"))
        assert "FCM" in said
        assert "PushKit" in said

    @pytest.mark.parametrize("length", [1, 2, 62, 63, 65, 199, 201, 202, 4_096])
    def test_length(self, length: int) -> None:
        """An odd number of digits, and one out of range, are refused with the range."""
        said = refusal(APPLE, "a" * length)
        assert "64" in said
        assert "200" in said

    def test_letter_case_is_not_compared(self) -> None:
        """A token in capitals is the same device."""
        assert compared_form(APPLE, HEX.upper()) == compared_form(APPLE, HEX) == HEX
        assert former_spellings(APPLE, HEX.title()) == {HEX, HEX.upper(), HEX.title()}


class TestFcm:
    @pytest.mark.parametrize("token", [FCM_TOKEN, "x", "!~", FCM_TOKEN * 100])
    def test_printable_ascii(self, token: str) -> None:
        """Printable ASCII without white space, trimmed."""
        assert parse_device_token(FCM, token) == token
        assert parse_device_token(FCM, f" {token}\n") == token

    @pytest.mark.parametrize(
        "text", ["a b", "a\tb", "a\nb", "é", "📱", "a\0b", "a\x7fb", "a\u200bb", "\u2066a"]
    )
    def test_other_characters(self, text: str) -> None:
        """White space, control characters and anything beyond ASCII are refused."""
        assert "ASCII" in refusal(FCM, text)

    @pytest.mark.parametrize("token", [HEX, HEX.upper(), "ab" * 80])
    def test_token_of_apns(self, token: str) -> None:
        """The message says what it is."""
        assert "APNs" in refusal(FCM, token)

    @pytest.mark.parametrize("token", ["ctmBeCwtQDuDsClbyr6d3z", "0123456789abcdef", "a" * 63, "a" * 201])
    def test_id_of_an_installation(self, token: str) -> None:
        """Newer libraries give out the id of the installation, of 22 characters; a length is not
        documented."""
        assert parse_device_token(FCM, token) == token

    def test_letter_case_is_compared(self) -> None:
        """Letters of another case are another device."""
        assert compared_form(FCM, FCM_TOKEN) == FCM_TOKEN
        assert former_spellings(FCM, FCM_TOKEN) == frozenset()


class TestWindows:
    @pytest.mark.parametrize(
        "url",
        [
            CHANNEL,
            "https://notify.windows.com/",
            "https://wns2-by3p.notify.windows.com:443/?token=a",
            "https://A.NOTIFY.Windows.com/?token=a",
        ],
    )
    def test_channel(self, url: str) -> None:
        """An https URL of WNS, with its query as it is."""
        assert parse_device_token(WINDOWS, url) == url

    @pytest.mark.parametrize(
        "url",
        [
            "http://db5p.notify.windows.com/?token=a",
            "https://notify.windows.com.evil.test/",
            "https://evilnotify.windows.com/",
            "https://evil.test/?notify.windows.com",
            "https://evil.test/notify.windows.com",
            "https://evil.test#.notify.windows.com",
            "https://db5p.notify.windows.com@evil.test/",
            "https://evil.test\\@db5p.notify.windows.com/",
            "https://evil.test\\.notify.windows.com/",
            "https://user@db5p.notify.windows.com/",
            "https://db5p.notify.windows.com:8443/",
            "https://db5p.notify.windows.com:port/",
            "https://db5p.notify.windows.com./",
            "https://[::1]/",
            "https://[",
            "https://db5p.notify.windows.com/a b",
            "https://\uff44b5p.notify.windows.com/",  # a fullwidth d
            "https:notify.windows.com",
            "//db5p.notify.windows.com/",
            "db5p.notify.windows.com",
            HEX,
        ],
    )
    def test_other_urls(self, url: str) -> None:
        """Anything else is refused: the hub would send calls there."""
        assert "notify.windows.com" in refusal(WINDOWS, url)


class TestBrowser:
    STORED = f'{{"endpoint":"{ENDPOINT}","keys":{{"p256dh":"{P256DH}","auth":"{AUTH}"}}}}'

    @pytest.mark.parametrize(
        "spelling",
        [
            subscription_text(),
            STORED,
            f"\n {STORED} ",
            json.dumps(subscription(), indent=2),
            subscription_text(p256dh=P256DH + "=", auth=AUTH + "=="),
            subscription_text(other="key"),
            subscription_text(ENDPOINT.replace("googleapis.com", "GoogleAPIs.com.:443")),
        ],
    )
    def test_stored_in_one_way(self, spelling: str) -> None:
        """Endpoint and keys, without what else a browser says; the host in one spelling."""
        assert parse_device_token(BROWSER, spelling) == self.STORED
        assert is_device_token(BROWSER, self.STORED)

    @pytest.mark.parametrize(
        "url",
        [
            "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABl",
            "https://web.push.apple.com/QNv_d",
            "https://wns2-par02p.notify.windows.com/w/?token=BQYAAAD%2f",
            "https://push.example.test:8443/up?token=a#b",
        ],
    )
    def test_push_services(self, url: str) -> None:
        """Any public host: the push services of today, and one that an organisation runs."""
        assert json.loads(parse_device_token(BROWSER, subscription_text(url)))["endpoint"] == url

    @pytest.mark.parametrize(
        "url",
        [
            "http://fcm.googleapis.com/x",
            "ftp://fcm.googleapis.com/x",
            "//fcm.googleapis.com/x",
            "fcm.googleapis.com/x",
            "https:fcm.googleapis.com/x",
            "https:///x",
            "https://localhost/x",
            "https://LOCALHOST./x",
            "https://push/x",
            "https://push./x",
            "https://push.local/x",
            "https://push.Local./x",
            "https://metadata.google.internal/x",
            "https://push.localhost/x",
            "https://127.0.0.1/x",
            "https://127.0.0.1./x",
            "https://169.254.169.254/metadata",
            "https://127.1/x",
            "https://2130706433/x",
            "https://0x7f.1/x",
            "https://0x7f000001/x",
            "https://0177.0.0.01/x",
            "https://1.0x7f/x",
            "https://[::1]/x",
            "https://[::ffff:127.0.0.1]/x",
            "https://[fe80::1%25lo]/x",
            "https://user@fcm.googleapis.com/x",
            "https://user:pass@fcm.googleapis.com/x",
            "https://@fcm.googleapis.com/x",
            "https://fcm.googleapis.com@127.0.0.1/x",
            "https://fcm.googleapis.com\\@127.0.0.1/x",
            "https://127.0.0.1\\.googleapis.com/x",
            "https://127%2e0%2e0%2e1.test/x",
            "https://permanently-removed.invalid/fcm/send/a",
            "https://fcm..googleapis.com/x",
            "https://.com/x",
            "https://-fcm.googleapis.com/x",
            "https://fcm.googleapis.com:port/x",
            "https://fcm.googleapis.com:99999/x",
            "https://fcm.googleapis.com/a b",
            "https://fcm.googleapis.com/\r\nX-A:b",
            "https://fcm.googleapis.com/é",
            "https://fcm.goo\u0261leapis.com/x",  # a script g
            "https://\u2460.example.test/x",  # a circled 1
            "https://fcm\u3002googleapis.com/x",  # an ideographic full stop
            "https://" + "a" * 64 + ".test/x",
            "",
        ],
    )
    def test_other_endpoints(self, url: str) -> None:
        """No host that may be of this machine or this network, in any spelling."""
        assert refusal(BROWSER, subscription_text(url)) == (
            "endpoint must be the https URL of a push service on a public host"
        )

    @pytest.mark.parametrize(
        ("name", "key", "expected"),
        [
            ("p256dh", P256DH[:-2], "65 bytes"),
            ("p256dh", P256DH + "AA", "65 bytes"),
            ("p256dh", "A" + P256DH[1:], "65 bytes"),  # the first byte is 0
            ("p256dh", P256DH.replace("-", "+").replace("_", "/")[:-1] + "+", "65 bytes"),
            ("p256dh", None, "65 bytes"),
            ("p256dh", 4, "65 bytes"),
            ("auth", AUTH[:-1], "16 bytes"),
            ("auth", AUTH + "A", "16 bytes"),
            ("auth", AUTH + "AAAA", "16 bytes"),
            ("auth", AUTH[:-1] + "é", "16 bytes"),
            ("auth", "\n" + AUTH, "16 bytes"),
            ("auth", "", "16 bytes"),
            ("auth", [AUTH], "16 bytes"),
        ],
    )
    def test_other_keys(self, name: str, key: Any, expected: str) -> None:
        """A key of another length, kind or alphabet is named, and not quoted."""
        said = refusal(BROWSER, subscription_text(**{name: key}))
        assert said.startswith(f"keys.{name} must be")
        assert expected in said

    def test_everything_wrong(self) -> None:
        """All of it is said at once."""
        said = refusal(BROWSER, json.dumps({"endpoint": 1, "keys": None}))
        assert [part.partition(" ")[0] for part in said.split("; ")] == [
            "endpoint",
            "keys.p256dh",
            "keys.auth",
        ]

    @pytest.mark.parametrize(
        "text", [ENDPOINT, "[]", "1", '["x"]', "{", "[" * 4_000, '{"endpoint":NaN', "{'endpoint':''}"]
    )
    def test_not_json(self, text: str) -> None:
        """What is no JSON object says how to make one."""
        assert "JSON.stringify" in refusal(BROWSER, text)

    def test_endpoint_is_compared(self) -> None:
        """The keys may change; another endpoint is another browser."""
        renewed = parse_device_token(BROWSER, subscription_text(auth="A" * 22))
        assert renewed != self.STORED
        assert compared_form(BROWSER, renewed) == compared_form(BROWSER, self.STORED) == ENDPOINT
        assert compared_form(BROWSER, "changed by hand") == "changed by hand"
        assert former_spellings(BROWSER, self.STORED) == frozenset()


@pytest.mark.parametrize("platform", Platform)
class TestEveryPlatform:
    @pytest.mark.parametrize(
        "text",
        [
            "null",
            "(null)",
            "NULL",
            "(Null)",
            "undefined",
            "BLACKLISTED",
            " null\n",
            "nil",
            "<null>",
            "Optional(nil)",
            "MISSING_INSTANCEID_SERVICE",
            "SERVICE_NOT_AVAILABLE",
        ],
    )
    def test_placeholder(self, platform: Platform, text: str) -> None:
        """What apps send where they have no token is refused by name."""
        assert "placeholder" in refusal(platform, text)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("ExponentPushToken[IvT9UVERaEW7hk9ITQOCJw]", "Expo"),
            ("ExpoPushToken[IvT9UVERaEW7hk9ITQOCJw]", "Expo"),
            (f'"{FCM_TOKEN}"', "alone"),
            (f"'{HEX}'", "alone"),
            (f'Optional("{FCM_TOKEN}")', "alone"),
            (f"Optional({HEX})", "alone"),
            ("com.google.android.gms.tasks.zzn@b782139", "object"),
            ("com.google.firebase.iid.InstanceIdResult$1@0", "object"),
        ],
    )
    def test_something_else(self, platform: Platform, text: str, said: str) -> None:
        """So is what cannot be a token anywhere, with what to send instead."""
        assert said in refusal(platform, text)

    @pytest.mark.parametrize("text", ["", " ", "\n\t", "\u00a0"])
    def test_empty(self, platform: Platform, text: str) -> None:
        """So is nothing at all."""
        assert refusal(platform, text) == "must not be empty"


def _spellings(address: IPv4Address | IPv6Address) -> list[str]:
    """Of an address in the host of a URL: what some resolver somewhere understands."""
    if isinstance(address, IPv6Address):
        return [f"[{address}]", f"[{address.exploded}]", f"[::ffff:{address.packed[-4]}.0.0.1]", str(address)]
    one, two, three, four = address.packed
    return [
        f"{one}.{two}.{three}.{four}",
        f"{one}.{two}.{three * 256 + four}",
        f"{one}.{(two * 256 + three) * 256 + four}",
        str(int(address)),
        hex(int(address)),
        f"0{int(address):o}",
        ".".join(hex(part) for part in address.packed),
        ".".join(f"0{part:o}" for part in address.packed),
    ]


@given(st.ip_addresses(), st.sampled_from(["", ".", ":443", ".:443"]), st.booleans())
def test_any_address(address: IPv4Address | IPv6Address, suffix: str, in_capitals: bool) -> None:
    """No IP address is the host of an endpoint, in any spelling."""
    for host in _spellings(address):
        url = f"https://{host.upper() if in_capitals else host}{suffix}/push"
        assert "public host" in refusal(BROWSER, subscription_text(url)), url


@given(st.binary(min_size=64, max_size=64), st.binary(min_size=16, max_size=16), st.booleans())
def test_any_keys(point: bytes, auth: bytes, is_padded: bool) -> None:
    """Keys of the right length come back as the same bytes, however they were padded."""
    texts = [base64.urlsafe_b64encode(key).decode() for key in (b"\x04" + point, auth)]
    sent = texts if is_padded else [text.rstrip("=") for text in texts]
    stored = json.loads(parse_device_token(BROWSER, subscription_text(p256dh=sent[0], auth=sent[1])))
    assert list(stored["keys"].values()) == [text.rstrip("=") for text in texts]


MESSAGES = "".join(Path(module.__file__ or "").read_text() for module in (device_token, push_subscription))

_SUBSCRIPTIONS = st.builds(subscription_text, st.text() | st.text("https:/.1a@[]-%").map("https://{}".format))


@given(
    st.sampled_from(Platform), st.text() | st.text(string.hexdigits + "<> ", max_size=220) | _SUBSCRIPTIONS
)
def test_any_text(platform: Platform, text: str) -> None:
    """Any text is refused without being quoted, or stored in a form that can be sent and stays as it is."""
    try:
        token = parse_device_token(platform, text)
    except DeviceTokenError as error:
        said = str(error)
        # Hypothesis also draws the constants of imported modules, pieces of these messages among them.
        is_ours = len(text.strip()) < 4 or text.strip() in MESSAGES
        assert is_ours or text.strip() not in said
        return
    assert parse_device_token(platform, token) == token
    assert is_device_token(platform, token)
    assert token.isascii()
    assert token.isprintable()
    assert " " not in token
