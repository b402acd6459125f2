"""The steps of a call's story (pure): who did what, when, how long it took and what came of it."""

from collections.abc import Iterator, Mapping

from local.page.calls import Delivery, SentEvent
from local.page.host_lines import Span, StructuredLine
from local.page.phone_index import PhoneIndex
from local.page.phones import Actions
from local.page.sends import sends_of
from local.page.trace import CallRecord
from local.page.views import StepView, Tone, WorkView

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

_VERBS = {"answered": "answers", "declined": "declines", "ended": "hangs up"}


def steps_of(record: CallRecord, index: PhoneIndex, actions: Actions) -> tuple[StepView, ...]:
    """The steps in the order of time."""
    steps = [
        *_placed(record, index),
        *_work(record),
        *sends_of(record, index),
        *_lines(record, index),
        *_reports(record, index),
        *_actions(record, index, actions),
    ]
    return tuple(sorted(steps, key=lambda step: step.at))


def _placed(record: CallRecord, index: PhoneIndex) -> Iterator[StepView]:
    call = record.placed
    if call is None:
        return
    caller = call.command.caller_name or "Unknown caller"
    callee = index.nickname(call.command.callee)
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


def _lines(record: CallRecord, index: PhoneIndex) -> Iterator[StepView]:
    reported = {(report.phone, report.state) for report in record.reports}
    for number, line in enumerate(record.lines):
        name = str(line.fields.get("event", ""))
        phone = index.by_registration.get(line.text("device") or "")
        state = line.text("state") or ""
        if name == "device_reported" and phone is not None and (phone.id, state) in reported:
            continue  # the phone's own report is shown
        yield StepView(
            id=f"line {number} {line.time}",
            at=line.at,
            lane="phone" if name == "device_reported" else "app",
            tone=_LEVELS.get(line.level, "plain"),
            text=f"{index.name(phone)} reports {state}"
            if name == "device_reported"
            else _summary(name, line),
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


def _reports(record: CallRecord, index: PhoneIndex) -> Iterator[StepView]:
    for report in record.reports:
        answer = f"answered {report.status}" if report.status else report.problem or "no answer yet"
        is_open = report.status is None and report.problem is None
        yield StepView(
            id=f"report {report.phone} {report.state}",
            at=report.at,
            lane="phone",
            tone="live" if is_open else "good" if report.status == 204 else "bad",
            text=f"{index.name(index.by_id.get(report.phone))} reports {report.state}",
            detail=answer,
            ms=report.took_ms,
            work=tuple(
                WorkView(text=_work_text(span), ms=span.milliseconds)
                for span in record.spans
                if span.trace == report.trace and _is_work(span)
            ),
        )


def _actions(record: CallRecord, index: PhoneIndex, actions: Actions) -> Iterator[StepView]:
    for (phone_id, call_id), taken in actions.items():
        phone = index.by_id.get(phone_id)
        if call_id == record.key and phone is not None:
            yield StepView(
                id=f"action {phone_id} {taken.action.value}",
                at=taken.at,
                lane="phone",
                tone="plain",
                text=f"{index.nickname(phone.user)} {_VERBS[taken.action.value]} on the {phone.name}",
            )
