"""Ends of calls as events and reports, and what devices got, for tests over an instance of the app."""

import json
from collections.abc import Callable
from contextvars import Context
from datetime import datetime
from typing import Any

from pymongo import monitoring

from local.hub.records import ReceivedPush
from local.samples import (
    CALL_ENDED,
    PARTICIPANT_ADDED,
    call_ended_data,
    event_grid_event,
    participant_added_data,
)
from models.device import DeviceRegistration
from models.report import CallReport, DeviceState, ReportEffect
from push.ledger import COLLECTION_NAME
from tests.fakes import ShiftedClock
from tests.rig import Event, Instance


class TurnedClock(ShiftedClock):
    """Waits by turning; a test may act while something waits."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []
        self.meanwhile: list[Any] = []

    def sleep(self, seconds: float) -> None:
        """Turn the clock, and do what is to happen meanwhile."""
        self.slept.append(seconds)
        for act in self.meanwhile:
            act()
        self.turn(seconds)


class Meanwhile(monitoring.CommandListener):
    """Acts just before the app sends a command to the ledger that mentions a text, once."""

    def __init__(self, command: str, text: str, act: Callable[[], object]) -> None:
        self._command = command
        self._text = text
        self._act = act
        self.acted = False

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Act, if it is that command."""
        is_awaited = event.command_name == self._command and self._text in str(event.command)
        if is_awaited and event.command.get(event.command_name) == COLLECTION_NAME and not self.acted:
            self.acted = True
            # Without the time limits of the app's own work, which live in the context.
            Context().run(self._act)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Of no interest."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Of no interest."""


def ended(call: Event, *, at: datetime | None = None) -> dict[str, Any]:
    return event_grid_event(call_ended_data(call["data"]), time=at, kind=CALL_ENDED)


def joined(call: Event, who: str, *, at: datetime | None = None) -> dict[str, Any]:
    return event_grid_event(participant_added_data(call["data"], who), time=at, kind=PARTICIPANT_ADDED)


def pushes(app: Instance, device: DeviceRegistration) -> list[ReceivedPush]:
    return [push for push in app.hub.simulator.pushes() if push.device_handle == device.device_token]


def data_of(push: ReceivedPush) -> dict[str, Any]:
    body = json.loads(push.body)
    return dict(body["message"]["data"] if "message" in body else body["data"])


def stops(app: Instance, device: DeviceRegistration) -> list[dict[str, Any]]:
    """The data of the stop pushes that a device got."""
    return [data for push in pushes(app, device) if str((data := data_of(push)).get("eventId")) == "110"]


def report(app: Instance, device: DeviceRegistration, call: Event, state: DeviceState) -> bool:
    """Whether such a call has rung."""
    return effect_of_report(app, device, call, state) is not ReportEffect.NO_SUCH_CALL


def effect_of_report(
    app: Instance, device: DeviceRegistration, call: Event, state: DeviceState
) -> ReportEffect:
    """What a report of the device changes."""
    call_id = call["data"]["correlationId"]
    return app.app.call_ends.reported(CallReport(device.owner, device.device_uuid, call_id, state))
