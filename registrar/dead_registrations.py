"""Registrations whose token a platform calls dead: found, counted and deleted. Knows no HTTP."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import batched
from typing import Any

from pymongo.collection import Collection

from common import mongodb
from common.time_limit import taking_longer
from models.device import registration_ids
from models.feedback import DeadRegistration
from models.hub import DEFAULT_HUB
from models.identity import Identity
from registrar.access import Right
from registrar.audit import Audit

_AT_ONCE = 200
"""Handles in one look-up; each has an id for every platform."""

_COUNTING_TAKES = 10
"""Times as long as other work: it is done once an hour, and no call waits for it."""


class DeadRegistrations:
    """The registrations, as feedback concerns them. Safe to share between threads and instances."""

    def __init__(self, collection: Collection[mongodb.Document], work: mongodb.Work) -> None:
        """Take the collection of the registrations, and what bounds each piece of work in time."""
        self._collection = collection
        self._work = work

    def count(self, hub: str, named_hubs: Iterable[str]) -> int:
        """About how many registrations a hub has, expired ones among them.

        Args:
            hub: its name in the settings.
            named_hubs: all but the default one.

        Raises:
            DatabaseUnavailableError, ConfigurationError: they cannot be counted.
        """
        if hub != DEFAULT_HUB:
            return self._count_named(hub)
        whole = self._run_long(self._collection.estimated_document_count)
        return max(0, whole - sum(self._count_named(name) for name in named_hubs))

    def find(self, hub: str, dead: Mapping[str, datetime]) -> Sequence[DeadRegistration]:
        """The registrations of the hub that were not refreshed after their token was reported.

        Args:
            hub: its name in the settings.
            dead: when each handle was last reported, UTC. Which platform it belongs to need not be known.

        Raises:
            DatabaseUnavailableError, ConfigurationError: they cannot be read.
        """
        found = []
        for handles in batched(dead, _AT_ONCE, strict=False):
            reported = {name: dead[handle] for handle in handles for name in registration_ids(handle)}
            for document in self._documents({"_id": {"$in": sorted(reported)}}):
                registration = _dead(document, hub, reported[document["_id"]])
                if registration is not None:
                    found.append(registration)
        return found

    def forget(self, dead: DeadRegistration) -> bool:
        """Delete a registration, unless it has changed since it was read; it leaves an audit line.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it may not have been deleted.
        """
        named = {"_id": dead.registration_id}
        as_read = {**named, "updatedAt": dead.refreshed_at, "acsMri": dead.owner_mri}

        def delete() -> bool:
            deleted = self._collection.delete_one(as_read).deleted_count
            # The answer to a first try may have been lost.
            return bool(deleted) or self._collection.find_one(named, {"_id": 1}) is None

        forgotten = self._work.run(self._collection, delete)
        if forgotten:
            owner = Identity.parse(dead.owner_mri)
            Audit(Right.FEEDBACK, owner).forgotten(dead.device_uuid, dead.registration_id, dead.platform)
        return forgotten

    def _documents(self, wanted: mongodb.Document) -> Sequence[mongodb.Document]:
        return self._work.run(self._collection, lambda: list(self._collection.find(wanted)))

    def _count_named(self, hub: str) -> int:
        return self._run_long(lambda: self._collection.count_documents({"hub": hub}))

    def _run_long(self, count: Callable[[], int]) -> int:
        return taking_longer(_COUNTING_TAKES, lambda: self._work.run(self._collection, count))


def _dead(document: Mapping[str, Any], hub: str, reported_at: datetime) -> DeadRegistration | None:
    """None if another hub reaches the device, or if it was refreshed after the report."""
    owner, device_uuid, platform, refreshed_at = (
        document.get(name) for name in ("acsMri", "deviceUUID", "platform", "updatedAt")
    )
    if not isinstance(refreshed_at, datetime) or (document.get("hub") or DEFAULT_HUB) != hub:
        return None
    if not isinstance(owner, str) or not isinstance(device_uuid, str) or not isinstance(platform, str):
        return None
    refreshed_at = refreshed_at.replace(tzinfo=refreshed_at.tzinfo or reported_at.tzinfo)
    if refreshed_at > reported_at:
        return None
    return DeadRegistration(document["_id"], owner, device_uuid, platform, refreshed_at)
