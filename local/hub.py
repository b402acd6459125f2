"""A Notification Hubs simulator: Direct Send over HTTP on loopback, with a control API under ``/simulator/``.

``RunningHub`` runs it in a thread for tests, ``python -m local.hub`` in a process. The memory and the
judgement are in ``hub_memory`` and ``hub_checks``, the faults in ``hub_faults``, the wire in ``hub_wire``.
Answers follow Notification Hubs REST, "Direct Send".
"""

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from local.hub_checks import (
    HubConfig,
    parse_rules,
)
from local.hub_memory import DEVELOPMENT_HUB, Simulator
from local.hub_wire import LOOPBACK, HubServer
from local.server_log import keep_requests_out_of_the_log
from local.server_thread import ServerThread

__all__ = ["DEVELOPMENT_HUB", "RULES_VARIABLE", "RunningHub", "Simulator", "server_tls"]

RULES_VARIABLE = "HUB_SIMULATOR_RULES"
"""Environment variable with the access rules as JSON: a command line would show the keys to every process."""


async def _serve(
    simulator: Simulator,
    port: int,
    tls: ssl.SSLContext | None,
    listening: Callable[[int], None],
    stopping: asyncio.Event,
) -> None:
    server = HubServer(simulator)
    try:
        listening(await server.start(port, tls))
        await stopping.wait()
    finally:
        await server.stop()


def server_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS context from PEM files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class RunningHub:
    """A simulator served by a thread of its own: ``with RunningHub() as hub: … hub.url``.

    ``stop`` and ``start`` in between make the hub unreachable and bring it back on the same port, with
    everything that it remembers.
    """

    def __init__(
        self, simulator: Simulator | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        """``port`` 0: any free one, kept from the first start on."""
        self.simulator = simulator or Simulator()
        self.port = port
        self._tls = tls
        self._server = ServerThread("hub-simulator", self._serve)

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, or https with TLS; no trailing slash."""
        return _url(self.port, self._tls)

    @property
    def messages_url(self) -> str:
        """Where sends go, as ``ANHHubUrl`` wants it."""
        return f"{self.url}/{self.hub_name}/messages/"

    @property
    def hub_name(self) -> str:
        """As configured."""
        return self.simulator.config.hub_name

    @property
    def connection_string(self) -> str:
        """For the first access rule that may send; it names the namespace, not this machine."""
        return self.simulator.config.connection_string()

    def start(self) -> None:
        """Returns once it listens; OSError if the port is taken."""
        self.port = self._server.start()

    def stop(self) -> None:
        """Closes the port and every connection; does nothing to a stopped hub."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _serve(self, listening: Callable[[int], None], stopping: asyncio.Event) -> None:
        await _serve(self.simulator, self.port, self._tls, listening, stopping)


def _url(port: int, tls: ssl.SSLContext | None) -> str:
    return f"{'https' if tls else 'http'}://{LOOPBACK}:{port}"


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.hub", description=f"Access rules: {RULES_VARIABLE}."
    )
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 for any free one")
    parser.add_argument("--namespace", default=DEVELOPMENT_HUB.namespace)
    parser.add_argument("--hub-name", default=DEVELOPMENT_HUB.hub_name)
    parser.add_argument("--delay-seconds", type=float, default=0.0, help="taken over every request")
    parser.add_argument("--seed", type=int, default=0, help="of the dice that faults roll")
    parser.add_argument("--tls-certificate", type=Path, help="PEM; needs --tls-key")
    parser.add_argument("--tls-key", type=Path, help="PEM")
    return parser.parse_args(argv)


async def _serve_until_signalled(simulator: Simulator, port: int, tls: ssl.SSLContext | None) -> None:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def announce(bound: int) -> None:
        print(json.dumps({"ready": True, "url": _url(bound, tls)}), flush=True)

    await _serve(simulator, port, tls, announce, stopping)


def main(argv: list[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; one JSON line on stdout once it listens. 2 for a wrong setting."""
    options = _arguments(argv)
    keep_requests_out_of_the_log()
    try:
        given = os.environ.get(RULES_VARIABLE)
        rules = parse_rules(given) if given else DEVELOPMENT_HUB.rules
    except ValueError as error:
        print(f"{RULES_VARIABLE}: {error}", file=sys.stderr)
        return 2
    tls = server_tls(options.tls_certificate, options.tls_key) if options.tls_certificate else None
    config = HubConfig(options.namespace, options.hub_name, rules)
    simulator = Simulator(config, delay_seconds=options.delay_seconds, seed=options.seed)
    asyncio.run(_serve_until_signalled(simulator, options.port, tls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
