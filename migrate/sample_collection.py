"""Reads the sample's collection, to its end, over a database that fails or throttles now and then."""

from collections.abc import Iterator

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb
from common.mongodb import Document
from migrate.patience import Patience
from models.errors import ConfigurationError, DatabaseUnavailableError
from models.known_causes import Fault

_BATCH = 500


class SampleCollection:
    """The source of a migration; it is never written to."""

    def __init__(
        self, collection: Collection[Document], patience: Patience, *, by_identity: bool = False
    ) -> None:
        """Take the source.

        Args:
            collection: is read.
            patience: waits between tries.
            by_identity: its client signs in with a token.
        """
        self._collection = collection
        self._patience = patience
        self._by_identity = by_identity

    def documents(self) -> Iterator[Document]:
        """Every document, in the order in which the database keeps them.

        After a passing failure the reading goes on behind the documents that it has returned.

        Raises:
            DatabaseUnavailableError: it cannot be read, or not to its end.
            ConfigurationError: the database refuses it, for what an operator has to correct.
        """
        read = failures = 0
        while True:
            try:
                # In natural order, since a user's later document says who has a phone now.
                for document in self._collection.find({}, {"deviceInfos": 1}, batch_size=_BATCH).skip(read):
                    read += 1
                    failures = 0
                    yield document
            except errors.PyMongoError as error:
                failure = mongodb.failure_of(error, by_identity=self._by_identity)
                message = f"The source cannot be read: {failure.problem}. {failure.cause.remedy}"
                if failure.fault is not Fault.PASSING:
                    raise ConfigurationError(message) from None
                # A server that has never answered is more likely misspelled than away.
                never_answered = read == 0 and not isinstance(error, errors.OperationFailure)
                if never_answered or not self._patience.wait(failures, failure.wait_seconds):
                    raise DatabaseUnavailableError(message) from None
                failures += 1
            else:
                return

    def explain_empty(self) -> str:
        """Why there may be nothing, with the databases and collections that could be meant."""
        database = self._collection.database
        text = (
            f"The collection {self._collection.name!a} of the database {database.name!a} is empty or missing."
        )
        try:
            collections = sorted(database.list_collection_names())
            databases = sorted(set(database.client.list_database_names()) - {"admin", "config", "local"})
        except errors.PyMongoError:
            return f"{text} Compare --source-database and --source-collection with the sample's settings."
        found = ", ".join(map(ascii, collections)) or "no collection"
        return (
            f"{text} That database has: {found}. The server has the databases: "
            f"{', '.join(map(ascii, databases)) or 'none'}. Set --source-database and --source-collection."
        )
