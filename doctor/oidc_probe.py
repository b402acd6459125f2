"""Fetches what the registrar needs of the OpenID Connect issuer, as the registrar itself does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from models.access import OidcSettings, is_issuer_url

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of fetching one document."""

    problem: str | None
    """Why there is none; None if there is."""
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class OidcFindings:
    """What the issuer publishes."""

    discovery: Fetched
    keys: Fetched | None
    """None where no discovery document says where they are."""


class OidcProbe:
    """Asks one issuer."""

    def __init__(self, oidc: OidcSettings, session: requests.Session) -> None:
        """Take the issuer, and a session."""
        self._oidc = oidc
        self._session = session

    def ask(self) -> OidcFindings:
        """Discovery document and key set."""
        discovery = self._fetch(f"{self._oidc.issuer.rstrip('/')}/.well-known/openid-configuration")
        keys_url = discovery.document.get("jwks_uri")
        if not isinstance(keys_url, str):
            return OidcFindings(discovery, None)
        # As in the registrar, nothing is fetched from where somebody could change it on the way.
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
