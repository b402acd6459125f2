"""How the hub is reached from here: directly or by a proxy, and whose certificate counts.

`requests` decides both, as it does for everybody: `HTTPS_PROXY`, `NO_PROXY`, `REQUESTS_CA_BUNDLE` and their
like, as the environment has them when the route is made. Plain HTTP is for loopback, where no proxy is asked.
"""

import http.client
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy

from models.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one URL."""

    target: str
    """What the request line names: path and query, percent-encoded."""
    _host: str
    _port: int
    _proxy: SplitResult | None = field(repr=False)
    _tls: ssl.SSLContext | None

    @classmethod
    def to(cls, url: str) -> "Route":
        """The route to a URL, query included.

        Raises:
            ConfigurationError: the URL, or the environment's proxy or certificates, cannot be used.
        """
        try:
            with requests.Session() as session:
                environment = session.merge_environment_settings(url, {}, None, None, None)
            prepared = requests.Request("POST", url).prepare()
            parts = urlsplit(prepared.url or "")
            host, port = _host(parts), parts.port
        except (requests.RequestException, ValueError):
            raise ConfigurationError(
                "The hub's URL cannot be used: check ANHHubConnectionString, ANHHubName and ANHHubUrl."
            ) from None
        if parts.scheme != "https":
            return cls(prepared.path_url, host, port or http.client.HTTP_PORT, None, None)
        proxy = _proxy(select_proxy(url, environment["proxies"]))
        tls = _tls(environment["verify"])
        return cls(prepared.path_url, host, port or http.client.HTTPS_PORT, proxy, tls)

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        """A connection that is not open yet; `timeout` is in seconds, for opening it."""
        if self._tls is None:
            return _Plain(self._host, self._port, timeout)
        if self._proxy is None:
            return _Tls(self._host, self._port, timeout=timeout, context=self._tls)
        port = self._proxy.port or http.client.HTTP_PORT
        connection = _Tls(_host(self._proxy), port, timeout=timeout, context=self._tls)
        connection.set_tunnel(self._host, self._port, _credentials(self._proxy))
        return connection


class _InOnePiece(http.client.HTTPConnection):
    """Sends a request as one piece: `http.client` sends headers and body each for itself, which costs a
    system call, a TLS record and a packet more."""

    _pieces: list[bytes] | None = None

    def request(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401 - http.client's own
        pieces: list[bytes] = []
        self._pieces = pieces
        try:
            super().request(*arguments, **more)
        finally:
            self._pieces = None
        self.send(b"".join(pieces))

    def send(self, data: Any) -> None:  # noqa: ANN401 - http.client's own
        if self._pieces is None:
            super().send(data)
        else:
            self._pieces.append(data)


class _Plain(_InOnePiece):
    pass


class _Tls(_InOnePiece, http.client.HTTPSConnection):
    pass


def _host(parts: SplitResult) -> str:
    """The host, as a name look-up takes it; ValueError if it is none."""
    host = parts.hostname or ""
    host.encode("idna")
    if not host:
        raise ValueError("no host")
    return host


def _proxy(url: str | None) -> SplitResult | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        usable = parts.scheme == "http" and bool(_host(parts)) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            "The environment's proxy cannot be used: HTTPS_PROXY needs the form http://host:port."
        )
    return parts


def _credentials(proxy: SplitResult) -> dict[str, str]:
    """What the proxy is told of who is asking; the hub never hears it."""
    if proxy.username is None:
        return {}
    credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(credentials.encode()).decode()}"}


def _tls(verify: object) -> ssl.SSLContext:
    bundle = Path(verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH)
    try:
        if bundle.is_dir():
            context = ssl.create_default_context(capath=bundle)
        else:
            context = ssl.create_default_context(cafile=bundle)
    except OSError:
        raise ConfigurationError(
            "The environment's certificates cannot be used: REQUESTS_CA_BUNDLE has to name a file of PEM "
            "certificates."
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    return context
