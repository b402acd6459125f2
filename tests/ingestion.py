"""Application Insights on loopback: takes what its exporters send."""

import gzip
import json
import threading
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Ingestion(ThreadingHTTPServer):
    """Keeps the envelopes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Track)
        self._key = uuid.uuid4()
        self.envelopes: list[dict[str, Any]] = []

    @property
    def connection_string(self) -> str:
        """For a resource whose telemetry comes here."""
        # What cannot be sent waits in a folder of the key, and goes out with another process's telemetry.
        key = f"InstrumentationKey={self._key}"
        here = f"http://127.0.0.1:{self.server_address[1]}/"
        return f"{key};IngestionEndpoint={here};LiveEndpoint={here}"

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The items of a base type, such as `MessageData`, with `operation` and `parent` of the trace."""
        return [
            {
                **envelope["data"]["baseData"],
                "operation": envelope["tags"].get("ai.operation.id"),
                "parent": envelope["tags"].get("ai.operation.parentId"),
            }
            for envelope in self.envelopes
            if envelope["data"]["baseType"] == kind
        ]


class _Track(BaseHTTPRequestHandler):
    server: Ingestion

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        elif self.headers.get("Content-Encoding") == "deflate":
            body = zlib.decompress(body)
        taken = json.loads(body) if "/track" in self.path else []  # else: live metrics
        self.server.envelopes.extend(taken)
        answer = {"itemsReceived": len(taken), "itemsAccepted": len(taken), "errors": []}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def running_ingestion() -> Iterator[Ingestion]:
    """Application Insights, until the block ends."""
    server = Ingestion()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
