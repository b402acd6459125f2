"""Exchanges with the hub: which connections are kept, what counts as an answer, and what is sent once."""

import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler

import pytest

from push.hub.answers import Answer, NoAnswer
from push.hub.connection import Request, is_header_value
from push.hub.wire import MAX_AGE_SECONDS, MAX_IDLE_SECONDS, HubWire
from tests.contract.conftest import MakeWire
from tests.fakes import FakeClock
from tests.faults import TcpProxy
from tests.scripted_hub import CREATED, PATIENCE, ScriptedHub

BODY = b'{"aps":{}}'
HEADERS: Mapping[str, str] = {"Authorization": "SharedAccessSignature do-not-quote"}
AMPLE = 4 * PATIENCE
QUICK = PATIENCE / 2
"""More than anything takes that does not wait for a time-out of `PATIENCE`."""


def post(wire: HubWire, hub: ScriptedHub, *, fresh: bool = False) -> Answer | NoAnswer:
    return wire.exchange(Request(hub.messages_url, HEADERS, BODY), AMPLE, fresh_connection=fresh)


def status(reply: Answer | NoAnswer) -> int:
    assert isinstance(reply, Answer), reply
    return reply.status


def post_together(wire: HubWire, hub: ScriptedHub, count: int) -> None:
    """Send side by side: the hub answers none before it has all."""
    together = threading.Barrier(count)
    hub.script.before_answering = lambda: together.wait(PATIENCE)
    threads = [threading.Thread(target=post, args=(wire, hub)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    hub.script.before_answering = lambda: None


def wait_for_closed(hub: ScriptedHub, count: int) -> None:
    """Wait until this many connections have ended on the hub's side."""
    for _ in range(count):
        assert hub.script.closed.acquire(timeout=PATIENCE)


@pytest.fixture
def hub(scripted_hub: ScriptedHub) -> ScriptedHub:
    return scripted_hub


class TestKeeping:
    @pytest.mark.parametrize(("idle", "connections"), [(MAX_IDLE_SECONDS, 1), (MAX_IDLE_SECONDS + 1, 2)])
    def test_idle_time(
        self, hub: ScriptedHub, make_wire: MakeWire, fake_clock: FakeClock, idle: float, connections: int
    ) -> None:
        """A connection that has been idle for too long is closed: the network may have dropped it."""
        wire = make_wire()
        post(wire, hub)
        fake_clock.sleep(idle)
        assert status(post(wire, hub)) == 201
        assert hub.script.connections == connections
        wait_for_closed(hub, connections - 1)

    def test_age(self, hub: ScriptedHub, make_wire: MakeWire, fake_clock: FakeClock) -> None:
        """A connection that is used all the time is replaced once it is old."""
        wire = make_wire()
        for _ in range(int(MAX_AGE_SECONDS / 50) + 1):
            post(wire, hub)
            fake_clock.sleep(50)
        assert hub.script.connections == 1
        post(wire, hub)
        assert hub.script.connections == 2
        wait_for_closed(hub, 1)

    def test_ended_by_the_hub(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """A connection that the hub has ended meanwhile is noticed before a push is sent over it."""
        wire = make_wire()
        hub.script.closes = True
        for _ in range(3):
            assert status(post(wire, hub)) == 201
            wait_for_closed(hub, 1)
        assert (len(hub.script.requests), hub.script.connections) == (3, 3)

    def test_announced_end(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """An answer with `Connection: close` is the last one of its connection."""
        hub.script.say(b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        wire = make_wire()
        assert [status(post(wire, hub)), status(post(wire, hub))] == [201, 201]
        assert hub.script.connections == 2

    def test_side_by_side(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """Sends side by side have a connection each; one after the other they share the last one."""
        wire = make_wire()
        post_together(wire, hub, 4)
        for _ in range(4):
            post(wire, hub)
        assert (len(hub.script.requests), hub.script.connections) == (8, 4)

    def test_surplus(self, hub: ScriptedHub, make_wire: MakeWire, fake_clock: FakeClock) -> None:
        """The connection that was used last is used first, so that what a burst leaves over is closed."""
        wire = make_wire()
        post_together(wire, hub, 2)
        for _ in range(3):
            fake_clock.sleep(0.4 * MAX_IDLE_SECONDS)
            post(wire, hub)
        assert hub.script.connections == 2
        wait_for_closed(hub, 1)

    def test_close(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """Closing the wire closes the idle connections at once, and a busy one when its exchange ends."""
        wire = make_wire()
        post(wire, hub)
        wire.close()
        wait_for_closed(hub, 1)
        assert status(post(wire, hub)) == 201
        wait_for_closed(hub, 1)

    @pytest.mark.parametrize("code", [401, 403, 404, 408, 500, 502, 503, 504, 599])
    def test_not_kept_after(self, hub: ScriptedHub, make_wire: MakeWire, code: int) -> None:
        """An answer that one faulty front end of the hub may have given ends its connection."""
        wire = make_wire()
        hub.script.status = code
        assert status(post(wire, hub)) == code
        wait_for_closed(hub, 1)

    @pytest.mark.parametrize("code", [200, 201, 400, 410, 413, 429])
    def test_kept_after(self, hub: ScriptedHub, make_wire: MakeWire, code: int) -> None:
        """Other answers say nothing against the connection."""
        wire = make_wire()
        hub.script.status, hub.script.body = code, b"<Error/>"
        assert [status(post(wire, hub)), status(post(wire, hub))] == [code, code]
        assert hub.script.connections == 1


class TestAfterAFailure:
    def test_fresh_connection(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """A try after a failure asks for a new connection and gets one, which is then kept."""
        wire = make_wire()
        post(wire, hub)
        assert status(post(wire, hub, fresh=True)) == 201
        assert hub.script.connections == 2
        post_together(wire, hub, 2)
        assert hub.script.connections == 2

    @pytest.mark.parametrize("fault", ["lost", "503"])
    def test_older_connections_are_dropped(
        self, hub: ScriptedHub, make_wire: MakeWire, fake_clock: FakeClock, fault: str
    ) -> None:
        """After a failure on a kept connection, all that are older are closed without being tried."""
        wire = make_wire()
        post_together(wire, hub, 3)
        fake_clock.sleep(1)
        if fault == "lost":
            hub.script.behave = lambda _: None
            assert post(wire, hub) is NoAnswer.CONNECTION_LOST
        else:
            hub.script.status = 503
            assert status(post(wire, hub)) == 503
        hub.script.behave, hub.script.status = None, 201
        wait_for_closed(hub, 3)
        assert status(post(wire, hub)) == 201
        assert hub.script.connections == 4

    def test_connections_that_vanish(
        self, hub: ScriptedHub, make_wire: MakeWire, fake_clock: FakeClock
    ) -> None:
        """Kept connections pass nothing more and do not end: one try notices, the next one arrives."""
        with TcpProxy(hub.port) as proxy:
            wire = make_wire(read=0.3)
            request = Request(f"http://127.0.0.1:{proxy.port}/", HEADERS, BODY)
            exchange = partial(wire.exchange, request, AMPLE)
            together = threading.Barrier(6)
            hub.script.before_answering = lambda: together.wait(PATIENCE)
            with ThreadPoolExecutor(6) as pool:
                replies = [pool.submit(exchange) for _ in range(6)]
                assert [status(reply.result(PATIENCE)) for reply in replies] == [201] * 6
            hub.script.before_answering = lambda: None
            fake_clock.sleep(1)
            proxy.freeze_existing()
            assert exchange() is NoAnswer.TIMED_OUT
            assert status(exchange()) == 201
            assert proxy.opened == 7
        assert len(hub.script.requests) == 7

    def test_younger_connections_stay(
        self, hub: ScriptedHub, make_wire: MakeWire, fake_clock: FakeClock
    ) -> None:
        """A connection that has worked since the failed try began is not under suspicion."""
        wire = make_wire()
        post(wire, hub)
        fake_clock.sleep(1)
        silent, answered = threading.Event(), threading.Event()

        def behave(_: BaseHTTPRequestHandler) -> None:
            silent.set()
            answered.wait(PATIENCE)

        hub.script.behave = behave
        failing = threading.Thread(target=post, args=(wire, hub))
        failing.start()
        assert silent.wait(PATIENCE)
        hub.script.behave = None
        fake_clock.sleep(1)
        post(wire, hub)
        answered.set()
        failing.join(PATIENCE)
        assert status(post(wire, hub)) == 201
        assert hub.script.connections == 2

    def test_a_failure_on_a_new_connection_drops_none(
        self, hub: ScriptedHub, make_wire: MakeWire, fake_clock: FakeClock
    ) -> None:
        """It says nothing about the kept ones."""
        wire = make_wire()
        post(wire, hub)
        fake_clock.sleep(1)
        hub.script.status = 503
        post(wire, hub, fresh=True)
        hub.script.status = 201
        post(wire, hub)
        assert hub.script.connections == 2


class TestOnce:
    """libcurl by itself repeats a request whose kept connection breaks; the phone would ring twice."""

    def test_lost_on_a_kept_connection(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """A hub that reads the whole request and closes has read the push once."""
        wire = make_wire()
        post(wire, hub)
        hub.script.behave = lambda _: None
        assert post(wire, hub) is NoAnswer.CONNECTION_LOST
        assert (len(hub.script.requests), hub.script.connections) == (2, 1)

    def test_reset_on_a_kept_connection(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """The same with a reset in place of an ordinary end."""
        wire = make_wire()
        post(wire, hub)

        def reset(handler: BaseHTTPRequestHandler) -> None:
            linger_for_no_time = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_no_time)
            handler.connection.close()

        hub.script.behave = reset
        assert post(wire, hub) is NoAnswer.CONNECTION_LOST
        assert (len(hub.script.requests), hub.script.connections) == (2, 1)

    def test_redirect(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """A redirect is an answer; the token must not follow it."""
        hub.script.status, hub.script.headers = 307, {"Location": hub.messages_url}
        assert status(post(make_wire(), hub)) == 307
        assert len(hub.script.requests) == 1


class TestAnswers:
    @pytest.mark.parametrize("interim", ["102 Processing", "103 Early Hints", "199 Unknown", "100 Continue"])
    def test_interim_answer(self, hub: ScriptedHub, make_wire: MakeWire, interim: str) -> None:
        """An interim answer is skipped, headers included, whether or not the final one comes with it."""
        early = f"HTTP/1.1 {interim}\r\nTrackingId: too-early\r\n\r\n".encode()
        final = b"HTTP/1.1 201 Created\r\nTrackingId: final\r\nContent-Length: 0\r\n\r\n"
        for pieces in ((early + final,), (early, final), (early, early, final)):
            hub.script.say(*pieces)
            reply = post(make_wire(), hub)
            assert isinstance(reply, Answer)
            assert (reply.status, reply.headers["trackingid"]) == (201, "final")

    def test_interim_answer_alone(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """An interim answer without a final one is no answer."""
        hub.script.say(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        assert post(make_wire(connect=0.1, read=0.2), hub) is NoAnswer.TIMED_OUT

    def test_final_answer_long_after_an_interim_one(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """An interim answer ends no wait: the final answer comes when the hub has it."""

        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            hub.script.released.wait(1.6)
            handler.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

        hub.script.behave = behave
        assert status(post(make_wire(), hub)) == 201

    @pytest.mark.parametrize("line", ["HTTP/2.0 {} Passed on", "HTTP/2 {}"])
    @pytest.mark.parametrize("code", [201, 401, 410, 429, 503])
    def test_status_line_of_another_version(
        self, hub: ScriptedHub, make_wire: MakeWire, line: str, code: int
    ) -> None:
        """A proxy that opens TLS may pass on the status line of its own HTTP/2 connection to the hub. libcurl
        takes any for a 200."""
        hub.script.say(f"{line.format(code)}\r\nTrackingId: x\r\nContent-Length: 0\r\n\r\n".encode())
        reply = post(make_wire(), hub)
        assert isinstance(reply, Answer)
        assert (reply.status, reply.headers["trackingid"]) == (code, "x")

    def test_switching_protocols(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """A 101 that was not asked for is no HTTP answer."""
        hub.script.say(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        assert post(make_wire(connect=0.1, read=0.2), hub) in {NoAnswer.NOT_HTTP, NoAnswer.TIMED_OUT}

    @pytest.mark.parametrize(
        "answer",
        [
            b"220 mail.test ESMTP\r\n\r\n",
            b"\x15\x03\x01\x00\x02\x02\x28",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 600 Unknown\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 999 Unknown\r\nContent-Length: 0\r\n\r\n",
            b"\r\n\r\n",
        ],
    )
    def test_not_http(self, hub: ScriptedHub, make_wire: MakeWire, answer: bytes) -> None:
        """Something came back that is no HTTP: the push may have been queued."""

        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(answer)

        hub.script.behave = behave
        assert post(make_wire(), hub) in {NoAnswer.NOT_HTTP, NoAnswer.CONNECTION_LOST}

    @pytest.mark.parametrize(
        "head", [b"HTTP/1.1 ", b"HTTP/1.1 201 Created\r\n", b"HTTP/1.1 201 Created\r\nA: b\r\n"]
    )
    def test_headers_break_off(self, hub: ScriptedHub, make_wire: MakeWire, head: bytes) -> None:
        """A status counts only with the end of its headers."""

        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(head)

        hub.script.behave = behave
        assert isinstance(post(make_wire(), hub), NoAnswer)

    def test_body_breaks_off(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """A status counts, whatever becomes of the body: another try would ring twice."""
        hub.script.headers, hub.script.closes = {"Content-Length": "100"}, True
        wire = make_wire()
        assert status(post(wire, hub)) == 201
        hub.script.headers = {}
        assert status(post(wire, hub)) == 201
        assert hub.script.connections == 2

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n",
            b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\nConnection: close\r\n\r\n",
            b"HTTP/1.1 201 Created\r\n\r\n",
            b"HTTP/1.0 201 Created\r\n\r\n",
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
            b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\nno gzip",
        ],
    )
    def test_body_does_not_end(self, hub: ScriptedHub, make_wire: MakeWire, answer: bytes) -> None:
        """A body that does not come or is malformed is waited for until the time is up, no longer. The status
        counts, and the connection is closed."""
        hub.script.say(answer)
        wire = make_wire(connect=0.2, read=0.3)
        started = time.monotonic()
        assert [status(post(wire, hub)), status(post(wire, hub))] == [201, 201]
        assert time.monotonic() - started < QUICK
        assert hub.script.connections == 2

    def test_body_drips(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """A body that comes byte by byte does not stretch the time limit."""

        def drip(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 8000\r\n\r\n")
            while not hub.script.released.wait(0.02):
                handler.wfile.write(b"x")

        hub.script.behave = drip
        started = time.monotonic()
        assert status(post(make_wire(connect=0.2, read=0.3), hub)) == 201
        assert time.monotonic() - started < QUICK

    def test_headers_drip(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """Headers that come byte by byte do not stretch the time limit."""

        def drip(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.1 201 Created\r\nX: ")
            while not hub.script.released.wait(0.02):
                handler.wfile.write(b"x")

        hub.script.behave = drip
        started = time.monotonic()
        assert post(make_wire(connect=0.2, read=0.3), hub) is NoAnswer.TIMED_OUT
        assert time.monotonic() - started < QUICK

    def test_long_body(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """A long body is cut off; the connection that is full of the rest is closed."""
        hub.script.body = b"x" * 70_000
        wire = make_wire()
        reply = post(wire, hub)
        assert isinstance(reply, Answer)
        assert (reply.status, len(reply.body) < 30_000) == (201, True)
        hub.script.body = b""
        assert status(post(wire, hub)) == 201
        assert hub.script.connections == 2

    def test_long_header(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """A header of 70 kB does not hide the status."""
        hub.script.headers = {"X-Long": "x" * 70_000, "TrackingId": "behind-it"}
        reply = post(make_wire(), hub)
        assert isinstance(reply, Answer)
        assert (reply.status, reply.headers["trackingid"]) == (201, "behind-it")

    def test_body(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """A short body is read, in chunks as well; a trailer after it is no header."""
        wire = make_wire()
        hub.script.body = b"<Error/>"
        assert getattr(post(wire, hub), "body", None) == b"<Error/>"
        hub.script.headers = {"Transfer-Encoding": "chunked", "Trailer": "Late"}
        hub.script.body = b"3\r\nabc\r\n2\r\nde\r\n0\r\nLate: x\r\n\r\n"
        reply = post(wire, hub)
        assert isinstance(reply, Answer)
        assert (reply.body, "late" in reply.headers) == (b"abcde", False)
        assert hub.script.connections == 1

    @pytest.mark.parametrize("name", ["Retry-After", "retry-after", "rEtry-aFter"])
    def test_header_names(self, hub: ScriptedHub, make_wire: MakeWire, name: str) -> None:
        """A header is found whatever the case of its name, and its first value counts."""
        hub.script.say(f"HTTP/1.1 429 x\r\n{name}: 7\r\nRetry-After: 8\r\nContent-Length: 0\r\n\r\n".encode())
        reply = post(make_wire(), hub)
        assert isinstance(reply, Answer)
        assert reply.headers["retry-after"] == "7"

    def test_answer_before_the_request_is_complete(self, make_wire: MakeWire) -> None:
        """A hub that refuses a large request before it has read it has answered."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def refuse() -> None:
                client, _ = listener.accept()
                with client:
                    client.recv(1_000)
                    client.sendall(
                        b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )
                    client.settimeout(PATIENCE)
                    while client.recv(65_536):
                        pass

            thread = threading.Thread(target=refuse)
            thread.start()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            reply = make_wire().exchange(Request(url, {}, b"x" * 10_000_000), AMPLE)
            thread.join(PATIENCE)
        assert status(reply) == 413


class TestNextAnswer:
    """A second answer to one request must not be taken for the answer to the next push."""

    @pytest.mark.parametrize(
        "first",
        [
            CREATED,
            b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\n\r\n" + CREATED,
            b"HTTP/1.1 201 Created\r\nContent-Length: 6000\r\n\r\n" + 6_000 * b"x",
            b"HTTP/1.1 201 Created\r\nContent-Length: 15900\r\n\r\n" + 15_900 * b"x",
        ],
        ids=["empty", "body", "chunks", "204", "interim", "6 kB", "16 kB"],
    )
    @pytest.mark.parametrize("kind", ["plain", "tls"])
    def test_in_the_same_piece(
        self, request: pytest.FixtureRequest, make_wire: MakeWire, first: bytes, kind: str
    ) -> None:
        """Both answers come in one piece, over TLS in one record."""
        hub: ScriptedHub = request.getfixturevalue("scripted_hub" if kind == "plain" else "trusted_hub")
        hub.script.raw = first + b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
        wire = make_wire()
        assert status(post(wire, hub)) in {201, 204}
        hub.script.raw = None
        assert status(post(wire, hub)) == 201
        assert len(hub.script.requests) == 2

    def test_later(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """The second answer comes while the connection is idle."""
        answered, sent = threading.Event(), threading.Event()

        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(CREATED)
            answered.wait(PATIENCE)
            handler.wfile.write(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")
            sent.set()
            hub.script.released.wait(PATIENCE)

        hub.script.behave = behave
        wire = make_wire()
        assert status(post(wire, hub)) == 201
        answered.set()
        assert sent.wait(PATIENCE)
        hub.script.behave = None
        assert status(post(wire, hub)) == 201
        assert hub.script.connections == 2


class TestTime:
    @staticmethod
    def be_silent(hub: ScriptedHub) -> None:
        hub.script.say()

    def test_no_answer(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """A hub that has the whole request and does not answer in time may have queued the push."""
        self.be_silent(hub)
        wire = make_wire(connect=0.1, read=0.2)
        started = time.monotonic()
        assert post(wire, hub) is NoAnswer.TIMED_OUT
        assert 0.2 < time.monotonic() - started < QUICK

    def test_kept_connection(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """Over a kept connection there is no time for connecting to wait for."""
        wire = make_wire(connect=3 * PATIENCE, read=0.2)
        post(wire, hub)
        self.be_silent(hub)
        started = time.monotonic()
        assert post(wire, hub) is NoAnswer.TIMED_OUT
        assert time.monotonic() - started < QUICK

    def test_time_left(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """Less time left than the time-outs is all that is waited."""
        self.be_silent(hub)
        started = time.monotonic()
        reply = make_wire().exchange(Request(hub.messages_url, HEADERS, BODY), 0.2)
        assert reply is NoAnswer.TIMED_OUT
        assert time.monotonic() - started < QUICK

    @pytest.mark.parametrize("time_left", [0.0, -1.0])
    def test_no_time_left(self, hub: ScriptedHub, make_wire: MakeWire, time_left: float) -> None:
        """Without time left nothing is sent."""
        reply = make_wire().exchange(Request(hub.messages_url, HEADERS, BODY), time_left)
        assert reply is NoAnswer.NO_TIME
        assert hub.script.connections == 0

    def test_refused(self, make_wire: MakeWire) -> None:
        """A port on which nothing listens cannot have taken the push."""
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{bound.getsockname()[1]}/ring/messages/"
            assert make_wire().exchange(Request(url, HEADERS, BODY), AMPLE) is NoAnswer.NO_CONNECTION

    def test_connection_not_in_time(self, make_wire: MakeWire) -> None:
        """A hub that accepts no connection in time cannot have taken the push."""
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", 0))
            busy.listen(0)
            url = f"http://127.0.0.1:{busy.getsockname()[1]}/ring/messages/"
            # The queue holds one connection; the next one waits.
            with socket.create_connection(busy.getsockname()):
                started = time.monotonic()
                reply = make_wire(connect=0.2).exchange(Request(url, HEADERS, BODY), AMPLE)
        assert reply is NoAnswer.NO_CONNECTION
        assert time.monotonic() - started < QUICK

    def test_body_is_not_taken(self, make_wire: MakeWire) -> None:
        """A hub that stops reading in the middle of the request cannot have queued the push."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/ring/messages/"
            wire = make_wire(connect=0.1, read=0.3)
            reply = wire.exchange(Request(url, HEADERS, b"x" * 50_000_000), AMPLE)
        assert reply is NoAnswer.NO_CONNECTION


class TestRequests:
    def test_get(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """A request without a body is a GET; it shares its connection with the pushes."""
        wire = make_wire()
        get = Request(hub.messages_url)
        replies = [post(wire, hub), wire.exchange(get, AMPLE), post(wire, hub), wire.exchange(get, AMPLE)]
        assert [status(reply) for reply in replies] == [201] * 4
        assert [(seen.line.split()[0], seen.body) for seen in hub.script.requests] == [
            ("POST", BODY), ("GET", b""), ("POST", BODY), ("GET", b""),
        ]  # fmt: skip
        assert hub.script.connections == 1

    def test_headers(self, hub: ScriptedHub, make_wire: MakeWire) -> None:
        """Each header once, and none of the exchange before."""
        wire = make_wire()
        wire.exchange(Request(hub.messages_url, {"X-First": "1", "Content-Type": "a/b"}, BODY), AMPLE)
        wire.exchange(Request(hub.messages_url, {"X-Second": "2", "Content-Type": "c/d"}, BODY), AMPLE)
        first, second = hub.script.requests
        assert (first.header("X-First"), first.header("Content-Type")) == (["1"], ["a/b"])
        assert (second.header("X-First"), second.header("Content-Type")) == ([], ["c/d"])
        assert second.header("Content-Length") == [str(len(BODY))]
        assert (second.header("Expect"), second.header("Host")) == ([], [f"127.0.0.1:{hub.port}"])

    @pytest.mark.parametrize(
        "value", ["a\r\nX: y", "a\n", "a\rb", "a\0b", " a", "a ", "", "é", "\ud800", "a\tb"]
    )
    def test_header_values(self, hub: ScriptedHub, make_wire: MakeWire, value: str) -> None:
        """What cannot stand in a header is not sent, and not quoted."""
        assert not is_header_value(value)
        with pytest.raises(ValueError, match="The value of the header X-Token cannot be sent") as raised:
            make_wire().exchange(Request(hub.messages_url, {"X-Token": value}, BODY), AMPLE)
        assert hub.script.connections == 0
        assert not value or value not in str(raised.value).replace("X-Token", "")

    def test_representation(self, hub: ScriptedHub) -> None:
        """Nothing secret is in a request's representation."""
        assert "do-not-quote" not in repr(Request(hub.messages_url, HEADERS, b"do-not-quote"))
