"""Makes the indexes of a collection beside the work that needs them."""

import logging
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb, telemetry
from models import known_causes
from models.errors import ServiceError
from models.indexes import ExistingIndex, IndexState, NeededIndex, index_state
from models.known_causes import Cause, Fault

PAUSE_SECONDS = 60.0
"""Between two tries of a process. A try that is too short for a large collection costs the database what it
has built so far."""

_REFUSED_CREDENTIALS = frozenset({18, 334, 8000})


class IndexMaker:
    """Makes the indexes of one collection, once a process. Safe to share between threads.

    The app works without an index, slowly or without the deletion of expired documents. So none fails the
    work that it is made beside: it is logged that one is refused, or that it cannot be made now.
    """

    def __init__(
        self, collection: Collection[mongodb.Document], work: mongodb.Work, needed: Sequence[NeededIndex]
    ) -> None:
        """Take the collection, what bounds each try in time, and which indexes it needs."""
        self._collection = collection
        self._work = work
        self._missing = tuple(needed)
        self._not_before = 0.0
        self._trying = threading.Lock()

    def ensure(self) -> None:
        """Make the indexes that are missing; to be called after the work itself.

        One that exists and serves is enough: name and options do not matter. What cannot be made now is tried
        again with later work.
        """
        if self._missing and self._trying.acquire(blocking=False):
            try:
                if self._work.clock.monotonic() >= self._not_before:
                    self._try()
            finally:
                self._trying.release()

    def _try(self) -> None:
        for index in self._missing:
            try:
                self._work.run(self._collection, partial(_make, self._collection, index))
            except ServiceError as error:
                self._not_before = self._work.clock.monotonic() + PAUSE_SECONDS
                telemetry.log(
                    logging.WARNING,
                    "indexes_not_made",
                    collection=self._collection.name,
                    field=index.field,
                    code=error.code,
                    detail=error.detail,
                )
                return
            self._missing = self._missing[1:]


def _make(collection: Collection[mongodb.Document], index: NeededIndex) -> None:
    options: dict[str, Any] = {"expireAfterSeconds": 0} if index.expires else {}
    try:
        collection.create_index(index.field, **options)
    except errors.OperationFailure as error:
        cause = known_causes.cause_of_code(error.code, mongodb.message_of(error))
        passing = cause is not None and cause.fault is Fault.PASSING
        if passing or error.timeout or error.code in _REFUSED_CREDENTIALS:
            raise
        if _state(collection, index) is not IndexState.SERVES:
            _tell_of_refused_index(collection.name, index, error.code, cause)


def _state(collection: Collection[mongodb.Document], index: NeededIndex) -> IndexState:
    try:
        return index_state(index, map(ExistingIndex.read, collection.list_indexes()))
    except errors.OperationFailure:
        return IndexState.MISSING


def _tell_of_refused_index(
    collection_name: str, index: NeededIndex, code: int | None, cause: Cause | None
) -> None:
    if index.expires:
        # Azure Cosmos DB for MongoDB (RU) takes a TTL index on `_ts` only.
        remedy = (
            "Expired documents are ignored but stay. Use a MongoDB that has TTL indexes on any field, such "
            "as Azure DocumentDB or Atlas."
        )
    else:
        remedy = "Reads scan the whole collection. Create the index by hand."
    telemetry.log(
        logging.ERROR,
        "ttl_index_refused" if index.expires else "index_refused",
        collection=collection_name,
        field=index.field,
        code=code,
        remedy=f"{cause.remedy} {remedy}" if cause else remedy,
    )
