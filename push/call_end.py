"""A call that was answered, declined or ended → stop pushes; a missed call → a visible one.

Three sides know something: events of the call (`ended`), reports of the phones (`reported`), and the ring's
own delivery, which looks for an end that overtook it (`overtaken`, `not_rung`). Each writes down what it
knows before it reads what the others know, so that of two that meet at least one sees both. Every notice is
claimed in the ledger before it is sent. So all sides may come to the same conclusion at once, on any
instance.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from common import telemetry
from common.clock import Clock
from common.metrics import Metric, Metrics
from common.time_limit import within
from models.call import IncomingCall
from models.call_end import CallEnd
from models.device import DeviceRegistration
from models.errors import ConfigurationError, DatabaseUnavailableError
from models.identity import Identity
from models.notifications import NotificationOptions, Texts
from models.platform import Platform
from models.push import Push, StopInfo, VisibleInfo
from models.report import CallReport, DeviceState, ReportEffect
from push.call_states import CallStates
from push.devices import DeviceDirectory, calling, showing
from push.hub.payload import build_stop
from push.hub.visible_payload import build_visible
from push.ledger_entry import (
    Answer,
    AnswerKind,
    DeviceRecord,
    LedgerEntry,
    NoticeKind,
    RingFacts,
)
from push.notices import Notice, NoticeReport, Notices
from push.ring_state import Marks, another_rings, is_unanswered, may_ring, why_over
from push.waits import BoundedWaits

OVERTAKEN_SECONDS = 2.0
"""How long an end waits for a CallParticipantAdded that it has overtaken, before a call counts as missed."""

REPORT_SECONDS = 2.0
"""How long a report waits for the stops that follow from it."""

REPORT_WRITE_SECONDS = 1.0
"""How much longer the database may take to write down what became of those stops."""

MISSED_REPEATED_FOR = timedelta(minutes=2)
"""How long after the end of its call a notification of a missed call is worth a redelivery of the event.
Raising for longer would make Event Grid delay the calls that come after a repair."""

MISSED_LIFE = timedelta(days=1)
"""How long a platform keeps the notification of a missed call for a device that is off."""


@dataclass(frozen=True, slots=True)
class EndTools:
    """What every end's handling uses."""

    states: CallStates
    devices: DeviceDirectory
    notices: Notices
    waits: BoundedWaits
    clock: Clock
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class EndReport:
    """What followed from the end of a call."""

    rings: int = 0
    """Rings of the call that are known."""
    stops: NoticeReport = field(default_factory=NoticeReport)
    missed: NoticeReport = field(default_factory=NoticeReport)

    @property
    def left_over(self) -> int:
        """Notices that a redelivery of the event may still send."""
        return self.stops.left_over + self.missed.left_over


class CallEnds:
    """Draws the conclusions from ends, answers and reports. Safe to share between threads and instances."""

    def __init__(self, tools: EndTools, options: NotificationOptions, ring_time: timedelta) -> None:
        """Take ready collaborators.

        Args:
            tools: shared by all ends.
            options: what the deployment has switched on.
            ring_time: how long a call rings.
        """
        self.options = options
        self._tools = tools
        self._ring_time = ring_time

    def facts_of(self, call: IncomingCall) -> RingFacts:
        """What the ledger keeps of a call."""
        return RingFacts.of(call, with_display_name=self.options.needs_display_name)

    def ended(self, end: CallEnd, seconds: float) -> EndReport:
        """A call ended, or a callee joined it: stop the devices that ring, and tell of a missed call.

        Args:
            end: from an event.
            seconds: how long sending may take.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it is not known what follows.
        """
        deadline = self._tools.clock.monotonic() + seconds
        now = self._tools.clock.now()
        # A time in the future counts as now: else rings that begin until then would count as over.
        at = min(end.time or now, now)
        # First: a ring that is under way, or arrives later, looks for the mark.
        self._tools.states.mark(end, at)
        rings = [
            _Ring(entry, entry.facts, self._devices_of(entry.facts))
            for entry in self._tools.states.rings_of(end, at, now)
            if entry.facts is not None
        ]
        for ring in rings:
            if end.joined is None:
                self._tools.states.end(ring.entry.id, at)
            else:
                self._tools.states.answer(ring.entry.id, Answer(AnswerKind.ANSWERED, at))
        # All stops before any wait.
        stops = self._stop(rings, "ended" if end.joined is None else "answered", deadline)
        if end.joined is not None or not self.options.missed:
            return EndReport(len(rings), stops)
        unanswered = self._unanswered(rings)
        return EndReport(len(rings), stops, self._tell_missed(unanswered, deadline, at + MISSED_REPEATED_FOR))

    def is_worth_repeating(self, end: CallEnd) -> bool:
        """A redelivery of the event may still stop a device, or tell of a missed call in time."""
        now = self._tools.clock.now()
        # By the difference: a time to which two minutes are added may be out of range.
        return now - (end.time or now) < max(self._ring_time, MISSED_REPEATED_FOR)

    def _unanswered(self, rings: "Sequence[_Ring]") -> "list[_Ring]":
        """Rings that no device is known to have answered or declined, after a wait for an event that was
        overtaken."""
        candidates = [ring for ring in rings if self._looks_unanswered(ring.entry.id, ring.facts)]
        # A wait must not delay rings: a few threads wait, the others decide at once.
        if candidates and self._tools.waits.wait(OVERTAKEN_SECONDS):
            candidates = [ring for ring in candidates if self._looks_unanswered(ring.entry.id, ring.facts)]
        return candidates

    def _look(self, entry_id: str, facts: RingFacts) -> tuple[LedgerEntry | None, Marks]:
        return self._tools.states.look(entry_id, facts, self._tools.clock.now())

    def _looks_unanswered(self, entry_id: str, facts: RingFacts) -> bool:
        entry, marks = self._look(entry_id, facts)
        return entry is not None and is_unanswered(entry, marks)

    def reported(self, report: CallReport) -> ReportEffect:
        """Write down what a phone reports, and draw the conclusions.

        A report that is repeated, because its answer was lost, draws again those that were not drawn.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        now = self._tools.clock.now()
        rings = self._tools.states.rings_to(report.owner, report.call_id, now)
        devices = self._tools.devices.devices_of(report.owner, now)
        own = [each for each in devices if each.device_uuid == report.device_uuid]
        if not rings or not own:
            return ReportEffect.NO_SUCH_CALL
        device = (calling(own) or own)[0]
        if self._tools.states.report(rings[0].id, device.device_key, report.state, now):
            self._tell_of_report(rings[0], device, report.state, now)
        effect = ReportEffect.NOTED
        if report.state in {DeviceState.ANSWERED, DeviceState.DECLINED}:
            # Earlier invitations to the call are over as well.
            answer = Answer(AnswerKind(report.state.value), now, device.device_key)
            is_first = [self._tools.states.answer(ring.id, answer) for ring in rings]
            if any(is_first):
                effect = ReportEffect.RING_ENDED
        try:
            with within(REPORT_SECONDS + REPORT_WRITE_SECONDS):
                self._conclude(rings, device, devices, report.state)
        except (DatabaseUnavailableError, ConfigurationError) as error:
            # The report is written down; what follows from it must not fail it.
            telemetry.log(logging.WARNING, "report_without_consequence", code=error.code)
        return effect

    def _conclude(
        self,
        rings: Sequence[LedgerEntry],
        device: DeviceRegistration,
        devices: Sequence[DeviceRegistration],
        state: DeviceState,
    ) -> None:
        if not self._has_consequence(state):
            return
        deadline = self._tools.clock.monotonic() + REPORT_SECONDS
        # Read again: a ring that ended, or another device's report, may have been written since.
        known = [(entry.facts, *self._look(entry.id, entry.facts)) for entry in rings if entry.facts]
        if state is DeviceState.MISSED:
            facts, entry, marks = known[0]
            now = self._tools.clock.now()
            if entry is None or not is_unanswered(entry, marks):
                return
            if self._ring_end(entry) <= now or not another_rings(entry, device, devices):
                self._tell_missed([_Ring(entry, facts, devices)], deadline, now)
            return
        others = [each for each in devices if each.device_key != device.device_key]
        decided = [
            _Ring(entry, facts, others)
            for facts, entry, _ in known
            if entry is not None and entry.answer is not None and entry.answer.is_of(device.device_key, state)
        ]
        self._stop(decided, state.value, deadline)

    def _has_consequence(self, state: DeviceState) -> bool:
        if state is DeviceState.RINGING:
            return False
        return self.options.missed if state is DeviceState.MISSED else bool(self.options.stop_ringing)

    def _tell_of_report(
        self, entry: LedgerEntry, device: DeviceRegistration, state: DeviceState, now: datetime
    ) -> None:
        milliseconds = round((now - entry.rings_from).total_seconds() * 1_000)
        telemetry.log(
            logging.INFO,
            "device_reported",
            call_id=entry.call_id,
            device=device.registration_id[:16],
            platform=device.platform.value,
            state=state.value,
            after_ms=milliseconds,
        )
        if state is DeviceState.RINGING:
            self._tools.metrics.record(Metric.TIME_TO_RING, milliseconds, platform=device.platform.value)

    def is_over(self, entry_id: str, facts: RingFacts) -> bool:
        """The call has ended, or was answered or declined.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it is not known.
        """
        return why_over(*self._look(entry_id, facts)) is not None

    def overtaken(
        self,
        entry_id: str,
        facts: RingFacts,
        devices: Sequence[DeviceRegistration],
        records: Mapping[str, DeviceRecord],
        deadline: float,
    ) -> EndReport | None:
        """Draw the conclusions from an end, an answer or a report that came before a ring's results were
        written.

        Args:
            entry_id: of the ring.
            facts: of the ring.
            devices: of the callee.
            records: what became of their rings, in this delivery and earlier ones; written down before.
            deadline: monotonic time after which nothing is sent.

        Returns:
            What followed; None if the call still rings.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it is not known.
        """
        entry, marks = self._look(entry_id, facts)
        reason = why_over(entry, marks)
        if entry is None or reason is None:
            return None
        ring = _Ring(entry, facts, devices)
        stops = self._stop([replace(ring, entry=replace(entry, devices=records))], reason, deadline)
        if not self.options.missed or not is_unanswered(entry, marks):
            return EndReport(1, stops)
        missed = self._tell_missed(self._unanswered([ring]), deadline, self._ring_end(entry))
        return EndReport(1, stops, missed)

    def not_rung(self, entry_id: str, facts: RingFacts, deadline: float) -> None:
        """Tell of a call that has rung no device and will ring none, unless it was answered. It never fails a
        ring."""
        if not self.options.missed:
            return
        try:
            entry, marks = self._look(entry_id, facts)
            now = self._tools.clock.now()
            if entry is None or entry.has_rung or entry.is_held(now) or not is_unanswered(entry, marks):
                return
            self._tell_missed([_Ring(entry, facts, self._devices_of(facts))], deadline, now)
        except (DatabaseUnavailableError, ConfigurationError) as error:
            telemetry.log(logging.WARNING, "missed_call_not_told", code=error.code)

    def fall_back(
        self,
        entry_id: str,
        facts: RingFacts,
        refused: Sequence[DeviceRegistration],
        devices: Sequence[DeviceRegistration],
        deadline: float,
    ) -> frozenset[str]:
        """Show the incoming call on iPhones whose VoIP push was refused or could not be sent.

        Returns:
            Keys of the devices that show it, or have been shown it by an earlier delivery. This counts as
            rung. It never fails a ring.
        """
        keys = {device.device_key for device in refused if device.platform is Platform.APPLE}
        wanted = [device for device in showing(devices) if device.device_key in keys]
        if not self.options.fallback or not wanted:
            return frozenset()
        info = _visible("incomingCall", self.options.incoming_call, facts, time_sensitive=True)
        try:
            entry, marks = self._look(entry_id, facts)
            if entry is None or why_over(entry, marks) is not None:
                return frozenset()
            ends_at = self._ring_end(entry)
            notices = [Notice(entry, device, partial(self._show, info, ends_at)) for device in wanted]
            report = self._tools.notices.send(NoticeKind.FALLBACK, notices, deadline, ends_at)
        except (DatabaseUnavailableError, ConfigurationError) as error:
            telemetry.log(logging.WARNING, "fallback_not_sent", code=error.code)
            return frozenset()
        return report.sent_to | entry.shown

    def _stop(self, rings: "Sequence[_Ring]", reason: str, deadline: float) -> NoticeReport:
        """Tell devices that were rung, and have not ended the call themselves, to ring no more."""
        now = self._tools.clock.now()
        ringing = [ring for ring in rings if self._ring_end(ring.entry) > now]
        if not ringing or not self.options.stop_ringing:
            return NoticeReport()
        notices = [
            Notice(
                ring.entry,
                device,
                partial(self._stop_push, _stop_info(ring, reason)),
                self._ring_end(ring.entry),
            )
            for ring in ringing
            for device in calling(ring.devices)
            if device.platform in self.options.stop_ringing
            and may_ring(device, ring.entry.devices)
            and not ring.entry.has_ended_for(device.device_key)
        ]
        last = max(self._ring_end(ring.entry) for ring in ringing)
        return self._tools.notices.send(NoticeKind.STOP, notices, deadline, last)

    def _tell_missed(self, rings: "Sequence[_Ring]", deadline: float, worth_until: datetime) -> NoticeReport:
        lasts_until = self._tools.clock.now() + MISSED_LIFE
        notices = []
        for ring in rings:
            info = _visible("missedCall", self.options.missed_call, ring.facts, time_sensitive=False)
            build = partial(self._show, info, lasts_until)
            notices += [Notice(ring.entry, device, build) for device in showing(ring.devices)]
        return self._tools.notices.send(NoticeKind.MISSED, notices, deadline, worth_until)

    def _stop_push(self, info: StopInfo, device: DeviceRegistration) -> Push:
        return build_stop(device.platform, info, self._tools.clock.now())

    def _show(self, info: VisibleInfo, ends_at: datetime, device: DeviceRegistration) -> Push:
        return build_visible(device.platform, info, self._tools.clock.now(), ends_at)

    def _devices_of(self, facts: RingFacts) -> Sequence[DeviceRegistration]:
        # As the event has the MRI: an earlier release stored registrations under that spelling.
        return self._tools.devices.devices_of(Identity.parse(facts.recipient_id), self._tools.clock.now())

    def _ring_end(self, entry: LedgerEntry) -> datetime:
        return entry.rings_from + self._ring_time


@dataclass(frozen=True, slots=True)
class _Ring:
    """A ring, and the callee's devices."""

    entry: LedgerEntry
    facts: RingFacts
    devices: Sequence[DeviceRegistration]


def _stop_info(ring: _Ring, reason: str) -> StopInfo:
    return StopInfo(ring.entry.call_id, ring.facts.recipient_id, ring.facts.caller_id, reason)


def _visible(event: str, texts: Texts, facts: RingFacts, *, time_sensitive: bool) -> VisibleInfo:
    filled = texts.filled(facts.display_name)
    return VisibleInfo(
        event,
        facts.call_id,
        facts.caller_id,
        facts.display_name,
        filled.title,
        filled.body,
        time_sensitive=time_sensitive,
    )
