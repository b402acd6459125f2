"""Asks the database what can be learned of it.

It writes one document and deletes it again, because a full database, a read-only user and a name in another
letter case show only when something is inserted. It makes indexes with `create_indexes` only.
"""

import re
import statistics
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import MongoClient, errors
from pymongo.collection import Collection

from common.mongodb import Document, failure_of
from doctor.checks.database_checks import SWEPT_AFTER, CollectionFacts, DatabaseFacts, Refusal
from doctor.probes.database_connection import DatabaseTroubleError, translated
from doctor.probes.records import Records
from models.database_sign_in import sign_in_way
from models.device import Purpose
from models.indexes import ExistingIndex, IndexState, NeededIndex, index_state, serving_index
from models.platform import Platform
from push import ledger
from registrar import rate, store

NEEDED_INDEXES: Mapping[str, Sequence[NeededIndex]] = {
    module.COLLECTION_NAME: module.INDEXES for module in (store, ledger, rate)
}
ROUND_TRIPS = 5
COUNTING_SECONDS = 5.0
MAKING_SECONDS = 1_800.0
"""For the indexes of one collection. A database gives a build up that does not end in time, so what the app's
own limit is too short for has to end here."""
MOST_UNREADABLE = 1_000

_COSMOS_RU_HOST = re.compile(r"(\.mongo\.cosmos\.azure\.(com|us|cn)|\.documents\.azure\.(com|us|cn))(:\d+)?$")
_COSMOS_RU_SET_NAME = "globaldb"

_UNREADABLE = {
    "$or": [
        {"platform": {"$nin": [platform.value for platform in Platform]}},
        *({name: {"$not": {"$type": "string"}}} for name in ("_id", "acsMri", "deviceUUID", "deviceToken")),
        *({name: {"$not": {"$type": "date"}}} for name in ("expiresAt", "updatedAt")),
        # Where it is missing or empty it means calls, or the default hub.
        {"purpose": {"$nin": [None, "", *(purpose.value for purpose in Purpose)]}},
        {"hub": {"$ne": None, "$not": {"$type": "string"}}},
    ]
}
"""Registrations that `registrar.document.read` cannot read: without a platform or a purpose of this version,
or with a field missing or of another type."""


def is_cosmos_ru_host(uri: str) -> bool:
    """Whether the connection string names a host of Cosmos DB for MongoDB (RU)."""
    authority = re.split(r"[/?]", uri.partition("//")[2], maxsplit=1)[0]
    hosts = authority.rpartition("@")[2].lower().split(",")
    return any(_COSMOS_RU_HOST.search(host) for host in hosts)


class DatabaseProbe:
    """Asks one database."""

    def __init__(
        self,
        client: MongoClient[Document],
        database_name: str,
        uri: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Take a client, the name of the app's database, and the connection string for its host name."""
        self._client = client
        self._name = database_name
        self._database = client[database_name]
        self._uri = uri
        self._now = now

    def ask(self, *, create_indexes: bool = False) -> DatabaseFacts:
        """Find everything out.

        Raises:
            DatabaseTroubleError: the database cannot be asked, or it refuses the credentials or the right to
                read.
        """
        with translated():
            self._read()  # the first one may have to open a connection
            began = self._now()
            hello = self._client.admin.command("hello")
            ended = self._now()
            clock_ahead = _clock_ahead(hello, began + (ended - began) / 2)
            round_trip = statistics.median(self._round_trip() for _ in range(ROUND_TRIPS))
            name_in_another_case = self._name_in_another_case()
            write_refused = None if name_in_another_case else self._write(create=create_indexes)
        refused = {name: self._make_indexes(name) for name in NEEDED_INDEXES if create_indexes}
        with translated():
            return DatabaseFacts(
                sign_in=sign_in_way(self._uri),
                round_trip_seconds=round_trip,
                clock_ahead_seconds=clock_ahead,
                is_cosmos_ru=is_cosmos_ru_host(self._uri) or hello.get("setName") == _COSMOS_RU_SET_NAME,
                name_in_another_case=name_in_another_case,
                write_refused=write_refused,
                collections={name: self._collection(name, refused.get(name, {})) for name in NEEDED_INDEXES},
                content=Records(self._client, self._name).content(),
                unreadable=self._unreadable(),
            )

    def _read(self) -> None:
        self._database[store.COLLECTION_NAME].find_one({"_id": "doctor"}, {"_id": 1})

    def _round_trip(self) -> float:
        began = time.perf_counter()
        self._read()
        return time.perf_counter() - began

    def _name_in_another_case(self) -> str | None:
        try:
            names = self._client.list_database_names()
        except errors.OperationFailure:
            return None  # the user may not list databases; an insert would be refused with a code of its own
        if self._name in names:
            return None
        return next((name for name in names if name.lower() == self._name.lower()), None)

    def _write(self, *, create: bool) -> Refusal | None:
        registrations = self._database[store.COLLECTION_NAME]
        document = {"_id": f"doctor-{uuid.uuid4()}", "expiresAt": self._now()}
        try:
            with translated():
                # An insert would create a database that does not exist, perhaps under a misspelled name.
                if create or registrations.find_one({}, {"_id": 1}) is not None:
                    registrations.insert_one(document)
                registrations.delete_one({"_id": document["_id"]})
        except DatabaseTroubleError as error:
            return Refusal(error.cause, error.code)
        return None

    def _make_indexes(self, name: str) -> Mapping[str, Refusal]:
        """Make the missing indexes of a collection; the refusals, by field."""
        collection = self._database[name]
        with translated(MAKING_SECONDS):
            existing = _indexes(collection)
            missing = [
                index
                for index in NEEDED_INDEXES[name]
                if index_state(index, existing) is not IndexState.SERVES
            ]
            refusals = ((index.field, _refusal(collection, index)) for index in missing)
            return {field: refusal for field, refusal in refusals if refusal is not None}

    def _collection(self, name: str, refused: Mapping[str, Refusal]) -> CollectionFacts:
        collection = self._database[name]
        indexes = _indexes(collection)
        overdue = {
            "expiresAt": {"$lt": self._now() - SWEPT_AFTER - _deleted_after(NEEDED_INDEXES[name], indexes)}
        }
        # Without an index this would read the whole collection.
        is_indexed = any(index.fields[:1] == ("expiresAt",) for index in indexes)
        return CollectionFacts(
            has_documents=collection.find_one({}, {"_id": 1}) is not None,
            needed=NEEDED_INDEXES[name],
            indexes=indexes,
            has_overdue=is_indexed and collection.find_one(overdue, {"_id": 1}) is not None,
            refused=refused,
        )

    def _unreadable(self) -> int | None:
        try:
            with translated(COUNTING_SECONDS):
                wanted = {**_UNREADABLE, "_id": {"$not": re.compile("^doctor-")}}
                found = self._database[store.COLLECTION_NAME].find(wanted, {"_id": 1}).limit(MOST_UNREADABLE)
                return sum(1 for _ in found)
        except DatabaseTroubleError:
            return None


def _refusal(collection: Collection[Document], index: NeededIndex) -> Refusal | None:
    """Make an index; why it is refused, or None."""
    options: dict[str, Any] = {"expireAfterSeconds": 0} if index.expires else {}
    try:
        collection.create_index(index.field, **options)
    except errors.OperationFailure as error:
        failure = failure_of(error)
        return Refusal(failure.cause, failure.code)
    return None


def _indexes(collection: Collection[Document]) -> list[ExistingIndex]:
    return [ExistingIndex.read(document) for document in collection.list_indexes()]


def _deleted_after(needed: Sequence[NeededIndex], existing: Sequence[ExistingIndex]) -> timedelta:
    """How long after their expiry documents are to be deleted."""
    (of_expiry,) = (index for index in needed if index.expires)
    found = serving_index(of_expiry, existing)
    return timedelta(seconds=(found and found.expire_after_seconds) or 0)


def _clock_ahead(hello: Mapping[str, Any], now: datetime) -> float | None:
    moment = hello.get("localTime")
    if not isinstance(moment, datetime):
        return None
    return (now - moment.replace(tzinfo=moment.tzinfo or UTC)).total_seconds()
