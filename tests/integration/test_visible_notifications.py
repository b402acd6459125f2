"""Missed calls are told, and a refused VoIP push falls back to a visible one: once a device and ring."""

import json
import threading
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.database import EmbeddedDatabase
from local.hub.faults import Fault
from local.hub.records import ReceivedPush
from local.hub.running_hub import RunningHub
from local.samples import event_grid_event, incoming_call_data
from models.device import DeviceRegistration, Purpose
from models.platform import Platform
from models.report import DeviceState
from push.call_end import OVERTAKEN_SECONDS
from tests.call_events import Meanwhile, TurnedClock, ended, joined, pushes, report, stops
from tests.fakes import AppLog, registration
from tests.integration.conftest import SHORT
from tests.rig import Instance, at_once, call_to, new_user

# Their clock is turned while they wait, so that a long invocation takes no longer.
PATIENT = {**SHORT, "InvocationTimeoutSeconds": "20"}
MISSED = {**PATIENT, "VisibleNotifications": "missed"}
FALLBACK = {**PATIENT, "VisibleNotifications": "fallback,missed"}


@pytest.fixture
def app(hub: RunningHub, database: EmbeddedDatabase, clock: TurnedClock) -> Iterator[Instance]:
    """One instance that tells of missed calls."""
    with Instance(hub, database.uri, MISSED, clock=clock) as running:
        yield running


@pytest.fixture
def falling_back(hub: RunningHub, database: EmbeddedDatabase, clock: TurnedClock) -> Iterator[Instance]:
    """One instance that falls back to visible notifications."""
    with Instance(hub, database.uri, FALLBACK, clock=clock) as running:
        yield running


def alerts_of(app: Instance, device: DeviceRegistration) -> DeviceRegistration:
    """The registration of an iPhone's other token."""
    other = replace(device, device_token=uuid.uuid4().hex * 2, purpose=Purpose.ALERTS)
    app.app.device_store.register(other, app.app.clock.now())
    return other


def iphone_with_alerts(app: Instance) -> tuple[str, DeviceRegistration, DeviceRegistration]:
    user = new_user()
    (iphone,) = app.register(user)
    return user, iphone, alerts_of(app, iphone)


def shown(app: Instance, device: DeviceRegistration) -> list[ReceivedPush]:
    """The visible pushes that a device got."""
    return [
        push
        for push in pushes(app, device)
        if '"alert"' in push.body or '"notification":{"title"' in push.body or push.body.startswith("<toast")
    ]


def events_shown(app: Instance, device: DeviceRegistration) -> list[str]:
    return [json.loads(push.body)["data"]["event"] for push in shown(app, device)]


class TestGone:
    """A hub's 410 to a notice counts as it does for a ring."""

    def _missed(self, app: Instance, user: str) -> None:
        call = call_to(user, time=app.app.clock.now())
        assert app.deliver(call).status == app.deliver(ended(call, at=app.app.clock.now())).status == 202

    def _documents(self, app: Instance, *devices: DeviceRegistration) -> list[dict[str, Any] | None]:
        found = {each["_id"]: each for each in app.registrations(devices[0].acs_mri)}
        return [found.get(device.registration_id) for device in devices]

    def test_deleted_after_an_hour(self, app: Instance, clock: TurnedClock) -> None:
        """A dead token for alerts is marked, and deleted by a later call; the one for calls stays."""
        user, iphone, alerts = iphone_with_alerts(app)
        app.hub.simulator.add_fault(Fault(kind="status", status=410, device_handle=alerts.device_token))
        for _ in range(2):
            self._missed(app, user)
        calling, showing = self._documents(app, iphone, alerts)
        assert calling is not None
        assert "goneAt" not in calling
        assert showing is not None
        assert "goneAt" in showing
        clock.turn(3_601)
        self._missed(app, user)
        assert self._documents(app, iphone, alerts)[1] is None
        assert app.rings(iphone) == 3

    def test_back_again(self, app: Instance) -> None:
        """A notice that the hub takes removes the mark."""
        user, _, alerts = iphone_with_alerts(app)
        app.hub.simulator.add_fault(Fault(kind="status", status=410, device_handle=alerts.device_token))
        self._missed(app, user)
        app.hub.simulator.clear_faults()
        self._missed(app, user)
        assert [each and "goneAt" in each for each in self._documents(app, alerts)] == [False]

    def test_a_spell(self, app: Instance, log: AppLog) -> None:
        """A hub that calls most devices gone is not believed: no mark, and one line."""
        users = [iphone_with_alerts(app) for _ in range(12)]
        for user, _, _ in users:
            assert app.deliver(call_to(user)).status == 202
        clock_before = len(log.events("most_devices_gone"))
        app.hub.simulator.add_fault(Fault(kind="status", status=410))
        for _ in range(2):
            for user, _, _ in users:
                assert app.deliver(call_to(user, time=datetime.now(UTC) - timedelta(minutes=5))).status == 202
        assert (clock_before, len(log.events("most_devices_gone"))) == (0, 1)


class TestMissed:
    def test_unanswered(self, app: Instance, log: AppLog) -> None:
        """Each platform's notification, once; the iPhone's goes to its token for alerts."""
        user, iphone, alerts = iphone_with_alerts(app)
        android, windows = app.register(user, 2, first=1)
        call = call_to(user)
        assert app.deliver(call).status == 202
        end = ended(call)
        for event in (end, end, ended(call)):
            assert app.deliver(event).status == 202
        call_id = call["data"]["correlationId"]
        data = {
            "event": "missedCall",
            "callId": call_id,
            "callerId": call["data"]["from"]["rawId"],
            "displayName": "Grace Hopper",
        }
        assert shown(app, iphone) == []
        (alert,) = shown(app, alerts)
        headers = {name.lower(): value for name, value in alert.headers.items()}
        assert headers["apns-push-type"] == headers["servicebusnotification-apns-push-type"] == "alert"
        assert headers["apns-collapse-id"] == call_id
        assert json.loads(alert.body) == {
            "aps": {
                "alert": {"title": "Missed call", "body": "Grace Hopper"},
                "sound": "default",
                "interruption-level": "active",
            },
            "data": data,
        }
        (notification,) = shown(app, android)
        message = json.loads(notification.body)["message"]
        assert message["notification"] == {"title": "Missed call", "body": "Grace Hopper"}
        assert message["android"].pop("ttl") in {"86400s", "86399s"}
        assert message["android"] == {"priority": "high", "notification": {"tag": call_id}}
        assert message["data"] == data
        (toast,) = shown(app, windows)
        root = ET.fromstring(toast.body)  # noqa: S314 - the app's own
        assert json.loads(root.get("launch", "")) == data
        assert [text.text for text in root.iter("text")] == ["Missed call", "Grace Hopper"]
        assert [line["missed_told"] for line in log.events("call_end")] == [3, 0, 0]

    @pytest.mark.parametrize("state", [DeviceState.ANSWERED, DeviceState.DECLINED])
    def test_answered(self, app: Instance, state: DeviceState) -> None:
        """An answered or declined call is not missed."""
        user = new_user()
        _, android = app.register(user, 2)
        call = call_to(user)
        assert app.deliver(call).status == 202
        assert report(app, android, call, state)
        assert app.deliver(ended(call)).status == 202
        assert shown(app, android) == []

    def test_the_end_overtakes_the_answer(self, app: Instance, clock: TurnedClock) -> None:
        """A CallParticipantAdded that comes after its CallEnded is waited for, for two seconds."""
        user = new_user()
        _, android = app.register(user, 2)
        call = call_to(user)
        assert app.deliver(call).status == 202

        def answer() -> None:
            clock.meanwhile.clear()
            assert app.deliver(joined(call, user)).status == 202

        clock.meanwhile.append(answer)
        assert app.deliver(ended(call)).status == 202
        assert OVERTAKEN_SECONDS in clock.slept
        assert shown(app, android) == []

    def test_an_end_before_the_ring(self, app: Instance) -> None:
        """The caller has hung up before the ring comes, fresh or late: the ring tells of the missed call."""
        for late in (0, 5):
            user = new_user()
            _, android = app.register(user, 2)
            call = call_to(user, time=datetime.now(UTC) - timedelta(seconds=late))
            assert app.deliver(ended(call)).status == 202
            for _ in range(2):
                assert app.deliver(call).status == 202
            assert len(shown(app, android)) == 1

    def test_one_wait(self, hub: RunningHub, database: EmbeddedDatabase, clock: TurnedClock) -> None:
        """An end of a call with several callees stops all devices, waits once, and tells all callees."""
        with Instance(hub, database.uri, {**MISSED, "StopRinging": "fcmv1"}, clock=clock) as app:
            data = incoming_call_data(new_user())
            devices, calls = [], []
            for _ in range(3):
                user = new_user()
                calls.append(event_grid_event({**data, "to": incoming_call_data(user)["to"]}))
                devices.append(app.register(user, 2)[1])
                assert app.deliver(calls[-1]).status == 202
            stopped: list[int] = []
            clock.slept.clear()
            clock.meanwhile.append(lambda: stopped.append(sum(len(stops(app, each)) for each in devices)))
            assert app.deliver(ended(calls[0])).status == 202
            assert clock.slept.count(OVERTAKEN_SECONDS) == 1
            assert stopped == [3]
            assert [len(shown(app, each)) for each in devices] == [1, 1, 1]

    def test_few_wait(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """At most a quarter of the threads wait; the others tell at once."""
        settings = {**MISSED, "PYTHON_THREADPOOL_THREAD_COUNT": "8"}
        waiting, most = 0, 0
        lock = threading.Lock()

        class Waits(TurnedClock):
            def sleep(self, seconds: float) -> None:
                nonlocal waiting, most
                if seconds == OVERTAKEN_SECONDS:
                    with lock:
                        waiting += 1
                        most = max(most, waiting)
                    threading.Event().wait(0.5)
                    with lock:
                        waiting -= 1

        with Instance(hub, database.uri, settings, clock=Waits()) as app:
            users = [new_user() for _ in range(8)]
            calls = [call_to(user) for user in users]
            for user, call in zip(users, calls, strict=True):
                app.register(user, 2)
                assert app.deliver(call).status == 202
            assert {answer.status for answer in at_once(app.deliver, [ended(call) for call in calls])} == {
                202
            }
            assert 1 <= most <= 2
            told = sum(len(shown(app, device)) for user in users for device in app.devices_of(user))
            assert told == 8

    def test_none_waits(self, hub: RunningHub, database: EmbeddedDatabase, clock: TurnedClock) -> None:
        """With fewer than four threads a wait would hold up more than a quarter of them."""
        settings = {**MISSED, "PYTHON_THREADPOOL_THREAD_COUNT": "3"}
        with Instance(hub, database.uri, settings, clock=clock) as app:
            user = new_user()
            _, android = app.register(user, 2)
            call = call_to(user)
            assert app.deliver(call).status == app.deliver(ended(call)).status == 202
            assert OVERTAKEN_SECONDS not in clock.slept
            assert len(shown(app, android)) == 1

    def test_an_answer_before_the_claim(
        self, app: Instance, hub: RunningHub, database: EmbeddedDatabase
    ) -> None:
        """A phone that reports its answer while the missed call is about to be told."""
        user = new_user()
        _, android = app.register(user, 2)
        call = call_to(user)
        assert app.deliver(call).status == 202
        answer = Meanwhile(
            "update", "notices.missed", lambda: report(app, android, call, DeviceState.ANSWERED)
        )
        with Instance(
            hub, database.uri, MISSED, database_name=app.database_name, clock=TurnedClock(), listener=answer
        ) as other:
            assert other.deliver(ended(call)).status == 202
        assert answer.acted
        assert shown(app, android) == []

    def test_invited_again(self, app: Instance, clock: TurnedClock) -> None:
        """A call that was answered at the second invitation is not missed at the first."""
        user = new_user()
        _, android = app.register(user, 2)
        first = call_to(user)
        assert app.deliver(first).status == 202
        clock.turn(20)
        again = {**first, "id": str(uuid.uuid4()), "eventTime": call_to(user, time=clock.now())["eventTime"]}
        assert app.deliver(again).status == 202
        assert report(app, android, first, DeviceState.ANSWERED)
        assert app.deliver(ended(first, at=clock.now())).status == 202
        assert shown(app, android) == []

    def test_too_late_to_ring(self, app: Instance) -> None:
        """An event that comes after the ring is a missed call at once, and once."""
        user, iphone, alerts = iphone_with_alerts(app)
        call = call_to(user, time=datetime.now(UTC) - timedelta(minutes=5))
        for _ in range(2):
            assert app.deliver(call).status == 202
        assert pushes(app, iphone) == []
        assert events_shown(app, alerts) == ["missedCall"]

    def test_a_late_duplicate(self, app: Instance, clock: TurnedClock) -> None:
        """A duplicate that comes after the ring is no missed call: the call has rung, and was perhaps
        answered."""
        user, iphone, alerts = iphone_with_alerts(app)
        call = call_to(user)
        assert app.deliver(call).status == 202
        clock.turn(61)
        assert app.deliver(call).status == 202
        assert app.rings(iphone) == 1
        assert pushes(app, alerts) == []

    def test_all_gone(self, app: Instance) -> None:
        """A call whose devices are all gone has rung nowhere; the token for alerts may still work."""
        user, iphone, alerts = iphone_with_alerts(app)
        app.hub.simulator.add_fault(Fault(kind="status", status=410, device_handle=iphone.device_token))
        assert app.deliver(call_to(user)).status == 202
        assert events_shown(app, alerts) == ["missedCall"]

    @pytest.mark.parametrize("status", [401, 503])
    def test_not_for_ever(self, app: Instance, clock: TurnedClock, log: AppLog, status: int) -> None:
        """A missed call that cannot be told is raised for two minutes: longer, Event Grid would delay the
        calls that come after a repair."""
        user, _, alerts = iphone_with_alerts(app)
        call = call_to(user)
        assert app.deliver(call).status == 202
        app.hub.simulator.add_fault(Fault(kind="status", status=status))
        end = ended(call)
        assert app.deliver(end).status == 500
        assert bool(log.events("misconfigured")) == (status == 401)
        clock.turn(121)
        assert app.deliver(end).status == 202
        assert pushes(app, alerts) == []

    def test_too_late_but_answered(self, app: Instance) -> None:
        """A late event whose call the callee has joined, on a device that needs no push, is not missed."""
        user, _, alerts = iphone_with_alerts(app)
        call = call_to(user, time=datetime.now(UTC) - timedelta(minutes=5))
        assert app.deliver(joined(call, user)).status == 202
        assert app.deliver(call).status == 202
        assert shown(app, alerts) == []

    def test_refused_for_good(self, app: Instance) -> None:
        """All rings were refused, nothing will ring any more: the call is told as missed without its end."""
        user, iphone, alerts = iphone_with_alerts(app)
        app.hub.simulator.add_fault(Fault(kind="status", status=400, device_handle=iphone.device_token))
        call = call_to(user)
        assert app.deliver(call).status == 202
        assert events_shown(app, alerts) == ["missedCall"]
        assert app.deliver(ended(call)).status == 202
        assert events_shown(app, alerts) == ["missedCall"]

    def test_a_phone_reports(self, app: Instance, clock: TurnedClock) -> None:
        """`missed` counts once the ring is over or no other device rings."""
        user = new_user()
        _, android, windows = app.register(user, 3)
        call = call_to(user)
        assert app.deliver(call).status == 202
        assert report(app, android, call, DeviceState.MISSED)
        assert shown(app, android) == []
        clock.turn(61)
        assert report(app, windows, call, DeviceState.MISSED)
        assert len(shown(app, android)) == len(shown(app, windows)) == 1

    def test_two_phones_report_at_once(
        self, app: Instance, hub: RunningHub, database: EmbeddedDatabase
    ) -> None:
        """Of two phones that stop at the same moment, the one that is written last finds the other's
        report."""
        user = new_user()
        _, android, windows = app.register(user, 3)
        app.hub.simulator.add_fault(Fault(kind="status", status=400, times=1))
        call = call_to(user)
        assert app.deliver(call).status == 202
        for device in app.devices_of(user):
            if device.platform is Platform.APPLE:
                assert report(app, device, call, DeviceState.MISSED)
        other_one = Meanwhile("update", "reports.", lambda: report(app, windows, call, DeviceState.MISSED))
        with Instance(
            hub, database.uri, MISSED, database_name=app.database_name, listener=other_one
        ) as other:
            assert report(other, android, call, DeviceState.MISSED)
        assert other_one.acted
        assert len(shown(app, android)) == len(shown(app, windows)) == 1

    def test_a_phone_reports_before_the_results(self, app: Instance) -> None:
        """A push that is not yet written down counts as rung: the call is not missed there."""
        user = new_user()
        _, android, windows = app.register(user, 3)
        call = call_to(user)
        assert app.handler
        reported: list[bool] = []

        def give_up() -> None:
            app.sends.before.clear()
            reported.append(report(app, android, call, DeviceState.MISSED))

        app.sends.before.append(give_up)
        assert app.deliver(call).status == 202
        assert reported == [True]
        assert shown(app, android) == shown(app, windows) == []

    def test_the_only_phone_reports(self, app: Instance) -> None:
        """With one device there is nothing to wait for."""
        user, iphone, alerts = iphone_with_alerts(app)
        call = call_to(user)
        assert app.deliver(call).status == 202
        assert report(app, iphone, call, DeviceState.MISSED)
        assert events_shown(app, alerts) == ["missedCall"]

    def test_alerts_without_calls(self, app: Instance) -> None:
        """A token for alerts counts only while the same device is registered for calls: it may be another
        user's phone by now."""
        user, iphone, alerts = iphone_with_alerts(app)
        (stays,) = app.register(user, first=1)
        taken = replace(registration(new_user(), "x"), device_token=iphone.device_token)
        app.app.device_store.register(replace(taken, expires_at=iphone.expires_at), app.app.clock.now())
        call = call_to(user)
        assert app.deliver(call).status == app.deliver(ended(call)).status == 202
        assert shown(app, alerts) == []
        assert len(shown(app, stays)) == 1

    def test_no_names_on_lock_screens(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """Texts are settings; without `{caller}` the ledger keeps no name."""
        texts = {
            "MissedCallTitle": "Anruf verpasst",
            "MissedCallBody": "Bitte zurückrufen",
        }
        with Instance(hub, database.uri, {**MISSED, **texts}, clock=TurnedClock()) as app:
            user, _, alerts = iphone_with_alerts(app)
            call = call_to(user)
            assert app.deliver(call).status == app.deliver(ended(call)).status == 202
            (alert,) = shown(app, alerts)
            body = json.loads(alert.body)
            assert body["aps"]["alert"] == {"title": "Anruf verpasst", "body": "Bitte zurückrufen"}
            assert "displayName" not in body["data"]
            assert "Grace" not in str(app.ledger(call))

    def test_an_anonymous_caller(self, app: Instance) -> None:
        """A caller without a name is called so."""
        user, _, alerts = iphone_with_alerts(app)
        call = call_to(user)
        call["data"]["callerDisplayName"] = ""
        assert app.deliver(call).status == app.deliver(ended(call)).status == 202
        (alert,) = shown(app, alerts)
        assert json.loads(alert.body)["aps"]["alert"]["body"] == "Unknown caller"


class TestFallback:
    def _refused(
        self, app: Instance, user: str, iphone: DeviceRegistration, *, later: DeviceRegistration
    ) -> dict[str, Any]:
        """A call whose push the iPhone is refused, and which is raised because of another device."""
        app.hub.simulator.add_fault(Fault(kind="status", status=400, device_handle=iphone.device_token))
        app.hub.simulator.add_fault(
            Fault(kind="status", status=429, retry_after="60", device_handle=later.device_token)
        )
        call = call_to(user)
        assert app.deliver(call).status == 500
        return call

    @pytest.mark.parametrize("status", [400, 410])
    def test_refused(self, falling_back: Instance, status: int) -> None:
        """The iPhone shows the incoming call at once; that counts as rung and is not repeated."""
        app = falling_back
        user, iphone, alerts = iphone_with_alerts(app)
        app.hub.simulator.add_fault(Fault(kind="status", status=status, device_handle=iphone.device_token))
        call = call_to(user)
        assert app.deliver(call).status == 202
        (alert,) = shown(app, alerts)
        body = json.loads(alert.body)
        assert body["aps"]["interruption-level"] == "time-sensitive"
        assert body["aps"]["alert"] == {"title": "Incoming call", "body": "Grace Hopper"}
        assert body["data"]["event"] == "incomingCall"
        assert app.deliver(call).status == 202
        assert events_shown(app, alerts) == ["incomingCall"]
        # The missed call replaces it on the screen.
        assert app.deliver(ended(call)).status == 202
        assert events_shown(app, alerts) == ["incomingCall", "missedCall"]
        first, second = (push.headers for push in shown(app, alerts))
        assert collapse(first) == collapse(second)

    def test_others_are_repeated(self, falling_back: Instance) -> None:
        """A redelivery for another device does not show the call again."""
        app = falling_back
        user, iphone, alerts = iphone_with_alerts(app)
        (android,) = app.register(user, first=1)
        call = self._refused(app, user, iphone, later=android)
        assert events_shown(app, alerts) == ["incomingCall"]
        app.hub.simulator.clear_faults()
        assert app.deliver(call).status == 202
        assert events_shown(app, alerts) == ["incomingCall"]
        assert app.rings(android) == 1

    def test_at_once(self, falling_back: Instance) -> None:
        """It waits for no other device that is still tried."""
        app = falling_back
        user, iphone, alerts = iphone_with_alerts(app)
        (android,) = app.register(user, first=1)
        app.hub.simulator.add_fault(Fault(kind="status", status=400, device_handle=iphone.device_token))
        app.hub.simulator.add_fault(Fault(kind="status", status=503, device_handle=android.device_token))
        assert app.deliver(call_to(user)).status == 500
        assert events_shown(app, alerts) == ["incomingCall"]
        handles = [attempt.device_handle for attempt in app.hub.simulator.attempts()]
        assert android.device_token in handles[handles.index(alerts.device_token) :]

    def test_it_counts_in_later_deliveries(self, falling_back: Instance) -> None:
        """A call that an iPhone shows is not missed when the last other device is refused."""
        app = falling_back
        user, iphone, alerts = iphone_with_alerts(app)
        (android,) = app.register(user, first=1)
        call = self._refused(app, user, iphone, later=android)
        app.hub.simulator.clear_faults()
        app.hub.simulator.add_fault(Fault(kind="status", status=400, device_handle=android.device_token))
        assert app.deliver(call).status == 202
        assert events_shown(app, alerts) == ["incomingCall"]

    def test_the_call_is_over(self, falling_back: Instance) -> None:
        """A call that has ended is not shown as incoming."""
        app = falling_back
        user, iphone, alerts = iphone_with_alerts(app)
        app.hub.simulator.add_fault(Fault(kind="status", status=400, device_handle=iphone.device_token))
        call = call_to(user)
        assert app.deliver(ended(call)).status == 202
        assert app.deliver(call).status == 202
        assert events_shown(app, alerts) == ["missedCall"]

    def test_no_token_for_alerts(self, falling_back: Instance) -> None:
        """Without one there is nothing to show it with; other devices ring."""
        app = falling_back
        user = new_user()
        iphone, android = app.register(user, 2)
        app.hub.simulator.add_fault(Fault(kind="status", status=400, device_handle=iphone.device_token))
        assert app.deliver(call_to(user)).status == 202
        assert app.rings(android) == 1
        assert shown(app, iphone) == []

    def test_it_rang(self, falling_back: Instance) -> None:
        """An iPhone that rang shows nothing beside."""
        app = falling_back
        user, iphone, alerts = iphone_with_alerts(app)
        assert app.deliver(call_to(user)).status == 202
        assert app.rings(iphone) == 1
        assert pushes(app, alerts) == []

    def test_the_fallback_is_refused_too(self, falling_back: Instance) -> None:
        """Then the call is missed, and the error is in the log."""
        app = falling_back
        user, iphone, alerts = iphone_with_alerts(app)
        for device in (iphone, alerts):
            app.hub.simulator.add_fault(Fault(kind="status", status=400, device_handle=device.device_token))
        assert app.deliver(call_to(user)).status == 202
        assert pushes(app, alerts) == []


def collapse(headers: Any) -> str:
    return str(next(value for name, value in headers.items() if name.lower() == "apns-collapse-id"))
