"""A connection to the app's database, and its failures as values: none keeps the driver's or the server's
words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymongo
from dns.exception import DNSException
from pymongo import MongoClient, errors

from app import mongo_client
from models import known_causes
from models.errors import ConfigurationError
from models.known_causes import Cause, cause_of_code, cause_of_connection_string, cause_of_old_server
from settings import Settings

Document = dict[str, Any]

CONNECT_SECONDS = 5.0

READ_SECONDS = 20.0
"""Longer than the app takes: an operator can wait, a ringing phone cannot."""


class DatabaseTroubleError(Exception):
    """The database did not answer as it should."""

    def __init__(self, cause: Cause, code: int | None = None) -> None:
        super().__init__(cause.problem if code is None else f"{cause.problem} (code {code})")
        self.cause = cause
        self.code = code

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
        raise _trouble(error) from None


@contextmanager
def connected(settings: Settings) -> Iterator[MongoClient[Document]]:
    """The app's own client, connected and authenticated within `CONNECT_SECONDS`.

    Raises:
        DatabaseTroubleError: that is not possible.
    """
    with translated(CONNECT_SECONDS):
        try:
            client = mongo_client(settings.database)
        except ConfigurationError:
            uri = settings.database.connection_string.get_secret_value()
            cause = cause_of_connection_string(uri) or known_causes.CERTIFICATE_FILE
            raise DatabaseTroubleError(cause) from None
    with client:
        with translated(CONNECT_SECONDS):
            client.admin.command("ping")
        yield client


def _trouble(error: errors.PyMongoError) -> DatabaseTroubleError:
    if isinstance(error, errors.OperationFailure):
        return refused(error)
    if isinstance(error, errors.ConfigurationError):
        if cause := cause_of_old_server(str(error)):
            return DatabaseTroubleError(cause)
        if isinstance(error.__cause__, DNSException | OSError):
            return DatabaseTroubleError(known_causes.NAME_NOT_FOUND)
        return DatabaseTroubleError(known_causes.CONNECTION_STRING)
    if "name or service not known" in str(error).lower() or "getaddrinfo" in str(error).lower():
        return DatabaseTroubleError(known_causes.NAME_NOT_FOUND)
    return DatabaseTroubleError(known_causes.UNREACHABLE)


def refused(error: errors.OperationFailure) -> DatabaseTroubleError:
    """The trouble that an error code of the database stands for."""
    message = str((error.details or {}).get("errmsg", ""))
    return DatabaseTroubleError(
        cause_of_code(error.code, message) or known_causes.COMMAND_REFUSED, error.code
    )
