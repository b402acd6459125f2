"""Which invocation rings an event's devices now, and what became of them.

Event Grid delivers at least once and redelivers whole batches; the ledger is what makes a phone ring once. An
insert takes the lease on an event. A delivery that finds the document there acknowledges a finished event,
takes over a lease that has run out with one conditional update, and otherwise waits. Comparisons are plain,
since MongoDB refuses `$expr` in some of these filters; the clocks of instances are taken to agree within a
second.
"""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb, telemetry
from common.index_maker import IndexMaker
from common.time_limit import within
from models.errors import ConfigurationError, DatabaseUnavailableError
from models.indexes import NeededIndex
from models.push import DeviceResult
from push.ledger_entry import (
    DeviceRecord,
    EventKey,
    LedgerEntry,
    Note,
    RingFacts,
    device_values,
    new_document,
)

COLLECTION_NAME = "CallLedger"

INDEXES = (NeededIndex("calls"), NeededIndex("expiresAt", expires=True))
"""A call is looked up by its keys: by its later events, by reports and by operators."""

NOTE_SECONDS = 1.0
"""For an event that is not rung any more. Short: while the database is down, late events by the hundred must
not queue for it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to ring an event's devices until `until`."""

    key: EventKey
    holder: str
    until: datetime
    first_seen: datetime
    is_new: bool = False
    """No delivery of the event has been seen before."""
    devices: Mapping[str, DeviceRecord] = field(default_factory=dict)
    """What earlier deliveries of the event have written down, by registration id."""

    @property
    def settled(self) -> frozenset[str]:
        """Registration ids of the devices that are done with."""
        return frozenset(name for name, record in self.devices.items() if record.is_settled)


@dataclass(frozen=True, slots=True)
class Finished:
    """The event is done with."""


@dataclass(frozen=True, slots=True)
class HeldElsewhere:
    """Another invocation has the lease."""

    first_seen: datetime


class Ledger:
    """The ledger on MongoDB. Safe to share between threads and instances."""

    def __init__(
        self, collection: Collection[mongodb.Document], work: mongodb.Work, lease: timedelta
    ) -> None:
        """Take the collection, what bounds each method in time, and how long a lease lasts."""
        self._collection = collection
        self._work = work
        self._lease = lease
        self._indexes = IndexMaker(collection, work, INDEXES)

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """A block whose work with MongoDB ends within `seconds`, however long each method may take."""
        return within(seconds)

    def claim(
        self, key: EventKey, holder: str, now: datetime, facts: RingFacts | None = None
    ) -> Lease | HeldElsewhere | Finished:
        """Take the lease of an event; one round trip for an event that is new.

        Args:
            key: the event.
            holder: names this invocation, uniquely.
            now: the current time, UTC.
            facts: what the event says of its call.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it is not known which devices have been rung.
        """
        until = now + self._lease
        document = {"_id": key.document_id, **new_document(key, facts, holder, now, until)}
        try:
            self._work.run(self._collection, lambda: self._collection.insert_one(document))
        except errors.DuplicateKeyError:
            pass
        else:
            return Lease(key, holder, until, now, is_new=True)
        return self._claim_known(key, holder, now, until)

    def renew(self, lease: Lease, now: datetime) -> Lease | None:
        """The lease, made longer; None if another invocation has taken it over.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been renewed.
        """
        return self._update_own(lease, {}, now + self._lease)

    def record(self, lease: Lease, results: Mapping[str, DeviceResult], now: datetime) -> Lease | None:
        """Write down what became of devices and renew the lease in one go; None if it has been taken over.

        The results are written in either case.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        values = device_values(results)
        renewed = self._update_own(lease, values, now + self._lease)
        if renewed is None:
            self._write(lease.key, values)
        return renewed

    def finish(self, lease: Lease, results: Mapping[str, DeviceResult]) -> None:
        """Write down what became of the last devices, and that the event is done with.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        self._write(lease.key, {**device_values(results), "finished": True})
        self._indexes.ensure()

    def release(self, lease: Lease, results: Mapping[str, DeviceResult], now: datetime) -> None:
        """Write down what became of devices, and leave the lease to the next delivery of the event.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        values = device_values(results)
        if self._update_own(lease, values, now) is None:
            self._write(lease.key, values)
        self._indexes.ensure()

    def known(self, key: EventKey, now: datetime) -> LedgerEntry | None:
        """What deliveries of an event have written down within the last day; None if there were none.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it is not known.
        """
        with self.within(NOTE_SECONDS):
            entry = self._find(key)
        return entry if entry is not None and entry.expires_at > now else None

    def note(self, key: EventKey, note: Note, facts: RingFacts | None = None) -> bool:
        """Let an operator find why a call did not ring; if it cannot be written, the log line is all there
        is, and the result is False.

        An event without a document gets one that has no holder and is not finished, so that a redelivery is
        handled as if there were none.
        """
        document = new_document(key, facts, "", note.at, note.at)
        change = {"$set": {"note": note.document()}, "$setOnInsert": document}
        try:
            with self.within(NOTE_SECONDS):
                self._work.run(
                    self._collection,
                    lambda: self._collection.update_one({"_id": key.document_id}, change, upsert=True),
                )
                self._indexes.ensure()
        except (DatabaseUnavailableError, ConfigurationError, errors.DuplicateKeyError) as error:
            telemetry.log(logging.WARNING, "call_not_noted", error=type(error).__name__)
            return False
        return True

    def _claim_known(
        self, key: EventKey, holder: str, now: datetime, until: datetime
    ) -> Lease | HeldElsewhere | Finished:
        known = self._find(key)
        if known is not None and known.expires_at <= now:
            expired = {"_id": key.document_id, "expiresAt": {"$lte": mongodb.milliseconds(now)}}
            self._work.run(self._collection, lambda: self._collection.delete_one(expired))
            known = None
        if known is None:
            return HeldElsewhere(now)  # deleted since the insert was refused; the next claim inserts it
        if known.finished:
            return Finished()
        if known.holder == holder:
            # The answer to this invocation's own insert or update was lost.
            return Lease(key, holder, known.lease_until, known.first_seen, devices=known.devices)
        if known.lease_until > now:
            return HeldElsewhere(known.first_seen)
        released = {"_id": key.document_id, "finished": False, "leaseUntil": {"$lte": now}}
        values = {"$set": {"holder": holder, "leaseUntil": until}}
        self._work.run(self._collection, lambda: self._collection.update_one(released, values))
        # Read again: it tells which invocation was faster, and what the last holder wrote in the meantime.
        known = self._find(key) or known
        if known.holder != holder or known.finished:
            return Finished() if known.finished else HeldElsewhere(known.first_seen)
        return Lease(key, holder, known.lease_until, known.first_seen, devices=known.devices)

    def _find(self, key: EventKey) -> LedgerEntry | None:
        document = self._work.run(
            self._collection, lambda: self._collection.find_one({"_id": key.document_id})
        )
        return LedgerEntry.read(document) if document else None

    def _update_own(self, lease: Lease, values: mongodb.Document, until: datetime) -> Lease | None:
        """Write while the lease is this invocation's; None if it is not any more."""
        own = {"_id": lease.key.document_id, "holder": lease.holder}
        change = {"$set": {**values, "leaseUntil": until}}
        updated = self._work.run(self._collection, lambda: self._collection.update_one(own, change))
        return replace(lease, until=until) if updated.matched_count else None

    def _write(self, key: EventKey, values: mongodb.Document) -> None:
        if values:
            named = {"_id": key.document_id}
            self._work.run(self._collection, lambda: self._collection.update_one(named, {"$set": values}))
