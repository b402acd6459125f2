"""The hub of the benchmark: the checks of the hub simulator, on a server that takes less CPU time.

The hub shares two cores with what is measured. The simulator has faults, records and telemetry on a complete
HTTP server. This one takes the requests of the measured clients; any other is refused, and fails the run.
"""

import asyncio
import re
import ssl
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache, partial
from http import HTTPStatus
from pathlib import Path

from local.hub.check import Refusal
from local.hub.checks import refused_send
from local.hub.config import DEVELOPMENT_HUB
from local.hub.direct_send import ParsedSend
from local.hub.server import LOOPBACK, base_url, server_tls
from local.hub.service_request import HubRequest, tracking_id
from local.server_thread import ServerThread

_HEAD_END = b"\r\n\r\n"
_LONGEST = 65_536
"""Of a request's head, in bytes."""
_NOT_HTTP = Refusal(400, "not a request of HTTP/1.1 with a Content-Length")


@dataclass(frozen=True, slots=True)
class Begin:
    """Forget what was received; answer each push after so many seconds from now on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """Tell what was received."""


@dataclass(slots=True)
class Received:
    """What came since the last `Begin`."""

    url: str
    accepted: list[float] = field(default_factory=list)
    """When each push was accepted, unix seconds; it is answered at the same moment."""
    refused: list[str] = field(default_factory=list)
    """Status and reason of each refusal."""


class HubService:
    """Serves in a thread of its own, so that the first thread of the process can take orders."""

    def __init__(self, tls: tuple[Path, Path] | None) -> None:
        """`tls`: the server's certificate and key; None to serve without."""
        self.seconds = 0.0
        self._tls = server_tls(*tls) if tls else None
        port = ServerThread("bench-hub", partial(_serve, self, self._tls)).start()
        self.received = Received(base_url(port, self._tls))

    def answer(self, order: Begin | Report) -> Received:
        """Carry out an order; no push may be on its way."""
        if isinstance(order, Begin):
            self.seconds = order.seconds
            self.received = Received(self.received.url)
        return self.received


async def _serve(
    service: HubService,
    tls: ssl.SSLContext | None,
    listening: Callable[[int], None],
    stopping: asyncio.Event,
) -> None:
    server = await asyncio.get_running_loop().create_server(
        partial(_Connection, service), LOOPBACK, 0, ssl=tls, backlog=1024
    )
    async with server:
        listening(server.sockets[0].getsockname()[1])
        await stopping.wait()


class _Connection(asyncio.Protocol):
    """A kept connection; its requests are answered in their order, since all wait for the same time."""

    def __init__(self, service: HubService) -> None:
        self._service = service
        self._pending = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._pending += data
        try:
            while whole := _taken_apart(self._pending):
                request, self._pending = whole
                seconds = self._service.seconds
                due = self._loop.time() + seconds
                self._loop.call_later(seconds / 2, self._decide, request, due)
        except ValueError:
            self._refuse(_NOT_HTTP)
            self._transport.close()

    def _decide(self, request: HubRequest, due: float) -> None:
        # In the middle of the hub's time. At its ends the checks would take CPU from a client that is still
        # sending to other devices, or that reads the answers already.
        refusal = refused_send(ParsedSend(request, DEVELOPMENT_HUB, time.time()))
        if refusal is not None:
            self._loop.call_at(due, self._refuse, refusal)
            return
        created = _created(tracking_id(request.headers) or str(uuid.uuid4()))
        self._loop.call_at(due, self._accept, created)

    def _accept(self, created: bytes) -> None:
        self._service.received.accepted.append(time.time())
        self._transport.write(created)

    def _refuse(self, refusal: Refusal) -> None:
        self._service.received.refused.append(f"{refusal.status}: {refusal.reason}")
        self._transport.write(_answer(refusal.status, refusal.reason.encode()))


def _taken_apart(data: bytes) -> tuple[HubRequest, bytes] | None:
    """The first request and what follows it; None if it is not complete.

    Raises:
        ValueError: it is none that this hub reads.
    """
    head_end = data.find(_HEAD_END)
    if head_end < 0:
        if len(data) > _LONGEST:
            raise ValueError
        return None
    first, *lines = data[:head_end].decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    headers: dict[str, str] = {}
    for line in lines:
        as_sent, colon, value = line.partition(":")
        name = as_sent.lower()
        if not colon or name in headers:
            raise ValueError
        headers[name] = value.strip()
    length = headers.get("content-length", "")
    if version != "HTTP/1.1" or not re.fullmatch("[0-9]{1,5}", length):
        raise ValueError
    body_start = head_end + len(_HEAD_END)
    end = body_start + int(length)
    if len(data) < end:
        return None
    path, _, query = target.partition("?")
    return HubRequest(method, path, query, headers, data[body_start:end]), data[end:]


def _created(tracking: str) -> bytes:
    location = f"https://{DEVELOPMENT_HUB.host}/{DEVELOPMENT_HUB.hub_name}/messages/{uuid.uuid4()}?api-version=2020-06"
    return _answer(201, b"", f"TrackingId: {tracking}\r\nLocation: {location}\r\n")


def _answer(status: int, body: bytes, more_headers: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nDate: {_date(int(time.time()))}\r\n"
        f"{more_headers}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
