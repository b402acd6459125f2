"""`call`: what became of a call, device by device, from its document in the ledger (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from doctor.commands.user import ID_LENGTH
from doctor.findings import Status
from models.push import OutcomeKind
from push.trigger import EventResult


class CallState(StrEnum):
    """What became of a call."""

    RUNG = "rung"
    RUNG_IN_PART = "rung in part"
    NOT_RUNG = "not rung"
    MISSED = "missed"
    SKIPPED = "skipped"
    FAILED = "failed"
    GOING_ON = "going on"
    LEFT_OVER = "left over"


@dataclass(frozen=True, slots=True)
class DeviceStory:
    """What became of one device."""

    device: str
    """As the log lines name it."""
    device_uuid: str | None
    """None where it is not registered any more."""
    platform: str | None
    outcome: str
    reason: str
    status: int | None
    """The hub's HTTP status."""
    tracking_id: str | None
    attempts: int
    age_ms: int
    """Age of the call when this was known, in milliseconds."""

    @property
    def accepted(self) -> bool:
        """True if the hub has taken its push."""
        return self.outcome == OutcomeKind.ACCEPTED.value


@dataclass(frozen=True, slots=True)
class CallStory:
    """What became of one event."""

    event_id: str
    call_id: str | None
    first_seen: datetime
    state: CallState
    detail: str
    remedy: str
    devices: tuple[DeviceStory, ...]

    @property
    def status(self) -> Status:
        """Whether the phones rang."""
        if self.state is CallState.RUNG:
            return Status.PASS
        return Status.CANNOT_TELL if self.state is CallState.GOING_ON else Status.FAIL


_PHONE_DID_NOT = (
    "If a phone stayed silent all the same, it was lost behind the hub: see its metrics (PNS errors), and "
    "the rows 'elsewhere' of 'check'."
)
_REMEDIES = {
    CallState.RUNG: _PHONE_DID_NOT,
    CallState.RUNG_IN_PART: "The reasons of the others say what to do. " + _PHONE_DID_NOT,
    CallState.NOT_RUNG: "The reasons say what to do; 'check' looks at the configuration.",
    CallState.MISSED: "See in the Event Grid subscription's metrics why it was delivered late "
    "(failures before it delay what follows), whether the database was down, and whether the clocks agree: "
    "'check'.",
    CallState.SKIPPED: "Look at the user's devices with 'user': did the app register, and has the "
    "registration expired?",
    CallState.FAILED: "The event itself is wrong: a dead-letter container keeps it, where one is set.",
    CallState.GOING_ON: "Ask again in a few seconds.",
    CallState.LEFT_OVER: "Event Grid delivers it again, after 10 s, 30 s, 1 min …; if it does not, see the "
    "subscription's metrics and its dead letters.",
}


def tell(
    document: Mapping[str, Any], registrations: Mapping[str, Mapping[str, Any]], now: datetime
) -> CallStory:
    """The story of one document of the ledger.

    Args:
        document: as the ledger describes it.
        registrations: `deviceUUID` and `platform` by registration id, of those still there.
        now: the current time, UTC.
    """
    devices = tuple(
        _device(registration_id, result, registrations.get(registration_id, {}))
        for registration_id, result in sorted(document["devices"].items())
    )
    note = document.get("note") or {}
    state = _state(document, devices, note.get("result"), now)
    return CallStory(
        event_id=document["eventId"],
        call_id=document["callId"],
        first_seen=_utc(document["firstSeenAt"]),
        state=state,
        detail=_detail(state, devices, note),
        remedy=_REMEDIES[state],
        devices=devices,
    )


def _device(registration_id: str, result: Mapping[str, Any], registration: Mapping[str, Any]) -> DeviceStory:
    return DeviceStory(
        device=registration_id[:ID_LENGTH],
        device_uuid=registration.get("deviceUUID"),
        platform=registration.get("platform"),
        outcome=result["outcome"],
        reason=result["reason"],
        status=result["status"],
        tracking_id=result["trackingId"],
        attempts=result["attempts"],
        age_ms=result["ageMs"],
    )


_NOTED_STATES = {
    EventResult.MISSED.value: CallState.MISSED,
    EventResult.SKIPPED.value: CallState.SKIPPED,
    EventResult.FAILED.value: CallState.FAILED,
}


def _state(
    document: Mapping[str, Any], devices: tuple[DeviceStory, ...], noted: str | None, now: datetime
) -> CallState:
    if not document["finished"] and _utc(document["leaseUntil"]) > now:
        return CallState.GOING_ON
    # What is noted may be older than what finished the event: only that nothing could be sent stays true.
    if noted in _NOTED_STATES and not (document["finished"] and devices):
        return _NOTED_STATES[noted]
    if not document["finished"]:
        return CallState.LEFT_OVER
    accepted = sum(device.accepted for device in devices)
    if accepted == 0:
        return CallState.NOT_RUNG
    complete = accepted == len(devices) and noted != EventResult.GIVEN_UP.value
    return CallState.RUNG if complete else CallState.RUNG_IN_PART


def _detail(state: CallState, devices: tuple[DeviceStory, ...], note: Mapping[str, Any]) -> str:
    match state:
        case CallState.MISSED:
            late = note.get("lateSeconds")
            by = "" if late is None else f", {late:.0f} s before it came to us"
            return f"the call had stopped ringing before anything could be sent{by}"
        case CallState.SKIPPED | CallState.FAILED:
            return str(note.get("reason", "no reason was noted"))
        case CallState.GOING_ON:
            return "an instance is ringing its devices now"
        case CallState.NOT_RUNG if not devices:
            return "nothing was sent, and why was not noted; mostly the user had no registered device"
    accepted = sum(device.accepted for device in devices)
    known = max(len(devices), note.get("devices", 0))
    return f"the hub has taken the pushes of {accepted} of {known} device{'' if known == 1 else 's'}"


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=moment.tzinfo or UTC)
