"""One call → every device of the callee, once each, in time."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from common.clock import Clock
from common.patience import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, patiently
from models.call import IncomingCall
from models.device import DeviceRegistration
from models.errors import PushTooLargeError
from models.platform import Platform
from models.push import UNUSABLE_TOKEN, DeviceResult, Outcome, OutcomeKind, Push, PushNotificationInfo
from push.call_end import CallEnds
from push.devices import DeviceDirectory, calling
from push.event_log import EventResult
from push.fan_out import DeviceSend, FanOut, FanOutTools
from push.gone_devices import GoneDevices
from push.hub.payload import build_push
from push.lease_keeper import LeaseKeeper
from push.ledger import Finished, HeldElsewhere, Lease, Ledger
from push.ledger_entry import DeviceRecord, EventKey, RingFacts
from push.retry import Tries, worth_redelivery
from push.ring_watch import RingWatch, WatchedRing
from push.service_watch import ServiceWatch

RESERVED_SECONDS = 4.0
"""What is kept of the invocation for sending and writing after a lease or a database has been waited for."""

RUNG_BEFORE = "an earlier delivery has rung a device, and the call has stopped ringing"

LATE_MILLISECONDS = 2_000
"""Age from which an event that is new may have been overtaken by the end of its call."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long things may take."""

    ring_time: timedelta
    """How long a call rings from its event time."""
    invocation_seconds: float
    """When an invocation is over at the latest."""
    database_seconds: float
    """The longest that one piece of work with the database takes."""
    send_seconds: float
    """The longest that one send takes."""

    @property
    def last_write_seconds(self) -> float:
        """What is kept free for the ledger's last write; it never takes all of a short invocation."""
        return min(self.database_seconds, self.invocation_seconds / 4)

    @property
    def patience_seconds(self) -> float:
        """How long a lease or a database is waited for, from the start of the invocation."""
        return self.invocation_seconds - min(RESERVED_SECONDS, self.invocation_seconds / 2)


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of one delivery of an event."""

    result: EventResult
    reason: str | None = None
    """Where the result alone does not say it."""
    devices: int = 0
    """How many the callee has."""
    results: Mapping[str, DeviceResult] = field(default_factory=dict)
    """By registration id, of the devices that this delivery has dealt with."""
    already_settled: int = 0
    """Devices that earlier deliveries of this event have dealt with."""
    first_push_age_ms: int | None = None
    is_missed: bool = False
    """No device has rung, and none will."""

    def count(self, kind: OutcomeKind) -> int:
        """How many devices came to an outcome of that kind."""
        return sum(result.outcome.kind is kind for result in self.results.values())

    @property
    def failed(self) -> int:
        """How many devices have not been rung and are not gone."""
        reached = self.count(OutcomeKind.ACCEPTED) + self.count(OutcomeKind.GONE)
        return self.devices - self.already_settled - reached

    @property
    def retried(self) -> int:
        """How many sends were repetitions."""
        return sum(result.attempts - 1 for result in self.results.values() if result.attempts)


@dataclass(frozen=True, slots=True)
class DeliveryTools:
    """What every delivery uses."""

    devices: DeviceDirectory
    ledger: Ledger
    ends: CallEnds
    sending: FanOutTools


class Delivery:
    """Rings the devices of a callee. Safe to share between threads."""

    def __init__(self, tools: DeliveryTools, limits: TimeLimits, watch: ServiceWatch) -> None:
        """Take ready collaborators."""
        self._devices = tools.devices
        self._ledger = tools.ledger
        self._ends = tools.ends
        self._tools = tools.sending
        self._limits = limits
        self._watch = watch
        self._gone_devices = GoneDevices(tools.devices, watch, tools.sending.clock)

    @property
    def _clock(self) -> Clock:
        return self._tools.clock

    def deliver(self, call: IncomingCall, call_context: str) -> DeliveryReport:
        """Ring each device of the callee that no earlier delivery of this event has rung.

        Args:
            call: the call.
            call_context: `cp` of the push.

        Raises:
            DatabaseUnavailableError, ConfigurationError: the devices, or which of them have rung, are not
                known.
        """
        started = self._clock.monotonic()
        wait_until = started + self._limits.patience_seconds
        key = EventKey(call.event_source, call.event_id, call.correlation_id)
        facts = self._ends.facts_of(call)
        with self._ledger.within(self._limits.invocation_seconds):
            claim = self._claim(key, facts, wait_until)
            self._watch.database.succeeded()
            if isinstance(claim, Finished):
                return DeliveryReport(EventResult.DUPLICATE)
            if isinstance(claim, HeldElsewhere):
                return self._held_elsewhere(call, claim)
            keeper = LeaseKeeper(
                self._ledger,
                claim,
                self._clock,
                self._limits.send_seconds,
                started + self._limits.invocation_seconds,
            )
            try:
                devices = patiently(
                    lambda: self._devices.devices_of(call.callee, self._clock.now()),
                    self._clock,
                    wait_until,
                )
                report = self._ring(_Ringing(call, facts, call_context, claim, devices), keeper, started)
            except Exception:
                keeper.release()
                raise
            # The ledger is written first: a redelivery at this moment must find what has rung.
            if report.result is EventResult.INCOMPLETE or keeper.lost:
                keeper.release()
            else:
                keeper.finish()
            self._gone_devices.note(
                (device, result.outcome)
                for device in devices
                if (result := report.results.get(device.registration_id)) is not None
            )
            if report.is_missed:
                self._ends.not_rung(key.document_id, facts, started + self._limits.invocation_seconds)
            return report

    def _claim(self, key: EventKey, facts: RingFacts, wait_until: float) -> Lease | HeldElsewhere | Finished:
        """The lease; while another invocation has it, wait for that one to finish or to lose it."""
        holder = uuid.uuid4().hex
        pause = FIRST_PAUSE_SECONDS
        while True:
            claim = patiently(
                lambda: self._ledger.claim(key, holder, self._clock.now(), facts), self._clock, wait_until
            )
            if not isinstance(claim, HeldElsewhere) or self._clock.monotonic() + pause > wait_until:
                return claim
            self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _held_elsewhere(self, call: IncomingCall, held: HeldElsewhere) -> DeliveryReport:
        """Raise so that Event Grid redelivers, unless a redelivery could no longer ring in time."""
        ends_at = call.ends_at(self._limits.ring_time, held.first_seen)
        ring_left = (ends_at - self._clock.now()).total_seconds()
        if worth_redelivery(None, Tries(), ring_left, misconfiguration_may_pass=False):
            return DeliveryReport(EventResult.INCOMPLETE, "another instance is still ringing the devices")
        return DeliveryReport(EventResult.DUPLICATE)

    def _ring(self, ringing: "_Ringing", keeper: LeaseKeeper, started: float) -> DeliveryReport:
        ends_at = ringing.call.ends_at(self._limits.ring_time, ringing.lease.first_seen)
        devices, open_devices = calling(ringing.devices), ringing.open_devices()
        already_settled = len(devices) - len(open_devices)
        if ends_at <= self._clock.now():
            if not ringing.has_rung():
                return DeliveryReport(EventResult.MISSED, devices=len(devices), is_missed=True)
            return DeliveryReport(
                EventResult.DELIVERED, RUNG_BEFORE, devices=len(devices), already_settled=already_settled
            )
        if not devices:
            return DeliveryReport(EventResult.SKIPPED, "the callee has no registered device")
        # An ordinary call pays no read before its first push: only a later delivery, or an event that came
        # late and may have been overtaken, looks whether the call is over.
        age = _Age(self._clock, ends_at - self._limits.ring_time)
        deadline = self._deadline(started, ends_at)
        pushes = _Pushes(ringing.push_info(), ends_at, self._clock)
        sends, results = _plan(open_devices, pushes, ringing.lease.devices)
        watch = RingWatch(
            self._ends,
            self._clock,
            WatchedRing(
                ringing.entry_id,
                ringing.facts,
                ringing.devices,
                ringing.lease.devices,
                dict(results),
                deadline,
            ),
        )
        is_late = age.milliseconds() >= LATE_MILLISECONDS and self._ends.options.needs_call_ends
        if (is_late or not ringing.lease.is_new) and not watch.still_rings():
            watch.conclude({})
            result, reason = self._conclude(ringing, [], {}, watch, ends_at)
            return DeliveryReport(result, reason, devices=len(devices), already_settled=already_settled)
        for registration_id, refusal in results.items():
            keeper.note(registration_id, refusal)
        age_before = age.milliseconds()
        fan_out = FanOut(self._tools, keeper, deadline, age.milliseconds, watch)
        fan_out.run(sends)
        results.update(fan_out.results(sends))
        if self._ends.options.needs_call_ends:
            # Before the last look: an end that comes after it finds the devices in the ledger.
            keeper.save()
        watch.finish(results)
        conclusion, reason = self._conclude(ringing, sends, results, watch, ends_at)
        return DeliveryReport(
            conclusion,
            reason,
            devices=len(devices),
            results=results,
            already_settled=already_settled,
            first_push_age_ms=age_before if any(send.tries.number for send in sends) else None,
            is_missed=watch.over is None and conclusion in {EventResult.GIVEN_UP, EventResult.SKIPPED},
        )

    def _conclude(
        self,
        ringing: "_Ringing",
        sends: Sequence[DeviceSend],
        results: Mapping[str, DeviceResult],
        watch: RingWatch,
        ends_at: datetime,
    ) -> tuple[EventResult, str | None]:
        """What the devices' outcomes, and what happened beside the sends, make of the event."""
        accepted = {result.hub for result in results.values() if result.outcome.kind is OutcomeKind.ACCEPTED}
        for hub in accepted:
            self._watch.hub(hub).grace.succeeded()
        refusing = {result.hub for result in results.values() if result.outcome.is_refused_as_misconfigured}
        may_pass = {hub for hub in refusing if self._watch.hub(hub).grace.applies()}
        ring_left = (ends_at - self._clock.now()).total_seconds()
        if watch.is_unfinished(ring_left):
            return EventResult.INCOMPLETE, None
        has_rung = bool(accepted or watch.shown or ringing.has_rung())
        if watch.over is not None:
            return (EventResult.DELIVERED if has_rung else EventResult.SKIPPED), _OVER
        if any(
            worth_redelivery(
                send.outcome,
                send.tries,
                ring_left,
                misconfiguration_may_pass=send.device.hub in may_pass,
            )
            for send in sends
            if send.device.device_key not in watch.shown
        ):
            return EventResult.INCOMPLETE, None
        if has_rung:
            return EventResult.DELIVERED, None
        if _can_never_ring(ringing.lease.devices.values(), sends, results.values()):
            return EventResult.SKIPPED, "the callee's devices are gone or have unusable tokens"
        return EventResult.GIVEN_UP, None

    def _deadline(self, started: float, ends_at: datetime) -> float:
        """Monotonic time after which nothing is sent: the ledger's last write needs time."""
        ring_end = self._clock.monotonic() + (ends_at - self._clock.now()).total_seconds()
        return min(ring_end, started + self._limits.invocation_seconds - self._limits.last_write_seconds)


@dataclass(frozen=True, slots=True)
class _Ringing:
    """A call, the lease on its event, and the callee's devices."""

    call: IncomingCall
    facts: RingFacts
    call_context: str = field(repr=False)
    lease: Lease
    devices: Sequence[DeviceRegistration]

    @property
    def entry_id(self) -> str:
        """Of the event's document."""
        return self.lease.key.document_id

    def has_rung(self) -> bool:
        """An earlier delivery has rung a device."""
        return any(record.is_accepted for record in self.lease.devices.values())

    def open_devices(self) -> list[DeviceRegistration]:
        """The devices that no earlier delivery has settled, whatever their token is by now."""
        settled = self.lease.settled
        keys = {self.lease.devices[name].device_key for name in settled}
        return [
            device
            for device in calling(self.devices)
            if device.registration_id not in settled and device.device_key not in keys
        ]

    def push_info(self) -> PushNotificationInfo:
        """What the phones are told."""
        return PushNotificationInfo(
            call_context=self.call_context,
            call_id=self.call.correlation_id,
            recipient_id=self.call.recipient_id,
            caller_id=self.call.caller_mri,
            display_name=self.call.caller_display_name,
        )


_OVER = "the call was answered or has ended"


def _can_never_ring(
    earlier: Iterable[DeviceRecord], sends: Iterable[DeviceSend], results: Iterable[DeviceResult]
) -> bool:
    """Not a missed call: the app has been removed from each device, or has registered something else.

    A device that an earlier delivery was refused, or for which no time was left, makes it one.
    """
    return (
        all(record.is_gone for record in earlier if record.is_settled)
        and all(send.outcome is not None for send in sends)
        and all(
            result.outcome.kind is OutcomeKind.GONE or result.outcome.code == UNUSABLE_TOKEN
            for result in results
        )
    )


class _Age:
    """How old the call is."""

    def __init__(self, clock: Clock, began: datetime) -> None:
        self._clock = clock
        self._began = began

    def milliseconds(self) -> int:
        return round((self._clock.now() - self._began).total_seconds() * 1_000)


@dataclass(frozen=True, slots=True)
class _Pushes:
    """The pushes of one call. Each says how long the call rings from the moment at which it is built."""

    info: PushNotificationInfo
    ends_at: datetime
    clock: Clock
    built: dict[tuple[Platform, int], Push] = field(default_factory=dict)
    """By platform and whole seconds left: one body serves all devices of a platform."""

    def build(self, platform: Platform) -> Push:
        """The push for a platform; PushTooLargeError if there can be none."""
        now = self.clock.now()
        key = platform, int((self.ends_at - now).total_seconds())
        push = self.built.get(key)
        if push is None:
            push = self.built[key] = build_push(platform, self.info, now, self.ends_at)
        return push

    def refusal(self, platform: Platform) -> Outcome | None:
        """The outcome for a platform for which there can be no push."""
        try:
            self.build(platform)
        except PushTooLargeError as error:
            return Outcome(OutcomeKind.REJECTED, error.detail, code=error.code)
        return None


def _plan(
    devices: Sequence[DeviceRegistration], pushes: _Pushes, earlier: Mapping[str, DeviceRecord]
) -> tuple[list[DeviceSend], dict[str, DeviceResult]]:
    """The devices to send to, and the results of those for which there can be no push."""
    refusals = {platform: pushes.refusal(platform) for platform in {device.platform for device in devices}}
    sends: list[DeviceSend] = []
    results: dict[str, DeviceResult] = {}
    for device in devices:
        if refusal := refusals[device.platform]:
            results[device.registration_id] = DeviceResult(
                refusal, 0, 0, 0, device.device_key, device.platform.value, device.hub
            )
        else:
            known = earlier.get(device.registration_id)
            tries = Tries(unanswered=known.unanswered if known else 0)
            sends.append(DeviceSend(device, partial(pushes.build, device.platform), tries))
    return sends, results
