"""The page's snapshot of registrations, pushes, attempts, calls and log lines."""

import json
from typing import Any

import pytest

from local.hub.faults import Fault
from local.hub.records import Attempt, ReceivedPush
from local.page import masks, ringing
from local.page.commands import BadCommandError, PlaceCall, RegisterPhone, SetHubMode, parse_command
from local.page.controller import PlacedCall
from local.page.host_lines import HostLines, StructuredLine
from local.page.snapshot import Answers, take_snapshot
from local.page.sources import Reading, Registration
from local.page.views import RingView, Snapshot

TOKEN = "b7" * 32
CONTEXT = "H4sIAAAA" * 50
NOW = 1_800_000_000.0


def registration(number: int = 1, token: str = TOKEN) -> Registration:
    return Registration(f"phone-{number}", "apple", "8:acs:callee", f"uuid-{number}", token, NOW + 86_400)


def push(
    call_id: str | None = "call", *, sequence: int = 1, token: str = TOKEN, at: float = NOW
) -> ReceivedPush:
    data = {"callId": call_id, "cp": CONTEXT, "displayName": "Ada"}
    return ReceivedPush(
        hub="calls",
        sequence=sequence,
        device_handle=token,
        format="apple",
        headers={"apns-expiration": "1800000060", masks.DEVICE_HANDLE: token},
        body=json.dumps({"aps": {}, "data": data}),
        call_id=call_id,
        received_at=at,
        tracking_id="tracked",
        notification_id="notified",
    )


def attempt(status: int | None = 201, call_id: str | None = "call", **changes: Any) -> Attempt:
    known = {"device_handle": TOKEN, "fault": None, "reason": None, "tracking_id": "tracked"}
    moments = {"received_at": NOW, "monotonic": 1.0}
    return Attempt.model_validate({**known, **moments, "status": status, "call_id": call_id, **changes})


def snapshot(
    *,
    registrations: tuple[Registration, ...] = (registration(),),
    pushes: tuple[ReceivedPush, ...] = (),
    attempts: tuple[Attempt, ...] = (),
    answers: Answers | None = None,
    faults: tuple[Fault, ...] = (),
    calls: tuple[PlacedCall, ...] = (),
    lines: tuple[StructuredLine, ...] = (),
) -> Snapshot:
    reading = Reading(registrations=registrations, pushes=pushes, attempts=attempts, faults=faults)
    return take_snapshot(reading, calls, answers or {}, lines)


def only_ring(shown: Snapshot, phone: int = 0) -> RingView:
    (ring,) = shown.phones[phone].rings
    return ring


class TestMasks:
    def test_no_token_and_no_context(self) -> None:
        """A snapshot contains neither a device token nor a whole call context."""
        text = snapshot(pushes=(push(),), attempts=(attempt(),)).model_dump_json()
        assert TOKEN not in text
        assert CONTEXT not in text

    def test_context_is_shortened(self) -> None:
        """The start and the length of the context are shown, every other field unchanged."""
        shown = json.loads(masks.masked_body(push().body))
        assert shown["data"] == {
            "callId": "call",
            "cp": "H4sIAAAAH4sI… (400 characters)",
            "displayName": "Ada",
        }

    def test_context_in_a_list(self) -> None:
        """A nested context is shortened too."""
        assert CONTEXT not in masks.masked_body(json.dumps([{"a": [{"cp": CONTEXT}]}]))

    def test_body_that_is_not_json(self) -> None:
        """A body that cannot be parsed cannot be masked: only its length is shown."""
        assert masks.masked_body(f"cp={CONTEXT}") == "(not JSON, 403 characters)"

    def test_body_size_is_the_real_one(self) -> None:
        """The size is that of the received body."""
        assert only_ring(snapshot(pushes=(push(),))).pushes[0].body_bytes == len(push().body)


class TestExpiry:
    @pytest.mark.parametrize(
        ("platform", "headers", "body", "expected"),
        [
            ("apple", {"apns-expiration": "1800000030"}, {}, 1_800_000_030),
            ("apple", {}, {}, None),
            ("apple", {"apns-expiration": "soon"}, {}, None),
            ("fcmv1", {}, {"message": {"android": {"ttl": "30s"}}}, NOW + 30),
            ("fcmv1", {}, {"message": {"android": {"ttl": "3.5s"}}}, NOW + 3.5),
            ("fcmv1", {}, {"message": {}}, None),
            ("fcmv1", {}, [], None),
            ("windows", {"x-wns-ttl": "12"}, {}, NOW + 12),
            ("windows", {}, {}, None),
        ],
    )
    def test_by_platform(
        self, platform: str, headers: dict[str, str], body: object, expected: float | None
    ) -> None:
        """The expiry is read from each platform's own field."""
        received = push().model_copy(
            update={"format": platform, "headers": headers, "body": json.dumps(body)}
        )
        assert ringing.expires_at(received) == expected

    @pytest.mark.parametrize(
        "body", ["", "no JSON", "[]", '{"data": 1}', '{"data": {"displayName": 1}}', "{}"]
    )
    def test_push_without_a_name(self, body: str) -> None:
        """A push without a display name has no caller name."""
        assert ringing.caller_name(push().model_copy(update={"body": body})) is None


class TestRings:
    def test_attempts_before_the_push(self) -> None:
        """Failed attempts and the accepted one are shown as one call."""
        ring = only_ring(snapshot(pushes=(push(),), attempts=(attempt(503), attempt(429), attempt(201))))
        assert [(one.result, one.accepted) for one in ring.attempts] == [
            ("503", False), ("429", False), ("201", True),
        ]  # fmt: skip
        assert (ring.caller, ring.expires_at, len(ring.pushes)) == ("Ada", 1_800_000_060, 1)

    def test_only_attempts(self) -> None:
        """A call without an accepted attempt is shown without a push."""
        ring = only_ring(snapshot(attempts=(attempt(503),)))
        assert (ring.pushes, ring.expires_at, ring.caller) == ((), None, None)

    def test_lost_answer_counts_as_accepted(self) -> None:
        """An attempt whose push was accepted and whose answer was lost counts as accepted."""
        lost = attempt(None, fault="accept_then_drop")
        (shown,) = only_ring(snapshot(attempts=(lost,))).attempts
        assert (shown.result, shown.accepted) == ("accept_then_drop", True)

    def test_two_pushes_of_one_call(self) -> None:
        """Two pushes of one call are shown as one call with two pushes."""
        assert len(only_ring(snapshot(pushes=(push(), push(sequence=2)))).pushes) == 2

    def test_without_a_call_id(self) -> None:
        """A push without a call id is shown too."""
        assert only_ring(snapshot(pushes=(push(None),))).call_id == ""

    def test_newest_calls(self) -> None:
        """The newest calls are first, and old ones are left out."""
        pushes = tuple(push(f"call-{number}", sequence=number, at=NOW + number) for number in range(1, 9))
        calls = [ring.call_id for ring in snapshot(pushes=pushes).phones[0].rings]
        assert calls == ["call-8", "call-7", "call-6", "call-5", "call-4"]

    def test_other_phones_pushes(self) -> None:
        """A push to another phone is not shown at this one."""
        assert snapshot(pushes=(push(token="another"),)).phones[0].rings == ()

    def test_accepting_ends_ringing_on_others(self) -> None:
        """If one phone accepts, the other shows the call as answered elsewhere."""
        two = (registration(1), registration(2, "c8" * 32))
        pushes = (push(), push(sequence=2, token="c8" * 32))
        shown = snapshot(registrations=two, pushes=pushes, answers={("phone-1", "call"): "accepted"})
        assert [only_ring(shown, number).answer for number in (0, 1)] == ["accepted", "elsewhere"]

    def test_declining_does_not_end_ringing_on_others(self) -> None:
        """If one phone declines, the other goes on ringing."""
        two = (registration(1), registration(2, "c8" * 32))
        pushes = (push(), push(sequence=2, token="c8" * 32))
        shown = snapshot(registrations=two, pushes=pushes, answers={("phone-1", "call"): "declined"})
        assert [only_ring(shown, number).answer for number in (0, 1)] == ["declined", None]


class TestEvents:
    LINE = "2026-01-31 12:00:00,123 WARNING acs_call_push: "

    def line(self, **fields: object) -> StructuredLine:
        lines = HostLines(lambda: NOW)
        lines("stderr", self.LINE + json.dumps(fields))
        return lines.lines()[0]

    def placed(self, event_id: str, at: float) -> PlacedCall:
        event = {"id": event_id, "data": {"correlationId": f"call of {event_id}"}}
        return PlacedCall(event, PlaceCall(callee="8:acs:callee", caller_name="Ada"), at, at - 5)

    def test_line_of_an_event(self) -> None:
        """A line belongs to the event that it names."""
        line = self.line(event="incoming_call", event_id="one", result="delivered")
        (event,) = snapshot(calls=(self.placed("one", NOW),), lines=(line,)).events
        assert [line.fields["result"] for line in event.lines] == ["delivered"]
        assert (event.lines[0].time, event.lines[0].level) == ("12:00:00,123", "WARNING")

    def test_event_not_placed_here(self) -> None:
        """An event that the page did not place is known by its line."""
        line = self.line(event="incoming_call", event_id="foreign", call_id="call")
        (event,) = snapshot(lines=(line,)).events
        assert (event.id, event.call_id, event.deliveries) == ("foreign", "call", ())

    def test_line_without_an_event(self) -> None:
        """A line without an event is listed apart."""
        shown = snapshot(lines=(self.line(event="request_failed"),))
        assert [line.fields["event"] for line in shown.other_lines] == ["request_failed"]
        assert shown.events == ()

    def test_newest_first(self) -> None:
        """The newest event is first."""
        shown = snapshot(calls=(self.placed("old", NOW), self.placed("new", NOW + 1)))
        assert [event.id for event in shown.events] == ["new", "old"]

    def test_call_age_from_the_event(self) -> None:
        """A call that the page placed has the time when it began."""
        ring = only_ring(snapshot(calls=(self.placed("one", NOW),), pushes=(push("call of one"),)))
        assert ring.began == NOW - 5


class TestHostLines:
    @pytest.mark.parametrize(
        "line",
        [
            "",
            "Stopping",
            "2026-01-31 12:00:00,123 INFO    acs_call_push: no JSON",
            "2026-01-31 12:00:00,123 INFO    acs_call_push: {broken}",
            '2026-01-31 12:00:00,123 INFO    another.logger: {"event": "x"}',
        ],
    )
    def test_other_lines_are_left_out(self, line: str) -> None:
        """Lines that are not structured lines of the app are dropped."""
        lines = HostLines()
        lines("stderr", line)
        assert lines.lines() == []

    def test_listener(self) -> None:
        """The start and the end of an invocation and every structured line call the listener."""
        lines, heard = HostLines(), []
        lines.listen(lambda: heard.append(1))
        lines("stderr", "… local.host: Executing 'Functions.AddDeviceToken' (Id=1)")
        lines("stderr", "… local.host: Executed 'Functions.AddDeviceToken' (Succeeded, Id=1, Duration=3ms)")
        lines("stderr", '2026-01-31 12:00:00,123 INFO    acs_call_push: {"event": "x"}')
        lines("stderr", "Stopping")
        assert len(heard) == 3

    def test_removed_listener(self) -> None:
        """A removed listener is not called."""
        lines, heard = HostLines(), []
        lines.listen(lambda: heard.append(1))
        lines.listen(None)
        lines("stderr", '2026-01-31 12:00:00,123 INFO    acs_call_push: {"event": "x"}')
        assert heard == []


class TestCommands:
    @pytest.mark.parametrize(
        ("mode", "expected"),
        [
            ("healthy", None),
            ("slow", Fault(kind="slow", delay_seconds=2.6, times=2)),
            ("throttled", Fault(kind="status", status=429, retry_after="3", times=2)),
            ("failing", Fault(kind="status", status=503, times=2)),
            ("lost", Fault(kind="accept_then_drop", times=2)),
        ],
    )
    def test_modes(self, mode: str, expected: Fault | None) -> None:
        """Each mode is one fault of the simulator."""
        command = parse_command(SetHubMode, json.dumps({"mode": mode, "times": 2, "seconds": 2.6}).encode())
        assert command.fault() == expected

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"[]", b"{}", b'{"callee": 1}', b'{"callee": "a", "more": 1}',
            b'{"callee": "a", "ageSeconds": 1e9}',
            b'{"callee": "a", "schemaName": "other"}',
        ],
    )  # fmt: skip
    def test_malformed_call(self, body: bytes) -> None:
        """A malformed call is refused."""
        with pytest.raises(BadCommandError):
            parse_command(PlaceCall, body)

    def test_refusal_quotes_nothing(self) -> None:
        """A refusal names the field and does not quote the value."""
        with pytest.raises(BadCommandError, match="platform") as refused:
            parse_command(RegisterPhone, b'{"acsMri": "8:acs:a", "platform": "sesame"}')
        assert "sesame" not in str(refused.value)
