"""A late ring is a wrong ring: what is pushed ends with the call, and no invocation outlasts its time."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from local.database import EmbeddedDatabase
from local.hub.faults import Fault
from local.hub.records import ReceivedPush
from local.hub.running_hub import RunningHub
from push.ledger import NOTE_SECONDS
from settings import SECTIONS
from tests.call_events import Meanwhile, TurnedClock
from tests.end_to_end.hosts import new_user
from tests.fakes import AppLog
from tests.integration.conftest import SHORT
from tests.rig import FailPoint, Instance, call_to, line_of

RING_SECONDS = 60
INVOCATION_SECONDS = 5
READ_SECONDS = float(SHORT["HubReadTimeoutSeconds"])
SLACK_SECONDS = 0.5
"""What an invocation may take beyond its time on a busy machine, for its own work."""

COME_BACK_LATER = Fault(kind="status", status=429, retry_after="60")
"""Has the app give up at once."""


@pytest.fixture
def app(hub: RunningHub, database: EmbeddedDatabase) -> Iterator[Instance]:
    """One instance with short time-outs and the longest back-offs."""
    with Instance(hub, database.uri, SHORT, jitter=lambda: 0.999) as running:
        yield running


@pytest.fixture
def turned(hub: RunningHub, database: EmbeddedDatabase, clock: TurnedClock) -> Iterator[Instance]:
    """One instance whose clock is turned."""
    with Instance(hub, database.uri, SHORT, clock=clock) as running:
        yield running


def results(log: AppLog) -> list[str]:
    """What became of each event, in the order of the lines."""
    return [line["result"] for line in log.events("incoming_call")]


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def timeless(user: str) -> dict[str, Any]:
    """An event that does not say when it happened."""
    event = call_to(user)
    del event["eventTime"]
    return event


def seconds_left(push: ReceivedPush) -> float:
    """How long the push says that the phone may still ring, from when the hub accepted it."""
    if push.format == "fcmv1":
        ttl: str = json.loads(push.body)["message"]["android"]["ttl"]
        return float(ttl.removesuffix("s"))
    if push.format == "windows":
        return float(push.headers["x-wns-ttl"])
    expiry = datetime.fromisoformat(push.headers["servicebusnotification-apns-expiry"])
    assert float(push.headers["apns-expiration"]) == expiry.timestamp()
    return expiry.timestamp() - push.received_at


class TestRingTime:
    def test_a_late_event(self, app: Instance, log: AppLog) -> None:
        """A call that has stopped ringing is acknowledged and logged as missed; nothing is sent for it."""
        device = app.register(user := new_user())[0]
        event = call_to(user, time=ago(RING_SECONDS + 1))
        assert app.deliver(event).status == 202
        assert app.attempts(device) == 0
        noted = app.ledger(event)
        assert noted is not None
        assert (noted["devices"], noted["note"]["result"]) == ({}, "missed")
        line = line_of(log, event)
        assert (line["result"], line["level"]) == ("missed", "WARNING")
        assert 1 <= line["late_seconds"] < 2

    def test_an_event_that_becomes_late_on_its_way(
        self, app: Instance, database: EmbeddedDatabase, log: AppLog
    ) -> None:
        """A call that ends while the devices are being looked up is missed as well."""
        device = app.register(user := new_user())[0]
        event = call_to(user, time=ago(RING_SECONDS - 0.4))
        with FailPoint(database.uri, ["find"], blockConnection=True, blockTimeMS=600):
            assert app.deliver(event).status == 202
        assert app.attempts(device) == 0
        assert line_of(log, event)["result"] == "missed"

    def test_a_late_duplicate(self, turned: Instance, clock: TurnedClock, log: AppLog) -> None:
        """An event that was handled in time and comes again is a duplicate, not a missed call."""
        device = turned.register(user := new_user())[0]
        event = call_to(user)
        assert turned.deliver(event).status == 202
        clock.turn(RING_SECONDS + 1)
        assert turned.deliver(event).status == 202
        assert turned.rings(device) == 1
        assert results(log) == ["delivered", "duplicate"]
        assert "note" not in (turned.ledger(event) or {})

    @pytest.mark.parametrize("age", [RING_SECONDS + 1, RING_SECONDS - 0.4], ids=["late", "becomes late"])
    def test_late_after_a_part_has_rung(
        self, turned: Instance, clock: TurnedClock, database: EmbeddedDatabase, log: AppLog, age: float
    ) -> None:
        """A call that has rung a device was not missed, although its redelivery came too late."""
        devices = turned.register(user := new_user(), 2)
        event = call_to(user, time=clock.now())
        other = Fault(kind="status", status=429, retry_after="60", device_handle=devices[1].device_token)
        turned.hub.simulator.add_fault(other)
        assert turned.deliver(event).status == 500
        turned.hub.simulator.clear_faults()
        clock.turn(age - (clock.now() - datetime.fromisoformat(event["eventTime"])).total_seconds())
        with FailPoint(database.uri, ["find"], blockConnection=True, blockTimeMS=600):
            assert turned.deliver(event).status == 202
        assert [turned.rings(device) for device in devices] == [1, 0]
        assert results(log) == ["incomplete", "delivered"]
        if age < RING_SECONDS:
            line = log.events("incoming_call")[-1]
            assert (line["devices"], line["already_settled"], line["failed"]) == (2, 1, 1)

    def test_no_time_to_send(
        self, hub: RunningHub, database: EmbeddedDatabase, clock: TurnedClock, log: AppLog
    ) -> None:
        """A call for which no time was left, and to which a redelivery comes too late, was given up. Its
        devices are not said to be gone."""
        slow = Meanwhile("insert", "holder", lambda: clock.turn(INVOCATION_SECONDS - 1))
        with Instance(hub, database.uri, SHORT, clock=clock, listener=slow) as app:
            device = app.register(user := new_user())[0]
            assert app.deliver(call_to(user, time=ago(RING_SECONDS - 12))).status == 202
        assert (slow.acted, app.attempts(device)) == (True, 0)
        assert results(log) == ["given_up"]

    def test_late_twice(self, app: Instance, log: AppLog) -> None:
        """A missed call counts once."""
        app.register(user := new_user())
        event = call_to(user, time=ago(RING_SECONDS + 1))
        for _ in range(2):
            assert app.deliver(event).status == 202
        assert results(log) == ["missed", "duplicate"]

    def test_late_while_another_delivery_rings(
        self, turned: Instance, clock: TurnedClock, log: AppLog
    ) -> None:
        """What becomes of the call is told by the delivery that has the lease."""
        turned.register(user := new_user())
        event = call_to(user, time=ago(RING_SECONDS - 1))
        late = []

        def redeliver() -> None:
            turned.sends.before.clear()
            clock.turn(2)
            late.append(turned.deliver(event).status)
            clock.turn(-2)

        turned.sends.before.append(redeliver)
        assert turned.deliver(event).status == 202
        assert late == [202]
        assert results(log) == ["duplicate", "delivered"]

    def test_late_and_not_readable(self, app: Instance, log: AppLog) -> None:
        """An error of this app's own leaves its line, also where the event came too late."""
        app.register(user := new_user())
        event = call_to(user, time=ago(RING_SECONDS + 1))
        assert app.deliver(event).status == 202
        ledger = app.watcher[app.database_name]["CallLedger"]
        ledger.update_one({"eventId": event["id"]}, {"$unset": {"leaseUntil": ""}})
        with pytest.raises(KeyError):
            app.deliver(event)
        line = log.events("incoming_call")[-1]
        assert (line["result"], line["detail"]) == ("failed", "KeyError")

    def test_late_without_a_database(self, app: Instance, database: EmbeddedDatabase, log: AppLog) -> None:
        """Whether it is a duplicate is not known then. It takes one short time-out, not two."""
        app.register(user := new_user())
        event = call_to(user, time=ago(RING_SECONDS + 1))
        with FailPoint(database.uri, ["find", "update"], blockConnection=True, blockTimeMS=2_000):
            answer = app.deliver(event)
        assert (answer.status, line_of(log, event)["result"]) == (202, "missed")
        assert answer.seconds < 2 * NOTE_SECONDS
        assert len(log.events("call_not_noted")) == 1

    def test_an_event_without_a_time(self, app: Instance) -> None:
        """It counts from when it first reached the ledger, and a redelivery does not start it anew."""
        app.register(user := new_user(), 3)
        event = timeless(user)
        app.hub.simulator.add_fault(COME_BACK_LATER)
        assert app.deliver(event).status == 500
        app.hub.simulator.clear_faults()
        self._first_seen(app, event, ago(40))
        assert app.deliver(event).status == 202
        left = [seconds_left(push) for push in app.hub.simulator.pushes()]
        assert len(left) == 3
        assert all(15 < seconds <= 20 for seconds in left)

    def test_an_event_without_a_time_ends(self, app: Instance, log: AppLog) -> None:
        """Once its time from the first delivery is over, a redelivery is missed."""
        device = app.register(user := new_user())[0]
        event = timeless(user)
        app.hub.simulator.add_fault(COME_BACK_LATER)
        assert app.deliver(event).status == 500
        app.hub.simulator.forget()
        self._first_seen(app, event, ago(RING_SECONDS + 1))
        assert app.deliver(event).status == 202
        assert app.attempts(device) == 0
        assert line_of(log, event)["result"] == "missed"

    def _first_seen(self, app: Instance, event: dict[str, Any], moment: datetime) -> None:
        ledger = app.watcher[app.database_name]["CallLedger"]
        ledger.update_one({"eventId": event["id"]}, {"$set": {"firstSeenAt": moment}})

    def test_a_time_in_the_future(self, app: Instance) -> None:
        """It counts as now: nothing rings longer than a call does."""
        app.register(user := new_user(), 3)
        assert app.deliver(call_to(user, time=ago(-3600))).status == 202
        left = [seconds_left(push) for push in app.hub.simulator.pushes()]
        assert len(left) == 3
        assert all(RING_SECONDS - 5 < seconds <= RING_SECONDS for seconds in left)

    @pytest.mark.parametrize("age", [0, 20, 45])
    def test_expiries_shrink_with_age(self, app: Instance, age: int) -> None:
        """Every expiry in a push is what is left of the call."""
        app.register(user := new_user(), 3)
        assert app.deliver(call_to(user, time=ago(age))).status == 202
        left = [seconds_left(push) for push in app.hub.simulator.pushes()]
        assert len(left) == 3
        assert all(RING_SECONDS - age - 5 < seconds <= RING_SECONDS - age for seconds in left)

    def test_expiries_shrink_between_tries(self, app: Instance) -> None:
        """A push that was held up by retries does not outlive the call either."""
        app.register(user := new_user(), 3)
        app.hub.simulator.add_fault(Fault(kind="status", status=503, times=9))
        placed = datetime.now(UTC)
        assert app.deliver(call_to(user, time=placed)).status == 202
        ends = placed.timestamp() + RING_SECONDS
        pushes = app.hub.simulator.pushes()
        assert len(pushes) == 3
        assert all(push.received_at + seconds_left(push) <= ends for push in pushes)


class TestRetries:
    def test_a_retry_after_that_does_not_fit(self, app: Instance) -> None:
        """It is not waited for: one try, and the event is raised at once."""
        device = app.register(user := new_user())[0]
        app.hub.simulator.add_fault(Fault(kind="status", status=503, retry_after="5"))
        answer = app.deliver(call_to(user))
        assert (answer.status, app.attempts(device)) == (500, 1)
        assert answer.seconds < 2

    @pytest.mark.parametrize("as_a_date", [False, True])
    def test_a_retry_after_that_fits(
        self, hub: RunningHub, database: EmbeddedDatabase, *, as_a_date: bool
    ) -> None:
        """It is waited for, in seconds and as a date, and nothing is sent before."""
        clock = TurnedClock()
        with Instance(hub, database.uri, SHORT, clock=clock) as app:
            app.register(user := new_user())
            sent: list[datetime] = []
            app.sends.before.append(lambda: sent.append(clock.now()))
            date = (clock.now() + timedelta(seconds=3)).replace(microsecond=0)
            header = date.strftime("%a, %d %b %Y %H:%M:%S GMT") if as_a_date else "2"
            hub.simulator.add_fault(Fault(kind="status", status=503, retry_after=header, times=1))
            assert app.deliver(call_to(user)).status == 202
        first, second = sent
        assert second >= (date if as_a_date else first + timedelta(seconds=2))

    def test_tries_without_an_answer_are_spread(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """The first repetition follows at once, because the hub may never have had the push; then 2 s
        later."""
        hub.simulator.add_fault(Fault(kind="black_hole"))
        with Instance(hub, database.uri, {**SHORT, "InvocationTimeoutSeconds": "8"}) as app:
            device = app.register(user := new_user())[0]
            assert app.deliver(call_to(user)).status == 500
        times = [attempt.monotonic for attempt in hub.simulator.attempts(device.device_token)]
        first, second = (after - before for before, after in pairwise(times))
        assert READ_SECONDS <= first < second
        assert second >= READ_SECONDS + 2

    def test_tries_without_an_answer_are_bounded_for_the_event(self, app: Instance) -> None:
        """However often the event comes back, a phone that may have rung six times is left alone."""
        device = app.register(user := new_user())[0]
        app.hub.simulator.add_fault(Fault(kind="accept_then_drop"))
        event = call_to(user)
        statuses = [app.deliver(event).status for _ in range(4)]
        assert (app.rings(device), app.attempts(device)) == (6, 6)
        assert statuses == [500, 500, 202, 202]

    def test_a_hub_that_is_silent_for_half_a_ring(self, app: Instance) -> None:
        """The tries are not used up by the first delivery: the second one rings."""
        device = app.register(user := new_user())[0]
        app.hub.simulator.add_fault(Fault(kind="black_hole"))
        event = call_to(user)
        assert app.deliver(event).status == 500
        app.hub.simulator.clear_faults()
        assert app.deliver(event).status == 202
        assert app.rings(device) == 1

    def test_back_off_grows(self, app: Instance) -> None:
        """Pauses grow from 0.2 s and are jittered downwards only."""
        device = app.register(user := new_user())[0]
        app.hub.simulator.add_fault(Fault(kind="status", status=503))
        app.deliver(call_to(user))
        times = [attempt.monotonic for attempt in app.hub.simulator.attempts(device.device_token)]
        pauses = [after - before for before, after in pairwise(times)]
        assert len(pauses) == 4
        for pause, least in zip(pauses, (0.2, 0.4, 0.8, 1.6), strict=True):
            assert pause >= 0.99 * least


class TestRaising:
    def test_only_if_a_redelivery_can_still_ring(self, app: Instance, log: AppLog) -> None:
        """A call that will have ended by the next delivery is acknowledged as given up."""
        app.register(user := new_user())
        app.hub.simulator.add_fault(COME_BACK_LATER)
        for age, status, result in ((0, 500, "incomplete"), (RING_SECONDS - 8, 202, "given_up")):
            event = call_to(user, time=ago(age))
            assert app.deliver(event).status == status
            assert line_of(log, event)["result"] == result

    @pytest.mark.parametrize(("age", "status"), [(0, 500), (RING_SECONDS - 8, 202)])
    def test_an_event_that_another_is_ringing(self, app: Instance, age: int, status: int) -> None:
        """Another's unfinished event is raised, unless a redelivery could not go on with it any more."""
        app.register(user := new_user())
        event = call_to(user, time=ago(age))
        app.hub.simulator.add_fault(COME_BACK_LATER)
        app.deliver(event)
        ledger = app.watcher[app.database_name]["CallLedger"]
        held = {"leaseUntil": datetime.now(UTC) + timedelta(hours=1), "finished": False}
        ledger.update_one({"eventId": event["id"]}, {"$set": held})
        assert app.deliver(event).status == status

    def test_an_event_that_cannot_be_understood(self, app: Instance) -> None:
        """It is raised: its dead letter is the only evidence of it."""
        event = call_to(new_user())
        del event["data"]["incomingCallContext"]
        assert app.deliver(event).error == "invalid_event"


class TestInvocationTime:
    def ends_in_time(self, seconds: float) -> bool:
        return seconds < INVOCATION_SECONDS + SLACK_SECONDS

    def test_late_with_a_slow_database(
        self, hub: RunningHub, database: EmbeddedDatabase, log: AppLog
    ) -> None:
        """What follows from a missed call counts into the invocation's time as well."""
        with Instance(hub, database.uri, {**SHORT, "VisibleNotifications": "missed"}) as app:
            app.register(user := new_user(), 3)
            event = call_to(user, time=ago(RING_SECONDS + 1))
            with FailPoint(database.uri, ["find", "update"], blockConnection=True, blockTimeMS=940):
                answer = app.deliver(event)
        assert answer.status == 202
        assert self.ends_in_time(answer.seconds)
        assert line_of(log, event)["result"] == "missed"

    @pytest.mark.parametrize("count", [1, 3])
    def test_slow_database_and_black_holed_hub(
        self, app: Instance, database: EmbeddedDatabase, count: int
    ) -> None:
        """Both together do not make an invocation last longer than it may."""
        app.register(user := new_user(), count)
        app.hub.simulator.add_fault(Fault(kind="black_hole"))
        slow = FailPoint(database.uri, ["insert", "find", "update"], blockConnection=True, blockTimeMS=700)
        with slow:
            answer = app.deliver(call_to(user))
        assert answer.status == 500
        assert self.ends_in_time(answer.seconds)

    @pytest.mark.parametrize("command", ["insert", "find", "update"])
    def test_a_database_that_hangs(self, app: Instance, database: EmbeddedDatabase, command: str) -> None:
        """Whatever part of the work hangs, it is given up within the operation's time-out."""
        app.register(user := new_user(), 3)
        event = call_to(user)
        with FailPoint(database.uri, [command], blockConnection=True, blockTimeMS=8_000):
            answer = app.deliver(event)
        assert self.ends_in_time(answer.seconds)
        # Before the sends it is an error; after them the phones have rung, and that counts.
        assert answer.error == (None if command == "update" else "database_unavailable")

    def test_a_hub_that_trickles(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """Bytes that keep coming do not make a send longer than it may be."""
        with Trickle() as trickle:
            settings = {**SHORT, "ANHHubUrl": f"http://127.0.0.1:{trickle.port}/{hub.hub_name}/messages/"}
            with Instance(hub, database.uri, settings) as app:
                app.register(user := new_user(), 2)
                try:
                    answer = app.deliver(call_to(user))
                finally:
                    trickle.stop()
        assert answer.status == 500
        assert self.ends_in_time(answer.seconds)

    @pytest.mark.parametrize("seconds", [5, 9])
    def test_a_database_that_is_not_there(self, hub: RunningHub, seconds: int) -> None:
        """It is waited for within the invocation, and the event is raised before the invocation ends."""
        nowhere = "mongodb://127.0.0.1:9/?directConnection=true"
        settings = {
            "MongoDbServerSelectionTimeoutSeconds": 0.5,
            "MongoDbOperationTimeoutSeconds": 1,
            "InvocationTimeoutSeconds": seconds,
        }
        with Instance(hub, nowhere, {**SHORT, **settings}) as app:
            answer = app.deliver(call_to(new_user()))
        assert answer.error == "database_unavailable"
        assert seconds / 2 - 1.5 < answer.seconds < seconds + SLACK_SECONDS


class Trickle:
    """A hub that answers with one byte now and then, for ever."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def stop(self) -> None:
        """End every answer."""
        self._stopping.set()

    def __enter__(self) -> "Trickle":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _start(self, work: Any, *arguments: object) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._answer, connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client gives up
            connection.sendall(b"HTTP/1.1 201 Created\r\nX-Long: ")
            while not self._stopping.wait(0.1):
                connection.sendall(b".")


def test_time_limits_are_in_force_when_nothing_is_set() -> None:
    """60 s of ringing, 20 s an invocation, 2 and 5 s for the hub, 2 and 3 s for the database."""
    defaults = {
        section.setting_names()[field.name][0]: field.default
        for section in SECTIONS
        for field in fields(section)
    }
    expected = {
        "CallRingSeconds": 60,
        "InvocationTimeoutSeconds": 20,
        "HubConnectTimeoutSeconds": 2,
        "HubReadTimeoutSeconds": 5,
        "MongoDbServerSelectionTimeoutSeconds": 2,
        "MongoDbOperationTimeoutSeconds": 3,
    }
    assert expected.items() <= defaults.items()
