"""How a call is shown, for a script and for a person."""

from datetime import datetime
from typing import Any

from doctor.checks.call_summaries import CallSummary, DeviceOutcome
from doctor.checks.telemetry import Telemetry
from doctor.terminal import Terminal
from models.device import rfc3339
from models.hub import DEFAULT_HUB
from models.report import DeviceState


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
                "hub": device.hub,
                "notificationId": device.notification_id,
                "platformOutcome": _telemetry_as_json(device.telemetry),
                "reports": {state.value: rfc3339(moment) for state, moment in device.reports.items()},
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
        _show_device(terminal, device, call.first_seen)
    for hub in call.hubs_without_telemetry:
        terminal.text(f"The hub {hub} gives pushes no id, so its tier has no telemetry (Standard has).", 2)
    terminal.remedy(call.remedy, indent=2)
    terminal.gap()


def show_call_line(terminal: Terminal, call: CallSummary) -> None:
    """One event in two lines, for a list."""
    moment = "" if call.first_seen is None else f"{rfc3339(call.first_seen)} "
    terminal.heading(call.status, f"{moment}{call.state.value}: {call.detail}")
    terminal.exact(f"call {call.call_id}" if call.call_id else f"event {call.event_id}", 2)


def _telemetry_as_json(telemetry: Telemetry | None) -> dict[str, Any] | None:
    if telemetry is None:
        return None
    return {
        "state": telemetry.word.value,
        "detail": telemetry.detail,
        "remedy": telemetry.remedy,
        "outcomes": dict(telemetry.outcomes),
    }


def _show_device(terminal: Terminal, device: DeviceOutcome, first_seen: datetime | None) -> None:
    """Sent, accepted by the hub, accepted by the platform or why not, rang."""
    answer = "no answer" if device.status is None else f"HTTP {device.status}"
    tries = f"{device.attempts} attempt{'' if device.attempts == 1 else 's'}"
    name = f"{device.platform or 'device'} {device.device_uuid or '(no longer registered)'}"
    terminal.heading(device.verdict, name, 2)
    hub = "hub" if device.hub == DEFAULT_HUB else f"hub {device.hub}"
    terminal.text(
        f"{hub}: {device.outcome}: {device.reason} ({answer}, {tries}, {device.age_ms} ms into the call)", 4
    )
    if device.telemetry is not None:
        terminal.text(f"platform: {device.telemetry.detail}", 4)
        terminal.remedy(device.telemetry.remedy, indent=4)
    if device.accepted:
        terminal.text(f"phone: {_reported(device, first_seen)}", 4)
    terminal.exact(f"registration {device.device}", 4)
    if device.tracking_id:
        terminal.exact(f"TrackingId   {device.tracking_id}", 4)
    if device.notification_id:
        terminal.exact(f"notification {device.notification_id}", 4)


def _reported(device: DeviceOutcome, first_seen: datetime | None) -> str:
    """What the phone said of the call itself."""
    said = []
    for state, moment in sorted(device.reports.items(), key=lambda each: each[1]):
        word = "rang" if state is DeviceState.RINGING else state.value
        after = (
            "" if first_seen is None else f" {(moment - first_seen).total_seconds():.1f} s after the event"
        )
        said.append(f"{word}{after}")
    return f"{', '.join(said)} (reported)" if said else "no report; the app may send none"
