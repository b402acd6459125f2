"""The registrar's stores over a database in memory."""

from typing import Any, cast

import mongomock
from pymongo.collection import Collection

from common import mongodb
from registrar.rate import RateLimit
from registrar.store import DeviceStore
from tests.fakes import FakeClock

WORK = mongodb.Work(mongodb.Timeouts(10.0), FakeClock())


class FailingCollection:
    """A collection whose methods raise `error` once that is set."""

    def __init__(self, collection: Collection[mongodb.Document]) -> None:
        self._collection = collection
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        if self.error is not None:
            raise self.error
        return getattr(self._collection, name)


def new_collection() -> Collection[mongodb.Document]:
    """An empty collection in memory."""
    return cast("Collection[mongodb.Document]", mongomock.MongoClient()["calling"]["devices"])


def device_store(collection: Collection[mongodb.Document] | FailingCollection | None = None) -> DeviceStore:
    """A device store over a collection in memory."""
    found = new_collection() if collection is None else collection
    return DeviceStore(cast("Collection[mongodb.Document]", found), WORK)


def no_rate_limit() -> RateLimit:
    """A limit that is switched off."""
    return RateLimit(new_collection(), WORK, 0)
