"""The public keys of an OpenID Connect issuer, fetched when they are needed and kept.

Discovery: OpenID Connect Discovery 1.0; keys: RFC 7517.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import requests

from common import telemetry
from models.access import is_issuer_url
from models.errors import IssuerUnavailableError

KEYS_FRESH_SECONDS = 3_600.0
"""After this the keys are fetched again, so that a withdrawn key stops working."""
KEYS_USABLE_SECONDS = 86_400.0
"""Keys that could not be fetched again for this long are dropped."""
FETCHES_AT_ONCE = 4
SECONDS_PER_FETCH = 5.0
"""Token bucket: a few fetches in a row are allowed, since keys are rotated and instances restart; then one in
this time, since any caller can send made-up key ids."""
SECONDS_AFTER_FAILURE = 5.0
"""A failed fetch is not repeated for this long: a silent issuer would hold up one thread after another."""
LONGEST_WAIT_SECONDS = 5.0
"""How long a request waits for another thread's fetch. The threads of this process also send pushes."""
CONNECT_TIMEOUT_SECONDS = 2.0
READ_TIMEOUT_SECONDS = 3.0
FETCH_SECONDS = 8.0
"""After this nothing more is read of either document: one that trickles in would hold up the thread for as
long as it likes."""
MOST_BYTES = 1_048_576
"""Of one document. Entra's keys take some ten thousand."""

_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})

_DISCOVERY, _KEY_SET = "the discovery document", "the key set"
_PIECE = 65_536


class _FetchError(Exception):
    """The keys could not be fetched. The message is ours and quotes nothing."""


class JwksKeys:
    """The keys of one issuer. Safe to share between threads."""

    def __init__(self, issuer: str, session: requests.Session, monotonic: Callable[[], float]) -> None:
        """Take the issuer's URL, how to reach it, and a clock in seconds that never runs backwards."""
        self._issuer = issuer
        self._session = session
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._bucket = _TokenBucket(FETCHES_AT_ONCE, SECONDS_PER_FETCH, monotonic)
        self._keys: Mapping[str, dict[str, Any]] = {}
        self._fetched_at: float | None = None
        self._last_try_began_at: float | None = None
        self._failed_at: float | None = None

    def key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key with that id for that algorithm; None if the issuer has no such key.

        Args:
            key_id: None if the token names none, which is allowed where the issuer has a single key.
            algorithm: as in the token's header.

        Raises:
            IssuerUnavailableError: the key is not known, and the issuer's keys cannot be fetched.
        """
        found = self._find(key_id)
        if found is None or not self._are_fresh():
            # With a known key the request goes on at once while another thread fetches.
            reachable = self._refresh(key_id, longest_wait_seconds=0.0 if found else LONGEST_WAIT_SECONDS)
            found = self._find(key_id)
            if found is None and not reachable:
                raise IssuerUnavailableError("The sign-in service's keys cannot be fetched; try again soon.")
        if found is None or found.get("alg", algorithm) != algorithm:
            return None
        return jwt.PyJWK(found, algorithm)

    def _find(self, key_id: str | None) -> dict[str, Any] | None:
        if self._age() >= KEYS_USABLE_SECONDS:
            return None
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _are_fresh(self) -> bool:
        return self._age() < KEYS_FRESH_SECONDS

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._monotonic() - self._fetched_at

    def _refresh(self, key_id: str | None, longest_wait_seconds: float) -> bool:
        """Fetch the keys if that is still necessary and allowed now.

        Returns:
            False if the last fetch failed, or if another thread's fetch takes longer than the given time.
        """
        asked_at = self._monotonic()
        if not self._lock.acquire(timeout=longest_wait_seconds):
            return False
        try:
            # Another thread's fetch may have brought the key while this one waited.
            needed = self._find(key_id) is None or not self._are_fresh()
            if needed and self._may_fetch(asked_at):
                self._try_to_fetch()
            return self._failed_at is None
        finally:
            self._lock.release()

    def _may_fetch(self, asked_at: float) -> bool:
        if self._last_try_began_at is not None and self._last_try_began_at > asked_at:
            # Another thread began a fetch after this request came in: its answer serves.
            return False
        if self._failed_at is not None and self._monotonic() - self._failed_at < SECONDS_AFTER_FAILURE:
            return False
        return self._bucket.take()

    def _try_to_fetch(self) -> None:
        self._last_try_began_at = self._monotonic()
        try:
            self._keys = self._fetch(self._last_try_began_at + FETCH_SECONDS)
        except _FetchError as error:
            self._failed_at = self._monotonic()
            self._tell_of(str(error))
        else:
            self._failed_at = None
            self._fetched_at = self._monotonic()
        finally:
            self._session.close()  # the network may drop a connection that is idle until the next fetch

    def _tell_of(self, problem: str) -> None:
        serves = self._keys and self._age() < KEYS_USABLE_SECONDS
        telemetry.log(
            logging.WARNING if serves else logging.ERROR,
            "issuer_keys_not_fetched",
            problem=f"OidcIssuer: {problem}",
            remedy="Run 'doctor check', which asks the issuer the same. "
            + ("Until the keys are a day old, those that are known serve." if serves else "")
            + ("" if serves else "Until then the registrar refuses every request with 503; calls ring."),
        )

    def _fetch(self, until: float) -> Mapping[str, dict[str, Any]]:
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        discovery = self._get(_DISCOVERY, url, until)
        if discovery.get("issuer") != self._issuer:
            raise _FetchError(f"{_DISCOVERY} names another issuer")
        jwks_url = discovery.get("jwks_uri")
        if not isinstance(jwks_url, str) or not is_issuer_url(jwks_url):
            raise _FetchError(f"{_DISCOVERY} has no jwks_uri that is https")
        keys = self._get(_KEY_SET, jwks_url, until).get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise _FetchError(f"{_KEY_SET} has no list of keys")
        signing = (key for key in keys if key.get("use", "sig") == "sig" and _is_asymmetric(key))
        return {str(key.get("kid", "")): key for key in signing}

    def _get(self, name: str, url: str, until: float) -> dict[str, Any]:
        try:
            document = json.loads(self._read(name, url, until))
        except _FetchError:
            raise
        except (ValueError, RecursionError):
            document = None
        except Exception as error:  # noqa: BLE001 - requests and what is below it raise classes of their own
            # Their texts quote the URL.
            raise _FetchError(f"{name} cannot be fetched ({type(error).__name__})") from None
        if not isinstance(document, dict):
            raise _FetchError(f"{name} is no JSON object")
        return document

    def _read(self, name: str, url: str, until: float) -> bytes:
        timeout = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
        body = bytearray()
        with self._session.get(url, timeout=timeout, allow_redirects=False, stream=True) as response:
            if response.status_code != 200:
                raise _FetchError(f"{name} is answered with {response.status_code}")
            # One read of the socket at a time: a document that trickles in must not outlast the time.
            while piece := response.raw.read1(_PIECE, decode_content=True):
                body += piece
                if len(body) > MOST_BYTES:
                    raise _FetchError(f"{name} has more than {MOST_BYTES} bytes")
                if self._monotonic() > until:
                    raise _FetchError(f"{name} has not been read within {FETCH_SECONDS:g} s")
        return bytes(body)


def _is_asymmetric(key: Mapping[str, Any]) -> bool:
    kind = key.get("kty")
    return isinstance(kind, str) and kind in _KEY_TYPES


class _TokenBucket:
    """Allows `capacity` uses at once and one more every `seconds_per_token`. Not thread-safe."""

    def __init__(self, capacity: int, seconds_per_token: float, monotonic: Callable[[], float]) -> None:
        self._capacity = capacity
        self._seconds_per_token = seconds_per_token
        self._monotonic = monotonic
        self._tokens = float(capacity)
        self._counted_at = monotonic()

    def take(self) -> bool:
        """Use one token; False if there is none."""
        now = self._monotonic()
        gained = (now - self._counted_at) / self._seconds_per_token
        self._tokens = min(float(self._capacity), self._tokens + gained)
        self._counted_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
