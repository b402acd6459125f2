"""An HTTP/1.1 server in the hub's place that does what no simulator of it would: it follows a script."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from local.certificates import Certificates

PATIENCE = 10.0
"""Seconds that a test waits before it fails."""


@dataclass(frozen=True)
class Seen:
    """A request as it came over the wire."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for each, value in self.headers if each.lower() == name.lower()]


@dataclass
class Script:
    """What the hub does about each request, and what it has seen."""

    status: int = 201
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    behave: Callable[[BaseHTTPRequestHandler], None] | None = None
    requests: list[Seen] = field(default_factory=list)
    answers: Callable[[], object] = lambda: None
    """Called before each answer."""
    connections: int = 0
    closes: bool = False
    """Ends each connection after its answer, without saying so."""
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released each time that the hub has ended a connection."""
    released: threading.Event = field(default_factory=threading.Event)


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            script.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            script.requests.append(Seen(self.requestline, self.headers.items(), body))
            if script.behave is not None:
                script.behave(self)
                self.close_connection = True
                return
            script.answers()
            self.send_response(script.status)
            length = {"Content-Length": str(len(script.body))}
            if "Transfer-Encoding" in script.headers:
                length = {}
            for name, value in {**length, **script.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(script.body)
            self.close_connection = self.close_connection or script.closes

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


class _Server(ThreadingHTTPServer):
    def __init__(self, script: Script) -> None:
        self._script = script
        super().__init__(("127.0.0.1", 0), _handler(script))

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self._script.closed.release()

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that does not trust the certificate."""


class ScriptedHub:
    """An HTTP/1.1 server on an ephemeral port of loopback that answers as it is told."""

    def __init__(self, certificates: Certificates | None = None) -> None:
        """With certificates it speaks TLS."""
        self.script = script = Script()
        self._scheme = "http" if certificates is None else "https"

        self._server = _Server(script)
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.certificate, certificates.key)
            # The handshake is for the connection's own thread.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def messages_url(self) -> str:
        """Where sends go."""
        return f"{self._scheme}://127.0.0.1:{self.port}/ring/messages/"

    @property
    def port(self) -> int:
        """On 127.0.0.1."""
        return self._server.server_port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let go of whoever waits, and stop listening."""
        self.script.released.set()
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()
