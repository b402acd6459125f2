"""An asyncio server in a thread of its own, from `start` to `stop`, beside code that is not asyncio's."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

_SECONDS = 10.0
"""For starting, and for stopping."""

Serve = Callable[[Callable[[int], None], asyncio.Event], Awaitable[None]]
"""Calls the first with the port once it listens, and serves until the second is set."""


class ServerThread:
    """Can be started again after it was stopped."""

    def __init__(self, name: str, serve: Serve) -> None:
        """`name` is the thread's."""
        self._name = name
        self._serve = serve
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None

    def start(self) -> int:
        """The port, once it listens; OSError if it cannot."""
        if self._thread is not None:
            raise RuntimeError(f"{self._name} is running already")
        listening: Future[int] = Future()
        thread = threading.Thread(target=self._run, args=(listening,), name=self._name, daemon=True)
        thread.start()
        try:
            port = listening.result(_SECONDS)
        except BaseException:
            thread.join(_SECONDS)
            raise
        self._thread = thread
        return port

    def stop(self) -> None:
        """Returns once it has ended; does nothing to a stopped one."""
        if self._thread is None:
            return
        self._stop()
        self._thread.join(_SECONDS)
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
