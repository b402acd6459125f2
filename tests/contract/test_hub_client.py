"""The hub client over real HTTP: what goes out, and what every answer and failure comes to."""

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from local.hub.running_hub import RunningHub
from models.device import Platform
from models.hub import HubConnection
from models.push import Outcome, OutcomeKind, Push, PushNotificationInfo
from push.hub.client import HubClient
from push.hub.payload import build_push
from push.hub.sas import SasTokenSource, sas_token
from push.hub.wire import HubEndpoint, HubWire
from tests.fakes import NOW, FakeClock
from tests.scripted_hub import PATIENCE, ScriptedHub

CONNECTION = HubConnection("contoso.servicebus.windows.net", "Send", "do-not-quote-this-key=")
DEVICE_TOKEN = "do-not-quote-this-device-token"
PUSH = Push(
    "apple", "application/json;charset=utf-8", (("apns-push-type", "voip"),), b'{"aps":{},"data":"\xc3\xbc"}'
)
TRACKING_ID = "9a4b6f0e-7d7e-4c57-8b43-6f1b9d9b2f10"
AMPLE = 60.0  # seconds left


@pytest.fixture
def hub() -> Iterator[ScriptedHub]:
    running = ScriptedHub()
    yield running
    running.stop()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


Connect = Callable[..., HubClient]


@pytest.fixture
def connect(clock: FakeClock) -> Iterator[Connect]:
    """Makes clients of the hub at a URL."""
    with ExitStack() as wires:

        def make(messages_url: str, *, read_seconds: float = PATIENCE) -> HubClient:
            endpoint = HubEndpoint(messages_url, "2020-06", PATIENCE, read_seconds)
            wire = wires.enter_context(HubWire(endpoint, time.monotonic))
            tokens = SasTokenSource(CONNECTION, "Ring", clock.unix)
            return HubClient(wire, tokens, clock.unix)

        yield make


@pytest.fixture
def client(hub: ScriptedHub, connect: Connect) -> HubClient:
    return connect(hub.messages_url)


def send(client: HubClient, push: Push = PUSH, time_left: float = AMPLE) -> Outcome:
    """Send, and see that nothing secret comes back."""
    outcome = client.send(push, DEVICE_TOKEN, time_left)
    assert "do-not-quote" not in repr(outcome)
    assert "SharedAccessSignature" not in repr(outcome)
    assert outcome.reason
    return outcome


class TestRequest:
    def test_request_line(self, hub: ScriptedHub, client: HubClient) -> None:
        """A POST to the hub's messages, `direct` as a name without a value."""
        send(client)
        (seen,) = hub.script.requests
        assert seen.line == "POST /ring/messages/?direct&api-version=2020-06 HTTP/1.1"

    def test_headers_and_body(self, hub: ScriptedHub, client: HubClient, clock: FakeClock) -> None:
        """Each header once, the push's own among them, and the body byte by byte."""
        send(client)
        (seen,) = hub.script.requests
        assert seen.body == PUSH.body
        assert seen.header("Authorization") == [sas_token(CONNECTION, "Ring", int(clock.unix()) + 3_600)]
        assert seen.header("Content-Type") == ["application/json;charset=utf-8"]
        assert seen.header("Content-Length") == [str(len(PUSH.body))]
        assert seen.header("ServiceBusNotification-Format") == ["apple"]
        assert seen.header("ServiceBusNotification-DeviceHandle") == [DEVICE_TOKEN]
        assert seen.header("apns-push-type") == ["voip"]
        assert uuid.UUID(seen.header("TrackingId")[0]).version == 4
        service = [name for name, _ in seen.headers if name.lower().startswith("servicebusnotification-")]
        assert sorted(service) == ["ServiceBusNotification-DeviceHandle", "ServiceBusNotification-Format"]

    def test_every_send_has_its_own_tracking_id(self, hub: ScriptedHub, client: HubClient) -> None:
        """So that support can tell two sends apart."""
        outcomes = [send(client), send(client)]
        sent = [each.header("TrackingId")[0] for each in hub.script.requests]
        assert [each.tracking_id for each in outcomes] == sent
        assert len(set(sent)) == 2

    def test_tracking_id_of_the_hub(self, hub: ScriptedHub, client: HubClient) -> None:
        """The hub's own counts, where it names one."""
        hub.script.headers = {"TrackingId": TRACKING_ID}
        assert send(client).tracking_id == TRACKING_ID

    def test_connection_is_kept(self, hub: ScriptedHub, client: HubClient) -> None:
        """One connection carries many sends, good and bad ones."""
        for status in (201, 400, 401, 429, 503, 201):
            hub.script.status, hub.script.body = status, b"<Error/>"
            send(client)
        assert (len(hub.script.requests), hub.script.connections) == (6, 1)

    def test_sends_side_by_side(self, hub: ScriptedHub, client: HubClient) -> None:
        """Threads share the client; no more connections are made than there are threads."""
        with ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(lambda _: send(client), range(40)))
        assert {each.kind for each in outcomes} == {OutcomeKind.ACCEPTED}
        assert len({each.tracking_id for each in outcomes}) == 40
        assert (len(hub.script.requests), hub.script.connections <= 4) == (40, True)


ACCEPTED, REJECTED, GONE = OutcomeKind.ACCEPTED, OutcomeKind.REJECTED, OutcomeKind.GONE
THROTTLED, TRANSIENT = OutcomeKind.THROTTLED, OutcomeKind.TRANSIENT
MISCONFIGURED = OutcomeKind.MISCONFIGURED


class TestAnswers:
    @pytest.mark.parametrize(
        "row",
        [
            (201, None, ACCEPTED, None),
            (200, None, ACCEPTED, None),
            (202, None, ACCEPTED, None),
            (400, None, REJECTED, None),
            (413, None, REJECTED, None),
            (405, None, REJECTED, None),
            (401, None, MISCONFIGURED, None),
            (403, None, MISCONFIGURED, None),
            (403, "7", THROTTLED, 7),
            (403, "0", THROTTLED, 0),
            (403, "soon", THROTTLED, 10),
            (429, None, THROTTLED, 10),
            (429, "2", THROTTLED, 2),
            (429, "soon", THROTTLED, 10),
            (404, None, MISCONFIGURED, None),
            (410, None, GONE, None),
            (408, None, TRANSIENT, None),
            (500, None, TRANSIENT, None),
            (502, None, TRANSIENT, None),
            (503, None, TRANSIENT, None),
            (503, "3", TRANSIENT, 3),
            (504, None, TRANSIENT, None),
            (599, None, TRANSIENT, None),
        ],
    )
    def test_outcome(
        self,
        hub: ScriptedHub,
        client: HubClient,
        row: tuple[int, str | None, OutcomeKind, float | None],
    ) -> None:
        """Each answer of the hub has one meaning, and one request is sent, whatever it is."""
        status, retry_after, kind, wait = row
        hub.script.status, hub.script.body = status, b"<Error><Detail>do-not-quote</Detail></Error>"
        if retry_after is not None:
            hub.script.headers = {"Retry-After": retry_after}
        outcome = send(client)
        assert (outcome.kind, outcome.status, outcome.retry_after_seconds) == (kind, status, wait)
        assert not outcome.may_have_rung
        assert len(hub.script.requests) == 1

    def test_retry_after_date(self, hub: ScriptedHub, client: HubClient) -> None:
        """A date in `Retry-After` counts from now, by the clock that was handed in."""
        hub.script.status = 429
        hub.script.headers = {"Retry-After": format_datetime(NOW + timedelta(seconds=4))}
        assert send(client).retry_after_seconds == 4

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirect(self, hub: ScriptedHub, client: HubClient, status: int) -> None:
        """A redirect is not followed: the token would be taken along. The operator hears of it."""
        elsewhere = ScriptedHub()
        try:
            hub.script.status, hub.script.headers = status, {"Location": elsewhere.messages_url}
            assert send(client).kind is MISCONFIGURED
            assert (len(hub.script.requests), elsewhere.script.connections) == (1, 0)
        finally:
            elsewhere.stop()


class TestFailures:
    def test_refused(self, connect: Connect) -> None:
        """A port where nobody listens: worth another try, and nothing has rung."""
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            outcome = send(connect(f"http://127.0.0.1:{nobody.getsockname()[1]}/ring/messages/"))
        assert (outcome.kind, outcome.status, outcome.may_have_rung) == (TRANSIENT, None, False)
        assert outcome.tracking_id

    @pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 ", b"220 no HTTP at all\r\n\r\n"])
    def test_dropped(self, hub: ScriptedHub, client: HubClient, answer: bytes) -> None:
        """A connection that breaks before there is an answer is worth another try, which is not made here."""

        def break_off(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(answer)

        hub.script.behave = break_off
        outcome = send(client)
        assert (outcome.kind, outcome.status) == (TRANSIENT, None)
        assert len(hub.script.requests) == 1

    def test_recovery(self, hub: ScriptedHub, client: HubClient) -> None:
        """After a broken connection the next send makes a new one."""
        hub.script.behave = lambda _: None
        send(client)
        hub.script.behave = None
        assert send(client).kind is ACCEPTED
        assert hub.script.connections == 2

    def silent(self, hub: ScriptedHub) -> None:
        def wait(_: Any) -> None:
            hub.script.released.wait(PATIENCE)

        hub.script.behave = wait

    def test_no_answer(self, hub: ScriptedHub, connect: Connect) -> None:
        """A hub that has the request and does not answer in time may have rung the phone."""
        self.silent(hub)
        outcome = send(connect(hub.messages_url, read_seconds=0.1))
        assert (outcome.kind, outcome.status, outcome.may_have_rung) == (TRANSIENT, None, True)
        assert outcome.tracking_id == hub.script.requests[0].header("TrackingId")[0]

    def test_time_left(self, hub: ScriptedHub, client: HubClient) -> None:
        """Where less time is left than the time-out, that is all that is waited."""
        self.silent(hub)
        started = time.monotonic()
        assert send(client, time_left=0.1).may_have_rung
        assert time.monotonic() - started < PATIENCE / 2

    @pytest.mark.parametrize("time_left", [0.0, -1.0])
    def test_no_time_left(self, hub: ScriptedHub, client: HubClient, time_left: float) -> None:
        """With no time left there is an outcome all the same."""
        self.silent(hub)
        assert send(client, time_left=time_left).kind is TRANSIENT

    def test_no_connection_in_time(self, connect: Connect) -> None:
        """A hub that takes no connection in time cannot have rung."""
        started = time.monotonic()
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", 0))
            busy.listen(0)
            # The queue holds one; whoever comes next waits for a connection.
            with socket.create_connection(busy.getsockname()):
                outcome = send(
                    connect(f"http://127.0.0.1:{busy.getsockname()[1]}/ring/messages/"), time_left=0.2
                )
        assert time.monotonic() - started < PATIENCE / 2
        assert (outcome.kind, outcome.status, outcome.may_have_rung) == (TRANSIENT, None, False)


class TestDeviceTokens:
    @pytest.mark.parametrize(
        "device_token",
        [
            "do-not-quote\n",
            "do-not-quote\r\nApns-Topic: x",
            "do\nnot",
            "\ndo-not-quote",
            " do-not-quote",
            "\tdo-not-quote",
            "do-not-quote-📱",
            "do-not-quote-€",
            "do-not-quote-\ud800",
        ],
    )
    def test_no_header_value(self, hub: ScriptedHub, client: HubClient, device_token: str) -> None:
        """What cannot stand in a header is no token of any platform; it is not sent, and not quoted."""
        outcome = client.send(PUSH, device_token, AMPLE)
        assert (outcome.kind, outcome.status) == (REJECTED, None)
        assert "do-not-quote" not in repr(outcome)
        assert hub.script.connections == 0

    @pytest.mark.parametrize(
        "device_token", ["a" * 4_096, "a:b-c_d.e/f+g=", "https://wns.test/?token=AQ%3d%3d&x"]
    )
    def test_longest_and_oddest(self, hub: ScriptedHub, client: HubClient, device_token: str) -> None:
        """Every token that fits a header goes out as it is."""
        assert client.send(PUSH, device_token, AMPLE).kind is ACCEPTED
        assert hub.script.requests[0].header("ServiceBusNotification-DeviceHandle") == [device_token]


class TestEnvironment:
    def test_a_netrc_does_not_replace_the_token(
        self, hub: ScriptedHub, client: HubClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A `.netrc` entry for the hub's host leaves the SAS token as it is."""
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
        monkeypatch.setenv("NETRC", str(netrc))
        send(client)
        (authorization,) = hub.script.requests[0].header("Authorization")
        assert authorization.startswith("SharedAccessSignature ")


class TestSimulator:
    """Against the simulator, which knows what Notification Hubs refuses and shares no code with the app."""

    @pytest.mark.parametrize("platform", list(Platform))
    @pytest.mark.parametrize("display_name", ["Zoë 📱", None, "x" * 9_000])
    def test_accepted(self, platform: Platform, display_name: str | None) -> None:
        """Every platform's push is what the hub wants, signature included."""
        with RunningHub() as running:
            tokens = SasTokenSource(
                HubConnection.parse(running.connection_string), running.hub_name, time.time
            )
            endpoint = HubEndpoint(running.messages_url, "2020-06", PATIENCE, PATIENCE)
            info = PushNotificationInfo("H4sIAAAA", "call-1", "8:acs:a", "8:acs:b", display_name)
            push = build_push(platform, info, NOW, NOW + timedelta(seconds=30))
            with HubWire(endpoint, time.monotonic) as wire:
                outcome = HubClient(wire, tokens, time.time).send(push, "a1b2", AMPLE)
            (received,) = running.simulator.pushes()
            (attempt,) = running.simulator.attempts()
        assert (outcome.kind, outcome.status, attempt.reason) == (ACCEPTED, 201, None)
        assert (received.body, received.format) == (push.body.decode(), platform.value)
        assert (received.device_handle, received.tracking_id) == ("a1b2", outcome.tracking_id)
        assert received.call_id == "call-1"

    def test_wrong_key(self) -> None:
        """A key that the hub does not know is a matter for the operator."""
        with RunningHub() as running:
            endpoint = HubEndpoint(running.messages_url, "2020-06", PATIENCE, PATIENCE)
            tokens = SasTokenSource(CONNECTION, running.hub_name, time.time)
            with HubWire(endpoint, time.monotonic) as wire:
                assert send(HubClient(wire, tokens, time.time)).kind is MISCONFIGURED
