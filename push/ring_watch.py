"""What happens beside the sends of a ring: a look for the call's end, and what iPhones show instead.

The first push of an ordinary call waits for neither.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common import telemetry
from common.clock import Clock
from common.time_limit import within
from models.device import DeviceRegistration
from models.errors import ConfigurationError, DatabaseUnavailableError
from models.push import DeviceResult, OutcomeKind
from push.call_end import CallEnds, EndReport
from push.ledger_entry import DeviceRecord, RingFacts
from push.retry import FIRST_REDELIVERY_SECONDS

LOOK_SECONDS = 1.0
"""How long a look before a send may take."""

SHOW_SECONDS = 2.0
"""How long showing the call may take while other devices are still tried."""

SHOW_WRITE_SECONDS = 1.0
"""How much longer the database may take then."""

_NOT_KNOWN = (DatabaseUnavailableError, ConfigurationError)

_REFUSED = frozenset({OutcomeKind.REJECTED.value, OutcomeKind.GONE.value, OutcomeKind.MISCONFIGURED.value})
"""Outcomes after which a VoIP push will not arrive by itself."""


@dataclass(frozen=True, slots=True)
class WatchedRing:
    """The ring that is watched."""

    entry_id: str
    facts: RingFacts
    devices: Sequence[DeviceRegistration]
    """Of the callee, for calls and for alerts."""
    earlier: Mapping[str, DeviceRecord]
    """What earlier deliveries of the event have written down."""
    planned: Mapping[str, DeviceResult]
    """Of the devices for which there can be no push."""
    deadline: float
    """Monotonic time after which nothing is sent."""


class RingWatch:
    """Watches one delivery of a ring. Nothing in it fails the ring."""

    repeats_unanswered = True

    def __init__(self, ends: CallEnds, clock: Clock, ring: WatchedRing) -> None:
        """Take what belongs to this delivery."""
        self._ends = ends
        self._clock = clock
        self._ring = ring
        self._offered: set[str] = set()
        """Registration ids of the devices whose call has been shown, or could not be."""
        self.over: EndReport | None = None
        """What followed from the call's end; None while it rings, as far as is known."""
        self.is_unknown = False
        """It is not known whether the call is over."""
        self.shown: frozenset[str] = frozenset()
        """Keys of the devices that show the call, which counts as rung."""

    def still_rings(self) -> bool:
        """Look, before anything is sent, whether the call is over. Where that fails it rings: a phone that
        rings in vain is better than a silent one."""
        try:
            with within(LOOK_SECONDS):
                return not self._ends.is_over(self._ring.entry_id, self._ring.facts)
        except _NOT_KNOWN:
            return True

    def goes_on(self) -> bool:
        """Look before a device is tried again."""
        return not self._ends.options.needs_call_ends or self.still_rings()

    def wrote(self, results: Mapping[str, DeviceResult]) -> None:
        """Show the call where its push was refused, while other devices are still tried."""
        if not self._ends.options.fallback:
            return
        deadline = min(self._ring.deadline, self._clock.monotonic() + SHOW_SECONDS)
        with within(SHOW_SECONDS + SHOW_WRITE_SECONDS):
            self._show(_records({**self._ring.planned, **results}), deadline)

    def pause(self, seconds: float, clock: Clock) -> bool:
        """Wait: the ring itself is what other waits must not delay."""
        clock.sleep(seconds)
        return True

    def finish(self, results: Mapping[str, DeviceResult]) -> None:
        """Look once more, and show the call where its push was refused.

        Args:
            results: of all devices; written down before.
        """
        if self._ends.options.needs_call_ends:
            self.conclude(results)
        if self.over is None and self._ends.options.fallback:
            self._offered.clear()
            self._show({**self._ring.earlier, **_records(results)}, self._ring.deadline)

    def conclude(self, results: Mapping[str, DeviceResult]) -> None:
        """Draw the conclusions from the call's end, if it has ended."""
        ring = self._ring
        records = {**ring.earlier, **_records(results)}
        try:
            self.over = self._ends.overtaken(ring.entry_id, ring.facts, ring.devices, records, ring.deadline)
        except _NOT_KNOWN as error:
            self.is_unknown = True
            telemetry.log(logging.WARNING, "call_end_not_looked_up", code=error.code)

    def is_unfinished(self, ring_left: float) -> bool:
        """A redelivery has to look again, and comes in time."""
        if self.over is not None:
            return self.over.left_over > 0
        return self.is_unknown and ring_left > FIRST_REDELIVERY_SECONDS

    def _show(self, records: Mapping[str, DeviceRecord], deadline: float) -> None:
        ring = self._ring
        refused = [
            device
            for device in ring.devices
            if device.registration_id not in self._offered
            and (record := records.get(device.registration_id)) is not None
            and record.outcome in _REFUSED
        ]
        if refused:
            self._offered |= {device.registration_id for device in refused}
            self.shown |= self._ends.fall_back(ring.entry_id, ring.facts, refused, ring.devices, deadline)


def _records(results: Mapping[str, DeviceResult]) -> dict[str, DeviceRecord]:
    return {name: DeviceRecord.of(result) for name, result in results.items()}
