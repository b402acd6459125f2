"""The simulated hub's side of the wire: Direct Send over HTTP, faults included."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

from aiohttp import web

from local.hub.checks import (
    DirectSend,
    HubConfig,
    HubRequest,
    Refusal,
)
from local.hub.control_api import ControlApi
from local.hub.control_client import ReceivedPush
from local.hub.faults import NO_FAULT, Ending
from local.hub.memory import Simulator, Turn

LOOPBACK = "127.0.0.1"
_LOCATION = "https://{host}/{hub}/messages/{id}?api-version=2020-06"


class _Protocols(web.Server):
    """aiohttp's low-level server, which also says when a connection has gone and can cut them all."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        lost: Callable[[web.RequestHandler], None],
    ) -> None:
        super().__init__(handler, access_log=None)
        self._lost = lost
        self._transports: dict[web.RequestHandler, asyncio.Transport] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._transports[handler] = transport

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        del self._transports[handler]
        self._lost(handler)

    async def cut(self) -> None:
        """Aborts every connection and waits until they have gone: some turns of the loop for TLS."""
        for transport in self._transports.values():
            transport.abort()
        async with asyncio.timeout(1):
            while self._transports:
                await asyncio.sleep(0)


class HubServer:
    """Serves one simulator on one port, from ``start`` to ``stop``, in the running event loop."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._stopping = asyncio.Event()
        self._gone: dict[web.RequestHandler, asyncio.Event] = {}
        self._control = ControlApi(simulator)
        self._protocols = _Protocols(self._handle, self._connection_lost)
        self._runner = web.ServerRunner(self._protocols, shutdown_timeout=1.0)

    async def start(self, port: int, tls: ssl.SSLContext | None) -> int:
        """Listens and gives the port; OSError if it is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, port, ssl_context=tls, backlog=1024)
        await site.start()
        return site.port

    async def stop(self) -> None:
        """Waits for nobody: a hub that goes away takes its unanswered requests with it."""
        self._stopping.set()
        await self._protocols.cut()
        await self._runner.cleanup()
        # Those that came in while the port was being closed; aiohttp leaves a TLS connection half closed.
        await self._protocols.cut()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        if request.path.startswith("/simulator/"):
            return await self._control.answer(request)
        return await self._direct_send(request)

    async def _direct_send(self, request: web.BaseRequest) -> web.Response:
        gone = self._connection(request)
        try:
            turn = await self._receive(request)
        except (ConnectionError, web.RequestPayloadError):
            return _drop(request)
        await self._pause(turn.delay_seconds)
        if self._stopping.is_set():
            return _drop(request)
        if isinstance(turn.verdict, Refusal):
            return _error(turn.verdict.status, turn.verdict.reason, turn.tracking_id)
        return await self._take_effect(request, turn, turn.verdict, gone)

    async def _take_effect(
        self, request: web.BaseRequest, turn: Turn, push: DirectSend, gone: asyncio.Event
    ) -> web.Response:
        effect = turn.fault.effect if turn.fault else NO_FAULT
        received = self._simulator.accept(push, turn.tracking_id) if effect.accepts else None
        if effect.ending is Ending.HOLD:
            await gone.wait()
        if effect.ending is not Ending.ANSWER:
            return _drop(request)
        if received:
            return _created(received, self._simulator.config)
        return _ordered_error(turn)

    async def _receive(self, request: web.BaseRequest) -> Turn:
        headers = _plain_headers(request)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._simulator.receive_overlong(headers)
        target = request.rel_url
        return self._simulator.receive(
            HubRequest(request.method, target.path, target.raw_query_string, headers, body)
        )

    async def _pause(self, seconds: float) -> None:
        """Waits; a client that gives up meanwhile changes nothing, as with the service."""
        if seconds <= 0:
            return
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    def _connection(self, request: web.BaseRequest) -> asyncio.Event:
        """Counts the connection on its first send; the event is set once it has gone."""
        if request.transport is None:  # it went before its request had its turn, and will not go again
            gone = asyncio.Event()
            gone.set()
            return gone
        if request.protocol not in self._gone:
            self._gone[request.protocol] = asyncio.Event()
            self._simulator.count_connection(opened=1)
        return self._gone[request.protocol]

    def _connection_lost(self, connection: web.RequestHandler) -> None:
        gone = self._gone.pop(connection, None)
        if gone is not None:
            gone.set()
            self._simulator.count_connection(closed=1)


def _plain_headers(request: web.BaseRequest) -> dict[str, str]:
    """Lower-case names; repeated headers joined (RFC 9110, 5.3); bytes that are not UTF-8 become ``?``."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        clean = value.encode("utf-8", "replace").decode("utf-8")
        known = headers.get(name.lower())
        headers[name.lower()] = clean if known is None else f"{known}, {clean}"
    return headers


def _drop(request: web.BaseRequest) -> web.Response:
    """Ends the connection; aiohttp finds it closed and lets the returned response go."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _created(push: ReceivedPush, hub: HubConfig) -> web.Response:
    location = _LOCATION.format(host=hub.host, hub=hub.hub_name, id=push.notification_id)
    return web.Response(status=201, headers={"TrackingId": push.tracking_id, "Location": location})


def _ordered_error(turn: Turn) -> web.Response:
    status = turn.fault.status if turn.fault else None
    answer = _error(status or 500, "this fault was ordered", turn.tracking_id)
    if turn.fault and turn.fault.retry_after is not None:
        answer.headers["Retry-After"] = turn.fault.retry_after
    return answer


def _error(status: int, reason: str, tracking: str) -> web.Response:
    """The service's error shape, in XML."""
    detail = f"{reason}. TrackingId:{tracking},TimeStamp:{datetime.now(UTC):%m/%d/%Y %H:%M:%S}"
    answer = web.Response(
        status=status,
        headers={"TrackingId": tracking},
        body=f"<Error><Code>{status}</Code><Detail>{escape(detail)}</Detail></Error>".encode(),
    )
    answer.headers["Content-Type"] = "application/xml;charset=utf-8"
    return answer


async def serve(
    simulator: Simulator,
    port: int,
    tls: ssl.SSLContext | None,
    listening: Callable[[int], None],
    stopping: asyncio.Event,
) -> None:
    server = HubServer(simulator)
    try:
        listening(await server.start(port, tls))
        await stopping.wait()
    finally:
        await server.stop()


def server_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS context from PEM files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def base_url(port: int, tls: ssl.SSLContext | None) -> str:
    """``http://127.0.0.1:PORT``, or https with TLS; no trailing slash."""
    return f"{'https' if tls else 'http'}://{LOOPBACK}:{port}"
