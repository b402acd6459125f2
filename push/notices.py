"""Sends notices about a call: each once a device and ring, over all instances.

A notice is claimed in the ledger before it is sent. It is sent again only after a try that cannot have
arrived.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from common import telemetry
from common.clock import Clock
from common.metrics import Metric, Metrics
from models.device import DeviceRegistration
from models.errors import ConfigurationError, DatabaseUnavailableError, PushTooLargeError
from models.push import DeviceResult, Outcome, OutcomeKind, Push
from push.call_states import CallStates
from push.fan_out import DeviceSend, FanOut, FanOutTools, Unwatched
from push.gone_devices import GoneDevices
from push.lease_keeper import SHORTEST_SEND_SECONDS
from push.ledger_entry import LedgerEntry, NoticeKind, NoticeState
from push.misconfigured_hubs import tell_of_misconfigured_hubs
from push.retry import worth_redelivery
from push.service_watch import ServiceWatch
from push.waits import BoundedWaits

SHORT_SECONDS = 1.0
"""A shorter pause between two tries is not counted as a wait that may delay rings."""

_COUNTED = {NoticeKind.STOP: Metric.STOPS, NoticeKind.MISSED: Metric.MISSED_CALLS_TOLD}


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice for one device and ring."""

    entry: LedgerEntry
    device: DeviceRegistration
    build: Callable[[DeviceRegistration], Push]
    """Makes the push; PushTooLargeError if there can be none."""
    ends_at: datetime | None = None
    """When it must not be sent any more; None if the end of all is soon enough."""

    def fits(self) -> bool:
        """There can be such a push: the ids of the call may be too long for one."""
        try:
            self.build(self.device)
        except PushTooLargeError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class NoticeReport:
    """What became of the notices of one kind."""

    sent: int = 0
    sent_to: frozenset[str] = frozenset()
    """Device keys."""
    left_over: int = 0
    """Notices that have not arrived, and that a redelivery of the event may still send in time."""
    not_sent: int = 0
    """Refused, not known to have arrived, or too late."""


@dataclass(frozen=True, slots=True)
class NoticeTools:
    """What every notice's sending uses."""

    states: CallStates
    sending: FanOutTools
    watch: ServiceWatch
    gone_devices: GoneDevices
    metrics: Metrics
    waits: BoundedWaits


class Notices:
    """Sends notices. Safe to share between threads and instances."""

    def __init__(self, tools: NoticeTools) -> None:
        """Take ready collaborators."""
        self._tools = tools

    @property
    def _clock(self) -> Clock:
        return self._tools.sending.clock

    def send(
        self, kind: NoticeKind, notices: Sequence[Notice], deadline: float, worth_until: datetime
    ) -> NoticeReport:
        """Send each notice, unless the device has had one of its kind for the ring; all side by side.

        Args:
            kind: of the notices.
            notices: at most one for each device and ring.
            deadline: monotonic time after which nothing is sent.
            worth_until: when a redelivery of the event comes too late for them.

        Raises:
            DatabaseUnavailableError, ConfigurationError: those that could not be claimed are not sent.
        """
        wanted = [
            notice
            for notice in notices
            if notice.device.device_key not in notice.entry.notices.get(kind, {}) and notice.fits()
        ]
        claims = _Claims(self._tools.states, kind, lambda: deadline - self._clock.monotonic())
        # One push serves a device that two rings of a call are about.
        sends: dict[str, DeviceSend] = {}
        try:
            for entry_id, of_ring in _by_ring(wanted).items():
                own = self._tools.states.claim(
                    entry_id, kind, [notice.device.device_key for notice in of_ring]
                )
                for notice in of_ring:
                    if notice.device.device_key in own:
                        claims.add(notice)
                        self._add(notice, sends)
        finally:
            # Those that are claimed are sent even where a later claim fails: a redelivery cannot claim them.
            self._fan_out(list(sends.values()), claims, deadline)
        report = self._report(list(sends.values()), worth_until)
        if report.sent and kind in _COUNTED:
            self._tools.metrics.record(_COUNTED[kind], report.sent)
        return report

    def _add(self, notice: Notice, sends: dict[str, DeviceSend]) -> None:
        """Plan a send. One that serves two rings may be sent until the later one ends."""
        ends_at = float("inf")
        if notice.ends_at is not None:
            seconds_left = (notice.ends_at - self._clock.now()).total_seconds()
            ends_at = self._clock.monotonic() + seconds_left
        planned = sends.get(notice.device.registration_id)
        if planned is None:
            send = DeviceSend(notice.device, partial(notice.build, notice.device), ends_at=ends_at)
            sends[notice.device.registration_id] = send
        else:
            planned.ends_at = max(planned.ends_at, ends_at)

    def _fan_out(self, sends: Sequence[DeviceSend], claims: "_Claims", deadline: float) -> None:
        if not sends:
            return
        fan_out = FanOut(self._tools.sending, claims, deadline, lambda: 0, _Repetitions(self._tools.waits))
        fan_out.run(sends)
        claims.settle({send.device.registration_id: _state(send.outcome) for send in sends})
        results = fan_out.results(sends).values()
        for result in results:
            if result.outcome.kind is OutcomeKind.ACCEPTED:
                self._tools.watch.hub(result.hub).grace.succeeded()
        tell_of_misconfigured_hubs(results)
        self._tools.gone_devices.note(
            (send.device, send.outcome) for send in sends if send.outcome is not None
        )

    def _report(self, sends: Sequence[DeviceSend], worth_until: datetime) -> NoticeReport:
        refusing = {send.device.hub for send in sends if _is_refused(send.outcome)}
        may_pass = {hub for hub in refusing if self._tools.watch.hub(hub).grace.applies()}
        seconds_left = (worth_until - self._clock.now()).total_seconds()
        sent_to = frozenset(
            send.device.device_key for send in sends if _state(send.outcome) is NoticeState.SENT
        )
        left_over = sum(
            _state(send.outcome) is None
            and worth_redelivery(
                send.outcome,
                send.tries,
                min(seconds_left, send.ends_at - self._clock.monotonic()),
                misconfiguration_may_pass=send.device.hub in may_pass,
            )
            for send in sends
        )
        return NoticeReport(len(sent_to), sent_to, left_over, len(sends) - len(sent_to) - left_over)


def _by_ring(notices: Sequence[Notice]) -> Mapping[str, Sequence[Notice]]:
    found: dict[str, list[Notice]] = {}
    for notice in notices:
        found.setdefault(notice.entry.id, []).append(notice)
    return found


def _is_refused(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.is_refused_as_misconfigured


class _Repetitions(Unwatched):
    """When a notice is sent again."""

    repeats_unanswered = False

    def __init__(self, waits: BoundedWaits) -> None:
        self._waits = waits

    def pause(self, seconds: float, clock: Clock) -> bool:
        """Where too many threads wait for long already, the redelivery of the event sends the rest."""
        return super().pause(seconds, clock) if seconds < SHORT_SECONDS else self._waits.wait(seconds)


class _Claims:
    """What a fan-out needs instead of a lease: the claims are kept for ever, so a send is bounded by time
    alone."""

    send_until = float("inf")

    def __init__(self, states: CallStates, kind: NoticeKind, seconds_left: Callable[[], float]) -> None:
        self._states = states
        self._kind = kind
        self._seconds_left = seconds_left
        self._claimed: dict[str, list[Notice]] = {}
        self._unsaved: dict[str, NoticeState | None] = {}

    def add(self, notice: Notice) -> None:
        """Keep a claim."""
        self._claimed.setdefault(notice.device.registration_id, []).append(notice)

    def prepare_send(self) -> bool:
        # In less time the answer may not come, and a notice that may have arrived is not sent again.
        return self._seconds_left() >= SHORTEST_SEND_SECONDS

    def note(self, registration_id: str, result: DeviceResult) -> None:
        self._unsaved[registration_id] = _state(result.outcome)

    def save(self) -> None:
        final = {name: state for name, state in self._unsaved.items() if state is not None}
        if final:
            self.settle(final)

    def settle(self, states: Mapping[str, NoticeState | None]) -> None:
        """Write down what became of the notices, by registration id. A claim that stays keeps a notice from
        being sent twice."""
        self._unsaved.clear()
        notices = [notice for name in states for notice in self._claimed[name]]
        try:
            for entry_id, of_ring in _by_ring(notices).items():
                by_key = {
                    notice.device.device_key: states[notice.device.registration_id] for notice in of_ring
                }
                self._states.settle(entry_id, self._kind, by_key)
        except (DatabaseUnavailableError, ConfigurationError) as error:
            telemetry.log(logging.WARNING, "notice_not_written", notice=self._kind.value, code=error.code)


_PASSING = frozenset({OutcomeKind.TRANSIENT, OutcomeKind.THROTTLED})


def _state(outcome: Outcome | None) -> NoticeState | None:
    """What is written of a notice; None where it cannot have arrived and may be sent again."""
    if outcome is None:
        return None
    if outcome.kind is OutcomeKind.ACCEPTED:
        return NoticeState.SENT
    if outcome.unanswered is not None:
        return NoticeState.UNKNOWN
    may_be_sent_again = outcome.kind in _PASSING or outcome.is_refused_as_misconfigured
    return None if may_be_sent_again else NoticeState.REFUSED
