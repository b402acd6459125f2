"""Taking registrations over from an older registrar: a registration by an app wins, in any order."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from pymongo.collection import Collection

from common import mongodb
from migrate.adoption import Adoption, AdoptionStore
from models.device import DeviceRegistration
from models.identity import Identity
from models.platform import Platform
from registrar.store import DeviceStore

NOW = datetime(2100, 1, 31, 12, 0, 0, tzinfo=UTC)
MONTH = timedelta(days=30)
ALICE, BOB = "8:acs:resource_alice", "8:acs:resource_bob"


def phone(user: str = ALICE, device: str = "phone", token: str = "token") -> DeviceRegistration:
    return DeviceRegistration(Identity.parse(user), device, token, Platform.APPLE, NOW + MONTH)


@pytest.fixture
def store(collection: Collection[mongodb.Document]) -> DeviceStore:
    return DeviceStore(collection, mongodb.Work(mongodb.Timeouts(10.0)))


@pytest.fixture
def adoptions(collection: Collection[mongodb.Document]) -> AdoptionStore:
    return AdoptionStore(collection, mongodb.Work(mongodb.Timeouts(10.0)))


def tokens(store: DeviceStore, user: str = ALICE) -> list[str]:
    return [device.device_token for device in store.devices_of(Identity.parse(user), NOW)]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class TestAdoption:
    def test_taken_over(self, store: DeviceStore, adoptions: AdoptionStore) -> None:
        """A token that is not registered here is taken over with all its fields."""
        assert adoptions.foresee(phone(), NOW) is Adoption.TAKEN_OVER
        assert adoptions.adopt(phone(), NOW) is Adoption.TAKEN_OVER
        assert store.devices_of(Identity.parse(ALICE), NOW) == [phone()]

    def test_foreseeing_changes_nothing(
        self, adoptions: AdoptionStore, collection: Collection[mongodb.Document]
    ) -> None:
        """Foreseeing writes neither a document nor an index."""
        adoptions.foresee(phone(), NOW)
        assert list(collection.find()) == []
        assert list(collection.index_information()) in ([], ["_id_"])

    def test_twice(self, store: DeviceStore, adoptions: AdoptionStore) -> None:
        """Adopting a registration twice leaves one."""
        adoptions.adopt(phone(), NOW)
        assert adoptions.adopt(phone(), later(1)) is Adoption.TAKEN_OVER
        assert tokens(store) == ["token"]

    def test_a_token_that_moved_stays_where_it_is(self, store: DeviceStore, adoptions: AdoptionStore) -> None:
        """A token that another user has registered here is not moved back."""
        store.register(phone(BOB), NOW, 20)
        assert adoptions.foresee(phone(ALICE), later(1)) is Adoption.REGISTERED_SINCE
        assert adoptions.adopt(phone(ALICE), later(1)) is Adoption.REGISTERED_SINCE
        assert (tokens(store, ALICE), tokens(store, BOB)) == ([], ["token"])

    def test_a_registration_made_here_is_not_changed(
        self, store: DeviceStore, adoptions: AdoptionStore
    ) -> None:
        """A registration made here keeps its expiry, even one in the past."""
        ended = DeviceRegistration(Identity.parse(ALICE), "phone", "token", Platform.APPLE, NOW - MONTH)
        store.register(ended, NOW - 2 * MONTH, 20)
        assert adoptions.adopt(phone(), NOW) is Adoption.REGISTERED_SINCE
        assert tokens(store) == []

    def test_a_rotated_token_stays(
        self, store: DeviceStore, adoptions: AdoptionStore, collection: Collection[mongodb.Document]
    ) -> None:
        """A device that has registered a new token here does not get its old one back."""
        store.register(phone(token="new"), NOW, 20)
        assert adoptions.foresee(phone(token="old"), later(1)) is Adoption.DEVICE_REGISTERED_SINCE
        assert adoptions.adopt(phone(token="old"), later(1)) is Adoption.DEVICE_REGISTERED_SINCE
        assert [document["deviceToken"] for document in collection.find()] == ["new"]

    def test_an_app_replaces_what_was_adopted(self, store: DeviceStore, adoptions: AdoptionStore) -> None:
        """An app's registration replaces an adopted one, even one adopted at the same time."""
        adoptions.adopt(phone(token="old"), NOW)
        store.register(phone(token="new"), NOW, 20)
        assert tokens(store) == ["new"]

    def test_an_adopted_token_moves(self, store: DeviceStore, adoptions: AdoptionStore) -> None:
        """A user who signs in on the phone gets its adopted token."""
        adoptions.adopt(phone(ALICE), NOW)
        store.register(phone(BOB), NOW, 20)
        assert (tokens(store, ALICE), tokens(store, BOB)) == ([], ["token"])

    def test_the_later_adoption_counts(self, store: DeviceStore, adoptions: AdoptionStore) -> None:
        """A later run follows what the older registrar has recorded since."""
        adoptions.adopt(phone(ALICE, token="first"), NOW)
        adoptions.adopt(phone(ALICE, token="second"), later(60))
        assert tokens(store, ALICE) == ["second"]
        adoptions.adopt(phone(BOB, token="second"), later(120))
        assert (tokens(store, ALICE), tokens(store, BOB)) == ([], ["second"])

    def test_adopted_devices_are_removed_first(self, store: DeviceStore, adoptions: AdoptionStore) -> None:
        """Beyond the maximum, an app's registration removes adopted devices first."""
        adoptions.adopt(phone(device="a", token="a"), NOW)
        adoptions.adopt(phone(device="b", token="b"), later(1))
        assert store.register(phone(device="c", token="c"), NOW, 2).removed == ["a"]
        assert tokens(store) == ["b", "c"]

    def test_adopted_devices_can_be_deleted(self, store: DeviceStore, adoptions: AdoptionStore) -> None:
        """An adopted device can be deleted like any other."""
        adoptions.adopt(phone(), NOW)
        store.delete(Identity.parse(ALICE), "phone", NOW)
        assert tokens(store) == []


class TestRaces:
    def test_every_order(self, store: DeviceStore, adoptions: AdoptionStore) -> None:
        """An app's registration wins over an adoption in either order."""
        for number, order in enumerate(permutations(["adopt", "register"])):
            device = f"phone-{number}"
            for step in order:
                if step == "adopt":
                    adoptions.adopt(phone(device=device, token=f"old-{number}"), NOW)
                else:
                    store.register(phone(device=device, token=f"new-{number}"), NOW, 20)
        assert tokens(store) == ["new-0", "new-1"]

    def test_side_by_side(self, wire: Collection[mongodb.Document]) -> None:
        """Adoptions race with apps: each token ends with the app's user, each device with the app's token."""
        store = DeviceStore(wire, mongodb.Work(mongodb.Timeouts(20.0)))
        adoptions = AdoptionStore(wire, mongodb.Work(mongodb.Timeouts(20.0)))
        numbers = range(40)

        def adopt_moved(number: int) -> None:
            adoptions.adopt(phone(ALICE, f"moved-{number}", f"moved-{number}"), NOW)

        def register_moved(number: int) -> None:
            store.register(phone(BOB, f"moved-{number}", f"moved-{number}"), NOW, 1_000)

        def adopt_old(number: int) -> None:
            adoptions.adopt(phone(ALICE, f"rotated-{number}", f"old-{number}"), NOW)

        def register_new(number: int) -> None:
            store.register(phone(ALICE, f"rotated-{number}", f"new-{number}"), NOW, 1_000)

        jobs: list[Callable[[int], None]] = [adopt_moved, register_moved, adopt_old, register_new]
        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(job, number) for number in numbers for job in jobs]:
                future.result(timeout=30)
        assert sorted(tokens(store, BOB)) == sorted(f"moved-{number}" for number in numbers)
        assert sorted(tokens(store, ALICE)) == sorted(f"new-{number}" for number in numbers)
        assert wire.count_documents({}) == 2 * len(numbers)


# FIXME
