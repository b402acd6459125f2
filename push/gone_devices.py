"""Which registrations are marked, and in the end deleted, because a hub calls their devices gone."""

import logging
from collections.abc import Iterable

from common import telemetry
from common.clock import Clock
from models.device import DeviceRegistration
from models.errors import ConfigurationError, DatabaseUnavailableError
from models.push import Outcome, OutcomeKind
from push.devices import DeviceDirectory
from push.service_watch import ServiceWatch


class GoneDevices:
    """Draws the conclusions from hubs' answers to pushes of any kind. Safe to share between threads."""

    def __init__(self, devices: DeviceDirectory, watch: ServiceWatch, clock: Clock) -> None:
        """Take ready collaborators."""
        self._devices = devices
        self._watch = watch
        self._clock = clock

    def note(self, outcomes: Iterable[tuple[DeviceRegistration, Outcome]]) -> None:
        """Mark the registrations that a hub calls gone, unless it says that of most devices; remove the mark
        of those whose push it has taken. It never fails what the pushes are about."""
        answered = [(device, outcome) for device, outcome in outcomes if outcome.status is not None]
        # All answers before any conclusion: a spell is told by their number.
        for device, outcome in answered:
            self._watch.hub(device.hub).gone.note(gone=outcome.kind is OutcomeKind.GONE)
        for device, outcome in answered:
            try:
                if outcome.kind is OutcomeKind.GONE and not self._watch.hub(device.hub).gone.is_spell():
                    self._devices.note_gone(device, self._clock.now())
                elif outcome.kind is OutcomeKind.ACCEPTED and device.gone_at is not None:
                    self._devices.note_alive(device)
            except (DatabaseUnavailableError, ConfigurationError) as error:
                # The next call finds out again.
                telemetry.log(logging.WARNING, "gone_device_not_noted", code=error.code)
