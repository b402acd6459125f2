"""How a connection string signs in to MongoDB, and by which identity where that takes a token (pure).

Sources: MongoDB, "Connection String URI Format" and the driver specification of MONGODB-OIDC; Microsoft,
"Microsoft Entra ID authentication" of Azure DocumentDB.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote_plus

TOKEN_MECHANISM = "MONGODB-OIDC"  # noqa: S105  # nosec B105 - the name of a mechanism

AZURE_DOCUMENTDB_RESOURCE = "https://ossrdbms-aad.database.windows.net"
"""What a token for Azure DocumentDB is for, in the public cloud."""

_WHOLE_SCOPE = "/.default"


class SignInWay(StrEnum):
    """By what a client proves who it is."""

    NONE = "none"
    PASSWORD = "password"  # noqa: S105  # nosec B105 - a word for an operator
    CERTIFICATE = "certificate"
    IDENTITY = "identity"
    """A token of a workload's identity; for Azure it comes from Microsoft Entra ID."""


_WAYS = {"MONGODB-X509": SignInWay.CERTIFICATE, TOKEN_MECHANISM: SignInWay.IDENTITY}


@dataclass(frozen=True, slots=True)
class TokenSignIn:
    """What a connection string says of a sign-in with a token of Microsoft Entra ID."""

    client_id: str | None
    """Of the identity: the string's user name; None if it has none."""
    scope: str
    """What the token has to be for, as Microsoft Entra ID wants it."""


@dataclass(frozen=True, slots=True)
class SignInIdentity:
    """A managed identity that signs in to the database."""

    scope: str
    client_id: str | None = None
    """None for the identity that Azure assigns to the function app itself."""
    setting: str | None = None
    """Which setting names the client id."""

    def __str__(self) -> str:
        return "the system-assigned identity" if self.client_id is None else f"client id {self.client_id}"


def sign_in_way(uri: str) -> SignInWay:
    """By what a connection string signs in."""
    user, password = _credentials(uri)
    mechanism = _options(uri).get("authmechanism", "")
    by_user = SignInWay.PASSWORD if user and password else SignInWay.NONE
    return _WAYS.get(mechanism, by_user)


def token_sign_in(uri: str) -> TokenSignIn | None:
    """The sign-in with a token that this app has to get; None if the driver signs in by itself.

    The driver gets tokens of other environments (`gcp`, `k8s`, `test`). Of `azure` it does not: it asks the
    metadata service of virtual machines, which an app in Azure Functions cannot reach.
    """
    options = _options(uri)
    if options.get("authmechanism") != TOKEN_MECHANISM:
        return None
    properties = _properties(options.get("authmechanismproperties", ""))
    if properties.get("ENVIRONMENT", "azure") != "azure":
        return None
    resource = properties.get("TOKEN_RESOURCE") or AZURE_DOCUMENTDB_RESOURCE
    # Not `rstrip("/")`: a resource that ends in a slash is another one.
    scope = resource if resource.endswith(_WHOLE_SCOPE) else resource + _WHOLE_SCOPE
    return TokenSignIn(_credentials(uri)[0] or None, scope)


def _credentials(uri: str) -> tuple[str, str]:
    """User name and password; empty if they are not there, as for the driver."""
    authority = re.split(r"[/?]", uri.partition("://")[2], maxsplit=1)[0]
    user, _, password = authority.rpartition("@")[0].partition(":")
    return unquote_plus(user), unquote_plus(password)


def _options(uri: str) -> Mapping[str, str]:
    """By name in lower case: the driver takes any case."""
    pairs = (pair.partition("=") for pair in re.split(r"[&;]", uri.partition("?")[2]))
    return {name.lower(): unquote_plus(value) for name, _, value in pairs}


def _properties(text: str) -> Mapping[str, str]:
    pairs = (pair.partition(":") for pair in text.split(","))
    return {name: value for name, _, value in pairs}
