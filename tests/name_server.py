"""One exchange with a host whose name server does as it is told; prints how the exchange ended.

Usage: `unshare --map-root-user --net --mount python -m tests.name_server silent|unknown`. In namespaces of its
own it may change the resolver's configuration and listen on the port of name servers, on a loopback that
nothing else uses.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import tempfile
import threading
import time

from push.hub.wire import HubWire, Request, Timeouts

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_MS_BIND = 4096
_NO_SUCH_NAME = b"\x81\x83"


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def _use(name_server: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as configuration:
        configuration.write(f"nameserver {name_server}\n")
        configuration.flush()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(configuration.name.encode(), b"/etc/resolv.conf", None, _MS_BIND, None):
            raise OSError(ctypes.get_errno(), "mount")


class _NameServer:
    """Listens on 127.0.0.1, port 53, and counts what it is asked."""

    def __init__(self, *, answers: bool) -> None:
        self.asked = 0
        self._answers = answers
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(512)
            self.asked += 1
            if self._answers:
                self._socket.sendto(question[:2] + _NO_SUCH_NAME + question[4:], client)


def main(behaviour: str) -> None:
    """Print how the exchange ended, how long it took, and how often the name server was asked."""
    _bring_loopback_up()
    server = _NameServer(answers=behaviour == "unknown")
    _use("127.0.0.1")
    started = time.monotonic()
    with HubWire(Timeouts(connect=0.5, read=0.5), time.monotonic) as wire:
        reply = wire.exchange(Request("https://contoso.servicebus.windows.net/", {}, b"{}"), 10.0)
    seconds = time.monotonic() - started
    print(json.dumps({"reply": str(reply), "seconds": seconds, "asked": server.asked}), flush=True)
    os._exit(0)  # without waiting for the resolver's thread


if __name__ == "__main__":
    main(sys.argv[1])
