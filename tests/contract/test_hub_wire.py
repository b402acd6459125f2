"""The way to the hub over real connections: which are kept, who is trusted, and what still counts."""

import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast

import pytest

from local.certificates import Certificates, make_certificates
from models.errors import ConfigurationError
from push.hub.connections import KEPT_SECONDS
from push.hub.route import Route
from push.hub.wire import (
    Answer,
    ConnectionLostError,
    HubEndpoint,
    HubWire,
    NoAnswerError,
    UnreachableError,
)
from tests.fakes import FakeClock
from tests.scripted_hub import PATIENCE, ScriptedHub

BODY = b'{"aps":{}}'
HEADERS: Mapping[str, str] = {"Authorization": "SharedAccessSignature do-not-quote"}

Connect = Callable[..., HubWire]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own proxies and certificates are not for these tests."""
    for name in (
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), "contoso.servicebus.windows.net")


@pytest.fixture
def hub() -> Iterator[ScriptedHub]:
    with ScriptedHub() as running:
        yield running


@pytest.fixture
def tls_hub(certificates: Certificates) -> Iterator[ScriptedHub]:
    with ScriptedHub(certificates) as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def connect(clock: FakeClock) -> Iterator[Connect]:
    """Makes wires to a hub."""
    with ExitStack() as wires:

        def make(hub: ScriptedHub, read_seconds: float = PATIENCE) -> HubWire:
            endpoint = HubEndpoint(hub.messages_url, "2020-06", PATIENCE, read_seconds)
            return wires.enter_context(HubWire(endpoint, clock.monotonic))

        yield make


def post(wire: HubWire) -> Answer:
    return wire.post(BODY, HEADERS, 2 * PATIENCE)


def say(hub: ScriptedHub, answer: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """The hub says that and nothing more, and leaves the connection open."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(answer)
        hub.script.released.wait(PATIENCE)

    return behave


def post_at_once(hub: ScriptedHub, wire: HubWire, count: int) -> None:
    """The hub answers none before it has all."""
    together = threading.Barrier(count)
    hub.script.answers = lambda: together.wait(PATIENCE)
    threads = [threading.Thread(target=post, args=(wire,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    hub.script.answers = lambda: None


class TestKeeping:
    @pytest.mark.parametrize(("idle", "connections"), [(KEPT_SECONDS, 1), (KEPT_SECONDS + 1, 2)])
    def test_age(
        self, hub: ScriptedHub, connect: Connect, clock: FakeClock, idle: float, connections: int
    ) -> None:
        """A connection that has been idle for long is not trusted: what is between may have forgotten it."""
        wire = connect(hub)
        post(wire)
        clock.sleep(idle)
        assert post(wire).status == 201
        assert hub.script.connections == connections
        # The old one has been ended, not only left.
        assert connections == 1 or hub.script.closed.acquire(timeout=PATIENCE)

    def test_each_use_counts(self, hub: ScriptedHub, connect: Connect, clock: FakeClock) -> None:
        """The age is that of the last use."""
        wire = connect(hub)
        for _ in range(5):
            post(wire)
            clock.sleep(KEPT_SECONDS / 2)
        assert hub.script.connections == 1

    def test_ended_by_the_hub(self, hub: ScriptedHub, connect: Connect) -> None:
        """A connection that the hub has ended meanwhile is noticed before a push is lost over it."""
        wire = connect(hub)
        hub.script.closes = True
        for _ in range(3):
            assert post(wire).status == 201
            assert hub.script.closed.acquire(timeout=PATIENCE)
        assert (len(hub.script.requests), hub.script.connections) == (3, 3)

    def test_announced_end(self, hub: ScriptedHub, connect: Connect) -> None:
        """An answer that says `Connection: close` is the connection's last, whoever closes it."""
        hub.script.behave = say(
            hub, b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        wire = connect(hub)
        assert [post(wire).status, post(wire).status] == [201, 201]
        assert hub.script.connections == 2

    def test_as_many_as_at_once(self, hub: ScriptedHub, connect: Connect) -> None:
        """Sends side by side have a connection each; one after the other they share the last one."""
        wire = connect(hub)
        post_at_once(hub, wire, 4)
        for _ in range(4):
            post(wire)
        assert (len(hub.script.requests), hub.script.connections) == (8, 4)

    def test_surplus(self, hub: ScriptedHub, connect: Connect, clock: FakeClock) -> None:
        """What a burst leaves over grows old, since the connection used last is used first."""
        wire = connect(hub)
        post_at_once(hub, wire, 2)
        for _ in range(3):
            clock.sleep(0.4 * KEPT_SECONDS)
            post(wire)
        assert hub.script.connections == 2
        assert hub.script.closed.acquire(timeout=PATIENCE)

    def test_closing(self, hub: ScriptedHub, connect: Connect) -> None:
        """Closing ends the connections that are kept."""
        wire = connect(hub)
        post(wire)
        wire.close()
        assert hub.script.closed.acquire(timeout=PATIENCE)


class TestAnswers:
    def test_body_breaks_off(self, hub: ScriptedHub, connect: Connect) -> None:
        """A status counts, whatever becomes of the body: trying again would ring twice."""
        hub.script.headers, hub.script.closes = {"Content-Length": "100"}, True
        wire = connect(hub)
        assert post(wire).status == 201
        hub.script.headers = {}
        assert post(wire).status == 201
        assert hub.script.connections == 2

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n",
            b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\nConnection: close\r\n\r\n",
            b"HTTP/1.1 201 Created\r\n\r\n",
            b"HTTP/1.0 201 Created\r\n\r\n",
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
        ],
    )
    def test_body_does_not_end(self, hub: ScriptedHub, connect: Connect, head: bytes) -> None:
        """A body that does not come, or is none, is hardly waited for, and its connection not used again."""
        hub.script.behave = say(hub, head)
        wire = connect(hub)
        started = time.monotonic()
        assert [post(wire).status, post(wire).status] == [201, 201]
        assert time.monotonic() - started < PATIENCE / 2
        assert hub.script.connections == 2

    @pytest.mark.parametrize("status", [b"102 Processing", b"103 Early Hints", b"199 What"])
    def test_interim_answer(self, hub: ScriptedHub, connect: Connect, status: bytes) -> None:
        """An interim answer is none, and the final one is not taken for that of the next push."""
        interim = b"HTTP/1.1 " + status + b"\r\n\r\n"
        hub.script.behave = say(hub, interim)
        wire = connect(hub)
        with pytest.raises(NoAnswerError):
            post(wire)
        hub.script.behave = None
        assert post(wire).status == 201
        assert hub.script.connections == 2

    def test_continue(self, hub: ScriptedHub, connect: Connect) -> None:
        """Nobody asked for `100 Continue`; it is passed over."""
        final = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
        hub.script.behave = say(hub, b"HTTP/1.1 100 Continue\r\n\r\n" + final)
        assert post(connect(hub)).status == 201

    def test_long_body(self, hub: ScriptedHub, connect: Connect) -> None:
        """A body of any length does no harm; a connection full of the rest is not used again."""
        hub.script.body = b"x" * 70_000
        wire = connect(hub)
        assert post(wire).status == 201
        hub.script.body = b""
        assert post(wire).status == 201
        assert hub.script.connections == 2

    def test_chunks(self, hub: ScriptedHub, connect: Connect) -> None:
        """A body in chunks is read to its end."""
        wire = connect(hub)
        hub.script.headers = {"Transfer-Encoding": "chunked"}
        hub.script.body = b"3\r\nabc\r\n0\r\n\r\n"
        assert [post(wire).status, post(wire).status] == [201, 201]
        assert hub.script.connections == 1

    def test_header_names(self, hub: ScriptedHub, connect: Connect) -> None:
        """A header is found under its name in any case."""
        hub.script.headers = {"rEtry-aFter": "7"}
        assert post(connect(hub)).headers.get("Retry-After") == "7"


def test_one_piece(hub: ScriptedHub) -> None:
    """Headers and body leave together: one packet, one TLS record."""
    connection = Route.to(f"{hub.messages_url}?direct").connection(PATIENCE)
    sent: list[bytes] = []

    class Recorder:
        def sendall(self, data: bytes) -> None:
            sent.append(data)

        def close(self) -> None:
            """Nothing to close."""

    connection.sock = cast("Any", Recorder())
    connection.request("POST", "/", BODY, HEADERS)
    (piece,) = sent
    assert piece.startswith(b"POST / HTTP/1.1\r\n")
    assert piece.endswith(b"\r\n\r\n" + BODY)


class TestTls:
    def test_trusted(
        self,
        tls_hub: ScriptedHub,
        certificates: Certificates,
        connect: Connect,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """`REQUESTS_CA_BUNDLE` decides whose certificates count; a connection is kept as without TLS."""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
        wire = connect(tls_hub)
        assert [post(wire).status, post(wire).status] == [201, 201]
        assert (len(tls_hub.script.requests), tls_hub.script.connections) == (2, 1)

    def test_not_trusted(self, tls_hub: ScriptedHub, connect: Connect) -> None:
        """By itself the app trusts public authorities alone, and sends nothing to anybody else."""
        with pytest.raises(UnreachableError):
            post(connect(tls_hub))
        assert tls_hub.script.requests == []

    def test_another_name(self, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        """A good certificate of another host is none."""
        others = make_certificates(tmp_path, "contoso.servicebus.windows.net", loopback=False)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(others.bundle))
        with ScriptedHub(others) as hub, pytest.raises(UnreachableError):
            post(connect(hub))
        assert hub.script.requests == []

    @pytest.mark.parametrize("text", [None, "no certificate"])
    def test_bad_bundle(
        self,
        tls_hub: ScriptedHub,
        connect: Connect,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        text: str | None,
    ) -> None:
        """A bundle that is not there, or none, is a matter for the operator, and the variable is named."""
        bundle = tmp_path / "bundle.pem"
        if text is not None:
            bundle.write_text(text)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        with pytest.raises(ConfigurationError, match="REQUESTS_CA_BUNDLE"):
            connect(tls_hub)


class TestTime:
    def test_handshake(self) -> None:
        """Who takes a connection and says nothing of TLS is waited for no longer than for a connection."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"https://127.0.0.1:{silent.getsockname()[1]}/ring/messages/"
            endpoint = HubEndpoint(url, "2020-06", 0.1, PATIENCE)
            started = time.monotonic()
            with HubWire(endpoint, time.monotonic) as wire, pytest.raises(UnreachableError):
                post(wire)
        assert time.monotonic() - started < PATIENCE / 2

    @pytest.mark.parametrize("late", [0.0, 0.1])
    def test_too_late(
        self,
        tls_hub: ScriptedHub,
        certificates: Certificates,
        clock: FakeClock,
        monkeypatch: pytest.MonkeyPatch,
        late: float,
    ) -> None:
        """If the time is up once there is a connection, nothing is sent: somebody else may ring by now."""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
        endpoint = HubEndpoint(tls_hub.messages_url, "2020-06", 2.0, 5.0)
        with Proxy() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
            with HubWire(endpoint, clock.monotonic) as wire:
                proxy.before_answering = lambda: clock.sleep(wire.longest_send_seconds + late)
                with pytest.raises(UnreachableError):
                    post(wire)
                assert tls_hub.script.requests == []
                proxy.before_answering = lambda: None
                assert post(wire).status == 201
        assert len(proxy.asked) == 2


class TestAddresses:
    """Where a connection goes, without going there."""

    @staticmethod
    def target(url: str) -> tuple[str, int, str]:
        route = Route.to(f"{url}?direct&api-version=2020-06")
        connection = route.connection(PATIENCE)
        return connection.host, connection.port, route.target.partition("?")[0]

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://contoso.test/ring/messages/", ("contoso.test", 443, "/ring/messages/")),
            ("https://contoso.test:8443/ring/messages/", ("contoso.test", 8443, "/ring/messages/")),
            ("http://localhost/ring/messages/", ("localhost", 80, "/ring/messages/")),
            ("https://[::1]/ring/messages/", ("::1", 443, "/ring/messages/")),
            ("http://[::1]:7000/ring/messages/", ("::1", 7000, "/ring/messages/")),
            ("https://contoso.test/My Hüb/messages/", ("contoso.test", 443, "/My%20H%C3%BCb/messages/")),
        ],
    )
    def test_direct(self, url: str, expected: tuple[str, int, str]) -> None:
        """Usual ports, IPv6, and hub names of any kind."""
        assert self.target(url) == expected

    @pytest.mark.parametrize(
        ("proxy", "expected"),
        [
            ("http://proxy.test", ("proxy.test", 80)),
            ("proxy.test:3128", ("proxy.test", 3128)),
            ("http://[::1]", ("::1", 80)),
        ],
    )
    def test_proxy(self, monkeypatch: pytest.MonkeyPatch, proxy: str, expected: tuple[str, int]) -> None:
        """A proxy without a port listens on 80."""
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        assert self.target("https://contoso.test/ring/messages/")[:2] == expected

    @pytest.mark.parametrize("host", ["contoso..test", ".contoso.test", "x" * 64 + ".test", "con toso.test"])
    def test_no_host(self, host: str) -> None:
        """What cannot be a host is a matter for the operator, not for trying again."""
        with pytest.raises(ConfigurationError, match="ANHHubUrl"):
            Route.to(f"https://{host}/ring/messages/?direct")

    def test_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The proxy's password is in no representation."""
        monkeypatch.setenv("HTTPS_PROXY", "http://user:do-not-quote@proxy.test")
        assert "do-not-quote" not in repr(Route.to("https://contoso.test/ring/messages/?direct"))


class Proxy:
    """An HTTP proxy that opens tunnels, one at a time; `with Proxy() as proxy`."""

    def __init__(self, status: bytes = b"200 Connection established") -> None:
        self.asked: list[str] = []
        """The head of each request."""
        self.before_answering: Callable[[], object] = lambda: None
        self._status = status
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self._tunnel(client)

    def _tunnel(self, client: socket.socket) -> None:
        client.settimeout(PATIENCE)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.asked.append(head.decode())
        self.before_answering()
        client.sendall(b"HTTP/1.1 " + self._status + b"\r\n\r\n")
        if not self._status.startswith(b"200"):
            return
        host, port = head.split()[1].decode().split(":")
        with socket.create_connection((host, int(port)), PATIENCE) as server:
            back = threading.Thread(target=_pump, args=(server, client))
            back.start()
            _pump(client, server)
            back.join(PATIENCE)


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes until there are no more, then say so on the other side."""
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


class TestProxy:
    @pytest.fixture(autouse=True)
    def trusted(self, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))

    @pytest.mark.parametrize("scheme", ["http://", ""])
    def test_tunnel(
        self, tls_hub: ScriptedHub, connect: Connect, monkeypatch: pytest.MonkeyPatch, scheme: str
    ) -> None:
        """`HTTPS_PROXY` is asked for a tunnel. Its credentials are for it alone, the push is for the hub."""
        with Proxy() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}user:p%40ss@{proxy.address}")
            wire = connect(tls_hub)
            assert [post(wire).status, post(wire).status] == [201, 201]
            wire.close()
        (asked,) = proxy.asked
        assert asked.startswith(f"CONNECT 127.0.0.1:{tls_hub.port} HTTP/1.1\r\n")
        assert f"Proxy-Authorization: Basic {b64encode(b'user:p@ss').decode()}\r\n" in asked
        assert "do-not-quote" not in asked
        assert {seen.line for seen in tls_hub.script.requests} == {
            "POST /ring/messages/?direct&api-version=2020-06 HTTP/1.1"
        }
        assert tls_hub.script.requests[0].header("Proxy-Authorization") == []
        assert tls_hub.script.requests[0].header("Host") == [f"127.0.0.1:{tls_hub.port}"]

    def test_no_proxy(self, tls_hub: ScriptedHub, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hosts in `NO_PROXY` are reached directly."""
        with Proxy() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert post(connect(tls_hub)).status == 201
        assert proxy.asked == []

    def test_plain(self, hub: ScriptedHub, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        """The simulator on this machine is no matter for a proxy."""
        with Proxy() as proxy:
            monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
            assert post(connect(hub)).status == 201
        assert proxy.asked == []

    def test_refused(self, tls_hub: ScriptedHub, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy that opens no tunnel has not passed the push on."""
        with Proxy(b"407 Proxy Authentication Required") as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
            with pytest.raises(UnreachableError):
                post(connect(tls_hub))
        assert tls_hub.script.connections == 0

    @pytest.mark.parametrize(
        "url",
        [
            "https://user:do-not-quote@proxy:3128",
            "socks5://proxy",
            "http://",
            "http://proxy:port",
            "http://do-not-quote..corp:3128",
        ],
    )
    def test_unusable(
        self, tls_hub: ScriptedHub, connect: Connect, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        """Another kind of proxy is a matter for the operator; its URL may hold a password."""
        monkeypatch.setenv("HTTPS_PROXY", url)
        with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as raised:
            connect(tls_hub)
        assert "do-not-quote" not in str(raised.value)


def test_errors_quote_nothing(hub: ScriptedHub, connect: Connect) -> None:
    """What the network's errors quote stays behind."""
    hub.script.behave = lambda _: None
    with pytest.raises(ConnectionLostError) as raised:
        post(connect(hub))
    assert (str(raised.value), raised.value.__cause__) == ("", None)
    assert raised.value.__suppress_context__
