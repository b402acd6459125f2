"""The hub's second key: tried once where the first is refused, and only there."""

import time
from collections.abc import Iterator
from typing import cast

import pytest

from common.clock_watch import ClockWatch
from local.hub.faults import Fault
from local.hub.running_hub import RunningHub
from models.hub import HubConnectionString, HubEndpoint
from models.push import Outcome, OutcomeKind, Push
from push.hub.answers import Answer, NoAnswer
from push.hub.client import HubClient
from push.hub.connection import Request
from push.hub.sas import SasTokenSource
from push.hub.wire import Exchange, HubWire, Timeouts
from push.side_by_side import perform
from tests.fakes import FakeClock

PUSH = Push(
    "apple",
    "application/json;charset=utf-8",
    (("apns-push-type", "voip"), ("apns-priority", "10")),
    b'{"aps":{},"data":{}}',
)
DEVICE_TOKEN = "ab" * 32
AMPLE = 10.0


@pytest.fixture
def hub() -> Iterator[RunningHub]:
    with RunningHub() as running:
        yield running


def send(hub: RunningHub, first: str, second: str | None) -> Outcome:
    """Send one push with these keys; `right` stands for the hub's own."""
    real = HubConnectionString.parse(hub.connection_string)

    def tokens(key: str) -> SasTokenSource:
        return SasTokenSource(
            HubConnectionString(real.host, real.key_name, real.key if key == "right" else key),
            hub.hub_name,
            time.time,
        )

    keys = [tokens(first), tokens(second)] if second else [tokens(first)]
    with HubWire(Timeouts(2, 2), time.monotonic) as wire:
        client = HubClient(endpoint(hub), wire, keys, time.time, ClockWatch())
        return perform(client.sending(PUSH, DEVICE_TOKEN, AMPLE))


def endpoint(hub: RunningHub) -> HubEndpoint:
    return HubEndpoint(hub.messages_url, "2020-06")


def answers(hub: RunningHub) -> list[int | None]:
    return [attempt.status for attempt in hub.simulator.attempts()]


class TestSecondary:
    def test_first_is_right(self, hub: RunningHub) -> None:
        """The second key is not touched while the first one is good."""
        outcome = send(hub, "right", "wrong")
        assert (outcome.kind, outcome.used_secondary_key) == (OutcomeKind.ACCEPTED, False)
        assert answers(hub) == [201]

    def test_first_is_refused(self, hub: RunningHub) -> None:
        """Where the first is answered 401, the push goes out under the second, once."""
        outcome = send(hub, "wrong", "right")
        assert (outcome.kind, outcome.used_secondary_key) == (OutcomeKind.ACCEPTED, True)
        assert answers(hub) == [401, 201]
        assert len(hub.simulator.pushes()) == 1

    def test_both_are_refused(self, hub: RunningHub) -> None:
        """Where both are, it is a matter for an operator, and both settings are named."""
        outcome = send(hub, "wrong", "wrong too")
        assert (outcome.kind, outcome.status) == (OutcomeKind.MISCONFIGURED, 401)
        assert "ANHHubConnectionString and ANHHubConnectionStringSecondary" in outcome.reason
        assert answers(hub) == [401, 401]

    def test_none(self, hub: RunningHub) -> None:
        """Without a second key there is one try."""
        outcome = send(hub, "wrong", None)
        assert (outcome.kind, outcome.used_secondary_key) == (OutcomeKind.MISCONFIGURED, False)
        assert "Secondary" not in outcome.reason
        assert answers(hub) == [401]

    @pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
    def test_other_answers(self, hub: RunningHub, status: int) -> None:
        """No other answer has anything to do with the key."""
        hub.simulator.add_fault(Fault(kind="status", status=status))
        send(hub, "right", "right")
        assert answers(hub) == [status]

    def test_second_is_throttled(self, hub: RunningHub) -> None:
        """What becomes of the second try is what counts; that the first key is refused is not forgotten."""
        hub.simulator.add_fault(Fault(kind="status", status=401, times=1))
        hub.simulator.add_fault(Fault(kind="status", status=503, times=1))
        outcome = send(hub, "right", "right")
        assert (outcome.kind, outcome.used_secondary_key) == (OutcomeKind.TRANSIENT, True)

    def test_both_tries_fit_into_one(self, hub: RunningHub) -> None:
        """The second try gets what the first has left of the time for one."""
        clock = FakeClock()
        real = HubConnectionString.parse(hub.connection_string)
        seen: list[tuple[float, bool]] = []

        class Refused:
            """An exchange."""

            def perform(self) -> Answer:
                """Takes three seconds of the test's clock."""
                clock.sleep(3)
                return Answer(401, {})

        class Slow(HubWire):
            """Refuses the key."""

            def begin(
                self,
                request: Request,  # noqa: ARG002
                time_left: float,
                *,
                fresh_connection: bool = False,
            ) -> Exchange | NoAnswer:
                seen.append((time_left, fresh_connection))
                return cast("Exchange", Refused())

        tokens = SasTokenSource(real, hub.hub_name, clock.unix)
        wire = Slow(Timeouts(2, 5), clock.monotonic)
        client = HubClient(endpoint(hub), wire, [tokens, tokens], clock.unix, ClockWatch())
        perform(client.sending(PUSH, DEVICE_TOKEN, AMPLE))
        (_, first_is_fresh), (left, second_is_fresh) = seen
        assert 0 < left <= 4
        assert (first_is_fresh, second_is_fresh) == (False, True)

    def test_clock_is_corrected_meanwhile(self, hub: RunningHub) -> None:
        """Turning the time of day between the two tries takes no time from the second."""
        real = HubConnectionString.parse(hub.connection_string)
        turned = 0.0

        class Turning(HubWire):
            """The first answer comes an hour later, by the time of day."""

            def end(self, exchange: Exchange, reply: Answer | NoAnswer) -> None:
                nonlocal turned
                super().end(exchange, reply)
                turned = 3_600.0

        def now() -> float:
            return time.time() + turned

        keys = [
            SasTokenSource(HubConnectionString(real.host, real.key_name, key), hub.hub_name, now)
            for key in ("wrong", real.key)
        ]
        with Turning(Timeouts(2, 2), time.monotonic) as wire:
            client = HubClient(endpoint(hub), wire, keys, now, ClockWatch())
            outcome = perform(client.sending(PUSH, DEVICE_TOKEN, AMPLE))
        assert (outcome.kind, outcome.used_secondary_key) == (OutcomeKind.ACCEPTED, True)
