"""`python -m local.hub`: the Notification Hubs simulator in a process of its own."""

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
from pathlib import Path

from local.hub.config import DEVELOPMENT_HUB, HubConfig, parse_rules
from local.hub.server import base_url, serve, server_tls
from local.hub.simulator import Simulator
from local.server_log import keep_requests_out_of_the_log

RULES_VARIABLE = "HUB_SIMULATOR_RULES"
"""Environment variable with the access policies in JSON; a command line would show the keys."""


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.hub", description=f"Access policies: environment variable {RULES_VARIABLE}."
    )
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 (the default) takes a free one")
    parser.add_argument("--namespace", default=DEVELOPMENT_HUB.namespace)
    parser.add_argument("--hub-name", default=DEVELOPMENT_HUB.hub_name)
    parser.add_argument("--delay-seconds", type=float, default=0.0, help="delay before every answer")
    parser.add_argument("--seed", type=int, default=0, help="for faults with a probability")
    parser.add_argument("--tls-certificate", type=Path, help="PEM; needs --tls-key")
    parser.add_argument("--tls-key", type=Path, help="PEM")
    return parser.parse_args(argv)


async def _serve_until_signalled(simulator: Simulator, port: int, tls: ssl.SSLContext | None) -> None:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def announce(bound: int) -> None:
        print(json.dumps({"ready": True, "url": base_url(bound, tls)}), flush=True)

    await serve(simulator, port, tls, announce, stopping)


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; one JSON line on stdout when it listens. 2 for a wrong setting."""
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
