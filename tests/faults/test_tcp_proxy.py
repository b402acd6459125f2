"""The TCP proxy, with a server that echoes what it receives."""

import asyncio
import contextlib
import gc
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.certificates import make_certificates
from local.hub.server import server_tls
from local.server_thread import ServerThread
from local.startable import Startable
from tests.faults import Direction, TcpProxy
from tests.rig import eventually

SILENCE_SECONDS = 0.15
"""Silence of this length counts as "nothing passes"; a slow machine can only let a test pass."""


class EchoServer(Startable):
    """Sends back what it receives; records it."""

    def __init__(self) -> None:
        self.received = b""
        self.open = 0
        self.port = 0
        self._thread = ServerThread("echo", self._serve)

    def start(self) -> None:
        """Listen."""
        self.port = self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection."""
        self._thread.stop()

    async def _serve(self, listening: Callable[[int], None], stopping: asyncio.Event) -> None:
        async with await asyncio.start_server(self._echo, "127.0.0.1", self.port) as server:
            listening(server.sockets[0].getsockname()[1])
            await stopping.wait()
            server.close_clients()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while data := await reader.read(1_000):
                self.received += data
                if b"hang up" in data:
                    break
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()


@pytest.fixture
def server() -> Iterator[EchoServer]:
    """A running echo server."""
    with EchoServer() as running:
        yield running


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[TcpProxy]:
    """A transparent proxy in front of it."""
    with TcpProxy(server.port) as running:
        yield running


@pytest.fixture
def connect(proxy: TcpProxy) -> Iterator[Callable[[], socket.socket]]:
    """Opens connections through the proxy, which are closed after the test."""
    with contextlib.ExitStack() as opened:

        def one() -> socket.socket:
            return opened.enter_context(socket.create_connection(("127.0.0.1", proxy.port), timeout=10))

        yield one


def echoes(connection: socket.socket, data: bytes = b"hello") -> bool:
    """The data comes back."""
    connection.settimeout(10)
    connection.sendall(data)
    return received(connection, len(data)) == data


def received(connection: socket.socket, size: int) -> bytes:
    """The next `size` bytes, or fewer if the connection ends."""
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data


def is_silent(connection: socket.socket) -> bool:
    """Neither data nor the end of the connection arrives."""
    connection.settimeout(SILENCE_SECONDS)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(10)
    return False


type Connect = Callable[[], socket.socket]


class TestTransparent:
    def test_passes_data(self, connect: Connect) -> None:
        """Without a fault all data is passed on, large amounts too."""
        assert echoes(connect(), bytes(range(256)) * 1_000)

    def test_counts(self, proxy: TcpProxy, connect: Connect) -> None:
        """Accepted and open connections are counted."""
        first = connect()
        assert echoes(first)
        assert echoes(connect())
        assert (proxy.opened, proxy.open) == (2, 2)
        first.close()
        eventually(lambda: proxy.open == 1)
        assert proxy.opened == 2

    def test_passes_the_end(self, server: EchoServer, connect: Connect) -> None:
        """The end of either side reaches the other one."""
        connection = connect()
        connection.sendall(b"hang up")
        assert connection.recv(1) == b""
        second = connect()
        assert echoes(second)
        second.close()
        eventually(lambda: server.open == 0)

    def test_server_down(self) -> None:
        """Without a server a connection ends at once."""
        with EchoServer() as gone:
            pass
        with (
            TcpProxy(gone.port) as proxy,
            pytest.raises(ConnectionResetError),
            socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection,
        ):
            connection.recv(1)

    def test_stop_while_clients_connect(self) -> None:
        """What was accepted just before a stop is closed as well: an open socket would be a warning here."""
        with socket.create_server(("127.0.0.1", 0), backlog=256) as silent:
            for _ in range(20):
                with TcpProxy(silent.getsockname()[1]) as proxy:
                    for _ in range(10):
                        socket.create_connection(("127.0.0.1", proxy.port), timeout=10).close()
        gc.collect()

    def test_restart(self, proxy: TcpProxy, connect: Connect) -> None:
        """A stop ends every connection; a start brings the proxy back on the same port."""
        connection, port = connect(), proxy.port
        assert echoes(connection)
        proxy.stop()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connect()
        proxy.start()
        assert (proxy.port, echoes(connect())) == (port, True)


class TestFreeze:
    def test_existing(self, proxy: TcpProxy, connect: Connect) -> None:
        """Open connections are silent; new ones work; after a thaw the delayed data arrives."""
        old = connect()
        assert echoes(old)
        proxy.freeze_existing()
        old.sendall(b"frozen")
        assert is_silent(old)
        assert echoes(connect())
        proxy.thaw()
        assert received(old, 6) == b"frozen"

    def test_all(self, proxy: TcpProxy, connect: Connect) -> None:
        """New connections are accepted and silent, too."""
        old = connect()
        assert echoes(old)
        proxy.freeze_all()
        new = connect()
        for connection in (old, new):
            connection.sendall(b"frozen")
            assert is_silent(connection)
        proxy.thaw()
        assert received(new, 6) == received(old, 6) == b"frozen"
        assert echoes(connect())

    def test_one_direction(self, proxy: TcpProxy, server: EchoServer, connect: Connect) -> None:
        """With the answers frozen, the server still receives."""
        connection = connect()
        assert echoes(connection)
        proxy.freeze_existing(Direction.TO_CLIENT)
        connection.sendall(b"arrives")
        eventually(lambda: server.received.endswith(b"arrives"))
        assert is_silent(connection)

    def test_passes_no_end(self, proxy: TcpProxy, server: EchoServer, connect: Connect) -> None:
        """A frozen connection passes neither the server's end nor the client's."""
        connection = connect()
        assert echoes(connection)
        proxy.freeze_existing(Direction.TO_CLIENT)
        connection.sendall(b"hang up")
        eventually(lambda: server.open == 0)
        assert is_silent(connection)
        second = connect()
        assert echoes(second)
        proxy.freeze_existing()
        second.close()
        time.sleep(SILENCE_SECONDS)
        assert server.open == 1


class TestSlow:
    def test_delay(self, proxy: TcpProxy, connect: Connect) -> None:
        """Every chunk is late, in the given direction, on open and on new connections, until it is 0."""
        old = connect()
        assert echoes(old)
        proxy.delay(0.2, Direction.TO_CLIENT)
        for connection in (old, connect()):
            began = time.monotonic()
            assert echoes(connection)
            assert time.monotonic() - began >= 0.2
        proxy.delay(0)
        assert echoes(old)

    def test_drip(self, proxy: TcpProxy, connect: Connect) -> None:
        """Data arrives byte by byte."""
        proxy.drip(0.02, Direction.TO_CLIENT)
        connection = connect()
        connection.sendall(b"0123456789")
        assert connection.recv(10) == b"0"
        began = time.monotonic()
        assert received(connection, 9) == b"123456789"
        assert time.monotonic() - began >= 0.02 * 8


class TestEnd:
    def test_reset_existing(self, proxy: TcpProxy, server: EchoServer, connect: Connect) -> None:
        """Open connections are reset on both sides; new ones work."""
        connection = connect()
        assert echoes(connection)
        proxy.reset_existing()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        eventually(lambda: server.open == 0)
        assert echoes(connect())

    def test_reset_of_a_frozen_connection(self, proxy: TcpProxy, connect: Connect) -> None:
        """A frozen connection can be reset, too."""
        connection = connect()
        assert echoes(connection)
        proxy.freeze_existing()
        proxy.reset_existing()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        eventually(lambda: proxy.open == 0)

    def test_close_existing(self, proxy: TcpProxy, connect: Connect) -> None:
        """Open connections end without an error; new ones work."""
        connection = connect()
        assert echoes(connection)
        proxy.close_existing()
        assert connection.recv(1) == b""
        assert echoes(connect())

    def test_lose_next_answer(self, proxy: TcpProxy, server: EchoServer, connect: Connect) -> None:
        """The server receives; the client gets the end of the connection; the next exchange works."""
        connection = connect()
        assert echoes(connection)
        proxy.lose_next_answer()
        connection.sendall(b"lost answer")
        assert connection.recv(1) == b""
        assert server.received.endswith(b"lost answer")
        assert echoes(connect())

    def test_lose_two_answers_by_reset(self, proxy: TcpProxy, connect: Connect) -> None:
        """As often as asked, and by RST if asked."""
        proxy.lose_next_answer(times=2, how="reset")
        for _ in range(2):
            connection = connect()
            connection.sendall(b"lost")
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        assert echoes(connect())


class TestNewConnections:
    def test_refused(self, proxy: TcpProxy, connect: Connect) -> None:
        """New connections are refused; open ones work; accepted again on the same port."""
        old = connect()
        assert echoes(old)
        proxy.refuse_new()
        with pytest.raises(ConnectionRefusedError):
            connect()
        assert echoes(old)
        proxy.accept_new()
        assert echoes(connect())

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems treat a full backlog differently")
    def test_ignored(self, proxy: TcpProxy, connect: Connect) -> None:
        """A new connection gets no answer to its SYN; open ones work."""
        old = connect()
        assert echoes(old)
        proxy.ignore_new()
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", proxy.port), timeout=0.3)
        assert echoes(old)
        proxy.accept_new()
        assert echoes(connect())

    def test_restore(self, proxy: TcpProxy, connect: Connect) -> None:
        """One call ends every fault."""
        proxy.freeze_all()
        proxy.delay(3_600)
        proxy.drip(3_600)
        proxy.lose_next_answer()
        proxy.refuse_new()
        proxy.restore()
        assert echoes(connect())


class TestTls:
    def test_terminates_tls(self, server: EchoServer, tmp_path: Path) -> None:
        """With a context, clients speak TLS with the proxy and the server gets plain text."""
        made = make_certificates(tmp_path, "db.lab.test")
        trust = ssl.create_default_context(cafile=made.authority)
        with TcpProxy(server.port, tls=server_tls(made.certificate, made.key)) as proxy:
            plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
            with trust.wrap_socket(plain, server_hostname="db.lab.test") as connection:
                assert echoes(connection)
                proxy.freeze_existing()
                connection.sendall(b"frozen")
                assert is_silent(connection)
            assert server.received == b"hello"
