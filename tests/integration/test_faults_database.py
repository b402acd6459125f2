"""A database that is slow, away, refuses commands, or is asked for too little by its connection string."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest

from common import index_maker
from local.database import EmbeddedDatabase
from local.hub.faults import Fault
from local.hub.running_hub import RunningHub
from local.stack import Host, Stack
from push.grace import GRACE_SECONDS
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import another_host, new_user, register_phones
from tests.fakes import AppLog, ShiftedClock
from tests.faults import Direction, MongoProxy, mongo_uri, port_of
from tests.integration.conftest import SHORT
from tests.integration.fault_rows import FaultRow, Played
from tests.old_mongodb import old_mongodb
from tests.rig import Instance, at_once, call_to, eventually

SLOW = {
    seconds: FaultRow(f"the network delays each answer of the database by {seconds} s")
    for seconds in (0.5, 1.1, 2.0)
}
COLD = FaultRow("the same, 2.0 s, and the process has no connection yet")
VANISHED = FaultRow("six kept connections to the database vanish silently; new ones work")
AWAY = {
    3: FaultRow("the database is away for 3 s"),
    12: FaultRow("the database is away for 12 s"),
    17: FaultRow("the database is away for 17 s", (500, 202), (0, 1), tries=0),
}
PASSING = FaultRow("a closed connection, 10107, 189, 112 or 16500 once, on any command")
REFUSED_ONCE = FaultRow("the database answers 13, 18 or 8000 once")
REFUSED = FaultRow("13, 18 or 8000 to every command, for less than two minutes", (500, 202), (0, 1), tries=0)
REFUSED_FOR_GOOD = FaultRow("13, 18 or 8000 to every command, for longer", (202, 202), (0, 0), tries=0)
TOO_OLD = FaultRow("the database server is too old for the driver", (202, 202), (0, 0), tries=0)
WEAK = FaultRow("`w=0` and `readPreference=secondaryPreferred` in the connection string")
ROWS = (
    *SLOW.values(),
    COLD,
    VANISHED,
    *AWAY.values(),
    PASSING,
    REFUSED_ONCE,
    REFUSED,
    REFUSED_FOR_GOOD,
    TOO_OLD,
    WEAK,
)

ORDINARY = [("insert", "CallLedger"), ("find", "DeviceRegistrations"), ("update", "CallLedger")]
"""The commands of an ordinary call."""


@dataclass(frozen=True, slots=True)
class Distant:
    """An instance that reaches its database through a proxy, and a second one that does not."""

    app: Instance
    near: Instance
    proxy: MongoProxy

    def new_call(self, count: int = 1) -> Played:
        """A call to a new user."""
        devices = self.near.register(user := new_user(), count)
        return Played(self.app, call_to(user, time=self.app.app.clock.now()), devices)

    def warm_up(self, connections: int = 1) -> None:
        """Have the app keep so many connections to the database, with its indexes made."""
        self.proxy.delay_answer("insert", 0.3)
        at_once(Played.deliver, [self.new_call() for _ in range(connections)])
        self.proxy.restore()
        # The driver's second heartbeat follows soon after the first; the third comes in its own time.
        heartbeats = connections + 2
        eventually(lambda: sum(collection is None for _, collection in self.proxy.commands) >= heartbeats)

    def commands(self) -> list[tuple[str, str | None]]:
        """The app's own, in order."""
        return [(name, collection) for name, collection in self.proxy.commands if collection]


@contextmanager
def distant(
    hub: RunningHub,
    database: EmbeddedDatabase,
    settings: dict[str, str] | None = None,
    *,
    options: str = "directConnection=true&retryWrites=false",
    clock: ShiftedClock | None = None,
) -> Iterator[Distant]:
    """An instance behind a proxy."""
    with (
        MongoProxy(port_of(database.uri)) as proxy,
        Instance(hub, database.uri, settings) as near,
        Instance(
            hub,
            mongo_uri(proxy.port, options),
            settings,
            database_name=near.database_name,
            clock=clock,
            jitter=lambda: 0.5,
            observer_uri=database.uri,
        ) as app,
    ):
        yield Distant(app, near, proxy)
        proxy.restore()


class TestSlow:
    @staticmethod
    def _play(place: Distant, seconds: float, row: FaultRow) -> None:
        call = place.new_call(3)
        place.proxy.delay(seconds, Direction.TO_CLIENT)
        place.proxy.commands.clear()
        call.deliver()
        place.proxy.delay(0)
        call.deliver()
        call.check(row)

    def test_warm(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """Three phones of three ring in the first delivery, for no more commands than ever."""

        def play(seconds: float) -> list[tuple[str, str | None]]:
            with distant(hub, database) as place:
                place.warm_up()
                self._play(place, seconds, SLOW[seconds])
                return place.commands()

        # The redelivery inserts in vain and finds the event finished.
        again = [("insert", "CallLedger"), ("find", "CallLedger")]
        assert at_once(play, list(SLOW)) == [[*ORDINARY, *again]] * len(SLOW)

    def test_cold(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """A connection that takes longer to open than a command may take is opened all the same."""
        with distant(hub, database) as place:
            self._play(place, 2.0, COLD)

    def test_no_renewal_without_a_send(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """Over a slow network the lease is renewed for sends alone, else renewing would use up the time."""
        with distant(hub, database, {"HubReadTimeoutSeconds": "1", "HubConnectTimeoutSeconds": "1"}) as place:
            place.warm_up()
            call = place.new_call(3)
            hub.simulator.add_fault(Fault(kind="status", status=503, times=6))
            place.proxy.commands.clear()
            sends: list[int] = []
            place.app.sends.before.append(lambda: sends.append(len(place.commands())))
            place.proxy.delay(1.1, Direction.TO_CLIENT)
            assert call.deliver().status == 202
            updates = [number for number, (name, _) in enumerate(place.commands()) if name == "update"]
            assert len(updates) > 1
            # A number in `sends` is how many commands had gone out when a send began.
            assert all(any(before < sent <= after for sent in sends) for before, after in pairwise(updates))


class TestAway:
    @staticmethod
    def _play(hub: RunningHub, database: EmbeddedDatabase, seconds: int) -> Played:
        with distant(hub, database) as place:
            place.warm_up()
            call = place.new_call(3)
            place.proxy.refuse_new()
            place.proxy.reset_existing()
            back = threading.Timer(seconds, place.proxy.accept_new)
            back.start()
            call.deliver()
            back.join()
            call.deliver()
            return call

    def test_away(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """It is waited for, to four seconds before the end of the invocation."""
        for row, call in zip(
            AWAY.values(),
            at_once(lambda seconds: self._play(hub, database, seconds), list(AWAY)),
            strict=True,
        ):
            call.check(row)

    def test_connections_that_vanish(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """The heartbeat finds out for all of them, after 8 s at most."""
        with distant(hub, database) as place:
            place.warm_up(6)
            call = place.new_call(3)
            place.proxy.freeze_existing()
            assert call.deliver().seconds < 11
            call.deliver()
            call.check(VANISHED)

    def test_index_that_cannot_be_made(
        self,
        hub: RunningHub,
        database: EmbeddedDatabase,
        log: AppLog,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The results of the call are written once; a later call tries again."""
        monkeypatch.setattr(index_maker, "PAUSE_SECONDS", 0.0)
        with distant(hub, database, SHORT) as place:
            place.proxy.answer_error("createIndexes", 16500, message="RetryAfterMs=60000", times=None)
            for _ in range(2):
                place.proxy.commands.clear()
                call = place.new_call()
                assert call.deliver().status == 202
                assert place.commands().count(("update", "CallLedger")) == 1
            place.proxy.restore()
            place.proxy.commands.clear()
            place.new_call().deliver()
            assert ("createIndexes", "CallLedger") in place.commands()
        assert len(log.events("indexes_not_made")) == 2


COMMANDS = {
    "insert": "CallLedger",
    "find": "DeviceRegistrations",
    "update": "CallLedger",
}
"""What a call needs, and where."""


class TestRefused:
    @pytest.mark.parametrize("code", [13, 18, 8000])
    @pytest.mark.parametrize("command", COMMANDS)
    def test_once(self, hub: RunningHub, database: EmbeddedDatabase, code: int, command: str) -> None:
        """It may be one moment of a password rotation: the command is tried again at once."""
        with distant(hub, database) as place:
            place.warm_up()
            call = place.new_call()
            place.proxy.answer_error(command, code, collection=COMMANDS[command])
            call.deliver()
            call.deliver()
        call.check(REFUSED_ONCE)

    @pytest.mark.parametrize("code", [13, 18, 8000])
    def test_for_good(self, hub: RunningHub, database: EmbeddedDatabase, log: AppLog, code: int) -> None:
        """It is raised for two minutes after a few tries, then acknowledged, each time with a line at
        CRITICAL."""
        clock = ShiftedClock()
        with distant(hub, database, clock=clock) as place:
            place.warm_up()
            call = place.new_call()
            place.proxy.answer_error("insert", code, times=None)
            place.proxy.commands.clear()
            call.deliver()
            assert place.commands().count(("insert", "CallLedger")) == 4
            place.proxy.restore()
            call.deliver()
            call.check(REFUSED)
            place.proxy.answer_error("insert", code, times=None)
            for seconds in (GRACE_SECONDS, GRACE_SECONDS - 5):  # the success has started the time anew
                clock.turn(seconds)
                early = place.new_call()
                assert early.deliver().status == 500
            clock.turn(5)
            call = place.new_call()
            call.deliver()
            call.deliver()
            call.check(REFUSED_FOR_GOOD)
        lines = log.events("misconfigured")
        assert [(line["level"], line["code"]) for line in lines] == [("CRITICAL", "misconfigured")] * 5

    @pytest.mark.parametrize("code", [18, 8000])
    def test_sign_in(self, hub: RunningHub, database: EmbeddedDatabase, log: AppLog, code: int) -> None:
        """The same where new connections are refused: another process has the new password already."""
        with MongoProxy(port_of(database.uri)) as proxy, Instance(hub, database.uri) as well:
            proxy.answer_error("saslStart", code, times=None)
            uri = mongo_uri(proxy.port).replace("://", "://user:do-not-quote@")
            with Instance(hub, uri, database_name=well.database_name, observer_uri=database.uri) as app:
                call = Played(app, call_to(user := new_user()), well.register(user))
                call.deliver()
                call.app = well
                call.deliver()
        call.check(REFUSED)
        assert "user name or the password" in log.events("misconfigured")[0]["remedy"]
        assert "do-not-quote" not in log.text

    def test_last_write(self, hub: RunningHub, database: EmbeddedDatabase, log: AppLog) -> None:
        """A right that is missing for the last write alone costs no call."""
        with distant(hub, database, SHORT) as place:
            place.warm_up()
            call = place.new_call()
            place.proxy.answer_error("update", 13, times=None)
            assert call.deliver().status == 202
        assert call.rings == [1]
        assert log.events("ledger_not_written")


def test_too_old(hub: RunningHub, database: EmbeddedDatabase, log: AppLog) -> None:
    """No redelivery changes that, so the event is acknowledged, with both versions in a line at CRITICAL."""
    with (
        old_mongodb(wire_version=6) as uri,
        Instance(hub, database.uri, SHORT) as well,
        Instance(hub, uri, SHORT, database_name=well.database_name, observer_uri=database.uri) as app,
    ):
        call = Played(app, call_to(user := new_user()), well.register(user))
        call.deliver()
        call.deliver()
        call.check(TOO_OLD)
    for line in log.events("misconfigured"):
        assert (line["level"], "MongoDB 3.6" in line["remedy"]) == ("CRITICAL", True)


@pytest.mark.parametrize(
    "options", ["w=0", "readPreference=secondaryPreferred", "w=0&readConcernLevel=local"]
)
def test_weak_options(hub: RunningHub, database: EmbeddedDatabase, options: str) -> None:
    """The app's own concerns hold: several deliveries at once and after each other ring once."""
    with distant(hub, database, options=f"directConnection=true&retryWrites=false&{options}") as place:
        call = place.new_call(3)
        at_once(place.app.deliver, [call.event] * 6)
        call.deliver()
        assert call.rings == [1]
        call = place.new_call(3)
        call.deliver()
        call.deliver()
        call.check(WEAK)


class TestWorker:
    """Through the worker library: a call rings at once and a registration is answered 201, whatever one
    command meets."""

    @pytest.fixture(scope="class")
    @staticmethod
    def proxy(stack: Stack) -> Iterator[MongoProxy]:
        with MongoProxy(port_of(stack.database.uri)) as running:
            yield running

    @pytest.fixture(scope="class")
    @staticmethod
    def host(stack: Stack, proxy: MongoProxy) -> Iterator[Host]:
        """A worker that reaches its database through the proxy."""
        settings = {"MongoDbConnectionString": mongo_uri(proxy.port)}
        with another_host(stack, HostLog(), settings) as running:
            user = new_user()
            for _ in range(2):  # the first time with the indexes
                proxy.commands.clear()
                register_phones(running, user)
                assert running.deliver(call_to(user)).status_code == 202
            yield running
            proxy.restore()

    @pytest.fixture(scope="class")
    @staticmethod
    def commands(host: Host, proxy: MongoProxy) -> set[tuple[str, str]]:
        """Those of a registration and of a call."""
        assert host
        found = {(command, collection) for command, collection in proxy.commands if collection}
        assert {collection for _, collection in found} == {
            "CallLedger",
            "DeviceRegistrations",
            "RegistrationRates",
        }
        return found

    def _ring(self, stack: Stack, host: Host, disturb: Callable[[], None]) -> None:
        """Register three phones and ring them, with a fault on the first command of each kind."""
        disturb()
        phones = register_phones(host, user := new_user())
        event = call_to(user)
        disturb()
        rings = []
        for _ in range(2):
            assert host.deliver(event).status_code == 202
            counts = stack.hub.summary().calls[event["data"]["correlationId"]]
            assert counts.keys() == {phone.device_token for phone in phones}
            (count,) = set(counts.values())
            rings.append(count)
        assert tuple(rings) == PASSING.rings

    @pytest.mark.parametrize("code", [10107, 189, 112, 16500])
    def test_code(
        self, workers: Stack, host: Host, proxy: MongoProxy, commands: set[tuple[str, str]], code: int
    ) -> None:
        """An error of one moment."""
        message = "Request rate is large. Error=16500, RetryAfterMs=50" if code == 16500 else "not now"

        def disturb() -> None:
            for command, collection in commands:
                proxy.answer_error(command, code, message=message, collection=collection)

        self._ring(workers, host, disturb)
        proxy.restore()

    @pytest.mark.parametrize("what", ["command", "answer"])
    def test_closed_connection(
        self, workers: Stack, host: Host, proxy: MongoProxy, commands: set[tuple[str, str]], what: str
    ) -> None:
        """A connection that ends before the command arrives, or after it was carried out."""
        lose = proxy.lose_command if what == "command" else proxy.lose_answer

        def disturb() -> None:
            for command, collection in commands:
                lose(command, collection=collection)

        self._ring(workers, host, disturb)
        proxy.restore()
