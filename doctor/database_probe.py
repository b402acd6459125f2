"""What can be learned of the database without changing anything in it."""

import re
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from doctor.database import DatabaseTroubleError, Document, asking
from push import ledger
from registrar import rate, store

COLLECTIONS = (store.COLLECTION_NAME, ledger.COLLECTION_NAME, rate.COLLECTION_NAME)
ROUND_TRIPS = 5
SWEPT_AFTER = timedelta(minutes=15)
"""The sweep runs once a minute and may be slow; what is older than this is not being swept."""

_COSMOS_RU_HOST = re.compile(r"(\.mongo\.cosmos\.azure\.(com|us|cn)|\.documents\.azure\.(com|us|cn))(:\d+)?$")
_COSMOS_RU_SET_NAME = "globaldb"


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """One collection of the app."""

    has_documents: bool
    indexed: Mapping[str, int | None]
    """Field → `expireAfterSeconds`, None where the index is no TTL index; single-field indexes only."""
    has_overdue: bool
    """There are documents that a sweep should have deleted long ago."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Field → error code of making its index, where that was asked for and refused."""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """All that was learned."""

    round_trip_seconds: float
    """The median of a few."""
    clock_ahead_seconds: float | None
    """By how much our clock is ahead of the server's."""
    is_cosmos_ru: bool
    """Azure Cosmos DB for MongoDB in its request-unit model."""
    may_write: DatabaseTroubleError | None
    """None if the user may write."""
    collections: Mapping[str, CollectionFacts]


def is_cosmos_ru_host(uri: str) -> bool:
    """True if the connection string names a host of Cosmos DB for MongoDB (RU)."""
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
        self._database = client[database_name]
        self._uri = uri
        self._now = now

    def ask(self, *, create_indexes: bool = False) -> DatabaseFacts:
        """Everything; the only thing that it may change are the indexes, and only if that is asked for.

        Raises:
            DatabaseTroubleError: it cannot be asked, or its credentials or the right to read are refused.
        """
        with asking():
            self._read()  # the first one may have to warm up
            began = self._now()
            hello = self._client.admin.command("hello")
            ended = self._now()
            return DatabaseFacts(
                round_trip_seconds=statistics.median(self._round_trip() for _ in range(ROUND_TRIPS)),
                clock_ahead_seconds=_ahead(hello, began + (ended - began) / 2),
                is_cosmos_ru=is_cosmos_ru_host(self._uri) or hello.get("setName") == _COSMOS_RU_SET_NAME,
                may_write=self._may_write(),
                collections={name: self._collection(name, create=create_indexes) for name in COLLECTIONS},
            )

    def _read(self) -> None:
        self._database[store.COLLECTION_NAME].find_one({"_id": "doctor"}, {"_id": 1})

    def _round_trip(self) -> float:
        began = time.perf_counter()
        self._read()
        return time.perf_counter() - began

    def _may_write(self) -> DatabaseTroubleError | None:
        try:
            with asking():
                # There is no such document, but the right to write is asked for.
                self._database[store.COLLECTION_NAME].delete_one({"_id": "doctor"})
        except DatabaseTroubleError as error:
            return error
        return None

    def _collection(self, name: str, *, create: bool) -> CollectionFacts:
        collection = self._database[name]
        refused = _create_indexes(collection) if create else {}
        indexed = _single_fields(collection)
        overdue = {"expiresAt": {"$lt": self._now() - SWEPT_AFTER}}
        return CollectionFacts(
            has_documents=collection.find_one({}, {"_id": 1}) is not None,
            indexed=indexed,
            # Without the index this would read the whole collection.
            has_overdue="expiresAt" in indexed and collection.find_one(overdue, {"_id": 1}) is not None,
            refused=refused,
        )


def _create_indexes(collection: Collection[Document]) -> Mapping[str, int]:
    """The indexes that the app itself makes on first use; the codes of those that are refused."""
    refused = {}
    for name, options in _index_options(collection.name).items():
        try:
            collection.create_index(name, **options)
        except OperationFailure as error:
            refused[name] = error.code or 0
    return refused


def _index_options(collection_name: str) -> Mapping[str, Mapping[str, Any]]:
    lookups = {store.COLLECTION_NAME: "acsMri", ledger.COLLECTION_NAME: "callId"}
    options: dict[str, Mapping[str, Any]] = {"expiresAt": {"expireAfterSeconds": 0}}
    if collection_name in lookups:
        options[lookups[collection_name]] = {}
    return options


def _single_fields(collection: Collection[Document]) -> Mapping[str, int | None]:
    found: dict[str, int | None] = {}
    for index in collection.list_indexes():
        fields = list(index["key"])
        if len(fields) == 1:
            found[fields[0]] = index.get("expireAfterSeconds")
    return found


def _ahead(hello: Mapping[str, Any], now: datetime) -> float | None:
    moment = hello.get("localTime")
    if not isinstance(moment, datetime):
        return None
    return (now - moment.replace(tzinfo=moment.tzinfo or UTC)).total_seconds()
