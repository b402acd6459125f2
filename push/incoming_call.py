"""One IncomingCall event → what is said of it, and what went wrong."""

import logging
from dataclasses import dataclass, replace

from common import telemetry
from common.clock import Clock
from common.time_limit import within
from models.call import IncomingCall, parse_incoming_call
from models.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    DeliveryIncompleteError,
    InvalidEventError,
)
from models.event import Envelope
from models.push import OutcomeKind
from push.call_context import call_context
from push.call_end import CallEnds
from push.delivery import RUNG_BEFORE, Delivery, DeliveryReport, TimeLimits
from push.event_log import EventLine, EventResult, Handled, Trouble, failed
from push.ledger import Ledger
from push.ledger_entry import EventKey
from push.misconfigured_hubs import tell_of_misconfigured_hubs


@dataclass(frozen=True, slots=True)
class IncomingCallTools:
    """What every incoming call's handling uses."""

    delivery: Delivery
    ends: CallEnds
    ledger: Ledger
    clock: Clock


class IncomingCallHandler:
    """Handles one event at a time. Safe to share between threads."""

    def __init__(self, tools: IncomingCallTools, limits: TimeLimits) -> None:
        """Take ready collaborators."""
        self._tools = tools
        self._limits = limits

    def handle(self, envelope: Envelope) -> Handled[EventLine]:
        """Ring the callee's devices; every error is a value."""
        line = EventLine(result=EventResult.SKIPPED, event_id=envelope.event_id)
        try:
            call = parse_incoming_call(envelope)
            line = EventLine(
                result=EventResult.SKIPPED,
                event_id=envelope.event_id,
                call_id=call.correlation_id,
                callee=telemetry.fingerprint(call.callee.mri),
            )
            context = call_context(call.incoming_call_context) if call.callee.can_own_devices else ""
        except InvalidEventError as error:
            return self._noted(envelope, None, Handled(failed(line, error), error))
        if not call.callee.can_own_devices:
            reason = f"the callee owns no devices: {call.callee.kind.value}"
            return self._noted(envelope, call, Handled(replace(line, reason=reason)))
        late = self._seconds_late(call)
        try:
            if late >= 0:
                line = replace(line, late_seconds=round(late, 3))
                with within(self._limits.invocation_seconds):
                    return Handled(self._too_late(envelope, call, line))
            handled = self._ring(call, context, line)
        except Exception as error:  # noqa: BLE001 - a bug as well: the line names it without its text
            handled = Handled(failed(line, error), error)
        return self._noted(envelope, call, handled)

    def _seconds_late(self, call: IncomingCall) -> float:
        """By how much the call is over; negative while it rings."""
        now = self._tools.clock.now()
        return (now - call.ends_at(self._limits.ring_time, now)).total_seconds()

    def _too_late(self, envelope: Envelope, call: IncomingCall, line: EventLine) -> EventLine:
        """Tell a missed call from a late delivery of an event that was handled in time."""
        deadline = self._tools.clock.monotonic() + self._limits.patience_seconds
        missed = replace(line, result=EventResult.MISSED)
        key = EventKey(call.event_source, call.event_id, call.correlation_id)
        try:
            known = self._tools.ledger.known(key, self._tools.clock.now())
        except (DatabaseUnavailableError, ConfigurationError) as error:
            # The note would fail as well.
            telemetry.log(logging.WARNING, "call_not_noted", code=error.code)
            return missed
        if known is not None and (known.finished or known.is_held(self._tools.clock.now())):
            return replace(line, result=EventResult.DUPLICATE)
        if known is not None and known.has_rung:
            return replace(line, result=EventResult.DELIVERED, reason=RUNG_BEFORE)
        is_noted = known is not None and known.note is not None and known.note.result == missed.result.value
        if is_noted or self._note(envelope, call, missed):
            # Also where an earlier delivery has noted it: that one may have ended before it told.
            self._tools.ends.not_rung(key.document_id, self._tools.ends.facts_of(call), deadline)
        return replace(line, result=EventResult.DUPLICATE) if is_noted else missed

    def _ring(self, call: IncomingCall, context: str, line: EventLine) -> Handled[EventLine]:
        report = self._tools.delivery.deliver(call, context)
        tell_of_misconfigured_hubs(report.results.values())
        line = _with_report(line, report)
        if report.result is EventResult.INCOMPLETE:
            incomplete = "Some devices could not be rung yet; Event Grid delivers the event again."
            return Handled(line, DeliveryIncompleteError(incomplete))
        return Handled(line)

    def _noted(
        self, envelope: Envelope, call: IncomingCall | None, handled: Handled[EventLine]
    ) -> Handled[EventLine]:
        """The same, once its note is written."""
        self._note(envelope, call, handled.line)
        return handled

    def _note(self, envelope: Envelope, call: IncomingCall | None, line: EventLine) -> bool:
        """Let an operator find the call, once the call itself waits for nothing any more; True if it was
        written."""
        note = line.note(self._tools.clock.now())
        # Without the database there is nothing to write to; the log line says so.
        if note is None or line.code == DatabaseUnavailableError.code:
            return False
        key = EventKey(envelope.source, envelope.event_id, line.call_id)
        return self._tools.ledger.note(key, note, self._tools.ends.facts_of(call) if call else None)


def _with_report(line: EventLine, report: DeliveryReport) -> EventLine:
    """The line with what became of the devices."""
    if report.result is EventResult.DUPLICATE:
        return replace(line, result=report.result, reason=report.reason)
    return replace(
        line,
        result=report.result,
        reason=report.reason,
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
        results=tuple(report.results.values()),
    )
