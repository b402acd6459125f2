"""The Event Grid function: event → handler → acknowledge or raise.

What Event Grid hears is decided here and nowhere else. Raising makes Event Grid redeliver the event and,
while events keep failing, delay all deliveries to the endpoint. So it is for what a redelivery can mend while
the phone rings, and for an event that cannot be understood: its dead letter is the only evidence of it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import azure.functions as func

from common import telemetry
from common.clock import Clock
from common.invocation import continued
from common.metrics import Metrics
from common.tracing import NOT_TRACED, Span, Tracer
from models.call import INCOMING_CALL_EVENT_TYPE
from models.call_end import CALL_ENDED_EVENT_TYPE, PARTICIPANT_ADDED_EVENT_TYPE
from models.errors import ConfigurationError, InvalidEventError, ServiceError, UnsupportedServerError
from models.event import parse_event
from push.call_end_event import CallEndHandler
from push.event_log import EndLine, EventLine, EventResult, Handled, failed
from push.grace import Grace
from push.incoming_call import IncomingCallHandler


@dataclass(frozen=True, slots=True)
class EventTools:
    """What every event's handling uses."""

    incoming_call: IncomingCallHandler
    call_end: CallEndHandler
    clock: Clock
    metrics: Metrics
    database_grace: Grace
    tracer: Tracer = NOT_TRACED
    compare_clocks: Callable[[], object] = lambda: None
    """Called after a call came too late: a clock that is ahead lets every call come too late."""


class EventHandler:
    """Handles one event at a time. Safe to share between threads."""

    def __init__(self, tools: EventTools) -> None:
        """Take ready collaborators."""
        self._tools = tools

    def handle(self, event: str) -> None:
        """Do what `event`, the JSON of one event in either schema, asks for.

        Returning acknowledges the event. It leaves one log line.

        Raises:
            InvalidEventError: the event cannot be understood.
            DatabaseUnavailableError: the callee's devices, or which of them have rung, are not known.
            ConfigurationError: the database refuses the app, since less than two minutes ago.
            DeliveryIncompleteError: some devices are left over, and a redelivery may reach them.
        """
        clock = self._tools.clock
        started = clock.monotonic()
        with self._tools.tracer.span("incoming call") as span:
            handled = self._handle(event, span)
            line = handled.line
            total_ms = round((clock.monotonic() - started) * 1_000, 1)
            line.write(total_ms)
            if isinstance(line, EventLine):
                line.measure(self._tools.metrics, total_ms)
            if span.is_recorded:
                line.describe(span)
        if handled.line.result is EventResult.MISSED:
            self._tools.compare_clocks()
        if handled.error is not None and self._is_raised(handled.error):
            raise handled.error

    def _handle(self, text: str, span: Span) -> Handled[EventLine] | Handled[EndLine]:
        try:
            envelope = parse_event(text)
        except InvalidEventError as error:
            return Handled(failed(EventLine(result=EventResult.FAILED), error), error)
        span.link(envelope.trace_parent, envelope.trace_state)
        if envelope.event_type == INCOMING_CALL_EVENT_TYPE:
            return self._tools.incoming_call.handle(envelope)
        is_end = envelope.event_type in {CALL_ENDED_EVENT_TYPE, PARTICIPANT_ADDED_EVENT_TYPE}
        if is_end and self._tools.call_end.is_needed:
            span.rename("call end")
            return self._tools.call_end.handle(envelope)
        line = EventLine(
            result=EventResult.SKIPPED,
            event_id=envelope.event_id,
            reason="another event type",
            event_type=envelope.event_type[:128],
        )
        return Handled(line)

    def _is_raised(self, error: Exception) -> bool:
        """A database that refuses the app is worth a redelivery for a while, one that is too old is not."""
        if not isinstance(error, ConfigurationError):
            return True
        tell_misconfigured(error)
        return not isinstance(error, UnsupportedServerError) and self._tools.database_grace.applies()


def tell_misconfigured(error: ServiceError) -> None:
    """Write the line about a configuration that an operator has to correct."""
    telemetry.log(logging.CRITICAL, "misconfigured", code=error.code, remedy=error.detail)


def handle_event(event: str, handler: Callable[[], EventHandler], settings_grace: Grace) -> None:
    """Handle an event, or say why the app cannot handle any.

    Args:
        event: the JSON of one event.
        handler: raises a ServiceError where it cannot be built.
        settings_grace: how long wrong settings are raised; a redelivery may reach an instance that has right
        ones.

    Raises:
        ServiceError: the settings are wrong, since less than two minutes ago; or as `EventHandler`.
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
    handler: Callable[[], EventHandler],
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
