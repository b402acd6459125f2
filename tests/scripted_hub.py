"""An HTTP/1.1 server in place of the hub that follows a script, for what the simulator does not do."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from local.certificates import Certificates

PATIENCE = 10.0
"""Seconds that a test waits before it fails."""

CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
"""The hub's usual answer, as bytes."""


@dataclass(frozen=True)
class Seen:
    """A request as it was received."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for each, value in self.headers if each.lower() == name.lower()]


@dataclass
class Script:
    """How the hub answers each request, and what it has seen."""

    status: int = 201
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None
    """Written as it is, in one piece, in place of an answer; the connection goes on."""
    behave: Callable[[BaseHTTPRequestHandler], None] | None = None
    """Called in place of an answer; the connection ends when it returns."""
    requests: list[Seen] = field(default_factory=list)
    before_answering: Callable[[], object] = lambda: None
    connections: int = 0
    closes: bool = False
    """End each connection after its answer, without announcing it."""
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released each time that a connection has ended on the hub's side."""
    released: threading.Event = field(default_factory=threading.Event)
    """Set when the hub stops, so that a `behave` that waits ends."""

    def answer(self) -> bytes:
        """Status, headers and body as bytes."""
        length = {} if "Transfer-Encoding" in self.headers else {"Content-Length": str(len(self.body))}
        lines = [f"HTTP/1.1 {self.status} Scripted", *map(": ".join, {**length, **self.headers}.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body

    def say(self, *pieces: bytes) -> None:
        """From now on send these pieces, each by a write of its own, and leave the connection open."""

        def behave(handler: BaseHTTPRequestHandler) -> None:
            for piece in pieces:
                handler.wfile.write(piece)
            self.released.wait(PATIENCE)

        self.behave = behave


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            script.connections += 1
            super().setup()

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            script.requests.append(Seen(self.requestline, self.headers.items(), body))
            if script.behave is not None:
                script.behave(self)
                self.close_connection = True
                return
            script.before_answering()
            self.wfile.write(script.answer() if script.raw is None else script.raw)
            self.close_connection = self.close_connection or script.closes

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    return Handler


class _Server(ThreadingHTTPServer):
    def __init__(self, script: Script) -> None:
        self._script = script
        super().__init__(("127.0.0.1", 0), _handler(script))

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self._script.closed.release()

    def handle_error(self, *_: object) -> None:
        """A client may break a connection off or refuse the certificate: write nothing."""


class ScriptedHub:
    """The server, on an ephemeral port of loopback; `with ScriptedHub() as hub`."""

    def __init__(self, certificates: Certificates | None = None) -> None:
        """With certificates it speaks TLS."""
        self.script = script = Script()
        self._scheme = "http" if certificates is None else "https"
        self._server = _Server(script)
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.certificate, certificates.key)
            # Each connection's own thread does the handshake.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def messages_url(self) -> str:
        """Where pushes are sent to."""
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
        """End what waits, and stop listening."""
        self.script.released.set()
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()
