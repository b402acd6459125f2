"""A call that was answered, declined or ended → stop pushes; a missed call → a visible one.

Three sides know something: events of the call (`ended`), reports of the phones (`reported`), and the ring's
own delivery, which looks for an end that overtook it (`overtaken`, `not_rung`). Each writes down what it
knows before anything is sent, and every notice is claimed in the ledger. So all sides may come to the same
conclusion at once, on any instance.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from common import telemetry
from common.clock import Clock
from common.metrics import Metric, Metrics
from models.call import IncomingCall
from models.call_end import CallEnd
from models.device import DeviceRegistration
from models.errors import ConfigurationError, DatabaseUnavailableError
from models.identity import Identity
from models.notifications import NotificationOptions, Texts
from models.platform import Platform
from models.push import Push, StopInfo, VisibleInfo
from models.report import CallReport, DeviceState
from push.call_states import CallStates, Marks
from push.devices import DeviceDirectory, calling, showing
from push.hub.payload import build_stop
from push.hub.visible_payload import build_visible
from push.ledger_entry import Answer, AnswerKind, DeviceRecord, LedgerEntry, NoticeKind, RingFacts
from push.notices import NoticeReport, Notices

OVERTAKEN_SECONDS = 2.0
"""How long an end waits for a CallParticipantAdded that it has overtaken, before a call counts as missed."""

REPORT_SECONDS = 2.0
"""How long a report waits for the stops that follow from it."""

MISSED_LIFE = timedelta(days=1)
"""How long a platform keeps the notification of a missed call for a device that is off."""


@dataclass(frozen=True, slots=True)
class EndTools:
    """What every end's handling uses."""

    states: CallStates
    devices: DeviceDirectory
    notices: Notices
    clock: Clock
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class EndReport:
    """What followed from the end of a call."""

    rings: int = 0
    """Rings of the call that are known."""
    stops: NoticeReport = field(default_factory=NoticeReport)
    missed: NoticeReport = field(default_factory=NoticeReport)

    def __add__(self, other: "EndReport") -> "EndReport":
        return EndReport(self.rings + other.rings, self.stops + other.stops, self.missed + other.missed)

    @property
    def left_over(self) -> int:
        """Notices that a redelivery of the event may still send."""
        return self.stops.left_over + self.missed.left_over


class CallEnds:
    """Draws the conclusions from ends, answers and reports. Safe to share between threads and instances."""

    def __init__(
        self, tools: EndTools, options: NotificationOptions, ring_time: timedelta, waiting_threads: int
    ) -> None:
        """Take ready collaborators.

        Args:
            tools: shared by all ends.
            options: what the deployment has switched on.
            ring_time: how long a call rings.
            waiting_threads: how many threads may wait at once for an event that was overtaken.
        """
        self.options = options
        self._tools = tools
        self._ring_time = ring_time
        self._waiting = threading.BoundedSemaphore(max(1, waiting_threads))

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
        at = end.time or self._tools.clock.now()
        # First: a ring that is under way, or arrives later, looks for the mark.
        self._tools.states.mark(end, at)
        report = EndReport()
        for entry in self._tools.states.rings_of(end, at):
            report += self._ring_ended(entry, end, at, deadline)
        return report

    def _ring_ended(self, entry: LedgerEntry, end: CallEnd, at: datetime, deadline: float) -> EndReport:
        if entry.facts is None:
            return EndReport()
        devices = self._devices_of(entry.facts)
        if end.joined is not None:
            self._tools.states.answer(entry.id, Answer(AnswerKind.ANSWERED, at))
            return EndReport(1, self._stop(entry, devices, entry.devices, "answered", deadline))
        self._tools.states.end(entry.id, at)
        stops = self._stop(entry, devices, entry.devices, "ended", deadline)
        if not self.options.missed or not self._is_unanswered(entry.id, entry.facts):
            return EndReport(1, stops)
        return EndReport(1, stops, self._tell_missed(entry, devices, deadline))

    def _is_unanswered(self, entry_id: str, facts: RingFacts) -> bool:
        """No device is known to have answered or declined, after a wait for an event that was overtaken."""
        if not self._looks_unanswered(entry_id, facts):
            return False
        # A wait must not delay rings: a few threads wait, the others decide at once.
        if self._waiting.acquire(blocking=False):
            try:
                self._tools.clock.sleep(OVERTAKEN_SECONDS)
            finally:
                self._waiting.release()
        return self._looks_unanswered(entry_id, facts)

    def _looks_unanswered(self, entry_id: str, facts: RingFacts) -> bool:
        entry, marks = self._tools.states.look(entry_id, facts)
        return entry is not None and entry.answer is None and not marks.joined(entry.rings_from)

    def reported(self, report: CallReport) -> bool:
        """Write down what a phone reports, and draw the conclusions; False if no such call rang for the
        callee.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        now = self._tools.clock.now()
        rings = self._tools.states.rings_to(report.owner, report.call_id)
        devices = self._tools.devices.devices_of(report.owner, now)
        device = next((each for each in devices if each.device_uuid == report.device_uuid), None)
        if not rings or device is None:
            return False
        entry = rings[0]
        if self._tools.states.report(entry.id, device.device_key, report.state, now):
            self._tell_of_report(entry, device, report.state, now)
            try:
                self._conclude(entry, device, devices, report.state)
            except (DatabaseUnavailableError, ConfigurationError) as error:
                # The report is written down; what follows from it must not fail it.
                telemetry.log(logging.WARNING, "report_without_consequence", code=error.code)
        return True

    def _conclude(
        self,
        entry: LedgerEntry,
        device: DeviceRegistration,
        devices: Sequence[DeviceRegistration],
        state: DeviceState,
    ) -> None:
        now, deadline = self._tools.clock.now(), self._tools.clock.monotonic() + REPORT_SECONDS
        if state in {DeviceState.ANSWERED, DeviceState.DECLINED}:
            answer = Answer(AnswerKind(state.value), now, device.device_key)
            if self._tools.states.answer(entry.id, answer):
                others = [each for each in devices if each.device_key != device.device_key]
                self._stop(entry, others, entry.devices, state.value, deadline)
        elif state is DeviceState.MISSED and self.options.missed and entry.facts is not None:
            over = self._ring_end(entry) <= now or not _another_rings(entry, device, devices)
            if over and self._looks_unanswered(entry.id, entry.facts):
                self._tell_missed(entry, devices, deadline)

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
        """The call has ended, or was answered or declined, before this delivery has sent anything.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it is not known.
        """
        return (
            self.options.needs_call_ends
            and self._reason(*self._tools.states.look(entry_id, facts)) is not None
        )

    def overtaken(
        self,
        entry_id: str,
        facts: RingFacts,
        devices: Sequence[DeviceRegistration],
        records: Mapping[str, DeviceRecord],
        deadline: float,
    ) -> None:
        """Stop devices that were rung although the call was over, or became so meanwhile. It never fails a
        ring.

        Args:
            entry_id: of the ring.
            facts: of the ring.
            devices: of the callee.
            records: what became of their rings, in this delivery and earlier ones.
            deadline: monotonic time after which nothing is sent.
        """
        if not self.options.stop_ringing:
            return
        try:
            entry, marks = self._tools.states.look(entry_id, facts)
            reason = self._reason(entry, marks)
            if entry is not None and reason is not None:
                self._stop(entry, devices, records, reason, deadline)
        except (DatabaseUnavailableError, ConfigurationError) as error:
            telemetry.log(logging.WARNING, "call_end_not_looked_up", code=error.code)

    def not_rung(self, entry_id: str, facts: RingFacts, deadline: float) -> None:
        """Tell of a call that has rung no device and will ring none, unless it was answered. It never fails a
        ring."""
        if not self.options.missed:
            return
        try:
            entry, marks = self._tools.states.look(entry_id, facts)
            if entry is not None and entry.answer is None and not marks.joined(entry.rings_from):
                self._tell_missed(entry, self._devices_of(facts), deadline)
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
            Keys of the devices that show it, which counts as rung. It never fails a ring.
        """
        keys = {device.device_key for device in refused if device.platform is Platform.APPLE}
        wanted = [device for device in showing(devices) if device.device_key in keys]
        if not self.options.fallback or not wanted:
            return frozenset()
        info = _visible("incomingCall", self.options.incoming_call, facts, time_sensitive=True)
        try:
            entry, _ = self._tools.states.look(entry_id, facts)
            if entry is None:
                return frozenset()
            ends_at = self._ring_end(entry)
            report = self._tools.notices.send(
                entry, NoticeKind.FALLBACK, wanted, lambda device: self._show(device, info, ends_at), deadline
            )
        except (DatabaseUnavailableError, ConfigurationError) as error:
            telemetry.log(logging.WARNING, "fallback_not_sent", code=error.code)
            return frozenset()
        return report.sent_to

    def _stop(
        self,
        entry: LedgerEntry,
        devices: Sequence[DeviceRegistration],
        records: Mapping[str, DeviceRecord],
        reason: str,
        deadline: float,
    ) -> NoticeReport:
        """Tell devices that were rung, and have not ended the call themselves, to ring no more."""
        ring_left = (self._ring_end(entry) - self._tools.clock.now()).total_seconds()
        if entry.facts is None or ring_left <= 0 or not self.options.stop_ringing:
            return NoticeReport()
        facts = entry.facts
        info = StopInfo(entry.call_id, facts.recipient_id, facts.caller_id, reason)
        wanted = [
            device
            for device in calling(devices)
            if device.platform in self.options.stop_ringing
            and _may_ring(device, records)
            and not entry.has_ended_for(device.device_key)
        ]
        return self._tools.notices.send(
            entry,
            NoticeKind.STOP,
            wanted,
            lambda device: build_stop(device.platform, info, self._tools.clock.now()),
            min(deadline, self._tools.clock.monotonic() + ring_left),
        )

    def _tell_missed(
        self, entry: LedgerEntry, devices: Sequence[DeviceRegistration], deadline: float
    ) -> NoticeReport:
        if entry.facts is None:
            return NoticeReport()
        info = _visible("missedCall", self.options.missed_call, entry.facts, time_sensitive=False)
        lasts_until = self._tools.clock.now() + MISSED_LIFE
        return self._tools.notices.send(
            entry,
            NoticeKind.MISSED,
            showing(devices),
            lambda device: self._show(device, info, lasts_until),
            deadline,
        )

    def _show(self, device: DeviceRegistration, info: VisibleInfo, ends_at: datetime) -> Push:
        return build_visible(device.platform, info, self._tools.clock.now(), ends_at)

    def _devices_of(self, facts: RingFacts) -> Sequence[DeviceRegistration]:
        return self._tools.devices.devices_of(Identity.parse(facts.callee), self._tools.clock.now())

    def _ring_end(self, entry: LedgerEntry) -> datetime:
        return entry.rings_from + self._ring_time

    @staticmethod
    def _reason(entry: LedgerEntry | None, marks: Marks) -> str | None:
        """Why the call rings no more; None while it rings."""
        if entry is None:
            return None
        if entry.answer is not None:
            return entry.answer.kind.value
        if marks.joined(entry.rings_from):
            return AnswerKind.ANSWERED.value
        return "ended" if entry.ended_at is not None or marks.ended(entry.rings_from) else None


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


def _may_ring(device: DeviceRegistration, records: Mapping[str, DeviceRecord]) -> bool:
    """The device's push was accepted, or may have been; it may have another token by now."""
    return any(
        record.may_have_rung
        for name, record in records.items()
        if name == device.registration_id or record.device_key == device.device_key
    )


def _another_rings(
    entry: LedgerEntry, device: DeviceRegistration, devices: Sequence[DeviceRegistration]
) -> bool:
    """Another device of the callee has been rung and is not known to ring no more."""
    over = {DeviceState.ANSWERED, DeviceState.DECLINED, DeviceState.MISSED}
    return any(
        _may_ring(other, entry.devices)
        and not over & entry.reports.get(other.device_key, {}).keys()
        and other.device_key not in entry.notices.get(NoticeKind.STOP, {})
        for other in calling(devices)
        if other.device_key != device.device_key
    )
