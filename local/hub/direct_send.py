"""A Direct Send request, taken apart (pure)."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from local.hub.config import AccessRule, HubConfig

SERVICE_PREFIX = "servicebusnotification-"
"""Prefix of the service's own headers, in lower case."""

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class HubRequest:
    """A request as received; `query` is raw, header names may have any case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class DirectSend:
    """A valid push. `headers` have lower-case names and never contain Authorization."""

    device_handle: str
    format: str
    headers: Mapping[str, str]
    body: str
    call_id: str | None


@dataclass(frozen=True)
class Refusal:
    """An HTTP status and its reason: fixed text that quotes nothing from the request."""

    status: int
    reason: str


@dataclass(frozen=True)
class SasToken:
    """The parts of a SharedAccessSignature; `resource` is percent-encoded, exactly as it was signed."""

    resource: str
    signature: str
    expiry: str
    key_name: str


NO_TOKEN = SasToken("", "", "0", "")
NO_RULE = AccessRule(key="unused", rights=frozenset())

_RECORDED_PREFIXES = (SERVICE_PREFIX, "apns-", "x-wns-")
_RECORDED_HEADERS = frozenset({"content-type", "trackingid", "user-agent"})


class ParsedSend:
    """A request whose parts are parsed on demand; an unreadable part is empty and never an exception."""

    def __init__(self, request: HubRequest, hub: HubConfig, now: float) -> None:
        """`now`: Unix seconds."""
        self.request, self.hub, self.now = request, hub, now
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.query = parse_qs(request.query, keep_blank_values=True)
        self.format = self.headers.get(SERVICE_PREFIX + "format", "")

    @cached_property
    def token(self) -> SasToken:
        """The SAS token, `NO_TOKEN` if it is missing or malformed."""
        scheme, _, rest = self.headers.get("authorization", "").partition(" ")
        pairs = [part.partition("=") for part in rest.split("&")]
        fields = {name: value for name, _, value in pairs}
        whole = len(pairs) == 4 and fields.keys() == {"sr", "sig", "se", "skn"} and all(fields.values())
        if scheme != "SharedAccessSignature" or not whole or not re.fullmatch(r"[0-9]{1,12}", fields["se"]):
            return NO_TOKEN
        # Form decoding turns a "+" that was not percent-encoded into a space, as the service does.
        return SasToken(fields["sr"], unquote_plus(fields["sig"]), fields["se"], unquote_plus(fields["skn"]))

    @cached_property
    def rule(self) -> AccessRule:
        """The access policy that the token names, `NO_RULE` if there is none."""
        return self.hub.rules.get(self.token.key_name, NO_RULE)

    @cached_property
    def text(self) -> str | None:
        """The body as text; `None` if it is not UTF-8."""
        try:
            return self.request.body.decode("utf-8")
        except UnicodeDecodeError:
            return None

    @cached_property
    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """The body as JSON; `None` if it is not JSON."""
        try:
            return json.loads(self.text or "", parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return None

    def member(self, *path: str) -> dict[str, Any]:
        """The JSON object at `path`, or an empty one."""
        value = self.json
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}

    @property
    def content_type(self) -> tuple[str, str]:
        """Media type and charset, both in lower case."""
        media, _, parameters = self.headers.get("content-type", "").lower().partition(";")
        name, _, charset = parameters.strip().partition("=")
        return media.strip(), charset.strip().strip('"') if name.strip() == "charset" else ""

    def push(self) -> DirectSend:
        """The push that a valid request makes."""
        return DirectSend(
            device_handle=self.headers[SERVICE_PREFIX + "devicehandle"],
            format=self.format,
            headers={name: value for name, value in self.headers.items() if _is_recorded(name)},
            body=self.request.body.decode("utf-8", "replace"),
            call_id=self._call_id(),
        )

    def _call_id(self) -> str | None:
        path = ("message", "data") if self.format == "fcmv1" else ("data",)
        value = self.member(*path).get("callId")
        return value if isinstance(value, str) else None


def tracking_id(headers: Mapping[str, str]) -> str | None:
    """The client's TrackingId if it is a GUID (lower-case header names)."""
    value = headers.get("trackingid", "")
    return value if GUID.fullmatch(value) else None


def signature(key: str, signed_text: str) -> str:
    """HMAC-SHA256 in padded base64, the key used as UTF-8 (Service Bus: Shared Access Signature)."""
    digest = hmac.new(key.encode(), signed_text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode("ascii")


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


def _is_recorded(name: str) -> bool:
    return name in _RECORDED_HEADERS or name.startswith(_RECORDED_PREFIXES)
