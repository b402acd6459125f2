"""Serves the page on a loopback port of its own, from a thread of its own, beside a running stack."""

import asyncio
import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Self

from aiohttp import web

from local.hub_client import HubControl
from local.page.app_client import AppClient
from local.page.host_lines import HostLines
from local.page.routes import create_app
from local.page.sources import Sources
from local.page.switchboard import Switchboard
from local.page.watcher import Watcher
from local.stack import DATABASE_NAME, Stack

LOOPBACK = "127.0.0.1"
USUAL_PORT = 7072
"""Next to the app's; a free one if somebody has it."""

_START_SECONDS = 10.0
_STOP_SECONDS = 10.0


class PageError(Exception):
    """The page cannot be served; the message says why."""


class RunningPage:
    """`with RunningPage(stack, lines) as page: … page.url`; enter it inside the stack, leave it before."""

    def __init__(self, stack: Stack, lines: HostLines, *, port: int | None = 0) -> None:
        """`port`: 0 takes a free one; None the usual one, or a free one if that is taken."""
        self._stack = stack
        self._lines = lines
        self._port = port
        self._stop: Callable[[], object] = lambda: None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, no trailing slash."""
        return f"http://{LOOPBACK}:{self._port}"

    def __enter__(self) -> Self:
        listening: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="page", daemon=True)
        self._thread.start()
        try:
            self._port = listening.result(_START_SECONDS)
        except OSError as error:
            self._thread.join(_STOP_SECONDS)
            raise PageError(f"The page cannot listen on port {self._port}: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._thread.join(_STOP_SECONDS)

    def _run(self, listening: Future[int]) -> None:
        try:
            asyncio.run(self._serve(listening))
        except OSError as error:
            if listening.done():
                raise
            listening.set_exception(error)

    async def _serve(self, listening: Future[int]) -> None:
        stopping, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopping.set)
        with HubControl(self._stack.hub_url) as orders, HubControl(self._stack.hub_url) as watched:
            sources = Sources(self._stack.database.uri, DATABASE_NAME, watched)
            watcher = Watcher(sources, self._lines)
            async with AppClient(self._stack.host) as client:
                switchboard = Switchboard(client, orders, watcher.wake)
                self._lines.listen(lambda: _call_in(loop, watcher.wake))
                watching = asyncio.create_task(watcher.run(switchboard), name="watch")
                try:
                    await self._listen(create_app(switchboard, watcher), watcher, listening, stopping)
                finally:
                    self._lines.listen(None)
                    await switchboard.close()
                    watching.cancel()
                    with suppress(asyncio.CancelledError):
                        await watching
                    sources.close()

    async def _listen(
        self, app: web.Application, watcher: Watcher, listening: Future[int], stopping: asyncio.Event
    ) -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = await _start_site(runner, self._port)
            listening.set_result(site.port)
            await stopping.wait()
            await watcher.stop()
        finally:
            await runner.cleanup()


async def _start_site(runner: web.AppRunner, port: int | None) -> web.TCPSite:
    site = web.TCPSite(runner, LOOPBACK, USUAL_PORT if port is None else port)
    try:
        await site.start()
    except OSError as error:
        if port is not None or error.errno != errno.EADDRINUSE:
            raise
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
    return site


def _call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """From another thread; a loop that has closed meanwhile needs no call."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
