"""Bearer tokens, checked against an issuer with real keys on loopback."""

import contextlib
import hashlib
import hmac
import json
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ed448, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from models.access import OidcSettings
from models.errors import IssuerUnavailableError, UnauthenticatedError
from registrar.jwks import (
    FETCH_SECONDS,
    FETCHES_AT_ONCE,
    KEYS_FRESH_SECONDS,
    KEYS_USABLE_SECONDS,
    LONGEST_WAIT_SECONDS,
    MOST_BYTES,
    READ_TIMEOUT_SECONDS,
    SECONDS_AFTER_FAILURE,
    SECONDS_PER_FETCH,
    JwksKeys,
)
from registrar.oidc import ALGORITHMS, OidcAccess
from tests.fakes import FakeClock, app_log
from tests.faults import TcpProxy
from tests.oidc_issuer import AUDIENCE, OidcIssuer, SigningKey, encoded, forged

SECRET = "do-not-quote-this-claim"
PATIENCE = 10.0


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with OidcIssuer() as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def access(issuer: OidcIssuer, clock: FakeClock) -> Iterator[OidcAccess]:
    wanted = OidcSettings(issuer.url, AUDIENCE, "acsMri", "Registrar.Admin")
    with requests.Session() as session:
        yield OidcAccess(wanted, JwksKeys(wanted.issuer, session, clock.monotonic))


def refused(access: OidcAccess, token: str) -> str:
    """The reason for which the token is refused; checks that nothing of it is quoted."""
    with pytest.raises(UnauthenticatedError) as caught:
        access.claims(token)
    shown = "".join([repr(caught.value), *traceback.format_exception(caught.value)])
    assert SECRET not in shown
    assert caught.value.headers == {"WWW-Authenticate": 'Bearer realm="registrar", error="invalid_token"'}
    return caught.value.detail


def unavailable(access: OidcAccess, token: str) -> None:
    with pytest.raises(IssuerUnavailableError) as caught:
        access.claims(token)
    assert caught.value.http_status == 503
    assert int(caught.value.headers["Retry-After"]) > 0


class TestGood:
    def test_claims(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A good token's claims come back as they are."""
        token = issuer.token(acsMri="8:acs:ü", roles=["Registrar.Admin"])
        claims = access.claims(token)
        assert (claims["acsMri"], claims["roles"]) == ("8:acs:ü", ["Registrar.Admin"])

    def test_audience_in_a_list(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A token may have several audiences."""
        assert access.claims(issuer.token(aud=["https://elsewhere.test", AUDIENCE]))

    def test_clock_skew(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """Clocks may differ by some seconds, in both directions."""
        now = int(time.time())
        assert access.claims(issuer.token(exp=now - 10))
        assert access.claims(issuer.token(nbf=now + 10, iat=now + 10))

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    @pytest.mark.parametrize("names_it", [True, False])
    def test_every_algorithm(
        self, issuer: OidcIssuer, access: OidcAccess, algorithm: str, *, names_it: bool
    ) -> None:
        """Every algorithm of the list works, whether or not the key says which it is for (Entra's do not)."""
        key = issuer.rotate("another", algorithm)
        issuer.keys = [key.jwk() if names_it else key.jwk(alg=None, use=None)]
        assert access.claims(issuer.token())["sub"] == "subject"

    def test_only_asymmetric_algorithms(self) -> None:
        """No algorithm of the list signs with a key that is public."""
        assert all(name.startswith(("RS", "PS", "ES", "EdDSA")) for name in ALGORITHMS)

    def test_no_key_id(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A token may name no key where there is only one."""
        assert access.claims(without_key_id(issuer))

    def test_no_key_id_and_several_keys(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """With several keys, a token has to name one."""
        issuer.keys.append(SigningKey.new("key-2").jwk())
        assert refused(access, without_key_id(issuer)) == "The bearer token's issuer has no such key."

    def test_issuer_with_trailing_slash(self, issuer: OidcIssuer, clock: FakeClock) -> None:
        """An issuer whose name ends in a slash, as Auth0's does, is found and compared with the slash."""
        url = f"{issuer.url}/"
        issuer.discovery = {"issuer": url}
        wanted = OidcSettings(url, AUDIENCE, "acsMri", "admin")
        with requests.Session() as session:
            access = OidcAccess(wanted, JwksKeys(wanted.issuer, session, clock.monotonic))
            assert access.claims(issuer.token(iss=url))
            assert refused(access, issuer.token()) == "The bearer token is from another issuer."


def without_key_id(issuer: OidcIssuer) -> str:
    """A properly signed token whose header has no `kid`."""
    return jwt.encode(issuer.claims(), issuer.key.private, algorithm=issuer.key.algorithm)


class TestClaims:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"aud": "api://elsewhere"}, "The bearer token is for another audience."),
            ({"aud": [SECRET]}, "The bearer token is for another audience."),
            ({"aud": f"{AUDIENCE}/x"}, "The bearer token is for another audience."),
            ({"aud": None}, "The bearer token lacks one of the claims exp, iss and aud."),
            ({"iss": f"https://{SECRET}.test"}, "The bearer token is from another issuer."),
            ({"iss": None}, "The bearer token lacks one of the claims exp, iss and aud."),
            ({"exp": 1}, "The bearer token has expired."),
            ({"exp": -1}, "The bearer token has expired."),
            ({"exp": None}, "The bearer token lacks one of the claims exp, iss and aud."),
            ({"nbf": 32_503_680_000}, "The bearer token is not valid yet."),
            ({"iat": 32_503_680_000}, "The bearer token is not valid yet."),
        ],
    )
    def test_wrong(
        self, issuer: OidcIssuer, access: OidcAccess, changes: dict[str, Any], reason: str
    ) -> None:
        """A token with a wrong audience, issuer or time is refused with the reason."""
        assert refused(access, issuer.token(note=SECRET, **changes)) == reason

    def test_just_expired(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """The allowance for clocks is half a minute, no more."""
        now = int(time.time())
        assert refused(access, issuer.token(exp=now - 31)) == "The bearer token has expired."
        assert refused(access, issuer.token(nbf=now + 60)) == "The bearer token is not valid yet."

    @pytest.mark.parametrize("name", ["exp", "nbf", "iat", "iss", "aud", "sub", "jti"])
    def test_of_another_type(self, issuer: OidcIssuer, access: OidcAccess, name: str) -> None:
        """A claim of an impossible type is refused by our own error, however well it is signed."""
        for value in ("soon", "", [], {}, [1], {"a": 1}, 1e400, -1e400, float("nan"), "9" * 5_000):
            token = rs256_token(issuer, encoded(issuer.claims(**{name: value})))
            if name in {"sub", "jti"} and isinstance(value, str):
                assert access.claims(token)
            else:
                refused(access, token)
        # A number of any size is a number.
        with contextlib.suppress(UnauthenticatedError):
            access.claims(rs256_token(issuer, encoded(issuer.claims(**{name: 10**400}))))

    @pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"1", b'"text"', b"{", b"\xff", b"[" * 9_000])
    def test_no_claims(self, issuer: OidcIssuer, access: OidcAccess, payload: bytes) -> None:
        """A payload that is no JSON object is malformed, however well it is signed."""
        assert refused(access, rs256_token(issuer, encoded(payload))) == "The bearer token is malformed."


def rs256_token(issuer: OidcIssuer, payload: str) -> str:
    """Any payload, properly signed."""
    signing_input = f"{encoded({'alg': 'RS256', 'kid': issuer.key.key_id})}.{payload}"
    assert isinstance(issuer.key.private, rsa.RSAPrivateKey)
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(signing_input.encode(), issuer.key.private)
    return f"{signing_input}.{encoded(signature)}"


class TestSignature:
    def test_other_key(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A token signed by another key under the issuer's key id is refused."""
        token = SigningKey.new(issuer.key.key_id).sign(issuer.claims())
        assert refused(access, token) == "The bearer token's signature is wrong."

    def test_tampered_payload(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A changed payload does not fit its signature."""
        header, _, signature = issuer.token(acsMri="8:acs:me").split(".")
        payload = encoded(issuer.claims(acsMri="8:acs:another-user"))
        assert refused(access, f"{header}.{payload}.{signature}").endswith("signature is wrong.")

    def test_every_tampered_character(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A token with any single character changed is refused."""
        token = issuer.token()
        for place in range(len(token)):
            changed = "A" if token[place] != "A" else "B"
            refused(access, token[:place] + changed + token[place + 1 :])

    @pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, [], {}, 0, True, "RS256 "])
    @pytest.mark.parametrize("signed", [True, False])
    def test_none(self, issuer: OidcIssuer, access: OidcAccess, alg: object, *, signed: bool) -> None:
        """An unsigned token is refused, however its algorithm is written, before anything is fetched."""
        token = forged({"alg": alg, "kid": "key-1"}, issuer.claims(), b"x" * 256 if signed else b"")
        assert refused(access, token) == "The bearer token's signature algorithm is not accepted."
        assert issuer.requests == 0

    @pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
    def test_public_key_as_secret(self, issuer: OidcIssuer, access: OidcAccess, alg: str) -> None:
        """A token that is signed with the public key, as if it were a shared secret, is refused."""
        for secret in (
            issuer.key.public_pem(),
            json.dumps(issuer.key.jwk()).encode(),
            issuer.key.jwk()["n"].encode(),
        ):
            signing_input = f"{encoded({'alg': alg, 'kid': 'key-1'})}.{encoded(issuer.claims())}"
            digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
            signature = hmac.new(secret, signing_input.encode(), digest).digest()
            assert refused(access, f"{signing_input}.{encoded(signature)}").endswith("not accepted.")

    def test_symmetric_key_published(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A symmetric key in the key set verifies nothing."""
        secret = b"s" * 64
        issuer.keys = [{"kty": "oct", "kid": "key-1", "k": encoded(secret)}]
        signing_input = f"{encoded({'alg': 'HS256', 'kid': 'key-1'})}.{encoded(issuer.claims())}"
        signature = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
        assert refused(access, f"{signing_input}.{encoded(signature)}").endswith("not accepted.")
        assert refused(access, issuer.token()) == "The bearer token's issuer has no such key."

    @pytest.mark.parametrize(
        ("key_for", "claimed"),
        [("RS256", "ES256"), ("ES256", "RS256"), ("ES384", "ES256"), ("ES256K", "ES256"), ("EdDSA", "ES256")],
    )
    def test_algorithm_of_another_key_type(
        self, issuer: OidcIssuer, access: OidcAccess, key_for: str, claimed: str
    ) -> None:
        """A key verifies with the algorithms of its own kind and curve only."""
        key = SigningKey.new("key-1", key_for)
        issuer.keys = [key.jwk(alg=None)]
        refused(access, forged({"alg": claimed, "kid": "key-1"}, issuer.claims(), b"x" * 64))

    def test_algorithm_that_the_key_is_not_for(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A key that names its algorithm is used for no other."""
        token = issuer.key.sign(issuer.claims(), alg="PS256")
        assert refused(access, token) == "The bearer token's issuer has no such key."
        assert access.claims(issuer.token())

    def test_key_in_the_header(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A key inside the token is not used."""
        mine = SigningKey.new("key-1")
        token = mine.sign(issuer.claims(), jwk=mine.jwk(), jku="http://127.0.0.1:1/keys", x5u="http://x.test")
        assert refused(access, token) == "The bearer token's signature is wrong."


class TestKeySet:
    @pytest.mark.parametrize(
        "changes",
        [
            {"use": "enc"}, {"kty": "oct"}, {"kty": "unheard-of"}, {"kty": None}, {"kty": 7}, {"n": None},
            {"n": 7}, {"n": "*"}, {"e": ""}, {"e": [], "n": {}}, {"n": "AQAB"}, {"alg": "unheard-of"},
            {"alg": 7}, {"kid": None},
        ],
    )  # fmt: skip
    def test_unusable_entry(self, issuer: OidcIssuer, access: OidcAccess, changes: dict[str, object]) -> None:
        """An entry for encryption, of an unknown kind or with broken numbers verifies nothing, others do."""
        other = SigningKey.new("key-2")
        issuer.keys = [{**issuer.key.jwk(), **changes}, other.jwk()]
        if changes.get("kid", "") is None:
            del issuer.keys[0]["kid"]
        assert refused(access, issuer.token())
        assert access.claims(other.sign(issuer.claims()))

    def test_other_curve_of_edwards(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """EdDSA is both Ed25519 and Ed448."""
        key = SigningKey("key-448", "EdDSA", ed448.Ed448PrivateKey.generate())
        issuer.keys = [key.jwk()]
        assert access.claims(key.sign(issuer.claims()))

    def test_key_too_short(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A key that is too short to be safe is refused."""
        short = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)  # noqa: S505
        key = SigningKey("key-1", "PS256", short)
        issuer.keys = [key.jwk()]
        # PyJWT warns the signer; the issuer would not care.
        with pytest.warns(match="1024"):
            token = key.sign(issuer.claims())
        assert refused(access, token) == "The issuer's key cannot check the bearer token."

    def test_rotation(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A token under a new key is accepted at once, even right after a fetch; the old key is not."""
        old = issuer.token()
        assert access.claims(old)
        issuer.rotate("key-2")
        assert access.claims(issuer.token())
        assert refused(access, old) == "The bearer token's issuer has no such key."

    def test_rotation_after_made_up_key_ids(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A few made-up key ids do not use up what a rotation needs."""
        access.claims(issuer.token())
        for number in range(FETCHES_AT_ONCE - 2):
            refused(access, made_up(issuer, number))
        issuer.rotate("key-2")
        assert access.claims(issuer.token())

    def test_rotation_during_a_storm(self, issuer: OidcIssuer, access: OidcAccess, clock: FakeClock) -> None:
        """While made-up key ids use up every fetch, a new key is accepted after one interval."""
        access.claims(issuer.token())
        for number in range(50):
            refused(access, made_up(issuer, number))
        issuer.rotate("key-2")
        clock.sleep(SECONDS_PER_FETCH)
        assert access.claims(issuer.token())

    def test_withdrawn_key(self, issuer: OidcIssuer, access: OidcAccess, clock: FakeClock) -> None:
        """A key that the issuer withdraws stops working within the hour even if no token names a new one."""
        old = issuer.token()
        assert access.claims(old)
        issuer.rotate("key-2")
        clock.sleep(KEYS_FRESH_SECONDS - 1)
        assert access.claims(old)
        clock.sleep(1)
        assert refused(access, old) == "The bearer token's issuer has no such key."

    def test_connection_that_vanished(self, issuer: OidcIssuer, clock: FakeClock) -> None:
        """The network may silently drop a connection that is idle for minutes; keys are fetched once an
        hour."""
        with TcpProxy(urlsplit(issuer.url).port or 0) as proxy, requests.Session() as session:
            url = f"http://127.0.0.1:{proxy.port}/tenant/v2.0"
            issuer.discovery = {"issuer": url, "jwks_uri": f"{url}/keys"}
            wanted = OidcSettings(url, AUDIENCE, "acsMri", "admin")
            access = OidcAccess(wanted, JwksKeys(wanted.issuer, session, clock.monotonic))
            token = issuer.token(iss=url)
            assert access.claims(token)
            proxy.freeze_existing()
            clock.sleep(KEYS_FRESH_SECONDS)
            assert access.claims(token)
        assert issuer.fetches == 2

    def test_cached(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """Keys are fetched once for many tokens."""
        for _ in range(50):
            access.claims(issuer.token())
        assert (issuer.requests, issuer.fetches) == (2, 1)

    def test_first_requests_at_once(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """The first tokens of a process all wait for the same fetch."""
        issuer.delay_seconds = 0.3
        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(lambda _: access.claims(issuer.token()), range(16)))
        assert issuer.fetches == 1


def made_up(issuer: OidcIssuer, number: int) -> str:
    """A token that names a key which the issuer does not have."""
    return forged({"alg": "RS256", "kid": f"made-up-{number}"}, issuer.claims(), b"x" * 256)


class TestStorm:
    def test_unknown_key_ids(self, issuer: OidcIssuer, access: OidcAccess, clock: FakeClock) -> None:
        """A thousand made-up key ids within a minute cost a handful of fetches; users are not affected."""
        good = issuer.token()
        for number in range(1_000):
            assert refused(access, made_up(issuer, number)) == "The bearer token's issuer has no such key."
            clock.sleep(0.06)
        assert access.claims(good)
        assert issuer.fetches <= FETCHES_AT_ONCE + 60 / SECONDS_PER_FETCH

    def test_from_many_threads(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """At once, from many threads, they cost the fetches of one burst at most."""
        with ThreadPoolExecutor(16) as pool:
            assert (
                len(list(pool.map(lambda number: refused(access, made_up(issuer, number)), range(200))))
                == 200
            )
        assert issuer.fetches <= FETCHES_AT_ONCE

    def test_while_the_issuer_is_down(self, issuer: OidcIssuer, access: OidcAccess, clock: FakeClock) -> None:
        """A failing issuer is asked once in a while, without a burst."""
        issuer.status = 503
        for number in range(300):
            unavailable(access, made_up(issuer, number))
            clock.sleep(0.1)
        assert issuer.requests <= 30 / SECONDS_AFTER_FAILURE + 1


class TestOutage:
    def test_down_from_the_start_and_back(
        self, issuer: OidcIssuer, access: OidcAccess, clock: FakeClock
    ) -> None:
        """Without keys no token can be checked; once the issuer is back it can, without a restart."""
        token = issuer.token()
        issuer.stop()
        unavailable(access, token)
        issuer.start()
        unavailable(access, token)  # the last try has just failed
        clock.sleep(SECONDS_AFTER_FAILURE)
        assert access.claims(token)

    def test_known_keys_last_a_day(self, issuer: OidcIssuer, access: OidcAccess, clock: FakeClock) -> None:
        """Known keys go on working for a day while the issuer is down."""
        token = issuer.token()
        assert access.claims(token)
        issuer.stop()
        clock.sleep(KEYS_USABLE_SECONDS - 1)
        assert access.claims(token)
        unavailable(access, SigningKey.new("unknown").sign(issuer.claims()))
        clock.sleep(SECONDS_AFTER_FAILURE)
        unavailable(access, token)
        issuer.start()
        clock.sleep(SECONDS_AFTER_FAILURE)
        assert access.claims(token)

    def test_old_keys_of_an_idle_process(
        self, issuer: OidcIssuer, access: OidcAccess, clock: FakeClock
    ) -> None:
        """A process that has been idle for days drops its keys before it fetches new ones."""
        token = issuer.token()
        assert access.claims(token)
        clock.sleep(3 * KEYS_USABLE_SECONDS)
        issuer.stop()
        unavailable(access, token)

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"null", b"[]", b"{", b"{}", b"\xff", b'{"keys": 7}', b'{"keys": [7]}', b'{"keys": null}',
            b"[" * 100_000, b'{"keys": [{"kty": []}]}', b'{"jwks_uri": 7}',
        ],
    )  # fmt: skip
    def test_nonsense(self, issuer: OidcIssuer, access: OidcAccess, body: bytes) -> None:
        """An issuer that answers nonsense counts as unavailable."""
        token = issuer.token()
        issuer.body = body
        unavailable(access, token)

    @pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"keys": 7}', b'{"keys": [7]}'])
    def test_nonsense_for_keys(self, issuer: OidcIssuer, clock: FakeClock, body: bytes) -> None:
        """So does one whose key set is nonsense."""
        with OidcIssuer() as keys:
            keys.body = body
            issuer.discovery = {"jwks_uri": f"{keys.url}/keys"}
            wanted = OidcSettings(issuer.url, AUDIENCE, "acsMri", "admin")
            with requests.Session() as session:
                unavailable(
                    OidcAccess(wanted, JwksKeys(wanted.issuer, session, clock.monotonic)), issuer.token()
                )
            assert keys.requests == 1

    @pytest.mark.parametrize("status", [204, 301, 302, 307, 401, 404, 429, 500, 503])
    def test_status(self, issuer: OidcIssuer, access: OidcAccess, status: int) -> None:
        """Only a 200 counts; a redirection is not followed."""
        issuer.status = status
        unavailable(access, issuer.token())
        assert issuer.requests == 1

    @pytest.mark.parametrize(
        "discovery",
        [
            {"issuer": "https://another.test"},
            {"issuer": None},
            {"jwks_uri": "http://keys.test/keys"},
            {"jwks_uri": "ftp://127.0.0.1/keys"},
            {"jwks_uri": "file:///etc/passwd"},
            {"jwks_uri": "https://"},
            {"jwks_uri": None},
            {"jwks_uri": 7},
        ],
    )
    def test_strange_discovery(
        self, issuer: OidcIssuer, clock: FakeClock, discovery: dict[str, object]
    ) -> None:
        """A discovery document of another issuer, or with keys that travel in the clear, is refused."""
        issuer.discovery = discovery
        wanted = OidcSettings(issuer.url, AUDIENCE, "acsMri", "admin")
        asked: list[str] = []

        class Watched(requests.Session):
            """Records the URLs."""

            def get(self, url: str | bytes, **options: Any) -> requests.Response:
                asked.append(str(url))
                return super().get(url, **options)

        with Watched() as session:
            unavailable(OidcAccess(wanted, JwksKeys(wanted.issuer, session, clock.monotonic)), issuer.token())
        assert asked == [f"{issuer.url}/.well-known/openid-configuration"]

    def test_large(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A document that is larger than any issuer's is not read to its end; a padded one is read."""
        token = issuer.token()
        issuer.leading_spaces = 2 * MOST_BYTES
        with app_log() as log:
            unavailable(access, token)
        (line,) = log.events("issuer_keys_not_fetched")
        assert f"more than {MOST_BYTES} bytes" in line["problem"]

    def test_trickling(self, issuer: OidcIssuer, access: OidcAccess, clock: FakeClock) -> None:
        """A document that comes byte by byte is given up after a while, although no single byte is late."""
        token = issuer.token()
        issuer.leading_spaces = 100
        issuer.on_space = lambda: clock.sleep(READ_TIMEOUT_SECONDS / 2)
        with app_log() as log:
            unavailable(access, token)
        (line,) = log.events("issuer_keys_not_fetched")
        assert f"within {FETCH_SECONDS:g} s" in line["problem"]
        issuer.on_space = None
        clock.sleep(SECONDS_AFTER_FAILURE)
        assert access.claims(token)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"status": 404}, "the discovery document is answered with 404"),
            ({"status": 302}, "the discovery document is answered with 302"),
            ({"body": b"<html>"}, "the discovery document is no JSON object"),
            ({"discovery": {"issuer": f"https://{SECRET}.test"}}, "names another issuer"),
            ({"discovery": {"jwks_uri": f"http://{SECRET}.test/"}}, "no jwks_uri that is https"),
            ({"discovery": {"jwks_uri": "http://127.0.0.1:1/keys"}}, "the key set cannot be fetched"),
            ({"keys": 7}, "the key set has no list of keys"),
        ],
    )
    def test_reason(
        self, issuer: OidcIssuer, access: OidcAccess, change: dict[str, object], says: str
    ) -> None:
        """The log says what is wrong with the issuer, once a try, and quotes nothing of what it answers."""
        for name, value in change.items():
            setattr(issuer, name, value)
        with app_log() as log:
            unavailable(access, issuer.token())
            unavailable(access, issuer.token())
        (line,) = log.events("issuer_keys_not_fetched")
        assert line["level"] == "ERROR"
        assert line["problem"].startswith("OidcIssuer: ")
        assert says in line["problem"]
        assert "503" in line["remedy"]
        assert SECRET not in log.text

    def test_reason_while_keys_are_known(
        self, issuer: OidcIssuer, access: OidcAccess, clock: FakeClock
    ) -> None:
        """Where known keys serve, it is a warning: an operator has a day."""
        token = issuer.token()
        assert access.claims(token)
        clock.sleep(KEYS_FRESH_SECONDS)
        issuer.stop()
        with app_log() as log:
            assert access.claims(token)
        (line,) = log.events("issuer_keys_not_fetched")
        assert line["level"] == "WARNING"
        assert "503" not in line["remedy"]

    def test_slow(self, issuer: OidcIssuer, access: OidcAccess, clock: FakeClock) -> None:
        """A silent issuer holds no request for long, in sequence or at once."""
        token = issuer.token()
        issuer.delay_seconds = PATIENCE
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: unavailable(access, token), range(24)))
        assert time.monotonic() - began < READ_TIMEOUT_SECONDS + LONGEST_WAIT_SECONDS
        issuer.delay_seconds = 0
        clock.sleep(SECONDS_AFTER_FAILURE)
        assert access.claims(token)

    def test_slow_while_keys_are_known(
        self, issuer: OidcIssuer, access: OidcAccess, clock: FakeClock
    ) -> None:
        """While one thread waits for a slow issuer, the others use the known keys."""
        token = issuer.token()
        access.claims(token)
        clock.sleep(KEYS_FRESH_SECONDS)
        issuer.delay_seconds = 1.0
        asking = threading.Thread(target=access.claims, args=(token,))
        before = issuer.requests
        asking.start()
        try:
            while issuer.requests == before:
                time.sleep(0.01)
            began = time.monotonic()
            assert access.claims(token)
            assert time.monotonic() - began < 0.5
        finally:
            asking.join(PATIENCE)


class TestMalformed:
    @pytest.mark.parametrize(
        "token",
        [
            "", ".", "..", "...", "a", "a.b", "a.b.c", "ü.ü.ü", "\ud800.\ud800.x", "e30.e30.",
            "bnVsbA.e30.eA", "W10.e30.eA", f"{'A' * 30_000}.e30.eA", "e30.e30.e30.e30.e30", SECRET,
        ],
    )  # fmt: skip
    def test_no_token(self, issuer: OidcIssuer, access: OidcAccess, token: str) -> None:
        """Text that is no token is refused before anything is fetched."""
        refused(access, token)
        assert issuer.requests == 0

    def test_nested_without_end(self, issuer: OidcIssuer, access: OidcAccess) -> None:
        """A deeply nested header is refused."""
        for header in (b"[" * 20_000, b'{"a":' * 5_000, b'{"alg":' + b"[" * 20_000):
            assert refused(access, forged(header, {}, b"x")) == "The bearer token is malformed."
        assert issuer.requests == 0

    @pytest.mark.parametrize("kid", [7, None, [], {}, "", "ü" * 5_000, True])
    def test_key_id(self, issuer: OidcIssuer, access: OidcAccess, kid: object) -> None:
        """A key id may be anything."""
        token = forged({"alg": "RS256", "kid": kid}, issuer.claims(), b"x" * 256)
        refused(access, token)

    @pytest.mark.parametrize("extra", [{"crit": ["b64"], "b64": False}, {"crit": ["x"]}, {"zip": "DEF"}])
    def test_extensions(self, issuer: OidcIssuer, access: OidcAccess, extra: dict[str, object]) -> None:
        """Header extensions that change what is signed are refused with everything unsigned."""
        refused(access, forged({"alg": "RS256", "kid": "key-1", **extra}, issuer.claims(), b"x" * 256))

    @settings(max_examples=400, deadline=None, derandomize=True, database=None)
    @given(
        st.one_of(
            st.text(),
            st.builds(
                lambda *parts: ".".join(parts),
                *[st.one_of(st.text(), st.binary().map(encoded))] * 3,
            ),
            st.builds(
                forged,
                st.dictionaries(
                    st.sampled_from(["alg", "kid", "typ", "crit", "b64"]),
                    st.one_of(
                        st.none(), st.booleans(), st.integers(), st.text(), st.sampled_from(ALGORITHMS)
                    ),
                ),
                st.dictionaries(st.text(), st.integers()),
                st.binary(),
            ),
        )
    )
    def test_anything(self, token: str) -> None:
        """Any text is refused by our own error."""
        wanted = OidcSettings("http://127.0.0.1:9", AUDIENCE, "acsMri", "admin")
        keys = JwksKeys(wanted.issuer, _Unreachable(), FakeClock().monotonic)
        with pytest.raises((UnauthenticatedError, IssuerUnavailableError)):
            OidcAccess(wanted, keys).claims(token)


class _Unreachable(requests.Session):
    """Every request fails."""

    def get(self, *_: Any, **__: Any) -> requests.Response:
        raise requests.ConnectionError
