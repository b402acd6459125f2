"""The story of a call: its row and its steps."""

from datetime import UTC, datetime
from typing import Any

import pytest

from local.hub.records import ReceivedPush
from local.page.calls import Delivery, PlacedCall
from local.page.commands import PlaceCall
from local.page.nicknames import Nicknames
from local.page.phone_calls import Action
from local.page.phones import Actions, Taken, phones_of
from local.page.reporter import Report
from local.page.snapshot import Surroundings, take_snapshot
from local.page.sources import Reading
from local.page.trace import Evidence
from local.page.views import CallView, OptionsView, Snapshot, StepView
from tests.page_evidence import CALLEE, CONTEXT, NOW, TOKEN, attempt, line, push, registration, span, stop

OPTIONS = OptionsView(redelivery=True, call_events=True, reports=True)
OTHER = "c8" * 32


def snapshot(
    *pushes: ReceivedPush,
    actions: Actions | None = None,
    now: float = NOW + 1,
    cleared_at: float = 0.0,
    **evidence: Any,
) -> Snapshot:
    reading = Reading(registrations=[registration(), registration(OTHER)], pushes=pushes)
    phones = phones_of(reading, actions or {}, {}, now)
    surroundings = Surroundings(Nicknames(), actions or {}, OPTIONS, cleared_at)
    return take_snapshot(reading, Evidence(phones=phones, **evidence), surroundings)


def only_call(*pushes: ReceivedPush, **evidence: Any) -> CallView:
    (call,) = snapshot(*pushes, **evidence).calls
    return call


def placed(*deliveries: Delivery, at: float = NOW) -> PlacedCall:
    command = PlaceCall(callee=CALLEE, caller_name="Grace")
    call = PlacedCall.begin(command, datetime.fromtimestamp(at, UTC))
    call.incoming_call.deliveries.extend(deliveries)
    return call


def steps(call: CallView, lane: str) -> list[StepView]:
    return [step for step in call.steps if step.lane == lane]


class TestRow:
    def test_ringing(self) -> None:
        """Who calls whom, how many of the phones ring, and how long the first push took."""
        call = only_call(
            push(received_at=NOW + 0.034),
            spans=[span("incoming call", call_id="call")],
            lines=[line(event="incoming_call", call_id="CALL", result="delivered", devices=2)],
        )
        assert (call.caller, call.callee and call.callee.mri) == ("Ada", CALLEE)
        assert (call.result, call.tone) == ("ringing", "live")
        assert (call.rang, call.devices, call.ms) == (1, 2, 34)

    @pytest.mark.parametrize(
        ("result", "expected"),
        [
            ("delivered", ("missed", "warn")),
            ("failed", ("failed", "bad")),
            ("given_up", ("not rung", "bad")),
            ("incomplete", ("incomplete", "warn")),
            ("missed", ("too late", "warn")),
            ("skipped", ("no phone", "plain")),
        ],
    )
    def test_result_of_the_event(self, result: str, expected: tuple[str, str]) -> None:
        """Once no phone rings, the row shows what the app made of the event."""
        call = only_call(lines=[line(event="incoming_call", call_id="call", result=result)])
        assert (call.result, call.tone) == expected

    @pytest.mark.parametrize("action", Action)
    def test_action(self, action: Action) -> None:
        """What a user did is the result."""
        actions = {(registration().device_key, "call"): Taken(action, NOW)}
        assert only_call(push(), actions=actions).result == action.value

    def test_reported_from_outside(self) -> None:
        """A report of a phone that is not answered on the page counts as well."""
        reported = line(event="device_reported", call_id="call", state="answered", device="?")
        assert only_call(push(), lines=[reported]).result == "answered"

    def test_deliveries(self) -> None:
        """A call whose event has no answer yet is being delivered; one that was refused is not delivered."""
        assert only_call(placed=[placed(Delivery(NOW, "t"))]).result == "delivering"
        assert only_call(placed=[placed(Delivery(NOW, "t", 500))]).tone == "bad"

    def test_newest_first(self) -> None:
        """The newest call is first, and cleared calls are left out."""
        old, new = placed(at=NOW), placed(at=NOW + 1)
        assert [call.id for call in snapshot(placed=[old, new]).calls] == [new.call_id, old.call_id]
        assert [call.id for call in snapshot(placed=[old, new], cleared_at=NOW).calls] == [new.call_id]

    def test_event_without_a_call(self) -> None:
        """An event that cannot be understood is a row of its own."""
        call = only_call(lines=[line("ERROR", event="incoming_call", event_id="bad", result="failed")])
        assert (call.id, call.call_id, call.result) == ("event bad", None, "failed")

    def test_line_about_no_call(self) -> None:
        """A line that names neither call nor event is listed apart."""
        shown = snapshot(lines=[line(event="request_failed")])
        assert [each.fields["event"] for each in shown.lines] == ["request_failed"]
        assert shown.calls == ()

    def test_no_secret(self) -> None:
        """A snapshot contains neither a device token nor a call context."""
        text = snapshot(push(), attempts=[attempt()]).model_dump_json()
        assert TOKEN not in text
        assert CONTEXT not in text


class TestSends:
    def test_tries_with_their_waits(self) -> None:
        """A refused try, the wait and the accepted one are one step of the phone."""
        call = only_call(
            push(sequence=2),
            attempts=[
                attempt(503, tracking_id="first", call_id=None),
                attempt(tracking_id="tracked-2", received_at=NOW + 0.5),
            ],
            spans=[
                span("incoming call", call_id="call"),
                span("direct send", start=NOW, seconds=0.005, tracking_id="first"),
                span("direct send", start=NOW + 0.405, seconds=0.007, tracking_id="tracked-2"),
            ],
        )
        (step,) = steps(call, "hub")
        assert step.text == "Ring → Ada's iPhone"
        assert [(one.result, one.ms, one.waited) for one in step.tries] == [("503", 5, None), ("201", 7, 0.4)]
        assert (step.pushes, step.ms) == ((2,), 412)

    def test_kinds_are_apart(self) -> None:
        """The ring and the stop of one phone are two steps."""
        call = only_call(
            push(),
            stop(received_at=NOW + 3),
            attempts=[attempt(), attempt(tracking_id="tracked-9", received_at=NOW + 3)],
        )
        assert [step.text.split(" →")[0] for step in steps(call, "hub")] == ["Ring", "Stop ringing"]

    def test_lost_answer(self) -> None:
        """A push whose answer was lost rang: the second try makes two rings, which the step says."""
        lost = attempt(None, fault="accept_then_drop")
        call = only_call(push(), push(sequence=2), attempts=[lost, attempt(tracking_id="tracked-2")])
        (step,) = steps(call, "hub")
        assert [one.result for one in step.tries] == ["accepted, answer lost", "201"]
        assert (step.detail, step.tone) == ("rang 2 times", "warn")

    def test_refused_by_the_platform(self) -> None:
        """A push that the hub has taken and the platform refuses does not ring: the step says why."""
        call = only_call(push(outcome="ExpiredChannel"), attempts=[attempt()])
        (step,) = steps(call, "hub")
        assert (step.tone, step.detail) == ("bad", "taken by the hub; the platform: ExpiredChannel")
        assert (call.rang, call.result) == (0, "missed")

    def test_refused(self) -> None:
        """A push that is refused for good looks like an error, with the hub's reason."""
        refused = attempt(400, reason="malformed", tracking_id="first", call_id=None)
        call = only_call(
            attempts=[refused],
            spans=[span("incoming call", call_id="call"), span("direct send", tracking_id="first")],
        )
        (step,) = steps(call, "hub")
        assert (step.text, step.tone) == ("Ring → Ada's iPhone", "bad")
        assert step.tries[0].reason == "malformed"


class TestSteps:
    def test_work_with_the_database(self) -> None:
        """Each piece of work with the database has its time; one of another call is not shown."""
        database: dict[str, Any] = {"db__collection__name": "CallLedger", "db__operation__name": "insert"}
        call = only_call(
            spans=[
                span("incoming call", call_id="call"),
                span("insert CallLedger", seconds=0.003, **database),
                span("insert CallLedger", trace="another", **database),
            ]
        )
        (step,) = steps(call, "ledger")
        assert (step.text, step.ms) == ("Lease taken in the ledger", 3)

    def test_deliveries(self) -> None:
        """Each delivery with its answer; the one that is due with its time."""
        call = placed(Delivery(NOW, "t", 500, 20), Delivery(NOW + 10, "u"))
        call.incoming_call.due = NOW + 40
        first, second, due = steps(only_call(placed=[call]), "grid")
        assert (first.text, first.tone, first.detail) == ("IncomingCall delivered", "bad", "answered 500")
        assert (second.text, second.tone) == ("IncomingCall redelivered", "live")
        assert (due.due, due.tone) == (NOW + 40, "live")

    def test_report(self) -> None:
        """A phone's report is one step, with its work, although the app writes a line about it too."""
        device = registration()
        report = Report(device.device_key, "call", "ringing", NOW, "r", 204, 12)
        written = line(
            event="device_reported", call_id="call", state="ringing", device=device.registration_id[:16]
        )
        database: dict[str, Any] = {"db__collection__name": "CallLedger", "db__operation__name": "update"}
        work = span("update CallLedger", trace="r", seconds=0.002, **database)
        call = only_call(push(), reports=[report], lines=[written], spans=[work])
        (step,) = steps(call, "phone")
        assert (step.text, step.detail, step.ms) == ("Ada's iPhone reports ringing", "answered 204", 12)
        assert [(one.text, one.ms) for one in step.work] == [("Ledger written", 2)]
        assert steps(call, "ledger") == []

    def test_in_the_order_of_time(self) -> None:
        """The steps are in the order of time."""
        call = only_call(
            push(received_at=NOW + 0.5),
            attempts=[attempt(received_at=NOW + 0.5)],
            lines=[line(event="incoming_call", call_id="call", result="delivered")],
            spans=[span("incoming call", call_id="call")],
        )
        assert [step.at for step in call.steps] == sorted(step.at for step in call.steps)

    def test_other_lines_of_the_call(self) -> None:
        """A warning about the call is a step with its text and what to do."""
        wrong = line("CRITICAL", event="hub_key_refused", call_id="call", remedy="Put the new key in.")
        (step,) = steps(only_call(lines=[wrong]), "app")
        assert (step.text, step.tone, step.detail) == ("hub key refused", "bad", "Put the new key in.")


class TestPhones:
    def test_what_a_page_may_still_relay(self) -> None:
        """The pushes that have arrived last at a phone, the newest last."""
        pushes = [push({"callId": str(number)}, sequence=number) for number in range(1, 13)]
        refused = push(sequence=13, outcome="ExpiredChannel")
        phone = snapshot(*pushes, refused).phones[0]
        assert phone.received == tuple(range(3, 13))

    def test_tokens(self) -> None:
        """A phone's tokens are shown as fingerprints, with what they are for."""
        (token,) = snapshot().phones[0].tokens
        assert (token.purpose, token.hub, token.gone) == ("calls", "default", False)
        assert token.token.startswith("sha256:")


class TestNicknames:
    def test_one_name_a_user(self) -> None:
        """A user has one name in either letter case, and each has another."""
        names = Nicknames()
        assert names.of("8:acs:A") == names.of("8:acs:a") == "Ada"
        assert len({names.of(f"8:acs:{number}") for number in range(100)}) == 100
