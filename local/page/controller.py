"""Carries out the page's commands; keeps the calls placed and the answers given. For one event loop."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from local import samples
from local.hub.control_client import ControlClient, ControlError
from local.page.app_client import AppAnswer, AppClient
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


@dataclass(slots=True)
class PlacedCall:
    """An event that this page made, and its deliveries, oldest first. Times are Unix seconds."""

    event: Mapping[str, Any] = field(repr=False)
    command: PlaceCall
    at: float
    event_time: float
    deliveries: list[DeliveryView] = field(default_factory=list)

    @property
    def event_id(self) -> str:
        """The id of the event."""
        return str(self.event["id"])

    @property
    def call_id(self) -> str:
        """The correlation id, which is the push's `callId`."""
        return str(self.event["data"]["correlationId"])


class PageController:
    """Calls `on_change` after each change of its own state."""

    def __init__(self, app: AppClient, hub: ControlClient, on_change: Callable[[], None]) -> None:
        self._app = app
        self._hub = hub
        self._on_change = on_change
        self._running: set[asyncio.Task[None]] = set()
        self.calls: deque[PlacedCall] = deque(maxlen=KEPT_CALLS)
        self.answers: dict[tuple[str, str], Answer] = {}
        """By phone id and call id, oldest first."""

    async def register(self, command: RegisterPhone) -> AppAnswer:
        """Register a phone with a new token; the API validates the request."""
        of_platform = next(phone for phone in samples.phones() if phone.platform == command.platform)
        phone = replace(of_platform, device_uuid=command.device_uuid or of_platform.device_uuid)
        more = {} if command.ttl_seconds is None else {"ttlSeconds": command.ttl_seconds}
        answer = await self._app.register(phone.registration(command.acs_mri, **more))
        self._on_change()
        return answer

    async def remove(self, command: RemovePhone) -> AppAnswer:
        """Delete a phone."""
        answer = await self._app.remove(command.acs_mri, command.device_uuid)
        self._on_change()
        return answer

    def place(self, command: PlaceCall) -> PlacedCall:
        """Make an event and deliver it in the background; raises BadCommandError."""
        began = datetime.now(UTC) - timedelta(seconds=command.age_seconds)
        data = samples.incoming_call_data(command.callee, display_name=command.caller_name)
        make = samples.event_grid_event if command.schema_name == "eventGrid" else samples.cloud_event
        call = PlacedCall(make(data, time=began), command, time.time(), began.timestamp())
        self._start(call)
        self.calls.append(call)
        return call

    def redeliver(self, command: Redeliver) -> PlacedCall:
        """Deliver an event again, as Event Grid may at any time; raises BadCommandError."""
        wanted = [call for call in self.calls if command.event_id in {None, call.event_id}]
        if not wanted:
            raise BadCommandError("There is no such event to redeliver: place a call first.")
        self._start(wanted[-1])
        return wanted[-1]

    def answer(self, command: AnswerCall) -> None:
        """Accept, decline or hang up; raises BadCommandError if the call is not in the state for it."""
        key = (command.phone_id, command.call_id)
        needed: Answer | None = "accepted" if command.answer == "ended" else None
        if self.answers.get(key) != needed:
            raise BadCommandError("This call cannot be accepted, declined or ended any more.")
        self.answers[key] = command.answer
        while len(self.answers) > KEPT_ANSWERS:
            del self.answers[next(iter(self.answers))]
        self._on_change()

    async def set_hub_mode(self, command: SetHubMode) -> None:
        """Replace the hub's faults; raises BadCommandError."""
        try:
            await asyncio.to_thread(self._replace_faults, command)
        except (requests.RequestException, ControlError):
            raise BadCommandError("The hub simulator did not accept the fault.") from None
        self._on_change()

    async def settled(self) -> None:
        """Wait until every delivery that runs now has its answer."""
        await asyncio.gather(*self._running)

    async def close(self) -> None:
        """Cancel the deliveries that have no answer yet."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _replace_faults(self, command: SetHubMode) -> None:
        fault = command.fault()
        self._hub.clear_faults()
        self._hub.set_latency(0)
        if fault is not None:
            self._hub.add_fault(fault)

    def _start(self, call: PlacedCall) -> None:
        if len(self._running) >= DELIVERIES_AT_ONCE:
            raise BadCommandError("Too many deliveries have no answer yet: wait a moment.")
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
