"""Connection strings, signatures and SAS tokens."""

import base64
import hashlib
import hmac
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from urllib.parse import quote_plus, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.hub import HubConnectionString
from push.hub.sas import SasTokenSource, sas_token, signature
from tests.fakes import FakeClock

KEY = "do/not+quote=this=key=="
PARTS = (
    "Endpoint=sb://Contoso-NS.servicebus.windows.net/",
    "SharedAccessKeyName=Send Only",
    f"SharedAccessKey={KEY}",
)
CONNECTION = HubConnectionString("contoso-ns.servicebus.windows.net", "Send Only", KEY)


class TestSignature:
    def test_known_good(self) -> None:
        """The signature of the documentation's example."""
        signed = quote_plus(signature("mysecretkey", "mydata"))
        assert signed == "u0JTQtSbhCo8r7%2BYr%2FRNiJOs7%2FVwDireHAXovvLBbXo%3D"

    def test_known_good_of_the_sdks(self) -> None:
        """The signature of the SDKs' tests, over an encoded URI and its expiry."""
        text = "https%3A%2F%2Ftesthub-ns.servicebus.windows.net\n123"
        assert signature("testAccessKey", text) == "cy3Y21BlsAw8slr5TnmSM3pilYBC8T7k3oNqOUKvE2g="

    def test_key_is_text(self) -> None:
        """The key is UTF-8 text, even where it looks like base64."""
        expected = hmac.new("c2Vjcmüt==".encode(), b"x", hashlib.sha256).digest()
        assert signature("c2Vjcmüt==", "x") == base64.b64encode(expected).decode()


class TestToken:
    def test_exact_header(self) -> None:
        """Resource in lower case and encoded, signature, expiry and encoded key name, in this order."""
        resource = "https%3A%2F%2Fcontoso-ns.servicebus.windows.net%2Fring"
        signed = base64.b64encode(
            hmac.new(KEY.encode(), f"{resource}\n1767225600".encode(), hashlib.sha256).digest()
        ).decode()
        encoded = signed.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
        assert sas_token(CONNECTION, "Ring", 1_767_225_600) == (
            f"SharedAccessSignature sr={resource}&sig={encoded}&se=1767225600&skn=Send+Only"
        )

    @given(st.text(min_size=1), st.text(min_size=1), st.integers(min_value=0, max_value=2**40))
    def test_what_is_sent_was_signed(self, key_name: str, key: str, expiry: int) -> None:
        """For all names and keys, the token is ASCII and its signature fits the text that it sends."""
        token = sas_token(HubConnectionString("h.test", key_name, key), "hub", expiry)
        scheme, _, rest = token.partition(" ")
        fields = dict(part.split("=") for part in rest.split("&"))
        assert (scheme, list(fields)) == ("SharedAccessSignature", ["sr", "sig", "se", "skn"])
        assert token.isascii()
        assert unquote_plus(fields["sig"]) == signature(key, f"{fields['sr']}\n{fields['se']}")
        assert unquote_plus(fields["skn"]) == key_name


class TestTokenSource:
    def expiry(self, token: str) -> int:
        return int(token.partition("&se=")[2].partition("&")[0])

    def test_kept(self) -> None:
        """One token serves all sends until ten minutes before it expires, then there is a new one."""
        clock = FakeClock()
        source = SasTokenSource(CONNECTION, "ring", clock.unix)
        first = source.token()
        assert first == sas_token(CONNECTION, "ring", int(clock.unix()) + 3_600)
        clock.sleep(2_999)
        assert source.token() == first
        clock.sleep(1)
        second = source.token()
        assert self.expiry(second) == int(clock.unix()) + 3_600
        clock.sleep(2_999)
        assert source.token() == second

    def test_never_expired(self) -> None:
        """At any moment the token is good for ten minutes at least and an hour at most."""
        clock = FakeClock()
        source = SasTokenSource(CONNECTION, "ring", clock.unix)
        for step in (0.0, 0.9, 1_799.7, 1_199.3, 0.2, 7_000.0, 86_400.0, 2_999.95, 0.1):
            clock.sleep(step)
            assert 600 - 1 < self.expiry(source.token()) - clock.unix() <= 3_600

    @pytest.mark.parametrize("back", [3_600, 86_400, 10 * 365 * 86_400])
    def test_clock_set_back(self, back: int) -> None:
        """A clock that is set back far gets a new token: the kept one would be used beyond its renewal."""
        clock = FakeClock()
        source = SasTokenSource(CONNECTION, "ring", clock.unix)
        source.token()
        clock.sleep(-back)
        assert self.expiry(source.token()) == int(clock.unix()) + 3_600

    def test_clock_set_back_a_little(self) -> None:
        """A clock that is corrected by seconds keeps its token."""
        clock = FakeClock()
        source = SasTokenSource(CONNECTION, "ring", clock.unix)
        token = source.token()
        clock.sleep(-30)
        assert source.token() == token

    def test_shared_between_threads(self) -> None:
        """Threads that ask at the same time get the same token; while one makes it, the other waits."""
        first_is_inside, second_is_inside = threading.Event(), threading.Event()
        both_inside: list[bool] = []

        def clock() -> float:
            if first_is_inside.is_set():
                second_is_inside.set()
            else:
                first_is_inside.set()
                both_inside.append(second_is_inside.wait(0.2))
            return 1_000_000.0

        source = SasTokenSource(CONNECTION, "ring", clock)
        with ThreadPoolExecutor(2) as pool:
            tokens = set(pool.map(lambda _: source.token(), range(2)))
        assert tokens == {sas_token(CONNECTION, "ring", 1_000_000 + 3_600)}
        assert both_inside == [False]


class TestConnectionString:
    @pytest.mark.parametrize("parts", list(permutations(PARTS)))
    def test_any_order(self, parts: tuple[str, ...]) -> None:
        """The parts may come in any order."""
        assert HubConnectionString.parse(";".join(parts)) == CONNECTION

    @pytest.mark.parametrize(
        "text",
        [
            ";".join(PARTS) + ";",
            ";".join(PARTS) + " ; ",
            ";;".join(PARTS),
            " ; ".join(PARTS).replace("=", " = ", 1) + "\n",
            ";".join([*PARTS, "EntityPath=ring"]),
            ";".join(["EntityPath=ring", *PARTS]),
            ";".join(PARTS).replace("Endpoint", "endpoint").replace("SharedAccessKey=", "sharedaccesskey="),
            ";".join(PARTS).replace("net/", "net"),
            ";".join(PARTS).replace("sb://", "SB://"),
        ],
    )
    def test_accepted_forms(self, text: str) -> None:
        """Spaces, empty parts, an entity path and names in another case are tolerated."""
        assert HubConnectionString.parse(text) == CONNECTION

    @pytest.mark.parametrize("key", ["a", "a=", "a==", "=a", "a=b=c==", "a+/b=", "EntityPath=x"])
    def test_key_with_equals_signs(self, key: str) -> None:
        """A part is split at its first equals sign only."""
        text = ";".join([*PARTS[:2], f"SharedAccessKey={key}"])
        assert HubConnectionString.parse(text).key == key

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("", ["Endpoint", "SharedAccessKeyName", "SharedAccessKey"]),
            (KEY, ["Endpoint", "SharedAccessKeyName", "SharedAccessKey"]),
            (";".join(PARTS[1:]), ["Endpoint"]),
            (";".join([PARTS[0], PARTS[2]]), ["SharedAccessKeyName"]),
            (";".join(PARTS[:2]), ["SharedAccessKey"]),
            (";".join([*PARTS[:2], "SharedAccessKey="]), ["SharedAccessKey"]),
            (";".join([*PARTS[:2], "SharedAccessKey = "]), ["SharedAccessKey"]),
            (",".join(PARTS), ["SharedAccessKeyName", "SharedAccessKey"]),
            (";".join(PARTS).replace("sb://", "https://"), ["Endpoint"]),
            (";".join(PARTS).replace("sb://", ""), ["Endpoint"]),
            (";".join(PARTS).replace("sb://", "sb:"), ["Endpoint"]),
            (";".join(["Endpoint=sb://", *PARTS[1:]]), ["Endpoint"]),
            (";".join([f"Endpoint={KEY}", *PARTS[1:]]), ["Endpoint"]),
            (";".join(["Endpoint=sb://[do-not-quote", *PARTS[1:]]), ["Endpoint"]),
            (";".join(["Endpoint=sb://do-not-quote..servicebus.windows.net/", *PARTS[1:]]), ["Endpoint"]),
            (";".join(["Endpoint=sb://.do-not-quote/", *PARTS[1:]]), ["Endpoint"]),
            (";".join(["Endpoint=sb://do-not-quote" + "x" * 60, *PARTS[1:]]), ["Endpoint"]),
            (";".join(["Endpoint=sb://do not-quote/", *PARTS[1:]]), ["Endpoint"]),
            (";".join(["Endpoint=sb://<do-not-quote>.servicebus.windows.net/", *PARTS[1:]]), ["Endpoint"]),
        ],
    )
    def test_malformed(self, text: str, named: list[str]) -> None:
        """All missing or malformed parts are named; nothing of the text is quoted."""
        with pytest.raises(ValueError, match=", ".join(named)) as caught:
            HubConnectionString.parse(text)
        assert "do/not" not in str(caught.value)
        assert "do-not" not in str(caught.value)

    def test_repr_hides_the_key(self) -> None:
        """The key is not in the representation."""
        assert KEY not in repr(CONNECTION)
        assert "Send Only" in repr(CONNECTION)

    def test_audience_and_url(self) -> None:
        """The audience is in lower case; the URL keeps the hub's name as it is."""
        assert CONNECTION.audience("Ring") == "https://contoso-ns.servicebus.windows.net/ring"
        assert CONNECTION.messages_url("Ring") == "https://contoso-ns.servicebus.windows.net/Ring/messages/"
