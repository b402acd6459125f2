"""What the ledger says of a ring: does it go on, and on which devices (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.device import DeviceRegistration
from models.report import DeviceState
from push.devices import calling
from push.ledger_entry import AnswerKind, DeviceRecord, LedgerEntry, NoticeKind

GRACE = timedelta(seconds=2)
"""An end counts for rings that began this much later at most: the clocks of Azure's services differ."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What events have said of a call before or while it rang."""

    ended_at: datetime | None = None
    joined_at: datetime | None = None
    """When the callee joined it."""

    def ended(self, rings_from: datetime) -> bool:
        """The call has ended since it began to ring."""
        return self.ended_at is not None and self.ended_at + GRACE >= rings_from

    def joined(self, rings_from: datetime) -> bool:
        """The callee has joined the call since it began to ring."""
        return self.joined_at is not None and self.joined_at + GRACE >= rings_from


def is_unanswered(entry: LedgerEntry, marks: Marks) -> bool:
    """No device is known to have answered or declined."""
    return entry.answer is None and not marks.joined(entry.rings_from)


def why_over(entry: LedgerEntry | None, marks: Marks) -> str | None:
    """Why the call rings no more; None while it rings."""
    if entry is None:
        return None
    if entry.answer is not None:
        return entry.answer.kind.value
    if marks.joined(entry.rings_from):
        return AnswerKind.ANSWERED.value
    return "ended" if entry.ended_at is not None or marks.ended(entry.rings_from) else None


def may_ring(device: DeviceRegistration, records: Mapping[str, DeviceRecord]) -> bool:
    """The device's push was accepted, or may have been; it may have another token by now."""
    return any(record.may_have_rung for record in _records_of(device, records))


def _is_known(device: DeviceRegistration, records: Mapping[str, DeviceRecord]) -> bool:
    """What became of the device's push is written down."""
    return any(record.is_settled or record.may_have_rung for record in _records_of(device, records))


def _records_of(device: DeviceRegistration, records: Mapping[str, DeviceRecord]) -> Iterator[DeviceRecord]:
    return (
        record
        for name, record in records.items()
        if name == device.registration_id or record.device_key == device.device_key
    )


def another_rings(
    entry: LedgerEntry, device: DeviceRegistration, devices: Sequence[DeviceRegistration]
) -> bool:
    """Another device of the callee has been rung and is not known to ring no more. A push that is not yet
    written down counts as rung."""
    over = {DeviceState.ANSWERED, DeviceState.DECLINED, DeviceState.MISSED}
    return any(
        (may_ring(other, entry.devices) or not (entry.finished or _is_known(other, entry.devices)))
        and not over & entry.reports.get(other.device_key, {}).keys()
        and other.device_key not in entry.notices.get(NoticeKind.STOP, {})
        for other in calling(devices)
        if other.device_key != device.device_key
    )
