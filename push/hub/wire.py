"""One POST to the hub over a kept-alive connection.

On `http.client`, not on `requests` or the `urllib3` below it: either spends more processor time on preparing
each request than the request itself takes (docs/performance.md). What is left to do here is to keep
connections, and to tell what cannot have rung from what may have.
"""

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Self

from push.hub.connections import IdleConnections
from push.hub.route import Route

_LONGEST_BODY = 65_536
"""Of an answer, in bytes; who says more loses the connection."""

_BODY_SECONDS = 0.5
"""Nobody reads a body; it is waited for only so that its connection can be used again."""

_LEAST_SECONDS = 0.001
"""A time-out of nothing would mean "do not wait at all"."""


_NETWORK_ERRORS = (OSError, http.client.HTTPException, ValueError)
"""ValueError: http.client's for a chunk of negative length, and the look-up's for what cannot be a host."""


class WireError(Exception):
    """The network failed. It has no cause, which would quote addresses."""


class UnreachableError(WireError):
    """There is no connection to the hub in time, so nothing has been sent."""


class ConnectionLostError(WireError):
    """The connection broke, or what came back is no HTTP."""


class NoAnswerError(WireError):
    """The hub has the whole request and gave no final answer in time."""


@dataclass(frozen=True, slots=True)
class HubEndpoint:
    """Where messages go, and how long to wait for the hub."""

    messages_url: str
    """`https://<namespace>.servicebus.windows.net/<hub>/messages/`"""
    api_version: str
    connect_seconds: float
    read_seconds: float
    """Time-outs of one request."""

    @property
    def direct_send_url(self) -> str:
        """Where a push for one device goes; without `direct` it would go to every device of the hub."""
        return f"{self.messages_url}?direct&api-version={self.api_version}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the hub answered; its body is not kept."""

    status: int
    headers: Message
    """Names in any case."""


class HubWire:
    """Posts to one hub. Safe to share between threads."""

    def __init__(self, endpoint: HubEndpoint, monotonic: Callable[[], float]) -> None:
        """Take the hub, and a clock that tells seconds and never runs backwards.

        Raises:
            ConfigurationError: the environment names a proxy that cannot be used.
        """
        self._endpoint = endpoint
        self._monotonic = monotonic
        self._route = Route.to(endpoint.direct_send_url)
        self._idle = IdleConnections(monotonic)

    @property
    def longest_send_seconds(self) -> float:
        """How long one `post` can take."""
        return self._endpoint.connect_seconds + self._endpoint.read_seconds

    def post(self, body: bytes, headers: Mapping[str, str], time_left: float) -> Answer:
        """Send once, follow nothing, repeat nothing.

        Args:
            body: what to send.
            headers: what goes with it.
            time_left: seconds in which to be back, whatever the endpoint's time-outs.

        Raises:
            WireError: its kind says how the network failed.
        """
        ends_at = self._monotonic() + min(time_left, self.longest_send_seconds)
        connection = self._idle.take() or self._connect(time_left)
        if self._monotonic() >= ends_at:
            # No time-out reaches a name look-up, and each address and the handshake have one of their own.
            # Whoever sends now may ring beside the one who has taken over. It is not kept: with TLS 1.3, the
            # session tickets that wait unread would make it look ended.
            connection.close()
            raise UnreachableError
        answer = None
        try:
            answer = self._exchange(connection, body, headers, ends_at)
        finally:
            # http.client closes it where the hub says so, and a broken one is of no more use.
            if answer is not None and connection.sock is not None:
                self._idle.keep(connection)
            else:
                connection.close()
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._idle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self, time_left: float) -> http.client.HTTPConnection:
        timeout = max(_LEAST_SECONDS, min(self._endpoint.connect_seconds, time_left))
        connection = self._route.connection(timeout)
        try:
            connection.connect()
        except _NETWORK_ERRORS:
            connection.close()
            raise UnreachableError from None
        return connection

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        body: bytes,
        headers: Mapping[str, str],
        ends_at: float,
    ) -> Answer:
        time_left = ends_at - self._monotonic()
        try:
            connection.sock.settimeout(max(_LEAST_SECONDS, min(self._endpoint.read_seconds, time_left)))
            connection.request("POST", self._route.target, body, headers)
        except _NETWORK_ERRORS:
            raise ConnectionLostError from None
        try:
            response = connection.getresponse()
        except TimeoutError:
            raise NoAnswerError from None
        except _NETWORK_ERRORS:
            raise ConnectionLostError from None
        if response.status < 200:
            # An interim answer other than 100: its successor would be taken for the next push's answer.
            raise NoAnswerError
        _drain(connection, response)
        return Answer(response.status, response.headers)


def _drain(connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
    """Read what follows the headers, so that the connection can be used again. The answer counts anyway."""
    if connection.sock is None:  # it will not be
        response.close()
        return
    try:
        connection.sock.settimeout(_BODY_SECONDS)
        response.read(_LONGEST_BODY)
    except _NETWORK_ERRORS:
        connection.close()
    else:
        if not response.isclosed():
            connection.close()
