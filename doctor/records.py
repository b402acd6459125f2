"""What the app has written down: registrations and the ledger, read as they are."""

from collections.abc import Mapping, Sequence

from pymongo import MongoClient

from doctor.database import Document, asking
from push import ledger
from registrar import store


class Records:
    """Reads the app's database; changes nothing."""

    def __init__(self, client: MongoClient[Document], database_name: str) -> None:
        """Take a client and the name of the app's database."""
        database = client[database_name]
        self._registrations = database[store.COLLECTION_NAME]
        self._ledger = database[ledger.COLLECTION_NAME]

    def registrations_of(self, acs_mri: str) -> Sequence[Document]:
        """Every registration of a user, expired ones too, as long as they have not been swept.

        Raises:
            DatabaseTroubleError: they cannot be read.
        """
        with asking():
            return list(self._registrations.find({"acsMri": acs_mri}))

    def calls(self, name: str) -> Sequence[Document]:
        """The ledger's documents of a call id; where there is none, of an event id. Oldest first.

        Raises:
            DatabaseTroubleError: they cannot be read.
        """
        with asking():
            found = list(self._ledger.find({"callId": name}))
            if not found:
                # Not indexed: it would cost every call a little, and a day's calls are soon read.
                found = list(self._ledger.find({"eventId": name}))
        return sorted(found, key=lambda document: document["firstSeenAt"])

    def devices_named(self, registration_ids: Sequence[str]) -> Mapping[str, Document]:
        """`deviceUUID` and `platform` of those registrations that are still there, by their ids.

        Raises:
            DatabaseTroubleError: they cannot be read.
        """
        wanted = {"deviceUUID": 1, "platform": 1}
        with asking():
            found = self._registrations.find({"_id": {"$in": list(registration_ids)}}, wanted)
            return {document["_id"]: document for document in found}
