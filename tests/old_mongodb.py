"""A MongoDB server of an old version: it answers every command with a handshake that the driver refuses."""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import bson

_OP_QUERY, _OP_REPLY, _OP_MSG = 2004, 1, 2013


class _Connection(socketserver.StreamRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        while len(header := self.rfile.read(16)) == 16:
            length, request_id, _, operation = struct.unpack("<iiii", header)
            self.rfile.read(length - 16)
            document = bson.encode(
                {
                    "ok": 1,
                    "ismaster": True,
                    "isWritablePrimary": True,
                    "minWireVersion": 0,
                    "maxWireVersion": self.server.wire_version,
                    "maxBsonObjectSize": 16_777_216,
                }
            )
            if operation == _OP_QUERY:
                answer, code = struct.pack("<iqii", 0, 0, 0, 1) + document, _OP_REPLY
            else:
                answer, code = struct.pack("<iB", 0, 0) + document, _OP_MSG
            self.wfile.write(struct.pack("<iiii", 16 + len(answer), 0, request_id, code) + answer)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    wire_version = 0


@contextmanager
def old_mongodb(wire_version: int) -> Iterator[str]:
    """A server that speaks up to `wire_version`; its connection string."""
    with _Server(("127.0.0.1", 0), _Connection) as server:
        server.wire_version = wire_version
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"mongodb://127.0.0.1:{server.server_address[1]}/?directConnection=true"
        finally:
            server.shutdown()
            thread.join()
