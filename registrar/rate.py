"""Limits how often one user's registrations may change, counted in MongoDB and so across instances.

One document a user and minute: `_id`, `count`, `expiresAt`. One conditional upsert counts and limits in a
single round trip: at the limit its filter matches nothing, and the insert that follows meets the existing
`_id`.
"""

import hashlib
from datetime import datetime, timedelta

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb
from models.errors import TooManyChangesError
from models.identity import Identity
from models.indexes import NeededIndex

COLLECTION_NAME = "RegistrationRates"

INDEXES = (NeededIndex("expiresAt", expires=True),)

_WINDOW_SECONDS = 60
_ATTEMPTS = 3


class ChangeLimit:
    """Counts changes per user and minute. Safe to share between threads and instances."""

    def __init__(
        self,
        collection: Collection[mongodb.Document],
        work: mongodb.Work,
        per_minute: int,
    ) -> None:
        """Take the collection, what bounds counting in time, and the limit; 0 is no limit."""
        self._collection = collection
        self._work = work
        self._per_minute = per_minute
        self._index_ready = False

    def count_change(self, owner: Identity, now: datetime) -> None:
        """Count one change of a user's registrations.

        Raises:
            TooManyChangesError: the limit of this minute is reached.
            DatabaseUnavailableError, ConfigurationError: it cannot be counted.
        """
        if self._per_minute == 0:
            return
        minute = int(now.timestamp()) // _WINDOW_SECONDS
        name = hashlib.sha256(f"{owner.mri}\n{minute}".encode()).hexdigest()
        if not self._work.run(self._collection, lambda: self._count(name, now)):
            wait = _WINDOW_SECONDS - int(now.timestamp()) % _WINDOW_SECONDS
            raise TooManyChangesError(
                f"At most {self._per_minute} changes a minute are allowed for one user.",
                retry_after_seconds=wait,
            )

    def _count(self, name: str, now: datetime) -> bool:
        self._ensure_index()
        below_limit = {"_id": name, "count": {"$lt": self._per_minute}}
        change = {
            "$inc": {"count": 1},
            "$setOnInsert": {"expiresAt": mongodb.milliseconds(now + timedelta(seconds=2 * _WINDOW_SECONDS))},
        }
        for _ in range(_ATTEMPTS):
            try:
                self._collection.update_one(below_limit, change, upsert=True)
            except errors.DuplicateKeyError:
                # The limit is reached, or another request has just inserted the document; the next try tells.
                continue
            return True
        return False

    def _ensure_index(self) -> None:
        if not self._index_ready:
            mongodb.ensure_indexes(self._collection, INDEXES)
            self._index_ready = True
