"""One exchange over libcurl whose name server fails; prints how the exchange ended.

Usage: `unshare --map-root-user --net --mount python -m tests.faults.exchange_with_dns silence|NXDOMAIN`.
libcurl asks the name servers of `/etc/resolv.conf`, on port 53. In namespaces of its own this process may
replace that file and listen on that port, on a loopback that it has for itself.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import tempfile
import time

from push.hub.wire import HubWire, Request, Timeouts
from tests.faults.dns_server import LOOPBACK, DnsMode, DnsServer

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_MS_BIND = 4096


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def _use_name_server(address: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as configuration:
        configuration.write(f"nameserver {address}\n")
        configuration.flush()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(configuration.name.encode(), b"/etc/resolv.conf", None, _MS_BIND, None):
            raise OSError(ctypes.get_errno(), "mount")


def main(mode: DnsMode) -> None:
    """Print how the exchange ended, how long it and closing the connection took, and what was looked up."""
    _bring_loopback_up()
    server = DnsServer()
    server.port = 53
    server.set_mode(mode)
    server.start()
    _use_name_server(LOOPBACK)
    started = time.monotonic()
    with HubWire(Timeouts(connect=0.5, read=0.5), time.monotonic) as wire:
        reply = wire.exchange(Request("https://contoso.servicebus.windows.net/", {}, b"{}"), 10.0)
    seconds = time.monotonic() - started
    found = {"reply": str(reply), "seconds": seconds, "queries": server.queries}
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # without waiting for the resolver's thread


if __name__ == "__main__":
    main(DnsMode(sys.argv[1]))
