"""Invocations that no request waits for."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from local.host.worker import InvocationFailed


class Background:
    """Keeps invocations until they have ended."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, invocation: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it; that a function has failed is in the log already."""
        task = asyncio.create_task(_outcome_ignored(invocation))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def run(self, invocation: Coroutine[Any, Any, None]) -> None:
        """Run it and wait for its end; it goes on if the wait is cancelled."""
        await asyncio.shield(self.start(invocation))

    async def wait(self, seconds: float) -> None:
        """Wait until all have ended, but not longer than this."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)


async def _outcome_ignored(invocation: Coroutine[Any, Any, None]) -> None:
    with suppress(InvocationFailed):
        await invocation
