"""Limits how often requests for one user may come, counted in MongoDB and so across instances.

One document a user and minute for each kind of request: `_id`, `count`, `expiresAt`. One conditional upsert
counts and limits in a single round trip: at the limit its filter matches nothing, and the insert that follows
meets the existing `_id`.
"""

import hashlib
from datetime import datetime, timedelta

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb
from common.index_maker import IndexMaker
from models.errors import TooManyChangesError, TooManyReportsError
from models.identity import Identity
from models.indexes import NeededIndex

COLLECTION_NAME = "RegistrationRates"

INDEXES = (NeededIndex("expiresAt", expires=True),)

_WINDOW_SECONDS = 60
_ATTEMPTS = 3


class RateLimit:
    """Counts requests of one kind per user and minute. Safe to share between threads and instances."""

    def __init__(
        self,
        collection: Collection[mongodb.Document],
        work: mongodb.Work,
        per_minute: int,
        error: type[TooManyChangesError | TooManyReportsError] = TooManyChangesError,
    ) -> None:
        """Take what it counts with.

        Args:
            collection: may be shared by limits of different kinds.
            work: bounds counting in time.
            per_minute: the limit; 0 is no limit.
            error: raised at the limit; it also says which kind of request is counted.
        """
        self._collection = collection
        self._work = work
        self._per_minute = per_minute
        self._error = error
        self._indexes = IndexMaker(collection, work, INDEXES)

    def count(self, owner: Identity, now: datetime) -> None:
        """Count one request for a user.

        Raises:
            TooManyChangesError, TooManyReportsError: the limit of this minute is reached.
            DatabaseUnavailableError, ConfigurationError: it cannot be counted.
        """
        if self._per_minute == 0:
            return
        counted = self._error.counted
        minute = int(now.timestamp()) // _WINDOW_SECONDS
        name = hashlib.sha256(f"{counted}\n{owner.mri}\n{minute}".encode()).hexdigest()
        if not self._work.run(self._collection, lambda: self._count(name, now)):
            raise self._error(
                f"At most {self._per_minute} {counted} a minute are allowed for one user.",
                retry_after_seconds=_WINDOW_SECONDS - int(now.timestamp()) % _WINDOW_SECONDS,
            )
        self._indexes.ensure()

    def _count(self, name: str, now: datetime) -> bool:
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
