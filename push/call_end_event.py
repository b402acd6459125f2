"""One CallEnded or CallParticipantAdded event → what is said of it, and what went wrong."""

from dataclasses import replace

from common.clock import Clock
from common.patience import patiently
from common.time_limit import within
from models.call_end import CallEnd, parse_call_end
from models.errors import DeliveryIncompleteError, InvalidEventError
from models.event import Envelope
from push.call_end import CallEnds, EndReport
from push.delivery import TimeLimits
from push.event_log import EndLine, EventResult, Handled, failed
from push.grace import Grace


class CallEndHandler:
    """Handles one event at a time. Safe to share between threads."""

    def __init__(self, ends: CallEnds, clock: Clock, limits: TimeLimits, database: Grace) -> None:
        """Take ready collaborators; `database` is told that the database works."""
        self._ends = ends
        self._clock = clock
        self._limits = limits
        self._database = database

    @property
    def is_needed(self) -> bool:
        """The deployment has switched on something that follows from the end of a call."""
        return self._ends.options.needs_call_ends

    def handle(self, envelope: Envelope) -> Handled[EndLine]:
        """Stop the devices that ring, and tell of a missed call; every error is a value."""
        line = EndLine(result=EventResult.SKIPPED, event_id=envelope.event_id)
        try:
            end = parse_call_end(envelope)
        except InvalidEventError as error:
            return Handled(failed(line, error), error)
        line = replace(line, call_id=end.correlation_id, kind="joined" if end.joined else "ended")
        try:
            report = self._draw_conclusions(end)
        except Exception as error:  # noqa: BLE001 - a bug as well: the line names it without its text
            return Handled(failed(line, error), error if self._ends.is_worth_repeating(end) else None)
        self._database.succeeded()
        line = replace(
            line,
            result=EventResult.DELIVERED if report.rings else EventResult.SKIPPED,
            rings=report.rings,
            stopped=report.stops.sent,
            missed_told=report.missed.sent,
            left_over=report.left_over,
        )
        if report.left_over:
            incomplete = "Some notices could not be sent yet; Event Grid delivers the event again."
            return Handled(replace(line, result=EventResult.INCOMPLETE), DeliveryIncompleteError(incomplete))
        return Handled(line)

    def _draw_conclusions(self, end: CallEnd) -> EndReport:
        until = self._clock.monotonic() + self._limits.patience_seconds
        with within(self._limits.invocation_seconds):
            return patiently(
                lambda: self._ends.ended(end, until - self._clock.monotonic()), self._clock, until
            )
