"""How callers of the registrar are told apart: by the host's function key, or by their sign-in's token."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from models.hub import is_loopback

KEY_MODE = "key"
OIDC_MODE = "oidc"


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Whose tokens count, and what is read from them."""

    issuer: str
    """As it stands in a token's `iss`; its discovery document lies below it."""
    audience: str
    user_claim: str
    """The claim that holds the caller's MRI; `oid` means the Teams user with that Entra object id."""
    admin_role: str
    """A value in `roles` that may act for anybody."""


def is_issuer_url(url: str) -> bool:
    """True for https, and for http on loopback: a key set that was tampered with lets anybody in."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return host is not None and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


def is_anonymous_to_the_host(settings: Mapping[str, str]) -> bool:
    """True if the app checks callers itself, so that the host must not ask for a function key.

    Only for a complete `oidc` configuration; anything else, half a one included, keeps the key.
    """
    if settings.get("RegistrarAccess") != OIDC_MODE:
        return False
    return all(settings.get(name, "").strip() for name in ("OidcIssuer", "OidcAudience"))
