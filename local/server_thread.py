"""An asyncio server in a thread of its own, for callers without an event loop."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

_TIMEOUT = 10.0
"""Seconds for starting and for stopping."""

Serve = Callable[[Callable[[int], None], asyncio.Event], Awaitable[None]]
"""Calls the first argument with the port when it listens; serves until the second one is set."""


class ServerThread:
    """Runs a server from `start` to `stop`; it can be started again."""

    def __init__(self, name: str, serve: Serve) -> None:
        """`name`: of the thread."""
        self._name = name
        self._serve = serve
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None

    def start(self) -> int:
        """Wait until it listens; returns the port, raises OSError."""
        if self._thread is not None:
            raise RuntimeError(f"{self._name} is already running")
        listening: Future[int] = Future()
        thread = threading.Thread(target=self._run, args=(listening,), name=self._name, daemon=True)
        thread.start()
        try:
            port = listening.result(_TIMEOUT)
        except BaseException:
            thread.join(_TIMEOUT)
            raise
        self._thread = thread
        return port

    def stop(self) -> None:
        """Wait until it has ended; no effect if it is not running."""
        if self._thread is None:
            return
        self._stop()
        self._thread.join(_TIMEOUT)
        if self._thread.is_alive():
            raise RuntimeError(f"{self._name} did not stop")
        self._thread = None

    def _run(self, listening: "Future[int]") -> None:
        try:
            asyncio.run(self._serve_until_stopped(listening))
        except OSError as error:
            if listening.done():
                raise
            listening.set_exception(error)

    async def _serve_until_stopped(self, listening: "Future[int]") -> None:
        stopping, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopping.set)
        await self._serve(listening.set_result, stopping)
