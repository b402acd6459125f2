"""How the app talks to MongoDB: bounded in time, failures as our errors, expiry by a TTL index."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pymongo
from pymongo import errors
from pymongo.collection import Collection

from common import telemetry
from models.errors import ConfigurationError, DatabaseUnavailableError

Document = dict[str, Any]

_UNAUTHORIZED_CODES = frozenset({13, 18})
"""MongoDB's Unauthorized and AuthenticationFailed."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a piece of work with the database may take."""

    operation_seconds: float
    """All of it."""
    server_selection_seconds: float | None = None
    """Its share to look for a server; None for all the time there is."""


@contextmanager
def work(collection: Collection[Document], timeouts: Timeouts) -> Iterator[None]:
    """A piece of work with a collection: bounded in time, its failures turned into our errors.

    Blocks nest: the earliest end counts. What pymongo raises quotes commands and keys, so no cause is kept.

    Args:
        collection: what is worked with.
        timeouts: how long it may take.

    Raises:
        ConfigurationError: the database refuses the credentials, or the connection string cannot be used.
        DatabaseUnavailableError: every other failure.
    """
    try:
        with within(timeouts.operation_seconds):
            if timeouts.server_selection_seconds is not None and not _knows_a_server(collection):
                # Within a time limit pymongo forgets `serverSelectionTimeoutMS` and would look for a server
                # until the limit. This waits for what its monitor finds and sends nothing.
                with within(timeouts.server_selection_seconds):
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


def _knows_a_server(collection: Collection[Document]) -> bool:
    servers = collection.database.client.topology_description.server_descriptions()
    return any(server.is_writable for server in servers.values())


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
