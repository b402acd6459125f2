"""The Event Grid function: event → call; what became of it → acknowledge or raise.

What Event Grid hears is decided here and nowhere else. Raising makes Event Grid redeliver the event and,
while events keep failing, delay all deliveries to the endpoint. So it is for what a redelivery can mend while
the phone rings, and for an event that cannot be understood: its dead letter is the only evidence of it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import azure.functions as func

from common import telemetry
from common.clock import Clock
from common.invocation import continued
from common.metrics import Metrics
from common.tracing import NOT_TRACED, Span, Tracer
from models.call import INCOMING_CALL_EVENT_TYPE, Envelope, IncomingCall, parse_event, parse_incoming_call
from models.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    DeliveryIncompleteError,
    InvalidEventError,
    ServiceError,
    UnsupportedServerError,
)
from models.push import OutcomeKind
from push.call_context import call_context
from push.delivery import Delivery, DeliveryReport, TimeLimits
from push.event_log import EventLine, EventResult, Trouble
from push.grace import Grace
from push.ledger import EventKey, Ledger

_Handled = tuple[EventLine, DeliveryReport | None, Exception | None]
"""What is said of the event, what was sent, and what to raise; None acknowledges the event."""


@dataclass(frozen=True, slots=True)
class EventTools:
    """What every event's handling uses."""

    delivery: Delivery
    ledger: Ledger
    clock: Clock
    metrics: Metrics
    database_grace: Grace
    tracer: Tracer = NOT_TRACED
    compare_clocks: Callable[[], object] = lambda: None
    """Called after a call came too late: a clock that is ahead lets every call come too late."""


class IncomingCallHandler:
    """Handles one event at a time. Safe to share between threads."""

    def __init__(self, tools: EventTools, limits: TimeLimits) -> None:
        """Take ready collaborators."""
        self._tools = tools
        self._limits = limits

    def handle(self, event: str) -> None:
        """Ring the callee's devices for `event`, the JSON of one event in either schema.

        Returning acknowledges the event. It leaves one log line.

        Raises:
            InvalidEventError: the event cannot be understood.
            DatabaseUnavailableError: the callee's devices, or which of them have rung, are not known.
            ConfigurationError: the database refuses the app, since less than two minutes ago.
            DeliveryIncompleteError: some devices are left over, and a redelivery may ring them.
        """
        clock = self._tools.clock
        started = clock.monotonic()
        with self._tools.tracer.span("incoming call") as span:
            line, report, error = self._handle(event, span)
            line = replace(line, total_ms=round((clock.monotonic() - started) * 1_000, 1))
            line.write()
            line.measure(self._tools.metrics, report.results.values() if report else ())
            if span.is_recorded:
                line.describe(span)
        if line.result is EventResult.MISSED:
            self._tools.compare_clocks()
        if error is not None:
            raise error

    def _handle(self, text: str, span: Span) -> _Handled:
        try:
            envelope = parse_event(text)
        except InvalidEventError as error:
            return _failed(EventLine(result=EventResult.FAILED), error), None, error
        span.link(envelope.trace_parent, envelope.trace_state)
        line = EventLine(result=EventResult.SKIPPED, event_id=envelope.event_id)
        if envelope.event_type != INCOMING_CALL_EVENT_TYPE:
            event_type = envelope.event_type[:128]
            return replace(line, reason="another event type", event_type=event_type), None, None
        handled = self._take(envelope, line)
        self._note(envelope, handled[0])
        return handled

    def _take(self, envelope: Envelope, line: EventLine) -> _Handled:
        """Ring, unless the event cannot be understood, there is no device, or it is too late."""
        try:
            call = parse_incoming_call(envelope)
            line = replace(line, call_id=call.correlation_id, callee=telemetry.fingerprint(call.callee.mri))
            context = call_context(call.incoming_call_context) if call.callee.can_own_devices else ""
        except InvalidEventError as error:
            return _failed(line, error), None, error
        if not call.callee.can_own_devices:
            reason = f"the callee owns no devices: {call.callee.kind.value}"
            return replace(line, result=EventResult.SKIPPED, reason=reason), None, None
        now = self._tools.clock.now()
        late = (now - call.ends_at(self._limits.ring_time, now)).total_seconds()
        if late >= 0:
            return replace(line, result=EventResult.MISSED, late_seconds=round(late, 3)), None, None
        return self._ring(call, context, line)

    def _ring(self, call: IncomingCall, context: str, line: EventLine) -> _Handled:
        """Ring, and decide whether the event is acknowledged."""
        try:
            report = self._tools.delivery.deliver(call, context)
        except DatabaseUnavailableError as error:
            return _failed(line, error), None, error
        except ConfigurationError as error:
            return _failed(line, error), None, error if self._may_pass(error) else None
        except Exception as error:  # noqa: BLE001 - a bug: raised, and named in its line without its text
            return _failed(line, error), None, error
        _tell_of_misconfiguration(report)
        line = _with_report(line, report)
        if report.result is EventResult.INCOMPLETE:
            incomplete = "Some devices could not be rung yet; Event Grid delivers the event again."
            return line, report, DeliveryIncompleteError(incomplete)
        return line, report, None

    def _may_pass(self, error: ConfigurationError) -> bool:
        """A database that refuses the app is worth a redelivery for a while, one that is too old is not."""
        tell_misconfigured(error)
        return not isinstance(error, UnsupportedServerError) and self._tools.database_grace.applies()

    def _note(self, envelope: Envelope, line: EventLine) -> None:
        """Let an operator find the call, once the call itself waits for nothing any more."""
        note = line.note(self._tools.clock.now())
        # Without the database there is nothing to write to; the log line says so.
        if note is not None and line.code != DatabaseUnavailableError.code:
            self._tools.ledger.note(EventKey(envelope.source, envelope.event_id, line.call_id), note)


def _failed(line: EventLine, error: Exception) -> EventLine:
    """The line of an event that ended in an error; only this app's own errors may be quoted."""
    if isinstance(error, ServiceError):
        return replace(line, result=EventResult.FAILED, code=error.code, detail=error.detail)
    return replace(line, result=EventResult.FAILED, code=ServiceError.code, detail=type(error).__name__)


def _with_report(line: EventLine, report: DeliveryReport) -> EventLine:
    """The line with what became of the devices."""
    line = replace(line, result=report.result, reason=report.reason)
    if report.result is EventResult.DUPLICATE:
        return line
    return replace(
        line,
        devices=report.devices,
        accepted=report.count(OutcomeKind.ACCEPTED),
        already_settled=report.already_settled,
        retried=report.retried,
        gone=report.count(OutcomeKind.GONE),
        failed=report.failed,
        age_at_first_push_ms=report.first_push_age_ms,
        troubles=[
            Trouble.of(registration_id, result)
            for registration_id, result in report.results.items()
            if result.outcome.kind is not OutcomeKind.ACCEPTED
        ],
    )


def _tell_of_misconfiguration(report: DeliveryReport) -> None:
    """One loud line an event, however many devices a misconfigured hub has cost."""
    wrong = [r.outcome for r in report.results.values() if r.outcome.kind is OutcomeKind.MISCONFIGURED]
    if wrong:
        telemetry.log(
            logging.CRITICAL,
            "misconfigured",
            status=wrong[0].status,
            remedy=wrong[0].reason,
            tracking_id=wrong[0].tracking_id,
            devices=len(wrong),
        )
    elif any(result.outcome.used_secondary_key for result in report.results.values()):
        telemetry.log(
            logging.CRITICAL,
            "hub_key_refused",
            remedy="The hub refuses ANHHubConnectionString's key; pushes are sent with the secondary one. "
            "Put the regenerated key into ANHHubConnectionString.",
        )


def tell_misconfigured(error: ServiceError) -> None:
    """One loud line about a configuration that an operator has to correct."""
    telemetry.log(logging.CRITICAL, "misconfigured", code=error.code, remedy=error.detail)


def handle_event(event: str, handler: Callable[[], IncomingCallHandler], settings_grace: Grace) -> None:
    """Handle an event, or say why the app cannot handle any.

    Args:
        event: the JSON of one event.
        handler: raises a ServiceError where it cannot be built.
        settings_grace: how long wrong settings are raised; a redelivery may reach an instance that has right
        ones.

    Raises:
        ServiceError: the settings are wrong, since less than two minutes ago; or as `IncomingCallHandler`.
    """
    try:
        ready = handler()
    except ServiceError as error:
        tell_misconfigured(error)
        if settings_grace.applies():
            raise
        return
    ready.handle(event)


def push_blueprint(
    handler: Callable[[], IncomingCallHandler],
    settings_grace: Grace,
    tracer: Callable[[], Tracer] = lambda: NOT_TRACED,
) -> func.Blueprint:
    """The Event Grid function, over a handler that is built on first use; see `handle_event`.

    Spans and log lines continue the trace of the invocation.
    """
    blueprint = func.Blueprint()  # type: ignore[no-untyped-call]

    # The event arrives as its JSON text, in the subscription's schema: `EventGridEvent` would be parsed by
    # the worker first, which refuses times with an offset before this function could say why.
    @blueprint.function_name("IncomingCallEventHandler")
    @blueprint.event_grid_trigger(arg_name="event")
    def incoming_call_event_handler(event: str, context: func.Context) -> None:
        with continued(tracer(), context):
            handle_event(event, handler, settings_grace)

    return blueprint
