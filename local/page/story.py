"""A call as a row of the page (pure): who called whom, what came of it, and its steps."""

from collections.abc import Iterator, Sequence

from local.page.phone_calls import CallState
from local.page.phone_index import PhoneIndex
from local.page.phones import Actions, Phone
from local.page.pushes import PushKind
from local.page.steps import steps_of
from local.page.trace import RING_ROOT, CallRecord, Received
from local.page.views import CallView, Tone, UserView

_RANG = frozenset({PushKind.RING, PushKind.SHOW})

_RESULTS: dict[str, tuple[str, Tone]] = {
    "failed": ("failed", "bad"),
    "given_up": ("not rung", "bad"),
    "incomplete": ("incomplete", "warn"),
    "missed": ("too late", "warn"),
    "skipped": ("no phone", "plain"),
    "delivered": ("missed", "warn"),
    "duplicate": ("missed", "warn"),
}
"""What a call comes to, by the last result of its IncomingCall event, once no phone rings."""


def call_view(record: CallRecord, index: PhoneIndex, actions: Actions) -> CallView:
    """The row of a call."""
    placed = record.placed
    result, tone = _result(record, actions)
    rung = {received.phone.id for received in _rings(record)}
    callee = _callee(record)
    return CallView(
        id=record.key,
        at=record.at,
        caller=_caller(record),
        callee=UserView(mri=callee, name=index.nickname(callee)) if callee else None,
        call_id=record.call_id,
        schema_name=placed.command.schema_name if placed else None,
        result=result,
        tone=tone,
        rang=len(rung),
        devices=_devices(record, index, callee),
        ms=_milliseconds(record),
        placed_here=placed is not None,
        can_hang_up=placed is not None and placed.ended_at is None and tone in {"live", "good"},
        steps=steps_of(record, index, actions),
    )


def _caller(record: CallRecord) -> str:
    if record.placed is not None:
        return record.placed.command.caller_name or "Unknown caller"
    names = (received.message.caller for received in record.received)
    return next((name for name in names if name), "Unknown caller")


def _callee(record: CallRecord) -> str | None:
    if record.placed is not None:
        return record.placed.command.callee
    return record.received[0].phone.user if record.received else None


def _devices(record: CallRecord, index: PhoneIndex, callee: str | None) -> int | None:
    """As the app has found them, else those that are registered."""
    counts = [line.fields.get("devices") for line in record.lines]
    known = [count for count in counts if isinstance(count, int)]
    if known:
        return known[-1]
    return sum(phone.user == (callee or "").lower() for phone in index.by_id.values()) if callee else None


def _milliseconds(record: CallRecord) -> int | None:
    """From the first delivery to the first push of the phone that rang last."""
    first: dict[str, float] = {}
    for received in _rings(record):
        first.setdefault(received.phone.id, received.message.received_at)
    starts = [span.start for span in record.spans if span.name == RING_ROOT]
    if record.placed is not None:
        starts = [delivery.at for delivery in record.placed.incoming_call.deliveries]
    return max(0, round((max(first.values()) - min(starts)) * 1_000)) if first and starts else None


def _rings(record: CallRecord) -> Iterator[Received]:
    """The pushes that rang a phone."""
    for received in record.received:
        if received.message.kind in _RANG and received.message.has_arrived:
            yield received


def _result(record: CallRecord, actions: Actions) -> tuple[str, Tone]:
    states = _states(record)
    given = {taken.action.value for (_, call_id), taken in actions.items() if call_id == record.key}
    reported = {line.text("state") for line in record.lines if line.fields.get("event") == "device_reported"}
    ended = record.placed is not None and record.placed.ended_at is not None
    if "ended" in given:
        return "ended", "plain"
    if "answered" in given | reported:
        return ("ended", "plain") if ended else ("answered", "good")
    if "declined" in given | reported:
        return "declined", "plain"
    if CallState.RINGING in states or CallState.SHOWN in states:
        return "ringing", "live"
    if ended:
        return "missed", "warn"
    return _without_ring(record)


def _without_ring(record: CallRecord) -> tuple[str, Tone]:
    """The result of a call that rings no more, or not yet."""
    results = [line.text("result") for line in record.lines if line.fields.get("event") == "incoming_call"]
    deliveries = record.placed.incoming_call.deliveries if record.placed else []
    if deliveries and deliveries[-1].is_running:
        return "delivering", "live"
    if results:
        return _RESULTS.get(results[-1] or "", (str(results[-1]), "plain"))
    if deliveries and deliveries[-1].is_failed:
        return "not delivered", "bad"
    return ("missed", "warn") if record.received else ("event", "plain")


def _states(record: CallRecord) -> Sequence[CallState]:
    phones: dict[str, Phone] = {received.phone.id: received.phone for received in record.received}
    return [call.state for phone in phones.values() for call in phone.calls if call.call_id == record.key]
