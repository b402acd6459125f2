"""From registrations, pushes, attempts, placed calls and log lines to what the page shows (pure)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from local.hub.records import Attempt, ReceivedPush
from local.page import masks, ringing
from local.page.controller import PlacedCall
from local.page.host_lines import StructuredLine
from local.page.sources import Reading, Registration
from local.page.views import (
    Answer,
    AttemptView,
    EventView,
    FaultView,
    HubView,
    LineView,
    PhoneView,
    PushView,
    RingView,
    Snapshot,
)

SHOWN_RINGS = 5
SHOWN_EVENTS = 15
SHOWN_OTHER_LINES = 10
_ACCEPTED = ("201", "accept_then_drop", "accept_then_black_hole")

type Answers = Mapping[tuple[str, str], Answer]


def take_snapshot(
    reading: Reading,
    calls: Sequence[PlacedCall],
    answers: Answers,
    lines: Sequence[StructuredLine],
    problem: str | None = None,
) -> Snapshot:
    """The page's content. `calls` and `lines` are oldest first; `answers` by phone id and call id."""
    pushes: dict[str, list[ReceivedPush]] = defaultdict(list)
    for push in reading.pushes:
        pushes[push.device_handle].append(push)
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in reading.attempts:
        attempts[attempt.device_handle or ""].append(attempt)
    began = {call.call_id: call.event_time for call in calls}
    phones = tuple(
        _phone(one, pushes[one.device_token], attempts[one.device_token], answers, began)
        for one in reading.registrations
    )
    return Snapshot(
        phones=phones,
        more_phones=reading.more_registrations,
        hub=_hub(reading),
        events=_events(calls, lines),
        other_lines=tuple(_line(line) for line in lines if line.event_id is None)[-SHOWN_OTHER_LINES:],
        problem=problem,
    )


def _phone(
    registration: Registration,
    pushes: Sequence[ReceivedPush],
    attempts: Sequence[Attempt],
    answers: Answers,
    began: Mapping[str, float],
) -> PhoneView:
    # Refused requests and events without a correlation id have no call id: they share the empty one.
    last_heard = {attempt.call_id or "": attempt.received_at for attempt in attempts}
    last_heard |= {push.call_id or "": push.received_at for push in pushes}
    newest_first = sorted(last_heard, key=lambda call_id: last_heard[call_id], reverse=True)
    rings = tuple(
        _ring(
            call_id,
            [push for push in pushes if (push.call_id or "") == call_id],
            [attempt for attempt in attempts if (attempt.call_id or "") == call_id],
            _answer(registration.id, call_id, answers),
            began.get(call_id),
        )
        for call_id in newest_first[:SHOWN_RINGS]
    )
    return PhoneView(
        id=registration.id,
        platform=registration.platform,
        user=registration.acs_mri,
        device_uuid=registration.device_uuid,
        token=masks.masked_token(registration.device_token),
        expires_at=registration.expires_at,
        rings=rings,
    )


def _ring(
    call_id: str,
    pushes: Sequence[ReceivedPush],
    attempts: Iterable[Attempt],
    answer: Answer | Literal["elsewhere"] | None,
    began: float | None,
) -> RingView:
    return RingView(
        call_id=call_id,
        caller=ringing.caller_name(pushes[-1]) if pushes else None,
        answer=answer,
        expires_at=ringing.expires_at(pushes[-1]) if pushes else None,
        began=began,
        pushes=tuple(map(_push, pushes)),
        attempts=tuple(map(_attempt, attempts)),
    )


def _answer(phone_id: str, call_id: str, answers: Answers) -> Answer | Literal["elsewhere"] | None:
    """Declining ends ringing on one phone; accepting ends it on all, as the call's signalling does."""
    own = answers.get((phone_id, call_id))
    if own is not None:
        return own
    taken = any(known == call_id and given != "declined" for (_, known), given in answers.items())
    return "elsewhere" if taken else None


def _push(push: ReceivedPush) -> PushView:
    return PushView(
        sequence=push.sequence,
        received_at=push.received_at,
        expires_at=ringing.expires_at(push),
        headers=masks.masked_headers(push.headers),
        body=masks.masked_body(push.body),
        body_bytes=len(push.body.encode()),
        tracking_id=push.tracking_id,
        notification_id=push.notification_id,
    )


def _attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        at=attempt.received_at,
        result=attempt.result,
        accepted=attempt.result in _ACCEPTED,
        reason=attempt.reason,
        tracking_id=attempt.tracking_id,
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


def _events(calls: Iterable[PlacedCall], lines: Iterable[StructuredLine]) -> tuple[EventView, ...]:
    """Newest first: calls placed by this page, and events known from the app's lines only."""
    by_event: dict[str, list[StructuredLine]] = defaultdict(list)
    for line in lines:
        if line.event_id is not None:
            by_event[line.event_id].append(line)
    placed = [_placed_event(call, by_event.pop(call.event_id, [])) for call in calls]
    others = [_other_event(event_id, its_lines) for event_id, its_lines in by_event.items()]
    newest_first = sorted([*placed, *others], key=lambda event: event.at, reverse=True)
    return tuple(newest_first[:SHOWN_EVENTS])


def _placed_event(call: PlacedCall, lines: Iterable[StructuredLine]) -> EventView:
    return EventView(
        id=call.event_id,
        at=call.at,
        call_id=call.call_id,
        callee=call.command.callee,
        caller=call.command.caller_name,
        schema_name=call.command.schema_name,
        event_time=call.event_time,
        deliveries=tuple(call.deliveries),
        lines=tuple(map(_line, lines)),
    )


def _other_event(event_id: str, lines: Sequence[StructuredLine]) -> EventView:
    call_id = lines[-1].fields.get("call_id")
    return EventView(
        id=event_id,
        at=lines[0].at,
        call_id=call_id if isinstance(call_id, str) else None,
        callee=None,
        caller=None,
        schema_name=None,
        event_time=None,
        deliveries=(),
        lines=tuple(map(_line, lines)),
    )


def _line(line: StructuredLine) -> LineView:
    return LineView(time=line.time, level=line.level, fields=line.fields)
