"""The document of a registration in MongoDB: the names of its fields, written and read here alone.

`_id` registration id, `acsMri`, `deviceUUID`, `deviceToken`, `platform`, `expiresAt`, `updatedAt` (when it
was registered or refreshed last), and `goneAt` while the hub calls the device gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from models.device import DeviceRegistration, Platform


@dataclass(frozen=True, slots=True)
class StoredRegistration:
    """A registration together with what the database alone knows of it."""

    id: str
    registration: DeviceRegistration
    updated_at: datetime

    @property
    def age_order(self) -> tuple[datetime, str]:
        """Least recently refreshed first; within a millisecond the order is arbitrary but stable."""
        return self.updated_at, self.id


def fields_of(registration: DeviceRegistration, updated_at: datetime) -> dict[str, Any]:
    """Every field but `_id`."""
    return {
        "acsMri": registration.acs_mri,
        "deviceUUID": registration.device_uuid,
        "deviceToken": registration.device_token,
        "platform": registration.platform.value,
        "expiresAt": registration.expires_at,
        "updatedAt": updated_at,
    }


def read(document: Mapping[str, Any]) -> StoredRegistration:
    """The registration of a document as the driver returns it; a time without an offset is UTC."""
    registration = DeviceRegistration(
        acs_mri=document["acsMri"],
        device_uuid=document["deviceUUID"],
        device_token=document["deviceToken"],
        platform=Platform(document["platform"]),
        expires_at=document["expiresAt"].replace(tzinfo=UTC),
        gone_at=gone_at.replace(tzinfo=UTC) if (gone_at := document.get("goneAt")) else None,
    )
    return StoredRegistration(document["_id"], registration, document["updatedAt"].replace(tzinfo=UTC))


def others_of_device(registration: DeviceRegistration) -> dict[str, Any]:
    """A filter for other tokens of the same user's same device."""
    return {
        "acsMri": registration.acs_mri,
        "deviceUUID": registration.device_uuid,
        "_id": {"$ne": registration.registration_id},
    }
