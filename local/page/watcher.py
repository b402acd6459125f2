"""Keeps a snapshot up to date and streams its changes to every open page. For one event loop."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from functools import partial

from local.page.controller import PageController
from local.page.host_lines import HostLines
from local.page.phones import phones_of
from local.page.push_view import push_view
from local.page.snapshot import Surroundings, take_snapshot
from local.page.sources import Reading, SourceError, Sources
from local.page.trace import Evidence
from local.page.views import OptionsView, PushView

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
            await self._publish(self._take(controller, problem))
            await self._pause(time.monotonic() - began)

    def push(self, sequence: int) -> PushView | None:
        """A push of the last reading."""
        found = (push for push in self._reading.pushes if push.sequence == sequence)
        return next((push_view(push) for push in found), None)

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

    def _take(self, controller: PageController, problem: str | None) -> str:
        """The snapshot of now, in JSON."""
        calls = controller.calls
        phones = phones_of(self._reading, calls.actions, calls.over, time.time())
        calls.look(phones)
        evidence = Evidence(
            placed=tuple(calls.placed),
            lines=self._lines.lines(),
            spans=self._lines.spans(),
            attempts=self._reading.attempts,
            phones=phones,
            reports=tuple(calls.reporter.reports),
        )
        surroundings = Surroundings(
            nicknames=controller.nicknames,
            actions=calls.actions,
            options=OptionsView(
                redelivery=calls.event_grid.redelivers,
                call_events=calls.publish_events,
                reports=calls.reporter.is_on,
            ),
            cleared_at=calls.cleared_at,
            problem=problem,
        )
        return take_snapshot(self._reading, evidence, surroundings).model_dump_json(by_alias=True)

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
