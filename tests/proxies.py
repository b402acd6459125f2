"""Proxies on loopback, as small as the tests of the hub's connections need them."""

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Self

from local.certificates import Certificates
from tests.scripted_hub import PATIENCE


class Proxy:
    """Accepts one connection at a time and passes its bytes on; `with TunnelProxy() as proxy`."""

    def __init__(self, certificates: Certificates | None = None) -> None:
        """With certificates the proxy itself is reached over TLS."""
        self.asked: list[bytes] = []
        """What each client asked for."""
        self.before_answering: Callable[[], object] = lambda: None
        self._tls = None
        if certificates is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificates.certificate, certificates.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)

    def negotiate(self, client: socket.socket) -> tuple[str, int] | None:
        """Read what the client asks for and answer it; the target, None if it was refused."""
        raise NotImplementedError

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(PATIENCE)
                try:
                    if self._tls is None:
                        self._connect(client)
                    else:
                        with self._tls.wrap_socket(client, server_side=True) as encrypted:
                            self._connect(encrypted)
                except OSError:
                    continue  # the client broke off

    def _connect(self, client: socket.socket) -> None:
        target = self.negotiate(client)
        if target is None:
            return
        with socket.create_connection(target, PATIENCE) as server:
            back = threading.Thread(target=_pass_on, args=(server, client))
            back.start()
            _pass_on(client, server)
            back.join(PATIENCE)


class TunnelProxy(Proxy):
    """An HTTP proxy for CONNECT (RFC 9110, 9.3.6)."""

    def __init__(
        self, status: bytes = b"200 Connection established", certificates: Certificates | None = None
    ) -> None:
        super().__init__(certificates)
        self._status = status

    def negotiate(self, client: socket.socket) -> tuple[str, int] | None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            if not byte:
                return None
            head += byte
        self.asked.append(head)
        self.before_answering()
        client.sendall(b"HTTP/1.1 " + self._status + b"\r\nTrackingId: of-the-proxy\r\n\r\n")
        if not self._status.startswith(b"200"):
            return None
        host, _, port = head.split()[1].decode().rpartition(":")
        return host, int(port)


class SocksProxy(Proxy):
    """A SOCKS 5 proxy without authentication, for IPv4 addresses (RFC 1928)."""

    def negotiate(self, client: socket.socket) -> tuple[str, int]:
        _, methods = client.recv(2)
        client.recv(methods)
        client.sendall(b"\x05\x00")
        request = client.recv(10)  # version, CONNECT, reserved, IPv4, address, port
        self.asked.append(request)
        client.sendall(b"\x05\x00\x00\x01" + request[4:10])
        return socket.inet_ntoa(request[4:8]), int.from_bytes(request[8:10])


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes until there are no more, then end the other side."""
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
