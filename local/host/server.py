"""Serves a Functions app on loopback until SIGTERM or SIGINT."""

import asyncio
import json
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from aiohttp import web

from local.host.functions_host import FunctionsHost, body_limit, create_app
from local.host.keys import KEYS_VARIABLE, KeyRing
from local.host.worker import FunctionWorker, StartupError

LOOPBACK = "127.0.0.1"
MAX_HEADER_BYTES = 32_768
"""Limit of the host's server (Kestrel's `MaxRequestHeadersTotalSize`)."""

STOP_GRACE = 5.0
"""Seconds for running invocations to end when the host is stopped."""

_log = logging.getLogger("local.host")


@dataclass(frozen=True, slots=True)
class HostOptions:
    """Options of the command line."""

    app_directory: Path
    port: int = 0
    """0 takes a free one."""
    show_keys: bool = False
    """Write the keys to the log."""


async def serve(options: HostOptions, keys: KeyRing, *, ready_to: TextIO) -> bool:
    """Load the app, listen, write the ready line to `ready_to`, and serve until SIGTERM or SIGINT.

    Returns whether every invocation ended within STOP_GRACE; raises StartupError.
    """
    prefix = _route_prefix(options.app_directory)
    worker = await FunctionWorker.start(options.app_directory)
    host = FunctionsHost(worker, keys, prefix, body_limit(os.environ))
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner = web.AppRunner(
        create_app(host),
        access_log=None,  # it would show `?code=`
        auto_decompress=False,  # the host passes a compressed body on unchanged
        max_field_size=MAX_HEADER_BYTES,
        shutdown_timeout=STOP_GRACE / 2,  # aiohttp waits twice: for the handlers, then for the connections
    )
    await runner.setup()
    timers: asyncio.Task[None] | None = None
    try:
        url = await _listen(runner, options.port)
        timers = asyncio.create_task(host.timers.run())
        if options.show_keys:
            _log.info("The keys, in the form of %s: %s", KEYS_VARIABLE, host.keys.to_json())
        ready = {"ready": True, "url": url, "functions": host.listing(url)}
        print(json.dumps(ready), file=ready_to, flush=True)
        await stopped.wait()
        _log.info("Stopping")
    finally:
        if timers is not None:
            timers.cancel()
        await runner.cleanup()
        await host.background.wait(STOP_GRACE / 2)
    return worker.stop(grace=1.0)


async def _listen(runner: web.AppRunner, port: int) -> str:
    await web.TCPSite(runner, LOOPBACK, port).start()
    return f"http://{LOOPBACK}:{runner.addresses[0][1]}"


def _route_prefix(app_directory: Path) -> str:
    """`extensions.http.routePrefix` of the app's host.json, `api` by default."""
    try:
        settings = json.loads((app_directory / "host.json").read_text(encoding="utf-8"))
        return str(settings.get("extensions", {}).get("http", {}).get("routePrefix", "api"))
    except FileNotFoundError:
        return "api"
    except (ValueError, AttributeError) as error:
        raise StartupError(f"host.json cannot be read: {error}") from error
