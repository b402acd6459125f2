"""Keeps a snapshot up to date and streams its changes to every open page. For one event loop."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from functools import partial

from local.page.controller import PageController
from local.page.host_lines import HostLines
from local.page.snapshot import take_snapshot
from local.page.sources import Reading, SourceError, Sources

BUSY_SECONDS = 0.25
IDLE_SECONDS = 1.0
"""Between two polls, while the state changes and while it does not."""
_BUSY_FOR_SECONDS = 5.0


class Watcher:
    """Polls the sources when it is woken and at intervals; `run` it in a task."""

    def __init__(self, sources: Sources, lines: HostLines) -> None:
        self._sources = sources
        self._lines = lines
        self._woken = asyncio.Event()
        self._changed = asyncio.Condition()
        self._reading = Reading()
        self._snapshot = ""
        self._version = 0
        self._last_change = time.monotonic()
        self._stopped = False

    def wake(self) -> None:
        """Poll soon, because the state may have changed. Call it in the loop's thread."""
        self._woken.set()

    async def run(self, controller: PageController) -> None:
        """Poll until cancelled."""
        while True:
            self._woken.clear()
            began = time.monotonic()
            problem = await self._read()
            snapshot = take_snapshot(
                self._reading, controller.calls, controller.answers, self._lines.lines(), problem
            )
            await self._publish(snapshot.model_dump_json(by_alias=True))
            await self._pause(time.monotonic() - began)

    async def stop(self) -> None:
        """End every stream of snapshots."""
        async with self._changed:
            self._stopped = True
            self._changed.notify_all()

    async def snapshots(self, heartbeat_seconds: float) -> AsyncIterator[str | None]:
        """The snapshot as JSON, now and after each change; `None` after `heartbeat_seconds` without one."""
        seen = 0
        while True:
            try:
                async with asyncio.timeout(heartbeat_seconds), self._changed:
                    await self._changed.wait_for(partial(self._is_newer, seen))
            except TimeoutError:
                yield None
                continue
            if self._stopped:
                return
            seen = self._version
            yield f'{{"now":{json.dumps(time.time())},"snapshot":{self._snapshot}}}'

    def _is_newer(self, seen: int) -> bool:
        return self._stopped or self._version > seen

    async def _read(self) -> str | None:
        """The problem of a source that does not answer, if any; the last reading is then kept."""
        try:
            self._reading = await asyncio.to_thread(self._sources.read)
        except SourceError as error:
            return str(error)
        return None

    async def _publish(self, snapshot: str) -> None:
        if snapshot == self._snapshot:
            return
        self._last_change = time.monotonic()
        async with self._changed:
            self._snapshot = snapshot
            self._version += 1
            self._changed.notify_all()

    async def _pause(self, took: float) -> None:
        """Wait for the next poll: longer after a slow one, so that polling does not overload the stack."""
        await asyncio.sleep(min(4 * took, IDLE_SECONDS))
        busy = time.monotonic() - self._last_change < _BUSY_FOR_SECONDS
        try:
            await asyncio.wait_for(self._woken.wait(), BUSY_SECONDS if busy else IDLE_SECONDS)
        except TimeoutError:
            return
