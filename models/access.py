"""How the registrar authenticates callers: by a function key, or by the bearer token of their own sign-in."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from models.errors import FieldError
from models.hub import is_loopback
from models.known_causes import UNRESOLVED_REFERENCE, is_key_vault_reference, problem_of_missing

SETTING_NAMES = ("RegistrarAccess", "OidcIssuer", "OidcAudience", "OidcUserClaim", "OidcAdminRole")

_KEY_MODE = "key"
_OIDC_MODE = "oidc"
_DEFAULT_USER_CLAIM = "acsMri"


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Which bearer tokens are accepted, and which of their claims are read."""

    issuer: str
    """As in a token's `iss`; the discovery document lies below it."""
    audience: str
    user_claim: str = _DEFAULT_USER_CLAIM
    """The claim that holds the caller's MRI; `oid` means the Teams user with that Entra object id."""
    admin_role: str | None = None
    """A value in `roles` that may act for every user; None if there is no such role."""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """How callers are authenticated. With `errors` the registrar serves no request."""

    oidc: OidcSettings | None = None
    """None in the mode `key`, and where `errors` holds mistakes."""
    errors: tuple[FieldError, ...] = ()

    @property
    def is_anonymous_to_the_host(self) -> bool:
        """The Functions host must not ask for a function key, because the app checks bearer tokens.

        False for an incomplete sign-in configuration: the function key then stays necessary.
        """
        return self.oidc is not None


def read_access(environment: Mapping[str, str]) -> AccessSettings:
    """Read the access settings.

    Names and the mode are accepted in any letter case; where a name is there twice, the exact spelling
    counts. A blank value counts as missing.

    Args:
        environment: such as `os.environ`.

    Returns:
        The settings; mistakes are in `errors`, without values.
    """
    values = _values(environment)
    mode = values.get("RegistrarAccess", _KEY_MODE)
    if mode.lower() == _KEY_MODE:
        return AccessSettings()
    if is_key_vault_reference(mode):
        return AccessSettings(errors=(FieldError("RegistrarAccess", UNRESOLVED_REFERENCE),))
    if mode.lower() != _OIDC_MODE:
        return AccessSettings(errors=(FieldError("RegistrarAccess", "must be 'key' or 'oidc'"),))
    errors = [
        FieldError(name, UNRESOLVED_REFERENCE)
        for name, value in values.items()
        if is_key_vault_reference(value)
    ]
    names = {name.lower() for name in environment}
    errors += [
        FieldError(name, problem_of_missing(name, names))
        for name in ("OidcIssuer", "OidcAudience")
        if name not in values
    ]
    issuer = values.get("OidcIssuer", "")
    if "OidcIssuer" not in {each.field for each in errors} and not _is_issuer(issuer):
        wanted = "must be the https URL of the issuer, without a user, a query or a fragment"
        errors.append(FieldError("OidcIssuer", wanted))
    if errors:
        return AccessSettings(errors=tuple(errors))
    user_claim = values.get("OidcUserClaim", _DEFAULT_USER_CLAIM)
    return AccessSettings(
        OidcSettings(issuer, values["OidcAudience"], user_claim, values.get("OidcAdminRole"))
    )


def _values(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The access settings that are there, by their exact names, stripped."""
    in_any_case = {name.lower(): value for name, value in environment.items() if value.strip()}
    found = {}
    for name in SETTING_NAMES:
        value = environment.get(name, "").strip() or in_any_case.get(name.lower(), "").strip()
        if value:
            found[name] = value
    return found


def _is_issuer(url: str) -> bool:
    # OpenID Connect Discovery 1.0, "Issuer Identifier".
    return is_issuer_url(url) and not set(url) & set("@?#")


def is_issuer_url(url: str) -> bool:
    """True for https, and for http on loopback. Over plain http the key set could be replaced on its way."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return host is not None and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
