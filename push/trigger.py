"""The Event Grid function: event → call; what became of it → acknowledge or raise.

This is the one place that decides what Event Grid hears. Raising has Event Grid redeliver the event and, if
events keep failing, delay all deliveries to the endpoint. So it raises only for what a redelivery can mend
while the phone rings, and for events that have to be kept as evidence.
"""

import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import azure.functions as func

from common import telemetry
from common.clock import Clock
from common.telemetry import Metric, Metrics
from models.call import INCOMING_CALL_EVENT_TYPE, Envelope, IncomingCall, parse_event, parse_incoming_call
from models.errors import DeliveryIncompleteError, InvalidEventError, ServiceError
from models.push import OutcomeKind
from push.call_context import call_context
from push.call_notes import CallNotes, NoCallNotes
from push.delivery import Delivery, DeliveryReport, TimeLimits
from push.ledger import EventKey

Fields = dict[str, Any]


class EventResult(StrEnum):
    """What became of an event, in its log line and its metric."""

    DELIVERED = "delivered"
    INCOMPLETE = "incomplete"
    """Some devices are left over; the event is raised, so that Event Grid delivers it again."""
    GIVEN_UP = "given_up"
    """Some devices did not ring, and no redelivery could change that while they should."""
    MISSED = "missed"
    """The call had stopped ringing before anything could be sent."""
    DUPLICATE = "duplicate"
    SKIPPED = "skipped"
    """Nobody to ring; the line's `reason` says why."""
    FAILED = "failed"
    """An error of ours; the line's `code` and `detail` say which."""


_LEVELS = {
    EventResult.DELIVERED: logging.INFO,
    EventResult.INCOMPLETE: logging.WARNING,
    EventResult.GIVEN_UP: logging.ERROR,
    EventResult.MISSED: logging.WARNING,
    EventResult.DUPLICATE: logging.INFO,
    EventResult.SKIPPED: logging.INFO,
    EventResult.FAILED: logging.ERROR,
}


_NOTED = frozenset({EventResult.INCOMPLETE, EventResult.GIVEN_UP, EventResult.MISSED, EventResult.SKIPPED})
"""Where the ledger's devices alone do not say what became of the call."""

_NOTED_FIELDS = ("reason", "code", "late_seconds", "devices", "failed")


class IncomingCallHandler:
    """Takes one event at a time. Safe to share between threads."""

    def __init__(
        self,
        delivery: Delivery,
        limits: TimeLimits,
        clock: Clock,
        metrics: Metrics,
        notes: CallNotes | None = None,
    ) -> None:
        """Take ready collaborators; without `notes`, calls that no ledger entry explains leave no trace."""
        self._delivery = delivery
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._notes = notes or NoCallNotes()

    def handle(self, event: str) -> None:
        """Ring the callee's devices for `event`, the JSON of one event in either schema.

        Returning acknowledges the event. It leaves one structured line.

        Raises:
            InvalidEventError: the event cannot be understood.
            DatabaseUnavailableError: the callee's devices, or who has rung them, are not known.
            DeliveryIncompleteError: some devices are left over with a transient failure, or another instance
                is still ringing them.
        """
        started = self._clock.monotonic()
        fields: Fields = {}
        try:
            result = self._handle(event, fields)
        except ServiceError as error:
            fields |= {"code": error.code, "detail": error.detail}
            self._tell(EventResult.FAILED, fields, started)
            if error.redeliver:
                raise
        except Exception as error:
            # A bug: the event is kept, and its line names the error without what it may quote.
            fields |= {"code": ServiceError.code, "detail": type(error).__name__}
            self._tell(EventResult.FAILED, fields, started)
            raise
        else:
            self._tell(result, fields, started)
            if result is EventResult.INCOMPLETE:
                raise DeliveryIncompleteError(
                    "Some devices could not be rung yet; Event Grid delivers again."
                )

    def _handle(self, event: str, fields: Fields) -> EventResult:
        """Parse, then lateness, then deliver. `fields` takes what the event's line shall say."""
        envelope = parse_event(event)
        fields["event_id"] = envelope.event_id
        if envelope.event_type != INCOMING_CALL_EVENT_TYPE:
            fields |= {"reason": "another event type", "event_type": envelope.event_type[:128]}
            return EventResult.SKIPPED
        try:
            result = self._take_call(envelope, fields)
        except InvalidEventError as error:
            self._note(envelope, EventResult.FAILED, {**fields, "code": error.code, "reason": error.detail})
            raise
        if result in _NOTED:
            self._note(envelope, result, fields)
        return result

    def _take_call(self, envelope: Envelope, fields: Fields) -> EventResult:
        call = parse_incoming_call(envelope)
        fields |= {"call_id": call.correlation_id, "callee": telemetry.fingerprint(call.callee.mri)}
        if not call.callee.can_own_devices:
            fields["reason"] = f"the callee owns no devices: {call.callee.kind.value}"
            return EventResult.SKIPPED
        context = call_context(call.incoming_call_context)
        if self._is_over(call, fields):
            return EventResult.MISSED
        report = self._delivery.deliver(call, context)
        fields |= _report_fields(report)
        self._measure(report)
        _warn_of_misconfiguration(report)
        return _result(report, fields)

    def _note(self, envelope: Envelope, result: EventResult, fields: Fields) -> None:
        """Let an operator find the call, once nothing of it waits for that any more."""
        known = {name: fields[name] for name in _NOTED_FIELDS if fields.get(name) is not None}
        key = EventKey(envelope.source, envelope.event_id, fields.get("call_id"))
        self._notes.note(key, {"result": result.value, **known}, self._clock.now())

    def _is_over(self, call: IncomingCall, fields: Fields) -> bool:
        now = self._clock.now()
        late = (now - call.ends_at(self._limits.ring, now)).total_seconds()
        if late >= 0:
            fields["late_seconds"] = round(late, 3)
        return late >= 0

    def _measure(self, report: DeliveryReport) -> None:
        for result in report.results.values():
            self._metrics.record(Metric.PUSHES, outcome=result.outcome.kind.value)
        if report.retried:
            self._metrics.record(Metric.RETRIES, report.retried)
        if report.first_push_age_ms is not None:
            self._metrics.record(Metric.FIRST_PUSH_AGE, report.first_push_age_ms)

    def _tell(self, result: EventResult, fields: Fields, started: float) -> None:
        total_ms = round((self._clock.monotonic() - started) * 1_000, 1)
        telemetry.log(
            _LEVELS[result], "incoming_call", **{**fields, "result": result.value, "total_ms": total_ms}
        )
        attributes = {"code": fields["code"]} if "code" in fields else {}
        self._metrics.record(Metric.EVENTS, result=result.value, **attributes)
        self._metrics.record(Metric.DELIVERY_DURATION, total_ms)


def _result(report: DeliveryReport, fields: Fields) -> EventResult:
    if report.duplicate:
        return EventResult.DUPLICATE
    if report.missed:
        return EventResult.MISSED
    if report.devices == 0:
        fields["reason"] = "the callee has no registered device"
        return EventResult.SKIPPED
    if report.redeliver:
        return EventResult.INCOMPLETE
    return EventResult.GIVEN_UP if report.failed else EventResult.DELIVERED


def _report_fields(report: DeliveryReport) -> Fields:
    """Numbers for the event's line, and what became of each device that was not simply accepted."""
    if report.duplicate:
        return {}
    troubles = [
        {
            "device": registration_id[:16],
            "outcome": result.outcome.kind.value,
            "reason": result.outcome.reason,
            "code": result.outcome.code,
            "status": result.outcome.status,
            "tracking_id": result.outcome.tracking_id,
            "attempts": result.attempts,
        }
        for registration_id, result in report.results.items()
        if result.outcome.kind is not OutcomeKind.ACCEPTED
    ]
    accepted, gone = report.count(OutcomeKind.ACCEPTED), report.count(OutcomeKind.GONE)
    return {
        "devices": report.devices,
        "accepted": accepted,
        "already_settled": report.already_settled,
        "retried": report.retried,
        "gone": gone,
        "failed": report.failed,
        "age_at_first_push_ms": report.first_push_age_ms,
        "troubles": troubles or None,
    }


def _warn_of_misconfiguration(report: DeliveryReport) -> None:
    """One loud line an event, however many devices it hit; what it says to check is the outcome's reason."""
    wrong = [r.outcome for r in report.results.values() if r.outcome.kind is OutcomeKind.MISCONFIGURED]
    if not wrong and any(result.outcome.used_secondary_key for result in report.results.values()):
        telemetry.log(
            logging.CRITICAL,
            "hub_key_refused",
            remedy="The hub refuses ANHHubConnectionString's key; pushes are sent with the secondary one. "
            "Put the regenerated key into ANHHubConnectionString.",
        )
    if wrong:
        telemetry.log(
            logging.CRITICAL,
            "misconfigured",
            status=wrong[0].status,
            remedy=wrong[0].reason,
            tracking_id=wrong[0].tracking_id,
            devices=len(wrong),
        )


def push_blueprint(handler: Callable[[], IncomingCallHandler]) -> func.Blueprint:
    """The Event Grid function, over a handler that is built on first use."""
    blueprint = func.Blueprint()  # type: ignore[no-untyped-call]

    # The event arrives as its JSON text, in whichever schema the subscription has: `EventGridEvent` would be
    # parsed by the worker first, which refuses times with an offset before this function could say why.
    @blueprint.function_name("IncomingCallEventHandler")
    @blueprint.event_grid_trigger(arg_name="event")
    def incoming_call_event_handler(event: str) -> None:
        try:
            ready = handler()
        except ServiceError as error:
            telemetry.log(logging.CRITICAL, "misconfigured", code=error.code, remedy=error.detail)
            if error.redeliver:
                raise
            return
        ready.handle(event)

    return blueprint
