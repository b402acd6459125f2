"""The test call: what the app reads in it, and how it is delivered again."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from common import telemetry
from doctor.synthetic_call import CALLER_NAME, REDELIVERY_PAUSES, deliver, synthetic_call
from models.call import parse_incoming_call
from models.errors import DeliveryIncompleteError
from models.event import parse_event
from push.call_context import call_context

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ALICE = "8:acs:resource_alice"


class Waits:
    """A clock whose waits are over at once, and remembered."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return sum(self.pauses)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


class Handler:
    """Leaves devices over a few times, and says so in the log as the real one does."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.events: list[str] = []

    def handle(self, event: str) -> None:
        self.events.append(event)
        left_over = len(self.events) <= self.failures
        telemetry.log(30, "incoming_call", result="incomplete" if left_over else "delivered")
        if left_over:
            raise DeliveryIncompleteError("Some devices are left over.")


class TestSyntheticCall:
    def test_understood(self) -> None:
        """The app reads a call to the user, at the current time."""
        made = synthetic_call(ALICE, NOW)
        call = parse_incoming_call(parse_event(made.event))
        assert (call.callee.mri, call.event_time) == (ALICE, NOW)
        assert (call.event_id, call.correlation_id) == (made.event_id, made.call_id)
        assert call.caller_display_name == CALLER_NAME
        assert call_context(call.incoming_call_context)

    def test_says_what_it_is(self) -> None:
        """Its event id and its caller's name say that it is a test."""
        made = synthetic_call(ALICE, NOW)
        assert made.event_id.startswith("doctor-")
        assert "TEST" in json.loads(made.event)["data"]["callerDisplayName"]

    def test_another_each_time(self) -> None:
        """No two are one call to the ledger."""
        assert synthetic_call(ALICE, NOW).event_id != synthetic_call(ALICE, NOW).event_id


class TestRing:
    def test_acknowledged(self) -> None:
        """A call that is acknowledged is delivered once."""
        clock, handler = Waits(), Handler(0)
        outcome = deliver(handler, synthetic_call(ALICE, NOW), clock, lambda _: None)
        assert (outcome.count, outcome.error, clock.pauses) == (1, None, [])
        assert outcome.last_line["result"] == "delivered"

    def test_delivered_again(self) -> None:
        """One that leaves devices over is delivered again, when Event Grid would, the same event."""
        clock, handler, told = Waits(), Handler(1), list[str]()
        outcome = deliver(handler, synthetic_call(ALICE, NOW), clock, told.append)
        assert (outcome.count, outcome.error, clock.pauses) == (2, None, [REDELIVERY_PAUSES[0]])
        assert len(set(handler.events)) == 1
        assert "10 s" in told[0]

    def test_given_up(self) -> None:
        """After as many deliveries as fit into a ring it ends, with the reason."""
        clock, handler = Waits(), Handler(99)
        outcome = deliver(handler, synthetic_call(ALICE, NOW), clock, lambda _: None)
        assert outcome.count == 1 + len(REDELIVERY_PAUSES)
        assert outcome.error == "Some devices are left over."
        assert timedelta(seconds=sum(clock.pauses)) < timedelta(seconds=60)

    def test_log_stays_off_the_screen(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What the app logs meanwhile is read, not printed."""
        deliver(Handler(0), synthetic_call(ALICE, NOW), Waits(), lambda _: None)
        assert "incoming_call" not in capsys.readouterr().err
