"""The document of a registration in MongoDB: the names of its fields, written and read here alone (pure).

`_id` registration id, `acsMri`, `deviceUUID`, `deviceToken`, `platform`, `expiresAt`, `updatedAt` (when it
was registered or refreshed last). Optional: `purpose` and `hub`, whose absence means `calls` and `default`;
`goneAt`, since when the hub has called the device gone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from models.device import DeviceRegistration, Purpose
from models.hub import DEFAULT_HUB
from models.identity import Identity
from models.platform import Platform


@dataclass(frozen=True, slots=True)
class StoredRegistration:
    """A registration together with what the database alone knows of it."""

    registration: DeviceRegistration
    updated_at: datetime

    @property
    def age_order(self) -> tuple[datetime, str]:
        """Least recently refreshed first; within a millisecond the order is arbitrary but stable."""
        return self.updated_at, self.registration.registration_id


@dataclass(frozen=True, slots=True)
class UnreadableDocument:
    """A document that this version cannot read: a later one wrote it, or it was changed by hand."""

    registration_id: str
    problem: str
    """Names the field; quotes nothing."""


def fields_of(registration: DeviceRegistration, updated_at: datetime) -> dict[str, Any]:
    """Every field but `_id`."""
    return {
        "acsMri": registration.acs_mri,
        "deviceUUID": registration.device_uuid,
        "deviceToken": registration.device_token,
        "platform": registration.platform.value,
        "expiresAt": registration.expires_at,
        "updatedAt": updated_at,
        "purpose": registration.purpose.value,
        "hub": registration.hub,
    }


_TYPES = {
    "_id": str,
    "acsMri": str,
    "deviceUUID": str,
    "deviceToken": str,
    "platform": str,
    "expiresAt": datetime,
    "updatedAt": datetime,
}


def read(document: Mapping[str, Any]) -> StoredRegistration | UnreadableDocument:
    """The registration of a document as the driver returns it; a time without an offset is UTC."""
    for name, kind in _TYPES.items():
        if not isinstance(document.get(name), kind):
            return UnreadableDocument(str(document.get("_id")), f"{name} is missing or of another type")
    if document["platform"] not in Platform:
        return UnreadableDocument(document["_id"], "platform is unknown to this version")
    purpose, hub = document.get("purpose") or Purpose.CALLS, document.get("hub") or DEFAULT_HUB
    if purpose not in Purpose or not isinstance(hub, str):
        return UnreadableDocument(document["_id"], "purpose or hub is unknown to this version")
    gone_at = document.get("goneAt")
    registration = DeviceRegistration(
        owner=Identity.parse(document["acsMri"]),
        device_uuid=document["deviceUUID"],
        device_token=document["deviceToken"],
        platform=Platform(document["platform"]),
        expires_at=_utc(document["expiresAt"]),
        purpose=Purpose(purpose),
        hub=hub,
        gone_at=_utc(gone_at) if isinstance(gone_at, datetime) else None,
        stored_id=document["_id"],
    )
    return StoredRegistration(registration, _utc(document["updatedAt"]))


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def newest_of_each_device(stored: Iterable[StoredRegistration]) -> list[DeviceRegistration]:
    """The registrations that count, newest first: of each device and purpose the newest, and each token once.

    A token can be there twice: an earlier release gave the same Apple token another id in capitals.
    """
    devices: set[tuple[str, Purpose]] = set()
    tokens: set[tuple[Platform, str]] = set()
    newest = []
    for each in sorted(stored, key=lambda each: each.age_order, reverse=True):
        registration = each.registration
        device = registration.device_uuid, registration.purpose
        if device not in devices and registration.compared_token not in tokens:
            newest.append(registration)
        devices.add(device)
        tokens.add(registration.compared_token)
    return newest


def of_owner(owner: Identity) -> dict[str, Any]:
    """A filter for the registrations of a user, in both spellings of the MRI."""
    spellings = owner.spellings
    return {"acsMri": spellings[0] if len(spellings) == 1 else {"$in": list(spellings)}}


def of_token(registration: DeviceRegistration) -> dict[str, Any]:
    """A filter for the documents of a token, those of an earlier release among them."""
    return {"_id": {"$in": sorted({registration.registration_id, *registration.former_ids})}}


def purposes(purpose: Purpose) -> list[str | None]:
    """The values of a document's field that mean the purpose."""
    # None matches a field that is not there.
    return [purpose.value, None] if purpose is Purpose.CALLS else [purpose.value]


def others_of_device(registration: DeviceRegistration) -> dict[str, Any]:
    """A filter for other tokens of the same user's same device and purpose."""
    return {
        **of_owner(registration.owner),
        "deviceUUID": registration.device_uuid,
        "_id": {"$ne": registration.registration_id},
        "purpose": {"$in": purposes(registration.purpose)},
    }
