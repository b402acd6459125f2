"""The requests to the hub as steps of a call's story (pure): one for each phone and kind of push."""

from collections.abc import Iterator, Mapping, Sequence

from common.telemetry import fingerprint
from local.hub.records import Attempt
from local.page.host_lines import Span
from local.page.phone_index import PhoneIndex
from local.page.pushes import Message, PushKind
from local.page.trace import RING_ROOT, CallRecord, tries_by_device
from local.page.views import StepView, Tone, TryView

_PUSHES = {
    PushKind.RING: "Ring",
    PushKind.STOP: "Stop ringing",
    PushKind.MISSED: "Missed call",
    PushKind.SHOW: "Visible incoming call",
    PushKind.OTHER: "Push",
}

_FAULTS = {
    "drop": "connection lost",
    "black_hole": "no answer",
    "accept_then_drop": "accepted, answer lost",
    "accept_then_black_hole": "accepted, no answer",
}


def sends_of(record: CallRecord, index: PhoneIndex) -> Iterator[StepView]:
    """One step for each phone and kind of push, with all its tries."""
    accepted = {received.message.tracking_id: received.message for received in record.received}
    spans = {
        str(span.attributes["tracking_id"]): span for span in record.spans if "tracking_id" in span.attributes
    }
    ringing = {span.trace for span in record.spans if span.name == RING_ROOT}
    for token, attempts in tries_by_device(record.attempts).items():
        known = [accepted[one.tracking_id].kind if one.tracking_id in accepted else None for one in attempts]
        span = spans.get(attempts[-1].tracking_id)
        kinds = _kinds(known, PushKind.RING if span and span.trace in ringing else PushKind.OTHER)
        for kind in dict.fromkeys(kinds):
            tries = [one for one, its_kind in zip(attempts, kinds, strict=True) if its_kind is kind]
            shown = tuple(_tries(tries, spans))
            pushes = [accepted[one.tracking_id] for one in tries if one.tracking_id in accepted]
            phone = index.by_token.get(token)
            yield StepView(
                id=f"push {fingerprint(token)} {tries[0].tracking_id}",
                at=tries[0].received_at,
                lane="hub",
                tone=_tone(pushes),
                text=f"{_PUSHES[kind]} → {index.name(phone)}",
                detail=_remark(kind, pushes),
                ms=_total(tries, spans),
                tries=shown,
                pushes=tuple(push.sequence for push in pushes),
            )


def _kinds(known: Sequence[PushKind | None], otherwise: PushKind) -> list[PushKind]:
    """A try that the hub has not accepted is of the kind of the next accepted one, else of the last one."""
    last = next((kind for kind in reversed(known) if kind), otherwise)
    kinds: list[PushKind] = []
    for kind in reversed(known):
        last = kind or last
        kinds.append(last)
    return kinds[::-1]


def _tone(pushes: Sequence[Message]) -> Tone:
    """Once to the phone is as it should be."""
    if not any(push.has_arrived for push in pushes):
        return "bad"
    return "good" if len(pushes) == 1 else "warn"


def _remark(kind: PushKind, pushes: Sequence[Message]) -> str | None:
    refused = next((push.outcome for push in pushes if not push.has_arrived), None)
    if refused is not None:
        return f"taken by the hub; the platform: {refused}"
    return f"rang {len(pushes)} times" if kind is PushKind.RING and len(pushes) > 1 else None


def _tries(attempts: Sequence[Attempt], spans: Mapping[str, Span]) -> Iterator[TryView]:
    ended: float | None = None
    for attempt in attempts:
        span = spans.get(attempt.tracking_id)
        began = span.start if span else attempt.received_at
        yield TryView(
            result=_FAULTS.get(attempt.result, attempt.result),
            reason=attempt.reason,
            accepted=attempt.is_accepted,
            ms=span.milliseconds if span else None,
            waited=None if ended is None else round(max(0.0, began - ended), 3),
            tracking_id=attempt.tracking_id,
        )
        ended = span.end if span else attempt.received_at


def _total(attempts: Sequence[Attempt], spans: Mapping[str, Span]) -> float | None:
    first, last = spans.get(attempts[0].tracking_id), spans.get(attempts[-1].tracking_id)
    return round((last.end - first.start) * 1_000, 1) if first and last else None
