"""Does what the page asks for, and remembers the calls placed and the answers given. For one event loop."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import requests

from local import samples
from local.hub.control_client import ControlClient, ControlError
from local.page.app_client import AppAnswer
from local.page.commands import (
    AnswerCall,
    BadCommandError,
    PlaceCall,
    Redeliver,
    RegisterPhone,
    RemovePhone,
    SetHubMode,
)
from local.page.views import Answer, DeliveryView

KEPT_CALLS = 30
KEPT_ANSWERS = 1_000
DELIVERIES_AT_ONCE = 16


class App(Protocol):
    """All that the switchboard wants of the app."""

    async def register(self, registration: Mapping[str, Any]) -> AppAnswer:
        """Register a device."""
        ...

    async def remove(self, acs_mri: str, device_uuid: str) -> AppAnswer:
        """Delete a device."""
        ...

    async def deliver(self, event: Mapping[str, Any]) -> AppAnswer:
        """Deliver an event as Event Grid does."""
        ...


@dataclass(slots=True)
class PlacedCall:
    """An event that this page has made, and its deliveries, oldest first. Times are unix seconds."""

    event: Mapping[str, Any] = field(repr=False)
    order: PlaceCall
    at: float
    event_time: float
    deliveries: list[DeliveryView] = field(default_factory=list)

    @property
    def event_id(self) -> str:
        """Unique."""
        return str(self.event["id"])

    @property
    def call_id(self) -> str:
        """The correlation id, `callId` of the push."""
        return str(self.event["data"]["correlationId"])


class PageController:
    """Tells `on_change` whenever something of its own has changed."""

    def __init__(self, app: App, hub: ControlClient, on_change: Callable[[], None]) -> None:
        """Take ready collaborators."""
        self._app = app
        self._hub = hub
        self._on_change = on_change
        self._running: set[asyncio.Task[None]] = set()
        self.calls: deque[PlacedCall] = deque(maxlen=KEPT_CALLS)
        self.answers: dict[tuple[str, str], Answer] = {}
        """By phone id and call id, oldest first."""

    async def register(self, order: RegisterPhone) -> AppAnswer:
        """Register a phone with a new token; the API judges what was asked."""
        of_platform = next(phone for phone in samples.phones() if phone.platform == order.platform)
        phone = replace(of_platform, device_uuid=order.device_uuid or of_platform.device_uuid)
        more = {} if order.ttl_seconds is None else {"ttlSeconds": order.ttl_seconds}
        answer = await self._app.register(phone.registration(order.acs_mri, **more))
        self._on_change()
        return answer

    async def remove(self, order: RemovePhone) -> AppAnswer:
        """Remove a phone."""
        answer = await self._app.remove(order.acs_mri, order.device_uuid)
        self._on_change()
        return answer

    def place(self, order: PlaceCall) -> PlacedCall:
        """Make an event and deliver it in the background; raises BadCommandError."""
        began = datetime.now(UTC) - timedelta(seconds=order.age_seconds)
        data = samples.incoming_call_data(order.callee, display_name=order.caller_name)
        make = samples.event_grid_event if order.schema_name == "eventGrid" else samples.cloud_event
        call = PlacedCall(make(data, time=began), order, time.time(), began.timestamp())
        self._start(call)
        self.calls.append(call)
        return call

    def redeliver(self, order: Redeliver) -> PlacedCall:
        """Deliver an event once more, as Event Grid may at any time; raises BadCommandError."""
        wanted = [call for call in self.calls if order.event_id in {None, call.event_id}]
        if not wanted:
            raise BadCommandError("There is no such event to redeliver: place a call first.")
        self._start(wanted[-1])
        return wanted[-1]

    def answer(self, order: AnswerCall) -> None:
        """Accept, decline or hang up; raises BadCommandError where that comes too late or too early."""
        key = (order.phone_id, order.call_id)
        needed: Answer | None = "accepted" if order.answer == "ended" else None
        if self.answers.get(key) != needed:
            raise BadCommandError("This call has been dealt with already.")
        self.answers[key] = order.answer
        while len(self.answers) > KEPT_ANSWERS:
            del self.answers[next(iter(self.answers))]
        self._on_change()

    async def disturb(self, order: SetHubMode) -> None:
        """Replace whatever was ordered from the hub before; raises BadCommandError."""
        try:
            await asyncio.to_thread(self._disturb, order)
        except (requests.RequestException, ControlError):
            raise BadCommandError("The hub simulator did not take the order.") from None
        self._on_change()

    async def close(self) -> None:
        """Cancel the deliveries that still wait for their answer."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _disturb(self, order: SetHubMode) -> None:
        fault = order.fault()
        self._hub.clear_faults()
        self._hub.set_latency(0)
        if fault is not None:
            self._hub.add_fault(fault)

    def _start(self, call: PlacedCall) -> None:
        if len(self._running) >= DELIVERIES_AT_ONCE:
            raise BadCommandError("Too many deliveries are waiting for their answer: wait a moment.")
        task = asyncio.create_task(self._deliver(call), name=f"deliver-{uuid.uuid4()}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _deliver(self, call: PlacedCall) -> None:
        place = len(call.deliveries)
        call.deliveries.append(DeliveryView(at=time.time(), status=None, took_ms=None, problem=None))
        self._on_change()
        answer = await self._app.deliver(call.event)
        ended = {"status": answer.status, "took_ms": answer.took_ms, "problem": answer.problem}
        call.deliveries[place] = call.deliveries[place].model_copy(update=ended)
        self._on_change()
