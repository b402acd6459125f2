"""The maximum of devices, and deleting all of them: over mongomock and over the embedded database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from pymongo.collection import Collection

from common import mongodb
from models.identity import Identity
from registrar.store import DeviceStore
from tests.fakes import ALICE, BOB, NOW, registration

SECOND = timedelta(seconds=1)
WORK = mongodb.Work(mongodb.Timeouts(10.0))

owner = Identity.parse


@pytest.fixture
def store(collection: Collection[mongodb.Document]) -> DeviceStore:
    """An empty store."""
    return DeviceStore(collection, WORK)


def add(
    store: DeviceStore, name: str, at: datetime, maximum: int = 3, user: str = ALICE, **more: Any
) -> list[str]:
    """Register the device of that name; returns the devices that were removed."""
    device = registration(acs_mri=user, device_uuid=name, device_token=f"{user} {name}", **more)
    return store.register(device, at, maximum).removed


def names(store: DeviceStore, user: str = ALICE, now: datetime = NOW) -> list[str]:
    return [device.device_uuid for device in store.devices_of(owner(user), now)]


class TestMaximum:
    def test_least_recently_refreshed_is_removed(self, store: DeviceStore) -> None:
        """Up to the maximum all stay; then the least recently registered device is removed."""
        assert [add(store, name, NOW + n * SECOND) for n, name in enumerate("abc")] == [[], [], []]
        assert add(store, "d", NOW + 3 * SECOND) == ["a"]
        assert names(store) == ["b", "c", "d"]

    def test_refreshed_one_stays(self, store: DeviceStore) -> None:
        """A refreshed device counts as the newest, and none is removed for it."""
        for n, name in enumerate("abc"):
            add(store, name, NOW + n * SECOND)
        assert add(store, "a", NOW + 4 * SECOND) == []
        assert add(store, "d", NOW + 5 * SECOND) == ["b"]
        assert names(store) == ["a", "c", "d"]

    def test_rotated_token_is_the_same_device(self, store: DeviceStore) -> None:
        """A device with a new token counts once."""
        for n, name in enumerate("abc"):
            add(store, name, NOW + n * SECOND)
        rotated = registration(device_uuid="c", device_token="rotated")
        assert store.register(rotated, NOW + 4 * SECOND, 3).removed == []
        assert names(store) == ["a", "b", "c"]

    def test_expired_ones_do_not_count(self, store: DeviceStore) -> None:
        """An expired device does not count and is not reported as removed."""
        add(store, "a", NOW, expires_at=NOW + 2 * SECOND)
        add(store, "b", NOW + SECOND, maximum=2)
        assert add(store, "c", NOW + 3 * SECOND, maximum=2) == []
        assert names(store, now=NOW + 3 * SECOND) == ["b", "c"]

    def test_other_users(self, store: DeviceStore) -> None:
        """The maximum is for each user."""
        add(store, "a", NOW, maximum=1)
        assert add(store, "a", NOW + SECOND, maximum=1, user=BOB) == []
        assert (names(store), names(store, BOB)) == (["a"], ["a"])

    def test_lowered(self, store: DeviceStore) -> None:
        """After the maximum was lowered, the next registration removes all devices beyond it."""
        for n, name in enumerate("abcde"):
            add(store, name, NOW + n * SECOND, maximum=5)
        assert sorted(add(store, "f", NOW + 9 * SECOND, maximum=2)) == ["a", "b", "c", "d"]
        assert names(store) == ["e", "f"]

    def test_no_maximum(self, store: DeviceStore) -> None:
        """Without a maximum none is removed."""
        for n in range(30):
            device = registration(device_uuid=f"d{n:02}", device_token=f"t{n}")
            assert store.register(device, NOW + n * SECOND).removed == []
        assert len(names(store)) == 30

    def test_newcomers_at_once(self, wire: Collection[mongodb.Document]) -> None:
        """Of many that register at once the newest stay, and each removed one is reported."""
        store = DeviceStore(wire, WORK)
        for n in range(5):
            add(store, f"old-{n}", NOW + n * SECOND, maximum=5)

        def register(n: int) -> list[str]:
            return add(store, f"new-{n}", NOW + (10 + n) * SECOND, maximum=5)

        with ThreadPoolExecutor(8) as pool:
            told = [name for answer in pool.map(register, range(16)) for name in answer]
        left = names(store)
        assert left == sorted(f"new-{n}" for n in range(11, 16))
        # Each removed device is reported exactly once, and no other.
        assert sorted([*told, *left]) == sorted(
            [f"old-{n}" for n in range(5)] + [f"new-{n}" for n in range(16)]
        )

    def test_same_moment(self, wire: Collection[mongodb.Document]) -> None:
        """Devices of the same millisecond do not remove each other altogether."""
        store = DeviceStore(wire, WORK)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: add(store, f"d-{n}", NOW, maximum=3), range(16)))
        assert len(names(store)) == 3

    def test_refreshed_meanwhile(self, wire: Collection[mongodb.Document]) -> None:
        """A device that is refreshed just before its removal stays and is not reported."""
        store = DeviceStore(wire, WORK)
        add(store, "a", NOW)

        class RefreshedInBetween:
            """The collection; another instance refreshes `a` before anything is deleted by id."""

            def __getattr__(self, name: str) -> Any:
                return getattr(wire, name)

            def delete_one(self, *arguments: Any) -> Any:
                add(store, "a", NOW + 10 * SECOND)
                return wire.delete_one(*arguments)

        slow = DeviceStore(cast("Collection[mongodb.Document]", RefreshedInBetween()), WORK)
        assert add(slow, "b", NOW + SECOND, maximum=1) == []
        assert "a" in names(store)


class TestDeleteAll:
    def test_count(self, store: DeviceStore) -> None:
        """All devices of the user are deleted and counted; other users' stay."""
        for name in "abc":
            add(store, name, NOW)
        add(store, "a", NOW, user=BOB)
        assert store.delete_all(owner(ALICE)) == 3
        assert store.delete_all(owner(ALICE)) == 0
        assert (names(store), names(store, BOB)) == ([], ["a"])

    def test_expired_ones_too(self, wire: Collection[mongodb.Document]) -> None:
        """Expired registrations of a revoked identity are deleted too."""
        store = DeviceStore(wire, WORK)
        add(store, "a", NOW, expires_at=NOW - timedelta(days=1))
        assert store.delete_all(owner(ALICE)) == 1
        assert wire.find_one() is None
