"""What this app remembers of each event: which devices it has rung, and who is ringing them now.

Event Grid delivers at least once and redelivers whole batches; the ledger is what makes a phone ring once.
One document an event: `_id` hash of source and event id, `eventId`, `callId`, `holder`, `leaseUntil`,
`finished`, `firstSeenAt`, `expiresAt`, and `devices`, what became of each by registration id (never a token).

An insert takes the lease. Whoever finds the document there already acknowledges a finished event, takes over
an expired lease with one conditional update, and otherwise waits. Comparisons are plain, since MongoDB
refuses `$expr` in some of these filters, and clocks of instances are taken to agree within a second.
"""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb
from models.push import DeviceResult, OutcomeKind

COLLECTION_NAME = "CallLedger"

REMEMBERED_FOR = timedelta(days=1)
"""Event Grid redelivers for a day at most, and an operator may ask for a day what became of a call."""

_SETTLED = frozenset(kind.value for kind in (OutcomeKind.ACCEPTED, OutcomeKind.REJECTED, OutcomeKind.GONE))
"""Outcomes that no redelivery changes. A misconfigured hub may have been mended by then."""


@dataclass(frozen=True)
class EventKey:
    """What names an event, and the call that it is about."""

    source: str
    event_id: str
    call_id: str | None

    @cached_property
    def document_id(self) -> str:
        """Source and id together are unique; 64 hexadecimal digits."""
        return hashlib.sha256(f"{self.source}\n{self.event_id}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to ring an event's devices until `until`."""

    key: EventKey
    holder: str
    until: datetime
    first_seen: datetime
    settled: frozenset[str]
    """Registration ids of the devices that are done with."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The event has been dealt with."""


@dataclass(frozen=True, slots=True)
class Held:
    """Another instance is ringing this event's devices."""

    first_seen: datetime


class Ledger:
    """The ledger on MongoDB. Safe to share between threads and instances."""

    def __init__(
        self,
        collection: Collection[mongodb.Document],
        timeouts: mongodb.Timeouts,
        lease: timedelta,
    ) -> None:
        """Take the collection, how long each method may take, and how long a lease lasts."""
        self._collection = collection
        self._timeouts = timeouts
        self._lease = lease
        self._index_ready = False

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """A block whose work with MongoDB ends within `seconds`, whatever each method may take."""
        return mongodb.within(seconds)

    def claim(self, key: EventKey, holder: str, now: datetime) -> Lease | Held | Finished:
        """Take the lease of an event; one round trip for an event that is new.

        Args:
            key: the event.
            holder: names this invocation, uniquely.
            now: the current time, UTC.

        Raises:
            DatabaseUnavailableError, ConfigurationError: nobody can tell who has rung what.
        """
        until = mongodb.milliseconds(now + self._lease)
        document: mongodb.Document = {
            "_id": key.document_id,
            "eventId": key.event_id,
            "callId": key.call_id,
            "holder": holder,
            "leaseUntil": until,
            "finished": False,
            "firstSeenAt": mongodb.milliseconds(now),
            "expiresAt": mongodb.milliseconds(now + REMEMBERED_FOR),
            "devices": {},
        }
        with self._work():
            try:
                self._collection.insert_one(document)
            except errors.DuplicateKeyError:
                return self._claim_known(key, holder, now, until)
        return Lease(key, holder, until, now, frozenset())

    def renew(self, lease: Lease, now: datetime) -> Lease | None:
        """The lease, made longer; None if somebody else has taken it over.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been renewed.
        """
        until = mongodb.milliseconds(now + self._lease)
        held = self._update_held(lease, {"leaseUntil": until})
        return replace(lease, until=until) if held else None

    def record(self, lease: Lease, results: Mapping[str, DeviceResult], now: datetime) -> Lease | None:
        """Write down what became of devices and renew the lease in one go; None if it has been taken over.

        What has rung is written in either case.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        until = mongodb.milliseconds(now + self._lease)
        values = _device_values(results)
        if self._update_held(lease, {**values, "leaseUntil": until}):
            return replace(lease, until=until)
        self._write(lease.key, values)
        return None

    def finish(self, lease: Lease, results: Mapping[str, DeviceResult]) -> None:
        """Write down what became of the last devices, and that the event is dealt with.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        self._write(lease.key, {**_device_values(results), "finished": True})
        self._ensure_index()

    def release(self, lease: Lease, results: Mapping[str, DeviceResult], now: datetime) -> None:
        """Write down what became of devices, and let the next delivery of the event have the lease.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        values = _device_values(results)
        if not self._update_held(lease, {**values, "leaseUntil": mongodb.milliseconds(now)}):
            self._write(lease.key, values)
        self._ensure_index()

    def _claim_known(
        self, key: EventKey, holder: str, now: datetime, until: datetime
    ) -> Lease | Held | Finished:
        known = self._find(key)
        if known is None:
            return Held(now)  # deleted between the insert and now; whoever asks again inserts
        first_seen = _utc(known["firstSeenAt"])
        if known["finished"]:
            return Finished()
        if _utc(known["leaseUntil"]) > now:
            return Held(first_seen)
        expired = {"_id": key.document_id, "finished": False, "leaseUntil": {"$lte": now}}
        taken = self._collection.update_one(expired, {"$set": {"holder": holder, "leaseUntil": until}})
        if taken.modified_count == 0:
            return Held(first_seen)  # somebody else was faster, or finished; whoever asks again hears which
        # Read again: its last holder may have written down rings in the meantime.
        known = self._find(key) or known
        return Lease(key, holder, until, first_seen, _settled(known["devices"]))

    def _work(self) -> AbstractContextManager[None]:
        return mongodb.work(self._collection, self._timeouts)

    def _find(self, key: EventKey) -> mongodb.Document | None:
        return self._collection.find_one({"_id": key.document_id})

    def _update_held(self, lease: Lease, values: mongodb.Document) -> bool:
        held = {"_id": lease.key.document_id, "holder": lease.holder}
        with self._work():
            return self._collection.update_one(held, {"$set": values}).matched_count == 1

    def _write(self, key: EventKey, values: mongodb.Document) -> None:
        if values:
            with self._work():
                self._collection.update_one({"_id": key.document_id}, {"$set": values})

    def _ensure_index(self) -> None:
        """Create the indexes once a process, after an event's rings rather than before."""
        if not self._index_ready:
            with self._work():
                create_indexes(self._collection)
            self._index_ready = True


def create_indexes(collection: Collection[mongodb.Document]) -> None:
    """The ledger's indexes: on what an operator looks a call up by, and on the expiry."""
    collection.create_index("callId")
    mongodb.create_ttl_index(collection)


def _device_values(results: Mapping[str, DeviceResult]) -> mongodb.Document:
    """One field a device, so that writers at once overwrite nothing and writing twice changes nothing."""
    return {
        f"devices.{registration_id}": {
            "outcome": result.outcome.kind.value,
            "reason": result.outcome.reason,
            "status": result.outcome.status,
            "trackingId": result.outcome.tracking_id,
            "attempts": result.attempts,
            "ageMs": result.age_ms,
        }
        for registration_id, result in results.items()
    }


def _settled(devices: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(name for name, device in devices.items() if device["outcome"] in _SETTLED)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
