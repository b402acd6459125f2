"""A request to the service with its SAS token, taken apart (pure)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from urllib.parse import parse_qs, unquote_plus

from local.hub.config import AccessRule, HubConfig

_KEPT = 64
"""Results of each pure function below: tokens and queries repeat from push to push."""

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class HubRequest:
    """A request as received; `query` is raw, header names may have any case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @cached_property
    def segments(self) -> list[str]:
        """Of the path, in lower case; a slash at its end does not count."""
        return self.path.lower().removeprefix("/").removesuffix("/").split("/")


@dataclass(frozen=True)
class SasToken:
    """The parts of a SharedAccessSignature; `resource` is percent-encoded, exactly as it was signed."""

    resource: str
    signature: str
    expiry: str
    key_name: str


NO_TOKEN = SasToken("", "", "0", "")
NO_RULE = AccessRule(key="unused", rights=frozenset())


class ServiceRequest:
    """A request whose parts are parsed on demand; an unreadable part is empty and never an exception."""

    def __init__(self, request: HubRequest, hub: HubConfig, now: float) -> None:
        """`hub`: that the path names; `now`: Unix seconds."""
        self.request, self.hub, self.now = request, hub, now
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.query = _parsed_query(request.query)

    @cached_property
    def token(self) -> SasToken:
        """The SAS token, `NO_TOKEN` if it is missing or malformed."""
        return _parsed_token(self.headers.get("authorization", ""))

    @cached_property
    def rule(self) -> AccessRule:
        """The access policy that the token names, `NO_RULE` if there is none."""
        return self.hub.rules.get(self.token.key_name, NO_RULE)


def tracking_id(headers: Mapping[str, str]) -> str | None:
    """The client's TrackingId if it is a GUID (lower-case header names)."""
    value = headers.get("trackingid", "")
    return value if GUID.fullmatch(value) else None


@lru_cache(_KEPT)
def _parsed_token(authorization: str) -> SasToken:
    scheme, _, rest = authorization.partition(" ")
    pairs = [part.partition("=") for part in rest.split("&")]
    fields = {name: value for name, _, value in pairs}
    whole = len(pairs) == 4 and fields.keys() == {"sr", "sig", "se", "skn"} and all(fields.values())
    if scheme != "SharedAccessSignature" or not whole or not re.fullmatch(r"[0-9]{1,12}", fields["se"]):
        return NO_TOKEN
    # Form decoding turns a "+" that was not percent-encoded into a space, as the service does.
    return SasToken(fields["sr"], unquote_plus(fields["sig"]), fields["se"], unquote_plus(fields["skn"]))


@lru_cache(_KEPT)
def _parsed_query(query: str) -> Mapping[str, list[str]]:
    return parse_qs(query, keep_blank_values=True)


@lru_cache(_KEPT)
def signature(key: str, signed_text: str) -> str:
    """HMAC-SHA256 in padded base64, the key used as UTF-8 (Service Bus: Shared Access Signature)."""
    digest = hmac.new(key.encode(), signed_text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode("ascii")
