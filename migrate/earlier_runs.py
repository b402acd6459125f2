"""Which tokens earlier runs have dealt with, so that a later run does not undo what apps did in between.

One document a device token: `_id` the registration id (a hash, never the token), `owner` a hash of user and
device, `expiresAt`. Without it a second run would bring back the phone of a user who has signed out since.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb
from common.index_maker import IndexMaker
from models.identity import MAXIMUM_TTL_SECONDS
from models.indexes import NeededIndex

COLLECTION_NAME = "MigratedDevices"

INDEXES = (NeededIndex("expiresAt", expires=True),)

REMEMBERED_FOR = timedelta(seconds=MAXIMUM_TTL_SECONDS)
"""As long as any registration can live."""


def owner_hash(acs_mri: str, device_uuid: str) -> str:
    """Names user and device together; 64 hexadecimal digits."""
    return hashlib.sha256(f"{acs_mri}\n{device_uuid}".encode()).hexdigest()


class EarlierRuns:
    """A collection beside the registrations. With `read_only` nothing is recorded."""

    def __init__(
        self, collection: Collection[mongodb.Document], work: mongodb.Work, *, read_only: bool = False
    ) -> None:
        """Take the collection, and what bounds each method in time."""
        self._collection = collection
        self._work = work
        self._read_only = read_only
        self._indexes = IndexMaker(collection, work, INDEXES)

    def owners(self, registration_ids: Sequence[str]) -> Mapping[str, str]:
        """The owner of each token when it was dealt with; tokens that were not are left out.

        Raises:
            DatabaseUnavailableError, ConfigurationError: nothing is known.
        """
        named = {"_id": {"$in": list(registration_ids)}}
        found = self._work.run(self._collection, lambda: list(self._collection.find(named, {"owner": 1})))
        return {document["_id"]: document["owner"] for document in found}

    def record(self, owners: Mapping[str, str], now: datetime) -> None:
        """Record that tokens have been dealt with, by registration id.

        Raises:
            DatabaseUnavailableError, ConfigurationError: some may not have been recorded; the next run deals
                with those again, which is harmless unless their users have signed out in between.
        """
        if not owners or self._read_only:
            return
        expires_at = mongodb.milliseconds(now + REMEMBERED_FOR)
        documents = [{"_id": name, "owner": owner, "expiresAt": expires_at} for name, owner in owners.items()]

        def remember() -> None:
            self._collection.delete_many({"_id": {"$in": list(owners)}})
            try:
                self._collection.insert_many(documents, ordered=False)
            except errors.BulkWriteError as error:
                # Another run at the same time has written some of them.
                if any(each["code"] != 11000 for each in error.details["writeErrors"]):
                    raise

        self._work.run(self._collection, remember)
        self._indexes.ensure()
