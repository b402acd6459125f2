"""`python -m local.hub`: the Notification Hubs simulator in a process of its own (README.md)."""

import argparse
import asyncio
import os
import signal
import ssl
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from local.certificates import make_certificates
from local.hub.announcement import Announcement
from local.hub.config import DEVELOPMENT_HUB, HubConfig, parse_rules
from local.hub.server import LOOPBACK, base_url, serve, server_tls
from local.hub.simulator import Simulator
from local.server_log import keep_requests_out_of_the_log

RULES_VARIABLE = "HUB_SIMULATOR_RULES"
"""Environment variable with the access policies in JSON; a command line would show the keys."""


class UsageError(Exception):
    """The simulator cannot start with these options; the message says why."""


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.hub",
        description="A Notification Hubs simulator on loopback: Direct Send, faults, captured pushes.",
        epilog=f'Access policies: {RULES_VARIABLE}=\'{{"KeyName": {{"key": "…", "rights": ["Send"]}}}}\'.',
    )
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 (the default) takes a free one")
    parser.add_argument("--hub-name", default=DEVELOPMENT_HUB.hub_name)
    parser.add_argument(
        "--namespace",
        help="expect tokens for NAMESPACE.servicebus.windows.net; by default the connection string and the "
        "tokens name the simulator's own address",
    )
    parser.add_argument(
        "--tls",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="FOLDER",
        help="HTTPS with a self-made certificate; the files are kept in FOLDER, else removed at the end",
    )
    parser.add_argument("--tls-certificate", type=Path, help="HTTPS with this certificate (PEM)")
    parser.add_argument("--tls-key", type=Path, help="the key of --tls-certificate (PEM)")
    parser.add_argument("--delay-seconds", type=float, default=0.0, help="delay before every answer")
    parser.add_argument("--seed", type=int, default=0, help="for faults with a probability")
    parser.add_argument("--json", action="store_true", help="print one line of JSON when it listens")
    options = parser.parse_args(argv)
    if (options.tls_certificate is None) != (options.tls_key is None):
        parser.error("--tls-certificate and --tls-key need each other")
    if options.tls is not None and options.tls_certificate is not None:
        parser.error("--tls makes a certificate: leave out --tls-certificate")
    return options


def _hub_from(environment: Mapping[str, str]) -> HubConfig:
    given = environment.get(RULES_VARIABLE)
    if not given:
        return DEVELOPMENT_HUB
    try:
        return replace(DEVELOPMENT_HUB, rules=parse_rules(given))
    except ValueError as error:
        raise UsageError(f"{RULES_VARIABLE}: {error}") from None


def _tls(options: argparse.Namespace, resources: ExitStack) -> tuple[ssl.SSLContext | None, Path | None]:
    """The server's context, and the authority that clients must trust if the certificate is self-made."""
    try:
        if options.tls_certificate is not None:
            return server_tls(options.tls_certificate, options.tls_key), None
        if options.tls is None:
            return None, None
        folder: Path = options.tls
        if folder == Path():
            folder = Path(resources.enter_context(TemporaryDirectory(prefix="hub-simulator-")))
        folder.mkdir(parents=True, exist_ok=True)
        made = make_certificates(folder.resolve(), DEVELOPMENT_HUB.host)
        return server_tls(made.certificate, made.key), made.authority
    except OSError as error:
        raise UsageError(f"TLS: {error}") from None


def _connection_string(config: HubConfig) -> str | None:
    """For the simulator's own address; `None` for a namespace, whose connection string the client has."""
    if config.endpoint is None:
        return None
    shown = config.connection_string()
    if config.rules is DEVELOPMENT_HUB.rules:
        return shown
    # A key from the environment is not repeated.
    return f"{shown.partition('SharedAccessKey=')[0]}SharedAccessKey=<not shown>"


async def _serve_until_signalled(
    simulator: Simulator, port: int, tls: ssl.SSLContext | None, announce: Callable[[int], None]
) -> None:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await serve(simulator, port, tls, announce, stopping)


def _run(options: argparse.Namespace, resources: ExitStack) -> None:
    base = _hub_from(os.environ)
    tls, authority = _tls(options, resources)
    config = replace(base, hub_name=options.hub_name, namespace=options.namespace or base.namespace)
    simulator = Simulator(config, delay_seconds=options.delay_seconds, seed=options.seed)

    def announce(port: int) -> None:
        if options.namespace is None:
            simulator.config = replace(config, endpoint=f"{LOOPBACK}:{port}")
        announcement = Announcement(
            base_url(port, tls), config.hub_name, _connection_string(simulator.config), authority
        )
        print(announcement.json() if options.json else announcement.text(), flush=True)

    asyncio.run(_serve_until_signalled(simulator, options.port, tls, announce))


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 2 for a wrong option or setting, 1 if the port is in use."""
    options = _arguments(argv)
    keep_requests_out_of_the_log()
    try:
        with ExitStack() as resources:
            _run(options, resources)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"The simulator cannot listen on port {options.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
