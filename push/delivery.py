"""One call → every device of the callee, side by side."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from clock import Clock
from models.call import IncomingCall
from models.device import DeviceRegistration, Platform
from models.errors import PushTooLargeError
from models.push import Outcome, OutcomeKind, Push, PushNotificationInfo
from push.payload import build_push


class DeviceDirectory(Protocol):
    """All that delivery wants to know of the registrar."""

    def devices_of(self, acs_mri: str, now: datetime) -> Sequence[DeviceRegistration]:
        """The unexpired devices of a user."""
        ...


class Sender(Protocol):
    """All that delivery wants to know of the hub."""

    def send(self, push: Push, device_token: str) -> Outcome:
        """Send a push to one device, once."""
        ...


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of a call: the outcome of each device, by its registration id."""

    outcomes: Mapping[str, Outcome]

    def count(self, *kinds: OutcomeKind) -> int:
        """How many devices came to one of `kinds`."""
        return sum(outcome.kind in kinds for outcome in self.outcomes.values())


class Delivery:
    """Rings the devices of a callee. Safe to share between threads."""

    def __init__(self, devices: DeviceDirectory, sender: Sender, pool: Executor, clock: Clock) -> None:
        """Take ready collaborators; `pool` bounds how many sends run at once."""
        self._devices = devices
        self._sender = sender
        self._pool = pool
        self._clock = clock

    def deliver(self, call: IncomingCall, call_context: str, ends_at: datetime) -> DeliveryReport:
        """Send the call to each device of its callee, once.

        Args:
            call: the call.
            call_context: `cp` of the push.
            ends_at: when it stops ringing.

        Raises:
            DatabaseUnavailableError, ConfigurationError: the devices are not known.
        """
        devices = self._devices.devices_of(call.callee.mri, self._clock.now())
        info = PushNotificationInfo(
            call_context=call_context,
            call_id=call.correlation_id,
            recipient_id=call.callee.mri,
            caller_id=call.caller_mri,
            display_name=call.caller_display_name,
        )
        now = self._clock.now()
        # One body serves every device of a platform.
        pushes = {platform: _push(platform, info, now, ends_at) for platform in {d.platform for d in devices}}
        outcomes = self._pool.map(lambda device: self._ring(device, pushes[device.platform]), devices)
        return DeliveryReport(
            {device.registration_id: outcome for device, outcome in zip(devices, outcomes, strict=True)}
        )

    def _ring(self, device: DeviceRegistration, push: Push | Outcome) -> Outcome:
        return push if isinstance(push, Outcome) else self._sender.send(push, device.device_token)


def _push(platform: Platform, info: PushNotificationInfo, now: datetime, ends_at: datetime) -> Push | Outcome:
    """The push for a platform, or the outcome where there can be none."""
    try:
        return build_push(platform, info, now, ends_at)
    except PushTooLargeError as error:
        return Outcome(OutcomeKind.REJECTED, error.detail)
