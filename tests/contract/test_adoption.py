"""Taking registrations over from an older registrar: whatever an app does here wins, in any order."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count, permutations
from typing import Any

import mongomock
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from common import mongodb
from local.database import EmbeddedDatabase
from models.device import DeviceRegistration, Platform
from registrar.store import Adoption, DeviceStore

# mongomock reads the time the old way.
pytestmark = pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcnow:DeprecationWarning:mongomock")

NOW = datetime(2100, 1, 31, 12, 0, 0, tzinfo=UTC)
MONTH = timedelta(days=30)
ALICE, BOB = "8:acs:resource_alice", "8:acs:resource_bob"

_names = (f"adoption-{number}" for number in count())


def phone(user: str = ALICE, device: str = "phone", token: str = "token") -> DeviceRegistration:
    return DeviceRegistration(user, device, token, Platform.APPLE, NOW + MONTH)


@pytest.fixture(scope="module")
def client() -> Iterator[MongoClient[mongodb.Document]]:
    with (
        EmbeddedDatabase() as database,
        MongoClient[mongodb.Document](database.uri, serverSelectionTimeoutMS=5_000) as connected,
    ):
        yield connected


@pytest.fixture(params=["mongomock", "wire"])
def collection(request: pytest.FixtureRequest) -> Any:
    """An empty collection, in memory or over the wire."""
    if request.param == "mongomock":
        return mongomock.MongoClient()["calling"][next(_names)]
    return request.getfixturevalue("client")["calling"][next(_names)]


@pytest.fixture
def store(collection: Collection[mongodb.Document]) -> DeviceStore:
    return DeviceStore(collection, mongodb.Timeouts(10.0))


def tokens(store: DeviceStore, user: str = ALICE) -> list[str]:
    return [device.device_token for device in store.devices_of(user, NOW)]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class TestAdoption:
    def test_taken_over(self, store: DeviceStore) -> None:
        """What nobody has registered here is taken over whole."""
        assert store.foresee_adoption(phone(), NOW) is Adoption.TAKEN_OVER
        assert store.adopt(phone(), NOW) is Adoption.TAKEN_OVER
        assert store.devices_of(ALICE, NOW) == [phone()]

    def test_foreseeing_changes_nothing(
        self, store: DeviceStore, collection: Collection[mongodb.Document]
    ) -> None:
        """Foreseeing writes neither a document nor an index."""
        store.foresee_adoption(phone(), NOW)
        assert list(collection.find()) == []
        assert list(collection.index_information()) in ([], ["_id_"])

    def test_twice(self, store: DeviceStore) -> None:
        """Adopting again leaves one registration."""
        store.adopt(phone(), NOW)
        assert store.adopt(phone(), later(1)) is Adoption.TAKEN_OVER
        assert tokens(store) == ["token"]

    def test_a_token_that_moved_stays_where_it_is(self, store: DeviceStore) -> None:
        """A token that another user has registered here is not given back to the one before."""
        store.register(phone(BOB), NOW, 20)
        assert store.foresee_adoption(phone(ALICE), later(1)) is Adoption.REGISTERED_SINCE
        assert store.adopt(phone(ALICE), later(1)) is Adoption.REGISTERED_SINCE
        assert (tokens(store, ALICE), tokens(store, BOB)) == ([], ["token"])

    def test_an_own_registration_stays_as_it_is(self, store: DeviceStore) -> None:
        """A registration made here keeps its end, even one that has come already."""
        ended = DeviceRegistration(ALICE, "phone", "token", Platform.APPLE, NOW - MONTH)
        store.register(ended, NOW - 2 * MONTH, 20)
        assert store.adopt(phone(), NOW) is Adoption.REGISTERED_SINCE
        assert tokens(store) == []

    def test_a_rotated_token_stays(
        self, store: DeviceStore, collection: Collection[mongodb.Document]
    ) -> None:
        """A device that has registered a new token here does not get its old one back."""
        store.register(phone(token="new"), NOW, 20)
        assert store.foresee_adoption(phone(token="old"), later(1)) is Adoption.DEVICE_REGISTERED_SINCE
        assert store.adopt(phone(token="old"), later(1)) is Adoption.DEVICE_REGISTERED_SINCE
        assert [document["deviceToken"] for document in collection.find()] == ["new"]

    def test_an_app_replaces_what_was_adopted(self, store: DeviceStore) -> None:
        """An app's registration takes the place of an adopted one, even an adoption made at the same time."""
        store.adopt(phone(token="old"), NOW)
        store.register(phone(token="new"), NOW, 20)
        assert tokens(store) == ["new"]

    def test_an_adopted_token_moves(self, store: DeviceStore) -> None:
        """Who signs in on the phone takes its adopted token over."""
        store.adopt(phone(ALICE), NOW)
        store.register(phone(BOB), NOW, 20)
        assert (tokens(store, ALICE), tokens(store, BOB)) == ([], ["token"])

    def test_the_later_adoption_counts(self, store: DeviceStore) -> None:
        """What a phone has done with the older registrar between two runs is followed."""
        store.adopt(phone(ALICE, token="first"), NOW)
        store.adopt(phone(ALICE, token="second"), later(60))
        assert tokens(store, ALICE) == ["second"]
        store.adopt(phone(BOB, token="second"), later(120))
        assert (tokens(store, ALICE), tokens(store, BOB)) == ([], ["second"])

    def test_adopted_devices_give_way_first(self, store: DeviceStore) -> None:
        """Beyond the maximum it is adopted devices that an app's registration displaces."""
        store.adopt(phone(device="a", token="a"), NOW)
        store.adopt(phone(device="b", token="b"), later(1))
        assert store.register(phone(device="c", token="c"), NOW, 2) == ["a"]
        assert tokens(store) == ["b", "c"]

    def test_adopted_devices_can_be_deleted(self, store: DeviceStore) -> None:
        """An adopted device is like any other to those who look it up or delete it."""
        store.adopt(phone(), NOW)
        store.delete(ALICE, "phone", NOW)
        assert tokens(store) == []


class TestRaces:
    def test_every_order(self, store: DeviceStore) -> None:
        """An app's registration is the one that stays, in whichever order it and an adoption come."""
        for number, order in enumerate(permutations(["adopt", "register"])):
            device = f"phone-{number}"
            for step in order:
                if step == "adopt":
                    store.adopt(phone(device=device, token=f"old-{number}"), NOW)
                else:
                    store.register(phone(device=device, token=f"new-{number}"), NOW, 20)
        assert tokens(store) == ["new-0", "new-1"]

    def test_side_by_side(self, client: MongoClient[mongodb.Document]) -> None:
        """Adoptions racing with apps: every token ends with the app's user, every device with its token."""
        collection = client["calling"][next(_names)]
        store = DeviceStore(collection, mongodb.Timeouts(20.0))
        numbers = range(40)

        def adopt_moved(number: int) -> None:
            store.adopt(phone(ALICE, f"moved-{number}", f"moved-{number}"), NOW)

        def register_moved(number: int) -> None:
            store.register(phone(BOB, f"moved-{number}", f"moved-{number}"), NOW, 1_000)

        def adopt_old(number: int) -> None:
            store.adopt(phone(ALICE, f"rotated-{number}", f"old-{number}"), NOW)

        def register_new(number: int) -> None:
            store.register(phone(ALICE, f"rotated-{number}", f"new-{number}"), NOW, 1_000)

        jobs: list[Callable[[int], None]] = [adopt_moved, register_moved, adopt_old, register_new]
        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(job, number) for number in numbers for job in jobs]:
                future.result(timeout=30)
        assert sorted(tokens(store, BOB)) == sorted(f"moved-{number}" for number in numbers)
        assert sorted(tokens(store, ALICE)) == sorted(f"new-{number}" for number in numbers)
        assert collection.count_documents({}) == 2 * len(numbers)
