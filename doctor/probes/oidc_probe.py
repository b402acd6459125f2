"""Fetches what the registrar needs of the OpenID Connect issuer, as the registrar itself does."""

import requests

from doctor.checks.oidc_checks import Fetched, OidcFindings
from models.access import OidcSettings, is_issuer_url

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0


class OidcProbe:
    """Asks one issuer."""

    def __init__(self, oidc: OidcSettings, session: requests.Session) -> None:
        """Take the issuer, and a session."""
        self._oidc = oidc
        self._session = session

    def ask(self) -> OidcFindings:
        """Fetch discovery document and key set."""
        discovery = self._fetch(f"{self._oidc.issuer.rstrip('/')}/.well-known/openid-configuration")
        keys_url = discovery.document.get("jwks_uri")
        if not isinstance(keys_url, str):
            return OidcFindings(discovery, None)
        # As in the registrar, no key is fetched over plain HTTP, where it could be replaced on the way.
        keys = self._fetch(keys_url) if is_issuer_url(keys_url) else Fetched("its jwks_uri is not https")
        return OidcFindings(discovery, keys)

    def _fetch(self, url: str) -> Fetched:
        try:
            response = self._session.get(url, timeout=(CONNECT_SECONDS, READ_SECONDS), allow_redirects=False)
            document = response.json() if response.status_code == 200 else None
        except requests.JSONDecodeError:
            return Fetched("it is not JSON")
        except (requests.RequestException, ValueError):
            return Fetched("it cannot be fetched")
        if document is None:
            return Fetched(f"it is answered with {response.status_code}")
        return Fetched(None, document) if isinstance(document, dict) else Fetched("it is no JSON object")
