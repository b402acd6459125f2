"""A connection to the app's database, and its failures as values: none keeps what the driver or the server
says."""

from collections.abc import Iterator
from contextlib import contextmanager

import pymongo
from pymongo import MongoClient, errors

from common import mongodb
from common.mongodb import Document, Failure, Timeouts
from models.known_causes import Cause
from settings import Settings

CONNECT_SECONDS = 5.0

READ_SECONDS = 20.0
"""Longer than the app takes: an operator can wait, a ringing phone cannot."""


class DatabaseTroubleError(Exception):
    """The database did not answer as it should."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.problem)
        self.cause = failure.cause
        self.code = failure.code

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return self.cause.remedy


@contextmanager
def translated(seconds: float = READ_SECONDS) -> Iterator[None]:
    """A block of work with the database that ends within `seconds`.

    Raises:
        DatabaseTroubleError: it failed.
    """
    try:
        with pymongo.timeout(seconds):
            yield
    except errors.PyMongoError as error:
        # What pymongo raises may quote commands, so it is not kept as a cause.
        raise DatabaseTroubleError(mongodb.failure_of(error)) from None


@contextmanager
def connected(settings: Settings) -> Iterator[MongoClient[Document]]:
    """A client like the app's, connected and authenticated within `CONNECT_SECONDS`.

    Raises:
        DatabaseTroubleError: that is not possible.
    """
    uri = settings.database.connection_string.get_secret_value()
    client = mongodb.make_client(uri, Timeouts(READ_SECONDS, CONNECT_SECONDS), name="call-push-doctor")
    if isinstance(client, Cause):
        raise DatabaseTroubleError(Failure(client))
    with client:
        with translated(CONNECT_SECONDS):
            client.admin.command("ping")
        yield client
