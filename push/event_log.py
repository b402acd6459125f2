"""What is said of one event: its log line, its metrics, its note in the ledger."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from enum import StrEnum

from common import telemetry
from common.metrics import Metric, Metrics
from common.tracing import Span
from models.errors import ServiceError
from models.push import DeviceResult
from push.ledger_entry import Note


class EventResult(StrEnum):
    """What became of an event."""

    DELIVERED = "delivered"
    """The hub has taken the push of at least one device, in this delivery or an earlier one."""
    INCOMPLETE = "incomplete"
    """Some devices are left over; the event is raised, so that Event Grid delivers it again."""
    GIVEN_UP = "given_up"
    """No device rang, and a redelivery would not change that in time."""
    MISSED = "missed"
    """The call had stopped ringing before anything could be sent."""
    DUPLICATE = "duplicate"
    """Another delivery has handled the event, or is handling it and it is too late to take over."""
    SKIPPED = "skipped"
    """There is no device to ring; `reason` says why."""
    FAILED = "failed"
    """An error; `code` and `detail` say which."""


_LEVELS = {
    EventResult.DELIVERED: logging.INFO,
    EventResult.INCOMPLETE: logging.WARNING,
    EventResult.GIVEN_UP: logging.ERROR,
    EventResult.MISSED: logging.WARNING,
    EventResult.DUPLICATE: logging.INFO,
    EventResult.SKIPPED: logging.INFO,
    EventResult.FAILED: logging.ERROR,
}

_NOTED = frozenset(
    {
        EventResult.INCOMPLETE,
        EventResult.GIVEN_UP,
        EventResult.MISSED,
        EventResult.SKIPPED,
        EventResult.FAILED,
    }
)
"""Results that the devices in the ledger alone do not explain."""

MOST_TROUBLES = 20
"""Devices that one line describes: a line over 16 kB breaks the queries of the alerts."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A device whose push the hub has not taken."""

    device: str
    """The first 16 digits of its registration id."""
    hub: str
    outcome: str
    reason: str
    code: str | None
    status: int | None
    tracking_id: str | None
    attempts: int

    @classmethod
    def of(cls, registration_id: str, result: DeviceResult) -> "Trouble":
        """What is logged of a device's result."""
        outcome = result.outcome
        return cls(
            device=registration_id[:16],
            hub=result.hub,
            outcome=outcome.kind.value,
            reason=outcome.reason,
            code=outcome.code,
            status=outcome.status,
            tracking_id=outcome.tracking_id,
            attempts=result.attempts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """The line `incoming_call`; its fields are those of the line, where `total_ms` is added and None left
    out."""

    result: EventResult
    event_id: str | None = None
    call_id: str | None = None
    callee: str | None = None
    """Fingerprint of the callee's MRI."""
    event_type: str | None = None
    """Where it is not the one that this app handles."""
    reason: str | None = None
    code: str | None = None
    """Of an error."""
    detail: str | None = None
    """Of an error."""
    late_seconds: float | None = None
    """By how much the call was over when the event arrived."""
    devices: int | None = None
    """How many the callee has."""
    accepted: int | None = None
    """Pushes that the hub has taken in this delivery."""
    already_settled: int | None = None
    """Devices that earlier deliveries have dealt with."""
    retried: int | None = None
    """Sends that were repetitions."""
    gone: int | None = None
    """Devices that the hub calls gone."""
    failed: int | None = None
    """Devices that have not been rung and are not gone."""
    age_at_first_push_ms: int | None = None
    troubles: Sequence[Trouble] = ()
    results: Sequence[DeviceResult] = ()
    """Of the devices, for the metrics; they do not stand in the line."""

    def write(self, total_ms: float) -> None:
        """Write the log line, with how long the event's handling took."""
        level = _LEVELS[self.result]
        if self.result is EventResult.DELIVERED and self.failed:
            level = logging.WARNING
        values = {name: getattr(self, name) for name in _FIELDS}
        if self.troubles:
            values["troubles"] = [asdict(trouble) for trouble in self.troubles[:MOST_TROUBLES]]
        telemetry.log(level, "incoming_call", **values, total_ms=total_ms)

    def measure(self, metrics: Metrics, total_ms: float) -> None:
        """Record the metrics of the event and of its devices' results."""
        if self.code:
            metrics.record(Metric.EVENTS, result=self.result.value, code=self.code)
        else:
            metrics.record(Metric.EVENTS, result=self.result.value)
        metrics.record(Metric.DELIVERY_DURATION, total_ms)
        for result in self.results:
            metrics.record(
                Metric.PUSHES,
                outcome=result.outcome.kind.value,
                platform=result.platform,
                hub=result.hub,
            )
        if self.retried:
            metrics.record(Metric.RETRIES, self.retried)
        if self.age_at_first_push_ms is not None:
            metrics.record(Metric.FIRST_PUSH_AGE, self.age_at_first_push_ms)

    def describe(self, span: Span) -> None:
        """Put what became of the event into its span."""
        named = (
            "event_id",
            "call_id",
            "event_type",
            "reason",
            "code",
            "devices",
            "accepted",
            "failed",
            "retried",
        )
        span.set({"result": self.result.value, **{name: getattr(self, name) for name in named}})
        if _LEVELS[self.result] >= logging.ERROR:
            span.fail(self.code or self.result.value)

    def note(self, now: datetime) -> Note | None:
        """What an operator needs to know of the call; None where the devices' outcomes say it all."""
        if self.result not in _NOTED:
            return None
        return Note(
            result=self.result.value,
            at=now,
            reason=self.reason or self.detail,
            code=self.code,
            late_seconds=self.late_seconds,
            devices=self.devices,
            failed=self.failed,
        )


_FIELDS = tuple(each.name for each in fields(EventLine) if each.name not in {"troubles", "results"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EndLine:
    """The line `call_end`; its fields are those of the line, where `total_ms` is added and None left out."""

    result: EventResult
    """`delivered` where a ring of the call is known, `skipped` where none is."""
    event_id: str | None = None
    call_id: str | None = None
    kind: str | None = None
    """`ended`, or `joined` by a callee."""
    code: str | None = None
    detail: str | None = None
    rings: int | None = None
    """Rings of the call that are known."""
    stopped: int | None = None
    """Stop pushes that the hub has taken."""
    missed_told: int | None = None
    """Notifications of a missed call that the hub has taken."""
    left_over: int | None = None
    """Notices that a redelivery may still send."""

    def write(self, total_ms: float) -> None:
        """Write the log line, with how long the event's handling took."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        telemetry.log(_LEVELS[self.result], "call_end", **values, total_ms=total_ms)

    def describe(self, span: Span) -> None:
        """Put what became of the event into its span."""
        named = ("event_id", "call_id", "kind", "code", "rings", "stopped", "missed_told", "left_over")
        span.set({"result": self.result.value, **{name: getattr(self, name) for name in named}})
        if _LEVELS[self.result] >= logging.ERROR:
            span.fail(self.code or self.result.value)


@dataclass(frozen=True, slots=True)
class Handled[Line: (EventLine, EndLine)]:
    """What is said of an event, and what went wrong."""

    line: Line
    error: Exception | None = None


def failed[SomeLine: (EventLine, EndLine)](line: SomeLine, error: Exception) -> SomeLine:
    """The line of an event that ended in an error; only this app's own errors may be quoted."""
    if isinstance(error, ServiceError):
        return replace(line, result=EventResult.FAILED, code=error.code, detail=error.detail)
    return replace(line, result=EventResult.FAILED, code=ServiceError.code, detail=type(error).__name__)
