"""Reads what the app has stored: registrations and the ledger. Changes nothing."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pymongo import MongoClient

from common.mongodb import Document
from doctor.checks.database_content import DatabaseContent
from doctor.checks.device_summaries import LastPush, last_push
from doctor.probes.database_connection import translated
from models.call_keys import correlation_key
from models.identity import Identity
from push import ledger
from push.ledger_entry import REMEMBERED_FOR
from registrar import store
from registrar.document import of_owner

MOST_CALLS = 10_000
NEWEST_CALLS = 500
"""Of the calls of the last day, how many are looked through for a device's last push."""


_AN_EVENT: Document = {"eventId": {"$exists": True}}
"""The collection also has marks that ends of calls leave."""


class Records:
    """The app's database."""

    def __init__(self, client: MongoClient[Document], database_name: str) -> None:
        """Take a client and the name of the app's database."""
        database = client[database_name]
        self._registrations = database[store.COLLECTION_NAME]
        self._ledger = database[ledger.COLLECTION_NAME]

    def registrations_of(self, owner: Identity) -> Sequence[Document]:
        """Every registration of a user, expired ones too, until they are swept.

        Raises:
            DatabaseTroubleError: they cannot be read.
        """
        with translated():
            return list(self._registrations.find(of_owner(owner)))

    def calls(self, name: str) -> Sequence[Document]:
        """The ledger's documents of a call id; where there is none, of an event id. Oldest first.

        Args:
            name: found as it is given and in lower case.

        Raises:
            DatabaseTroubleError: they cannot be read.
        """
        with translated():
            found = list(self._ledger.find({"calls": correlation_key(name)}))
            if not found:
                # Not indexed: an index would cost every call a little, and one day's calls are soon read. The
                # version before wrote no keys.
                wanted = {"$in": _spellings(name)}
                found = list(self._ledger.find({"$or": [{"eventId": wanted}, {"callId": wanted}]}))
        return sorted(found, key=lambda document: str(document.get("firstSeenAt", "")))

    def recent_calls(self, begin: datetime, owner: Identity | None) -> Sequence[Document]:
        """The ledger's documents of events first seen after `begin`, the newest first.

        Args:
            begin: UTC.
            owner: only calls to this user; None for all.

        Raises:
            DatabaseTroubleError: they cannot be read.
        """
        wanted: Document = {"expiresAt": {"$gt": begin + REMEMBERED_FOR}, **_AN_EVENT}
        if owner is not None:
            wanted["callee"] = owner.mri
        with translated():
            # By the expiry, which has an index and follows the time at which an event was first seen.
            return list(self._ledger.find(wanted).sort("expiresAt", -1).limit(MOST_CALLS))

    def content(self) -> DatabaseContent:
        """How much there is.

        Raises:
            DatabaseTroubleError: it cannot be counted.
        """
        with translated():
            newest = self._ledger.find_one(_AN_EVENT, {"firstSeenAt": 1}, sort=[("expiresAt", -1)])
            moment = (newest or {}).get("firstSeenAt")
            return DatabaseContent(
                name=self._ledger.database.name,
                registrations=self._registrations.estimated_document_count(),
                calls=self._ledger.estimated_document_count(),
                last_call=moment.replace(tzinfo=moment.tzinfo or UTC)
                if isinstance(moment, datetime)
                else None,
            )

    def last_pushes(self, registration_ids: Sequence[str]) -> Mapping[str, LastPush]:
        """What became of the last push to each of the registrations, as far as the ledger knows.

        Raises:
            DatabaseTroubleError: that cannot be read.
        """
        if not registration_ids:
            return {}
        named = [{f"devices.{name}": {"$exists": True}} for name in registration_ids]
        found: dict[str, LastPush] = {}
        with translated():
            newest = self._ledger.find({"$or": named}).sort("expiresAt", -1).limit(NEWEST_CALLS)
            for document in newest:
                for name in registration_ids:
                    if name not in found and (push := last_push(document, name)):
                        found[name] = push
        return found

    def devices_named(self, registration_ids: Sequence[str]) -> Mapping[str, Document]:
        """`deviceUUID` and `platform` of those registrations that are still there, by their ids.

        Raises:
            DatabaseTroubleError: they cannot be read.
        """
        wanted = {"deviceUUID": 1, "platform": 1}
        with translated():
            found = self._registrations.find({"_id": {"$in": list(registration_ids)}}, wanted)
            return {document["_id"]: document for document in found}


def _spellings(text: str) -> list[str]:
    """As it is, and in lower case: how the app has stored it depends on its version."""
    return list(dict.fromkeys((text, text.lower())))
