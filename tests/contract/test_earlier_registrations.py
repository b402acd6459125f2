"""Registrations of an earlier release, and documents that cannot be read: in memory and over the wire."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from pymongo.collection import Collection

from common import mongodb
from migrate.adoption import Adoption, AdoptionStore
from models.errors import RegistrationNotFoundError
from models.identity import Identity
from models.platform import Platform
from registrar.store import DeviceStore
from tests.fakes import ALICE, BOB, NOW, TEAMS_USER, app_log, registration
from tests.memory_store import WORK

SECOND = timedelta(seconds=1)
EARLIER = NOW - timedelta(days=1)
HEX = "ab" * 32
CAPITALS = HEX.upper()
IN_CAPITALS = TEAMS_USER.upper()
OWNER = Identity.parse


@pytest.fixture
def store(collection: Collection[mongodb.Document]) -> DeviceStore:
    return DeviceStore(collection, WORK)


def old_document(
    token: str = CAPITALS, user: str = ALICE, device: str = "phone", **changes: Any
) -> dict[str, Any]:
    """A document as an earlier release wrote it: user, and token in its id, as they were sent."""
    document = {
        "_id": hashlib.sha256(f"apple\n{token}".encode()).hexdigest(),
        "acsMri": user,
        "deviceUUID": device,
        "deviceToken": token,
        "platform": "apple",
        "expiresAt": NOW + timedelta(days=1),
        "updatedAt": EARLIER,
        **changes,
    }
    return {name: value for name, value in document.items() if value is not ...}


def tokens(store: DeviceStore, user: str) -> list[str]:
    return [device.device_token for device in store.devices_of(OWNER(user), NOW)]


class TestTokenInCapitals:
    """An earlier release took an Apple token's two spellings for two tokens."""

    def test_goes_on_ringing(self, store: DeviceStore, collection: Collection[mongodb.Document]) -> None:
        """It is read under the id that it was stored with."""
        document = old_document()
        collection.insert_one(document)
        (device,) = store.devices_of(OWNER(ALICE), NOW)
        assert (device.device_token, device.registration_id) == (CAPITALS, document["_id"])

    @pytest.mark.parametrize("token", [HEX, CAPITALS, HEX[:32] + CAPITALS[32:]])
    def test_does_not_ring_twice(
        self, store: DeviceStore, collection: Collection[mongodb.Document], token: str
    ) -> None:
        """The same token, registered again under any device UUID and in any case, replaces it."""
        collection.insert_one(old_document())
        registered = store.register(registration(device_uuid="reinstalled", device_token=token), NOW)
        assert (registered.is_new, registered.moved_from) == (True, set())
        assert [document["deviceToken"] for document in collection.find()] == [token]

    @pytest.mark.parametrize("token", [HEX, CAPITALS])
    def test_does_not_ring_on(
        self, store: DeviceStore, collection: Collection[mongodb.Document], token: str
    ) -> None:
        """A user who signs in on the phone takes it away from the other user."""
        collection.insert_one(old_document(user=BOB))
        registered = store.register(registration(device_token=token), NOW)
        assert registered.moved_from == {BOB}
        assert (tokens(store, BOB), tokens(store, ALICE)) == ([], [token])

    def test_two_spellings_side_by_side(
        self, store: DeviceStore, collection: Collection[mongodb.Document]
    ) -> None:
        """Of two documents of one token only the newer one rings, even under different device UUIDs."""
        collection.insert_many(
            [old_document(), old_document(HEX, device="other", updatedAt=EARLIER + SECOND)]
        )
        assert tokens(store, ALICE) == [HEX]

    def test_newer_than_the_registration(
        self, store: DeviceStore, collection: Collection[mongodb.Document]
    ) -> None:
        """One that an instance of the earlier release has written since stays."""
        collection.insert_one(old_document(user=BOB, updatedAt=NOW + SECOND))
        assert store.register(registration(device_token=HEX), NOW).moved_from == set()
        assert tokens(store, BOB) == [CAPITALS]

    def test_other_platforms_are_not_touched(
        self, store: DeviceStore, collection: Collection[mongodb.Document]
    ) -> None:
        """On other platforms letter case tells tokens apart."""
        for token in ("token", "TOKEN"):
            store.register(registration(device_uuid=token, device_token=token, platform=Platform.FCM_V1), NOW)
        assert sorted(tokens(store, ALICE)) == ["TOKEN", "token"]
        assert collection.count_documents({}) == 2

    def test_is_not_adopted_again(self, collection: Collection[mongodb.Document]) -> None:
        """A token that the earlier release registered is not taken over for another user."""
        collection.insert_one(old_document())
        adoptions = AdoptionStore(collection, WORK)
        for token in (HEX, CAPITALS):
            wanted = registration(acs_mri=BOB, device_uuid="old phone", device_token=token)
            assert adoptions.foresee(wanted, NOW) is Adoption.REGISTERED_SINCE
            assert adoptions.adopt(wanted, NOW) is Adoption.REGISTERED_SINCE
        assert collection.count_documents({}) == 1


class TestUserInCapitals:
    """An earlier release stored an MRI as it was sent."""

    @pytest.fixture(autouse=True)
    def _stored(self, collection: Collection[mongodb.Document]) -> None:
        collection.insert_one(old_document(HEX, IN_CAPITALS))

    def test_goes_on_ringing(self, store: DeviceStore) -> None:
        """It is found by the MRI as it was received then."""
        assert tokens(store, IN_CAPITALS) == [HEX]
        (device,) = store.devices_of(OWNER(IN_CAPITALS), NOW)
        assert device.acs_mri == TEAMS_USER

    def test_refresh_rewrites_it(self, store: DeviceStore, collection: Collection[mongodb.Document]) -> None:
        """A refresh stores the MRI in lower case, and is no move to another user."""
        wanted = registration(acs_mri=IN_CAPITALS, device_token=HEX)
        registered = store.register(wanted, NOW)
        assert (registered.is_new, registered.moved_from) == (False, set())
        assert [document["acsMri"] for document in collection.find()] == [TEAMS_USER]
        assert tokens(store, TEAMS_USER) == [HEX]

    def test_refresh_by_the_lower_case(
        self, store: DeviceStore, collection: Collection[mongodb.Document]
    ) -> None:
        """So does one in lower case."""
        registered = store.register(registration(acs_mri=TEAMS_USER, device_token=HEX), NOW)
        assert registered.moved_from == set()
        assert [document["acsMri"] for document in collection.find()] == [TEAMS_USER]

    def test_rotated_token(self, store: DeviceStore, collection: Collection[mongodb.Document]) -> None:
        """A new token of the device replaces it."""
        store.register(registration(acs_mri=IN_CAPITALS, device_token="cd" * 32), NOW)
        assert [document["deviceToken"] for document in collection.find()] == ["cd" * 32]

    def test_counts_as_a_device(self, store: DeviceStore) -> None:
        """It counts towards the maximum, and is removed first."""
        wanted = registration(acs_mri=IN_CAPITALS, device_uuid="tablet", device_token="cd" * 32)
        assert store.register(wanted, NOW, 1).removed == ["phone"]

    def test_delete(self, store: DeviceStore, collection: Collection[mongodb.Document]) -> None:
        """It can be deleted by the MRI as it was received then."""
        store.delete(OWNER(IN_CAPITALS), "phone", NOW)
        assert collection.count_documents({}) == 0
        with pytest.raises(RegistrationNotFoundError):
            store.delete(OWNER(IN_CAPITALS), "phone", NOW)

    def test_delete_all(self, store: DeviceStore, collection: Collection[mongodb.Document]) -> None:
        """So can everything of the user, in both spellings."""
        store.register(registration(acs_mri=TEAMS_USER, device_uuid="tablet", device_token="cd" * 32), NOW)
        assert store.delete_all(OWNER(IN_CAPITALS)) == 2
        assert collection.count_documents({}) == 0


class TestUnreadable:
    @pytest.mark.parametrize(
        "changes",
        [
            {"platform": "harmony"},
            {"platform": None},
            {"platform": ...},
            {"platform": 7},
            {"deviceUUID": None},
            {"deviceUUID": ...},
            {"deviceToken": None},
            {"deviceToken": ...},
            {"updatedAt": None},
            {"updatedAt": ...},
            {"updatedAt": "yesterday"},
        ],
    )
    def test_skipped(
        self, store: DeviceStore, collection: Collection[mongodb.Document], changes: dict[str, Any]
    ) -> None:
        """A document that this version cannot read does not silence the user's other phones; it is logged."""
        collection.insert_one(old_document("cd" * 32, device="broken", **changes))
        store.register(registration(), NOW, 20)
        with app_log() as log:
            assert store.devices_of(OWNER(ALICE), NOW) == [registration()]
        (line,) = log.events("registrations_unreadable")
        assert (line["level"], line["registrations"]) == ("ERROR", 1)
        assert next(iter(changes)) in line["problem"]
        assert ALICE not in log.text
        assert "harmony" not in log.text

    @pytest.mark.parametrize("value", [None, ..., "soon"])
    def test_expiry(
        self, store: DeviceStore, collection: Collection[mongodb.Document], value: object
    ) -> None:
        """One whose expiry cannot be read counts as expired."""
        collection.insert_one(old_document("cd" * 32, device="broken", expiresAt=value))
        store.register(registration(), NOW, 20)
        assert store.devices_of(OWNER(ALICE), NOW) == [registration()]

    def test_many(self, store: DeviceStore, collection: Collection[mongodb.Document]) -> None:
        """One line counts them all."""
        collection.insert_many(
            [old_document(f"{n:064}", device=f"d{n}", platform="harmony") for n in range(5)]
        )
        with app_log() as log:
            assert store.devices_of(OWNER(ALICE), NOW) == []
        (line,) = log.events("registrations_unreadable")
        assert line["registrations"] == 5

    @pytest.mark.parametrize(
        "changes", [{"acsMri": None}, {"acsMri": ...}, {"platform": "harmony"}, {"updatedAt": ...}]
    )
    def test_registering_replaces_it(
        self, store: DeviceStore, collection: Collection[mongodb.Document], changes: dict[str, Any]
    ) -> None:
        """The next registration of the token makes the document readable."""
        collection.insert_one(old_document(HEX, **changes))
        store.register(registration(device_token=HEX), NOW, 20)
        assert tokens(store, ALICE) == [HEX]
        assert collection.count_documents({}) == 1

    def test_can_be_deleted(self, store: DeviceStore, collection: Collection[mongodb.Document]) -> None:
        """It can be deleted like any other."""
        collection.insert_one(old_document(platform="harmony"))
        store.delete(OWNER(ALICE), "phone", NOW)
        collection.insert_one(old_document(platform="harmony"))
        assert store.delete_all(OWNER(ALICE)) == 1


class TestMoves:
    """What `register` says of a change, for the audit."""

    def test_new_and_refreshed(self, store: DeviceStore) -> None:
        """A token is new once."""
        assert store.register(registration(), NOW).is_new
        again = store.register(registration(), NOW + SECOND)
        assert (again.is_new, again.moved_from) == (False, set())

    def test_moved(self, store: DeviceStore) -> None:
        """A token that another user has is moved from them."""
        store.register(registration(), NOW)
        moved = store.register(registration(acs_mri=BOB), NOW + SECOND)
        assert (moved.is_new, moved.moved_from) == (False, {ALICE})

    def test_expired_one(self, store: DeviceStore) -> None:
        """An expired registration that has not been swept counts too: the document still names its user."""
        store.register(registration(expires_at=NOW), NOW)
        assert store.register(registration(acs_mri=BOB), NOW + SECOND).moved_from == {ALICE}

    def test_rotated_token(self, store: DeviceStore) -> None:
        """A device's new token is new and was no other user's."""
        store.register(registration(device_token="old"), NOW)
        rotated = store.register(registration(device_token="new"), NOW + SECOND)
        assert (rotated.is_new, rotated.moved_from) == (True, set())

    def test_contended_token(self, store: DeviceStore, collection: Collection[mongodb.Document]) -> None:
        """While other users keep registering the token, the last to register it gets it."""

        class Contended:
            """The collection; before every conditional move another user takes the token."""

            def __init__(self) -> None:
                self.moves = 0

            def __getattr__(self, name: str) -> Any:
                return getattr(collection, name)

            def update_one(self, wanted: Any, change: Any, **options: Any) -> Any:
                if "acsMri" in wanted and not options:
                    self.moves += 1
                    collection.update_one(
                        {"_id": wanted["_id"]}, {"$set": {"acsMri": f"8:acs:rival_{self.moves}"}}
                    )
                return collection.update_one(wanted, change, **options)

        store.register(registration(), NOW)
        contended = Contended()
        DeviceStore(contended, WORK).register(registration(acs_mri=BOB), NOW + SECOND)  # type: ignore[arg-type]
        assert contended.moves > 1
        assert tokens(store, BOB) == ["token-1"]
