"""The device store on MongoDB: one document a device token. Knows no HTTP.

A document: `_id` hash of platform and device token, `acsMri`, `deviceUUID`, `deviceToken`, `platform`,
`expiresAt`, `updatedAt`. Since the token decides the `_id`, one upsert registers it, refreshes it, and moves
it to whoever registered it last (sign-out and sign-in on one phone). There is no unique index, so nothing
stands in the way of sharding.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from pymongo import errors
from pymongo.collection import Collection

import mongodb
from models.device import DeviceRegistration, Platform
from models.errors import RegistrationNotFoundError

COLLECTION_NAME = "DeviceRegistrations"

_UPSERT_ATTEMPTS = 3


class DeviceStore:
    """Registers, finds and forgets devices. Safe to share between threads."""

    def __init__(
        self,
        collection: Collection[mongodb.Document],
        timeout_seconds: float,
        server_selection_seconds: float | None = None,
    ) -> None:
        """Take the collection, the time that each method may take in all, and its share to find a server."""
        self._collection = collection
        self._timeout_seconds = timeout_seconds
        self._server_selection_seconds = server_selection_seconds
        self._indexes_ready = False

    def register(self, registration: DeviceRegistration, now: datetime) -> None:
        """Add or refresh `registration`; the token leaves whoever had it, the device forgets older tokens.

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

    def devices_of(self, acs_mri: str, now: datetime) -> Sequence[DeviceRegistration]:
        """The unexpired registrations of a user, the newest of each device, sorted by device UUID.

        Raises:
            DatabaseUnavailableError, ConfigurationError: nothing is known; that is not "no devices".
        """
        with self._work():
            # The TTL sweep is periodic, and some databases have none: the expiry is checked here as well.
            found = list(self._collection.find({"acsMri": acs_mri, "expiresAt": {"$gt": now}}))
        found.sort(key=lambda document: (document["updatedAt"], document["_id"]))
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

    def forget(self, registration: DeviceRegistration) -> None:
        """Delete a registration whose token is dead, unless another user has registered that token since.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may still be there.
        """
        with self._work():
            self._collection.delete_one({"_id": registration.registration_id, "acsMri": registration.acs_mri})

    def _work(self) -> AbstractContextManager[None]:
        return mongodb.work(self._collection, self._timeout_seconds, self._server_selection_seconds)

    def _upsert(self, registration: DeviceRegistration, updated_at: datetime) -> None:
        values = {
            "acsMri": registration.acs_mri,
            "deviceUUID": registration.device_uuid,
            "deviceToken": registration.device_token,
            "platform": registration.platform.value,
            "expiresAt": registration.expires_at,
            "updatedAt": updated_at,
        }
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


def _registration(document: Mapping[str, Any]) -> DeviceRegistration:
    return DeviceRegistration(
        acs_mri=document["acsMri"],
        device_uuid=document["deviceUUID"],
        device_token=document["deviceToken"],
        platform=Platform(document["platform"]),
        expires_at=document["expiresAt"].replace(tzinfo=UTC),
    )
