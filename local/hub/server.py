"""The simulator's HTTP server: Direct Send, with its faults, the service's reads and the control API."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from local.hub import service_answers
from local.hub.blob_api import BLOBS_PATH, BlobApi
from local.hub.check import Refusal
from local.hub.control_api import ControlApi
from local.hub.direct_send import DirectSend
from local.hub.faults import NO_FAULT, Ending
from local.hub.read_api import ReadApi
from local.hub.service_request import HubRequest
from local.hub.simulator import Decision, Simulator

LOOPBACK = "127.0.0.1"


class _Protocols(web.Server):
    """aiohttp's low-level server that also reports lost connections and can abort all of them."""

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

    async def abort_all(self) -> None:
        """Abort every connection and wait until they are gone, which takes TLS some turns of the loop."""
        for transport in self._transports.values():
            transport.abort()
        async with asyncio.timeout(1):
            while self._transports:
                await asyncio.sleep(0)


class HubServer:
    """Serves one simulator on one port, from `start` to `stop`, in the running event loop."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it stops: a future can be waited for by many requests without an exception a wait."""
        self._gone: dict[web.RequestHandler, asyncio.Event] = {}
        self._control = ControlApi(simulator)
        self._reads = ReadApi(simulator)
        self._blobs = BlobApi(simulator)
        self._base_url = ""
        self._protocols = _Protocols(self._handle, self._connection_lost)
        self._runner = web.ServerRunner(self._protocols, shutdown_timeout=1.0)

    async def start(self, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen and return the port; OSError if it is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, port, ssl_context=tls, backlog=1024)
        await site.start()
        self._base_url = base_url(site.port, tls)
        return site.port

    async def stop(self) -> None:
        """Abort every connection at once; requests without an answer stay unanswered."""
        self._stopping.set_result(None)
        await self._protocols.abort_all()
        await self._runner.cleanup()
        # Connections that arrived while the port was closing; aiohttp leaves a TLS connection half closed.
        await self._protocols.abort_all()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        if request.path.startswith("/simulator/"):
            return await self._control.answer(request)
        if request.path.startswith(BLOBS_PATH):
            return self._blobs.answer(request, self._base_url)
        if request.path == "/":
            return web.Response()  # the namespace's root, which needs no key and belongs to no hub
        read = self._reads.answer(_plain(request, b""), self._base_url) if request.method == "GET" else None
        return read or await self._direct_send(request)

    async def _direct_send(self, request: web.BaseRequest) -> web.Response:
        gone = self._connection(request)
        try:
            decision = await self._receive(request)
        except (ConnectionError, web.RequestPayloadError):
            return _drop(request)
        await self._pause(decision.delay_seconds)
        if self._stopping.done():
            return _drop(request)
        if isinstance(decision.verdict, Refusal):
            return service_answers.error(decision.verdict, decision.tracking_id)
        return await self._apply(request, decision, decision.verdict, gone)

    async def _apply(
        self, request: web.BaseRequest, decision: Decision, push: DirectSend, gone: asyncio.Event
    ) -> web.Response:
        effect = decision.fault.effect if decision.fault else NO_FAULT
        received = self._simulator.accept(push, decision.tracking_id) if effect.accepts else None
        if effect.ending is Ending.HOLD:
            await gone.wait()
        if effect.ending is not Ending.ANSWER:
            return _drop(request)
        if received:
            return service_answers.created(received, self._simulator.hubs.get(received.hub))
        return _fault_answer(decision)

    async def _receive(self, request: web.BaseRequest) -> Decision:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._simulator.receive_overlong(_plain_headers(request))
        return self._simulator.receive(_plain(request, body))

    async def _pause(self, seconds: float) -> None:
        """Wait; a client that gives up meanwhile changes nothing, as with the service."""
        if seconds > 0:
            await asyncio.wait((self._stopping,), timeout=seconds)

    def _connection(self, request: web.BaseRequest) -> asyncio.Event:
        """Count the connection on its first send; the event is set when the connection is lost."""
        if request.transport is None:  # it was lost before its request was handled
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


def _plain(request: web.BaseRequest, body: bytes) -> HubRequest:
    target = request.rel_url
    return HubRequest(request.method, target.path, target.raw_query_string, _plain_headers(request), body)


def _plain_headers(request: web.BaseRequest) -> dict[str, str]:
    """Lower-case names; repeated headers joined (RFC 9110, 5.3); bytes that are not UTF-8 become `?`."""
    headers: dict[str, str] = {}
    for as_sent, value in request.headers.items():
        name = as_sent.lower()
        clean = value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
        headers[name] = f"{headers[name]}, {clean}" if name in headers else clean
    return headers


def _drop(request: web.BaseRequest) -> web.Response:
    """Abort the connection; aiohttp then discards the returned response."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _fault_answer(decision: Decision) -> web.Response:
    status = decision.fault.status if decision.fault else None
    answer = service_answers.error(Refusal(status or 500, "a fault of the simulator"), decision.tracking_id)
    if decision.fault and decision.fault.retry_after is not None:
        answer.headers["Retry-After"] = decision.fault.retry_after
    return answer


async def serve(
    simulator: Simulator,
    port: int,
    tls: ssl.SSLContext | None,
    listening: Callable[[int], None],
    stopping: asyncio.Event,
) -> None:
    """Serve until `stopping` is set; call `listening` with the port."""
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
    """`http://127.0.0.1:PORT`, or https with TLS; no trailing slash."""
    return f"{'https' if tls else 'http'}://{LOOPBACK}:{port}"
