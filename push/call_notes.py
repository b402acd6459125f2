"""Why a call did not ring, where no device's outcome in the ledger says it: missed, skipped, given up.

A note is a field of the event's ledger document, `note`: `result`, `at`, and what is known of `reason`,
`code`, `lateSeconds`, `devices` and `failed`. It is written after the event has been dealt with, on the way
out, so it costs no ring any time; if it cannot be written the log line is all that there is.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import pymongo
from pymongo import errors
from pymongo.collection import Collection

from common import mongodb, telemetry
from push.ledger import REMEMBERED_FOR, EventKey, create_indexes

NOTE_SECONDS = 1.0
"""Short: where the database is down, late events by the hundred must not queue up for it."""

_FIELD_NAMES = {"late_seconds": "lateSeconds"}


class CallNotes(Protocol):
    """Where notes go."""

    def note(self, key: EventKey, values: Mapping[str, object], now: datetime) -> None:
        """Keep `values` for an operator; never fails."""
        ...


class NoCallNotes:
    """Keeps none."""

    def note(self, key: EventKey, values: Mapping[str, object], now: datetime) -> None:
        """Do nothing."""


class LedgerNotes:
    """Notes in the ledger. Safe to share between threads."""

    def __init__(self, collection: Collection[mongodb.Document]) -> None:
        """Take the ledger's collection."""
        self._collection = collection
        self._indexes_ready = False

    def note(self, key: EventKey, values: Mapping[str, object], now: datetime) -> None:
        """Write a note, best effort.

        Where the event has no document yet it gets one that nobody holds and that is not finished, so that a
        redelivery is dealt with as if there were none.

        Args:
            key: the event.
            values: what to note; nothing in it is secret.
            now: the current time, UTC.
        """
        moment = mongodb.milliseconds(now)
        note = {_FIELD_NAMES.get(name, name): value for name, value in values.items()}
        document: mongodb.Document = {
            "eventId": key.event_id,
            "callId": key.call_id,
            "holder": "",
            "leaseUntil": moment,
            "finished": False,
            "firstSeenAt": moment,
            "expiresAt": mongodb.milliseconds(now + REMEMBERED_FOR),
            "devices": {},
        }
        change = {"$set": {"note": {**note, "at": moment}}, "$setOnInsert": document}
        try:
            with pymongo.timeout(NOTE_SECONDS):
                self._collection.update_one({"_id": key.document_id}, change, upsert=True)
                if not self._indexes_ready:
                    create_indexes(self._collection)
                    self._indexes_ready = True
        except errors.PyMongoError as error:
            telemetry.log(logging.WARNING, "call_not_noted", error=type(error).__name__)
