"""Device registrations in MongoDB, one document a device token (`registrar/document.py`). Knows no HTTP.

The token decides the `_id`, so one upsert registers a token, refreshes it, and moves it to the user who
registered it last (a sign-out and a sign-in on one phone). No index but that of `_id` is unique, so the
collection can be sharded.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb
from models.device import DeviceRegistration
from models.errors import DatabaseUnavailableError, RegistrationNotFoundError
from models.indexes import NeededIndex
from registrar import document

COLLECTION_NAME = "DeviceRegistrations"

INDEXES = (NeededIndex("acsMri"), NeededIndex("expiresAt", expires=True))

GONE_FOR = timedelta(hours=1)
"""How long after the hub first called a device gone its registration is deleted, if the hub says so again."""

_UPSERT_ATTEMPTS = 3


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
        self._indexes_ready = False

    def register(
        self, registration: DeviceRegistration, now: datetime, maximum_devices: int | None = None
    ) -> Sequence[str]:
        """Add or refresh `registration`. Its token leaves any other user, its device loses older tokens.

        Args:
            registration: the device.
            now: the current time, UTC.
            maximum_devices: of the user; beyond it the least recently refreshed devices are removed. None
                sets no maximum.

        Returns:
            The UUIDs of the devices that were removed.

        Raises:
            DatabaseUnavailableError, ConfigurationError: the outcome is unknown; the app has to register
                again.
        """
        updated_at = mongodb.milliseconds(now)
        removed: list[str] = []

        def register() -> None:
            self._ensure_indexes()
            self._upsert(registration, updated_at)
            # Only older ones: of two tokens that race for one device, the one registered last stays.
            self._collection.delete_many(
                {**document.others_of_device(registration), "updatedAt": {"$lt": updated_at}}
            )
            if maximum_devices is not None:
                self._remove_surplus(registration.acs_mri, now, maximum_devices, removed)

        try:
            self._work.run(self._collection, register)
        except errors.DuplicateKeyError:
            # Its text quotes the device token.
            raise DatabaseUnavailableError(
                f"A unique index of the collection {COLLECTION_NAME} refuses the registration. Drop it: the "
                "app needs none."
            ) from None
        return list(dict.fromkeys(removed))

    def devices_of(self, acs_mri: str, now: datetime) -> Sequence[DeviceRegistration]:
        """The unexpired registrations of a user, the newest of each device, sorted by device UUID.

        Raises:
            DatabaseUnavailableError, ConfigurationError: they cannot be read; that is not "no devices".
        """
        # Expired documents are there until the next sweep, and for ever where there is no TTL index.
        unexpired = {"acsMri": acs_mri, "expiresAt": {"$gt": now}}
        found = self._work.run(self._collection, lambda: list(self._collection.find(unexpired)))
        oldest_first = sorted((document.read(each) for each in found), key=lambda each: each.age_order)
        newest = {each.registration.device_uuid: each.registration for each in oldest_first}
        return [newest[device_uuid] for device_uuid in sorted(newest)]

    def delete(self, acs_mri: str, device_uuid: str, now: datetime) -> None:
        """Delete a device of a user.

        Raises:
            RegistrationNotFoundError: the user has no such unexpired device.
            DatabaseUnavailableError, ConfigurationError: the outcome is unknown.
        """
        wanted = {"acsMri": acs_mri, "deviceUUID": device_uuid, "expiresAt": {"$gt": now}}
        result = self._work.run(self._collection, lambda: self._collection.delete_many(wanted))
        if result.deleted_count == 0:
            raise RegistrationNotFoundError("The user has no such device, or its registration has expired.")

    def delete_all(self, acs_mri: str) -> int:
        """Delete every device of a user, expired ones too.

        Returns:
            How many registrations were deleted.

        Raises:
            DatabaseUnavailableError, ConfigurationError: the outcome is unknown.
        """
        wanted = {"acsMri": acs_mri}
        return self._work.run(self._collection, lambda: self._collection.delete_many(wanted)).deleted_count

    def note_gone(self, registration: DeviceRegistration, now: datetime) -> None:
        """Mark a registration that the hub calls gone; delete it if it has been marked for an hour.

        The hub's word is not taken at once: it says the same for a while when something else is wrong. A
        token that another user has registered since, or that has been refreshed, is left alone.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        own = {"_id": registration.registration_id, "acsMri": registration.acs_mri}
        if registration.gone_at is None:
            marked = {"$set": {"goneAt": mongodb.milliseconds(now)}}
            self._work.run(
                self._collection,
                lambda: self._collection.update_one({**own, "goneAt": {"$exists": False}}, marked),
            )
        else:
            dead = {**own, "goneAt": {"$lte": now - GONE_FOR}}
            self._work.run(self._collection, lambda: self._collection.delete_one(dead))

    def note_alive(self, registration: DeviceRegistration) -> None:
        """Remove the mark of a registration whose push the hub has taken.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        named = {"_id": registration.registration_id}
        self._work.run(
            self._collection, lambda: self._collection.update_one(named, {"$unset": {"goneAt": ""}})
        )

    def _remove_surplus(self, acs_mri: str, now: datetime, maximum_devices: int, removed: list[str]) -> None:
        """Delete the least recently refreshed devices beyond the maximum, and add their UUIDs to
        `removed`."""
        found = [
            document.read(each)
            for each in self._collection.find({"acsMri": acs_mri, "expiresAt": {"$gt": now}})
        ]
        found.sort(key=lambda each: each.age_order, reverse=True)
        newest_first = list(dict.fromkeys(each.registration.device_uuid for each in found))
        kept = set(newest_first[:maximum_devices])
        removed += [
            each.registration.device_uuid
            for each in found
            if each.registration.device_uuid not in kept and self._delete_unchanged(each)
        ]

    def _delete_unchanged(self, stored: document.StoredRegistration) -> bool:
        """Delete a document unless it has been refreshed or moved since it was read."""
        as_read = {
            "_id": stored.id,
            "acsMri": stored.registration.acs_mri,
            "updatedAt": stored.updated_at,
        }
        return self._collection.delete_one(as_read).deleted_count > 0

    def _upsert(self, registration: DeviceRegistration, updated_at: datetime) -> None:
        fields = document.fields_of(registration, updated_at)
        for attempt in range(1, _UPSERT_ATTEMPTS + 1):
            try:
                self._collection.update_one(
                    {"_id": registration.registration_id},
                    {"$set": fields, "$unset": {"goneAt": ""}},
                    upsert=True,
                )
            except errors.DuplicateKeyError:
                # Of two first registrations of one token at once, one inserts and the other finds it next
                # time.
                if attempt == _UPSERT_ATTEMPTS:
                    raise
            else:
                return

    def _ensure_indexes(self) -> None:
        """Create the indexes once a process, at the first registration."""
        # No lock: creating an index twice does no harm, waiting behind a database that is down would.
        if not self._indexes_ready:
            mongodb.ensure_indexes(self._collection, INDEXES)
            self._indexes_ready = True
