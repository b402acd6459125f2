"""Checks bearer tokens of an OpenID Connect issuer: Entra ID, External ID, Auth0, or any other.

Tokens: RFC 7519. PyJWT does the cryptography. The user access tokens of Azure Communication Services are not
accepted: their format is not documented, and no key set is published for them.
"""

from collections.abc import Mapping

import jwt

from models.access import OidcSettings
from models.errors import UnauthenticatedError
from registrar.access import Caller, bearer_token, caller_from_claims
from registrar.jwks import JwksKeys

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Asymmetric algorithms only: with a symmetric one, the public key would be enough to sign a token."""

CLOCK_SKEW_SECONDS = 30


class OidcAccess:
    """The caller is the user of its bearer token. Safe to share between threads."""

    def __init__(self, settings: OidcSettings, keys: JwksKeys) -> None:
        """Take which tokens are accepted, and the issuer's keys."""
        self._settings = settings
        self._keys = keys

    def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """The caller of a request.

        Raises:
            UnauthenticatedError: there is no valid bearer token; the message says why and quotes nothing.
            IssuerUnavailableError: the token cannot be checked now.
        """
        return caller_from_claims(self.claims(bearer_token(headers)), self._settings)

    def claims(self, token: str) -> Mapping[str, object]:
        """The claims of a valid token.

        Raises:
            UnauthenticatedError: it is not valid; the message says why and quotes nothing.
            IssuerUnavailableError: it cannot be checked now.
        """
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            # Checked before a key is looked up: a token that is refused anyway must not cost a fetch.
            if algorithm not in ALGORITHMS:
                raise UnauthenticatedError("The bearer token's signature algorithm is not accepted.")
            key = self._keys.key(header.get("kid"), algorithm)
            if key is None:
                raise UnauthenticatedError("The bearer token's issuer has no such key.")
            return self._verified_claims(token, key)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            # ValueError: text that cannot be encoded. RecursionError: deeply nested JSON.
            raise UnauthenticatedError(_reason(error)) from None

    def _verified_claims(self, token: str, key: jwt.PyJWK) -> Mapping[str, object]:
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
    (jwt.InvalidAudienceError, "The bearer token is for another audience."),
    (jwt.InvalidIssuerError, "The bearer token is from another issuer."),
    (jwt.MissingRequiredClaimError, "The bearer token lacks one of the claims exp, iss and aud."),
    (jwt.InvalidSignatureError, "The bearer token's signature is wrong."),
    (jwt.InvalidKeyError, "The issuer's key cannot check the bearer token."),
)


def _reason(error: Exception) -> str:
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    return "The bearer token is malformed."
