"""What push needs of the registrar, which it must not import, and which registration serves what."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from models.device import DeviceRegistration, Purpose
from models.identity import Identity
from models.platform import Platform


class DeviceDirectory(Protocol):
    """The registrations."""

    def devices_of(self, owner: Identity, now: datetime) -> Sequence[DeviceRegistration]:
        """The unexpired registrations of a user: of each device and purpose the newest."""
        ...

    def note_gone(self, registration: DeviceRegistration, now: datetime) -> None:
        """Mark a registration that the hub calls gone; delete it if an earlier call marked it."""
        ...

    def note_alive(self, registration: DeviceRegistration) -> None:
        """Remove such a mark."""
        ...


def calling(devices: Sequence[DeviceRegistration]) -> list[DeviceRegistration]:
    """The registrations that ring."""
    return [device for device in devices if device.purpose is Purpose.CALLS]


def showing(devices: Sequence[DeviceRegistration]) -> list[DeviceRegistration]:
    """The registrations that take visible notifications: an iPhone has another token for them.

    A token for alerts counts only beside the same device's token for calls: else a phone that another user
    has signed in on would show the former user's missed calls.
    """
    keys = {device.device_key for device in calling(devices)}
    return [
        device
        for device in devices
        if (device.purpose is Purpose.ALERTS and device.device_key in keys)
        or (device.purpose is Purpose.CALLS and device.platform is not Platform.APPLE)
    ]
