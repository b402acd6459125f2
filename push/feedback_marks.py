"""How far the feedback of each hub has been read, in MongoDB: one small document a hub."""

from collections.abc import Iterable, Mapping, Sequence

from pymongo.collection import Collection

from common import mongodb
from models.feedback import BlobMark

COLLECTION_NAME = "FeedbackMarks"


class FeedbackMarks:
    """The marks. Safe to share between threads and instances: of two that write, the last one counts, and
    what is read a second time changes nothing."""

    def __init__(self, collection: Collection[mongodb.Document], work: mongodb.Work) -> None:
        """Take the collection, and what bounds each method in time."""
        self._collection = collection
        self._work = work

    def read(self, hub: str) -> Mapping[str, BlobMark]:
        """The marks of a hub, by the blobs' names.

        Args:
            hub: its address.

        Raises:
            DatabaseUnavailableError, ConfigurationError: they cannot be read.
        """
        document = self._work.run(self._collection, lambda: self._collection.find_one({"_id": hub}))
        marks = ((document or {}).get("blobs")) or []
        return {each["name"]: BlobMark(each["name"], each["offset"], each["length"]) for each in marks}

    def write(self, hub: str, marks: Iterable[BlobMark]) -> None:
        """Replace the marks of a hub.

        Raises:
            DatabaseUnavailableError, ConfigurationError: they may not have been written.
        """
        blobs: Sequence[mongodb.Document] = [
            {"name": mark.name, "offset": mark.offset, "length": mark.length} for mark in marks
        ]
        change = {"$set": {"blobs": blobs}}
        self._work.run(
            self._collection, lambda: self._collection.update_one({"_id": hub}, change, upsert=True)
        )
