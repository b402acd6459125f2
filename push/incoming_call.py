"""One IncomingCall event → what is said of it, and what went wrong."""

from dataclasses import dataclass, replace

from common import telemetry
from common.clock import Clock
from common.time_limit import within
from models.call import IncomingCall, parse_incoming_call
from models.errors import (
    DatabaseUnavailableError,
    DeliveryIncompleteError,
    InvalidEventError,
)
from models.event import Envelope
from models.push import OutcomeKind
from push.call_context import call_context
from push.call_end import CallEnds
from push.delivery import Delivery, DeliveryReport, TimeLimits
from push.event_log import EventLine, EventResult, Handled, Trouble, failed
from push.ledger import Ledger
from push.ledger_entry import EventKey, RingFacts
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
            handled = Handled(failed(line, error), error)
            self._note(envelope, None, handled.line)
            return handled
        handled = self._take(call, context, line)
        facts = self._tools.ends.facts_of(call)
        is_noted = self._note(envelope, facts, handled.line)
        if is_noted and handled.line.result is EventResult.MISSED and handled.line.devices is None:
            key = EventKey(envelope.source, envelope.event_id, call.correlation_id)
            deadline = self._tools.clock.monotonic() + self._limits.patience_seconds
            with within(self._limits.invocation_seconds):
                self._tools.ends.not_rung(key.document_id, facts, deadline)
        return handled

    def _take(self, call: IncomingCall, context: str, line: EventLine) -> Handled[EventLine]:
        """Ring, unless there is no device or it is too late."""
        if not call.callee.can_own_devices:
            reason = f"the callee owns no devices: {call.callee.kind.value}"
            return Handled(replace(line, result=EventResult.SKIPPED, reason=reason))
        now = self._tools.clock.now()
        late = (now - call.ends_at(self._limits.ring_time, now)).total_seconds()
        if late >= 0:
            return Handled(replace(line, result=EventResult.MISSED, late_seconds=round(late, 3)))
        try:
            report = self._tools.delivery.deliver(call, context)
        except Exception as error:  # noqa: BLE001 - a bug as well: the line names it without its text
            return Handled(failed(line, error), error)
        tell_of_misconfigured_hubs(report.results.values())
        line = _with_report(line, report)
        if report.result is EventResult.INCOMPLETE:
            incomplete = "Some devices could not be rung yet; Event Grid delivers the event again."
            return Handled(line, DeliveryIncompleteError(incomplete))
        return Handled(line)

    def _note(self, envelope: Envelope, facts: RingFacts | None, line: EventLine) -> bool:
        """Let an operator find the call, once the call itself waits for nothing any more; True if it was
        written."""
        note = line.note(self._tools.clock.now())
        # Without the database there is nothing to write to; the log line says so.
        if note is None or line.code == DatabaseUnavailableError.code:
            return False
        key = EventKey(envelope.source, envelope.event_id, line.call_id)
        return self._tools.ledger.note(key, note, facts)


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
