"""An HTTP proxy between the app and the hub that records requests and answers."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_OWN_HEADERS = {"connection", "content-length", "transfer-encoding", "date", "server"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the hub's answer."""

    method: str
    target: str
    """Path and query of the request line."""
    headers: tuple[tuple[str, str], ...]
    body: bytes
    status: int
    answer_headers: tuple[tuple[str, str], ...]
    answer: bytes

    def header(self, name: str) -> list[str]:
        """Every value of a header; its name in any case."""
        return [value for given, value in self.headers if given.lower() == name.lower()]


class WireTap:
    """Passes requests on to the hub and records them."""

    def __init__(self, hub_url: str) -> None:
        hub = urlsplit(hub_url).netloc
        tap = self
        self._exchanges: list[Exchange] = []
        self._lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are two writes; without this the second would wait for an acknowledgement.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                connection = http.client.HTTPConnection(hub, timeout=10)
                try:
                    connection.request("POST", self.path, body, dict(self.headers.items()))
                    response = connection.getresponse()
                    answer = response.read()
                finally:
                    connection.close()
                exchange = Exchange(
                    "POST",
                    self.path,
                    tuple(self.headers.items()),
                    body,
                    response.status,
                    tuple(response.getheaders()),
                    answer,
                )
                tap._record(exchange)
                self.send_response(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in _OWN_HEADERS:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Write no log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def exchanges(self) -> list[Exchange]:
        """All exchanges, in the order of their answers."""
        with self._lock:
            return list(self._exchanges)

    def _record(self, exchange: Exchange) -> None:
        with self._lock:
            self._exchanges.append(exchange)

    def serve(self) -> None:
        """Serve until `close`."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """Stop and wait for the connections, which end with the host that opened them."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def wire_tap(hub_url: str) -> Iterator[WireTap]:
    """A recording proxy in front of the hub; close the hosts that use it first."""
    tap = WireTap(hub_url)
    thread = threading.Thread(target=tap.serve, name="wire-tap")
    thread.start()
    try:
        yield tap
    finally:
        tap.close()
        thread.join()
