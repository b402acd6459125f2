"""The Event Grid function: event → call; what became of it → acknowledge or raise.

This is the one place that decides what Event Grid hears. Raising has Event Grid redeliver the event and, if
events keep failing, delay all deliveries to the endpoint. So it raises only for what a redelivery can mend
while the phone rings, and for events that have to be kept as evidence.
"""

import logging
from collections.abc import Callable
from datetime import timedelta

import azure.functions as func

import telemetry
from clock import Clock
from models.call import INCOMING_CALL_EVENT_TYPE, IncomingCall, parse_event, parse_incoming_call
from models.errors import DeliveryIncompleteError, ServiceError
from models.push import OutcomeKind
from push.call_context import call_context
from push.delivery import Delivery, DeliveryReport


class IncomingCallHandler:
    """Takes one event at a time."""

    def __init__(self, delivery: Delivery, clock: Clock, ring: timedelta) -> None:
        """Take the delivery, and how long a call rings."""
        self._delivery = delivery
        self._clock = clock
        self._ring = ring

    def handle(self, event: str) -> None:
        """Ring the callee's devices for `event`, the JSON of one event in either schema.

        Returning acknowledges the event.

        Raises:
            InvalidEventError: the event cannot be understood.
            DatabaseUnavailableError: the callee's devices are not known.
            DeliveryIncompleteError: some devices are left over with a transient failure.
        """
        envelope = parse_event(event)
        if envelope.event_type != INCOMING_CALL_EVENT_TYPE:
            return _skip(envelope.event_id, "another event type", event_type=envelope.event_type[:128])
        call = parse_incoming_call(envelope)
        if not call.callee.can_own_devices:
            return _skip(call.event_id, "the callee owns no devices", kind=call.callee.kind.value)
        return self._deliver(call, call_context(call.incoming_call_context))

    def _deliver(self, call: IncomingCall, context: str) -> None:
        now = self._clock.now()
        ends_at = call.ends_at(self._ring, now)
        if ends_at <= now:
            return telemetry.log(
                logging.WARNING, "call_missed", **_names(call), late_seconds=(now - ends_at).total_seconds()
            )
        report = self._delivery.deliver(call, context, ends_at)
        if not report.outcomes:
            return _skip(call.event_id, "the callee has no registered device", **_names(call))
        self._conclude(call, report)
        return None

    def _conclude(self, call: IncomingCall, report: DeliveryReport) -> None:
        for registration_id, outcome in report.outcomes.items():
            if outcome.kind is not OutcomeKind.ACCEPTED:
                telemetry.log(
                    logging.ERROR if outcome.kind is OutcomeKind.MISCONFIGURED else logging.WARNING,
                    "push_failed",
                    **_names(call),
                    device=registration_id[:16],
                    outcome=outcome.kind.value,
                    reason=outcome.reason,
                    status=outcome.status,
                    tracking_id=outcome.tracking_id,
                )
        left_over = report.count(OutcomeKind.TRANSIENT, OutcomeKind.THROTTLED)
        telemetry.log(
            logging.INFO,
            "call_delivered",
            **_names(call),
            devices=len(report.outcomes),
            accepted=report.count(OutcomeKind.ACCEPTED),
            failed=len(report.outcomes) - report.count(OutcomeKind.ACCEPTED),
        )
        if left_over:
            raise DeliveryIncompleteError(
                f"{left_over} of {len(report.outcomes)} devices could not be rung yet; Event Grid redelivers."
            )


def _names(call: IncomingCall) -> dict[str, object]:
    """What names a call in the log; the callee by fingerprint only."""
    return {
        "event_id": call.event_id,
        "call_id": call.correlation_id,
        "callee": telemetry.fingerprint(call.callee.mri),
    }


def _skip(event_id: str, reason: str, **fields: object) -> None:
    telemetry.log(logging.INFO, "event_acknowledged", **{"event_id": event_id, "reason": reason, **fields})


def push_blueprint(handler: Callable[[], IncomingCallHandler]) -> func.Blueprint:
    """The Event Grid function, over a handler that is built on first use."""
    blueprint = func.Blueprint()  # type: ignore[no-untyped-call]

    # The event arrives as its JSON text, in whichever schema the subscription has: `EventGridEvent` would be
    # parsed by the worker first, which refuses times with an offset before this function could say why.
    @blueprint.function_name("IncomingCallEventHandler")
    @blueprint.event_grid_trigger(arg_name="event")
    def incoming_call_event_handler(event: str) -> None:
        try:
            handler().handle(event)
        except ServiceError as error:
            telemetry.log(logging.ERROR, "event_failed", code=error.code, detail=error.detail)
            if error.redeliver:
                raise

    return blueprint
