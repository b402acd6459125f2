"""Each phone rings once: under redelivery, under simultaneous delivery, and when the process that rings it
dies."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.database import EmbeddedDatabase
from local.hub.faults import Fault, FaultKind
from local.hub.running_hub import RunningHub
from local.samples import cloud_event, incoming_call_data
from local.stack import Host, Stack
from models.device import DeviceRegistration
from models.push import Push
from tests.end_to_end.hosts import new_user, register_phones
from tests.fakes import AppLog
from tests.integration.conftest import SHORT
from tests.rig import Commands, FailPoint, Instance, call_to, eventually, line_of

LEASE_SECONDS = 3.0
"""With the short settings: connect, read, and 2 s more."""


def watch(app: Instance, *, before: list[Any] | None = None, after: list[Any] | None = None) -> None:
    """Do something before or after each send of an app; without both, nothing any more."""
    assert app.handler
    app.sends.before, app.sends.after = before or [], after or []


@pytest.fixture
def app(hub: RunningHub, database: EmbeddedDatabase) -> Iterator[Instance]:
    """One instance with short time-outs and the longest back-offs."""
    with Instance(hub, database.uri, SHORT, jitter=lambda: 0.999) as running:
        yield running


class TestRedelivery:
    def test_to_the_same_and_to_another_worker(self, workers: Stack) -> None:
        """An event that was delivered is acknowledged again by every instance, and rings no phone."""
        user = new_user()
        phones = register_phones(workers.host, user)
        for event in (call_to(user), cloud_event(incoming_call_data(user))):
            statuses = [host.deliver(event).status_code for host in (*workers.hosts, *workers.hosts)]
            assert statuses == [202] * 4
            call = workers.hub.summary().calls[event["data"]["correlationId"]]
            assert call == {phone.device_token: 1 for phone in phones}

    def test_the_same_id_from_another_source_is_another_event(self, app: Instance) -> None:
        """Ids are unique within their source only."""
        user = new_user()
        device = app.register(user)[0]
        event = call_to(user)
        assert app.deliver(event).status == 202
        assert app.deliver({**event, "topic": "/another/resource"}).status == 202
        assert app.rings(device) == 2

    def test_a_device_registered_in_between(self, app: Instance) -> None:
        """A redelivery for one device that is left over rings it, and a device that has come since."""
        user = new_user()
        accepted, left_over = app.register(user, 2)
        app.hub.simulator.add_fault(
            Fault(kind="status", status=429, retry_after="60", device_handle=left_over.device_token)
        )
        event = call_to(user)
        assert app.deliver(event).status == 500
        app.hub.simulator.clear_faults()
        newcomer = app.register(user, 3)[2]
        # The same two devices have new tokens now: the accepted one's old token was rung for this event.
        app.hub.simulator.forget()
        assert app.deliver(event).status == 202
        assert app.rings(newcomer) == 1
        assert app.rings(accepted) == app.rings(left_over) == 0


class TestAtOnce:
    @pytest.mark.parametrize("latency", [0.0, 0.2])
    def test_eight_deliveries(self, workers: Stack, latency: float) -> None:
        """Eight deliveries at one instant on two workers ring each phone once; none is left unfinished."""
        user = new_user()
        phones = register_phones(workers.host, user)
        workers.hub.set_latency(latency)
        for _ in range(3):
            event = call_to(user)
            gate = threading.Barrier(8)

            def deliver(number: int, event: dict[str, Any] = event, gate: threading.Barrier = gate) -> int:
                gate.wait()
                return workers.hosts[number % 2].deliver(event).status_code

            with ThreadPoolExecutor(8) as pool:
                statuses = list(pool.map(deliver, range(8)))
            # 500 means: another delivery is ringing them. Event Grid redelivers.
            assert set(statuses) <= {202, 500}
            assert 202 in statuses
            assert workers.host.deliver(event).status_code == 202
            call = workers.hub.summary().calls[event["data"]["correlationId"]]
            assert call == {phone.device_token: 1 for phone in phones}

    def test_unfinished_work_of_another_is_not_acknowledged(
        self, app: Instance, hub: RunningHub, database: EmbeddedDatabase
    ) -> None:
        """While one delivery is ringing a slow device, another of the same event ends with an error."""
        user = new_user()
        device = app.register(user)[0]
        hub.simulator.add_fault(Fault(kind="status", status=503))
        event = call_to(user)
        patient = {**SHORT, "InvocationTimeoutSeconds": 28}
        with (
            Instance(hub, database.uri, patient, database_name=app.database_name) as other,
            ThreadPoolExecutor(1) as pool,
        ):
            first = pool.submit(other.deliver, event)
            eventually(lambda: app.attempts(device) > 0)
            assert app.deliver(event).error == "delivery_incomplete"
            assert not first.done()
            hub.simulator.clear_faults()
            assert first.result().status == 202


class TestCost:
    @pytest.mark.parametrize(
        "settings", [{}, {"StopRinging": "fcmv1,windows,apple", "VisibleNotifications": "missed,fallback"}]
    )
    def test_one_round_trip_before_the_first_push(
        self, hub: RunningHub, database: EmbeddedDatabase, settings: Mapping[str, str]
    ) -> None:
        """Before the first push there are one insert into the ledger and one look-up of the devices, whatever
        follows from the end of a call."""
        commands, counted = Commands(), []
        with Instance(hub, database.uri, {**SHORT, **settings}, listener=commands) as app:
            user = new_user()
            app.register(user, 3)
            watch(app, before=[lambda: counted.append(list(commands.names))])
            for _ in range(2):  # with the indexes still to be made, and without
                commands.names.clear()
                counted.clear()
                assert app.deliver(call_to(user)).status == 202
                assert counted[0] == [("insert", "CallLedger"), ("find", "DeviceRegistrations")]


def ring_again_until_acknowledged(host: Host, event: dict[str, Any]) -> float:
    """Redeliver until it is acknowledged; how many seconds that took."""
    started = time.monotonic()
    while host.deliver(event).status_code != 202:
        assert time.monotonic() - started < 30
        time.sleep(0.1)
    return time.monotonic() - started


class TestKill:
    @pytest.mark.parametrize(
        "fault",
        [
            Fault(kind="black_hole"),
            Fault(kind="accept_then_black_hole"),
            Fault(kind="slow", delay_seconds=0.3),
            Fault(kind="status", status=503),
        ],
        ids=lambda fault: str(fault.kind),
    )
    def test_a_worker_killed_mid_fan_out(self, workers: Stack, fault: Fault) -> None:
        """When a worker is killed while it rings three phones, the redelivery rings each that it has not."""
        user = new_user()
        phones = register_phones(workers.host, user)
        victim = workers.start_host()
        try:
            # One phone is rung at once; the others are under way when the worker dies.
            for phone in phones[1:]:
                workers.hub.add_fault(fault.model_copy(update={"device_handle": phone.device_token}))
            event = call_to(user)
            delivery = threading.Thread(target=self._deliver, args=(victim, event))
            delivery.start()
            eventually(lambda: len(workers.hub.attempts()) >= len(phones))
            victim.child.kill()
            delivery.join()
        finally:
            victim.close()
        workers.hub.clear_faults()
        took = ring_again_until_acknowledged(workers.host, event)
        assert took < LEASE_SECONDS + 5
        rings = workers.hub.summary().calls[event["data"]["correlationId"]]
        assert set(rings) == {phone.device_token for phone in phones}
        assert set(rings.values()) <= {1, 2}

    @staticmethod
    def _deliver(host: Host, event: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it was killed
            host.deliver(event)

    @pytest.mark.parametrize("kind", ["black_hole", "accept_then_black_hole"])
    def test_a_holder_that_never_comes_back(self, app: Instance, kind: FaultKind) -> None:
        """A lease whose holder is gone runs out, and the next delivery rings."""
        user = new_user()
        device = app.register(user)[0]
        app.hub.simulator.add_fault(Fault(kind=kind, times=1))
        event = call_to(user)
        # It dies after its first send: nothing more of it reaches the ledger.
        watch(app, after=[lambda: (_ for _ in ()).throw(SystemExit)])
        with pytest.raises(SystemExit):
            app.deliver(event)
        watch(app)
        document = app.ledger(event)
        assert document is not None
        assert document["finished"] is False
        eventually(lambda: app.deliver(event).status == 202, timeout=LEASE_SECONDS + 5)
        assert app.rings(device) in {1, 2}


class TestLease:
    def test_a_slow_look_up_renews_it(self, app: Instance, database: EmbeddedDatabase) -> None:
        """Devices that took long to find are rung under a lease that covers their sends."""
        devices = app.register(user := new_user(), 3)
        event = call_to(user)
        deadlines: list[timedelta] = []

        def look() -> None:
            document = app.ledger(event)
            assert document is not None
            deadlines.append(document["leaseUntil"] - datetime.now(UTC))

        watch(app, before=[look])
        with FailPoint(database.uri, ["find"], mode={"times": 1}, blockConnection=True, blockTimeMS=1_500):
            assert app.deliver(event).status == 202
        assert [app.rings(device) for device in devices] == [1, 1, 1]
        longest_send = timedelta(seconds=app.app.time_limits.send_seconds)
        assert len(deadlines) == 3
        assert all(left > longest_send for left in deadlines)

    def _steal(self, app: Instance, event: dict[str, Any]) -> None:
        ledger = app.watcher[app.database_name]["CallLedger"]
        until = datetime.now(UTC) + timedelta(hours=1)
        values = {"holder": "another", "leaseUntil": until}
        assert ledger.update_one({"eventId": event["id"]}, {"$set": values}).modified_count == 1

    def test_nothing_is_sent_after_the_lease_is_lost(self, app: Instance, log: AppLog) -> None:
        """A holder whose lease was taken over stops before its next send, and leaves the lease alone."""
        user = new_user()
        device = app.register(user)[0]
        app.hub.simulator.add_fault(Fault(kind="status", status=503))
        event = call_to(user)
        with ThreadPoolExecutor(1) as pool:
            delivery = pool.submit(app.deliver, event)
            eventually(lambda: app.attempts(device) >= 1)
            self._steal(app, event)
            assert delivery.result().error == "delivery_incomplete"
        # Tries come at 0, 0.2, 0.6, 1.4 and 3 s; the lease covers what starts within its first second.
        assert app.attempts(device) <= 3
        assert log.events("lease_lost")
        document = app.ledger(event)
        assert document is not None
        assert document["holder"] == "another"
        assert document["leaseUntil"] > datetime.now(UTC)

    def test_what_it_rang_is_written_all_the_same(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """A device whose push is accepted after the lease was lost is not rung again by the new holder."""
        # The lease covers what starts within its first second. The refused device's try at 1.4 s finds out.
        settings = {**SHORT, "HubReadTimeoutSeconds": 3}
        with Instance(hub, database.uri, settings, jitter=lambda: 0.999) as app:
            rung, refused = app.register(user := new_user(), 2)
            hub.simulator.add_fault(Fault(kind="status", status=503, device_handle=refused.device_token))
            hub.simulator.add_fault(Fault(kind="slow", delay_seconds=2, device_handle=rung.device_token))
            event = call_to(user)
            with ThreadPoolExecutor(1) as pool:
                delivery = pool.submit(app.deliver, event)
                eventually(lambda: app.attempts(rung) >= 1)
                self._steal(app, event)
                assert delivery.result().status == 500
            assert app.attempts(refused) == 3
            document = app.ledger(event)
            assert document is not None
            assert document["holder"] == "another"
            assert document["devices"][rung.registration_id]["outcome"] == "accepted"

    def test_raising_releases_it(self, app: Instance) -> None:
        """After an event was raised, its next delivery starts at once."""
        device = app.register(user := new_user())[0]
        app.hub.simulator.add_fault(Fault(kind="status", status=503))
        event = call_to(user)
        assert app.deliver(event).status == 500
        document = app.ledger(event)
        assert document is not None
        assert document["leaseUntil"] <= datetime.now(UTC)
        app.hub.simulator.clear_faults()
        assert app.deliver(event).seconds < 1
        assert app.rings(device) == 1

    def test_a_bug_releases_it_too(self, app: Instance, log: AppLog, monkeypatch: pytest.MonkeyPatch) -> None:
        """An unforeseen error is raised, leaves the event's line, and gives the lease back."""
        device = app.register(user := new_user())[0]
        event = call_to(user)

        def fail(*_: object) -> list[DeviceRegistration]:
            raise KeyError("updatedAt")

        with monkeypatch.context() as broken:
            broken.setattr(app.app.device_store, "devices_of", fail)
            with pytest.raises(KeyError):
                app.deliver(event)
        line = line_of(log, event)
        assert (line["result"], line["code"], line["detail"]) == ("failed", "internal_error", "KeyError")
        answer = app.deliver(event)
        assert (answer.status, app.rings(device)) == (202, 1)
        assert answer.seconds < 1

    def test_a_bug_with_one_device_leaves_the_others_alone(self, app: Instance, log: AppLog) -> None:
        """A send that ends in an error of ours is one device's trouble, and is tried again."""
        devices = app.register(user := new_user(), 3)
        event = call_to(user)

        def send(_push: Push, device_token: str, _time_left: float) -> None:
            if device_token == devices[0].device_token:
                raise RuntimeError

        assert app.handler
        app.sends.instead = send
        assert app.deliver(event).status == 500
        app.sends.instead = None
        assert [app.rings(device) for device in devices] == [0, 1, 1]
        assert {line["error"] for line in log.events("send_failed")} == {"RuntimeError"}
        assert app.deliver(event).status == 202
        assert [app.rings(device) for device in devices] == [1, 1, 1]


class TestLastWrite:
    def test_refused(self, app: Instance, database: EmbeddedDatabase, log: AppLog) -> None:
        """If only the last write fails, the event is acknowledged: the phone has rung."""
        device = app.register(user := new_user())[0]
        event = call_to(user)
        with FailPoint(database.uri, ["update"], closeConnection=True):
            assert app.deliver(event).status == 202
        assert app.rings(device) == 1
        assert log.events("ledger_not_written")

    def test_database_killed_right_after_the_sends(
        self, hub: RunningHub, log: AppLog, tmp_path: Path
    ) -> None:
        """The same with a database that is gone between the hub's answer and the ledger's write."""
        with EmbeddedDatabase(tmp_path / "data") as database, Instance(hub, database.uri, SHORT) as app:
            device = app.register(user := new_user())[0]
            watch(app, after=[database.kill])
            event = call_to(user)
            answer = app.deliver(event)
            assert (answer.status, app.rings(device)) == (202, 1)
            assert answer.seconds < float(SHORT["InvocationTimeoutSeconds"]) + 2
            assert log.events("ledger_not_written")
            # Event Grid does not deliver what was acknowledged. If it does, the phone may ring once more,
            # since no record says that it has.
            database.start()
            watch(app)
            eventually(lambda: app.deliver(event).status == 202)
            assert app.rings(device) in {1, 2}
