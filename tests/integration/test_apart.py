"""A slow, dead or refusing device does not affect other devices, nor does a hub that gave no answer for a
time."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from local.database import EmbeddedDatabase
from local.hub.faults import Fault
from local.hub.running_hub import RunningHub
from local.stack import Stack
from models.device import DeviceRegistration
from models.identity import Identity
from tests.end_to_end.hosts import new_user
from tests.fakes import AppLog
from tests.integration.conftest import SHORT
from tests.rig import Instance, at_once, call_to, eventually

READ_SECONDS = float(SHORT["HubReadTimeoutSeconds"])
CALLS = 64
"""As many as the worker has threads, and the app threads that send."""


@pytest.fixture
def app(hub: RunningHub, database: EmbeddedDatabase) -> Iterator[Instance]:
    """One instance with short time-outs and the longest back-offs."""
    with Instance(hub, database.uri, SHORT, jitter=lambda: 0.999) as running:
        yield running


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="slow", delay_seconds=0.4),
        Fault(kind="black_hole"),
        Fault(kind="drop"),
        Fault(kind="status", status=503),
        Fault(kind="status", status=429, retry_after="1"),
        Fault(kind="status", status=401),
    ],
    ids=lambda fault: str(fault.status or fault.kind),
)
@pytest.mark.parametrize("place", [0, 2], ids=["first", "last"])
def test_one_device_delays_no_other(app: Instance, fault: Fault, place: int) -> None:
    """The others' only tries reach the hub before the struck device's answer, or its second try."""
    devices = app.register(user := new_user(), 3)
    struck = devices[place]
    app.hub.simulator.add_fault(fault.model_copy(update={"device_handle": struck.device_token}))
    answer = app.deliver(call_to(user))
    assert answer.status == (202 if fault.kind == "slow" else 500)
    others = [device for device in devices if device is not struck]
    assert [app.attempts(device) for device in others] == [1, 1]
    assert [app.rings(device) for device in others] == [1, 1]
    tries = [attempt.device_handle for attempt in app.hub.simulator.attempts()]
    assert set(tries[:3]) == {device.device_token for device in devices}
    rung = [push.device_handle for push in app.hub.simulator.pushes()]
    if fault.kind == "slow":
        assert rung[-1] == struck.device_token


def test_stuck_devices_of_many_calls(app: Instance) -> None:
    """If each of 64 calls has one device that gets no answer, the others wait a read time-out at most."""
    users = [new_user() for _ in range(CALLS)]
    devices = [app.register(user, 2) for user in users]
    for stuck, _ in devices:
        app.hub.simulator.add_fault(Fault(kind="black_hole", device_handle=stuck.device_token))
    placed = time.time()
    answers = at_once(app.deliver, [call_to(user) for user in users])
    assert {answer.status for answer in answers} == {500}
    well = {device.device_token for _, device in devices}
    rung = {push.device_handle: push.received_at for push in app.hub.simulator.pushes()}
    assert rung.keys() == well
    assert max(rung.values()) - placed < READ_SECONDS + 2


def test_connections_are_kept(hub: RunningHub, database: EmbeddedDatabase) -> None:
    """However calls mix, a connection to the hub is opened once and none is thrown away."""
    with Instance(hub, database.uri, {**SHORT, "MaxConcurrentSends": 8}) as app:
        single, many = [new_user() for _ in range(16)], [new_user() for _ in range(16)]
        for user in single:
            app.register(user)
        for user in many:
            app.register(user, 3)
        hub.simulator.set_latency(0.1)
        for _ in range(3):
            answers = at_once(app.deliver, [call_to(user) for user in (*single, *many)])
            assert {answer.status for answer in answers} == {202}
        # One for each thread that sends: 8 of the app's own and one for each call with a single device.
        assert hub.simulator.summary().connections.total <= 8 + 16


def test_a_hub_that_restarts(app: Instance, hub: RunningHub) -> None:
    """Connections that died with the hub cost no ring and no second one."""
    users = [new_user() for _ in range(8)]
    devices = [app.register(user, 3) for user in users]
    for _ in range(2):
        answers = at_once(app.deliver, [call_to(user) for user in users])
        assert {answer.status for answer in answers} == {202}
        hub.stop()
        hub.start()
    assert {app.rings(device) for three in devices for device in three} == {2}


def test_a_hub_that_is_away(app: Instance, hub: RunningHub) -> None:
    """A hub that refuses connections for a second is tried until it is back, in the same invocation."""
    devices = app.register(user := new_user(), 3)
    hub.stop()
    comes_back = threading.Timer(1.0, hub.start)
    comes_back.start()
    answer = app.deliver(call_to(user))
    comes_back.join()
    assert answer.status == 202
    assert [app.rings(device) for device in devices] == [1, 1, 1]


class TestBlackHole:
    @pytest.mark.parametrize("count", [1, 3])
    def test_a_call_after_it(self, workers: Stack, count: int) -> None:
        """A call placed when the hub is back after 64 into a black hole rings within read time-out + 1 s."""
        host = workers.host
        users = [new_user() for _ in range(CALLS + 1)]
        for user in users:
            for phone in self._phones(count):
                assert host.add_device_token(phone_body(user, phone)).status_code == 201
        workers.hub.add_fault(Fault(kind="black_hole"))
        with ThreadPoolExecutor(CALLS) as pool:
            deliveries = [pool.submit(host.deliver, call_to(user)) for user in users[:CALLS]]
            eventually(lambda: len(workers.hub.attempts()) >= CALLS)
            workers.hub.clear_faults()
            event, placed = call_to(users[CALLS]), time.time()
            assert host.deliver(event).status_code == 202
            assert {delivery.result().status_code for delivery in deliveries} <= {202, 500}
        call_id = event["data"]["correlationId"]
        rings = [push.received_at for push in workers.hub.pushes() if push.call_id == call_id]
        assert len(rings) == count
        assert max(rings) - placed < READ_SECONDS + 1

    @staticmethod
    def _phones(count: int) -> list[str]:
        return [f"phone-{number}" for number in range(count)]


def phone_body(user: str, name: str) -> dict[str, object]:
    """The registration of an Android phone."""
    info = {"deviceUUID": name, "deviceToken": f"{user}/{name}", "platform": "android"}
    return {"acsMri": user, "deviceInfos": [info]}


class TestGone:
    def _gone(self, app: Instance, meanwhile: object = None) -> DeviceRegistration:
        """A call to a device that the hub calls gone; `meanwhile` happens before it says so."""
        device = app.register(user := new_user())[0]
        app.hub.simulator.add_fault(Fault(kind="status", status=410, delay_seconds=0.3))
        with ThreadPoolExecutor(1) as pool:
            delivery = pool.submit(app.deliver, call_to(user))
            eventually(lambda: app.attempts(device) == 1)
            if callable(meanwhile):
                meanwhile(device)
            assert delivery.result().status == 202
        return device

    def _register(self, app: Instance, device: DeviceRegistration) -> None:
        app.app.device_store.register(device, app.app.clock.now())

    def test_marked(self, app: Instance, log: AppLog) -> None:
        """A device that the hub calls gone stays registered and is tried again; the call is not delivered."""
        device = self._gone(app)
        assert len(app.registrations(device.acs_mri)) == 1
        assert app.deliver(call_to(device.acs_mri)).status == 202
        assert app.attempts(device) == 2
        assert {line["result"] for line in log.events("incoming_call")} == {"skipped"}

    def test_gone_for_an_hour(self, app: Instance) -> None:
        """Its registration is deleted when a call an hour later meets the same answer."""
        device = self._gone(app)
        self._age_mark(app, device)
        app.deliver(call_to(device.acs_mri))
        assert app.registrations(device.acs_mri) == []

    def test_back_again(self, app: Instance) -> None:
        """A push that the hub takes removes the mark."""
        device = self._gone(app)
        self._age_mark(app, device)
        app.hub.simulator.clear_faults()
        assert app.deliver(call_to(device.acs_mri)).status == 202
        (document,) = app.registrations(device.acs_mri)
        assert "goneAt" not in document

    def test_a_spell(self, app: Instance, log: AppLog) -> None:
        """A hub that calls most devices gone is not believed: one line at CRITICAL, nothing marked or
        deleted."""
        devices = app.register(user := new_user(), 15)
        app.hub.simulator.add_fault(Fault(kind="status", status=410))
        for _ in range(2):
            assert app.deliver(call_to(user)).status == 202
        registered = {one["_id"] for one in app.registrations(user) if "goneAt" not in one}
        assert registered == {device.registration_id for device in devices}
        assert len(log.events("most_devices_gone")) == 1

    @staticmethod
    def _age_mark(app: Instance, device: DeviceRegistration) -> None:
        """Have the mark of a device be two hours old, if it has one."""
        registrations = app.watcher[app.database_name]["DeviceRegistrations"]
        named = {"_id": device.registration_id, "goneAt": {"$exists": True}}
        registrations.update_one(named, {"$set": {"goneAt": datetime.now(UTC) - timedelta(hours=2)}})

    def test_not_if_it_has_a_new_token(self, app: Instance) -> None:
        """A device that has got a new token since the push was sent keeps it."""
        device = self._gone(app, lambda old: self._register(app, replace(old, device_token="renewed")))
        assert [one["deviceToken"] for one in app.registrations(device.acs_mri)] == ["renewed"]

    def test_not_if_another_user_has_the_token(self, app: Instance) -> None:
        """A token that another user has registered since the push was sent stays that user's."""
        other = new_user()
        device = self._gone(app, lambda old: self._register(app, replace(old, owner=Identity.parse(other))))
        assert app.registrations(device.acs_mri) == []
        assert [one["deviceToken"] for one in app.registrations(other)] == [device.device_token]

    def test_the_others(self, app: Instance, log: AppLog) -> None:
        """Of three devices only the one that is gone is marked; the line counts it."""
        devices = app.register(user := new_user(), 3)
        fault = Fault(kind="status", status=410, device_handle=devices[1].device_token)
        app.hub.simulator.add_fault(fault)
        assert app.deliver(call_to(user)).status == 202
        marked = {one["_id"] for one in app.registrations(user) if "goneAt" in one}
        assert marked == {devices[1].registration_id}
        (line,) = log.events("incoming_call")
        assert (line["result"], line["accepted"], line["gone"], line["failed"]) == ("delivered", 2, 1, 0)


class TestRefused:
    """A device that was refused is no missed call while another one rang."""

    @pytest.mark.parametrize("status", [400, 413, 410, 422])
    def test_one_of_two(self, app: Instance, log: AppLog, status: int) -> None:
        """The call is delivered, and the refused device is told of in the same line."""
        refused, _ = app.register(user := new_user(), 2)
        app.hub.simulator.add_fault(Fault(kind="status", status=status, device_handle=refused.device_token))
        assert app.deliver(call_to(user)).status == 202
        (line,) = log.events("incoming_call")
        assert (line["result"], line["accepted"]) == ("delivered", 1)
        assert line["level"] in {"INFO", "WARNING"}
        assert [trouble["device"] for trouble in line["troubles"]] == [refused.registration_id[:16]]

    def test_every_device(self, app: Instance, log: AppLog) -> None:
        """If no device rang, the call is one that was given up."""
        app.register(user := new_user(), 2)
        app.hub.simulator.add_fault(Fault(kind="status", status=400))
        assert app.deliver(call_to(user)).status == 202
        (line,) = log.events("incoming_call")
        assert (line["result"], line["level"]) == ("given_up", "ERROR")

    def test_one_is_gone(self, app: Instance, log: AppLog) -> None:
        """A device that an earlier delivery was refused counts beside one that is gone."""
        refused, gone = app.register(user := new_user(), 2)
        app.hub.simulator.add_fault(Fault(kind="status", status=400, device_handle=refused.device_token))
        passing = Fault(kind="status", status=429, retry_after="60", device_handle=gone.device_token, times=1)
        app.hub.simulator.add_fault(passing)
        app.hub.simulator.add_fault(Fault(kind="status", status=410, device_handle=gone.device_token))
        event = call_to(user)
        assert app.deliver(event).status == 500
        assert app.deliver(event).status == 202
        first, second = log.events("incoming_call")
        assert (first["result"], second["result"], second["gone"]) == ("incomplete", "given_up", 1)

    @pytest.mark.parametrize("others", [0, 1])
    def test_a_token_that_can_never_ring(self, app: Instance, log: AppLog, others: int) -> None:
        """One that was registered before tokens were checked is not sent, and makes no missed call."""
        device, *_ = app.register(user := new_user(), 1 + others)
        stored = app.watcher[app.database_name]["DeviceRegistrations"]
        stored.update_one({"_id": device.registration_id}, {"$set": {"deviceToken": "(null)"}})
        assert app.deliver(call_to(user)).status == 202
        (line,) = log.events("incoming_call")
        assert (line["result"], line["accepted"]) == ("delivered" if others else "skipped", others)
        assert line["level"] in {"INFO", "WARNING"}
        assert "unusable_token" in str(line["troubles"])
