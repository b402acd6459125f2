"""Devices that platforms call dead are forgotten, and no other."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import pytest

from local.database import EmbeddedDatabase
from local.hub.config import DEVELOPMENT_HUB, AccessRule, HubConfig, Tier
from local.hub.records import PlatformOutcome
from local.hub.running_hub import RunningHub
from local.hub.simulator import Simulator
from models.device import DeviceRegistration
from models.platform import Platform
from models.push_subscription import PushSubscription
from push.dead_devices import MOST_BYTES, READING_SECONDS
from tests.answering_server import Asked, Reply, answering
from tests.end_to_end.hosts import new_user
from tests.fakes import AppLog, ShiftedClock
from tests.faults import TcpProxy
from tests.rig import FailPoint, Instance, call_to, new_token
from tests.subscriptions import subscription_text

ROOT = Path(__file__).parents[2]
SIGNATURE = "do-not-show-this-signature"
EXPIRED, WRONG = PlatformOutcome.EXPIRED_CHANNEL, PlatformOutcome.WRONG_TOKEN


@pytest.fixture
def app(hub: RunningHub, database: EmbeddedDatabase) -> Iterator[Instance]:
    """One instance over the simulator."""
    with Instance(hub, database.uri) as running:
        yield running


def registered(app: Instance, device: DeviceRegistration) -> bool:
    return any(each["_id"] == device.registration_id for each in app.registrations(device.acs_mri))


def sweep(app: Instance) -> None:
    app.app.dead_devices.sweep()


class TestSimulator:
    """Over the hub simulator, as a whole."""

    @pytest.mark.parametrize("outcome", [EXPIRED, PlatformOutcome.BAD_CHANNEL])
    def test_forgotten(self, app: Instance, log: AppLog, outcome: PlatformOutcome) -> None:
        """A phone whose app was removed is found silent at a call, and is gone with the next sweep."""
        dead, well = app.register(user := new_user(), 2)
        app.hub.simulator.set_outcome(dead.device_token, outcome)
        app.deliver(call_to(user))
        assert registered(app, dead)
        sweep(app)
        assert [registered(app, each) for each in (dead, well)] == [False, True]
        (line,) = log.events("dead_devices")
        assert (line["hub"], line["dead"], line["forgotten"]) == ("default", 1, 1)
        (audit,) = [line for line in log.events("registrar_audit") if line["action"] == "forgotten"]
        assert (audit["right"], audit["registration"]) == ("feedback", dead.registration_id[:16])
        assert not any(secret in log.text for secret in (user, dead.device_token, dead.device_uuid))

    def test_browser(self, app: Instance) -> None:
        """A browser is reported by its endpoint."""
        (phone,) = app.register(user := new_user())
        endpoint = "https://push.example/dead"
        token = PushSubscription.parse(subscription_text(endpoint)).text
        browser = replace(phone, device_uuid="b", device_token=token, platform=Platform.BROWSER)
        app.app.device_store.register(browser, app.app.clock.now())
        app.hub.simulator.set_outcome(endpoint, EXPIRED)
        app.deliver(call_to(user))
        sweep(app)
        assert [registered(app, each) for each in (phone, browser)] == [True, False]

    def test_refreshed_since(self, app: Instance) -> None:
        """A device that has registered again after the report stays; the next report counts again."""
        (device,) = app.register(user := new_user())
        app.hub.simulator.set_outcome(device.device_token, EXPIRED)
        app.deliver(call_to(user))
        app.app.device_store.register(device, app.app.clock.now() + timedelta(seconds=1))
        sweep(app)
        assert registered(app, device)

    def test_wrong_token(self, app: Instance, log: AppLog) -> None:
        """A token of another environment deletes nothing: it is counted, with what to compare."""
        devices = app.register(user := new_user(), 3)
        for device in devices:
            app.hub.simulator.set_outcome(device.device_token, WRONG)
        app.deliver(call_to(user))
        sweep(app)
        assert all(registered(app, device) for device in devices)
        (line,) = log.events("wrong_tokens")
        assert (line["level"], line["reports"]) == ("WARNING", 3)
        assert "sandbox" in line["remedy"]

    def test_read_once(self, app: Instance, log: AppLog) -> None:
        """What has been read is not read again; what comes later is."""
        first, second = app.register(user := new_user(), 2)
        app.hub.simulator.set_outcome(first.device_token, EXPIRED)
        app.deliver(call_to(user))
        sweep(app)
        sweep(app)
        app.hub.simulator.set_outcome(second.device_token, EXPIRED)
        app.deliver(call_to(user))
        sweep(app)
        assert [line["reports"] for line in log.events("dead_devices")] == [1, 0, 1]
        assert not registered(app, second)

    @pytest.mark.parametrize("tier", [Tier.FREE, Tier.BASIC])
    def test_tier(self, database: EmbeddedDatabase, log: AppLog, tier: Tier) -> None:
        """A tier without feedback is said once a process, and is no error."""
        with (
            RunningHub(Simulator(replace(DEVELOPMENT_HUB, tier=tier))) as hub,
            Instance(hub, database.uri) as app,
        ):
            sweep(app)
            sweep(app)
        (line,) = log.events("feedback_not_available")
        assert line["level"] == "INFO"
        assert "Standard" in line["remedy"]
        assert not log.events("feedback_not_read")

    def test_two_hubs(self, hub: RunningHub, database: EmbeddedDatabase, log: AppLog) -> None:
        """Each hub speaks for its own devices; one that is down does not hinder the other."""
        rules = {"K": AccessRule(key="k", rights=frozenset({"Send"}))}
        with RunningHub(Simulator(HubConfig("otherns", "second", rules))) as other:
            named = {
                "ANHHub__other__ConnectionString": other.connection_string,
                "ANHHub__other__HubName": other.hub_name,
                "ANHHub__other__Url": other.messages_url,
                "ANHHub__wrong__HubName": "wrong",
            }
            with Instance(hub, database.uri, named) as app:
                ours, theirs = app.register(user := new_user(), 2)
                theirs = replace(theirs, hub="other")
                app.app.device_store.register(theirs, app.app.clock.now())
                for simulator in (hub.simulator, other.simulator):
                    for device in (ours, theirs):
                        simulator.set_outcome(device.device_token, EXPIRED)
                app.deliver(call_to(user))
                hub.stop()
                sweep(app)
                assert [registered(app, each) for each in (ours, theirs)] == [True, False]
                hub.start()
                sweep(app)
                sweep(app)
                assert not registered(app, ours)
        assert [line["hub"] for line in log.events("feedback_not_read")] == ["default"]
        assert len([line for line in log.events("misconfigured") if line.get("hub") == "wrong"]) == 1

    def test_two_at_once(self, hub: RunningHub, database: EmbeddedDatabase, log: AppLog) -> None:
        """Sweeps of two instances at the same time delete what one would."""
        name = f"test-sweeps-{new_token()[:8]}"
        with (
            Instance(hub, database.uri, database_name=name) as one,
            Instance(hub, database.uri, database_name=name) as other,
        ):
            dead = one.register(user := new_user(), 6)
            (well,) = one.register(user, 1, first=10)
            for device in dead:
                hub.simulator.set_outcome(device.device_token, EXPIRED)
            one.deliver(call_to(user))
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(sweep, [one, other]))
            assert not any(registered(one, device) for device in dead)
            assert registered(one, well)
        assert not log.events("feedback_not_read")


@dataclass
class Storage:
    """A hub and its container that answer as they are told to, and count what they are asked."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    address: str = ""
    asked: list[str] = field(default_factory=list)
    container: str | None = None
    """In place of the container's own address."""
    replies: dict[str, Reply] = field(default_factory=dict)
    """In place of the usual ones, by the path's end."""
    ignores_ranges: bool = False
    meanwhile: dict[str, Callable[[], object]] = field(default_factory=dict)
    """What happens before the reply, once, by the path's end."""
    sent: dict[str, int] = field(default_factory=dict)
    """Bytes of each blob."""

    def answer(self, asked: Asked) -> Reply:
        path, _, query = asked.path.partition("?")
        self.asked.append(asked.path)
        for end in [end for end in self.meanwhile if path.endswith(end)]:
            self.meanwhile.pop(end)()
        for end, reply in self.replies.items():
            if path.endswith(end):
                return reply
        if path.endswith("/feedbackcontainer"):
            url = self.container or f"{self.address}/container?sv=1&sig={SIGNATURE}"
            return Reply(200, url.encode())
        if f"sig={SIGNATURE}" not in query:
            return Reply(403)
        if "comp=list" in query:
            listed = "".join(
                f"<Blob><Name>{escape(name)}</Name><Properties><Content-Length>{len(content)}"
                "</Content-Length></Properties></Blob>"
                for name, content in self.blobs.items()
            )
            return Reply(200, f"<EnumerationResults><Blobs>{listed}</Blobs></EnumerationResults>".encode())
        name = path.rpartition("/")[2]
        content = self.blobs[name]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers.get("range", ""))
        if wanted is None or self.ignores_ranges:
            return Reply(200, content)
        begin, end_of_range = int(wanted[1]), int(wanted[2]) + 1
        self.sent[name] = self.sent.get(name, 0) + end_of_range - begin
        return Reply(206, content[begin:end_of_range])

    def report(self, *devices: DeviceRegistration, error: str = "ExpiredChannel", blob: str = "1") -> None:
        """Add documents about devices."""
        text = "".join(
            '<?xml version="1.0" encoding="utf-16"?><PnsFeedback>'
            f"<FeedbackTime>{datetime.now(UTC).isoformat()}</FeedbackTime>"
            f"<NotificationSystemError>{error}</NotificationSystemError><Platform>any</Platform>"
            f"<PnsHandle>{escape(device.device_token)}</PnsHandle></PnsFeedback>\n"
            for device in devices
        )
        self.blobs[blob] = self.blobs.get(blob, b"") + text.encode()

    def requests_of(self, part: str) -> int:
        return sum(part in path for path in self.asked)


@pytest.fixture
def storage() -> Iterator[Storage]:
    made = Storage()
    with answering(made.answer) as url:
        made.address = url
        yield made


Open = Callable[..., Instance]


@pytest.fixture
def open_app(hub: RunningHub, database: EmbeddedDatabase, storage: Storage) -> Iterator[Open]:
    """Starts instances whose default hub is the storage's, over one database."""
    name = f"test-feedback-{new_token()[:8]}"
    running: list[Instance] = []

    def start(**settings: object) -> Instance:
        url = {"ANHHubUrl": f"{storage.address}/calls/messages/", "MaxDevicesPerUser": 1_000}
        app = Instance(hub, database.uri, {**url, **settings}, database_name=name, clock=ShiftedClock())
        running.append(app.__enter__())
        return app

    yield start
    for app in running:
        app.__exit__(None, None, None)


def left(app: Instance, devices: Sequence[DeviceRegistration]) -> int:
    """How many of the devices of one user are still registered."""
    return len(app.registrations(devices[0].acs_mri))


@pytest.mark.parametrize(
    "error", ["UnknownError", "WrongToken", "Throttled", "PnsUnavailable", "Dropped", ""]
)
def test_other_errors(open_app: Open, storage: Storage, error: str) -> None:
    """Nothing is deleted for a word that does not say that the device is dead.

    With FCM v1 a dead phone has been seen to be reported with `UnknownError`, as a living one can be:
    Azure/azure-notificationhubs-dotnet#321.
    """
    app = open_app()
    devices = app.register(new_user(), 2)
    storage.report(*devices, error=error)
    sweep(app)
    assert left(app, devices) == 2


class TestLimit:
    @pytest.mark.parametrize(
        ("dead", "percent", "stay"),
        [
            ((9, 9), 20, 0),
            ((10, 10), 20, 10),
            ((50, 10), 20, 40),
            ((50, 11), 20, 50),
            ((20, 11), 55, 9),
            ((20, 11), 54, 20),
            ((12, 12), 100, 0),
            ((12, 12), 99, 12),
        ],
    )
    def test_share(
        self, open_app: Open, storage: Storage, dead: tuple[int, int], percent: int, stay: int
    ) -> None:
        """More than the share and at least ten: nothing is deleted. Of so many devices so many are dead."""
        app = open_app(FeedbackMaximumPercent=percent)
        registered = app.register(new_user(), dead[0])
        storage.report(*registered[: dead[1]])
        sweep(app)
        assert left(app, registered) == stay

    def test_mark_stays(self, open_app: Open, storage: Storage, log: AppLog) -> None:
        """One line at CRITICAL a sweep, until an operator lets it through; then nothing has been forgotten of
        it."""
        app = open_app()
        devices = app.register(new_user(), 12)
        storage.report(*devices)
        sweep(app)
        sweep(app)
        lines = log.events("too_many_dead_devices")
        assert [(line["level"], line["dead"], line["registrations"]) for line in lines] == [
            ("CRITICAL", 12, 12)
        ] * 2
        assert "FeedbackMaximumPercent" in lines[0]["remedy"]
        sweep(open_app(FeedbackMaximumPercent=100))
        assert left(app, devices) == 0

    def test_repeated_reports(self, open_app: Open, storage: Storage) -> None:
        """Registrations are counted, not reports: one dead device that is called often is one."""
        app = open_app()
        (device,) = app.register(new_user())
        storage.report(*[device] * 40)
        storage.report(*[replace(device, device_token=new_token()) for _ in range(40)])
        sweep(app)
        assert not registered(app, device)

    def test_per_hub(self, open_app: Open, storage: Storage) -> None:
        """Many devices of another hub do not make this one's share small."""
        app = open_app(
            ANHHub__other__ConnectionString=DEVELOPMENT_HUB.connection_string(),
            ANHHub__other__HubName="other",
            ANHHub__other__Url=f"{storage.address}/other/messages/",
        )
        many = app.register(new_user(), 70)
        for device in many:
            app.app.device_store.register(replace(device, hub="other"), app.app.clock.now())
        ours = app.register(new_user(), 12)
        storage.report(*ours)
        sweep(app)
        assert left(app, ours) == 12


class TestMarks:
    def test_goes_on(self, open_app: Open, storage: Storage) -> None:
        """A blob that has grown is read from where the last sweep ended, by any instance."""
        app = open_app()
        first, second = app.register(new_user(), 2)
        storage.report(first)
        sweep(app)
        storage.report(second)
        sweep(open_app())
        assert left(app, [first]) == 0
        reads = [path for path in storage.asked if "/container/1" in path]
        assert len(reads) == 2

    def test_nothing_new(self, open_app: Open, storage: Storage) -> None:
        """A blob that has not changed is not asked for."""
        app = open_app()
        storage.report(*app.register(new_user()))
        sweep(app)
        sweep(app)
        assert storage.requests_of("/container/1") == 1
        assert storage.requests_of("comp=list") == 2

    def test_half_a_document(self, open_app: Open, storage: Storage) -> None:
        """A document that is being written when a sweep comes is read by the next one."""
        app = open_app()
        devices = app.register(new_user(), 2)
        storage.report(*devices)
        whole = storage.blobs["1"]
        storage.blobs["1"] = whole[:-40]
        sweep(app)
        assert left(app, devices) == 1
        storage.blobs["1"] = whole
        sweep(app)
        assert left(app, devices) == 0

    @pytest.mark.parametrize("ignores_ranges", [False, True])
    def test_written_anew(self, open_app: Open, storage: Storage, *, ignores_ranges: bool) -> None:
        """A blob that has become shorter is read from its beginning; a server may ignore ranges."""
        app = open_app()
        storage.ignores_ranges = ignores_ranges
        first, second, third = app.register(new_user(), 3)
        storage.report(first, first, first)
        sweep(app)
        storage.report(second)
        sweep(app)
        storage.blobs.clear()
        storage.report(third)
        sweep(app)
        assert left(app, [first]) == 0

    def test_cut_off(self, open_app: Open, storage: Storage, database: EmbeddedDatabase, log: AppLog) -> None:
        """A sweep that the database ends half way is finished by the next one."""
        app = open_app(MongoDbOperationTimeoutSeconds=0.5)
        devices = app.register(new_user(), 5)
        storage.report(*devices)
        with FailPoint(database.uri, ["delete"], mode={"skip": 2}, errorCode=11600):
            sweep(app)
        assert 0 < left(app, devices) < 5
        assert log.events("feedback_not_read")
        sweep(app)
        assert left(app, devices) == 0

    def test_changed_meanwhile(self, open_app: Open) -> None:
        """A device that registers between the look-up and its deletion stays."""
        app = open_app()
        (device,) = app.register(new_user())
        found = app.app.dead_registrations.find("default", {device.device_token: datetime.now(UTC)})
        app.app.device_store.register(device, app.app.clock.now() + timedelta(seconds=1))
        assert [app.app.dead_registrations.forget(dead) for dead in found] == [False]
        assert registered(app, device)


class TestBounds:
    """What one sweep leaves unread, the next one reads."""

    @pytest.fixture
    def app(self, open_app: Open, storage: Storage) -> tuple[Instance, Sequence[DeviceRegistration]]:
        """An instance, and three devices of which each stands at the end of a blob of its own."""
        app = open_app()
        devices = app.register(new_user(), 3)
        for blob, device in enumerate(devices, 1):
            storage.report(device, blob=str(blob))
        return app, devices

    def test_bytes(
        self, app: tuple[Instance, Sequence[DeviceRegistration]], storage: Storage, log: AppLog
    ) -> None:
        """A sweep reads so many bytes of all blobs together."""
        instance, devices = app
        first, second = MOST_BYTES - 300_000, 1_000_000
        storage.blobs["1"] = b" " * first + storage.blobs["1"]
        storage.blobs["2"] = b" " * second + storage.blobs["2"]
        sweep(instance)
        assert [registered(instance, each) for each in devices] == [False, True, True]
        assert storage.requests_of("/3") == 0
        storage.sent.clear()
        sweep(instance)
        assert left(instance, devices) == 0
        # What was read of the second blob is not read again.
        assert "1" not in storage.sent
        assert 0 < storage.sent["2"] < len(storage.blobs["2"])
        assert [line["dead"] for line in log.events("dead_devices")] == [1, 2]

    def test_seconds(self, app: tuple[Instance, Sequence[DeviceRegistration]], storage: Storage) -> None:
        """A sweep reads for so long."""
        instance, devices = app
        clock = instance.app.clock
        assert isinstance(clock, ShiftedClock)
        storage.meanwhile["/1"] = lambda: clock.turn(READING_SECONDS / 2)
        storage.meanwhile["/2"] = lambda: clock.turn(READING_SECONDS / 2)
        sweep(instance)
        assert [registered(instance, each) for each in devices] == [False, True, True]
        assert storage.requests_of("/3") == 0
        sweep(instance)
        assert left(instance, devices) == 0


class TestBadInput:
    @pytest.mark.parametrize(
        "url",
        [
            "https://169.254.169.254/metadata?sig=x",
            "http://10.0.0.1/container?sig=x",
            "https://nhfeedback.blob.core.windows.net.evil.test/c?sig=x",
            "http://nhfeedback.blob.core.windows.net/c?sig=x",
            "",
            "<html/>",
        ],
    )
    def test_address(self, open_app: Open, storage: Storage, log: AppLog, url: str) -> None:
        """An address that is not Azure Storage's is not fetched, and not shown."""
        storage.container = url + SIGNATURE
        sweep(open_app())
        (line,) = log.events("feedback_not_read")
        assert "not fetched" in line["reason"]
        assert SIGNATURE not in log.text
        assert len(storage.asked) == 1

    @pytest.mark.parametrize("end", ["/container", "/container/1"])
    def test_redirect(self, open_app: Open, storage: Storage, log: AppLog, end: str) -> None:
        """No redirect is followed."""
        app = open_app()
        storage.report(*app.register(new_user()))
        storage.replies[end] = Reply(302, headers={"Location": f"{storage.address}/elsewhere"})
        sweep(app)
        assert storage.requests_of("elsewhere") == 0
        assert "302" in log.events("feedback_not_read")[0]["reason"]

    def test_one_blob_fails(self, open_app: Open, storage: Storage) -> None:
        """A blob that cannot be read does not hinder the others, and is tried again."""
        app = open_app()
        first, second = app.register(new_user(), 2)
        storage.report(first, blob="1")
        storage.report(second, blob="2")
        storage.replies["/container/1"] = Reply(500)
        sweep(app)
        assert [registered(app, each) for each in (first, second)] == [True, False]
        storage.replies.clear()
        sweep(app)
        assert not registered(app, first)

    def test_connection_that_vanished(self, open_app: Open, storage: Storage) -> None:
        """The network may silently drop a connection that is idle for minutes; a sweep comes once an hour."""
        app = open_app()
        first, second = app.register(new_user(), 2)
        with (
            answering(storage.answer, keeps_connections=True) as url,
            TcpProxy(urlsplit(url).port or 0) as proxy,
        ):
            storage.container = f"http://127.0.0.1:{proxy.port}/container?sig={SIGNATURE}"
            for device in (first, second):
                storage.report(device)
                sweep(app)
                proxy.freeze_existing()
        assert left(app, [first]) == 0

    @pytest.mark.parametrize("status", [200, 500, 503])
    def test_list(self, open_app: Open, storage: Storage, log: AppLog, status: int) -> None:
        """A list that cannot be read ends the sweep of that hub, in one line."""
        storage.replies["/container"] = Reply(status, b"<!DOCTYPE x><EnumerationResults/>")
        sweep(open_app())
        assert len(log.events("feedback_not_read")) == 1

    def test_from_the_future(self, open_app: Open, storage: Storage) -> None:
        """A report from the future counts as of now: a device that has registered since stays."""
        app = open_app()
        (device,) = app.register(new_user())
        storage.report(device)
        storage.blobs["1"] = storage.blobs["1"].replace(b"<FeedbackTime>20", b"<FeedbackTime>21")
        app.app.device_store.register(device, app.app.clock.now() + timedelta(minutes=1))
        sweep(app)
        assert registered(app, device)

    def test_secrets(self, open_app: Open, storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
        """Neither the signature nor a device token reaches any log, at any level."""
        app = open_app()
        with caplog.at_level(logging.DEBUG):
            devices = app.register(new_user(), 2)
            storage.report(devices[0])
            storage.replies["/container/2"] = Reply(500)
            storage.blobs["2"] = b"x"
            sweep(app)
        assert not registered(app, devices[0])
        shown = caplog.text + "".join(map(str, (record.args for record in caplog.records)))
        assert SIGNATURE not in shown
        assert not any(device.device_token in shown for device in devices)


class TestSchedule:
    @staticmethod
    def functions(**settings: str) -> tuple[dict[str, str], str]:
        """Schedules by the names of timer functions, and the log, as the worker indexes them."""
        program = (
            "import json, logging; logging.basicConfig(format='%(message)s'); import function_app;"
            "print(json.dumps({f.get_function_name(): f.get_trigger().schedule for f in "
            "function_app.app.get_functions() if hasattr(f.get_trigger(), 'schedule')}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return dict(json.loads(done.stdout.splitlines()[-1])), done.stderr

    @pytest.mark.parametrize(
        ("given", "schedule"),
        [
            (None, "0 7 * * * *"),
            ("", "0 7 * * * *"),
            ("0 30 3 * * *", "0 30 3 * * *"),
            ("5 * * * *", "5 * * * *"),
        ],
    )
    def test_given(self, given: str | None, schedule: str) -> None:
        """Without any other setting the function is there, by the schedule."""
        found, log = self.functions(**({} if given is None else {"FeedbackSchedule": given}))
        assert found == {"ForgetDeadDevices": schedule}
        assert "misconfigured" not in log

    @pytest.mark.parametrize("given", ["none", "None", " NONE "])
    def test_off(self, given: str) -> None:
        """It can be turned off."""
        assert self.functions(FeedbackSchedule=given)[0] == {}

    @pytest.mark.parametrize("given", ["hourly", "* * *", "0 61 * * * *", "%FeedbackSchedule%"])
    def test_malformed(self, given: str) -> None:
        """The default counts, with one line at CRITICAL that quotes nothing; every function is indexed."""
        found, log = self.functions(FeedbackSchedule=given)
        assert found == {"ForgetDeadDevices": "0 7 * * * *"}
        assert log.count('"event": "misconfigured"') == 1
        assert "FeedbackSchedule" in log

    def test_wrong_limit(self, hub: RunningHub, database: EmbeddedDatabase, log: AppLog) -> None:
        """A wrong limit counts as the default one, with one line at CRITICAL."""
        with Instance(hub, database.uri, {"FeedbackMaximumPercent": "all"}) as app:
            sweep(app)
            sweep(app)
        (line,) = log.events("misconfigured")
        assert "FeedbackMaximumPercent" in line["remedy"]
        assert len(log.events("dead_devices")) == 2
