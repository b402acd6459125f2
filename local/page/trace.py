"""What belongs to one call (pure): deliveries, log lines, spans, requests to the hub, pushes and reports.

The app's log lines and root spans name the call or its event; everything else of an invocation shares the
trace of its root span.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from local.hub.records import Attempt
from local.page.calls import PlacedCall
from local.page.host_lines import Span, StructuredLine
from local.page.phones import Phone
from local.page.pushes import Message
from local.page.reporter import Report

RING_ROOT = "incoming call"
ROOTS = frozenset({RING_ROOT, "call end"})
"""Names of the spans that say which call they are about."""


@dataclass(slots=True)
class Received:
    """A push to a phone; whether it has arrived says the message."""

    phone: Phone
    message: Message


@dataclass(slots=True)
class CallRecord:
    """Everything that is known of one call, each kind oldest first."""

    key: str
    """The call id in lower case, or `event ` and the id of an event that names no call."""
    placed: PlacedCall | None = None
    lines: list[StructuredLine] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    @property
    def at(self) -> float:
        """When it was first heard of, in Unix seconds."""
        return min(self._times(), default=0.0)

    @property
    def call_id(self) -> str | None:
        """The call id, if it has one."""
        return None if self.key.startswith("event ") else self.key

    def _times(self) -> Iterator[float]:
        if self.placed is not None:
            yield self.placed.at
        yield from (line.at for line in self.lines)
        yield from (span.start for span in self.spans)
        yield from (attempt.received_at for attempt in self.attempts)
        yield from (received.message.received_at for received in self.received)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the page has, each kind oldest first."""

    placed: Sequence[PlacedCall] = ()
    lines: Sequence[StructuredLine] = ()
    spans: Sequence[Span] = ()
    attempts: Sequence[Attempt] = ()
    phones: Sequence[Phone] = ()
    reports: Sequence[Report] = ()


def call_records(evidence: Evidence) -> list[CallRecord]:
    """The calls, the newest first."""
    collector = _Collector(evidence)
    collector.collect()
    return sorted(collector.records.values(), key=lambda one: one.at, reverse=True)


class _Collector:
    """Sorts evidence by call."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._events = {event.id: call.call_id for call in evidence.placed for event in call.events}
        self.records: dict[str, CallRecord] = {}

    def collect(self) -> None:
        """Sort everything."""
        for call in self._evidence.placed:
            self._record(call.call_id).placed = call
        for line in self._evidence.lines:
            if key := _key(line.text("call_id"), line.text("event_id"), self._events):
                self._record(key).lines.append(line)
        for report in self._evidence.reports:
            self._record(report.call_id).reports.append(report)
        self._collect_attempts(self._collect_spans())
        for phone in self._evidence.phones:
            for message in phone.messages:
                if message.call_id:
                    self._record(message.call_id).received.append(Received(phone, message))

    def _collect_spans(self) -> dict[str, str]:
        """Returns the keys of calls by tracking id of a request to the hub."""
        traces = dict(_traces(self._evidence, self._events))
        tracked: dict[str, str] = {}
        for span in sorted(self._evidence.spans, key=lambda one: one.start):
            if span.trace in traces:
                self._record(traces[span.trace]).spans.append(span)
                tracked[str(span.attributes.get("tracking_id"))] = traces[span.trace]
        return tracked

    def _collect_attempts(self, tracked: Mapping[str, str]) -> None:
        """A refused request names no call: its span does."""
        for attempt in self._evidence.attempts:
            key = attempt.call_id.lower() if attempt.call_id else tracked.get(attempt.tracking_id)
            if key:
                self._record(key).attempts.append(attempt)

    def _record(self, key: str) -> CallRecord:
        return self.records.setdefault(key, CallRecord(key))


def other_lines(evidence: Evidence) -> list[StructuredLine]:
    """The log lines that are about no call."""
    return [line for line in evidence.lines if not _key(line.text("call_id"), line.text("event_id"), {})]


def tries_by_device(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """The requests to the hub by device token."""
    by_device: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_device[attempt.device_handle or ""].append(attempt)
    return by_device


def _key(call_id: object, event_id: object, events: Mapping[str, str]) -> str | None:
    if isinstance(event_id, str) and event_id in events:
        return events[event_id]
    if isinstance(call_id, str):
        return call_id.lower()
    return f"event {event_id}" if event_id else None


def _traces(evidence: Evidence, events: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Traces, each with the key of its call."""
    for call in evidence.placed:
        for event in call.events:
            yield from ((delivery.trace, call.call_id) for delivery in event.deliveries)
    yield from ((report.trace, report.call_id) for report in evidence.reports)
    for span in evidence.spans:
        if span.name in ROOTS:
            named = span.attributes
            if key := _key(named.get("call_id"), named.get("event_id"), events):
                yield span.trace, key
