"""The database as the doctor reads it: every failure a value with a remedy, none with pymongo's own words."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import pymongo
from pymongo import MongoClient, errors

from app import mongo_client
from models.errors import ConfigurationError
from settings import Settings

Document = dict[str, Any]

CONNECT_SECONDS = 5.0

READ_SECONDS = 20.0
"""Patient: an operator waits longer than a ringing phone does."""

_AUTHENTICATION_FAILED = 18
_UNAUTHORIZED = 13


class Trouble(StrEnum):
    """What keeps the doctor from an answer."""

    UNREACHABLE = "the database cannot be reached in time"
    CREDENTIALS = "the database refuses the user name or the password"
    RIGHTS = "the database user lacks a right that the app needs"
    CONNECTION_STRING = "the connection string cannot be used"
    REFUSED = "the database refuses a command"


REMEDIES = {
    Trouble.UNREACHABLE: "Look at the firewall or IP access list of the database, at a private endpoint that "
    "only the app can reach, and whether it runs. Right after a restart, try again.",
    Trouble.CREDENTIALS: "Copy MongoDbConnectionString again; characters such as @ : / % in the password "
    "have to be percent-encoded.",
    Trouble.RIGHTS: "Give the database user readWrite on the database that DbName names.",
    Trouble.CONNECTION_STRING: "Copy MongoDbConnectionString again from the database's portal.",
    Trouble.REFUSED: "Look the code up in MongoDB's list of error codes; is it a MongoDB of version 4.4 or "
    "later?",
}


class DatabaseTroubleError(Exception):
    """The database did not answer as it should."""

    def __init__(self, trouble: Trouble, code: int | None = None) -> None:
        super().__init__(trouble.value if code is None else f"{trouble.value} (code {code})")
        self.trouble = trouble
        self.code = code

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.trouble]


@contextmanager
def asking(seconds: float = READ_SECONDS) -> Iterator[None]:
    """A piece of work with the database, bounded in time.

    Raises:
        DatabaseTroubleError: it failed. What pymongo says may quote commands, so no cause is kept.
    """
    try:
        with pymongo.timeout(seconds):
            yield
    except errors.OperationFailure as error:
        raise DatabaseTroubleError(refusal(error.code), error.code) from None
    except (errors.ConfigurationError, ConfigurationError):
        raise DatabaseTroubleError(Trouble.CONNECTION_STRING) from None
    except errors.PyMongoError:
        raise DatabaseTroubleError(Trouble.UNREACHABLE) from None


@contextmanager
def connected(settings: Settings) -> Iterator[MongoClient[Document]]:
    """The app's own client, with a connection that was made and authenticated.

    Raises:
        DatabaseTroubleError: there is none; within `CONNECT_SECONDS`, where a server is looked for in vain.
    """
    with asking(CONNECT_SECONDS):
        client = mongo_client(settings)
    with client:
        with asking(CONNECT_SECONDS):
            client.admin.command("ping")
        yield client


def refusal(code: int | None) -> Trouble:
    """What an error code of the database stands for."""
    if code == _UNAUTHORIZED:
        return Trouble.RIGHTS
    # Atlas answers failed authentication with a code of its own, 8000.
    return Trouble.CREDENTIALS if code in {_AUTHENTICATION_FAILED, 8000} else Trouble.REFUSED
