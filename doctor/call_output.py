"""How a call is shown, for a script and for a person."""

from typing import Any

from doctor.checks.call_summaries import CallSummary, DeviceOutcome
from doctor.checks.findings import Status
from doctor.terminal import Terminal
from models.device import rfc3339


def call_as_json(call: CallSummary) -> dict[str, Any]:
    """One event and its devices."""
    return {
        "eventId": call.event_id,
        "callId": call.call_id,
        "firstSeenAt": None if call.first_seen is None else rfc3339(call.first_seen),
        "state": call.state.value,
        "status": call.status.value,
        "detail": call.detail,
        "remedy": call.remedy,
        "devices": [
            {
                "device": device.device,
                "deviceUUID": device.device_uuid,
                "platform": device.platform,
                "outcome": device.outcome,
                "reason": device.reason,
                "status": device.status,
                "trackingId": device.tracking_id,
                "attempts": device.attempts,
                "ageMs": device.age_ms,
            }
            for device in call.devices
        ],
    }


def show_call(terminal: Terminal, call: CallSummary) -> None:
    """One event: what became of it, and then each device."""
    terminal.heading(call.status, f"{call.state.value}: {call.detail}")
    terminal.exact(f"call   {call.call_id or 'without an id'}", 2)
    terminal.exact(f"event  {call.event_id}", 2)
    if call.first_seen is not None:
        terminal.exact(f"at     {rfc3339(call.first_seen)}", 2)
    for device in call.devices:
        _show_device(terminal, device)
    terminal.remedy(call.remedy, indent=2)
    terminal.gap()


def show_call_line(terminal: Terminal, call: CallSummary) -> None:
    """One event in two lines, for a list."""
    moment = "" if call.first_seen is None else f"{rfc3339(call.first_seen)} "
    terminal.heading(call.status, f"{moment}{call.state.value}: {call.detail}")
    terminal.exact(f"call {call.call_id}" if call.call_id else f"event {call.event_id}", 2)


def _show_device(terminal: Terminal, device: DeviceOutcome) -> None:
    status = Status.PASS if device.accepted else Status.FAIL
    answer = "no answer" if device.status is None else f"HTTP {device.status}"
    tries = f"{device.attempts} attempt{'' if device.attempts == 1 else 's'}"
    terminal.heading(
        status, f"{device.platform or 'device'} {device.device_uuid or '(no longer registered)'}", 2
    )
    terminal.text(
        f"{device.outcome}: {device.reason} ({answer}, {tries}, {device.age_ms} ms into the call)", 4
    )
    terminal.exact(f"registration {device.device}", 4)
    if device.tracking_id:
        terminal.exact(f"TrackingId   {device.tracking_id}", 4)
