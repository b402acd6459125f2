"""Device registrations in MongoDB, one document a device token (`registrar/document.py`). Knows no HTTP.

The token decides the `_id`, so one upsert registers a token, refreshes it, and moves it to the user who
registered it last (a sign-out and a sign-in on one phone). No index but that of `_id` is unique, so the
collection can be sharded.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb
from models.device import DeviceRegistration
from models.errors import RegistrationNotFoundError
from registrar import document

COLLECTION_NAME = "DeviceRegistrations"

_UPSERT_ATTEMPTS = 3


class DeviceStore:
    """Adds, finds and deletes registrations. Safe to share between threads."""

    def __init__(
        self,
        collection: Collection[mongodb.Document],
        timeouts: mongodb.Timeouts,
    ) -> None:
        """Take the collection, and how long each method may take."""
        self._collection = collection
        self._timeouts = timeouts
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
        with self._work():
            self._ensure_indexes()
            self._upsert(registration, updated_at)
            # Only older ones: of two tokens that race for one device, the one registered last stays.
            self._collection.delete_many(
                {**document.others_of_device(registration), "updatedAt": {"$lt": updated_at}}
            )
            if maximum_devices is None:
                return ()
            return self._remove_surplus(registration.acs_mri, now, maximum_devices)

    def devices_of(self, acs_mri: str, now: datetime) -> Sequence[DeviceRegistration]:
        """The unexpired registrations of a user, the newest of each device, sorted by device UUID.

        Raises:
            DatabaseUnavailableError, ConfigurationError: they cannot be read; that is not "no devices".
        """
        with self._work():
            # Expired documents are there until the next sweep, and for ever where there is no TTL index.
            found = list(self._collection.find({"acsMri": acs_mri, "expiresAt": {"$gt": now}}))
        oldest_first = sorted((document.read(each) for each in found), key=lambda each: each.age_order)
        newest = {each.registration.device_uuid: each.registration for each in oldest_first}
        return [newest[device_uuid] for device_uuid in sorted(newest)]

    def delete(self, acs_mri: str, device_uuid: str, now: datetime) -> None:
        """Delete a device of a user.

        Raises:
            RegistrationNotFoundError: the user has no such unexpired device.
            DatabaseUnavailableError, ConfigurationError: the outcome is unknown.
        """
        with self._work():
            result = self._collection.delete_many(
                {"acsMri": acs_mri, "deviceUUID": device_uuid, "expiresAt": {"$gt": now}}
            )
        if result.deleted_count == 0:
            raise RegistrationNotFoundError("The user has no such device, or its registration has expired.")

    def delete_all(self, acs_mri: str) -> int:
        """Delete every device of a user, expired ones too.

        Returns:
            How many registrations were deleted.

        Raises:
            DatabaseUnavailableError, ConfigurationError: the outcome is unknown.
        """
        with self._work():
            return self._collection.delete_many({"acsMri": acs_mri}).deleted_count

    def forget(self, registration: DeviceRegistration) -> None:
        """Delete a registration whose token is dead, unless another user has registered that token since.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may still be there.
        """
        with self._work():
            self._collection.delete_one({"_id": registration.registration_id, "acsMri": registration.acs_mri})

    def _work(self) -> AbstractContextManager[None]:
        return mongodb.work(self._collection, self._timeouts)

    def _remove_surplus(self, acs_mri: str, now: datetime, maximum_devices: int) -> Sequence[str]:
        """Delete the least recently refreshed devices beyond the maximum."""
        found = [
            document.read(each)
            for each in self._collection.find({"acsMri": acs_mri, "expiresAt": {"$gt": now}})
        ]
        found.sort(key=lambda each: each.age_order, reverse=True)
        newest_first = list(dict.fromkeys(each.registration.device_uuid for each in found))
        kept = set(newest_first[:maximum_devices])
        removed = [
            each.registration.device_uuid
            for each in found
            if each.registration.device_uuid not in kept and self._delete_unchanged(each)
        ]
        return list(dict.fromkeys(removed))

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
                    {"_id": registration.registration_id}, {"$set": fields}, upsert=True
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
            create_indexes(self._collection)
            self._indexes_ready = True


def create_indexes(collection: Collection[mongodb.Document]) -> None:
    """Make the indexes of the registrations, if they are not there."""
    collection.create_index("acsMri")
    mongodb.create_ttl_index(collection)
