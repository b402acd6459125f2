"""Ends of calls as events and reports, and what devices got, for tests over an instance of the app."""

import json
from datetime import datetime
from typing import Any

from local.hub.records import ReceivedPush
from local.samples import (
    CALL_ENDED,
    PARTICIPANT_ADDED,
    call_ended_data,
    event_grid_event,
    participant_added_data,
)
from models.device import DeviceRegistration
from models.report import CallReport, DeviceState
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
    call_id = call["data"]["correlationId"]
    return app.app.call_ends.reported(CallReport(device.owner, device.device_uuid, call_id, state))
