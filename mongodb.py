"""How the app talks to MongoDB: bounded in time, failures as our errors, expiry by a TTL index."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
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
def work(timeout_seconds: float) -> Iterator[None]:
    """A piece of work with MongoDB: bounded in time, its failures turned into our errors.

    Blocks nest: the earliest end counts. What pymongo raises quotes commands and keys, so no cause is kept.

    Raises:
        ConfigurationError: the database refuses the credentials, or the connection string cannot be used.
        DatabaseUnavailableError: every other failure.
    """
    try:
        with pymongo.timeout(max(0.001, timeout_seconds)):
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
