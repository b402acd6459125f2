"""What becomes of calls after their rings: ends, answers, reports and notices, in the ledger's documents.

An end may reach the app before the ring that it is about, on any instance. So it leaves a mark of its own,
which the ring's delivery looks for before its event is finished.
"""

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateOne, errors
from pymongo.collection import Collection

from common import mongodb
from models.call_end import CallEnd
from models.call_keys import correlation_key
from models.identity import Identity
from models.report import DeviceState
from push.ledger_entry import (
    REMEMBERED_FOR,
    Answer,
    LedgerEntry,
    NoticeKind,
    NoticeState,
    RingFacts,
    utc,
)
from push.ring_state import GRACE, Marks

_ENDED = "ended"
_JOINED = "joined"


class CallStates:
    """States of calls on MongoDB. Safe to share between threads and instances."""

    def __init__(self, collection: Collection[mongodb.Document], work: mongodb.Work) -> None:
        """Take the ledger's collection, and what bounds each method in time."""
        self._collection = collection
        self._work = work

    def mark(self, end: CallEnd, at: datetime) -> None:
        """Leave a mark for rings that arrive later or are under way; of several ends the latest counts.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        kind = _JOINED if end.joined else _ENDED
        change = {"$max": {"at": at, "expiresAt": at + REMEMBERED_FOR}, "$set": {"mark": kind}}
        for name in _mark_ids(kind, end.source, end.keys, end.joined.mri if end.joined else ""):
            self._upsert({"_id": name}, change)

    def rings_of(self, end: CallEnd, at: datetime, now: datetime) -> list[LedgerEntry]:
        """The rings that an end is about: of the same source and call, within the last day, not begun after
        it.

        Raises:
            DatabaseUnavailableError, ConfigurationError: they are not known.
        """
        wanted: dict[str, Any] = {"calls": {"$in": list(end.keys)}, "source": end.source.lower()}
        if end.joined is not None:
            wanted["callee"] = end.joined.mri
        return [entry for entry in self._find_rings(wanted, now) if entry.rings_from <= at + GRACE]

    def rings_to(self, callee: Identity, call_id: str, now: datetime) -> list[LedgerEntry]:
        """The rings of a call to a callee within the last day, the latest first; `call_id` is the correlation
        id in any letter case.

        Raises:
            DatabaseUnavailableError, ConfigurationError: they are not known.
        """
        found = self._find_rings({"calls": correlation_key(call_id), "callee": callee.mri}, now)
        return sorted(found, key=lambda entry: entry.rings_from, reverse=True)

    def look(self, entry_id: str, facts: RingFacts, now: datetime) -> tuple[LedgerEntry | None, Marks]:
        """A ring as it stands now, and what events have said of its call within the last day, in one read.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it is not known.
        """
        ended = set(_mark_ids(_ENDED, facts.source, facts.keys, ""))
        joined = set(_mark_ids(_JOINED, facts.source, facts.keys, facts.callee))
        wanted = {"_id": {"$in": [entry_id, *ended, *joined]}}
        found = self._find(wanted, now)
        entry = next((LedgerEntry.read(each) for each in found if each["_id"] == entry_id), None)
        return entry, Marks(_latest(found, ended), _latest(found, joined))

    def answer(self, entry_id: str, answer: Answer) -> bool:
        """Write down how the callee dealt with the call; False if that is known already: the first word
        counts.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        return self._set_once(entry_id, "answer", {**answer.document(), "by": uuid.uuid4().hex})

    def end(self, entry_id: str, at: datetime) -> None:
        """Write down that the call has ended.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        self._update({"_id": entry_id}, {"$max": {"endedAt": at}})

    def report(self, entry_id: str, device_key: str, state: DeviceState, at: datetime) -> bool:
        """Write down what a device has reported; False if it has reported the same before.

        Args:
            entry_id: of the ring.
            device_key: of the device.
            state: what it reports.
            at: when, to the millisecond.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        return self._set_once(entry_id, _report(device_key, state), at)

    def claim(self, entry_id: str, kind: NoticeKind, device_keys: Sequence[str]) -> frozenset[str]:
        """Take the right to send a notice to devices; of all instances one has it.

        Returns:
            Keys of the devices to send to. Those of the others have been claimed before. A device that has
            reported that it answered or declined is not stopped, and an answered call is not missed.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may have been taken, and the notice is not sent.
        """
        claimed = {"state": NoticeState.CLAIMED.value, "by": uuid.uuid4().hex}
        claims = [
            UpdateOne(
                {"_id": entry_id, **{name: {"$exists": False} for name in (_notice(kind, key), *unless)}},
                {"$set": {_notice(kind, key): claimed}},
            )
            for key in device_keys
            for unless in (_unless(kind, key),)
        ]
        self._work.run(self._collection, lambda: self._collection.bulk_write(claims, ordered=False))
        # The answer to the writes does not say which of them found their field unset.
        notices = self._work.run(
            self._collection, lambda: self._collection.find_one({"_id": entry_id}, {_notice(kind): 1})
        )
        written = (notices or {}).get("notices", {}).get(kind.value, {})
        return frozenset(key for key in device_keys if written.get(key) == claimed)

    def settle(self, entry_id: str, kind: NoticeKind, results: Mapping[str, NoticeState | None]) -> None:
        """Write down what became of notices, by device key; with None the notice may be sent again.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been written.
        """
        change = {
            "$set": {_notice(kind, key): {"state": state.value} for key, state in results.items() if state},
            "$unset": {_notice(kind, key): "" for key, state in results.items() if state is None},
        }
        self._update({"_id": entry_id}, {name: values for name, values in change.items() if values})

    def _find_rings(self, wanted: mongodb.Document, now: datetime) -> list[LedgerEntry]:
        return [LedgerEntry.read(each) for each in self._find(wanted, now)]

    def _find(self, wanted: mongodb.Document, now: datetime) -> list[mongodb.Document]:
        # Older documents are there until the next sweep, and for ever where there is no TTL index.
        unexpired = {**wanted, "expiresAt": {"$gt": mongodb.milliseconds(now)}}
        return self._work.run(self._collection, lambda: list(self._collection.find(unexpired)))

    def _set_once(self, entry_id: str, name: str, value: object) -> bool:
        """Set a field that is not there yet; the value must be one that no other call sets."""
        unset = {"_id": entry_id, name: {"$exists": False}}
        if self._update(unset, {"$set": {name: value}}):
            return True
        # The answer to the first try may have been lost: then the value that is there is this call's own.
        own = {"_id": entry_id, name: value}
        return (
            self._work.run(self._collection, lambda: self._collection.find_one(own, {"_id": 1})) is not None
        )

    def _update(self, wanted: mongodb.Document, change: mongodb.Document) -> bool:
        updated = self._work.run(self._collection, lambda: self._collection.update_one(wanted, change))
        return updated.matched_count > 0

    def _upsert(self, wanted: mongodb.Document, change: mongodb.Document) -> None:
        try:
            self._work.run(self._collection, lambda: self._collection.update_one(wanted, change, upsert=True))
        except errors.DuplicateKeyError:
            # Another instance has inserted it at the same moment.
            self._update(wanted, change)


def _notice(kind: NoticeKind, *device_key: str) -> str:
    return ".".join(["notices", kind.value, *device_key])


def _report(device_key: str, state: DeviceState) -> str:
    return f"reports.{device_key}.{state.value}"


def _unless(kind: NoticeKind, device_key: str) -> Sequence[str]:
    """The fields that keep a notice from being sent, which may be written while it is considered."""
    match kind:
        case NoticeKind.STOP:
            return [_report(device_key, state) for state in (DeviceState.ANSWERED, DeviceState.DECLINED)]
        case NoticeKind.MISSED:
            return ["answer"]
        case NoticeKind.FALLBACK:
            return []


def _mark_ids(kind: str, source: str, keys: Iterable[str], callee: str) -> Sequence[str]:
    named = (f"mark\n{kind}\n{source.lower()}\n{key}\n{callee}" for key in keys)
    return [hashlib.sha256(each.encode()).hexdigest() for each in named]


def _latest(found: Iterable[Mapping[str, Any]], ids: set[str]) -> datetime | None:
    return max((utc(each["at"]) for each in found if each["_id"] in ids), default=None)
