"""`user`: which devices a user has registered, and which of them would ring now (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from common.telemetry import fingerprint

ID_LENGTH = 16
"""Of a registration id, as the app's log lines show it."""


class DeviceState(StrEnum):
    """Whether a call rings it."""

    RINGS = "rings"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    """The same device has registered a newer token."""


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One registration, without its token."""

    device: str
    """As the log lines name it."""
    device_uuid: str
    platform: str
    token: str
    """Fingerprint of the device token."""
    refreshed_at: datetime
    expires_at: datetime
    state: DeviceState


def device_views(documents: Sequence[Mapping[str, Any]], now: datetime) -> list[DeviceView]:
    """The registrations of one user, newest first; the rule for which one rings is the registrar's."""
    newest_first = sorted(documents, key=lambda each: (each["updatedAt"], each["_id"]), reverse=True)
    ringing: set[str] = set()
    views = []
    for document in newest_first:
        expired = _utc(document["expiresAt"]) <= now
        if expired:
            state = DeviceState.EXPIRED
        elif document["deviceUUID"] in ringing:
            state = DeviceState.SUPERSEDED
        else:
            state = DeviceState.RINGS
            ringing.add(document["deviceUUID"])
        views.append(_view(document, state))
    return views


def _view(document: Mapping[str, Any], state: DeviceState) -> DeviceView:
    return DeviceView(
        device=document["_id"][:ID_LENGTH],
        device_uuid=document["deviceUUID"],
        platform=document["platform"],
        token=fingerprint(document["deviceToken"]),
        refreshed_at=_utc(document["updatedAt"]),
        expires_at=_utc(document["expiresAt"]),
        state=state,
    )


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=moment.tzinfo or UTC)
