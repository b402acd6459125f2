"""What the page polls: registrations in the database, pushes and attempts at the hub simulator."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from local.hub.control_client import ControlClient, ControlError
from local.hub.faults import Fault
from local.hub.records import Attempt, PlatformOutcome, ReceivedPush
from models.device import DeviceRegistration
from registrar.document import StoredRegistration, newest_of_each_device, read
from registrar.store import COLLECTION_NAME

SHOWN_REGISTRATIONS = 48
KEPT_PUSHES = 500
KEPT_ATTEMPTS = 2_000
_TIMEOUT_MS = 3_000


class SourceError(Exception):
    """A source did not answer; the message names it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of the sources; pushes, attempts and faults are oldest first."""

    registrations: Sequence[DeviceRegistration] = ()
    """Those that count, of the most recently refreshed ones."""
    more_registrations: int = 0
    pushes: Sequence[ReceivedPush] = ()
    attempts: Sequence[Attempt] = ()
    faults: Sequence[Fault] = ()
    delay_seconds: float = 0.0
    dead_tokens: frozenset[str] = frozenset()
    """Of apps that have been uninstalled."""


class Sources:
    """Reads database and hub, blocking; not thread-safe.

    The database is read directly: the app's API answers for known users only, and phones may register by
    other means than the page.
    """

    def __init__(self, database_uri: str, database_name: str, hub: ControlClient) -> None:
        """The caller closes `hub`."""
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            database_uri, tz_aware=True, timeoutMS=_TIMEOUT_MS, serverSelectionTimeoutMS=_TIMEOUT_MS
        )
        self._registrations = self._client[database_name][COLLECTION_NAME]
        self._hub = hub
        self._pushes: deque[ReceivedPush] = deque(maxlen=KEPT_PUSHES)

    def read(self) -> Reading:
        """The current state; raises SourceError."""
        try:
            registrations, more = self._read_registrations()
        except PyMongoError:
            raise SourceError("The database does not answer.") from None
        try:
            since = self._pushes[-1].sequence if self._pushes else 0
            self._pushes.extend(self._hub.pushes(since))
            return Reading(
                registrations=registrations,
                more_registrations=more,
                pushes=tuple(self._pushes),
                attempts=self._hub.attempts()[-KEPT_ATTEMPTS:],
                faults=self._hub.faults(),
                delay_seconds=self._hub.latency(),
                dead_tokens=frozenset(
                    one.device_handle
                    for one in self._hub.outcomes()
                    if one.outcome is PlatformOutcome.EXPIRED_CHANNEL
                ),
            )
        except (requests.RequestException, ControlError):
            raise SourceError("The hub simulator does not answer.") from None

    def close(self) -> None:
        """Close the database's connections."""
        self._client.close()

    def _read_registrations(self) -> tuple[list[DeviceRegistration], int]:
        """The most recently refreshed ones, in an order that a refresh keeps, and the number left out."""
        unexpired = {"expiresAt": {"$gt": datetime.now(UTC)}}
        wanted = self._registrations.find(unexpired).sort("updatedAt", -1).limit(SHOWN_REGISTRATIONS + 1)
        found = [read(document) for document in wanted]
        more = 0
        if len(found) > SHOWN_REGISTRATIONS:
            more = self._registrations.count_documents(unexpired) - SHOWN_REGISTRATIONS
        readable = [each for each in found[:SHOWN_REGISTRATIONS] if isinstance(each, StoredRegistration)]
        return _that_count(readable), more


def _that_count(stored: Sequence[StoredRegistration]) -> list[DeviceRegistration]:
    by_user: dict[str, list[StoredRegistration]] = {}
    for each in stored:
        by_user.setdefault(each.registration.acs_mri, []).append(each)
    count = [registration for one in by_user.values() for registration in newest_of_each_device(one)]
    return sorted(count, key=lambda one: (one.acs_mri, one.platform, one.device_uuid, one.purpose.value))
