"""The hub client over real HTTP: what it sends, and what it makes of answers and failures."""

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from common.clock_watch import ClockWatch
from local.hub.running_hub import RunningHub
from models.hub import HubConnectionString, HubEndpoint
from models.platform import Platform
from models.push import UNUSABLE_TOKEN, Outcome, OutcomeKind, Push, PushNotificationInfo, Unanswered
from models.push_subscription import PushSubscription
from push.hub.client import HubClient
from push.hub.payload import build_push
from push.hub.sas import SasTokenSource, sas_token
from push.hub.wire import HubWire, Timeouts
from push.side_by_side import perform
from tests.contract.conftest import MakeWire
from tests.fakes import NOW, FakeClock, app_log
from tests.scripted_hub import PATIENCE, ScriptedHub
from tests.subscriptions import AUTH, ENDPOINT, P256DH, subscription_text

CONNECTION = HubConnectionString("contoso.servicebus.windows.net", "Send", "do-not-quote-this-key=")
DEVICE_TOKEN = "do-not-quote-this-device-token"
PUSH = Push(
    # Its device tokens may be any printable text.
    "fcmv1",
    "application/json;charset=utf-8",
    (("apns-push-type", "voip"),),
    b'{"aps":{},"data":"\xc3\xbc"}',
)
TRACKING_ID = "9a4b6f0e-7d7e-4c57-8b43-6f1b9d9b2f10"
AMPLE = 60.0  # seconds left
TOKENS = {
    "apple": "a1b2" * 16,
    "fcmv1": "a1b2:c3",
    "windows": "https://db5p.notify.windows.com/?token=a1b2",
    "browser": PushSubscription.parse(subscription_text()).text,
}

ACCEPTED, REJECTED, GONE = OutcomeKind.ACCEPTED, OutcomeKind.REJECTED, OutcomeKind.GONE
THROTTLED, TRANSIENT = OutcomeKind.THROTTLED, OutcomeKind.TRANSIENT
MISCONFIGURED = OutcomeKind.MISCONFIGURED


@pytest.fixture
def hub(scripted_hub: ScriptedHub) -> ScriptedHub:
    return scripted_hub


@pytest.fixture
def clock_watch() -> ClockWatch:
    return ClockWatch()


Connect = Callable[..., HubClient]


@pytest.fixture
def connect(make_wire: MakeWire, fake_clock: FakeClock, clock_watch: ClockWatch) -> Connect:
    """Makes clients of the hub at a URL."""

    def make(messages_url: str, **timeouts: float) -> HubClient:
        return HubClient(
            HubEndpoint(messages_url, "2020-06"),
            make_wire(**timeouts),
            [SasTokenSource(CONNECTION, "Ring", fake_clock.unix)],
            fake_clock.unix,
            clock_watch,
        )

    return make


@pytest.fixture
def client(hub: ScriptedHub, connect: Connect) -> HubClient:
    return connect(hub.messages_url)


def send(client: HubClient, time_left: float = AMPLE, **options: bool) -> Outcome:
    """Send, and see that nothing secret comes back."""
    outcome = perform(client.sending(PUSH, DEVICE_TOKEN, time_left, **options))
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

    def test_headers_and_body(self, hub: ScriptedHub, client: HubClient, fake_clock: FakeClock) -> None:
        """Each header once, the push's own among them, and the body byte by byte."""
        send(client)
        (seen,) = hub.script.requests
        assert seen.body == PUSH.body
        assert seen.header("Authorization") == [sas_token(CONNECTION, "Ring", int(fake_clock.unix()) + 3_600)]
        assert seen.header("Content-Type") == ["application/json;charset=utf-8"]
        assert seen.header("Content-Length") == [str(len(PUSH.body))]
        assert seen.header("ServiceBusNotification-Format") == ["fcmv1"]
        assert seen.header("ServiceBusNotification-DeviceHandle") == [DEVICE_TOKEN]
        assert seen.header("apns-push-type") == ["voip"]
        assert uuid.UUID(seen.header("TrackingId")[0]).version == 4
        service = [name for name, _ in seen.headers if name.lower().startswith("servicebusnotification-")]
        assert sorted(service) == ["ServiceBusNotification-DeviceHandle", "ServiceBusNotification-Format"]

    def test_every_send_has_its_own_tracking_id(self, hub: ScriptedHub, client: HubClient) -> None:
        """Azure support can tell two sends apart."""
        outcomes = [send(client), send(client)]
        sent = [each.header("TrackingId")[0] for each in hub.script.requests]
        assert [each.tracking_id for each in outcomes] == sent
        assert len(set(sent)) == 2

    def test_tracking_id_of_the_hub(self, hub: ScriptedHub, client: HubClient) -> None:
        """The hub's own counts, if it names one; one that is too long to be an id is cut."""
        hub.script.headers = {"TrackingId": TRACKING_ID}
        assert send(client).tracking_id == TRACKING_ID
        hub.script.headers = {"TrackingId": "x" * 60_000}
        assert len(send(client).tracking_id or "") <= 100

    def test_fresh_connection(self, hub: ScriptedHub, client: HubClient) -> None:
        """A try after a failure goes over a new connection."""
        send(client)
        send(client)
        assert hub.script.connections == 1
        send(client, fresh_connection=True)
        assert hub.script.connections == 2

    def test_sends_side_by_side(self, hub: ScriptedHub, client: HubClient) -> None:
        """Threads share the client; no more connections are made than there are threads."""
        with ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(lambda _: send(client), range(40)))
        assert {each.kind for each in outcomes} == {ACCEPTED}
        assert len({each.tracking_id for each in outcomes}) == 40
        assert (len(hub.script.requests), hub.script.connections <= 4) == (40, True)


class TestAnswers:
    @pytest.mark.parametrize(
        "row",
        [
            (201, None, ACCEPTED, None),
            (200, None, MISCONFIGURED, None),
            (202, None, MISCONFIGURED, None),
            (302, None, MISCONFIGURED, None),
            (400, None, REJECTED, None),
            (413, None, REJECTED, None),
            (405, None, REJECTED, None),
            (401, None, MISCONFIGURED, None),
            (403, None, MISCONFIGURED, None),
            (403, "7", THROTTLED, 7),
            (403, "0", THROTTLED, 0),
            (403, "1.5", THROTTLED, 1.5),
            (403, "soon", THROTTLED, 10),
            (429, None, THROTTLED, 10),
            (429, "2", THROTTLED, 2),
            (429, "0.5", THROTTLED, 0.5),
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
        """Each answer of the hub has one meaning, and one request is sent."""
        status, retry_after, kind, wait = row
        hub.script.status, hub.script.body = status, b"<Error><Detail>do-not-quote</Detail></Error>"
        if retry_after is not None:
            hub.script.headers = {"Retry-After": retry_after}
        outcome = send(client)
        assert (outcome.kind, outcome.status, outcome.retry_after_seconds) == (kind, status, wait)
        assert (outcome.unanswered, outcome.may_have_rung) == (None, False)
        assert len(hub.script.requests) == 1

    def test_retry_after_date(self, hub: ScriptedHub, client: HubClient) -> None:
        """A date in `Retry-After` counts from now, by the clock that was handed in."""
        hub.script.status = 429
        hub.script.headers = {"Retry-After": format_datetime(NOW + timedelta(seconds=4))}
        assert send(client).retry_after_seconds == 4

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirect(self, hub: ScriptedHub, client: HubClient, status: int) -> None:
        """A redirect is not followed, as the token would go with it. The operator is told."""
        with ScriptedHub() as elsewhere:
            hub.script.status, hub.script.headers = status, {"Location": elsewhere.messages_url}
            assert send(client).kind is MISCONFIGURED
            assert (len(hub.script.requests), elsewhere.script.connections) == (1, 0)

    def test_forbidden(self, hub: ScriptedHub, client: HubClient) -> None:
        """403 has several causes, and all of them are named."""
        hub.script.status = 403
        reason = send(client).reason
        assert all(cause in reason for cause in ("Send right", "quota", "too large"))

    def test_gone(self, hub: ScriptedHub, client: HubClient) -> None:
        """410 is the hub's word, not a proof."""
        hub.script.status = 410
        assert send(client).reason == "the hub says that the device is gone"

    def test_detail(self, hub: ScriptedHub, client: HubClient) -> None:
        """A refusal is explained in the hub's own words; the device token and the SAS token are left out."""
        hub.script.status = 400
        hub.script.body = (
            b"<Error><Code>400</Code><Detail>One or more characters in device token do-not-quote-this-device-"
            b"token is not a hexadecimal digit.TrackingId:00000000</Detail></Error>"
        )
        assert send(client).reason == (
            "the hub calls the push malformed; the hub says: One or more characters in device token […] is "
            "not a hexadecimal digit."
        )

    def test_detail_of_an_accepted_push(self, hub: ScriptedHub, client: HubClient) -> None:
        """What the body of an accepted push says is of no interest."""
        hub.script.body = b"<Detail>fine</Detail>"
        assert send(client).reason == "queued by the hub"


class TestFailures:
    def test_refused(self, hub: ScriptedHub, connect: Connect) -> None:
        """A hub that cannot be reached is worth another try, and nothing has rung."""
        client = connect(hub.messages_url)
        hub.stop()
        outcome = send(client)
        assert (outcome.kind, outcome.status, outcome.unanswered) == (TRANSIENT, None, None)
        assert outcome.tracking_id

    @pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 ", b"220 no HTTP at all\r\n\r\n"])
    def test_lost(self, hub: ScriptedHub, client: HubClient, answer: bytes) -> None:
        """A connection that breaks without an answer may have rung; another try is not made here."""

        def break_off(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(answer)

        hub.script.behave = break_off
        outcome = send(client)
        assert (outcome.kind, outcome.status, outcome.unanswered) == (TRANSIENT, None, Unanswered.LOST)
        assert outcome.may_have_rung
        assert len(hub.script.requests) == 1

    def test_recovery(self, hub: ScriptedHub, client: HubClient) -> None:
        """After a broken connection the next send makes a new one."""
        hub.script.behave = lambda _: None
        send(client)
        hub.script.behave = None
        assert send(client).kind is ACCEPTED
        assert hub.script.connections == 2

    def test_no_answer(self, hub: ScriptedHub, connect: Connect) -> None:
        """A hub that has the request and does not answer in time may have rung the phone."""
        hub.script.say()
        outcome = send(connect(hub.messages_url, connect=0.1, read=0.2))
        assert (outcome.kind, outcome.status, outcome.unanswered) == (TRANSIENT, None, Unanswered.TIMEOUT)
        assert outcome.may_have_rung
        assert outcome.tracking_id == hub.script.requests[0].header("TrackingId")[0]

    def test_time_left(self, hub: ScriptedHub, client: HubClient) -> None:
        """Less time left than the time-outs is all that is waited."""
        hub.script.say()
        started = time.monotonic()
        assert send(client, time_left=0.2).may_have_rung
        assert time.monotonic() - started < PATIENCE / 2

    @pytest.mark.parametrize("time_left", [0.0, -1.0])
    def test_no_time_left(self, hub: ScriptedHub, client: HubClient, time_left: float) -> None:
        """Without time left nothing is sent, and there is an outcome all the same."""
        outcome = send(client, time_left=time_left)
        assert (outcome.kind, outcome.unanswered) == (TRANSIENT, None)
        assert hub.script.requests == []


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
            "do-not-quote-é",
            "",
        ],
    )
    def test_no_header_value(self, hub: ScriptedHub, client: HubClient, device_token: str) -> None:
        """Text that cannot stand in a header is no token of any platform; it is not sent, and not quoted."""
        outcome = perform(client.sending(PUSH, device_token, AMPLE))
        assert (outcome.kind, outcome.status, outcome.code) == (REJECTED, None, UNUSABLE_TOKEN)
        assert "do-not-quote" not in repr(outcome)
        assert hub.script.connections == 0

    @pytest.mark.parametrize(
        ("platform", "device_token"),
        [
            (Platform.APPLE, "<96d6bb5d 412881d3 0046f5bf 5616bead df6aa4ab e57987bc cc4b5c23 209dbb0c>"),
            (Platform.APPLE, "(null)"),
            (Platform.FCM_V1, "BLACKLISTED"),
            (Platform.WINDOWS, "https://evil.test/"),
        ],
    )
    def test_of_another_shape(
        self, hub: ScriptedHub, client: HubClient, platform: Platform, device_token: str
    ) -> None:
        """A token that was registered before its shape was checked, and can never ring, is not sent."""
        outcome = perform(client.sending(replace(PUSH, format=platform.value), device_token, AMPLE))
        assert (outcome.kind, outcome.code) == (REJECTED, UNUSABLE_TOKEN)
        assert outcome.reason.startswith("the device token ")
        assert device_token not in outcome.reason
        assert hub.script.connections == 0

    @pytest.mark.parametrize(
        ("platform", "device_token"),
        [
            (Platform.FCM_V1, "a" * 4_096),
            (Platform.FCM_V1, "a:b-c_d.e/f+g="),
            (Platform.APPLE, "aB" * 100),
            (Platform.WINDOWS, "https://db5p.notify.windows.com/?token=AwYAAAB%2fcQhYBud&x=1"),
        ],
    )
    def test_longest_and_oddest(
        self, hub: ScriptedHub, client: HubClient, platform: Platform, device_token: str
    ) -> None:
        """A token of the platform's shape is sent as it is."""
        assert (
            perform(client.sending(replace(PUSH, format=platform.value), device_token, AMPLE)).kind
            is ACCEPTED
        )
        assert hub.script.requests[0].header("ServiceBusNotification-DeviceHandle") == [device_token]


class TestEnvironment:
    def test_a_netrc_does_not_replace_the_token(
        self, hub: ScriptedHub, client: HubClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A `.netrc` entry for the hub's host leaves the SAS token as it is."""
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
        send(client)
        (authorization,) = hub.script.requests[0].header("Authorization")
        assert authorization.startswith("SharedAccessSignature ")


class TestProblem:
    """The question of the readiness probe."""

    @pytest.mark.parametrize("status", [200, 401, 404, 503])
    def test_any_answer(self, hub: ScriptedHub, client: HubClient, status: int) -> None:
        """Every answer shows that the hub is reached. No key is sent and no push."""
        hub.script.status = status
        assert client.problem(AMPLE) is None
        (seen,) = hub.script.requests
        assert (seen.line, seen.body, seen.header("Authorization")) == ("GET / HTTP/1.1", b"", [])

    def test_shared_connection(self, hub: ScriptedHub, client: HubClient) -> None:
        """It keeps a connection open over which the next push is sent."""
        client.problem(AMPLE)
        send(client)
        assert hub.script.connections == 1

    def test_no_answer(self, hub: ScriptedHub, connect: Connect) -> None:
        """The reason is the one that a push would have."""
        client = connect(hub.messages_url)
        hub.stop()
        assert client.problem(AMPLE) == "the hub cannot be reached"

    def test_in_time(self, hub: ScriptedHub, client: HubClient) -> None:
        """A hub that says nothing is not waited for."""
        hub.script.say()
        started = time.monotonic()
        assert client.problem(0.2) == "the hub did not answer in time"
        assert time.monotonic() - started < PATIENCE / 2


class TestClock:
    @pytest.mark.parametrize("asks", ["push", "probe"])
    def test_difference(
        self, hub: ScriptedHub, client: HubClient, clock_watch: ClockWatch, asks: str
    ) -> None:
        """An answer's `Date` shows that our clock is off; pushes and probes tell."""
        hub.script.say(
            b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nDate: "
            + format_datetime(NOW - timedelta(seconds=61), usegmt=True).encode()
            + b"\r\n\r\n"
        )
        with app_log() as log:
            if asks == "push":
                send(client)
            else:
                client.problem(AMPLE)
        assert clock_watch.off_by_seconds == pytest.approx(61, abs=1)
        (line,) = log.events("clock_off")
        assert line["ahead_seconds"] == clock_watch.off_by_seconds


class TestBrowser:
    PUSH = Push("browser", "application/json;charset=utf-8", (), b"{}")
    TOKEN = PushSubscription.parse(subscription_text()).text

    def test_request(self, hub: ScriptedHub, client: HubClient) -> None:
        """The endpoint is the handle, and the keys are headers."""
        outcome = perform(client.sending(self.PUSH, self.TOKEN, AMPLE))
        (request,) = hub.script.requests
        named = ["ServiceBusNotification-Format", "ServiceBusNotification-DeviceHandle", "P256DH", "Auth"]
        assert [request.header(name) for name in named] == [["browser"], [ENDPOINT], [P256DH], [AUTH]]
        assert outcome.kind is ACCEPTED

    @pytest.mark.parametrize("said", [ENDPOINT, P256DH, AUTH])
    def test_secrets(self, hub: ScriptedHub, client: HubClient, said: str) -> None:
        """Nothing of the subscription comes back in the reason of a refusal."""
        hub.script.status, hub.script.body = 400, f"<Detail>no {said} here</Detail>".encode()
        outcome = perform(client.sending(self.PUSH, self.TOKEN, AMPLE))
        assert outcome.kind is REJECTED
        assert "no […] here" in outcome.reason

    @pytest.mark.parametrize(
        "token", ["{}", ENDPOINT, subscription_text(auth="AA"), subscription_text("https://127.0.0.1/x")]
    )
    def test_unusable(self, hub: ScriptedHub, client: HubClient, token: str) -> None:
        """What is no subscription, or names no public host, is not sent."""
        assert perform(client.sending(self.PUSH, token, AMPLE)).code == UNUSABLE_TOKEN
        assert hub.script.requests == []


class TestSimulator:
    """Against the simulator, which knows what Notification Hubs refuses and shares no code with the app."""

    @staticmethod
    def send(running: RunningHub, connection: HubConnectionString, push: Push) -> Outcome:
        tokens = [SasTokenSource(connection, running.hub_name, time.time)]
        endpoint = HubEndpoint(running.messages_url, "2020-06")
        with HubWire(Timeouts(PATIENCE, PATIENCE), time.monotonic) as wire:
            client = HubClient(endpoint, wire, tokens, time.time, ClockWatch())
            return perform(client.sending(push, TOKENS[push.format], AMPLE))

    @pytest.mark.parametrize("platform", list(Platform))
    @pytest.mark.parametrize("display_name", ["Zoë 📱", None, "x" * 9_000])
    def test_accepted(self, platform: Platform, display_name: str | None) -> None:
        """Every platform's push is what the hub wants, signature included."""
        info = PushNotificationInfo("H4sIAAAA", "call-1", "8:acs:a", "8:acs:b", display_name)
        push = build_push(platform, info, NOW, NOW + timedelta(seconds=30))
        with RunningHub() as running:
            outcome = self.send(running, HubConnectionString.parse(running.connection_string), push)
            (received,) = running.simulator.pushes()
            (attempt,) = running.simulator.attempts()
        assert (outcome.kind, outcome.status, attempt.reason) == (ACCEPTED, 201, None)
        assert (received.body, received.format) == (push.body.decode(), platform.value)
        handle = ENDPOINT if platform is Platform.BROWSER else TOKENS[platform]
        assert (received.device_handle, received.tracking_id) == (handle, outcome.tracking_id)
        assert outcome.notification_id == received.notification_id
        assert received.call_id == "call-1"

    def test_wrong_key(self) -> None:
        """A key that the hub does not know is a matter for the operator."""
        with RunningHub() as running:
            outcome = self.send(running, CONNECTION, PUSH)
            assert running.simulator.pushes() == []
        assert (outcome.kind, outcome.status) == (MISCONFIGURED, 401)
