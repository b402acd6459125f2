"""Checks bearer tokens of an OpenID Connect issuer: Entra ID, External ID, Auth0, or any other.

Discovery: OpenID Connect Discovery 1.0; keys: RFC 7517; tokens: RFC 7519. PyJWT does the cryptography. The
user tokens of Azure Communication Services are not accepted: their format is no contract, and no key set is
published for them.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import requests

from models.access import OidcSettings, is_issuer_url
from models.errors import IssuerUnavailableError, UnauthenticatedError

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Asymmetric ones only: with a symmetric one, anybody who knows the public key could sign."""

_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})

CLOCK_SKEW_SECONDS = 30
KEYS_LIVE_SECONDS = 3_600.0
"""Keys are fetched again after an hour, so that a withdrawn one stops working."""
KEYS_KEPT_SECONDS = 86_400.0
"""An issuer that cannot be reached for longer than a day takes its keys with it."""
SECONDS_BETWEEN_FETCHES = 5.0
"""However many made-up key ids come in, and however often the issuer fails, it is asked no more often."""
LONGEST_WAIT_SECONDS = 5.0
"""How long a token with an unknown key id waits for another thread that is asking the issuer: the threads of
this process also ring phones."""
CONNECT_TIMEOUT_SECONDS = 2.0
READ_TIMEOUT_SECONDS = 3.0


class JwksKeys:
    """The issuer's public keys, fetched when they are needed and kept. Safe to share between threads."""

    def __init__(
        self, settings: OidcSettings, session: requests.Session, monotonic: Callable[[], float]
    ) -> None:
        """Take the issuer, how to reach it, and a clock in seconds that never runs backwards."""
        self._settings = settings
        self._session = session
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._entries: Mapping[str, dict[str, Any]] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._reachable = True

    def key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of that id for that algorithm; None if the issuer has no such key.

        A token may name no key where the issuer has only one.

        Raises:
            IssuerUnavailableError: it is not known, and the issuer cannot be asked.
        """
        entry = self._find(key_id)
        if entry is None or self._age() >= KEYS_LIVE_SECONDS:
            # A known key serves on while one thread asks for news of it.
            known = self._refresh(0.0 if entry else LONGEST_WAIT_SECONDS)
            entry = self._find(key_id)
            if entry is None and not known:
                raise IssuerUnavailableError("The sign-in service's keys cannot be fetched; try again soon.")
        if entry is None or entry.get("alg", algorithm) != algorithm:
            return None
        return jwt.PyJWK(entry, algorithm)

    def _find(self, key_id: str | None) -> dict[str, Any] | None:
        if self._age() >= KEYS_KEPT_SECONDS:
            return None
        if key_id is None:
            return next(iter(self._entries.values())) if len(self._entries) == 1 else None
        return self._entries.get(key_id)

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._monotonic() - self._fetched_at

    def _refresh(self, longest_wait_seconds: float) -> bool:
        """Fetch the keys, unless that was tried just now or another thread is at it for too long.

        Returns:
            True if the keys are what the issuer said last, False if it cannot be asked.
        """
        if not self._lock.acquire(timeout=longest_wait_seconds):
            return False
        try:
            if self._tried_at is None or self._monotonic() - self._tried_at >= SECONDS_BETWEEN_FETCHES:
                self._reachable = self._try_to_fetch()
                # After the try: whoever waited for a slow one shall not begin the next.
                self._tried_at = self._monotonic()
            return self._reachable
        finally:
            self._lock.release()

    def _try_to_fetch(self) -> bool:
        try:
            self._entries = self._fetch()
        except (requests.RequestException, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return False
        self._fetched_at = self._monotonic()
        return True

    def _fetch(self) -> Mapping[str, dict[str, Any]]:
        discovery = self._get(f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration")
        jwks_url = discovery["jwks_uri"]
        if discovery.get("issuer") != self._settings.issuer or not is_issuer_url(jwks_url):
            raise ValueError("the discovery document is not that of the issuer")
        entries = self._get(jwks_url)["keys"]
        signing = (e for e in entries if e.get("use", "sig") == "sig" and e.get("kty") in _KEY_TYPES)
        return {str(entry.get("kid", "")): entry for entry in signing}

    def _get(self, url: str) -> dict[str, Any]:
        timeout = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
        response = self._session.get(url, timeout=timeout, allow_redirects=False)
        if response.status_code != 200:
            raise ValueError("the issuer does not answer with 200")
        document = response.json()
        if not isinstance(document, dict):
            raise TypeError("the issuer does not answer with a JSON object")
        return document


class OidcVerifier:
    """Checks signature, issuer, audience and times of a token."""

    def __init__(self, settings: OidcSettings, keys: JwksKeys) -> None:
        """Take the issuer and its keys."""
        self._settings = settings
        self._keys = keys

    def claims(self, token: str) -> Mapping[str, object]:
        """The claims of a valid token.

        Raises:
            UnauthenticatedError: it is not valid; the message says why and quotes nothing of it.
            IssuerUnavailableError: it cannot be checked now.
        """
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            # Before any fetch: what is refused anyway shall not cost one.
            if algorithm not in ALGORITHMS:
                raise UnauthenticatedError("The bearer token's signature algorithm is not accepted.")
            key = self._keys.key(header.get("kid"), algorithm)
            if key is None:
                raise UnauthenticatedError("The bearer token's issuer has no such key.")
            return self._decoded(token, key)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            # Apart from PyJWT's own: text that cannot be encoded, JSON nested without end.
            raise UnauthenticatedError(_reason(error)) from None

    def _decoded(self, token: str, key: jwt.PyJWK) -> Mapping[str, object]:
        claims: dict[str, object] = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            issuer=self._settings.issuer,
            audience=self._settings.audience,
            leeway=CLOCK_SKEW_SECONDS,
            options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
        )
        return claims


_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "The bearer token has expired."),
    (jwt.ImmatureSignatureError, "The bearer token is not valid yet."),
    (jwt.InvalidAudienceError, "The bearer token is meant for another audience."),
    (jwt.InvalidIssuerError, "The bearer token comes from another issuer."),
    (jwt.MissingRequiredClaimError, "The bearer token lacks one of the claims exp, iss and aud."),
    (jwt.InvalidSignatureError, "The bearer token's signature is wrong."),
)


def _reason(error: Exception) -> str:
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    return "The bearer token is malformed."
