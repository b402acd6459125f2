"""What is sent to the workers of a call, one step after the other: its ring, and what ends it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from local import samples
from local.soak.phones import Call, Ending
from local.stack import Host

EVENT_GRID_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Step:
    """Sent again until it is acknowledged."""

    send: Callable[[Host, requests.Session], bool] = field(repr=False)
    """Whether a worker has acknowledged it; raises requests.RequestException."""
    is_event: bool = True
    """Event Grid delivers some events twice; phones report once."""


def steps_of(call: Call) -> tuple[Step, ...]:
    """The ring, and what follows once it is acknowledged; each step once the one before is."""
    data = call.event["data"]
    ended = _event(samples.event_grid_event(samples.call_ended_data(data), kind=samples.CALL_ENDED))
    ring = _event(call.event)
    match call.ending:
        case None:
            return (ring,)
        case Ending.ENDED:
            return ring, ended
        case Ending.DECLINED:
            return ring, _report(call, "declined"), ended
        case Ending.ANSWERED:
            joined = samples.participant_added_data(data, call.callee)
            added = samples.event_grid_event(joined, kind=samples.PARTICIPANT_ADDED)
            return ring, _report(call, "answered"), _event(added), ended


def _event(event: dict[str, Any]) -> Step:
    def send(worker: Host, session: requests.Session) -> bool:
        answer = session.post(
            worker.webhook_url,
            json=[event],
            headers={"aeg-event-type": "Notification"},
            timeout=EVENT_GRID_TIMEOUT,
        )
        return answer.status_code == 202

    return Step(send)


def _report(call: Call, state: str) -> Step:
    """What the first phone says of the call."""
    body = {
        "acsMri": call.callee,
        "deviceUUID": call.phones[0].device_uuid,
        "callId": call.event["data"]["correlationId"],
        "state": state,
    }

    def send(worker: Host, session: requests.Session) -> bool:
        answer = session.post(
            f"{worker.url}/api/report_call",
            json=body,
            headers={"x-functions-key": worker.keys.functions["ReportCall"]},
            timeout=EVENT_GRID_TIMEOUT,
        )
        return answer.status_code == 204

    return Step(send, is_event=False)
