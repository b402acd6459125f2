"""What became of a call, device by device, from its document in the ledger."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from doctor.checks.device_summaries import ID_LENGTH
from doctor.checks.findings import Status
from doctor.checks.telemetry import Telemetry
from models.hub import DEFAULT_HUB
from models.report import DeviceState
from push.event_log import EventResult
from push.ledger_entry import DeviceRecord, LedgerEntry, Note


class CallState(StrEnum):
    """What became of a call."""

    RUNG = "rung"
    RUNG_IN_PART = "rung in part"
    NOT_RUNG = "not rung"
    MISSED = "missed"
    SKIPPED = "skipped"
    FAILED = "failed"
    IN_PROGRESS = "in progress"
    UNFINISHED = "unfinished"
    UNREADABLE = "unreadable"
    """The ledger's document was written by another version of the app, or changed by hand."""


@dataclass(frozen=True, slots=True)
class DeviceOutcome:
    """What became of one device."""

    device: str
    """As the log lines name it."""
    device_uuid: str | None
    """None where it is no longer registered."""
    platform: str | None
    outcome: str
    reason: str
    status: int | None
    """The hub's HTTP status."""
    tracking_id: str | None
    attempts: int
    age_ms: int
    """Age of the call when the outcome was known, in milliseconds."""
    accepted: bool
    """The hub took its push."""
    hub: str = DEFAULT_HUB
    notification_id: str | None = None
    """The hub's name for the push, if it gave one."""
    reports: Mapping[DeviceState, datetime] = field(default_factory=dict)
    """What the phone has reported, and when."""
    telemetry: Telemetry | None = None
    """What the hub says of the push; None where it was not asked."""

    @property
    def has_rung(self) -> bool:
        """The phone has reported something of the call, so that the push has reached it."""
        return bool(self.reports)

    @property
    def verdict(self) -> Status:
        """Whether the push got as far as can be seen."""
        if not self.accepted:
            return Status.FAIL
        refused = self.telemetry is not None and self.telemetry.status is Status.FAIL
        return Status.FAIL if refused and not self.has_rung else Status.PASS


@dataclass(frozen=True, slots=True)
class CallSummary:
    """What became of one event."""

    event_id: str
    call_id: str | None
    first_seen: datetime | None
    state: CallState
    detail: str
    remedy: str
    devices: tuple[DeviceOutcome, ...] = ()

    @property
    def hubs_without_telemetry(self) -> list[str]:
        """Names of hubs that took pushes and gave them no id."""
        taken = [device for device in self.devices if device.accepted]
        return sorted({device.hub for device in taken if device.notification_id is None})

    def with_telemetry(self, ask: Callable[[str, str], Telemetry]) -> "CallSummary":
        """The same, with what the hubs say of the pushes that they took.

        Args:
            ask: told the hub's name and the push's id there.
        """
        devices = (
            replace(device, telemetry=ask(device.hub, device.notification_id))
            if device.accepted and device.notification_id is not None
            else device
            for device in self.devices
        )
        return replace(self, devices=tuple(devices))

    @property
    def status(self) -> Status:
        """Whether the phones rang."""
        if self.state is CallState.RUNG:
            lost = any(device.verdict is Status.FAIL for device in self.devices)
            return Status.FAIL if lost else Status.PASS
        unknown = self.state in {CallState.IN_PROGRESS, CallState.UNREADABLE}
        return Status.CANNOT_TELL if unknown else Status.FAIL


_PHONE_DID_NOT = (
    "If a phone stayed silent all the same, the push was lost behind the hub: see what the hub says of it, "
    "the hub's metrics (PNS errors), and the rows 'elsewhere' of 'check'."
)
_REMEDIES = {
    CallState.RUNG: _PHONE_DID_NOT,
    CallState.RUNG_IN_PART: "The reasons of the others say what to do. " + _PHONE_DID_NOT,
    CallState.NOT_RUNG: "The reasons say what to do; 'check' looks at the configuration.",
    CallState.MISSED: "See in the metrics of the Event Grid subscription why it was delivered late (failed "
    "deliveries delay those that follow), whether the database was down, and with 'check' whether the "
    "clocks agree.",
    CallState.SKIPPED: "Look at the user's devices with 'user': did the app register, and has the "
    "registration expired?",
    CallState.FAILED: "The event itself is wrong. A dead-letter container keeps it, where one is set.",
    CallState.IN_PROGRESS: "Ask again in a few seconds.",
    CallState.UNFINISHED: "Event Grid delivers it again after 10 s, 30 s, 1 min ...; if it does not, see the "
    "subscription's metrics and its dead letters.",
    CallState.UNREADABLE: "Use the doctor of the version that runs in Azure.",
}


def summarize_call(
    document: Mapping[str, Any], registrations: Mapping[str, Mapping[str, Any]], now: datetime
) -> CallSummary:
    """What one document of the ledger says.

    Args:
        document: as the ledger describes it.
        registrations: `deviceUUID` and `platform` by registration id, of those still there.
        now: the current time, UTC.
    """
    try:
        entry = LedgerEntry.read(document)
    except (KeyError, TypeError, AttributeError, ValueError):
        return CallSummary(
            event_id=str(document.get("eventId", "?")),
            call_id=document.get("callId"),
            first_seen=None,
            state=CallState.UNREADABLE,
            detail="this version of the doctor cannot read what the ledger says of it",
            remedy=_REMEDIES[CallState.UNREADABLE],
        )
    devices = tuple(
        _device(registration_id, record, registrations.get(registration_id, {}), entry)
        for registration_id, record in sorted(entry.devices.items())
    )
    state = _state(entry, devices, now)
    return CallSummary(
        event_id=entry.event_id,
        call_id=entry.call_id,
        first_seen=entry.first_seen,
        state=state,
        detail=_detail(state, devices, entry.note),
        remedy=_REMEDIES[state],
        devices=devices,
    )


def _device(
    registration_id: str, record: DeviceRecord, registration: Mapping[str, Any], entry: LedgerEntry
) -> DeviceOutcome:
    return DeviceOutcome(
        device=registration_id[:ID_LENGTH],
        device_uuid=registration.get("deviceUUID"),
        platform=registration.get("platform"),
        outcome=record.outcome,
        reason=record.reason,
        status=record.status,
        tracking_id=record.tracking_id,
        attempts=record.attempts,
        age_ms=record.age_ms,
        accepted=record.is_accepted,
        hub=record.hub,
        notification_id=record.notification_id,
        reports=entry.reports.get(record.device_key or "", {}),
    )


_NOTED_STATES = {
    EventResult.MISSED.value: CallState.MISSED,
    EventResult.SKIPPED.value: CallState.SKIPPED,
    EventResult.FAILED.value: CallState.FAILED,
}


def _state(entry: LedgerEntry, devices: tuple[DeviceOutcome, ...], now: datetime) -> CallState:
    noted = None if entry.note is None else entry.note.result
    if not entry.finished and entry.lease_until > now:
        return CallState.IN_PROGRESS
    # A note may be older than what finished the event; then it counts only where no device has an outcome.
    if noted in _NOTED_STATES and not (entry.finished and devices):
        return _NOTED_STATES[noted]
    if not entry.finished:
        return CallState.UNFINISHED
    accepted = sum(device.accepted for device in devices)
    if accepted == 0:
        return CallState.NOT_RUNG
    complete = accepted == len(devices) and noted != EventResult.GIVEN_UP.value
    return CallState.RUNG if complete else CallState.RUNG_IN_PART


def _detail(state: CallState, devices: tuple[DeviceOutcome, ...], note: Note | None) -> str:
    match state:
        case CallState.MISSED:
            late = None if note is None else note.late_seconds
            by = "" if late is None else f", {late:.0f} s before the event arrived"
            return f"the call had stopped ringing before anything could be sent{by}"
        case CallState.SKIPPED | CallState.FAILED:
            return (note.reason if note else None) or "no reason was noted"
        case CallState.IN_PROGRESS:
            return "an instance is ringing its devices now"
        case CallState.NOT_RUNG if not devices:
            return "nothing was sent, and no reason was noted; most likely the user had no registered device"
    accepted = sum(device.accepted for device in devices)
    known = max(len(devices), (note.devices if note else None) or 0)
    return f"the hub accepted the pushes to {accepted} of {known} device{'' if known == 1 else 's'}"
