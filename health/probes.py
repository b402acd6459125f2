"""How long the parts are tried, and how the database is. Nothing is changed, and no push is sent."""

import pymongo
from pymongo.collection import Collection

from common import mongodb

DATABASE_SECONDS = 1.5
HUB_SECONDS = 1.5
"""Enough for a name look-up and a TLS handshake; the answer is a short one."""


def read_nothing(collection: Collection[mongodb.Document]) -> None:
    """Read from the registrations: this needs the server, the credentials and the right to read.

    Raises:
        PyMongoError: it does not come back in time, or it is refused.
    """
    with pymongo.timeout(DATABASE_SECONDS):
        # By `_id`, and no document has this one: one step in the index, and nothing is returned.
        collection.find_one({"_id": "health"}, {"_id": 1})
