"""A Notification Hubs simulator: Direct Send over HTTP on loopback, with a control API under ``/simulator/``.

``Simulator`` is the memory and the judgement, ``_HubServer`` the wire, ``RunningHub`` both in a thread for
tests, and ``python -m local.hub`` both in a process. Answers follow Notification Hubs REST, "Direct Send".
"""

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

from aiohttp import web
from pydantic import BaseModel, ValidationError

from local.hub_checks import (
    AccessRule,
    DirectSend,
    HubConfig,
    HubRequest,
    Refusal,
    check_direct_send,
    explain,
    parse_rules,
    tracking_id,
)
from local.hub_client import Attempt, AttemptList, Connections, Latency, PushList, ReceivedPush, Summary
from local.hub_faults import NO_FAULT, Ending, Fault, FaultOrders, parse_fault

RULES_VARIABLE = "HUB_SIMULATOR_RULES"
"""Environment variable with the access rules as JSON: a command line would show the keys to every process."""

DEVELOPMENT_HUB = HubConfig(
    namespace="localhub",
    hub_name="calls",
    rules={
        "DefaultFullSharedAccessSignature": AccessRule(
            key="for-development-only=", rights=frozenset({"Listen", "Manage", "Send"})
        ),
        "DefaultListenSharedAccessSignature": AccessRule(
            key="for-development-only-too=", rights=frozenset({"Listen"})
        ),
    },
)

_HOST = "127.0.0.1"
_LOCATION = "https://{host}/{hub}/messages/{id}?api-version=2020-06"
_TOO_LONG = Refusal(413, "the body is larger than anything that could be a push")


@dataclass(frozen=True)
class _Turn:
    """What the hub does about one request."""

    verdict: DirectSend | Refusal
    fault: Fault | None
    tracking_id: str
    delay_seconds: float


class Simulator:
    """Judges requests, plays the ordered faults and remembers it all. Thread-safe.

    It outlives the server around it. Memory is bounded: pushes with their bodies are kept for the last
    ``keep`` only, attempts for ten times as many; the counts in ``summary`` are complete.
    """

    def __init__(
        self,
        config: HubConfig = DEVELOPMENT_HUB,
        *,
        delay_seconds: float = 0.0,
        keep: int = 5_000,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock``: unix seconds, also the one that tokens expire by; ``seed``: of the faults' dice."""
        self.config = config
        self._clock = clock
        self._changed = threading.Condition()  # its lock is re-entrant and guards everything below
        self._delay_seconds = delay_seconds
        self._faults = FaultOrders(Random(seed))  # noqa: S311 - dice, not keys
        self._pushes: deque[ReceivedPush] = deque(maxlen=keep)
        self._attempts: deque[Attempt] = deque(maxlen=10 * keep)
        self._sequence = 0
        self._connections = Connections(open=0, total=0)
        self._start_counting()

    def _start_counting(self) -> None:
        self._accepted = 0
        self._refused = 0
        self._by_handle: Counter[str] = Counter()
        self._by_call: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._results: defaultdict[str, Counter[str]] = defaultdict(Counter)

    # --- for tests and the control API

    def pushes(self, since: int = 0) -> list[ReceivedPush]:
        """Accepted pushes with a sequence number above ``since``, oldest first."""
        with self._changed:
            return [push for push in self._pushes if push.sequence > since]

    def attempts(self, device_handle: str | None = None) -> list[Attempt]:
        """Requests to send, oldest first; of one device if it is named."""
        with self._changed:
            return [each for each in self._attempts if device_handle in {None, each.device_handle}]

    def summary(self) -> Summary:
        """A copy of the counts."""
        with self._changed:
            return Summary(
                accepted=self._accepted,
                refused=self._refused,
                handles=dict(self._by_handle),
                calls={call: dict(handles) for call, handles in self._by_call.items()},
                attempts={handle: dict(results) for handle, results in self._results.items()},
                connections=self._connections,
            )

    def forget(self) -> None:
        """Forgets pushes, attempts and counts; sequence numbers go on, faults and latency stay."""
        with self._changed:
            self._pushes.clear()
            self._attempts.clear()
            self._start_counting()

    def add_fault(self, fault: Fault) -> None:
        """Orders a fault, behind those already ordered."""
        with self._changed:
            self._faults.add(fault)

    def clear_faults(self) -> None:
        """Back to a healthy hub; what a black hole has swallowed stays swallowed."""
        with self._changed:
            self._faults.clear()

    def set_latency(self, seconds: float) -> None:
        """How long the hub takes over every request from now on."""
        with self._changed:
            self._delay_seconds = seconds

    def wait_until(self, reached: Callable[["Simulator"], bool], timeout: float = 10.0) -> None:
        """Blocks until ``reached(self)``, asked again on every change; TimeoutError after ``timeout`` s."""
        with self._changed:
            if not self._changed.wait_for(lambda: reached(self), timeout):
                raise TimeoutError(f"not reached within {timeout} s")

    def wait_for_pushes(self, count: int, timeout: float = 10.0) -> list[ReceivedPush]:
        """Blocks until ``count`` pushes were accepted since they were last forgotten."""
        self.wait_until(lambda hub: hub._accepted >= count, timeout)  # noqa: SLF001 - itself
        return self.pushes()

    # --- for the server

    def receive(self, request: HubRequest) -> _Turn:
        """Judges a request, picks its fault and notes the attempt. A fault never hides a refusal."""
        verdict = check_direct_send(request, self.config, self._clock())
        with self._changed:
            fault = self._faults.strike(verdict.device_handle) if isinstance(verdict, DirectSend) else None
            return self._noted(verdict, fault, request.headers)

    def receive_overlong(self, headers: Mapping[str, str]) -> _Turn:
        """A body so long that it was not even read."""
        with self._changed:
            return self._noted(_TOO_LONG, None, headers)

    def accept(self, push: DirectSend, tracking: str) -> ReceivedPush:
        """The phone rings."""
        with self._changed:
            self._sequence += 1
            received = ReceivedPush(
                sequence=self._sequence,
                device_handle=push.device_handle,
                format=push.format,
                headers=push.headers,
                body=push.body,
                call_id=push.call_id,
                received_at=self._clock(),
                tracking_id=tracking,
                notification_id=str(uuid.uuid4()),
            )
            self._pushes.append(received)
            self._accepted += 1
            self._by_handle[push.device_handle] += 1
            if push.call_id is not None:
                self._by_call[push.call_id][push.device_handle] += 1
            self._changed.notify_all()
            return received

    def count_connection(self, *, opened: int = 0, closed: int = 0) -> None:
        """Connections that carry sends."""
        with self._changed:
            now = self._connections
            self._connections = Connections(open=now.open + opened - closed, total=now.total + opened)
            self._changed.notify_all()

    def _noted(self, verdict: DirectSend | Refusal, fault: Fault | None, headers: Mapping[str, str]) -> _Turn:
        refusal = verdict if isinstance(verdict, Refusal) else None
        tracking = tracking_id(headers) or str(uuid.uuid4())
        attempt = Attempt(
            device_handle=headers.get("servicebusnotification-devicehandle"),
            status=refusal.status if refusal else _answered_status(fault),
            fault=fault.kind if fault else None,
            reason=refusal.reason if refusal else None,
            tracking_id=tracking,
            received_at=self._clock(),
            monotonic=time.monotonic(),
        )
        self._attempts.append(attempt)
        self._refused += refusal is not None
        self._results[attempt.device_handle or ""][attempt.result] += 1
        self._changed.notify_all()
        return _Turn(verdict, fault, tracking, self._delay_seconds + (fault.delay_seconds if fault else 0.0))


def _answered_status(fault: Fault | None) -> int | None:
    effect = fault.effect if fault else NO_FAULT
    if effect.ending is not Ending.ANSWER:
        return None
    return fault.status if fault and fault.status else 201


# --- the wire -----------------------------------------------------------------------------------------------


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


class _HubServer:
    """Serves one simulator on one port, from ``start`` to ``stop``, in the running event loop."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._stopping = asyncio.Event()
        self._gone: dict[web.RequestHandler, asyncio.Event] = {}
        self._control = _ControlApi(simulator)
        self._protocols = _Protocols(self._handle, self._connection_lost)
        self._runner = web.ServerRunner(self._protocols, shutdown_timeout=1.0)

    async def start(self, port: int, tls: ssl.SSLContext | None) -> int:
        """Listens and gives the port; OSError if it is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, _HOST, port, ssl_context=tls, backlog=1024)
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
        self, request: web.BaseRequest, turn: _Turn, push: DirectSend, gone: asyncio.Event
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

    async def _receive(self, request: web.BaseRequest) -> _Turn:
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


def _ordered_error(turn: _Turn) -> web.Response:
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


# --- the control API ----------------------------------------------------------------------------------------


class _ControlApi:
    """JSON over the simulator's thread-safe methods. Loopback is all that guards it."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._routes: dict[tuple[str, str], Callable[[str, bytes], web.Response]] = {
            ("GET", "pushes"): self._pushes,
            ("DELETE", "pushes"): self._forget,
            ("GET", "attempts"): self._attempts,
            ("GET", "summary"): self._summary,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("PUT", "latency"): self._set_latency,
        }

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Routes by method and the rest of the path; 400 says what is wrong with an order."""
        name = request.path.removeprefix("/simulator/")
        if (request.method, name) not in self._routes:
            known = any(name == path for _, path in self._routes)
            return _control_error(405 if known else 404, "no such operation of the simulator")
        body = await request.read()
        try:
            return self._routes[request.method, name](request.query.get("since", "0"), body)
        except ValidationError as error:
            return _control_error(400, explain(error))
        except ValueError as error:
            return _control_error(400, str(error))

    def _pushes(self, since: str, _body: bytes) -> web.Response:
        if not (since.isascii() and since.isdigit()):
            raise ValueError("since must be a sequence number")
        return _json(PushList(pushes=tuple(self._simulator.pushes(int(since)))))

    def _forget(self, _since: str, _body: bytes) -> web.Response:
        self._simulator.forget()
        return web.Response(status=204)

    def _attempts(self, _since: str, _body: bytes) -> web.Response:
        return _json(AttemptList(attempts=tuple(self._simulator.attempts())))

    def _summary(self, _since: str, _body: bytes) -> web.Response:
        return _json(self._simulator.summary())

    def _add_fault(self, _since: str, body: bytes) -> web.Response:
        fault = parse_fault(body)
        self._simulator.add_fault(fault)
        return _json(fault, status=201)

    def _clear_faults(self, _since: str, _body: bytes) -> web.Response:
        self._simulator.clear_faults()
        return web.Response(status=204)

    def _set_latency(self, _since: str, body: bytes) -> web.Response:
        latency = Latency.model_validate_json(body)
        self._simulator.set_latency(latency.delay_seconds)
        return _json(latency)


def _json(value: BaseModel, status: int = 200) -> web.Response:
    return web.Response(
        status=status, text=value.model_dump_json(by_alias=True), content_type="application/json"
    )


def _control_error(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)


# --- running it ---------------------------------------------------------------------------------------------


async def _serve(
    simulator: Simulator,
    port: int,
    tls: ssl.SSLContext | None,
    listening: Callable[[int], None],
    stopping: asyncio.Event,
) -> None:
    server = _HubServer(simulator)
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


class RunningHub:
    """A simulator served by a thread of its own: ``with RunningHub() as hub: … hub.url``.

    ``stop`` and ``start`` in between make the hub unreachable and bring it back on the same port, with
    everything that it remembers.
    """

    def __init__(
        self, simulator: Simulator | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        """``port`` 0: any free one, kept from the first start on."""
        self.simulator = simulator or Simulator()
        self.port = port
        self._tls = tls
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, or https with TLS; no trailing slash."""
        return _url(self.port, self._tls)

    @property
    def messages_url(self) -> str:
        """Where sends go, as ``ANHHubUrl`` wants it."""
        return f"{self.url}/{self.hub_name}/messages/"

    @property
    def hub_name(self) -> str:
        """As configured."""
        return self.simulator.config.hub_name

    @property
    def connection_string(self) -> str:
        """For the first access rule that may send; it names the namespace, not this machine."""
        return self.simulator.config.connection_string()

    def start(self) -> None:
        """Returns once it listens; OSError if the port is taken."""
        if self._thread is not None:
            raise RuntimeError("this hub is running already")
        listening: Future[int] = Future()
        thread = threading.Thread(target=self._run, args=(listening,), name="hub-simulator", daemon=True)
        thread.start()
        try:
            self.port = listening.result(timeout=10)
        except BaseException:
            thread.join(timeout=10)
            raise
        self._thread = thread

    def stop(self) -> None:
        """Closes the port and every connection; does nothing to a stopped hub."""
        if self._thread is None:
            return
        self._stop()
        self._thread.join(timeout=10)
        if self._thread.is_alive():
            raise RuntimeError("the hub did not stop")
        self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, listening: Future[int]) -> None:
        try:
            asyncio.run(self._serve(listening))
        except OSError as error:
            if listening.done():
                raise
            listening.set_exception(error)

    async def _serve(self, listening: Future[int]) -> None:
        stopping, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopping.set)
        await _serve(self.simulator, self.port, self._tls, listening.set_result, stopping)


def _url(port: int, tls: ssl.SSLContext | None) -> str:
    return f"{'https' if tls else 'http'}://{_HOST}:{port}"


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.hub", description=f"Access rules: {RULES_VARIABLE}."
    )
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 for any free one")
    parser.add_argument("--namespace", default=DEVELOPMENT_HUB.namespace)
    parser.add_argument("--hub-name", default=DEVELOPMENT_HUB.hub_name)
    parser.add_argument("--delay-seconds", type=float, default=0.0, help="taken over every request")
    parser.add_argument("--seed", type=int, default=0, help="of the dice that faults roll")
    parser.add_argument("--tls-certificate", type=Path, help="PEM; needs --tls-key")
    parser.add_argument("--tls-key", type=Path, help="PEM")
    return parser.parse_args(argv)


async def _serve_until_signalled(simulator: Simulator, port: int, tls: ssl.SSLContext | None) -> None:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def announce(bound: int) -> None:
        print(json.dumps({"ready": True, "url": _url(bound, tls)}), flush=True)

    await _serve(simulator, port, tls, announce, stopping)


def main(argv: list[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; one JSON line on stdout once it listens. 2 for a wrong setting."""
    options = _arguments(argv)
    try:
        given = os.environ.get(RULES_VARIABLE)
        rules = parse_rules(given) if given else DEVELOPMENT_HUB.rules
    except ValueError as error:
        print(f"{RULES_VARIABLE}: {error}", file=sys.stderr)
        return 2
    tls = server_tls(options.tls_certificate, options.tls_key) if options.tls_certificate else None
    config = HubConfig(options.namespace, options.hub_name, rules)
    simulator = Simulator(config, delay_seconds=options.delay_seconds, seed=options.seed)
    asyncio.run(_serve_until_signalled(simulator, options.port, tls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
