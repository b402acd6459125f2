"""Users with devices, as each contender keeps them, and calls for them."""

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection

from bench.reference import COLLECTION_NAME as REFERENCE_COLLECTION
from bench.worker import Event
from local.samples import LONGEST_CONTEXT, USUAL_CONTEXT, event_grid_event, incoming_call_data
from models.device import DeviceRegistration
from models.identity import Identity
from models.platform import Platform
from registrar import document, store

Document = dict[str, Any]
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Crowd:
    """Users who have the same number of devices each."""

    name: str
    users: int
    devices: int = 1

    def mri(self, number: int) -> str:
        """The user's MRI; the same every time."""
        return f"8:acs:{_uuid('resource')}_{_uuid(f'{self.name} {number % self.users}')}"

    def registrations(self) -> Iterator[DeviceRegistration]:
        """All devices of all users, iPhones every one: the reference can ring no other."""
        expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
        for user in range(self.users):
            for device in range(self.devices):
                name = f"{self.name} {user} {device}"
                token = hashlib.sha256(name.encode()).hexdigest()
                yield DeviceRegistration(
                    Identity.parse(self.mri(user)),
                    str(_uuid(name)).upper(),
                    token,
                    Platform.APPLE,
                    expires_at,
                )

    def calls(self, count: int) -> list[Event]:
        """New calls, beginning now, one user after the other; every second one has the longest context."""
        contexts = (USUAL_CONTEXT, LONGEST_CONTEXT)
        return [
            event_grid_event(incoming_call_data(self.mri(number), context_characters=contexts[number % 2]))
            for number in range(count)
        ]


def settle(uri: str, database_name: str, *crowds: Crowd) -> None:
    """Write the crowds as the app keeps them (the floor reads the same) and as the reference does."""
    client: MongoClient[Document] = MongoClient(uri)
    with client:
        database = client[database_name]
        for crowd in crowds:
            write_registrations(database[store.COLLECTION_NAME], crowd.registrations())
            database[REFERENCE_COLLECTION].insert_many(_sample_documents(crowd))


def write_registrations(
    collection: Collection[Document], registrations: Iterator[DeviceRegistration]
) -> None:
    """Write many documents of `registrar.store` at once, with the index that they are found by."""
    collection.create_index("acsMri")
    now = datetime.now(UTC)
    for batch in batched(registrations, _BATCH):  # noqa: B911 - the last one is shorter
        collection.insert_many(
            [{"_id": one.registration_id, **document.fields_of(one, now)} for one in batch], ordered=False
        )


def _sample_documents(crowd: Crowd) -> list[Document]:
    users: dict[str, Document] = {}
    for one in crowd.registrations():
        user = users.setdefault(one.acs_mri, {"_id": one.acs_mri, "deviceInfos": []})
        user["deviceInfos"].append(
            {"deviceUUID": one.device_uuid, "deviceToken": one.device_token, "platform": one.platform.value}
        )
    return list(users.values())


def _uuid(name: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, name)
