"""Phones ring no more once a call is over: by events of the call, and by reports of the phones."""

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from common.metrics import Metric
from local.database import EmbeddedDatabase
from local.hub.faults import Fault
from local.hub.running_hub import RunningHub
from local.samples import (
    CALL_ENDED,
    CALLER,
    call_ended_data,
    cloud_event,
    event_grid_event,
    incoming_call_data,
)
from models.device import DeviceRegistration
from models.errors import DatabaseUnavailableError
from models.identity import Identity
from models.platform import Platform
from models.push import Outcome, OutcomeKind, Push, Unanswered
from models.report import CallReport, DeviceState, ReportEffect
from push.call_end import REPORT_SECONDS
from push.call_states import CallStates
from push.ledger import COLLECTION_NAME
from push.notices import SHORT_SECONDS
from tests.call_events import (
    Meanwhile,
    TurnedClock,
    effect_of_report,
    ended,
    joined,
    pushes,
    report,
    stops,
)
from tests.fakes import AppLog
from tests.integration.conftest import SHORT
from tests.log_queries import Log
from tests.recording import RecordedMetrics
from tests.rig import TIMEOUT, FailPoint, Instance, at_once, call_to, eventually, new_user

TIME_TO_RING = Path(__file__).parents[2] / "infra" / "workbook" / "time-to-ring.kql"
STOPS = {**SHORT, "StopRinging": "fcmv1,windows"}


@pytest.fixture
def app(hub: RunningHub, database: EmbeddedDatabase, clock: TurnedClock) -> Iterator[Instance]:
    """One instance that stops Android and Windows devices."""
    with Instance(hub, database.uri, STOPS, clock=clock) as running:
        yield running


def three_ring(app: Instance) -> tuple[str, list[DeviceRegistration], dict[str, Any]]:
    """A user whose iPhone, Android phone and PC ring."""
    user = new_user()
    devices = app.register(user, 3)
    assert [device.platform for device in devices] == [Platform.APPLE, Platform.FCM_V1, Platform.WINDOWS]
    call = call_to(user)
    assert app.deliver(call).status == 202
    return user, devices, call


class TestEvents:
    @pytest.mark.parametrize("schema", [event_grid_event, cloud_event])
    def test_the_caller_hangs_up(self, app: Instance, schema: Any, log: AppLog) -> None:
        """Android phone and PC are told once to ring no more; an iPhone is not."""
        user, (iphone, android, windows), call = three_ring(app)
        end = schema(call_ended_data(call["data"]), kind=CALL_ENDED)
        assert app.deliver(end).status == 202
        call_id = call["data"]["correlationId"]
        for device, event_id in ((android, "110"), (windows, 110)):
            assert stops(app, device) == [
                {
                    "eventId": event_id,
                    "callId": call_id,
                    "recipientId": user,
                    "callerId": CALLER,
                    "reason": "ended",
                }
            ]
        assert len(pushes(app, iphone)) == 1
        (line,) = log.events("call_end")
        assert (line["result"], line["kind"], line["stopped"], line["call_id"]) == (
            "delivered",
            "ended",
            2,
            call_id,
        )

    def test_the_last_moment_of_all(self, app: Instance, database: EmbeddedDatabase, log: AppLog) -> None:
        """An end that is dated as late as a date can be is one with an ordinary failure, if it fails."""
        _, _, call = three_ring(app)
        end = ended(call, at=datetime.max.replace(tzinfo=UTC))
        with FailPoint(database.uri, ["update"], errorCode=13):
            assert app.deliver(end).status == 500
        (line,) = log.events("call_end")
        assert (line["result"], line["code"]) == ("failed", "misconfigured")
        assert app.deliver(end).status == 202

    def test_the_callee_has_joined(self, app: Instance) -> None:
        """A join of the callee is an answer; the end of the call after it stops nothing again."""
        user, (_, android, windows), call = three_ring(app)
        assert app.deliver(joined(call, user)).status == 202
        assert app.deliver(ended(call)).status == 202
        for device in (android, windows):
            assert [stop["reason"] for stop in stops(app, device)] == ["answered"]

    def test_duplicates(self, app: Instance) -> None:
        """The same end again, under the same id and under another, stops nothing twice."""
        _, (_, android, _), call = three_ring(app)
        end = ended(call)
        for event in (end, end, ended(call)):
            assert app.deliver(event).status == 202
        assert len(stops(app, android)) == 1

    @pytest.mark.parametrize(
        "change",
        [
            lambda end: {**end, "topic": "/another/resource"},
            lambda end: {
                **end,
                "data": {**end["data"], "correlationId": str(uuid.uuid4()), "serverCallId": "b3RoZXI"},
            },
        ],
    )
    def test_of_something_else(self, app: Instance, change: Any) -> None:
        """An end of another resource's call, or of another call, does nothing."""
        _, (_, android, _), call = three_ring(app)
        assert app.deliver(change(ended(call))).status == 202
        assert stops(app, android) == []

    def test_another_participant_joins(self, app: Instance) -> None:
        """The caller is a participant as well."""
        _, (_, android, _), call = three_ring(app)
        assert app.deliver(joined(call, CALLER)).status == 202
        assert stops(app, android) == []

    def test_by_the_server_call_id(self, app: Instance) -> None:
        """The example of 2021 has no correlation id, and another query in the server call id's URL."""
        _, (_, android, _), call = three_ring(app)
        end = ended(call)
        del end["data"]["correlationId"]
        assert app.deliver(end).status == 202
        assert len(stops(app, android)) == 1

    def test_several_callees(self, app: Instance) -> None:
        """Whom a group call rings no more is decided for each callee alone; its end stops all."""
        data = incoming_call_data(alice := new_user())
        calls = [event_grid_event(data)]
        (bob_data := {**data})["to"] = incoming_call_data(bob := new_user())["to"]
        calls.append(event_grid_event(bob_data))
        (_, of_alice), (_, of_bob) = app.register(alice, 2), app.register(bob, 2)
        for call in calls:
            assert app.deliver(call).status == 202
        assert app.deliver(joined(calls[0], bob)).status == 202
        assert [stop["reason"] for stop in stops(app, of_bob)] == ["answered"]
        assert stops(app, of_alice) == []
        assert app.deliver(ended(calls[0])).status == 202
        assert [stop["reason"] for stop in stops(app, of_alice)] == ["ended"]
        assert len(stops(app, of_bob)) == 1

    @pytest.mark.parametrize("refused", [0, 1])
    def test_one_callee_does_not_delay_another(self, app: Instance, clock: TurnedClock, refused: int) -> None:
        """The stop of a device that the hub refuses for a while delays no other callee's."""
        data = incoming_call_data(alice := new_user())
        calls = [event_grid_event(data)]
        (bob_data := {**data})["to"] = incoming_call_data(bob := new_user())["to"]
        calls.append(event_grid_event(bob_data))
        devices = [app.register(user, 2)[1] for user in (alice, bob)]
        for call in calls:
            assert app.deliver(call).status == 202
        end = ended(calls[0])
        app.hub.simulator.add_fault(
            Fault(kind="status", status=503, device_handle=devices[refused].device_token)
        )
        stopped: list[int] = []
        clock.meanwhile.append(lambda: stopped.append(len(stops(app, devices[1 - refused]))))
        assert app.deliver(end).status == 500
        assert stopped[0] == 1
        app.hub.simulator.clear_faults()
        assert app.deliver(end).status == 202
        assert [len(stops(app, device)) for device in devices] == [1, 1]

    def test_invited_again(self, app: Instance) -> None:
        """A callee who left the call and is invited again under the same ids rings again, and an end that was
        delayed does not stop that ring."""
        now = datetime.now(UTC)
        user = new_user()
        _, android = app.register(user, 2)
        first = call_to(user, time=now - timedelta(seconds=30))
        again = {**first, "id": str(uuid.uuid4()), "eventTime": call_to(user, time=now)["eventTime"]}
        assert app.deliver(first).status == 202
        assert app.deliver(ended(first, at=now - timedelta(seconds=20))).status == 202
        assert app.deliver(again).status == 202
        assert app.rings(android) == 3
        assert len(stops(app, android)) == 1
        assert app.deliver(joined(first, user, at=now - timedelta(seconds=15))).status == 202
        assert len(stops(app, android)) == 1
        assert app.deliver(ended(first, at=now + timedelta(seconds=1))).status == 202
        assert len(stops(app, android)) == 2

    def test_after_the_ring(self, app: Instance, clock: TurnedClock) -> None:
        """A ring that has run out by itself is not stopped."""
        _, (_, android, _), call = three_ring(app)
        clock.turn(61)
        assert app.deliver(ended(call)).status == 202
        assert stops(app, android) == []

    def test_a_time_in_the_future(self, app: Instance, clock: TurnedClock) -> None:
        """An end from the future counts as of now: a later invitation under the same ids rings on."""
        user, (_, android, _), first = three_ring(app)
        assert app.deliver(ended(first, at=datetime.now(UTC) + timedelta(hours=1))).status == 202
        clock.turn(20)
        again = {**first, "id": str(uuid.uuid4()), "eventTime": call_to(user, time=clock.now())["eventTime"]}
        assert app.deliver(again).status == 202
        assert app.rings(android) == 3
        assert len(stops(app, android)) == 1

    def test_without_a_time(self, app: Instance) -> None:
        """An end without a time counts as of its arrival."""
        _, (_, android, _), call = three_ring(app)
        end = ended(call)
        del end["eventTime"]
        assert app.deliver(end).status == 202
        assert len(stops(app, android)) == 1

    @pytest.mark.parametrize("kind", ["CallStarted", "CallParticipantRemoved"])
    def test_other_events_of_calls(self, app: Instance, kind: str) -> None:
        """They are acknowledged, and nothing follows."""
        user, (_, android, _), call = three_ring(app)
        event = {**joined(call, user), "eventType": f"Microsoft.Communication.{kind}"}
        assert app.deliver(event).status == 202
        assert stops(app, android) == []

    @pytest.mark.parametrize("data", [None, [], {}, {"correlationId": 7}])
    def test_unreadable(self, app: Instance, data: object, log: AppLog) -> None:
        """An end that names no call is raised, so that it ends as a dead letter; it is said why."""
        three_ring(app)
        event = {**event_grid_event({}, kind=CALL_ENDED), "data": data}
        assert app.deliver(event).error == "invalid_event"
        assert log.events("call_end")[-1]["result"] == "failed"

    def test_switched_off(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """By default ends are acknowledged and nothing is sent or written."""
        with Instance(hub, database.uri, SHORT) as app:
            user, (_, android, _), call = three_ring(app)
            assert app.deliver(ended(call)).status == app.deliver(joined(call, user)).status == 202
            assert len(pushes(app, android)) == 1
            assert app.watcher[app.database_name]["CallLedger"].count_documents({}) == 1

    def test_iphones_where_they_are_asked_for(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """`StopRinging` may name apple."""
        with Instance(hub, database.uri, {**SHORT, "StopRinging": "apple"}) as app:
            _, (iphone, android, _), call = three_ring(app)
            assert app.deliver(ended(call)).status == 202
            assert [stop["reason"] for stop in stops(app, iphone)] == ["ended"]
            assert stops(app, android) == []


class TestOrder:
    def test_an_end_before_a_late_ring(self, app: Instance) -> None:
        """A ring that comes seconds late finds that its call is over, and rings no phone."""
        user = new_user()
        _, android = app.register(user, 2)
        call = call_to(user, time=datetime.now(UTC) - timedelta(seconds=5))
        assert app.deliver(ended(call)).status == 202
        assert app.deliver(call).status == 202
        assert pushes(app, android) == []

    def test_an_end_before_a_fresh_ring(self, app: Instance) -> None:
        """The first push of an ordinary call waits for no look-up, so that the stop follows it at once."""
        user = new_user()
        iphone, android = app.register(user, 2)
        call = call_to(user)
        assert app.deliver(ended(call)).status == 202
        assert app.deliver(call).status == 202
        assert [stop["reason"] for stop in stops(app, android)] == ["ended"]
        assert len(pushes(app, android)) == 2
        assert len(pushes(app, iphone)) == 1

    def test_an_end_while_it_rings(self, app: Instance) -> None:
        """An end that comes while pushes are on their way stops the devices that were rung before and
        after."""
        user = new_user()
        _, android, windows = app.register(user, 3)
        call = call_to(user)
        assert app.handler

        def hang_up() -> None:
            app.sends.after.clear()
            app.deliver(ended(call))

        app.sends.after.append(hang_up)
        assert app.deliver(call).status == 202
        for device in (android, windows):
            assert len(stops(app, device)) == 1

    def test_an_end_before_a_redelivery(self, app: Instance, clock: TurnedClock) -> None:
        """A redelivery of a ring whose call has ended rings no phone."""
        user = new_user()
        _, android = app.register(user, 2)
        call = call_to(user)
        app.hub.simulator.add_fault(Fault(kind="status", status=429, retry_after="30"))
        assert app.deliver(call).status == 500
        app.hub.simulator.clear_faults()
        assert app.deliver(ended(call)).status == 202
        clock.turn(5)
        assert app.deliver(call).status == 202
        assert pushes(app, android) == []

    def test_an_end_while_results_are_written(
        self, app: Instance, hub: RunningHub, database: EmbeddedDatabase
    ) -> None:
        """Of a ring that looks for its end and an end that looks for its ring, one finds the other."""
        user = new_user()
        _, android = app.register(user, 2)
        call = call_to(user)
        hang_up = Meanwhile("update", "finished", lambda: app.deliver(ended(call)))
        with Instance(hub, database.uri, STOPS, database_name=app.database_name, listener=hang_up) as ringing:
            assert ringing.deliver(call).status == 202
        assert hang_up.acted
        assert [stop["reason"] for stop in stops(app, android)] == ["ended"]

    def test_the_look_fails(self, app: Instance, database: EmbeddedDatabase, log: AppLog) -> None:
        """A ring that cannot look for its end is delivered again, which rings no device twice."""
        user = new_user()
        iphone, android = app.register(user, 2)
        call = call_to(user)
        assert app.deliver(ended(call)).status == 202
        assert app.handler
        fault = FailPoint(database.uri, ["find"], errorCode=91)
        app.sends.after.append(fault.__enter__)
        try:
            assert app.deliver(call).status == 500
        finally:
            fault.__exit__(None, None, None)
        assert log.events("call_end_not_looked_up")
        assert stops(app, android) == []
        app.sends.after.clear()
        assert app.deliver(call).status == 202
        assert [stop["reason"] for stop in stops(app, android)] == ["ended"]
        assert (len(pushes(app, android)), len(pushes(app, iphone))) == (2, 1)

    def test_the_look_before_a_late_ring_fails(
        self, app: Instance, hub: RunningHub, database: EmbeddedDatabase
    ) -> None:
        """A late ring that cannot look for its end rings: a silent phone is worse."""
        user = new_user()
        (iphone,) = app.register(user)
        fault = FailPoint(database.uri, ["find"], errorCode=91)
        look = Meanwhile("find", "'$in'", fault.__enter__)
        try:
            with Instance(
                hub, database.uri, STOPS, database_name=app.database_name, listener=look
            ) as ringing:
                ringing.deliver(call_to(user, time=datetime.now(UTC) - timedelta(seconds=5)))
        finally:
            fault.__exit__(None, None, None)
        assert look.acted
        assert app.rings(iphone) == 1

    def test_no_repetition_after_the_end(self, app: Instance) -> None:
        """A device that is still tried is not tried again once the call is over."""
        user = new_user()
        iphone, android = app.register(user, 2)
        call = call_to(user)
        app.hub.simulator.add_fault(
            Fault(kind="status", status=503, times=2, device_handle=android.device_token)
        )
        assert app.handler

        def answer() -> None:
            app.sends.after.clear()
            assert report(app, iphone, call, DeviceState.ANSWERED)

        app.sends.after.append(answer)
        assert app.deliver(call).status == 202
        assert pushes(app, android) == []

    def test_two_instances(self, app: Instance, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """Ends and joins that two instances hear of at once stop each device once."""
        with Instance(hub, database.uri, STOPS, database_name=app.database_name) as other:
            for _ in range(5):
                user, (_, android, windows), call = three_ring(app)
                events = [ended(call), joined(call, user)] * 2
                answers = at_once(
                    lambda pair: pair[0].deliver(pair[1]),
                    [(instance, event) for event in events for instance in (app, other)],
                )
                assert {answer.status for answer in answers} == {202}
                assert [len(stops(app, device)) for device in (android, windows)] == [1, 1]


class TestTries:
    def test_refused_for_a_while(self, app: Instance) -> None:
        """A stop that the hub refuses is tried again like a ring."""
        _, (_, android, _), call = three_ring(app)
        app.hub.simulator.add_fault(Fault(kind="status", status=503, times=2))
        assert app.deliver(ended(call)).status == 202
        assert len(stops(app, android)) == 1

    def test_left_over(self, app: Instance) -> None:
        """A stop that could not be sent is sent at the event's redelivery; those that were are not."""
        _, (_, android, windows), call = three_ring(app)
        fault = Fault(kind="status", status=429, retry_after="60", device_handle=android.device_token)
        app.hub.simulator.add_fault(fault)
        end = ended(call)
        assert app.deliver(end).status == 500
        app.hub.simulator.clear_faults()
        assert app.deliver(end).status == 202
        assert len(stops(app, android)) == len(stops(app, windows)) == 1

    def test_of_two_callees(self, app: Instance, clock: TurnedClock) -> None:
        """A callee who was invited to the call early, and rings hardly longer, takes no time from another."""
        early, late = new_user(), new_user()
        (of_early,), (of_late,) = app.register(early, first=1), app.register(late, first=1)
        first = call_to(early)
        assert app.deliver(first).status == 202
        clock.turn(58)
        second = call_to(late, time=clock.now())
        for name in ("correlationId", "serverCallId"):
            second["data"][name] = first["data"][name]
        assert app.deliver(second).status == 202
        clock.turn(1)
        for device in (of_early, of_late):
            fault = Fault(
                kind="status", status=429, retry_after="1.5", device_handle=device.device_token, times=1
            )
            app.hub.simulator.add_fault(fault)
        assert app.deliver(ended(first, at=clock.now())).status == 202
        assert [len(stops(app, device)) for device in (of_early, of_late)] == [0, 1]

    def test_of_two_rings(self, app: Instance, clock: TurnedClock) -> None:
        """A device that rings twice for one call is told to stop as long as the later ring lasts."""
        (device,) = app.register(user := new_user(), first=1)
        first = call_to(user)
        assert app.deliver(first).status == 202
        clock.turn(58)
        second = call_to(user, time=clock.now())
        for name in ("correlationId", "serverCallId"):
            second["data"][name] = first["data"][name]
        assert app.deliver(second).status == 202
        clock.turn(1)
        fault = Fault(
            kind="status", status=429, retry_after="1.5", device_handle=device.device_token, times=1
        )
        app.hub.simulator.add_fault(fault)
        assert app.deliver(ended(first, at=clock.now())).status == 202
        assert len(stops(app, device)) == 1

    def test_it_may_have_arrived(self, app: Instance) -> None:
        """Better none than two: after a try without an answer there is no other."""
        _, (_, android, _), call = three_ring(app)
        tries: list[str] = []

        def lose(_push: Push, device_token: str, _time_left: float) -> Outcome:
            tries.append(device_token)
            return Outcome(OutcomeKind.TRANSIENT, "lost", unanswered=Unanswered.LOST)

        app.sends.instead = lose
        end = ended(call)
        assert app.deliver(end).status == app.deliver(end).status == 202
        assert tries.count(android.device_token) == 1

    def test_few_wait(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """Where the hub throttles, at most a quarter of the threads wait to stop devices, so that rings find
        a thread; the redelivery does what is left."""
        waiting, most = 0, 0
        lock = threading.Lock()

        class Waits(TurnedClock):
            def sleep(self, seconds: float) -> None:
                nonlocal waiting, most
                if seconds < SHORT_SECONDS:
                    return
                with lock:
                    waiting += 1
                    most = max(most, waiting)
                threading.Event().wait(0.5)
                with lock:
                    waiting -= 1
                self.turn(seconds)

        settings = {**STOPS, "PYTHON_THREADPOOL_THREAD_COUNT": "8"}
        with Instance(hub, database.uri, settings, clock=Waits()) as app:
            users = [new_user() for _ in range(6)]
            devices = [app.register(user, first=1)[0] for user in users]
            calls = [call_to(user) for user in users]
            for call in calls:
                assert app.deliver(call).status == 202
            hub.simulator.add_fault(Fault(kind="status", status=429, retry_after="2"))
            ends = [ended(call) for call in calls]
            assert {answer.status for answer in at_once(app.deliver, ends)} == {500}
            assert 1 <= most <= 2
            hub.simulator.clear_faults()
            assert {app.deliver(end).status for end in ends} == {202}
            assert [len(stops(app, device)) for device in devices] == [1] * 6

    def test_no_time_for_an_answer(
        self, hub: RunningHub, database: EmbeddedDatabase, clock: TurnedClock
    ) -> None:
        """A try without the time for its answer would be the last one, so it is left to the redelivery."""
        with Instance(hub, database.uri, STOPS, clock=clock, jitter=lambda: 0.0) as app:
            user = new_user()
            (android,) = app.register(user, first=1)
            call = call_to(user)
            assert app.deliver(call).status == 202
            sent: list[float] = []

            def refuse(_push: Push, _device_token: str, time_left: float) -> Outcome:
                sent.append(time_left)
                clock.turn(time_left - 0.15)
                return Outcome(OutcomeKind.TRANSIENT, "refused", status=503)

            app.sends.instead = refuse
            end = ended(call)
            assert app.deliver(end).status == 500
            assert min(sent) >= 0.2
            app.sends.instead = None
            assert app.deliver(end).status == 202
            assert len(stops(app, android)) == 1

    def test_the_ring_was_refused(self, app: Instance) -> None:
        """A device that was never rung is not stopped."""
        user = new_user()
        _, android, windows = app.register(user, 3)
        app.hub.simulator.add_fault(Fault(kind="status", status=400, device_handle=android.device_token))
        call = call_to(user)
        assert app.deliver(call).status == 202
        app.hub.simulator.clear_faults()
        assert app.deliver(ended(call)).status == 202
        assert stops(app, android) == []
        assert len(stops(app, windows)) == 1

    @pytest.mark.parametrize("status", [401, 503])
    def test_not_for_ever(self, app: Instance, clock: TurnedClock, status: int) -> None:
        """An end whose stops cannot be sent is raised while a redelivery can still stop a ring."""
        _, _, call = three_ring(app)
        app.hub.simulator.add_fault(Fault(kind="status", status=status))
        end = ended(call)
        assert app.deliver(end).status == 500
        clock.turn(52)
        assert app.deliver(end).status == 202

    def test_redelivery_after_an_answer(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """Without any stop pushes too, a device is not rung after another one has reported an answer."""
        with Instance(hub, database.uri, SHORT) as app:
            user = new_user()
            iphone, android = app.register(user, 2)
            fault = Fault(kind="status", status=429, retry_after="60", device_handle=android.device_token)
            app.hub.simulator.add_fault(fault)
            call = call_to(user)
            assert app.deliver(call).status == 500
            app.hub.simulator.clear_faults()
            assert report(app, iphone, call, DeviceState.ANSWERED)
            assert app.deliver(call).status == 202
            assert (app.rings(iphone), app.rings(android)) == (1, 0)

    def test_registered_before_this_release(self, app: Instance) -> None:
        """A registration that was stored under another spelling of the user's MRI is stopped as well."""
        user = new_user().upper().replace("8:ACS:", "8:acs:")
        _, android = app.register(user, 2)
        registrations = app.watcher[app.database_name]["DeviceRegistrations"]
        registrations.update_many({"acsMri": user.lower()}, {"$set": {"acsMri": user}})
        call = call_to(user)
        assert app.deliver(call).status == app.deliver(ended(call)).status == 202
        assert app.rings(android) == 2
        assert len(stops(app, android)) == 1

    def test_a_new_token_meanwhile(self, app: Instance) -> None:
        """A device that has registered another token since it rang is stopped there."""
        _, (_, android, _), call = three_ring(app)
        newer = replace(android, device_token=uuid.uuid4().hex)
        app.app.device_store.register(newer, app.app.clock.now())
        assert app.deliver(ended(call)).status == 202
        assert len(stops(app, newer)) == 1

    def test_the_database_stays_away(
        self, app: Instance, database: EmbeddedDatabase, log: AppLog, clock: TurnedClock
    ) -> None:
        """Once nothing can be stopped any more, a redelivery would be for nothing."""
        _, _, call = three_ring(app)
        end = ended(call)
        clock.turn(121)
        with FailPoint(database.uri, ["update", "find"], errorCode=91):
            assert app.deliver(end).status == 202
        assert log.events("call_end")[-1]["code"] == "database_unavailable"

    def test_the_database_is_away(self, app: Instance, database: EmbeddedDatabase) -> None:
        """Without the database nothing is known; the event is raised, and its redelivery stops the
        devices."""
        _, (_, android, _), call = three_ring(app)
        end = ended(call)
        with FailPoint(database.uri, ["update", "find"], errorCode=91):
            assert app.deliver(end).error == "database_unavailable"
        assert app.deliver(end).status == 202
        assert len(stops(app, android)) == 1


class TestReports:
    @pytest.mark.parametrize("state", [DeviceState.ANSWERED, DeviceState.DECLINED])
    def test_one_phone_tells(self, app: Instance, state: DeviceState) -> None:
        """The others are stopped, the phone that reports is not, and events that follow change nothing."""
        user, (_, android, windows), call = three_ring(app)
        assert report(app, android, call, state)
        assert [stop["reason"] for stop in stops(app, windows)] == [state.value]
        assert app.deliver(joined(call, user)).status == app.deliver(ended(call)).status == 202
        assert stops(app, android) == []
        assert len(stops(app, windows)) == 1

    def test_an_iphone_tells(self, app: Instance) -> None:
        """The call id is compared without case, as Swift writes it."""
        _, (iphone, android, windows), call = three_ring(app)
        call["data"]["correlationId"] = call["data"]["correlationId"].upper()
        assert report(app, iphone, call, DeviceState.ANSWERED)
        assert len(stops(app, android)) == len(stops(app, windows)) == 1

    def test_the_first_word_counts(self, app: Instance) -> None:
        """A second phone that answers or declines changes nothing, nor does the same report again."""
        _, (iphone, android, windows), call = three_ring(app)
        assert effect_of_report(app, android, call, DeviceState.DECLINED) is ReportEffect.RING_ENDED
        assert effect_of_report(app, windows, call, DeviceState.ANSWERED) is ReportEffect.NOTED
        assert effect_of_report(app, iphone, call, DeviceState.ANSWERED) is ReportEffect.NOTED
        assert effect_of_report(app, android, call, DeviceState.DECLINED) is ReportEffect.NOTED
        assert stops(app, android) == []
        assert len(stops(app, windows)) == 1
        ledger = app.ledger(call)
        assert ledger is not None
        assert ledger["answer"]["kind"] == "declined"

    def test_ringing(self, app: Instance, clock: TurnedClock, log: AppLog) -> None:
        """The proof that a phone rang: written once, with its time, and measured."""
        _, (_, android, _), call = three_ring(app)
        clock.turn(1.5)
        assert report(app, android, call, DeviceState.RINGING)
        clock.turn(5)
        assert report(app, android, call, DeviceState.RINGING)
        (line,) = log.events("device_reported")
        assert (line["state"], line["platform"]) == ("ringing", "fcmv1")
        assert 1_500 <= line["after_ms"] < 6_500
        assert stops(app, android) == []

    def test_workbook(self, app: Instance, clock: TurnedClock, caplog: pytest.LogCaptureFixture) -> None:
        """The workbook shows the time to ring; a report of another kind does not count."""
        lines = Log(caplog)
        _, (_, android, windows), call = three_ring(app)
        clock.turn(2)
        assert report(app, android, call, DeviceState.RINGING)
        clock.turn(10)
        assert report(app, windows, call, DeviceState.ANSWERED)
        (row,) = lines.query(TIME_TO_RING.read_text())
        assert 2_000 <= row["p50"] == row["p95"] == row["p99"] < 10_000

    def test_not_a_call_of_that_user(self, app: Instance) -> None:
        """A call that does not exist, another user's call and an unknown device are the same."""
        user, (_, android, _), call = three_ring(app)
        stranger, (_, of_stranger, _), _ = three_ring(app)
        assert not report(app, of_stranger, call, DeviceState.ANSWERED)
        assert not report(app, of_stranger, call_to(stranger), DeviceState.ANSWERED)
        unknown = CallReport(
            Identity.parse(user), "no-such-device", call["data"]["correlationId"], DeviceState.ANSWERED
        )
        assert app.app.call_ends.reported(unknown) is ReportEffect.NO_SUCH_CALL
        assert stops(app, android) == []

    def test_of_another_day(self, app: Instance, clock: TurnedClock) -> None:
        """A call is known for a day, whether or not the database has swept it."""
        _, (_, android, windows), call = three_ring(app)
        clock.turn(86_500)
        assert not report(app, android, call, DeviceState.ANSWERED)
        assert stops(app, windows) == []

    def test_a_silent_hub(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """A report waits for its stops for two seconds, however long a send may take."""
        slow = {"StopRinging": "fcmv1,windows", "HubReadTimeoutSeconds": 15, "CallRingSeconds": 60}
        with Instance(hub, database.uri, slow) as app:
            _, (_, android, windows), call = three_ring(app)
            app.hub.simulator.add_fault(Fault(kind="black_hole"))
            began = time.monotonic()
            assert report(app, android, call, DeviceState.ANSWERED)
            assert time.monotonic() - began < 10
            ledger = app.ledger(call)
        assert ledger is not None
        assert ledger["answer"]["kind"] == "answered"
        assert stops(app, windows) == []

    def test_before_the_result_is_written(self, app: Instance) -> None:
        """A phone that answers faster than the hub stops the devices that are rung after it."""
        user = new_user()
        iphone, android = app.register(user, 2)
        call = call_to(user)
        answered: list[bool] = []

        def answer() -> None:
            app.sends.after.clear()
            answered.append(report(app, iphone, call, DeviceState.ANSWERED))

        assert app.handler
        app.sends.after.append(answer)
        assert app.deliver(call).status == 202
        assert answered == [True]
        assert [stop["reason"] for stop in stops(app, android)] == ["answered"]

    def test_while_results_are_written(
        self, app: Instance, hub: RunningHub, database: EmbeddedDatabase
    ) -> None:
        """A ring that ends between a report's first look and its answer is found by the second look."""
        user = new_user()
        iphone, android = app.register(user, 2)
        call = call_to(user)
        assert app.handler
        go = threading.Event()
        app.sends.before.append(lambda: go.wait(TIMEOUT))
        with ThreadPoolExecutor(1) as pool:
            ringing = pool.submit(app.deliver, call)
            eventually(lambda: app.ledger(call) is not None)

            def let_it_end() -> None:
                go.set()
                assert ringing.result(TIMEOUT).status == 202

            meanwhile = Meanwhile("update", "'answer'", let_it_end)
            with Instance(
                hub, database.uri, STOPS, database_name=app.database_name, listener=meanwhile
            ) as other:
                assert report(other, iphone, call, DeviceState.ANSWERED)
        assert meanwhile.acted
        assert [stop["reason"] for stop in stops(app, android)] == ["answered"]

    def test_two_seconds(self, app: Instance, clock: TurnedClock) -> None:
        """Stops that the hub refuses are tried again for two seconds; the phone waits no longer."""
        _, (iphone, android, _), call = three_ring(app)
        app.hub.simulator.add_fault(Fault(kind="status", status=503))
        began = clock.monotonic()
        assert report(app, iphone, call, DeviceState.ANSWERED)
        tried = app.attempts(android)
        assert tried >= 3  # the ring, and two tries of the stop
        assert sum(clock.slept) <= REPORT_SECONDS
        assert clock.monotonic() - began < 10

    def test_counted(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """Stops count wherever they come from: a report, an event or the ring itself."""
        recorded = RecordedMetrics()
        with Instance(hub, database.uri, STOPS, clock=TurnedClock(), metrics=recorded.metrics) as app:
            _, (iphone, *_), call = three_ring(app)
            assert report(app, iphone, call, DeviceState.ANSWERED)
            assert recorded.sum_of(Metric.STOPS) == 2
            _, _, call = three_ring(app)
            assert app.deliver(ended(call)).status == 202
            assert recorded.sum_of(Metric.STOPS) == 4
            app.register(user := new_user(), 2)
            call = call_to(user)
            assert app.deliver(ended(call)).status == app.deliver(call).status == 202
            assert recorded.sum_of(Metric.STOPS) == 5

    def test_a_report_before_the_claim(
        self, app: Instance, hub: RunningHub, database: EmbeddedDatabase
    ) -> None:
        """A phone that reports its answer while an end is being handled is not stopped."""
        _, (_, android, windows), call = three_ring(app)
        answer = Meanwhile("update", "notices.stop", lambda: report(app, android, call, DeviceState.ANSWERED))
        with Instance(hub, database.uri, STOPS, database_name=app.database_name, listener=answer) as other:
            assert other.deliver(ended(call)).status == 202
        assert answer.acted
        assert stops(app, android) == []
        assert len(stops(app, windows)) == 1

    def test_again_after_a_crash(self, app: Instance) -> None:
        """A report that was written down, and whose answer never came, is repeated: now the others stop."""
        _, (_, android, windows), call = three_ring(app)
        ledger = app.ledger(call)
        assert ledger is not None
        states = CallStates(app.app.collection(COLLECTION_NAME), app.app.work)
        assert states.report(ledger["_id"], android.device_key, DeviceState.ANSWERED, app.app.clock.now())
        assert report(app, android, call, DeviceState.ANSWERED)
        assert [stop["reason"] for stop in stops(app, windows)] == ["answered"]
        assert stops(app, android) == []

    def test_the_answer_is_not_written(
        self, app: Instance, hub: RunningHub, database: EmbeddedDatabase
    ) -> None:
        """A phone hears of an answer that could not be written down, so that it reports again."""
        _, (_, android, windows), call = three_ring(app)
        fault = FailPoint(database.uri, ["update"], errorCode=91)
        away = Meanwhile("update", "'answer'", fault.__enter__)
        with Instance(hub, database.uri, STOPS, database_name=app.database_name, listener=away) as other:
            try:
                with pytest.raises(DatabaseUnavailableError):
                    report(other, android, call, DeviceState.ANSWERED)
            finally:
                fault.__exit__(None, None, None)
            assert report(other, android, call, DeviceState.ANSWERED)
        assert [stop["reason"] for stop in stops(app, windows)] == ["answered"]

    def test_at_once(self, app: Instance, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """All phones answer at the same time, on two instances: one of them has the first word."""
        with Instance(hub, database.uri, STOPS, database_name=app.database_name) as other:
            _, devices, call = three_ring(app)
            pairs = list(zip((app, other, app), devices, strict=True))
            assert all(at_once(lambda pair: report(*pair, call, DeviceState.ANSWERED), pairs))
            ledger = app.ledger(call)
            assert ledger is not None
            first = ledger["answer"]["device"]
            for device in devices:
                wanted = 0 if device.device_key == first or device.platform is Platform.APPLE else 1
                # A device that has reported in the meantime is left alone.
                assert len(stops(app, device)) <= wanted
