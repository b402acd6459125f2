"""What the app remembers of each event for a day: which devices it has rung, and which invocation rings them
now.

Event Grid delivers at least once and redelivers whole batches; the ledger is what makes a phone ring once. An
insert takes the lease on an event. A delivery that finds the document there acknowledges a finished event,
takes over a lease that has run out with one conditional update, and otherwise waits. Comparisons are plain,
since MongoDB refuses `$expr` in some of these filters; the clocks of instances are taken to agree within a
second.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb, telemetry
from models.errors import ConfigurationError, DatabaseUnavailableError
from models.indexes import NeededIndex
from models.push import DeviceResult, OutcomeKind

COLLECTION_NAME = "CallLedger"

INDEXES = (NeededIndex("callId"), NeededIndex("expiresAt", expires=True))
"""By call id an operator asks what became of a call."""

REMEMBERED_FOR = timedelta(days=1)
"""Event Grid redelivers for a day at most."""

NOTE_SECONDS = 1.0
"""Short: while the database is down, late events by the hundred must not queue for it."""

SETTLED = frozenset({OutcomeKind.ACCEPTED, OutcomeKind.REJECTED, OutcomeKind.GONE})
"""Outcomes that no redelivery changes. A misconfigured hub may be corrected by then."""


@dataclass(frozen=True)
class EventKey:
    """What names an event, and the call that it is about.

    Event ids have been seen to repeat across calls, and a silent phone is worse than a second ring: an event
    with the same id and another call is another event. Sources are resource ids, which have no letter case.
    """

    source: str
    event_id: str
    call_id: str | None

    @cached_property
    def document_id(self) -> str:
        """64 hexadecimal digits."""
        named = f"{self.source.lower()}\n{self.event_id}\n{(self.call_id or '').lower()}"
        return hashlib.sha256(named.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What became of one device, as the ledger keeps it. Never a token."""

    outcome: str
    """Of `OutcomeKind`, or one that another version of the app wrote."""
    reason: str
    status: int | None
    tracking_id: str | None
    attempts: int
    age_ms: int
    """Age of the call when the outcome was known."""
    unanswered: int
    """Tries that may have rung unseen, over all deliveries of the event."""
    device_key: str | None
    """Names the device whatever its token is."""

    @property
    def is_settled(self) -> bool:
        """No redelivery sends to the device again."""
        return any(self.outcome == kind.value for kind in SETTLED)

    @property
    def is_accepted(self) -> bool:
        """The hub has taken its push."""
        return self.outcome == OutcomeKind.ACCEPTED.value

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "DeviceRecord":
        """From the ledger; fields that the version before did not write have defaults."""
        return cls(
            outcome=str(value.get("outcome", "")),
            reason=str(value.get("reason", "")),
            status=value.get("status"),
            tracking_id=value.get("trackingId"),
            attempts=int(value.get("attempts") or 0),
            age_ms=int(value.get("ageMs") or 0),
            unanswered=int(value.get("unanswered") or 0),
            device_key=value.get("device"),
        )

    @staticmethod
    def document(result: DeviceResult) -> mongodb.Document:
        """How a result is written."""
        outcome = result.outcome
        return {
            "outcome": outcome.kind.value,
            "reason": outcome.reason,
            "status": outcome.status,
            "trackingId": outcome.tracking_id,
            "attempts": result.attempts,
            "ageMs": result.age_ms,
            "unanswered": result.unanswered,
            "device": result.device_key,
        }


@dataclass(frozen=True, slots=True)
class Note:
    """What the devices' outcomes alone do not say: why nothing was sent, or why no more will be."""

    result: str
    """Of `EventResult`."""
    at: datetime
    reason: str | None = None
    code: str | None = None
    late_seconds: float | None = None
    devices: int | None = None
    failed: int | None = None

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Note":
        """From the ledger."""
        return cls(
            result=str(value.get("result", "")),
            at=_utc(value["at"]),
            reason=value.get("reason"),
            code=value.get("code"),
            late_seconds=value.get("lateSeconds"),
            devices=value.get("devices"),
            failed=value.get("failed"),
        )

    def document(self) -> mongodb.Document:
        """How it is written; what is not known is left out."""
        values = {
            "result": self.result,
            "at": mongodb.milliseconds(self.at),
            "reason": self.reason,
            "code": self.code,
            "lateSeconds": self.late_seconds,
            "devices": self.devices,
            "failed": self.failed,
        }
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One event's document."""

    event_id: str
    call_id: str | None
    holder: str
    """Names the invocation that has the lease; empty where none ever had it."""
    lease_until: datetime
    finished: bool
    first_seen: datetime
    devices: Mapping[str, DeviceRecord]
    """By registration id."""
    note: Note | None = None

    @classmethod
    def new(cls, key: EventKey, holder: str, now: datetime, lease_until: datetime) -> "LedgerEntry":
        """An event that is seen for the first time."""
        return cls(key.event_id, key.call_id, holder, lease_until, finished=False, first_seen=now, devices={})

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "LedgerEntry":
        """From the database; entries of the version before are read as well."""
        note = document.get("note")
        return cls(
            event_id=document["eventId"],
            call_id=document.get("callId"),
            holder=document["holder"],
            lease_until=_utc(document["leaseUntil"]),
            finished=document["finished"],
            first_seen=_utc(document["firstSeenAt"]),
            devices={name: DeviceRecord.read(value) for name, value in document["devices"].items()},
            note=Note.read(note) if note else None,
        )

    def document(self) -> mongodb.Document:
        """How it is written first, without `_id`."""
        return {
            "eventId": self.event_id,
            "callId": self.call_id,
            "holder": self.holder,
            "leaseUntil": mongodb.milliseconds(self.lease_until),
            "finished": self.finished,
            "firstSeenAt": mongodb.milliseconds(self.first_seen),
            "expiresAt": mongodb.milliseconds(self.first_seen + REMEMBERED_FOR),
            "devices": {},
        }


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to ring an event's devices until `until`."""

    key: EventKey
    holder: str
    until: datetime
    first_seen: datetime
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
        self._missing_indexes: Sequence[NeededIndex] = INDEXES

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """A block whose work with MongoDB ends within `seconds`, however long each method may take."""
        return mongodb.within(seconds)

    def claim(self, key: EventKey, holder: str, now: datetime) -> Lease | HeldElsewhere | Finished:
        """Take the lease of an event; one round trip for an event that is new.

        Args:
            key: the event.
            holder: names this invocation, uniquely.
            now: the current time, UTC.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it is not known which devices have been rung.
        """
        until = now + self._lease
        document = {"_id": key.document_id, **LedgerEntry.new(key, holder, now, until).document()}
        try:
            self._work.run(self._collection, lambda: self._collection.insert_one(document))
        except errors.DuplicateKeyError:
            pass
        else:
            return Lease(key, holder, until, now)
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
        values = _device_values(results)
        renewed = self._update_own(lease, values, now + self._lease)
        if renewed is None:
            self._write(lease.key, values)
        return renewed

    def finish(self, lease: Lease, results: Mapping[str, DeviceResult]) -> None:
        """Write down what became of the last devices, and that the event is done with.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        self._write(lease.key, {**_device_values(results), "finished": True})
        self._ensure_indexes()

    def release(self, lease: Lease, results: Mapping[str, DeviceResult], now: datetime) -> None:
        """Write down what became of devices, and leave the lease to the next delivery of the event.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        values = _device_values(results)
        if self._update_own(lease, values, now) is None:
            self._write(lease.key, values)
        self._ensure_indexes()

    def note(self, key: EventKey, note: Note) -> None:
        """Let an operator find why a call did not ring; if it cannot be written, the log line is all there
        is.

        An event without a document gets one that has no holder and is not finished, so that a redelivery is
        handled as if there were none.
        """
        entry = LedgerEntry.new(key, "", note.at, note.at)
        change = {"$set": {"note": note.document()}, "$setOnInsert": entry.document()}
        try:
            with self.within(NOTE_SECONDS):
                self._work.run(
                    self._collection,
                    lambda: self._collection.update_one({"_id": key.document_id}, change, upsert=True),
                )
                self._ensure_indexes()
        except (DatabaseUnavailableError, ConfigurationError, errors.DuplicateKeyError) as error:
            telemetry.log(logging.WARNING, "call_not_noted", error=type(error).__name__)

    def _claim_known(
        self, key: EventKey, holder: str, now: datetime, until: datetime
    ) -> Lease | HeldElsewhere | Finished:
        known = self._find(key)
        if known is None:
            return HeldElsewhere(now)  # deleted between the insert and now; the next claim inserts it
        if known.finished:
            return Finished()
        if known.holder == holder:
            # The answer to this invocation's own insert or update was lost.
            return Lease(key, holder, known.lease_until, known.first_seen, known.devices)
        if known.lease_until > now:
            return HeldElsewhere(known.first_seen)
        expired = {"_id": key.document_id, "finished": False, "leaseUntil": {"$lte": now}}
        values = {"$set": {"holder": holder, "leaseUntil": mongodb.milliseconds(until)}}
        self._work.run(self._collection, lambda: self._collection.update_one(expired, values))
        # Read again: it tells which invocation was faster, and what the last holder wrote in the meantime.
        known = self._find(key) or known
        if known.holder != holder or known.finished:
            return Finished() if known.finished else HeldElsewhere(known.first_seen)
        return Lease(key, holder, known.lease_until, known.first_seen, known.devices)

    def _find(self, key: EventKey) -> LedgerEntry | None:
        document = self._work.run(
            self._collection, lambda: self._collection.find_one({"_id": key.document_id})
        )
        return LedgerEntry.read(document) if document else None

    def _update_own(self, lease: Lease, values: mongodb.Document, until: datetime) -> Lease | None:
        """Write while the lease is this invocation's; None if it is not any more."""
        own = {"_id": lease.key.document_id, "holder": lease.holder}
        change = {"$set": {**values, "leaseUntil": mongodb.milliseconds(until)}}
        updated = self._work.run(self._collection, lambda: self._collection.update_one(own, change))
        return replace(lease, until=until) if updated.matched_count else None

    def _write(self, key: EventKey, values: mongodb.Document) -> None:
        if values:
            named = {"_id": key.document_id}
            self._work.run(self._collection, lambda: self._collection.update_one(named, {"$set": values}))

    def _ensure_indexes(self) -> None:
        """Create the indexes once a process, after an event's rings rather than before.

        One that cannot be made now is made after the next event: this one's results are written.
        """
        try:
            for index in self._missing_indexes:
                self._work.run(self._collection, partial(mongodb.ensure_indexes, self._collection, [index]))
                self._missing_indexes = [each for each in self._missing_indexes if each is not index]
        except (DatabaseUnavailableError, ConfigurationError) as error:
            telemetry.log(logging.WARNING, "indexes_not_made", collection=COLLECTION_NAME, code=error.code)


def _device_values(results: Mapping[str, DeviceResult]) -> mongodb.Document:
    """One field a device: concurrent writers overwrite nothing, and writing twice changes nothing."""
    return {f"devices.{name}": DeviceRecord.document(result) for name, result in results.items()}


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
