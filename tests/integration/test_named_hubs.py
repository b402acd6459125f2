"""Devices of several hubs: each is reached over its own, and what is wrong with one hub is no other's
trouble."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from health.routes import ready
from local.database import EmbeddedDatabase
from local.hub.config import AccessRule, HubConfig
from local.hub.faults import Fault
from local.hub.running_hub import RunningHub
from local.hub.simulator import Simulator
from models.device import DeviceRegistration
from models.platform import Platform
from models.report import DeviceState
from push.grace import GRACE_SECONDS
from tests.call_events import report
from tests.end_to_end.hosts import new_user
from tests.fakes import AppLog, ShiftedClock, app_log
from tests.integration.conftest import SHORT
from tests.recording import Recording
from tests.rig import Instance, call_to, line_of

SANDBOX = HubConfig("sandboxns", "debug", {"Sender": AccessRule(key="another", rights=frozenset({"Send"}))})


@pytest.fixture
def sandbox() -> Iterator[RunningHub]:
    """A second hub, of another namespace with another key."""
    with RunningHub(Simulator(SANDBOX)) as running:
        yield running


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


def named(hub: RunningHub, name: str = "sandbox", **more: str) -> dict[str, str]:
    """The settings of a named hub."""
    values = {"ConnectionString": hub.connection_string, "HubName": hub.hub_name, "Url": hub.messages_url}
    return {f"ANHHub__{name}__{setting}": value for setting, value in (values | more).items()}


@pytest.fixture
def app(
    hub: RunningHub, sandbox: RunningHub, database: EmbeddedDatabase, clock: ShiftedClock
) -> Iterator[Instance]:
    """One instance with both hubs."""
    with Instance(
        hub, database.uri, {**SHORT, **named(sandbox)}, clock=clock, jitter=lambda: 0.01
    ) as running:
        yield running


def register(app: Instance, *hubs: str, user: str | None = None) -> Sequence[DeviceRegistration]:
    """One device of a user for each hub."""
    devices = app.register(user or new_user(), len(hubs))
    moved = [replace(device, hub=hub) for device, hub in zip(devices, hubs, strict=True)]
    for device in moved:
        app.app.device_store.register(device, app.app.clock.now())
    return moved


def rings(hub: RunningHub, device: DeviceRegistration) -> int:
    return hub.simulator.summary().handles.get(device.device_token, 0)


class TestRings:
    def test_each_over_its_own(self, app: Instance, sandbox: RunningHub, log: AppLog) -> None:
        """Each device is rung once, by its hub alone, with that hub's token."""
        ours, debug = register(app, "default", "sandbox")
        answer = app.deliver(event := call_to(ours.acs_mri))
        assert answer.status == 202
        assert [rings(app.hub, each) for each in (ours, debug)] == [1, 0]
        assert [rings(sandbox, each) for each in (ours, debug)] == [0, 1]
        assert line_of(log, event)["accepted"] == 2

    def test_written_down(self, app: Instance, sandbox: RunningHub) -> None:
        """The ledger keeps over which hub a push went, and the id that the hub gave it."""
        ours, debug = register(app, "default", "sandbox")
        app.deliver(event := call_to(ours.acs_mri))
        entry = app.ledger(event)
        assert entry is not None
        records = [entry["devices"][each.registration_id] for each in (ours, debug)]
        assert [record["hub"] for record in records] == ["default", "sandbox"]
        given = [hub.simulator.pushes()[0].notification_id for hub in (app.hub, sandbox)]
        assert [record["notificationId"] for record in records] == given

    def test_before_the_field(self, app: Instance) -> None:
        """A registration that an earlier release stored has no hub and means the default one."""
        (device,) = register(app, "default")
        stored = app.watcher[app.database_name]["DeviceRegistrations"]
        stored.update_one({"_id": device.registration_id}, {"$unset": {"hub": "", "purpose": ""}})
        assert app.deliver(call_to(device.acs_mri)).status == 202
        assert rings(app.hub, device) == 1

    def test_stops(self, app: Instance, sandbox: RunningHub, database: EmbeddedDatabase) -> None:
        """A stop takes the way of the ring."""
        with Instance(
            app.hub, database.uri, {**SHORT, **named(sandbox), "StopRinging": "fcmv1,windows,apple"}
        ) as stopping:
            ours, _ = register(stopping, "default", "sandbox")
            stopping.deliver(event := call_to(ours.acs_mri))
            assert report(stopping, ours, event, DeviceState.ANSWERED)
        bodies = [json.loads(push.body) for push in sandbox.simulator.pushes()]
        assert len(bodies) == 2
        assert "110" in json.dumps(bodies[1])
        assert rings(app.hub, ours) == 1

    def test_secondary_key(
        self, hub: RunningHub, sandbox: RunningHub, database: EmbeddedDatabase, log: AppLog
    ) -> None:
        """A named hub may have one as well; the line names the setting to correct."""
        wrong = sandbox.connection_string + "x"
        keys = {"ConnectionString": wrong, "ConnectionStringSecondary": sandbox.connection_string}
        with Instance(hub, database.uri, {**SHORT, **named(sandbox, **keys)}) as app:
            (device,) = register(app, "sandbox")
            assert app.deliver(call_to(device.acs_mri)).status == 202
        assert rings(sandbox, device) == 1
        (line,) = log.events("hub_key_refused")
        assert line["hub"] == "sandbox"
        assert "ANHHub__sandbox__ConnectionString" in line["remedy"]

    def test_traced(self, hub: RunningHub, sandbox: RunningHub, database: EmbeddedDatabase) -> None:
        """The span of a send says over which hub it went."""
        recording = Recording()
        with Instance(hub, database.uri, {**SHORT, **named(sandbox)}, tracer=recording.tracer) as app:
            (device,) = register(app, "sandbox")
            app.deliver(call_to(device.acs_mri))
        attributes = dict(recording.spans["direct send"].attributes or {})
        assert (attributes["hub"], attributes["url.full"]) == ("sandbox", sandbox.messages_url)


class TestWrongSettings:
    @pytest.mark.parametrize(
        "change", [{"ConnectionString": "rubbish"}, {"HubName": ""}, {"Url": "https://evil.test/x/messages/"}]
    )
    def test_stop_its_devices_only(
        self,
        hub: RunningHub,
        sandbox: RunningHub,
        database: EmbeddedDatabase,
        log: AppLog,
        change: dict[str, str],
    ) -> None:
        """The others ring; its own end as misconfigured, acknowledged; one line at CRITICAL a process."""
        with Instance(hub, database.uri, {**SHORT, **named(sandbox, **change)}) as app:
            ours, debug = register(app, "default", "sandbox")
            (alone,) = register(app, "sandbox")
            for user in (ours.acs_mri, ours.acs_mri, alone.acs_mri):
                assert app.deliver(call_to(user)).status == 202
            assert [rings(hub, ours), rings(sandbox, debug), rings(sandbox, alone)] == [2, 0, 0]
        results = [line["result"] for line in log.events("incoming_call")]
        assert results == ["delivered", "delivered", "given_up"]
        (trouble,) = log.events("incoming_call")[-1]["troubles"]
        assert (trouble["hub"], trouble["outcome"]) == ("sandbox", "misconfigured")
        lines = [line for line in log.events("misconfigured") if line.get("hub") == "sandbox"]
        assert len(lines) == 1
        assert "ANHHub__sandbox__" in lines[0]["remedy"]
        assert "rubbish" not in log.text

    def test_taken_away(self, hub: RunningHub, database: EmbeddedDatabase, log: AppLog) -> None:
        """A device whose hub has no settings any more ends as misconfigured; the user's others ring."""
        with Instance(hub, database.uri, SHORT) as app:
            ours, _ = register(app, "default", "sandbox")
            for _ in range(2):
                assert app.deliver(call_to(ours.acs_mri)).status == 202
            assert rings(hub, ours) == 2
        (line,) = log.events("misconfigured")
        assert (line["level"], line["hub"]) == ("CRITICAL", "sandbox")

    def test_told_before_a_call(
        self, hub: RunningHub, sandbox: RunningHub, database: EmbeddedDatabase
    ) -> None:
        """It is logged when the process starts, with what is wrong in settings that no ring needs."""
        wrong = named(sandbox, ConnectionString="rubbish") | named(sandbox, "app", Names="x")
        with Instance(hub, database.uri, wrong) as app, app_log() as log:
            assert app.handler
        remedies = "\n".join(line["remedy"] for line in log.events("misconfigured"))
        assert "ANHHub__sandbox__ConnectionString" in remedies
        assert "ANHHub__app__Names" in remedies


class TestRefusals:
    @pytest.mark.parametrize("status", [401, 403, 404])
    def test_two_minutes(
        self, app: Instance, sandbox: RunningHub, clock: ShiftedClock, log: AppLog, status: int
    ) -> None:
        """A named hub that refuses is raised for two minutes, then acknowledged; the other hub's devices
        ring."""
        sandbox.simulator.add_fault(Fault(kind="status", status=status))
        (alone,) = register(app, "sandbox")
        (ours,) = register(app, "default")
        assert app.deliver(call_to(alone.acs_mri)).status == 500
        # A push that the default hub takes says nothing of this one.
        clock.turn(GRACE_SECONDS / 2)
        assert app.deliver(call_to(ours.acs_mri, time=clock.now())).status == 202
        clock.turn(GRACE_SECONDS / 2 + 1)
        assert app.deliver(call_to(alone.acs_mri, time=clock.now())).status == 202
        lines = log.events("misconfigured")
        assert {(line["hub"], line["status"]) for line in lines} == {("sandbox", status)}

    def test_a_success_starts_anew(self, app: Instance, sandbox: RunningHub, clock: ShiftedClock) -> None:
        """A push that the named hub takes starts its two minutes anew."""
        (alone,) = register(app, "sandbox")
        fault = Fault(kind="status", status=401)
        sandbox.simulator.add_fault(fault)
        assert app.deliver(call_to(alone.acs_mri)).status == 500
        clock.turn(GRACE_SECONDS + 1)
        sandbox.simulator.clear_faults()
        assert app.deliver(call_to(alone.acs_mri, time=clock.now())).status == 202
        sandbox.simulator.add_fault(fault)
        assert app.deliver(call_to(alone.acs_mri, time=clock.now())).status == 500

    def test_refusal_of_the_default_hub(
        self, app: Instance, sandbox: RunningHub, clock: ShiftedClock
    ) -> None:
        """The default hub's two minutes are not used up by a named one's."""
        sandbox.simulator.add_fault(Fault(kind="status", status=401))
        app.hub.simulator.add_fault(Fault(kind="status", status=401))
        (alone,), (ours,) = register(app, "sandbox"), register(app, "default")
        assert app.deliver(call_to(alone.acs_mri)).status == 500
        clock.turn(GRACE_SECONDS + 1)
        assert app.deliver(call_to(ours.acs_mri, time=clock.now())).status == 500

    def test_a_spell_of_gone_devices(self, app: Instance, sandbox: RunningHub, log: AppLog) -> None:
        """A hub that calls most devices gone is not believed; another hub is."""
        sandbox.simulator.add_fault(Fault(kind="status", status=410))
        many = register(app, *["sandbox"] * 15)
        for _ in range(2):
            app.deliver(call_to(many[0].acs_mri))
        (line,) = log.events("most_devices_gone")
        assert line["hub"] == "sandbox"
        assert not any("goneAt" in each for each in app.registrations(many[0].acs_mri))
        (ours,) = register(app, "default")
        app.hub.simulator.add_fault(Fault(kind="status", status=410))
        app.deliver(call_to(ours.acs_mri))
        assert ["goneAt" in each for each in app.registrations(ours.acs_mri)] == [True]

    def test_silent(self, app: Instance, sandbox: RunningHub) -> None:
        """A named hub that takes connections and never answers costs the other's devices no ring."""
        sandbox.simulator.add_fault(Fault(kind="black_hole"))
        ours, _ = register(app, "default", "sandbox")
        assert app.deliver(call_to(ours.acs_mri)).status == 500
        assert rings(app.hub, ours) == 1


class TestReadiness:
    def test_a_named_hub_fails(self, app: Instance, sandbox: RunningHub, log: AppLog) -> None:
        """It is named, and the instance stays in rotation."""
        sandbox.stop()
        answer = ready(app.app.readiness)
        assert (answer.status_code, json.loads(answer.get_body())["failingHubs"]) == (200, ["sandbox"])
        assert [line["hub"] for line in log.events("hub_not_ready")] == ["sandbox"]

    def test_wrong_settings(self, hub: RunningHub, sandbox: RunningHub, database: EmbeddedDatabase) -> None:
        """So is one whose settings are wrong."""
        with Instance(hub, database.uri, named(sandbox, HubName="")) as app:
            answer = ready(app.app.readiness)
        assert (answer.status_code, json.loads(answer.get_body())["failingHubs"]) == (200, ["sandbox"])

    def test_the_default_hub_fails(self, app: Instance) -> None:
        """Then the instance is not ready."""
        app.hub.stop()
        answer = ready(app.app.readiness)
        assert (answer.status_code, json.loads(answer.get_body())["part"]) == (503, "hub")


def test_platforms(app: Instance, sandbox: RunningHub) -> None:
    """Every platform can be reached over every hub."""
    devices = register(app, *["sandbox"] * len(Platform))
    assert app.deliver(call_to(devices[0].acs_mri)).status == 202
    assert [rings(sandbox, device) for device in devices] == [1] * len(Platform)
