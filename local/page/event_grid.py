"""Delivers events as Event Grid does: at once, and again after a failure. For one event loop."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable

from local.page.app_client import AppClient, new_trace
from local.page.calls import Delivery, SentEvent
from local.page.commands import BadCommandError

RETRY_SECONDS = (10.0, 30.0, 60.0, 300.0, 600.0, 1_800.0, 3_600.0)
"""Waits before the second, third, … delivery (Event Grid, "Delivery and retry"); the last one is repeated."""

DELIVERIES_AT_ONCE = 16


class EventGrid:
    """Calls `on_change` whenever a delivery begins or ends."""

    def __init__(
        self,
        app: AppClient,
        on_change: Callable[[], None],
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`pause` waits a number of seconds."""
        self._app = app
        self._on_change = on_change
        self._pause = pause
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, asyncio.Task[None]] = {}
        """The redelivery that is due, by event id."""
        self.redelivers = True
        """Failed deliveries are repeated by themselves."""

    def deliver(self, event: SentEvent) -> None:
        """Deliver an event in the background; raises BadCommandError if too many deliveries run."""
        if len(self._running) >= DELIVERIES_AT_ONCE:
            raise BadCommandError("Too many deliveries have no answer yet: wait a moment.")
        self._cancel_redelivery(event)
        delivery = Delivery(at=time.time(), trace=new_trace())
        event.deliveries.append(delivery)
        task = asyncio.create_task(self._deliver(event, delivery), name=f"deliver-{uuid.uuid4()}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        self._on_change()

    def forget(self, event: SentEvent) -> None:
        """Deliver an event no more."""
        self._cancel_redelivery(event)

    async def settled(self) -> None:
        """Wait until every delivery that runs now has its answer."""
        await asyncio.gather(*self._running)

    async def close(self) -> None:
        """Cancel everything that runs or waits."""
        tasks = [*self._running, *self._waiting.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self, event: SentEvent, delivery: Delivery) -> None:
        answer = await self._app.deliver(event.event, delivery.trace)
        delivery.status, delivery.took_ms, delivery.problem = answer.status, answer.took_ms, answer.problem
        if delivery.is_to_be_repeated and self.redelivers:
            wait = RETRY_SECONDS[min(len(event.deliveries), len(RETRY_SECONDS)) - 1]
            self._cancel_redelivery(event)
            event.due = time.time() + wait
            self._waiting[event.id] = asyncio.create_task(self._redeliver(event, wait))
        self._on_change()

    async def _redeliver(self, event: SentEvent, wait: float) -> None:
        await self._pause(wait)
        while len(self._running) >= DELIVERIES_AT_ONCE:
            await self._pause(1.0)
        # Not this task itself, which `deliver` would cancel.
        self._waiting.pop(event.id, None)
        event.due = None
        if self.redelivers:
            self.deliver(event)

    def _cancel_redelivery(self, event: SentEvent) -> None:
        event.due = None
        waiting = self._waiting.pop(event.id, None)
        if waiting is not None:
            waiting.cancel()
