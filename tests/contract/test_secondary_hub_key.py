"""The hub's second key: tried once where the first is refused, and only there."""

import time
from collections.abc import Iterator, Mapping
from email.message import Message

import pytest

from local.hub.faults import Fault
from local.hub.running_hub import RunningHub
from models.hub import HubConnection
from models.push import Outcome, OutcomeKind, Push
from push.hub.client import HubClient
from push.hub.sas import SasTokenSource
from push.hub.wire import Answer, HubEndpoint, HubWire
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
    real = HubConnection.parse(hub.connection_string)

    def tokens(key: str) -> SasTokenSource:
        return SasTokenSource(
            HubConnection(real.host, real.key_name, real.key if key == "right" else key),
            hub.hub_name,
            time.time,
        )

    endpoint = HubEndpoint(hub.messages_url, "2020-06", 2, 2)
    with HubWire(endpoint, time.monotonic) as wire:
        client = HubClient(wire, tokens(first), time.time, tokens(second) if second else None)
        return client.send(PUSH, DEVICE_TOKEN, AMPLE)


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
        real = HubConnection.parse(hub.connection_string)
        seen: list[float] = []

        class Slow:
            """Refuses the key after three seconds of the test's clock."""

            longest_send_seconds = 7.0

            def post(self, body: bytes, headers: Mapping[str, str], time_left: float) -> Answer:  # noqa: ARG002
                seen.append(time_left)
                clock.sleep(3)
                return Answer(401, Message())

        tokens = SasTokenSource(real, hub.hub_name, clock.unix)
        HubClient(Slow(), tokens, clock.unix, tokens).send(PUSH, DEVICE_TOKEN, AMPLE)
        assert len(seen) == 2
        assert 0 < seen[1] <= 4
