"""Which caller a request comes from, and for which users it may act.

Mode `key`: the Functions host has checked a function key, so the caller is a backend that acts for its users.
Mode `oidc`: the app itself checks the bearer token of the user's own sign-in (`registrar/oidc.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from models.access import OidcSettings
from models.errors import ForbiddenError, UnauthenticatedError
from models.identity import Identity

TEAMS_OBJECT_ID_CLAIM = "oid"
"""With this claim the caller is the Teams user with that Entra object id."""


class Right(StrEnum):
    """Why a caller may act. The values stand in log lines."""

    FUNCTION_KEY = "function_key"
    """For every user, device tokens included."""
    ADMIN_ROLE = "admin_role"
    """The same, by a role in the bearer token."""
    OWN_USER = "own_user"
    """For one user, without seeing device tokens."""
    FEEDBACK = "feedback"
    """No caller: the platform has called the device dead."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller."""

    right: Right
    user: Identity | None = None
    """The user of `Right.OWN_USER`; None if the token names no user who can own devices."""

    @property
    def sees_device_tokens(self) -> bool:
        """True for backends and administrators."""
        return self.right is not Right.OWN_USER

    def check_may_act_for(self, owner: Identity) -> None:
        """Return if the caller may act for the user.

        Raises:
            ForbiddenError: it may not. Whether that user has registered anything makes no difference.
        """
        if self.right is not Right.OWN_USER:
            return
        if self.user is None:
            raise ForbiddenError(
                "The bearer token names no Communication Services or Teams user: the claim that the service "
                "reads is missing or holds something else."
            )
        if self.user != owner:
            raise ForbiddenError("The bearer token is for another user.")


class Access(Protocol):
    """Authenticates callers."""

    def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """The caller of a request with these headers, whose names are in lower case."""
        ...


class KeyAccess:
    """The Functions host rejects requests without a function key before they reach the app."""

    def authenticate(self, headers: Mapping[str, str]) -> Caller:  # noqa: ARG002 - the host has checked them
        """A backend."""
        return Caller(Right.FUNCTION_KEY)


def caller_from_claims(claims: Mapping[str, object], oidc: OidcSettings) -> Caller:
    """The caller that a valid bearer token names."""
    roles = claims.get("roles")
    if oidc.admin_role is not None and isinstance(roles, list) and oidc.admin_role in roles:
        return Caller(Right.ADMIN_ROLE)
    return Caller(Right.OWN_USER, _user(claims.get(oidc.user_claim), oidc.user_claim))


def _user(claim: object, name: str) -> Identity | None:
    if isinstance(claim, list) and len(claim) == 1:
        # Entra sends directory extensions (`extn.…`) as lists.
        claim = claim[0]
    if not isinstance(claim, str) or not claim:
        return None
    user = Identity.parse(f"8:orgid:{claim}" if name == TEAMS_OBJECT_ID_CLAIM else claim)
    return user if user.can_own_devices else None


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
