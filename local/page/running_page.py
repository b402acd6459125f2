"""Serves the page of a running stack on a loopback port, from a thread of its own."""

import asyncio
import errno
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from local.hub.control_client import ControlClient
from local.page.app_client import AppClient
from local.page.controller import PageController
from local.page.host_lines import HostLines
from local.page.routes import create_app
from local.page.sources import Sources
from local.page.watcher import Watcher
from local.server_thread import ServerThread
from local.stack import DATABASE_NAME, Stack
from local.startable import Startable

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 7072
"""Next to the app's; a free port is taken if this one is in use."""


class PageError(Exception):
    """The page cannot be served; the message says why."""


class RunningPage(Startable):
    """`with RunningPage(stack, lines) as page: … page.url`, inside the `with` block of the stack."""

    def __init__(self, stack: Stack, lines: HostLines, *, port: int | None = 0) -> None:
        """`port`: 0 takes a free one; `None` the default one, or a free one if that is in use."""
        self._stack = stack
        self._lines = lines
        self._port = port
        self._server = ServerThread("page", self._serve)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, no trailing slash."""
        return f"http://{LOOPBACK}:{self._port}"

    def start(self) -> None:
        """Listen; PageError if that is not possible."""
        try:
            self._port = self._server.start()
        except OSError as error:
            raise PageError(
                f"The page cannot listen on port {self._port}: {error.strerror}. "
                "Take another port (--page-port), or 0 for a free one."
            ) from None

    def stop(self) -> None:
        """Close the port and every connection."""
        self._server.stop()

    async def _serve(self, listening: Callable[[int], None], stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        with (
            ControlClient(self._stack.hub_url) as for_commands,
            ControlClient(self._stack.hub_url) as for_sources,
        ):
            sources = Sources(self._stack.database.uri, DATABASE_NAME, for_sources)
            watcher = Watcher(sources, self._lines)
            async with AppClient(self._stack.host) as client:
                controller = PageController(client, for_commands, watcher.wake, self._stack.alerts_hub)
                self._lines.listen(lambda: _call_in(loop, watcher.wake))
                watching = asyncio.create_task(watcher.run(controller), name="watch")
                try:
                    await self._listen(create_app(controller, watcher), watcher, listening, stopping)
                finally:
                    self._lines.listen(None)
                    await controller.close()
                    watching.cancel()
                    with suppress(asyncio.CancelledError):
                        await watching
                    sources.close()

    async def _listen(
        self,
        app: web.Application,
        watcher: Watcher,
        listening: Callable[[int], None],
        stopping: asyncio.Event,
    ) -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = await _start_site(runner, self._port)
            listening(site.port)
            await stopping.wait()
            await watcher.stop()
        finally:
            await runner.cleanup()


async def _start_site(runner: web.AppRunner, port: int | None) -> web.TCPSite:
    site = web.TCPSite(runner, LOOPBACK, DEFAULT_PORT if port is None else port)
    try:
        await site.start()
    except OSError as error:
        if port is not None or error.errno != errno.EADDRINUSE:
            raise
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
    return site


def _call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Call from another thread; no effect if the loop has closed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
