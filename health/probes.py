"""How the parts are looked at: bounded in time, and nothing is changed or sent."""

import socket
from urllib.parse import urlsplit

import pymongo
from pymongo.collection import Collection

from common import mongodb

DATABASE_SECONDS = 1.5
HUB_SECONDS = 1.0


def database_answers(collection: Collection[mongodb.Document]) -> bool:
    """True if a read of the registrations comes back in time: server, credentials and right to read.

    Raises:
        PyMongoError: it does not.
    """
    with pymongo.timeout(DATABASE_SECONDS):
        # By `_id`, and no such document can be there: one step in the index, nothing returned.
        collection.find_one({"_id": "health"}, {"_id": 1})
    return True


def hub_listens(messages_url: str) -> bool:
    """True if the hub's namespace has an address and takes a connection. Nothing is sent.

    Raises:
        OSError: it does not.
    """
    parts = urlsplit(messages_url)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    with socket.create_connection((parts.hostname, port), timeout=HUB_SECONDS):
        return True
