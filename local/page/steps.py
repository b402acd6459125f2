"""The steps of a call's story (pure): who did what, when, how long it took and what came of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from common.telemetry import fingerprint
from local.hub.records import Attempt
from local.page.calls import Delivery, SentEvent
from local.page.host_lines import Span, StructuredLine
from local.page.phones import Actions, Phone
from local.page.pushes import Message, PushKind
from local.page.trace import CallRecord, tries_by_device
from local.page.views import StepView, Tone, TryView, WorkView

_PUSHES = {
    PushKind.RING: "Ring",
    PushKind.STOP: "Stop ringing",
    PushKind.MISSED: "Missed call",
    PushKind.SHOW: "Visible incoming call",
    PushKind.OTHER: "Push",
}

_WORK = {
    ("insert", "CallLedger"): "Lease taken in the ledger",
    ("find", "CallLedger"): "Ledger read",
    ("update", "CallLedger"): "Ledger written",
    ("find", "DeviceRegistrations"): "Callee's devices looked up",
    ("update", "RegistrationRates"): "Report counted for the limit",
}
"""What the app does with a collection, by the command's name."""

_COUNTS = {"stopped": "stopped", "missed_told": "told of the missed call"}
"""Fields of the line `call_end`."""

_LEVELS: Mapping[str, Tone] = {"INFO": "good", "WARNING": "warn", "ERROR": "bad", "CRITICAL": "bad"}

_FAULTS = {
    "drop": "connection lost",
    "black_hole": "no answer",
    "accept_then_drop": "accepted, answer lost",
    "accept_then_black_hole": "accepted, no answer",
}

_VERBS = {"answered": "answers", "declined": "declines", "ended": "hangs up"}


@dataclass(frozen=True, slots=True)
class Cast:
    """The phones by what names them."""

    by_id: Mapping[str, Phone]
    by_token: Mapping[str, Phone]
    by_registration: Mapping[str, Phone]
    """By the first 16 digits of a registration's id, as in the log."""
    nickname: Callable[[str], str]

    @classmethod
    def of(cls, phones: Iterable[Phone], nickname: Callable[[str], str]) -> "Cast":
        """The cast of all calls."""
        by_id = {phone.id: phone for phone in phones}
        registered = [(phone, one) for phone in by_id.values() for one in phone.registrations]
        return cls(
            by_id=by_id,
            by_token={one.device_token: phone for phone, one in registered},
            by_registration={one.registration_id[:16]: phone for phone, one in registered},
            nickname=nickname,
        )

    def name(self, phone: Phone | None) -> str:
        """How the page calls a phone."""
        return f"{self.nickname(phone.user)}'s {phone.name}" if phone else "a phone that is not registered"


def steps_of(record: CallRecord, cast: Cast, actions: Actions) -> tuple[StepView, ...]:
    """The steps in the order of time."""
    steps = [
        *_placed(record, cast),
        *_work(record),
        *_sends(record, cast),
        *_lines(record, cast),
        *_reports(record, cast),
        *_actions(record, cast, actions),
    ]
    return tuple(sorted(steps, key=lambda step: step.at))


def _placed(record: CallRecord, cast: Cast) -> Iterator[StepView]:
    call = record.placed
    if call is None:
        return
    caller = call.command.caller_name or "Unknown caller"
    callee = cast.nickname(call.command.callee)
    yield StepView(id="placed", at=call.at, lane="caller", tone="plain", text=f"{caller} calls {callee}")
    if call.ended_at is not None:
        yield StepView(id="ended", at=call.ended_at, lane="caller", tone="plain", text="The call ends")
    for event in call.events:
        for number, delivery in enumerate(event.deliveries):
            yield _delivery(event, number, delivery)
        if event.due is not None:
            yield StepView(
                id=f"due {event.id}",
                at=event.due,
                lane="grid",
                tone="live",
                text=f"{event.kind} is due again",
                due=event.due,
            )


def _delivery(event: SentEvent, number: int, delivery: Delivery) -> StepView:
    is_last = number == len(event.deliveries) - 1
    return StepView(
        id=f"delivery {event.id} {number}",
        at=delivery.at,
        lane="grid",
        tone="live" if delivery.is_running else "bad" if delivery.is_failed else "good",
        text=f"{event.kind} {'redelivered' if number else 'delivered'}",
        detail=delivery.problem or (f"answered {delivery.status}" if delivery.status else "no answer yet"),
        ms=delivery.took_ms,
        event_id=event.id if is_last and not delivery.is_running else None,
    )


def _work(record: CallRecord) -> Iterator[StepView]:
    """Work with the database, but that of the phones' reports, which stands with them."""
    reports = {report.trace for report in record.reports}
    for span in record.spans:
        if span.trace in reports or not _is_work(span):
            continue
        error = span.attributes.get("error.type")
        yield StepView(
            id=f"span {span.id}",
            at=span.start,
            lane="devices" if span.attributes["db.collection.name"] == "DeviceRegistrations" else "ledger",
            tone="bad" if error else "plain",
            text=_work_text(span),
            detail=str(error) if error else None,
            ms=span.milliseconds,
        )


def _is_work(span: Span) -> bool:
    return "db.collection.name" in span.attributes


def _work_text(span: Span) -> str:
    collection, operation = (
        str(span.attributes.get(f"db.{name}.name", "")) for name in ("collection", "operation")
    )
    return _WORK.get((operation, collection), f"{collection}: {operation}")


def _sends(record: CallRecord, cast: Cast) -> Iterator[StepView]:
    """One step for each phone and kind of push, with all its tries."""
    accepted = {received.message.tracking_id: received.message for received in record.received}
    spans = {
        str(span.attributes["tracking_id"]): span for span in record.spans if "tracking_id" in span.attributes
    }
    for token, attempts in tries_by_device(record.attempts).items():
        kinds = _kinds(
            [accepted[one.tracking_id].kind if one.tracking_id in accepted else None for one in attempts]
        )
        for kind in dict.fromkeys(kinds):
            tries = [one for one, its_kind in zip(attempts, kinds, strict=True) if its_kind is kind]
            shown = tuple(_tries(tries, spans))
            pushes = [accepted[one.tracking_id] for one in tries if one.tracking_id in accepted]
            phone = cast.by_token.get(token)
            yield StepView(
                id=f"push {fingerprint(token)} {tries[0].tracking_id}",
                at=tries[0].received_at,
                lane="hub",
                tone=_tone(pushes),
                text=f"{_PUSHES[kind]} → {cast.name(phone)}",
                detail=_remark(kind, pushes),
                ms=_total(tries, spans),
                tries=shown,
                pushes=tuple(push.sequence for push in pushes),
            )


def _kinds(known: Sequence[PushKind | None]) -> list[PushKind]:
    """A try that the hub has not accepted is of the kind of the next accepted one, else of the last one."""
    kinds: list[PushKind] = []
    following: PushKind | None = None
    for kind in reversed(known):
        following = kind or following
        kinds.append(following or PushKind.OTHER)
    kinds.reverse()
    last = next((kind for kind in reversed(known) if kind), None)
    return [last or kind if kind is PushKind.OTHER else kind for kind in kinds]


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


def _lines(record: CallRecord, cast: Cast) -> Iterator[StepView]:
    reported = {(report.phone, report.state) for report in record.reports}
    for number, line in enumerate(record.lines):
        name = str(line.fields.get("event", ""))
        phone = cast.by_registration.get(line.text("device") or "")
        state = line.text("state") or ""
        if name == "device_reported" and phone is not None and (phone.id, state) in reported:
            continue  # the phone's own report is shown
        yield StepView(
            id=f"line {number} {line.time}",
            at=line.at,
            lane="phone" if name == "device_reported" else "app",
            tone=_LEVELS.get(line.level, "plain"),
            text=f"{cast.name(phone)} reports {state}" if name == "device_reported" else _summary(name, line),
            detail=line.text("reason") or line.text("detail") or line.text("remedy"),
            ms=_milliseconds(line.fields.get("total_ms")),
            fields=line.fields,
        )


def _summary(name: str, line: StructuredLine) -> str:
    value = line.fields.get
    if name not in {"incoming_call", "call_end"}:
        return name.replace("_", " ")
    counts = [f"{value('accepted')} of {value('devices')} pushes"] if value("devices") else []
    counts += [f"{value(field)} {text}" for field, text in _COUNTS.items() if value(field)]
    return "; ".join([f"Result: {str(value('result')).replace('_', ' ')}", *counts])


def _milliseconds(value: object) -> float | None:
    return value if isinstance(value, int | float) else None


def _reports(record: CallRecord, cast: Cast) -> Iterator[StepView]:
    for report in record.reports:
        answer = f"answered {report.status}" if report.status else report.problem or "no answer yet"
        is_open = report.status is None and report.problem is None
        yield StepView(
            id=f"report {report.phone} {report.state}",
            at=report.at,
            lane="phone",
            tone="live" if is_open else "good" if report.status == 204 else "bad",
            text=f"{cast.name(cast.by_id.get(report.phone))} reports {report.state}",
            detail=answer,
            ms=report.took_ms,
            work=tuple(
                WorkView(text=_work_text(span), ms=span.milliseconds)
                for span in record.spans
                if span.trace == report.trace and _is_work(span)
            ),
        )


def _actions(record: CallRecord, cast: Cast, actions: Actions) -> Iterator[StepView]:
    for (phone_id, call_id), taken in actions.items():
        phone = cast.by_id.get(phone_id)
        if call_id == record.key and phone is not None:
            yield StepView(
                id=f"action {phone_id} {taken.action.value}",
                at=taken.at,
                lane="phone",
                tone="plain",
                text=f"{cast.nickname(phone.user)} {_VERBS[taken.action.value]} on the {phone.name}",
            )
