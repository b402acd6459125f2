"""A connection to the app's database, and its failures as values: none keeps what the driver or the server
says."""

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo import MongoClient, errors

from common import entra_id, mongodb
from common.access_tokens import AccessTokens
from common.clock import SystemClock
from common.mongodb import Document, Failure, Timeouts
from common.time_limit import within
from models.known_causes import Cause
from settings import Settings

CONNECT_SECONDS = 5.0

SIGN_IN_SECONDS = 30.0
"""For a token of the developer's own sign-in: 'az' takes seconds to start."""

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
def translated(seconds: float | None = None, *, by_identity: bool = False) -> Iterator[None]:
    """A block of work with the database that ends within `seconds`.

    Args:
        seconds: of the whole block; `READ_SECONDS` if left out.
        by_identity: the block signs in with a token.

    Raises:
        DatabaseTroubleError: it failed.
    """
    try:
        with within(READ_SECONDS if seconds is None else seconds):
            yield
    except errors.PyMongoError as error:
        # What pymongo raises may quote commands, so it is not kept as a cause.
        raise DatabaseTroubleError(mongodb.failure_of(error, by_identity=by_identity)) from None


def developer_tokens(settings: Settings) -> AccessTokens | None:
    """The tokens by which the developer who is signed in to Azure signs in to the database; None if its
    connection string asks for none.

    Raises:
        DatabaseTroubleError: there is no sign-in to Azure.
    """
    identity = settings.database_identity
    if identity is None:
        return None
    tokens = entra_id.tokens_of_developer(identity.scope, SystemClock())
    with translated(SIGN_IN_SECONDS):
        tokens.prepare(SIGN_IN_SECONDS)
    return tokens


@contextmanager
def connected(settings: Settings, tokens: AccessTokens | None = None) -> Iterator[MongoClient[Document]]:
    """A client like the app's, connected and authenticated within `CONNECT_SECONDS`.

    Args:
        settings: those of the app.
        tokens: by which to sign in, where there are some already.

    Raises:
        DatabaseTroubleError: that is not possible.
    """
    uri = settings.database.connection_string
    tokens = tokens or developer_tokens(settings)
    client = mongodb.make_client(
        uri, Timeouts(READ_SECONDS, CONNECT_SECONDS), name="call-push-doctor", tokens=tokens
    )
    if isinstance(client, Cause):
        raise DatabaseTroubleError(Failure(client))
    with client:
        with translated(CONNECT_SECONDS, by_identity=tokens is not None):
            client.admin.command("ping")
        yield client
