"""Runs a module in network and mount namespaces of its own, where it is the name server.

libcurl asks the name servers of `/etc/resolv.conf`, on port 53. In its namespaces a process may replace the
file and listen on that port, on a loopback that it has for itself.
"""

import ctypes
import fcntl
import json
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.faults.dns_server import LOOPBACK, DnsMode, DnsServer

ROOT = Path(__file__).parents[2]
UNSHARE = ["unshare", "--map-root-user", "--net", "--mount"]

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_MS_BIND = 4096


def run_in_namespaces(module: str, *arguments: str) -> dict[str, Any]:
    """What `python -m module …` prints, as JSON; skips the test where namespaces cannot be made."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("tests may not make namespaces on this machine")
    command = [*UNSHARE, sys.executable, "-m", module, *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def start_name_server(mode: DnsMode) -> DnsServer:
    """Within the namespaces: start a name server, and have this process ask it."""
    _bring_loopback_up()
    server = DnsServer()
    server.port = 53
    server.set_mode(mode)
    server.start()
    _use_name_server(LOOPBACK)
    return server


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
