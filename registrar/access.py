"""May this caller act for this user?

Two modes. `key`: the Functions host has checked a function key before the app is called, so the caller is a
backend that acts for its users. `oidc`: the app itself checks the bearer token of the user's own sign-in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from models.errors import ForbiddenError, UnauthenticatedError
from models.identity import Identity

TEAMS_OBJECT_ID_CLAIM = "oid"
"""With this claim the caller is the Teams user whose Entra object id it holds."""


class Right(StrEnum):
    """What a caller may do."""

    ANYBODY = "anybody"
    """Act for every user, and see device tokens."""
    SELF = "self"
    """Act for one user, who does not get device tokens back."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling."""

    right: Right
    acs_mri: str | None = None
    """Of whom the caller is; None for one that may act for anybody, or that is no user of ours."""

    @property
    def sees_device_tokens(self) -> bool:
        """True for backends and administrators."""
        return self.right is Right.ANYBODY

    def check_may_act_for(self, acs_mri: str) -> None:
        """Let pass who may act for `acs_mri`.

        Raises:
            ForbiddenError: anybody else, whether or not that user has registered anything.
        """
        if self.right is not Right.ANYBODY and (self.acs_mri is None or self.acs_mri != acs_mri):
            raise ForbiddenError("The bearer token is for another user.")


class Access(Protocol):
    """Tells who is calling."""

    def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """The caller of a request with these headers, whose names are in lower case."""
        ...


class KeyAccess:
    """The host lets only callers with a function key through; they may act for anybody."""

    def authenticate(self, headers: Mapping[str, str]) -> Caller:  # noqa: ARG002 - the host has looked
        """A backend."""
        return Caller(Right.ANYBODY)


class TokenVerifier(Protocol):
    """Checks a bearer token."""

    def claims(self, token: str) -> Mapping[str, object]:
        """The claims of a valid token."""
        ...


class OidcAccess:
    """The caller is whom its bearer token names."""

    def __init__(self, verifier: TokenVerifier, user_claim: str, admin_role: str) -> None:
        """Take what checks tokens, the claim that holds the user, and the role that may act for anybody."""
        self._verifier = verifier
        self._user_claim = user_claim
        self._admin_role = admin_role

    def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """The caller of a request.

        Raises:
            UnauthenticatedError: there is no valid bearer token.
            IssuerUnavailableError: it cannot be checked now.
        """
        claims = self._verifier.claims(bearer_token(headers))
        roles = claims.get("roles")
        if isinstance(roles, list) and self._admin_role in roles:
            return Caller(Right.ANYBODY)
        return Caller(Right.SELF, self._mri(claims.get(self._user_claim)))

    def _mri(self, claim: object) -> str | None:
        if not isinstance(claim, str) or not claim:
            return None
        mri = f"8:orgid:{claim}" if self._user_claim == TEAMS_OBJECT_ID_CLAIM else claim
        return mri if Identity.parse(mri).can_own_devices else None


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of the `Authorization` header, RFC 6750.

    Raises:
        UnauthenticatedError: there is none.
    """
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError(
            "Send the user's sign-in token as 'Authorization: Bearer …'.", token_was_sent=False
        )
    return token.strip()
