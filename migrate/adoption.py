"""Takes registrations over from an older registrar, without overruling any that an app has made here."""

from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from pymongo import errors
from pymongo.collection import Collection

from common import mongodb
from common.index_maker import IndexMaker
from models.device import DeviceRegistration
from registrar import document
from registrar.store import INDEXES

_BEFORE_ANY_REGISTRATION = timedelta(days=36_525)
"""How far adopted registrations are dated back: a century, so that every registration by an app is newer."""

_SINCE = timedelta(days=18_262)
"""Half as far: what is newer was registered by an app, what is older by this run or another one."""

_ATTEMPTS = 5


class Adoption(Enum):
    """What adopting a registration came to."""

    TAKEN_OVER = "taken over"
    REGISTERED_SINCE = "registered since"
    """An app has registered the token here, for any user."""
    DEVICE_REGISTERED_SINCE = "device registered since"
    """The user's device has registered another token here."""


class AdoptionStore:
    """Writes adopted registrations to the registrar's collection. Safe to share between threads."""

    def __init__(self, collection: Collection[mongodb.Document], work: mongodb.Work) -> None:
        """Take the registrar's collection, and what bounds each method in time."""
        self._collection = collection
        self._work = work
        self._indexes = IndexMaker(collection, work, INDEXES)

    def adopt(self, registration: DeviceRegistration, now: datetime) -> Adoption:
        """Take over a registration, dated back to before any that was made here.

        A registration by an app wins, whether it is made before, after or during this. Of two adoptions the
        later one wins.

        Raises:
            DatabaseUnavailableError, ConfigurationError: the outcome is unknown; adopting again does no harm.
        """
        as_of = mongodb.milliseconds(now) - _BEFORE_ANY_REGISTRATION
        since = now - _SINCE

        def adopt() -> Adoption:
            if not self._take_token(registration, as_of, since):
                return Adoption.REGISTERED_SINCE
            others = document.others_of_device(registration)
            self._collection.delete_many({**others, "updatedAt": {"$lt": as_of}})
            # Looked up after the insert: an app that registers the device after this look-up deletes what was
            # inserted before it.
            if self._collection.find_one({**others, **_by_an_app(since)}, {"_id": 1}) is None:
                return Adoption.TAKEN_OVER
            self._collection.delete_one(
                {"_id": registration.registration_id, "acsMri": registration.acs_mri, "updatedAt": as_of}
            )
            return Adoption.DEVICE_REGISTERED_SINCE

        outcome = self._work.run(self._collection, adopt)
        self._indexes.ensure()
        return outcome

    def foresee(self, registration: DeviceRegistration, now: datetime) -> Adoption:
        """What `adopt` would come to now; changes nothing.

        Raises:
            DatabaseUnavailableError, ConfigurationError: nothing is known.
        """
        newer = _by_an_app(now - _SINCE)

        def foresee() -> Adoption:
            if self._collection.find_one({**document.of_token(registration), **newer}, {"_id": 1}):
                return Adoption.REGISTERED_SINCE
            if self._collection.find_one({**document.others_of_device(registration), **newer}, {"_id": 1}):
                return Adoption.DEVICE_REGISTERED_SINCE
            return Adoption.TAKEN_OVER

        return self._work.run(self._collection, foresee)

    def _take_token(self, registration: DeviceRegistration, as_of: datetime, since: datetime) -> bool:
        """Make the token's document the user's own.

        Returns:
            False if an app has registered the token.
        """
        for _ in range(_ATTEMPTS):
            if self._collection.find_one(
                {**document.of_token(registration), **_by_an_app(since)}, {"_id": 1}
            ):
                return False
            try:
                # What an app has written since that look-up does not match, so the upsert tries to insert and
                # meets its `_id`. It also meets that of another run's insert at this moment: the next look
                # tells.
                self._collection.update_one(
                    {"_id": registration.registration_id, "updatedAt": {"$lt": since}},
                    {"$set": document.fields_of(registration, as_of)},
                    upsert=True,
                )
            except errors.DuplicateKeyError:
                continue
            return True
        return False


def _by_an_app(since: datetime) -> dict[str, Any]:
    """A filter for what an app has registered, and no run has adopted."""
    return {"updatedAt": {"$gte": since}}
