"""The device store: one suite over mongomock and over the embedded database."""

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

import pytest
from pymongo import MongoClient, errors
from pymongo.collection import Collection
from pymongo.monitoring import CommandListener, CommandStartedEvent

from common import mongodb
from common.index_maker import PAUSE_SECONDS
from local.database import EmbeddedDatabase
from models.device import DeviceRegistration
from models.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    RegistrationNotFoundError,
    ServiceError,
)
from models.identity import Identity
from models.platform import Platform
from registrar.store import DeviceStore
from tests.fakes import ALICE, BOB, NOW, FakeClock, app_log, registration
from tests.memory_store import new_collection

SECOND = timedelta(seconds=1)
WORK = mongodb.Work(mongodb.Timeouts(10.0))
TOKEN = "do-not-quote-this-device-token"

owner = Identity.parse


class Commands(CommandListener):
    """The commands that a client sends, as it sends them."""

    def __init__(self) -> None:
        self.seen: list[Mapping[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.seen.append(event.command)

    def succeeded(self, _event: object) -> None:
        """Nothing."""

    def failed(self, _event: object) -> None:
        """Nothing."""

    def last(self, name: str) -> Mapping[str, Any]:
        """The last command of a name."""
        return [each for each in self.seen if next(iter(each)) == name][-1]


@pytest.fixture(scope="module")
def commands() -> Commands:
    return Commands()


@pytest.fixture(scope="module")
def client(database: EmbeddedDatabase, commands: Commands) -> Iterator[MongoClient[mongodb.Document]]:
    with MongoClient[mongodb.Document](
        database.uri,
        serverSelectionTimeoutMS=5_000,
        event_listeners=[commands],
        serverMonitoringMode="poll",
    ) as connected:
        yield connected


@pytest.fixture
def store(collection: Collection[mongodb.Document]) -> DeviceStore:
    """An empty store."""
    return DeviceStore(collection, WORK)


class TestRegister:
    def test_new(self, store: DeviceStore) -> None:
        """A registration is found as it was made, its expiry in UTC."""
        store.register(registration(), NOW)
        (found,) = store.devices_of(owner(ALICE), NOW)
        assert found == registration()
        assert found.expires_at.tzinfo is UTC

    def test_refresh(self, store: DeviceStore) -> None:
        """The same token again is the same registration with a new end."""
        store.register(registration(), NOW)
        later = registration(expires_at=NOW + timedelta(days=2))
        store.register(later, NOW + SECOND)
        assert store.devices_of(owner(ALICE), NOW) == [later]

    def test_shorter_life(self, store: DeviceStore) -> None:
        """The last registration counts, even where it ends earlier."""
        store.register(registration(), NOW)
        store.register(registration(expires_at=NOW + SECOND), NOW)
        assert store.devices_of(owner(ALICE), NOW + SECOND) == []

    def test_other_user_on_the_same_phone(self, store: DeviceStore) -> None:
        """A token belongs to the user who registered it last, under any device UUID."""
        store.register(registration(), NOW)
        store.register(registration(acs_mri=BOB, device_uuid="same phone, new install"), NOW + SECOND)
        assert store.devices_of(owner(ALICE), NOW) == []
        assert [each.acs_mri for each in store.devices_of(owner(BOB), NOW)] == [BOB]

    def test_rotated_token(self, store: DeviceStore) -> None:
        """A device that registers a new token keeps that one only."""
        store.register(registration(device_token="old"), NOW)
        store.register(registration(device_token="new"), NOW + SECOND)
        assert store.devices_of(owner(ALICE), NOW) == [registration(device_token="new")]
        store.register(registration(device_token="new", expires_at=NOW + SECOND), NOW + 2 * SECOND)
        assert store.devices_of(owner(ALICE), NOW + SECOND) == []

    def test_changed_platform(self, store: DeviceStore) -> None:
        """A device that registers again on another platform is kept on that one only."""
        store.register(registration(platform=Platform.APPLE), NOW)
        store.register(registration(platform=Platform.FCM_V1), NOW + SECOND)
        assert store.devices_of(owner(ALICE), NOW) == [registration(platform=Platform.FCM_V1)]

    def test_other_devices_stay(self, store: DeviceStore) -> None:
        """The user's other devices and another user's device with the same UUID stay."""
        store.register(registration(), NOW)
        store.register(registration(device_uuid="tablet", device_token="t-2"), NOW + SECOND)
        store.register(registration(acs_mri=BOB, device_token="t-3"), NOW + SECOND)
        assert [each.device_uuid for each in store.devices_of(owner(ALICE), NOW)] == ["phone", "tablet"]
        assert [each.device_token for each in store.devices_of(owner(BOB), NOW)] == ["t-3"]

    def test_late_arrival(self, store: DeviceStore) -> None:
        """A registration that arrives after a newer one of the same device does not win."""
        store.register(registration(device_token="new"), NOW + SECOND)
        store.register(registration(device_token="old"), NOW)
        assert store.devices_of(owner(ALICE), NOW) == [registration(device_token="new")]

    def test_extremes(self, store: DeviceStore) -> None:
        """The longest values, and characters of every kind, come back as they were."""
        widest = registration(
            "8:acs:".ljust(512, "📱"), "ü.$\0".ljust(256, "$"), "\0\n\"'$.".ljust(4_096, "📱")
        )
        store.register(widest, NOW)
        assert store.devices_of(owner(widest.acs_mri), NOW) == [widest]
        store.delete(owner(widest.acs_mri), widest.device_uuid, NOW)


class TestDevicesOf:
    def test_none(self, store: DeviceStore) -> None:
        """A user without devices has none."""
        assert store.devices_of(owner(ALICE), NOW) == []

    def test_expired(self, store: DeviceStore) -> None:
        """A registration ends at its expiry, whether it has been swept or not."""
        store.register(registration(expires_at=NOW + SECOND), NOW)
        assert len(store.devices_of(owner(ALICE), NOW + timedelta(milliseconds=999))) == 1
        assert store.devices_of(owner(ALICE), NOW + SECOND) == []

    def test_order(self, store: DeviceStore) -> None:
        """Sorted by device, each once."""
        for number in (3, 1, 2):
            store.register(registration(device_uuid=f"d{number}", device_token=f"t{number}"), NOW)
        assert [each.device_uuid for each in store.devices_of(owner(ALICE), NOW)] == ["d1", "d2", "d3"]

    def test_two_tokens_at_once(self, store: DeviceStore) -> None:
        """Of two tokens that a device registered in the same millisecond, always the same one is found."""
        first, second = registration(device_token="a"), registration(device_token="b")
        store.register(first, NOW)
        store.register(second, NOW)
        newest = max(first, second, key=lambda each: each.registration_id)
        assert store.devices_of(owner(ALICE), NOW) == [newest]

    @pytest.mark.parametrize(
        "user", ["8:acs:resource_alic", "8:acs:resource_alice ", "8:acs:resource_aliceS", ".*"]
    )
    def test_exact_user(self, store: DeviceStore, user: str) -> None:
        """A user is matched exactly."""
        store.register(registration(), NOW)
        assert store.devices_of(owner(user), NOW) == []


class TestDelete:
    def test_device(self, store: DeviceStore) -> None:
        """One device is deleted, the others stay."""
        store.register(registration(), NOW)
        store.register(registration(device_uuid="tablet", device_token="t-2"), NOW)
        store.delete(owner(ALICE), "phone", NOW)
        assert [each.device_uuid for each in store.devices_of(owner(ALICE), NOW)] == ["tablet"]

    def test_all_its_tokens(self, store: DeviceStore) -> None:
        """Every token of the device is deleted."""
        store.register(registration(device_token="a"), NOW)
        store.register(registration(device_token="b"), NOW)
        store.delete(owner(ALICE), "phone", NOW)
        assert store.devices_of(owner(ALICE), NOW) == []

    @pytest.mark.parametrize(("user", "device"), [(BOB, "phone"), (ALICE, "tablet"), (ALICE, "Phone")])
    def test_unknown(self, store: DeviceStore, user: str, device: str) -> None:
        """Another user's device and an unknown one are not found, and nothing is deleted."""
        store.register(registration(), NOW)
        with pytest.raises(RegistrationNotFoundError):
            store.delete(owner(user), device, NOW)
        assert len(store.devices_of(owner(ALICE), NOW)) == 1

    def test_expired(self, store: DeviceStore) -> None:
        """Neither is one that has expired."""
        store.register(registration(expires_at=NOW + SECOND), NOW)
        with pytest.raises(RegistrationNotFoundError):
            store.delete(owner(ALICE), "phone", NOW + SECOND)

    def test_twice(self, store: DeviceStore) -> None:
        """The second time it is not found."""
        store.register(registration(), NOW)
        store.delete(owner(ALICE), "phone", NOW)
        with pytest.raises(RegistrationNotFoundError):
            store.delete(owner(ALICE), "phone", NOW)


class TestGone:
    HOUR = timedelta(hours=1)

    def gone(self, store: DeviceStore, now: datetime) -> None:
        """The hub calls every device of Alice gone."""
        for device in store.devices_of(owner(ALICE), NOW):
            store.note_gone(device, now)

    def test_first_time(self, store: DeviceStore) -> None:
        """A registration is marked, not deleted; the other one is left alone."""
        store.register(registration(), NOW)
        self.gone(store, NOW + SECOND)
        (device,) = store.devices_of(owner(ALICE), NOW)
        assert device.gone_at == NOW + SECOND

    def test_within_the_hour(self, store: DeviceStore) -> None:
        """A second answer within the hour changes nothing; the mark keeps its time."""
        store.register(registration(), NOW)
        self.gone(store, NOW)
        self.gone(store, NOW + self.HOUR - SECOND)
        (device,) = store.devices_of(owner(ALICE), NOW)
        assert device.gone_at == NOW

    def test_an_hour_later(self, store: DeviceStore) -> None:
        """A device that is still gone then is deleted."""
        store.register(registration(), NOW)
        self.gone(store, NOW)
        self.gone(store, NOW + self.HOUR)
        assert store.devices_of(owner(ALICE), NOW) == []

    def test_refreshed(self, store: DeviceStore) -> None:
        """A registration removes the mark, and is not deleted on the word of a call that read it before."""
        store.register(registration(), NOW)
        self.gone(store, NOW)
        (marked,) = store.devices_of(owner(ALICE), NOW)
        store.register(registration(), NOW + SECOND)
        store.note_gone(marked, NOW + 2 * self.HOUR)
        (device,) = store.devices_of(owner(ALICE), NOW)
        assert device.gone_at is None

    def test_alive(self, store: DeviceStore) -> None:
        """A push that the hub has taken removes the mark."""
        store.register(registration(), NOW)
        self.gone(store, NOW)
        (marked,) = store.devices_of(owner(ALICE), NOW)
        store.note_alive(marked)
        assert store.devices_of(owner(ALICE), NOW) == [registration()]

    def test_token_of_another_user(self, store: DeviceStore) -> None:
        """A token that has moved to another user since is left there."""
        store.register(registration(), NOW)
        (read,) = store.devices_of(owner(ALICE), NOW)
        store.register(registration(acs_mri=BOB), NOW + SECOND)
        store.note_gone(read, NOW + SECOND)
        assert store.devices_of(owner(BOB), NOW) == [registration(acs_mri=BOB)]


class TestDocuments:
    def test_shape(self, collection: Collection[mongodb.Document]) -> None:
        """One document a token, named by a hash, with its times as dates."""
        DeviceStore(collection, WORK).register(registration(), NOW + timedelta(microseconds=123_456))
        (document,) = collection.find()
        assert document == {
            # printf 'apple\ntoken-1' | sha256sum
            "_id": "94c36ead357e51950678a290bc254c4305a095774db14a775b81d6670bb6d72a",
            "acsMri": ALICE,
            "deviceUUID": "phone",
            "deviceToken": "token-1",
            "platform": "apple",
            "purpose": "calls",
            "hub": "default",
            "expiresAt": datetime(2100, 2, 1, 12),  # noqa: DTZ001 - as the driver reads it
            "updatedAt": datetime(2100, 1, 31, 12, 0, 0, 123_000),  # noqa: DTZ001
        }

    def test_nothing_is_left_behind(self, collection: Collection[mongodb.Document]) -> None:
        """A token that moves and a token that rotates leave no document."""
        store = DeviceStore(collection, WORK)
        for step, user in enumerate([ALICE, BOB, ALICE]):
            store.register(registration(user), NOW + step * SECOND)
        assert [each["acsMri"] for each in collection.find()] == [ALICE]
        store.register(registration(device_token="new"), NOW + 3 * SECOND)
        assert [each["deviceToken"] for each in collection.find()] == ["new"]

    def test_indexes(self, collection: Collection[mongodb.Document]) -> None:
        """An index by user, a TTL index on the expiry with no delay, and no unique one."""
        DeviceStore(collection, WORK).register(registration(), NOW)
        indexes = {each["key"][0][0]: each for each in collection.index_information().values()}
        assert indexes.keys() == {"_id", "acsMri", "hub", "expiresAt"}
        assert indexes["expiresAt"]["expireAfterSeconds"] == 0
        assert not any(each.get("unique") for name, each in indexes.items() if name != "_id")

    def test_indexes_are_made_once(self, wire: Collection[mongodb.Document], commands: Commands) -> None:
        """Registering again does not ask for the indexes again; reading never does."""
        store = DeviceStore(wire, WORK)
        store.devices_of(owner(ALICE), NOW)
        store.register(registration(), NOW)
        before = len(commands.seen)
        store.register(registration(), NOW)
        store.devices_of(owner(ALICE), NOW)
        assert [next(iter(each)) for each in commands.seen[before:]] == ["update", "delete", "find"]


class TestOverTheWire:
    def test_sweep(self, wire: Collection[mongodb.Document], database: EmbeddedDatabase) -> None:
        """The database itself deletes what has expired, and nothing else."""
        store = DeviceStore(wire, WORK)
        then = datetime.now(UTC)
        store.register(registration(device_uuid="old", device_token="t", expires_at=then - SECOND), then)
        store.register(registration(device_uuid="new", expires_at=then + timedelta(hours=1)), then)
        database.prune_ttl()
        assert [each["deviceUUID"] for each in wire.find()] == ["new"]

    @pytest.mark.parametrize("name", ["find", "delete", "update"])
    def test_index_use(self, wire: Collection[mongodb.Document], commands: Commands, name: str) -> None:
        """Reading, registering and deleting go by an index, however many devices there are."""
        store = DeviceStore(wire, WORK)
        store.register(registration(), NOW)
        store.devices_of(owner(ALICE), NOW)
        command = commands.last(name)
        query = command["filter"] if name == "find" else command[f"{name}s"][0]["q"]
        # The embedded database explains a query of one condition only, so the one that narrows it down most.
        field = "_id" if name == "update" else "acsMri"
        plan = wire.find({field: query[field]}).explain()["queryPlanner"]["winningPlan"]
        assert isinstance(query[field], str)
        assert plan["inputStage"]["stage"] == "IXSCAN"
        assert plan["inputStage"]["keyPattern"] == {field: 1}
        assert (
            wire.find({"deviceUUID": "phone"}).explain()["queryPlanner"]["winningPlan"]["stage"] == "COLLSCAN"
        )

    def test_users_race_for_a_token(self, wire: Collection[mongodb.Document]) -> None:
        """Of two users who race for one token exactly one gets it, without an error."""
        stores = [DeviceStore(wire, WORK), DeviceStore(wire, WORK)]
        for round_number in range(20):
            token = f"token-{round_number}"

            def register(number: int, token: str = token) -> None:
                wanted = registration([ALICE, BOB][number], f"phone-{token}", token)
                stores[number].register(wanted, NOW + number * SECOND)

            at_once(register, 2)
            assert wire.count_documents({"deviceToken": token}) == 1
        devices = [*stores[0].devices_of(owner(ALICE), NOW), *stores[0].devices_of(owner(BOB), NOW)]
        assert sorted(each.device_token for each in devices) == sorted(f"token-{each}" for each in range(20))

    def test_first_registrations_at_once(self, wire: Collection[mongodb.Document]) -> None:
        """Many first registrations at once, some of the same token, all succeed; indexes come with them."""
        store = DeviceStore(wire, WORK)
        wanted = [
            registration(device_uuid=f"d{each // 2}", device_token=f"t{each // 2}") for each in range(16)
        ]
        at_once(lambda number: store.register(wanted[number], NOW), len(wanted))
        assert store.devices_of(owner(ALICE), NOW) == sorted(set(wanted), key=lambda each: each.device_uuid)
        assert wire.count_documents({}) == 8
        assert set(wire.index_information()) == {"_id_", "acsMri_1", "hub_1", "expiresAt_1"}

    def test_tokens_race_for_a_device(self, wire: Collection[mongodb.Document]) -> None:
        """Of the tokens of one device that race, the one registered last stays."""
        store = DeviceStore(wire, WORK)
        wanted = [registration(device_token=f"t{each}") for each in range(8)]
        at_once(lambda number: store.register(wanted[number], NOW + number * SECOND), len(wanted))
        assert store.devices_of(owner(ALICE), NOW) == [wanted[-1]]


def at_once(work: Callable[[int], object], threads: int) -> None:
    """Do `work(0)`, `work(1)`, … in threads that start together; the first error is raised."""
    start = threading.Barrier(threads)

    def wait_and_work(number: int) -> None:
        start.wait(timeout=10)
        work(number)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(wait_and_work, range(threads)))


def fail_point(client: MongoClient[mongodb.Document], mode: object, data: Mapping[str, object]) -> None:
    client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})


@pytest.fixture
def failing(client: MongoClient[mongodb.Document]) -> Iterator[Callable[..., None]]:
    """Has the named commands of the database fail, until the test ends."""

    def order(*names: str, mode: object = "alwaysOn", **how: object) -> None:
        fail_point(client, mode, {"failCommands": list(names), **how})

    yield order
    client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


PIECES: list[tuple[str, Callable[[DeviceStore], object]]] = [
    ("update", lambda store: store.register(registration(device_token=TOKEN), NOW)),
    ("find", lambda store: store.devices_of(owner(ALICE), NOW)),
    ("delete", lambda store: store.delete(owner(ALICE), "phone", NOW)),
    ("update", lambda store: store.note_gone(registration(device_token=TOKEN), NOW)),
    ("update", lambda store: store.note_alive(registration(device_token=TOKEN))),
]
every_work = pytest.mark.parametrize(("command", "work"), PIECES)


def raised(kind: type[ServiceError], work: Callable[[], object]) -> ServiceError:
    """The error, of exactly this kind, whose stack trace shows no cause and no data."""
    with pytest.raises(ServiceError) as caught:
        work()
    assert type(caught.value) is kind
    trace = "".join(traceback.format_exception(caught.value))
    assert "pymongo.errors" not in trace
    assert not any(secret in trace for secret in (TOKEN, ALICE, "db-password"))
    return caught.value


class TestFailures:
    @every_work
    @pytest.mark.parametrize("code", [13, 18])
    def test_credentials(
        self,
        wire: Collection[mongodb.Document],
        failing: Callable[..., None],
        command: str,
        work: Any,
        code: int,
    ) -> None:
        """Credentials that the database refuses are the operator's to correct."""
        failing(command, errorCode=code)
        raised(ConfigurationError, lambda: work(DeviceStore(wire, WORK)))

    @every_work
    @pytest.mark.parametrize("code", [1, 8, 50, 16_500])
    def test_refused_command(
        self,
        wire: Collection[mongodb.Document],
        failing: Callable[..., None],
        command: str,
        work: Any,
        code: int,
    ) -> None:
        """Any other refusal that stays means that nothing is known."""
        failing(command, errorCode=code)
        impatient = mongodb.Work(mongodb.Timeouts(0.2))
        raised(DatabaseUnavailableError, lambda: work(DeviceStore(wire, impatient)))

    @every_work
    def test_lost_connection(
        self, wire: Collection[mongodb.Document], failing: Callable[..., None], command: str, work: Any
    ) -> None:
        """A connection that breaks, however often, means that nothing is known."""
        failing(command, closeConnection=True)
        raised(DatabaseUnavailableError, lambda: work(DeviceStore(wire, mongodb.Work(mongodb.Timeouts(0.2)))))

    @pytest.mark.parametrize("work", [work for _, work in PIECES])
    def test_unreachable(self, work: Any) -> None:
        """So does a database that is not there; the limit of the work and that of the search both hold."""
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            uri = f"mongodb://user:db-password@127.0.0.1:{port}/?directConnection=true"
            with MongoClient[mongodb.Document](uri, serverSelectionTimeoutMS=30_000) as client:
                started = time.monotonic()
                for piece_of_work in (
                    mongodb.Work(mongodb.Timeouts(0.05)),
                    mongodb.Work(mongodb.Timeouts(0.5, 0.05)),
                ):
                    store = DeviceStore(client["calling"]["devices"], piece_of_work)
                    raised(DatabaseUnavailableError, partial(work, store))
                assert time.monotonic() - started < 5

    @every_work
    @pytest.mark.parametrize(
        "fault", [*({"errorCode": code} for code in (8, 13, 18, 112, 189, 8000, 10107, 16500)), "closed"]
    )
    def test_one_failure(
        self,
        wire: Collection[mongodb.Document],
        failing: Callable[..., None],
        command: str,
        work: Any,
        fault: Any,
    ) -> None:
        """A fault of one moment is tried again at once, although the driver repeats nothing."""
        DeviceStore(wire, WORK).register(registration(), NOW)
        how = {"closeConnection": True} if fault == "closed" else fault
        failing(command, mode={"times": 1}, **how)
        work(DeviceStore(wire, WORK))

    def test_slow_database(self, wire: Collection[mongodb.Document], failing: Callable[..., None]) -> None:
        """A database that does not answer is waited for no longer than the store's time-out."""
        failing("find", blockConnection=True, blockTimeMS=2_000)
        raised(
            DatabaseUnavailableError,
            lambda: DeviceStore(wire, mongodb.Work(mongodb.Timeouts(0.05))).devices_of(owner(ALICE), NOW),
        )

    def test_broken_duplicate_key(self, wire: Collection[mongodb.Document]) -> None:
        """An error that quotes a device token is replaced by one that does not."""
        wire.create_index("deviceToken", unique=True)
        wire.insert_one({"_id": "in the way", "deviceToken": TOKEN})
        with pytest.raises(errors.DuplicateKeyError, match=TOKEN):
            wire.insert_one({"deviceToken": TOKEN})
        store = DeviceStore(wire, WORK)
        raised(DatabaseUnavailableError, lambda: store.register(registration(device_token=TOKEN), NOW))


class TestIndexThatCannotBeMade:
    @pytest.mark.parametrize(
        "fault",
        [
            {"errorCode": 16_500},
            {"errorCode": 50},
            {"errorCode": 18},
            {"closeConnection": True},
            {"blockConnection": True, "blockTimeMS": 4_000},
        ],
        ids=["throttled", "takes too long", "refused for a moment", "lost", "silent"],
    )
    def test_devices_register(
        self, wire: Collection[mongodb.Document], failing: Callable[..., None], fault: dict[str, object]
    ) -> None:
        """An index that cannot be made now, such as on a large collection, keeps no device from registering.
        It is said, tried again after a while and not with each registration, and made then."""
        clock = FakeClock()
        store = DeviceStore(wire, mongodb.Work(mongodb.Timeouts(2.0), clock))
        failing("createIndexes", **fault)
        with app_log() as log:
            for number in range(3):
                store.register(registration(device_uuid=f"phone-{number}", device_token=f"t{number}"), NOW)
        assert len(store.devices_of(owner(ALICE), NOW)) == 3
        (line,) = log.events("indexes_not_made")
        assert (line["level"], line["collection"], line["field"]) == ("WARNING", wire.name, "acsMri")
        assert not any(secret in log.text for secret in (TOKEN, ALICE))
        failing("createIndexes", mode="off")
        store.register(registration(), NOW)
        assert set(wire.index_information()) == {"_id_"}
        clock.sleep(PAUSE_SECONDS)
        store.register(registration(), NOW)
        assert set(wire.index_information()) == {"_id_", "acsMri_1", "expiresAt_1", "hub_1"}


def test_a_wait_of_nothing(wire: Collection[mongodb.Document]) -> None:
    """A server that asks to wait for 0 ms is tried again after the pauses that it would get without."""
    clock = FakeClock()
    tries = 0

    def throttled() -> None:
        nonlocal tries
        tries += 1
        raise errors.OperationFailure("", 16500, {"errmsg": "Error=16500, RetryAfterMs=0"})

    with pytest.raises(DatabaseUnavailableError):
        mongodb.Work(mongodb.Timeouts(2.0), clock).run(wire, throttled)
    assert 3 < tries < 20


class TestRefusedTtlIndex:
    @pytest.mark.parametrize("code", [2, 13, 67, 197])
    def test_survived(
        self, wire: Collection[mongodb.Document], failing: Callable[..., None], code: int
    ) -> None:
        """Where no TTL index can be had, the app goes on, with one line at ERROR."""
        store = DeviceStore(wire, WORK)
        failing("createIndexes", errorCode=code, mode={"skip": 1})
        with app_log() as log:
            store.register(registration(expires_at=NOW + SECOND), NOW)
            store.register(registration(expires_at=NOW + SECOND), NOW)
        assert set(wire.index_information()) == {"_id_", "acsMri_1"}
        assert (len(store.devices_of(owner(ALICE), NOW)), store.devices_of(owner(ALICE), NOW + SECOND)) == (
            1,
            [],
        )
        (line,) = log.events("ttl_index_refused")
        assert (line["level"], line["code"], line["collection"]) == ("ERROR", code, wire.name)

    def test_an_index_that_serves(self, wire: Collection[mongodb.Document]) -> None:
        """An index on the same field under another name, which MongoDB refuses to make again, is enough."""
        wire.create_index("acsMri", name="mine")
        wire.create_index("expiresAt", expireAfterSeconds=60, name="also mine")
        with app_log() as log:
            DeviceStore(wire, WORK).register(registration(), NOW)
        # A real server refuses the second index on `expiresAt` too.
        assert set(wire.index_information()) - {"expiresAt_1"} == {"_id_", "mine", "also mine", "hub_1"}
        assert log.text == ""

    def test_an_index_of_another_kind(self, wire: Collection[mongodb.Document]) -> None:
        """An index that deletes nothing stands in the way of the TTL index: it is said, and devices
        register."""
        wire.create_index("expiresAt")
        with app_log() as log:
            DeviceStore(wire, WORK).register(registration(), NOW)
        assert len(log.events("ttl_index_refused")) == 1
        assert len(DeviceStore(wire, WORK).devices_of(owner(ALICE), NOW)) == 1


class RacingCollection:
    """A collection whose first upserts find that another one has just inserted the same document."""

    def __init__(self, collection: Collection[mongodb.Document], races: int) -> None:
        self._collection = collection
        self._races = races
        self.upserts = 0

    def update_one(self, *arguments: Any, **options: Any) -> Any:
        """Lose the race, or hand on."""
        self.upserts += 1
        if self.upserts <= self._races:
            raise errors.DuplicateKeyError(f'E11000 dup key: {{ deviceToken: "{TOKEN}" }}', 11_000)
        return self._collection.update_one(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)


class TestLostUpsertRace:
    """MongoDB may answer two upserts of one new `_id` with a duplicate key; the loser has to try again."""

    def store(self, races: int) -> tuple[DeviceStore, RacingCollection]:
        racing = RacingCollection(new_collection(), races)
        return DeviceStore(cast("Collection[mongodb.Document]", racing), WORK), racing

    @pytest.mark.parametrize("races", [1, 2])
    def test_repeated(self, races: int) -> None:
        """The upsert is repeated, and finds the document then."""
        store, racing = self.store(races)
        store.register(registration(), NOW)
        assert store.devices_of(owner(ALICE), NOW) == [registration()]
        assert racing.upserts == races + 1

    def test_bounded(self) -> None:
        """It is given up in the end, quoting nothing."""
        store, racing = self.store(races=99)
        raised(DatabaseUnavailableError, lambda: store.register(registration(device_token=TOKEN), NOW))
        assert racing.upserts == 6


def test_registration_id() -> None:
    """A registration is named by platform and token, so that no two share a name by accident."""
    ids = {
        each.registration_id
        for each in (
            registration(),
            registration(device_token="token-2"),
            registration(platform=Platform.WINDOWS),
            DeviceRegistration(owner(BOB), "other", "token-1", Platform.FCM_V1, NOW),
        )
    }
    assert len(ids) == 4
    assert all(len(each) == 64 and TOKEN not in each for each in ids)
    assert registration().registration_id == registration(acs_mri=BOB, device_uuid="x").registration_id
