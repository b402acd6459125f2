"""What the documents of the OpenID Connect issuer mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from doctor.checks.findings import Area, Check
from models.access import OidcSettings

AREA = Area("sign-in")
DISCOVERY, KEYS = "discovery document", "signing keys"

_SO = "until then every registration is answered with 503"


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of fetching one document."""

    problem: str | None
    """Why there is none; None if there is."""
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class OidcFindings:
    """What the issuer publishes."""

    discovery: Fetched
    keys: Fetched | None
    """None where no discovery document says where they are."""


def check_oidc(oidc: OidcSettings, found: OidcFindings) -> list[Check]:
    """Whether the registrar can check bearer tokens."""
    discovery = _discovery(oidc, found.discovery)
    if found.keys is None:
        return [discovery, AREA.unknown(KEYS, "no discovery document says where they are")]
    return [discovery, _keys(found.keys)]


def _discovery(oidc: OidcSettings, fetched: Fetched) -> Check:
    if fetched.problem is not None:
        url = f"{oidc.issuer.rstrip('/')}/.well-known/openid-configuration"
        return AREA.failed(
            DISCOVERY,
            f"{fetched.problem}; {_SO}",
            "The document has to be there, over https and without a redirect. See what is there instead:",
            f"curl -i '{url}'",
        )
    if fetched.document.get("issuer") != oidc.issuer:
        return AREA.failed(
            DISCOVERY,
            f"it names another issuer than OidcIssuer; {_SO}",
            "Copy its 'issuer' into OidcIssuer character by character, a slash at the end included.",
        )
    return AREA.passed(DISCOVERY, "it is that of OidcIssuer")


def _keys(fetched: Fetched) -> Check:
    remedy = "Look at the issuer's jwks_uri: https, a JSON object with the public keys that sign its tokens."
    if fetched.problem is not None:
        return AREA.failed(KEYS, f"{fetched.problem}; {_SO}", remedy)
    usable = _usable_keys(fetched)
    if not usable:
        return AREA.failed(KEYS, f"there is no public key for signatures among them; {_SO}", remedy)
    return AREA.passed(KEYS, f"{usable} public key{'s' if usable > 1 else ''}")


def _usable_keys(fetched: Fetched) -> int:
    keys = fetched.document.get("keys")
    entries = [each for each in keys if isinstance(each, dict)] if isinstance(keys, list) else []
    return sum(e.get("use", "sig") == "sig" and e.get("kty") in {"RSA", "EC", "OKP"} for e in entries)
