"""Serves an aiohttp application on loopback, in the thread of a `ServerThread`."""

import asyncio
from collections.abc import Callable

from aiohttp import web


async def serve_application(
    application: web.Application, port: int, listening: Callable[[int], None], stopping: asyncio.Event
) -> None:
    """Serve until `stopping` is set.

    Args:
        application: what answers.
        port: 0 for a free one.
        listening: is called with the port.
        stopping: ends it.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        listening(runner.addresses[0][1])
        await stopping.wait()
    finally:
        await runner.cleanup()
