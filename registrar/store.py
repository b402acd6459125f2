"""The device store on MongoDB: one document a device token. Knows no HTTP.

A document: `_id` hash of platform and device token, `acsMri`, `deviceUUID`, `deviceToken`, `platform`,
`expiresAt`, `updatedAt`. Since the token decides the `_id`, one upsert registers it, refreshes it, and moves
it to whoever registered it last (sign-out and sign-in on one phone). There is no unique index, so nothing
stands in the way of sharding.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb
from models.device import DeviceRegistration, Platform
from models.errors import RegistrationNotFoundError

COLLECTION_NAME = "DeviceRegistrations"

_UPSERT_ATTEMPTS = 3

_BEFORE_ANY_REGISTRATION = timedelta(days=36_525)
"""By how much an adopted registration is dated back: a century, so that whatever an app does is newer."""


class Adoption(Enum):
    """What came of taking over a registration from an older registrar."""

    TAKEN_OVER = "taken over"
    REGISTERED_SINCE = "registered since"
    """An app has registered that token here, for whichever user."""
    DEVICE_REGISTERED_SINCE = "device registered since"
    """The user's device has registered another token here."""


class DeviceStore:
    """Registers, finds and forgets devices. Safe to share between threads."""

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
        """Add or refresh `registration`; the token leaves whoever had it, the device forgets older tokens.

        Args:
            registration: the device.
            now: the current time, UTC.
            maximum_devices: of the user; where there are more, the ones refreshed longest ago give way. None
                sets no maximum.

        Returns:
            The UUIDs of the devices that gave way.

        Raises:
            DatabaseUnavailableError, ConfigurationError: nothing is certain; the app has to register again.
        """
        updated_at = mongodb.milliseconds(now)
        with self._work():
            self._ensure_indexes()
            self._upsert(registration, updated_at)
            # Only older ones: of two tokens that race for one device, the one registered last stays.
            self._collection.delete_many(
                {
                    "acsMri": registration.acs_mri,
                    "deviceUUID": registration.device_uuid,
                    "_id": {"$ne": registration.registration_id},
                    "updatedAt": {"$lt": updated_at},
                }
            )
            if maximum_devices is None:
                return ()
            return self._displace(registration.acs_mri, now, maximum_devices)

    def adopt(self, registration: DeviceRegistration, now: datetime) -> Adoption:
        """Take over a registration from an older registrar, dated back to before any that was made here.

        So whatever an app registers here, before, after or during this, stays or wins; of two adoptions the
        later one does.

        Raises:
            DatabaseUnavailableError, ConfigurationError: nothing is certain; adopting again does no harm.
        """
        as_of = mongodb.milliseconds(now) - _BEFORE_ANY_REGISTRATION
        with self._work():
            self._ensure_indexes()
            try:
                # A newer document does not match, so that the insert that follows hits its `_id`.
                self._collection.update_one(
                    {"_id": registration.registration_id, "updatedAt": {"$lte": as_of}},
                    {"$set": _values(registration, as_of)},
                    upsert=True,
                )
            except errors.DuplicateKeyError:
                return Adoption.REGISTERED_SINCE
            others = _others_of_device(registration)
            self._collection.delete_many({**others, "updatedAt": {"$lt": as_of}})
            # Looked up after the insert: an app that registers the device later than this look deletes
            # what was inserted before it.
            if self._collection.find_one({**others, "updatedAt": {"$gt": as_of}}, {"_id": 1}) is None:
                return Adoption.TAKEN_OVER
            self._collection.delete_one(
                {"_id": registration.registration_id, "acsMri": registration.acs_mri, "updatedAt": as_of}
            )
            return Adoption.DEVICE_REGISTERED_SINCE

    def foresee_adoption(self, registration: DeviceRegistration, now: datetime) -> Adoption:
        """What `adopt` would come to now; changes nothing.

        Raises:
            DatabaseUnavailableError, ConfigurationError: nothing is known.
        """
        newer = {"updatedAt": {"$gt": mongodb.milliseconds(now) - _BEFORE_ANY_REGISTRATION}}
        with self._work():
            if self._collection.find_one({"_id": registration.registration_id, **newer}, {"_id": 1}):
                return Adoption.REGISTERED_SINCE
            if self._collection.find_one({**_others_of_device(registration), **newer}, {"_id": 1}):
                return Adoption.DEVICE_REGISTERED_SINCE
        return Adoption.TAKEN_OVER

    def devices_of(self, acs_mri: str, now: datetime) -> Sequence[DeviceRegistration]:
        """The unexpired registrations of a user, the newest of each device, sorted by device UUID.

        Raises:
            DatabaseUnavailableError, ConfigurationError: nothing is known; that is not "no devices".
        """
        with self._work():
            # The TTL sweep is periodic, and some databases have none: the expiry is checked here as well.
            found = list(self._collection.find({"acsMri": acs_mri, "expiresAt": {"$gt": now}}))
        found.sort(key=_age_order)
        newest = {document["deviceUUID"]: document for document in found}
        return [_registration(newest[device_uuid]) for device_uuid in sorted(newest)]

    def delete(self, acs_mri: str, device_uuid: str, now: datetime) -> None:
        """Forget a device.

        Raises:
            RegistrationNotFoundError: the user has no such unexpired device.
            DatabaseUnavailableError, ConfigurationError: nothing is certain.
        """
        with self._work():
            result = self._collection.delete_many(
                {"acsMri": acs_mri, "deviceUUID": device_uuid, "expiresAt": {"$gt": now}}
            )
        if result.deleted_count == 0:
            raise RegistrationNotFoundError("The user has no such device, or its registration has expired.")

    def delete_all(self, acs_mri: str) -> int:
        """Forget every device of a user, expired ones too.

        Returns:
            How many registrations there were.

        Raises:
            DatabaseUnavailableError, ConfigurationError: nothing is certain.
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

    def _displace(self, acs_mri: str, now: datetime, maximum_devices: int) -> Sequence[str]:
        """Delete the devices beyond the maximum, those refreshed longest ago."""
        wanted = {"deviceUUID": 1, "updatedAt": 1}
        found = list(self._collection.find({"acsMri": acs_mri, "expiresAt": {"$gt": now}}, wanted))
        found.sort(key=_age_order, reverse=True)
        kept = set(list(dict.fromkeys(document["deviceUUID"] for document in found))[:maximum_devices])
        surplus = [document for document in found if document["deviceUUID"] not in kept]
        # As it was read: one that has been refreshed since stays.
        gone = [
            document["deviceUUID"]
            for document in surplus
            if self._collection.delete_one(
                {"_id": document["_id"], "acsMri": acs_mri, "updatedAt": document["updatedAt"]}
            ).deleted_count
        ]
        return list(dict.fromkeys(gone))

    def _upsert(self, registration: DeviceRegistration, updated_at: datetime) -> None:
        values = _values(registration, updated_at)
        for attempt in range(1, _UPSERT_ATTEMPTS + 1):
            try:
                self._collection.update_one(
                    {"_id": registration.registration_id}, {"$set": values}, upsert=True
                )
            except errors.DuplicateKeyError:
                # Two first registrations of one token at once: one inserts, the other finds it next time.
                if attempt == _UPSERT_ATTEMPTS:
                    raise
            else:
                return

    def _ensure_indexes(self) -> None:
        """Create the indexes once a process, on the first registration."""
        # No lock: creating an index twice does no harm, queueing behind a database that is down would.
        if not self._indexes_ready:
            self._collection.create_index("acsMri")
            mongodb.create_ttl_index(self._collection)
            self._indexes_ready = True


def _values(registration: DeviceRegistration, updated_at: datetime) -> mongodb.Document:
    return {
        "acsMri": registration.acs_mri,
        "deviceUUID": registration.device_uuid,
        "deviceToken": registration.device_token,
        "platform": registration.platform.value,
        "expiresAt": registration.expires_at,
        "updatedAt": updated_at,
    }


def _others_of_device(registration: DeviceRegistration) -> mongodb.Document:
    """A filter for other tokens of the same user's same device."""
    return {
        "acsMri": registration.acs_mri,
        "deviceUUID": registration.device_uuid,
        "_id": {"$ne": registration.registration_id},
    }


def _age_order(document: Mapping[str, Any]) -> tuple[datetime, str]:
    """Oldest first; of two of the same millisecond, any, but always the same one."""
    return document["updatedAt"], document["_id"]


def _registration(document: Mapping[str, Any]) -> DeviceRegistration:
    return DeviceRegistration(
        acs_mri=document["acsMri"],
        device_uuid=document["deviceUUID"],
        device_token=document["deviceToken"],
        platform=Platform(document["platform"]),
        expires_at=document["expiresAt"].replace(tzinfo=UTC),
    )
