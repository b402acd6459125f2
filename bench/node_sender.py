"""Microsoft's client for JavaScript, in a Node.js process that answers orders line by line."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from bench.remote import Usage
from bench.senders import Sends, call_values
from bench.services import ROOT
from local.hub.config import DEVELOPMENT_HUB

DIRECTORY = ROOT / "bench" / "node"


def why_not() -> str | None:
    """Why it cannot run here; None if it can."""
    if shutil.which("node") is None:
        return "Node.js is not installed"
    if not (DIRECTORY / "node_modules" / "@azure" / "notification-hubs").is_dir():
        return "its packages are not installed (npm ci in bench/node)"
    return None


class NodeSender:
    """The running process."""

    def __init__(self, port: int, environment: Mapping[str, str]) -> None:
        """`port` is that of the hub with TLS; `NODE_EXTRA_CA_CERTS` names its authority."""
        settings = {
            "port": port,
            "host": DEVELOPMENT_HUB.host,
            "connectionString": DEVELOPMENT_HUB.connection_string(),
            "hubName": DEVELOPMENT_HUB.hub_name,
            "values": call_values(),
        }
        self._process = subprocess.Popen(
            ["node", str(DIRECTORY / "send.mjs")],  # noqa: S607 - whichever the developer has
            env={**environment, "BENCH_SETTINGS": json.dumps(settings)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, order: Sends) -> Usage:
        """Have pushes sent; raises RuntimeError."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # both are pipes
        assert stdout is not None
        stdin.write(json.dumps({"count": order.count, "concurrency": order.concurrency}) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError("the Node.js client ended; its reason is above")
        answer = json.loads(line)
        return Usage(answer["wallSeconds"], answer["cpuSeconds"])

    def close(self) -> None:
        """End it: its input ends."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
