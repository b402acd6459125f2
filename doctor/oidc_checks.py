"""What the issuer's documents mean (pure)."""

from doctor.findings import Area, Check
from doctor.oidc_probe import Fetched, OidcFindings
from models.access import OidcSettings

AREA = Area("sign-in")
DISCOVERY, KEYS = "discovery document", "signing keys"

_SO = "until then every registration is answered with 503"


def check_oidc(oidc: OidcSettings, found: OidcFindings) -> list[Check]:
    """Whether the registrar can check bearer tokens."""
    discovery = _discovery(oidc, found.discovery)
    if found.keys is None:
        return [discovery, AREA.unknown(KEYS, "no document says where they are")]
    return [discovery, _keys(found.keys)]


def _discovery(oidc: OidcSettings, fetched: Fetched) -> Check:
    if fetched.problem is not None:
        return AREA.failed(
            DISCOVERY,
            f"{fetched.problem}; {_SO}",
            "Open OidcIssuer + /.well-known/openid-configuration in a browser: it has to be there, over "
            "https and without a redirect.",
        )
    if fetched.document.get("issuer") != oidc.issuer:
        return AREA.failed(
            DISCOVERY,
            f"it names another issuer than OidcIssuer; {_SO}",
            "Copy its 'issuer' into OidcIssuer letter by letter, a slash at the end included.",
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
