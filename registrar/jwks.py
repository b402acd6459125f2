"""The public keys of an OpenID Connect issuer, fetched when they are needed and kept.

Discovery: OpenID Connect Discovery 1.0; keys: RFC 7517.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import requests

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

_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})


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
            self._keys = self._fetch()
        except (requests.RequestException, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self._failed_at = self._monotonic()
        else:
            self._failed_at = None
            self._fetched_at = self._monotonic()

    def _fetch(self) -> Mapping[str, dict[str, Any]]:
        discovery = self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        jwks_url = discovery["jwks_uri"]
        if discovery.get("issuer") != self._issuer or not is_issuer_url(jwks_url):
            raise ValueError("the discovery document is not the issuer's")
        keys = self._get(jwks_url)["keys"]
        signing = (key for key in keys if key.get("use", "sig") == "sig" and key.get("kty") in _KEY_TYPES)
        return {str(key.get("kid", "")): key for key in signing}

    def _get(self, url: str) -> dict[str, Any]:
        timeout = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
        response = self._session.get(url, timeout=timeout, allow_redirects=False)
        if response.status_code != 200:
            raise ValueError("the issuer does not answer 200")
        document = response.json()
        if not isinstance(document, dict):
            raise TypeError("the issuer does not answer a JSON object")
        return document


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
