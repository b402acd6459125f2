"""The device store on MongoDB: one document a device token. Knows no HTTP.

A document: `_id` hash of platform and device token, `acsMri`, `deviceUUID`, `deviceToken`, `platform`,
`expiresAt`, `updatedAt`. Since the token decides the `_id`, one upsert registers it, refreshes it, and moves
it to whoever registered it last (sign-out and sign-in on one phone). There is no unique index, so nothing
stands in the way of sharding.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pymongo
from pymongo import errors
from pymongo.collection import Collection

import telemetry
from models.device import DeviceRegistration, Platform
from models.errors import ConfigurationError, DatabaseUnavailableError, RegistrationNotFoundError

COLLECTION_NAME = "DeviceRegistrations"

_UNAUTHORIZED_CODES = frozenset({13, 18})
"""MongoDB's Unauthorized and AuthenticationFailed."""

_UPSERT_ATTEMPTS = 3

Document = dict[str, Any]


@contextmanager
def database(timeout_seconds: float) -> Iterator[None]:
    """A piece of work with MongoDB: bounded in time, its failures turned into our errors.

    What pymongo raises quotes commands and keys, so no cause is kept.

    Raises:
        ConfigurationError: the database refuses the credentials.
        DatabaseUnavailableError: every other failure.
    """
    try:
        with pymongo.timeout(timeout_seconds):
            yield
    except errors.OperationFailure as error:
        if error.code in _UNAUTHORIZED_CODES:
            raise ConfigurationError(
                "MongoDB refuses the credentials: check MongoDbConnectionString and the user's roles."
            ) from None
        raise DatabaseUnavailableError(
            f"MongoDB failed to carry out a command (code {error.code})."
        ) from None
    except errors.ConfigurationError:
        raise ConfigurationError(
            "MongoDbConnectionString cannot be used: check it against the driver's rules."
        ) from None
    except errors.PyMongoError as error:
        raise DatabaseUnavailableError(
            f"MongoDB cannot be reached in time ({type(error).__name__})."
        ) from None


class DeviceStore:
    """Registers, finds and forgets devices. Safe to share between threads."""

    def __init__(self, collection: Collection[Document], timeout_seconds: float) -> None:
        """Take the collection, and the time that each method may take in all."""
        self._collection = collection
        self._timeout_seconds = timeout_seconds
        self._indexes_ready = False

    def register(self, registration: DeviceRegistration, now: datetime) -> None:
        """Add or refresh `registration`; the token leaves whoever had it, the device forgets older tokens.

        Raises:
            DatabaseUnavailableError, ConfigurationError: nothing is certain; the app has to register again.
        """
        updated_at = _milliseconds(now)
        with database(self._timeout_seconds):
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
        with database(self._timeout_seconds):
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
        with database(self._timeout_seconds):
            result = self._collection.delete_many(
                {"acsMri": acs_mri, "deviceUUID": device_uuid, "expiresAt": {"$gt": now}}
            )
        if result.deleted_count == 0:
            raise RegistrationNotFoundError("The user has no such device, or its registration has expired.")

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
            create_ttl_index(self._collection)
            self._indexes_ready = True


def create_ttl_index(collection: Collection[Document]) -> None:
    """Have the database delete documents at their `expiresAt`, or say loudly that it will not.

    Cosmos DB for MongoDB (RU) takes a TTL index on `_ts` only and refuses this one with a command error.
    """
    try:
        collection.create_index("expiresAt", expireAfterSeconds=0)
    except errors.OperationFailure as error:
        if error.code in _UNAUTHORIZED_CODES:
            raise
        telemetry.log(
            logging.ERROR,
            "ttl_index_refused",
            collection=collection.name,
            code=error.code,
            remedy="Expired documents are ignored but stay. Use a MongoDB that has TTL indexes on any field, "
            "such as Azure DocumentDB or Atlas.",
        )


def _milliseconds(moment: datetime) -> datetime:
    """`moment` as MongoDB stores it."""
    return moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)


def _registration(document: Mapping[str, Any]) -> DeviceRegistration:
    return DeviceRegistration(
        acs_mri=document["acsMri"],
        device_uuid=document["deviceUUID"],
        device_token=document["deviceToken"],
        platform=Platform(document["platform"]),
        expires_at=document["expiresAt"].replace(tzinfo=UTC),
    )
