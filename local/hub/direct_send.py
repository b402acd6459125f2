"""A Direct Send request, taken apart (pure)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from local.hub.config import HubConfig
from local.hub.service_request import HubRequest, ServiceRequest

SERVICE_PREFIX = "servicebusnotification-"
"""Prefix of the service's own headers, in lower case."""

_RECORDED_PREFIXES = (SERVICE_PREFIX, "apns-", "x-wns-")
_RECORDED_HEADERS = frozenset({"content-type", "trackingid", "user-agent"})
"""The keys of a browser are not among them: they are part of its subscription, which is a secret."""


@dataclass(frozen=True)
class DirectSend:
    """A valid push. `headers` have lower-case names and never contain Authorization."""

    hub: str
    """Name of the hub."""
    device_handle: str
    format: str
    headers: Mapping[str, str]
    body: str
    call_id: str | None
    event: str | None = None
    """See `records.ReceivedPush`."""


class ParsedSend(ServiceRequest):
    """A request to send; as with its other parts, an unreadable body is empty and never an exception."""

    def __init__(self, request: HubRequest, hub: HubConfig, now: float) -> None:
        super().__init__(request, hub, now)
        self.format = self.headers.get(SERVICE_PREFIX + "format", "")

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
            return _JSON.decode(self.text or "")
        except (ValueError, RecursionError):
            return None

    def member(self, *path: str) -> dict[str, Any]:
        """The JSON object at `path`, or an empty one."""
        value = self.json
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}

    @cached_property
    def xml(self) -> Element | None:
        """The root of the body as XML; `None` if it is not well-formed or has a document type."""
        try:
            root: Element = ElementTree.fromstring(self.request.body, forbid_dtd=True)
        except (ParseError, DefusedXmlException, ValueError, LookupError):
            return None
        return root

    @property
    def content_type(self) -> tuple[str, str]:
        """Media type and charset, both in lower case."""
        media, _, parameters = self.headers.get("content-type", "").lower().partition(";")
        name, _, charset = parameters.strip().partition("=")
        return media.strip(), charset.strip().strip('"') if name.strip() == "charset" else ""

    def push(self) -> DirectSend:
        """The push that a valid request makes."""
        data = self._data()
        call_id, event = data.get("callId"), data.get("eventId", data.get("event"))
        return DirectSend(
            hub=self.hub.hub_name,
            device_handle=self.headers[SERVICE_PREFIX + "devicehandle"],
            format=self.format,
            headers={name: value for name, value in self.headers.items() if _is_recorded(name)},
            body=self.request.body.decode("utf-8", "replace"),
            call_id=call_id if isinstance(call_id, str) else None,
            event=str(event) if isinstance(event, str | int) else None,
        )

    def _data(self) -> dict[str, Any]:
        """What the app on the device reads."""
        match self.format:
            case "fcmv1":
                return self.member("message", "data")
            case "browser":
                return self.member()
            case _:
                return self.member("data") or self._launched_with()

    def _launched_with(self) -> dict[str, Any]:
        """What a toast hands to its app: JSON in this project's pushes, any text in others."""
        text = self.xml.get("launch", "") if self.format == "windows" and self.xml is not None else ""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


_JSON = json.JSONDecoder(parse_constant=_refuse_constant)


def _is_recorded(name: str) -> bool:
    return name in _RECORDED_HEADERS or name.startswith(_RECORDED_PREFIXES)
