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
from local.hub.announcement import AnnouncedHub, Announcement
from local.hub.config import DEVELOPMENT_HUB, HubConfig, Tier, development_hub, parse_rules
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
        description="A Notification Hubs simulator on loopback: Direct Send, telemetry, feedback, faults, "
        "captured pushes.",
        epilog=f'Access policies: {RULES_VARIABLE}=\'{{"KeyName": {{"key": "…", "rights": ["Send"]}}}}\'.',
    )
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 (the default) takes a free one")
    parser.add_argument(
        "--hub-name",
        action="append",
        metavar="NAME",
        help=f"repeat it for several hubs (default: {DEVELOPMENT_HUB.hub_name})",
    )
    parser.add_argument(
        "--tier",
        type=Tier,
        choices=list(Tier),
        default=Tier.STANDARD,
        help="pricing tier of the hubs; telemetry and feedback need standard, the default",
    )
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


def _hubs(options: argparse.Namespace, environment: Mapping[str, str]) -> list[HubConfig]:
    """The first hub has DEVELOPMENT_HUB's keys, each other one its own; policies that are given hold for
    all."""
    names = options.hub_name or [DEVELOPMENT_HUB.hub_name]
    hubs = [replace(DEVELOPMENT_HUB, hub_name=names[0]), *(development_hub(name) for name in names[1:])]
    given = environment.get(RULES_VARIABLE)
    try:
        rules = parse_rules(given) if given else None
    except ValueError as error:
        raise UsageError(f"{RULES_VARIABLE}: {error}") from None
    namespace = options.namespace or DEVELOPMENT_HUB.namespace
    return [
        replace(hub, namespace=namespace, tier=options.tier, rules=hub.rules if rules is None else rules)
        for hub in hubs
    ]


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


def _announced(hub: HubConfig, *, key_is_secret: bool) -> AnnouncedHub:
    """Without a connection string for a namespace: that one the client has."""
    if hub.endpoint is None:
        return AnnouncedHub(hub.hub_name, None)
    shown = hub.connection_string()
    if key_is_secret:
        # A key from the environment is not repeated.
        shown = f"{shown.partition('SharedAccessKey=')[0]}SharedAccessKey=<not shown>"
    return AnnouncedHub(hub.hub_name, shown)


async def _serve_until_signalled(
    simulator: Simulator, port: int, tls: ssl.SSLContext | None, announce: Callable[[int], None]
) -> None:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await serve(simulator, port, tls, announce, stopping)


def _run(options: argparse.Namespace, resources: ExitStack) -> None:
    hubs = _hubs(options, os.environ)
    tls, authority = _tls(options, resources)
    try:
        simulator = Simulator(*hubs, delay_seconds=options.delay_seconds, seed=options.seed)
    except ValueError as error:
        raise UsageError(f"--hub-name: {error}") from None
    key_is_secret = bool(os.environ.get(RULES_VARIABLE))

    def announce(port: int) -> None:
        if options.namespace is None:
            simulator.hubs.set_endpoint(f"{LOOPBACK}:{port}")
        shown = tuple(_announced(hub, key_is_secret=key_is_secret) for hub in simulator.hubs.all())
        announcement = Announcement(base_url(port, tls), shown, authority)
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
