"""Notes on calls that nothing else explains: what they leave alone, and that they never fail a call."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect

from common import mongodb
from local.database import EmbeddedDatabase
from push.call_notes import LedgerNotes
from push.ledger import EventKey, Held, Lease, Ledger

NOW = datetime(2100, 1, 31, 12, 0, tzinfo=UTC)
KEY = EventKey("/source", "event", "call")
VALUES = {"result": "missed", "late_seconds": 3.5}


Documents = Collection[dict[str, Any]]


@pytest.fixture(scope="module")
def database() -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase() as running:
        yield running


@pytest.fixture
def collection(database: EmbeddedDatabase) -> Iterator[Documents]:
    """A ledger that no other test knows."""
    with MongoClient[dict[str, Any]](database.uri) as client:
        yield client[f"test-{uuid.uuid4().hex[:12]}"]["CallLedger"]


def ledger(collection: Documents) -> Ledger:
    return Ledger(collection, mongodb.Timeouts(3), timedelta(seconds=9))


def test_kept(collection: Documents) -> None:
    """A note names the call, says what became of it, and expires with the ledger."""
    LedgerNotes(collection).note(KEY, VALUES, NOW)
    (document,) = collection.find()
    assert (document["_id"], document["eventId"], document["callId"]) == (KEY.document_id, "event", "call")
    assert document["note"]["result"] == "missed"
    assert document["note"]["lateSeconds"] == 3.5
    assert document["expiresAt"].replace(tzinfo=UTC) == NOW + timedelta(days=1)
    assert {"callId_1", "expiresAt_1"} <= set(collection.index_information())


def test_hinders_no_redelivery(collection: Documents) -> None:
    """An event of which nothing but a note is known is taken as if it were new."""
    LedgerNotes(collection).note(KEY, VALUES, NOW)
    lease = ledger(collection).claim(KEY, "holder", NOW)
    assert isinstance(lease, Lease)
    assert lease.settled == frozenset()


def test_leaves_a_lease_alone(collection: Documents) -> None:
    """A note on an event that somebody is ringing changes nothing about that."""
    held = ledger(collection)
    held.claim(KEY, "holder", NOW)
    before = collection.find_one()
    LedgerNotes(collection).note(KEY, VALUES, NOW)
    after = collection.find_one() or {}
    assert {name: value for name, value in after.items() if name != "note"} == before
    assert isinstance(held.claim(KEY, "other", NOW), Held)


def test_never_fails() -> None:
    """Where the database does not answer, the call goes on without a note."""

    class Down:
        def update_one(self, *_: object, **__: object) -> None:
            raise AutoReconnect("secret")

    LedgerNotes(Down()).note(KEY, VALUES, NOW)  # type: ignore[arg-type]
