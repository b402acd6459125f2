"""Device registrations in MongoDB, one document a device token (`registrar/document.py`). Knows no HTTP.

The token decides the `_id`, so one upsert registers it or refreshes it. A token that another user has is
moved to the user who registers it (a sign-out and a sign-in on one phone). No index but that of `_id` is
unique, so the collection can be sharded.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb, telemetry
from common.index_maker import IndexMaker
from models.device import DeviceRegistration, Purpose
from models.errors import DatabaseUnavailableError, RegistrationNotFoundError
from models.identity import Identity
from models.indexes import NeededIndex
from registrar import document
from registrar.document import StoredRegistration, UnreadableDocument

COLLECTION_NAME = "DeviceRegistrations"

INDEXES = (NeededIndex("acsMri"), NeededIndex("expiresAt", expires=True), NeededIndex("hub"))
"""By `hub` the registrations of a named hub are counted (`dead_registrations.py`)."""

GONE_FOR = timedelta(hours=1)
"""How long after the hub first called a device gone its registration is deleted, if the hub says so again."""

_MOVE_ATTEMPTS = 5


@dataclass(slots=True)
class Registered:
    """What registering a token changed."""

    is_new: bool = False
    """The token was not registered before."""
    moved_from: set[str] = field(default_factory=set)
    """The users who had the token; MRIs in lower case."""
    removed: list[str] = field(default_factory=list)
    """The UUIDs of the user's devices that were removed because there were too many."""


class DeviceStore:
    """Adds, finds and deletes registrations. Safe to share between threads."""

    def __init__(
        self,
        collection: Collection[mongodb.Document],
        work: mongodb.Work,
    ) -> None:
        """Take the collection, and what bounds each method in time."""
        self._collection = collection
        self._work = work
        self._indexes = IndexMaker(collection, work, INDEXES)

    def register(
        self, registration: DeviceRegistration, now: datetime, maximum_devices: int | None = None
    ) -> Registered:
        """Add or refresh `registration`. Its token leaves any other user, its device loses older tokens.

        Args:
            registration: the device.
            now: the current time, UTC.
            maximum_devices: of the user; beyond it the least recently refreshed devices are removed. None
                sets no maximum.

        Raises:
            DatabaseUnavailableError, ConfigurationError: the outcome is unknown; the app has to register
                again.
        """
        updated_at = mongodb.milliseconds(now)
        # Outlives a repetition, which finds less to change.
        registered = Registered()

        def register() -> None:
            refreshed = self._take_token(registration, updated_at, registered)
            if not refreshed:
                self._delete_former_spellings(registration, updated_at, registered)
            # Only older ones: of two tokens that race for one device, the one registered last stays.
            self._collection.delete_many(
                {**document.others_of_device(registration), "updatedAt": {"$lt": updated_at}}
            )
            if maximum_devices is not None:
                self._remove_surplus(registration.owner, now, maximum_devices, registered)

        try:
            self._run(register)
        except errors.DuplicateKeyError:
            # Its text quotes the device token.
            raise DatabaseUnavailableError(
                f"A unique index of the collection {COLLECTION_NAME} refuses the registration. Drop it: the "
                "app needs none."
            ) from None
        self._indexes.ensure()
        registered.removed = list(dict.fromkeys(registered.removed))
        return registered

    def rings(self, registration: DeviceRegistration, now: datetime) -> bool:
        """Whether the user's same device has an unexpired registration of the same token for calls.

        Raises:
            DatabaseUnavailableError, ConfigurationError: that is not known.
        """
        wanted = {
            **document.of_owner(registration.owner),
            **document.of_token(registration),
            "deviceUUID": registration.device_uuid,
            "purpose": {"$in": document.purposes(Purpose.CALLS)},
            "expiresAt": {"$gt": now},
        }
        return self._run(lambda: self._collection.find_one(wanted, {"_id": 1})) is not None

    def devices_of(self, owner: Identity, now: datetime) -> Sequence[DeviceRegistration]:
        """The unexpired registrations of a user, the newest of each device and purpose, sorted by device
        UUID.

        A document that this version cannot read is left out and logged.

        Raises:
            DatabaseUnavailableError, ConfigurationError: they cannot be read; that is not "no devices".
        """
        found = self._run(lambda: self._unexpired(owner, now))
        unreadable = [each for each in found if isinstance(each, UnreadableDocument)]
        if unreadable:
            telemetry.log(
                logging.ERROR,
                "registrations_unreadable",
                registrations=len(unreadable),
                first=unreadable[0].registration_id[:16],
                problem=unreadable[0].problem,
                remedy="The device does not ring. Run 'doctor user' for the details; the app's next "
                "registration replaces the document.",
            )
        newest = document.newest_of_each_device(_readable(found))
        return sorted(newest, key=lambda each: (each.device_uuid, each.purpose.value))

    def delete(self, owner: Identity, device_uuid: str, now: datetime) -> None:
        """Delete a device of a user.

        Raises:
            RegistrationNotFoundError: the user has no such unexpired device.
            DatabaseUnavailableError, ConfigurationError: the outcome is unknown.
        """
        wanted = {**document.of_owner(owner), "deviceUUID": device_uuid, "expiresAt": {"$gt": now}}
        if self._delete(wanted) == 0:
            raise RegistrationNotFoundError("The user has no such device, or its registration has expired.")

    def delete_all(self, owner: Identity) -> int:
        """Delete every device of a user, expired ones too.

        Returns:
            How many registrations were deleted.

        Raises:
            DatabaseUnavailableError, ConfigurationError: the outcome is unknown.
        """
        return self._delete(document.of_owner(owner))

    def note_gone(self, registration: DeviceRegistration, now: datetime) -> None:
        """Mark a registration that the hub calls gone; delete it if it has been marked for an hour.

        One answer of the hub is not enough: it says the same for a while when something else is wrong. A
        token that another user has registered since, or that has been refreshed, is left alone.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        own = {"_id": registration.registration_id, **document.of_owner(registration.owner)}
        if registration.gone_at is None:
            marked = {"$set": {"goneAt": mongodb.milliseconds(now)}}
            self._run(lambda: self._collection.update_one({**own, "goneAt": {"$exists": False}}, marked))
        else:
            dead = {**own, "goneAt": {"$lte": now - GONE_FOR}}
            self._run(lambda: self._collection.delete_one(dead))

    def note_alive(self, registration: DeviceRegistration) -> None:
        """Remove the mark of a registration whose push the hub has taken.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        named = {"_id": registration.registration_id}
        self._run(lambda: self._collection.update_one(named, {"$unset": {"goneAt": ""}}))

    def _run[Result](self, operation: Callable[[], Result]) -> Result:
        return self._work.run(self._collection, operation)

    def _unexpired(self, owner: Identity, now: datetime) -> list[StoredRegistration | UnreadableDocument]:
        # Expired documents are there until the next sweep, and for ever where there is no TTL index.
        wanted = {**document.of_owner(owner), "expiresAt": {"$gt": now}}
        return [document.read(each) for each in self._collection.find(wanted)]

    def _delete(self, wanted: Mapping[str, Any]) -> int:
        """Delete what is wanted; the count holds even if the answer to a first try was lost."""
        ids: set[str] = set()

        def delete() -> None:
            ids.update(each["_id"] for each in self._collection.find(wanted, {"_id": 1}))
            self._collection.delete_many(wanted)

        self._run(delete)
        return len(ids)

    def _take_token(
        self, registration: DeviceRegistration, updated_at: datetime, registered: Registered
    ) -> bool:
        """Make the token's document the user's own, and find out who had it.

        Returns:
            True if the user had the token already.
        """
        named = {"_id": registration.registration_id}
        change = {"$set": document.fields_of(registration, updated_at), "$unset": {"goneAt": ""}}
        for _ in range(_MOVE_ATTEMPTS):
            try:
                own = {**named, **document.of_owner(registration.owner)}
                result = self._collection.update_one(own, change, upsert=True)
            except errors.DuplicateKeyError:
                # Another user has the token, or another request has inserted it at this moment.
                former = self._collection.find_one(named, {"acsMri": 1})
            else:
                registered.is_new |= result.upserted_id is not None
                return result.upserted_id is None
            if former is None:
                continue
            # Conditional, so that the user who loses the token is known for certain.
            unmoved = {**named, "acsMri": former.get("acsMri")}
            if self._collection.update_one(unmoved, change).matched_count:
                _note_move(former, registration.owner, registered)
                return False
        # Other users keep registering the same token: the last one gets it.
        self._collection.update_one(named, change, upsert=True)
        return False

    def _delete_former_spellings(
        self, registration: DeviceRegistration, updated_at: datetime, registered: Registered
    ) -> None:
        """Delete documents in which an earlier release stored the same token in another letter case."""
        if not registration.former_ids:
            return
        wanted = {"_id": {"$in": sorted(registration.former_ids)}}
        for former in list(self._collection.find(wanted, {"acsMri": 1})):
            not_newer = {"_id": former["_id"], "updatedAt": {"$lte": updated_at}}
            if self._collection.delete_one(not_newer).deleted_count:
                _note_move(former, registration.owner, registered)

    def _remove_surplus(
        self, owner: Identity, now: datetime, maximum_devices: int, registered: Registered
    ) -> None:
        """Delete the least recently refreshed devices beyond the maximum."""
        found = sorted(_readable(self._unexpired(owner, now)), key=lambda each: each.age_order, reverse=True)
        newest_first = list(dict.fromkeys(each.registration.device_uuid for each in found))
        kept = set(newest_first[:maximum_devices])
        registered.removed += [
            each.registration.device_uuid
            for each in found
            if each.registration.device_uuid not in kept and self._delete_unchanged(each)
        ]

    def _delete_unchanged(self, stored: StoredRegistration) -> bool:
        """Delete a document unless it has been refreshed or moved since it was read."""
        as_read = {
            "_id": stored.registration.registration_id,
            "acsMri": stored.registration.owner.as_received,
            "updatedAt": stored.updated_at,
        }
        return self._collection.delete_one(as_read).deleted_count > 0


def _note_move(former: Mapping[str, Any], owner: Identity, registered: Registered) -> None:
    mri = former.get("acsMri")
    if isinstance(mri, str) and (left := Identity.parse(mri)) != owner:
        registered.moved_from.add(left.mri)


def _readable(found: Iterable[StoredRegistration | UnreadableDocument]) -> list[StoredRegistration]:
    return [each for each in found if isinstance(each, StoredRegistration)]
