"""A hub that answers strangely, stays silent, refuses everything for a while, or for good."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from local.certificates import make_certificates
from local.database import EmbeddedDatabase
from local.hub.faults import Fault
from local.hub.running_hub import RunningHub
from models.device import DeviceRegistration
from push.grace import GRACE_SECONDS
from tests.end_to_end.hosts import new_user
from tests.fakes import AppLog, ShiftedClock
from tests.integration.conftest import SHORT
from tests.integration.fault_rows import FaultRow, Played
from tests.rig import Instance, at_once, call_to, line_of
from tests.scripted_hub import CREATED, ScriptedHub

CREATED_AND_LONG = b"HTTP/1.1 201 Created\r\nContent-Length: 8000\r\n\r\n"

INTERIM = FaultRow("the hub answers 103 Early Hints, then 201")
LONG_HEADER = FaultRow("the hub answers 201 with a header of 70 kB")
NO_STATUS = FaultRow("the hub takes the push and answers with the status 999", (500, 202), (2, 3), tries=2)
DRIP = FaultRow("the hub answers 201, and the body drips a byte every 0.3 s")
SECOND_ANSWER = FaultRow(
    "a second 201 follows in the same TLS record; the next push gets 503", (500, 202), (0, 1)
)
SILENT = FaultRow("the hub is silent for the first half of the ring", (500, 202), (0, 1), tries=3)
GONE = FaultRow("the hub answers 410 to everything for a moment", (202, 202), (0, 0))
REFUSING = FaultRow(
    "the hub answers 401, 403 or 404 to everything, for less than two minutes", (500, 202), (0, 1), tries=4
)
REFUSED = FaultRow("the hub answers 401, 403 or 404 to everything, for longer", (202, 202), (0, 0), tries=4)
NO_AUTHORITIES = FaultRow(
    "`REQUESTS_CA_BUNDLE` names no readable file, for less than two minutes", (500, 202), (0, 1), tries=4
)
ROWS = (
    INTERIM,
    LONG_HEADER,
    NO_STATUS,
    DRIP,
    SECOND_ANSWER,
    SILENT,
    GONE,
    REFUSING,
    REFUSED,
    NO_AUTHORITIES,
)


class TestStrangeAnswers:
    @pytest.fixture
    @staticmethod
    def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedHub]:
        """A hub over TLS."""
        certificates = make_certificates(tmp_path, "contoso.servicebus.windows.net")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with ScriptedHub(certificates) as running:
            yield running

    @pytest.fixture
    @staticmethod
    def app(script: ScriptedHub, hub: RunningHub, database: EmbeddedDatabase) -> Iterator[Instance]:
        # No time-out matters here, and on a busy machine 80 TLS handshakes at once take their time.
        settings = {"HubConnectTimeoutSeconds": 10, "ANHHubUrl": script.messages_url}
        with Instance(hub, database.uri, settings) as running:
            yield running

    def _call(self, app: Instance, script: ScriptedHub, count: int = 1) -> Played:
        """A call to a new user, each of whose pushes rings when the hub has it."""
        devices = app.register(user := new_user(), count)

        def rung(device: DeviceRegistration) -> int:
            handle = "ServiceBusNotification-DeviceHandle"
            return sum(seen.header(handle) == [device.device_token] for seen in script.script.requests)

        return Played(app, call_to(user), devices, rung)

    @pytest.mark.parametrize(
        ("row", "answer"),
        [
            (INTERIM, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + CREATED),
            (LONG_HEADER, CREATED.replace(b"\r\n\r\n", b"\r\nX-Long: " + 70_000 * b"x" + b"\r\n\r\n")),
        ],
        ids=["103", "70 kB"],
    )
    def test_unusual(self, app: Instance, script: ScriptedHub, row: FaultRow, answer: bytes) -> None:
        """HTTP that is seldom seen is understood: one ring."""
        call = self._call(app, script)
        script.script.raw = answer
        call.deliver()
        call.deliver()
        call.check(row)

    def test_no_status(self, app: Instance, script: ScriptedHub) -> None:
        """What is no HTTP may have rung, so it is repeated once a delivery."""
        call = self._call(app, script)
        script.script.status = 999
        call.deliver()
        script.script.status = 201
        call.deliver()
        call.check(NO_STATUS)

    def test_drip(self, script: ScriptedHub, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """The status counts, and the rest is waited for no longer than a send takes: four calls to 15 phones,
        one for nearly every thread that sends, leave the app well."""

        def drip(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(CREATED_AND_LONG)
            while not script.script.released.wait(0.3):
                handler.wfile.write(b"x")

        script.script.behave = drip
        # On a busy machine 60 TLS handshakes at once take their time.
        settings = {
            "HubConnectTimeoutSeconds": 5,
            "HubReadTimeoutSeconds": 1,
            "ANHHubUrl": script.messages_url,
        }
        with Instance(hub, database.uri, settings) as app:
            calls = [self._call(app, script, 15) for _ in range(4)]
            assert max(answer.seconds for answer in at_once(Played.deliver, calls)) < 12
            script.script.behave = None
            for call in (*calls, self._call(app, script)):
                while len(call.statuses) < 2:
                    call.deliver()
                call.check(DRIP)

    def test_second_answer(self, app: Instance, script: ScriptedHub) -> None:
        """It is not taken for the answer to the next push."""
        script.script.raw = CREATED + CREATED
        self._call(app, script).deliver()
        script.script.raw, script.script.status = None, 503
        script.script.headers = {"Retry-After": "60"}
        call = self._call(app, script)
        call.rung = lambda _: int(script.script.status == 201)
        call.deliver()
        script.script.status = 201
        call.deliver()
        call.check(SECOND_ANSWER)


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def app(hub: RunningHub, database: EmbeddedDatabase, clock: ShiftedClock) -> Iterator[Instance]:
    """An instance whose clock can be turned."""
    settings = {**SHORT, "InvocationTimeoutSeconds": 8}
    with Instance(hub, database.uri, settings, jitter=lambda: 0.1, clock=clock) as running:
        yield running


def new_call(app: Instance) -> Played:
    """A call to a new user with one device."""
    devices = app.register(user := new_user())
    return Played(app, call_to(user, time=app.app.clock.now()), devices)


def test_silent(app: Instance) -> None:
    """Tries without an answer are spread and bounded, so that there are some left once the hub is back."""
    call = new_call(app)
    app.hub.simulator.add_fault(Fault(kind="black_hole"))
    call.deliver()
    app.hub.simulator.clear_faults()
    call.deliver()
    call.check(SILENT)


def test_gone(app: Instance, log: AppLog) -> None:
    """No registration is deleted, none of the calls counts as delivered, and one line is CRITICAL."""
    calls = [new_call(app) for _ in range(30)]
    app.hub.simulator.add_fault(Fault(kind="status", status=410))
    for _ in range(2):
        for call in calls:
            call.deliver()
    for call in calls:
        call.check(GONE)
        assert line_of(log, call.event)["result"] != "delivered"
    assert [len(app.registrations(call.devices[0].acs_mri)) for call in calls] == [1] * 30
    assert [line["level"] for line in log.events("most_devices_gone")] == ["CRITICAL"]


@pytest.mark.parametrize("status", [401, 403, 404])
class TestRefusing:
    def test_for_a_moment(self, app: Instance, log: AppLog, status: int) -> None:
        """The event is raised, so that it rings once the hub is right again."""
        call = new_call(app)
        app.hub.simulator.add_fault(Fault(kind="status", status=status))
        call.deliver()
        app.hub.simulator.clear_faults()
        call.deliver()
        call.check(REFUSING)
        assert [line["status"] for line in log.events("misconfigured")] == [status]

    def test_for_good(self, app: Instance, clock: ShiftedClock, log: AppLog, status: int) -> None:
        """Two minutes after the first refusal events are acknowledged, each with a line at CRITICAL."""
        app.hub.simulator.add_fault(Fault(kind="status", status=status))
        for seconds in (0, GRACE_SECONDS - 5):
            clock.turn(seconds)
            early = new_call(app)
            early.deliver()
            assert early.statuses == [500]
        clock.turn(5)
        call = new_call(app)
        call.deliver()
        call.deliver()
        call.check(REFUSED)
        assert len(log.events("misconfigured")) == 3
        assert line_of(log, call.event)["result"] == "duplicate"

    def test_again_after_a_success(self, app: Instance, clock: ShiftedClock, status: int) -> None:
        """A push that is accepted starts the two minutes anew."""
        for _ in range(2):
            app.hub.simulator.add_fault(Fault(kind="status", status=status))
            call = new_call(app)
            call.deliver()
            app.hub.simulator.clear_faults()
            call.deliver()
            call.check(REFUSING)
            clock.turn(GRACE_SECONDS + 1)


def test_unreadable_authorities(
    hub: RunningHub, database: EmbeddedDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: AppLog
) -> None:
    """Another instance may have the file, so the event is raised."""
    certificates = make_certificates(tmp_path, "contoso.servicebus.windows.net")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
    with ScriptedHub(certificates) as script:
        settings = {**SHORT, "ANHHubUrl": script.messages_url}
        with Instance(hub, database.uri, settings, jitter=lambda: 0.1) as app:
            devices = app.register(user := new_user())
            call = Played(app, call_to(user), devices, lambda _: len(script.script.requests))
            call.deliver()
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
            call.deliver()
    call.check(NO_AUTHORITIES)
    (line,) = log.events("misconfigured")
    assert "REQUESTS_CA_BUNDLE" in line["remedy"]
