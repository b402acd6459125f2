"""From what the page has read and done to what it shows (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from local.page import masks
from local.page.host_lines import StructuredLine
from local.page.nicknames import Nicknames
from local.page.phone_index import PhoneIndex
from local.page.phones import Actions, Phone
from local.page.sources import Reading
from local.page.story import call_view
from local.page.trace import Evidence, call_records, other_lines
from local.page.views import (
    FaultView,
    HubView,
    LineView,
    NotificationView,
    OptionsView,
    PhoneCallView,
    PhoneView,
    Snapshot,
    TokenView,
    UserView,
)

SHOWN_CALLS = 30
SHOWN_LINES = 10
RECEIVED = 10
"""Pushes of a phone that a page may still have to relay."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the page itself keeps."""

    nicknames: Nicknames
    actions: Actions
    options: OptionsView
    cleared_at: float = 0.0
    """Calls that began before are not shown."""
    problem: str | None = None
    """A source that does not answer."""


def take_snapshot(reading: Reading, evidence: Evidence, surroundings: Surroundings) -> Snapshot:
    """The page's content."""
    names = surroundings.nicknames
    phones = tuple(_phone(phone, names) for phone in evidence.phones)
    index = PhoneIndex.of(evidence.phones, names.of)
    records = [record for record in call_records(evidence) if record.at > surroundings.cleared_at]
    calls = tuple(call_view(record, index, surroundings.actions) for record in records[:SHOWN_CALLS])
    lines = [line for line in other_lines(evidence) if line.at > surroundings.cleared_at]
    return Snapshot(
        users=tuple(UserView(mri=mri, name=name) for mri, name in names.known().items()),
        phones=phones,
        more_phones=reading.more_registrations,
        hub=_hub(reading),
        options=surroundings.options,
        calls=calls,
        lines=_lines(lines),
        problem=surroundings.problem,
    )


def _phone(phone: Phone, names: Nicknames) -> PhoneView:
    call, notification = phone.on_screen, phone.notification
    return PhoneView(
        id=phone.id,
        name=phone.name,
        platform=phone.platform.value,
        user=phone.user,
        nickname=names.of(phone.user),
        device_uuid=phone.device_uuid,
        tokens=tuple(
            TokenView(
                purpose=one.purpose.value,
                hub=one.hub,
                token=masks.masked_token(one.device_token),
                expires_at=one.expires_at.timestamp(),
                gone=one.gone_at is not None,
            )
            for one in phone.registrations
        ),
        is_uninstalled=phone.is_uninstalled,
        received=tuple(message.sequence for message in phone.messages if message.has_arrived)[-RECEIVED:],
        call=PhoneCallView(
            call_id=call.call_id,
            caller=call.caller,
            state=call.state.value,
            reason=call.reason,
            began=call.began,
            until=call.until,
            rings=call.rings,
        )
        if call
        else None,
        notification=NotificationView(
            title=notification.title, body=notification.body, at=notification.received_at
        )
        if notification
        else None,
    )


def _hub(reading: Reading) -> HubView:
    faults = tuple(
        FaultView(
            kind=fault.kind,
            status=fault.status,
            retry_after=fault.retry_after,
            delay_seconds=fault.delay_seconds,
            times=fault.times,
        )
        for fault in reading.faults
    )
    return HubView(delay_seconds=reading.delay_seconds, faults=faults)


def _lines(lines: Sequence[StructuredLine]) -> tuple[LineView, ...]:
    return tuple(
        LineView(time=line.time, level=line.level, fields=line.fields) for line in lines[-SHOWN_LINES:]
    )
