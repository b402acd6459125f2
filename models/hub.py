"""How to reach a notification hub: its settings' names, its connection string, where its token may go.

Format: Notification Hubs and Service Bus connection strings, `Endpoint=sb://…;SharedAccessKeyName=…;…`.
"""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

DEFAULT_HUB = "default"
"""Name of the hub of `ANHHubConnectionString`."""

NAMED_HUB_PREFIX = "ANHHub__"
"""Begins the settings of a named hub, such as `ANHHub__sandbox__ConnectionString`."""

LONGEST_HUB_NAME = 32
_NAME = re.compile(rf"(?!.*__)[a-z0-9_]{{1,{LONGEST_HUB_NAME}}}")

_SCHEME = "sb"
_HOST_NAME = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")


def is_hub_name(text: str) -> bool:
    """Whether a named hub may be called so: in lower case, and apart from the default hub's own name."""
    return _NAME.fullmatch(text) is not None and text != DEFAULT_HUB


@dataclass(frozen=True, slots=True)
class HubSettingNames:
    """The settings of one hub, as they are spelled in its errors."""

    connection_string: str
    secondary: str
    hub_name: str
    url: str

    @classmethod
    def of(cls, hub: str) -> "HubSettingNames":
        """Those of a hub by its name; the default one's are the C# sample's."""
        if hub == DEFAULT_HUB:
            return cls("ANHHubConnectionString", "ANHHubConnectionStringSecondary", "ANHHubName", "ANHHubUrl")
        prefix = f"{NAMED_HUB_PREFIX}{hub}__"
        return cls(
            f"{prefix}ConnectionString",
            f"{prefix}ConnectionStringSecondary",
            f"{prefix}HubName",
            f"{prefix}Url",
        )


@dataclass(frozen=True, slots=True)
class HubConnectionString:
    """A parsed connection string of a Notification Hubs namespace."""

    host: str
    """Host name of the namespace, lower case, such as `contoso.servicebus.windows.net`."""
    key_name: str
    key: str = field(repr=False)
    """The shared access key, used as UTF-8 and never decoded."""

    @classmethod
    def parse(cls, text: str) -> "HubConnectionString":
        """Read a connection string: parts in any order, with spaces, a trailing `;` or an `EntityPath`.

        Raises:
            ValueError: a part is missing or malformed; the message names it and quotes nothing.
        """
        # A key is base64 and may hold "=", so each part is split at its first one.
        pairs = (part.partition("=") for part in text.split(";") if part.strip())
        parts = {name.strip().lower(): value.strip() for name, _, value in pairs}
        needed = ("Endpoint", "SharedAccessKeyName", "SharedAccessKey")
        missing = [name for name in needed if not parts.get(name.lower())]
        if missing:
            raise ValueError(f"lacks {', '.join(missing)}; copy it whole from the hub's Access Policies")
        return cls(_host(parts["endpoint"]), parts["sharedaccesskeyname"], parts["sharedaccesskey"])

    def audience(self, hub_name: str) -> str:
        """The URI that a SAS token for the hub is made out to, lower case."""
        return f"https://{self.host}/{hub_name}".lower()

    def messages_url(self, hub_name: str) -> str:
        """Where Direct Send takes messages for the hub."""
        return f"https://{self.host}/{hub_name}/messages/"


def _is_host(text: str) -> bool:
    if _HOST_NAME.fullmatch(text):
        return True
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _host(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        host = parts.hostname
    except ValueError:
        host = None
    if host is None or parts.scheme.lower() != _SCHEME or not _is_host(host):
        raise ValueError("has an Endpoint that is not sb://<namespace>.servicebus.windows.net/")
    return host


TELEMETRY_API_VERSION = "2016-07"
"""The version that Microsoft's page on telemetry names."""


def _url(text: str) -> str:
    # A hub's name may have characters that a URL must not; what is percent-encoded already stays.
    return quote(text, safe="%/:?=&+,;@!$'()*~[]")


@dataclass(frozen=True, slots=True)
class HubEndpoint:
    """Where a hub takes requests."""

    messages_url: str
    """`https://<namespace>.servicebus.windows.net/<hub>/messages/`"""
    api_version: str
    hub: str = DEFAULT_HUB
    """The hub's name in the settings."""

    @property
    def direct_send_url(self) -> str:
        """Where a push for one device goes. Without `direct` it would go to every device of the hub."""
        return f"{_url(self.messages_url)}?direct&api-version={self.api_version}"

    def telemetry_url(self, notification_id: str) -> str:
        """Where the hub says what became of a push."""
        return f"{_url(self.messages_url)}{quote(notification_id)}?api-version={TELEMETRY_API_VERSION}"

    @property
    def feedback_url(self) -> str:
        """Where the hub says which container has the feedback of the platforms."""
        hub = self.messages_url.removesuffix("messages/")
        return f"{_url(hub)}feedbackcontainer?api-version={self.api_version}"

    @property
    def root_url(self) -> str:
        """The root of the namespace, which belongs to no hub."""
        parts = urlsplit(self.messages_url)
        return f"{parts.scheme}://{parts.netloc}/"


def check_messages_url(url: str, connection: HubConnectionString) -> str:
    """Return `url` in the form `https://…/messages/` if a SAS token for `connection` may be sent to it.

    Raises:
        ValueError: its host is neither the connection string's nor loopback, it is plain HTTP to another
            machine, or it is no URL that ends in `/messages`. A token must not leak.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    names_messages = url.rstrip("/").lower().endswith("/messages")
    if host is None or parts.query or parts.fragment or parts.username is not None or not names_messages:
        raise ValueError("must look like https://<namespace>.servicebus.windows.net/<hub>/messages/")
    if not is_loopback(host):
        if host != connection.host:
            raise ValueError("names another host than the connection string; its SAS token would leak there")
        if parts.scheme != "https":
            raise ValueError("must be https; plain http is for loopback only")
    elif parts.scheme not in {"http", "https"}:
        raise ValueError("must be http or https")
    hub_path = parts.path.rstrip("/")[: -len("messages")]
    return f"{parts.scheme}://{parts.netloc}{hub_path}messages/"


def is_loopback(host: str) -> bool:
    """True for `localhost` and for addresses of the loopback range."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
