"""One call → every device of the callee, once each, in time."""

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from common import telemetry
from common.clock import Clock
from models.call import IncomingCall
from models.device import DeviceRegistration, Platform
from models.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    DeliveryIncompleteError,
    PushTooLargeError,
)
from models.push import DeviceResult, Outcome, OutcomeKind, Push, PushNotificationInfo
from push.fan_out import FanOut, FanOutTools, Ring
from push.hub.payload import build_push
from push.lease_keeper import LeaseKeeper
from push.ledger import EventKey, Finished, Held, Lease, Ledger
from push.retry import worth_redelivery

_FIRST_POLL_SECONDS = 0.05
_LONGEST_POLL_SECONDS = 0.5


class DeviceDirectory(Protocol):
    """All that delivery wants to know of the registrar."""

    def devices_of(self, acs_mri: str, now: datetime) -> Sequence[DeviceRegistration]:
        """The unexpired devices of a user."""
        ...

    def forget(self, registration: DeviceRegistration) -> None:
        """Delete a registration whose token is dead."""
        ...


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long things may take."""

    ring: timedelta
    """How long a call rings from its event time."""
    invocation_seconds: float
    """When an invocation is over at the latest."""
    database_seconds: float
    """The longest that one piece of work with the database takes."""

    @property
    def last_write_seconds(self) -> float:
        """What is kept free for the ledger's last write; it never takes all of a short invocation."""
        return min(self.database_seconds, self.invocation_seconds / 4)


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of one delivery of an event."""

    devices: int = 0
    """How many the callee has."""
    results: Mapping[str, DeviceResult] = field(default_factory=dict)
    """By registration id; what was settled in an earlier delivery is not among them."""
    already_settled: int = 0
    """Devices that an earlier delivery of this event has dealt with."""
    redeliver: bool = False
    """True if another delivery may still ring some of the others."""
    duplicate: bool = False
    """True if another delivery has dealt with the event, or does so now and nobody else can any more."""
    missed: bool = False
    """True if the call was over before anything could be sent."""
    first_push_age_ms: int | None = None

    def count(self, *kinds: OutcomeKind) -> int:
        """How many devices came to one of `kinds`."""
        return sum(result.outcome.kind in kinds for result in self.results.values())

    @property
    def failed(self) -> int:
        """How many have not been rung and are not gone."""
        reached = self.count(OutcomeKind.ACCEPTED, OutcomeKind.GONE)
        return self.devices - self.already_settled - reached

    @property
    def retried(self) -> int:
        """How many sends were repetitions."""
        return sum(result.attempts - 1 for result in self.results.values() if result.attempts)


class Delivery:
    """Rings the devices of a callee. Safe to share between threads."""

    def __init__(
        self, devices: DeviceDirectory, ledger: Ledger, tools: FanOutTools, limits: TimeLimits
    ) -> None:
        """Take ready collaborators."""
        self._devices = devices
        self._ledger = ledger
        self._tools = tools
        self._limits = limits

    @property
    def _clock(self) -> Clock:
        return self._tools.clock

    def deliver(self, call: IncomingCall, call_context: str) -> DeliveryReport:
        """Ring each device of the callee that no earlier delivery of this event has rung.

        Args:
            call: the call.
            call_context: `cp` of the push.

        Raises:
            DatabaseUnavailableError, ConfigurationError: the devices, or who has rung them, are not known.
            DeliveryIncompleteError: another instance is still ringing them.
        """
        started = self._clock.monotonic()
        key = EventKey(call.event_source, call.event_id, call.correlation_id)
        with self._ledger.within(self._limits.invocation_seconds):
            claim = self._claim(key, started)
            if isinstance(claim, Finished):
                return DeliveryReport(duplicate=True)
            if isinstance(claim, Held):
                return self._left_to_its_holder(call, claim)
            keeper = LeaseKeeper(self._ledger, claim, self._clock, self._tools.sender.longest_send_seconds)
            try:
                report = self._ring(call, call_context, claim, keeper, started)
            except Exception:
                keeper.release()
                raise
            if report.redeliver or keeper.lost:
                keeper.release()
            else:
                keeper.finish()
            return report

    def _claim(self, key: EventKey, started: float) -> Lease | Held | Finished:
        """The lease; where another instance has it, whatever comes of waiting for that one."""
        # What follows a claim needs the database twice before anything is sent, and once after.
        wait_until = started + self._limits.invocation_seconds - 3 * self._limits.last_write_seconds
        holder = uuid.uuid4().hex
        pause = _FIRST_POLL_SECONDS
        while True:
            claim = self._ledger.claim(key, holder, self._clock.now())
            if not isinstance(claim, Held) or self._clock.monotonic() + pause > wait_until:
                return claim
            self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)

    def _left_to_its_holder(self, call: IncomingCall, held: Held) -> DeliveryReport:
        """Nobody acknowledges another's unfinished work, unless a redelivery came too late to go on with it.

        Raises:
            DeliveryIncompleteError: a redelivery may have to.
        """
        ends_at = call.ends_at(self._limits.ring, held.first_seen)
        if worth_redelivery(None, (ends_at - self._clock.now()).total_seconds()):
            raise DeliveryIncompleteError("Another instance is still ringing this event's devices.")
        return DeliveryReport(duplicate=True)

    def _ring(
        self, call: IncomingCall, call_context: str, lease: Lease, keeper: LeaseKeeper, started: float
    ) -> DeliveryReport:
        ends_at = call.ends_at(self._limits.ring, lease.first_seen)
        devices = self._devices.devices_of(call.callee.mri, self._clock.now())
        now = self._clock.now()
        if ends_at <= now:
            return DeliveryReport(devices=len(devices), missed=True)
        open_devices = [device for device in devices if device.registration_id not in lease.settled]
        rings, results = _plan(open_devices, _Pushes(_push_info(call, call_context), ends_at, self._clock))
        for registration_id, result in results.items():
            keeper.note(registration_id, result)
        age = _Age(self._clock, ends_at - self._limits.ring)
        age_before = age.milliseconds()
        FanOut(self._tools, keeper, self._deadline(started, ends_at), age.milliseconds).run(rings)
        for ring in rings:
            if ring.outcome is not None:
                result = DeviceResult(ring.outcome, ring.attempts, age.milliseconds())
                results[ring.device.registration_id] = result
        self._forget_gone(rings)
        ring_left = (ends_at - self._clock.now()).total_seconds()
        return DeliveryReport(
            devices=len(devices),
            results=results,
            already_settled=len(devices) - len(open_devices),
            redeliver=any(worth_redelivery(ring.outcome, ring_left) for ring in rings),
            first_push_age_ms=age_before if any(ring.attempts for ring in rings) else None,
        )

    def _deadline(self, started: float, ends_at: datetime) -> float:
        """Monotonic time after which nothing is sent: there has to be time for the ledger's last write."""
        ring_end = self._clock.monotonic() + (ends_at - self._clock.now()).total_seconds()
        return min(ring_end, started + self._limits.invocation_seconds - self._limits.last_write_seconds)

    def _forget_gone(self, rings: Sequence[Ring]) -> None:
        for ring in rings:
            if ring.outcome is not None and ring.outcome.kind is OutcomeKind.GONE:
                try:
                    self._devices.forget(ring.device)
                except (DatabaseUnavailableError, ConfigurationError) as error:
                    # The next call finds out again.
                    telemetry.log(logging.WARNING, "registration_not_forgotten", code=error.code)


class _Age:
    """How old the call is."""

    def __init__(self, clock: Clock, began: datetime) -> None:
        self._clock = clock
        self._began = began

    def milliseconds(self) -> int:
        return round((self._clock.now() - self._began).total_seconds() * 1_000)


def _push_info(call: IncomingCall, call_context: str) -> PushNotificationInfo:
    return PushNotificationInfo(
        call_context=call_context,
        call_id=call.correlation_id,
        recipient_id=call.callee.mri,
        caller_id=call.caller_mri,
        display_name=call.caller_display_name,
    )


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
    devices: Sequence[DeviceRegistration], pushes: _Pushes
) -> tuple[list[Ring], dict[str, DeviceResult]]:
    """The devices to ring, and the results of those for which there can be no push."""
    refusals = {platform: pushes.refusal(platform) for platform in {device.platform for device in devices}}
    rings: list[Ring] = []
    results: dict[str, DeviceResult] = {}
    for device in devices:
        if refusal := refusals[device.platform]:
            results[device.registration_id] = DeviceResult(refusal, 0, 0)
        else:
            rings.append(Ring(device, partial(pushes.build, device.platform)))
    return rings, results
