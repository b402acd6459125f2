"""How the app talks to MongoDB: bounded in time, failures as our errors, expiry by a TTL index."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

import pymongo
from pymongo import errors
from pymongo.collection import Collection

import telemetry
from models.errors import ConfigurationError, DatabaseUnavailableError

Document = dict[str, Any]

_UNAUTHORIZED_CODES = frozenset({13, 18})
"""MongoDB's Unauthorized and AuthenticationFailed."""


@contextmanager
def work(
    collection: Collection[Document], timeout_seconds: float, server_selection_seconds: float | None = None
) -> Iterator[None]:
    """A piece of work with a collection: bounded in time, its failures turned into our errors.

    Blocks nest: the earliest end counts. What pymongo raises quotes commands and keys, so no cause is kept.

    Args:
        collection: what is worked with.
        timeout_seconds: how long all of it may take.
        server_selection_seconds: how long a server may be looked for; None for all the time there is.

    Raises:
        ConfigurationError: the database refuses the credentials, or the connection string cannot be used.
        DatabaseUnavailableError: every other failure.
    """
    try:
        with within(timeout_seconds):
            if server_selection_seconds is not None:
                # Within a time limit pymongo forgets `serverSelectionTimeoutMS` and would look for a server
                # until the limit. This looks at what its monitor knows and sends nothing.
                with within(server_selection_seconds):
                    _ = collection.database.client.is_primary
            yield
    except errors.OperationFailure as error:
        if error.code in _UNAUTHORIZED_CODES:
            raise ConfigurationError(
                "MongoDB refuses the credentials: check MongoDbConnectionString and the user's roles."
            ) from None
        raise DatabaseUnavailableError(
            f"MongoDB failed to carry out a command (code {error.code})."
        ) from None
    except errors.ConfigurationError:
        raise ConfigurationError(
            "MongoDbConnectionString cannot be used: compare it with what the database's portal shows."
        ) from None
    except errors.PyMongoError as error:
        raise DatabaseUnavailableError(
            f"MongoDB cannot be reached in time ({type(error).__name__})."
        ) from None


def within(seconds: float) -> AbstractContextManager[None]:
    """A block in which all work with MongoDB ends within `seconds`, whatever each piece of it may take."""
    return pymongo.timeout(max(0.001, seconds))


def create_ttl_index(collection: Collection[Document]) -> None:
    """Have the database delete documents at their `expiresAt`, or say loudly that it will not.

    Cosmos DB for MongoDB (RU) takes a TTL index on `_ts` only and refuses this one with a command error.
    """
    try:
        collection.create_index("expiresAt", expireAfterSeconds=0)
    except errors.OperationFailure as error:
        if error.code in _UNAUTHORIZED_CODES or error.timeout:
            raise
        telemetry.log(
            logging.ERROR,
            "ttl_index_refused",
            collection=collection.name,
            code=error.code,
            remedy="Expired documents are ignored but stay. Use a MongoDB that has TTL indexes on any field, "
            "such as Azure DocumentDB or Atlas.",
        )


def milliseconds(moment: datetime) -> datetime:
    """`moment` as MongoDB stores it."""
    return moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)
