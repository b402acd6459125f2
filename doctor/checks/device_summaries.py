"""Which devices a user has registered, which of them a call rings now, and what became of their last
pushes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from common.telemetry import fingerprint
from doctor.checks.findings import Status
from models.platform import Platform
from push.ledger import LedgerEntry

ID_LENGTH = 16
"""Of a registration id, as the app's log lines show it."""


class DeviceState(StrEnum):
    """Whether a call rings a device."""

    RINGS = "rings"
    REFUSED = "last push refused"
    """A call is sent to it, but the last push came to nothing."""
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    """The same device has registered a newer token."""
    UNREADABLE = "unreadable"
    """This version of the app cannot read the registration and skips it."""


_STATUSES = {
    DeviceState.RINGS: Status.PASS,
    DeviceState.REFUSED: Status.FAIL,
    DeviceState.EXPIRED: Status.CANNOT_TELL,
    DeviceState.SUPERSEDED: Status.CANNOT_TELL,
    DeviceState.UNREADABLE: Status.FAIL,
}


@dataclass(frozen=True, slots=True)
class LastPush:
    """What became of the last push to a device."""

    outcome: str
    reason: str
    at: datetime
    """When its call was first seen."""
    accepted: bool
    """The hub took it."""


@dataclass(frozen=True, slots=True)
class DeviceSummary:
    """One registration, without its token."""

    device: str
    """As the log lines name it."""
    state: DeviceState
    device_uuid: str | None = None
    """This and the others are None where they cannot be read."""
    platform: str | None = None
    token: str | None = None
    """Fingerprint of the device token."""
    refreshed_at: datetime | None = None
    expires_at: datetime | None = None
    last_push: LastPush | None = None
    """None if the ledger, which keeps a day, has none."""

    @property
    def status(self) -> Status:
        """Whether a call rings it."""
        return _STATUSES[self.state]

    @property
    def is_rung(self) -> bool:
        """Whether a call is sent to it."""
        return self.state in {DeviceState.RINGS, DeviceState.REFUSED}


def last_push(call: Mapping[str, Any], registration_id: str) -> LastPush | None:
    """What a document of the ledger says of the push to a device; None if nothing that can be read."""
    try:
        entry = LedgerEntry.read(call)
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
    record = entry.devices.get(registration_id)
    if record is None:
        return None
    return LastPush(record.outcome, record.reason, entry.first_seen, record.is_accepted)


def summarize_devices(
    documents: Sequence[Mapping[str, Any]], last_pushes: Mapping[str, LastPush], now: datetime
) -> list[DeviceSummary]:
    """The registrations of one user, newest first; the rule for which one rings is the registrar's.

    Args:
        documents: the user's registrations, as the database has them.
        last_pushes: by registration id.
        now: the current time, UTC.
    """
    readable = [document for document in documents if _is_readable(document)]
    readable.sort(key=lambda each: (each["updatedAt"], str(each["_id"])), reverse=True)
    rung: set[str] = set()
    summaries = []
    for document in readable:
        last_push = last_pushes.get(str(document["_id"]))
        if _utc(document["expiresAt"]) <= now:
            state = DeviceState.EXPIRED
        elif document["deviceUUID"] in rung:
            state = DeviceState.SUPERSEDED
        else:
            refused = last_push is not None and not last_push.accepted
            state = DeviceState.REFUSED if refused else DeviceState.RINGS
            rung.add(document["deviceUUID"])
        summaries.append(_summary(document, state, last_push))
    unreadable = [document for document in documents if not _is_readable(document)]
    return [*summaries, *(_unreadable(document) for document in unreadable)]


def _is_readable(document: Mapping[str, Any]) -> bool:
    return (
        all(isinstance(document.get(name), str) for name in ("deviceUUID", "deviceToken"))
        and all(isinstance(document.get(name), datetime) for name in ("updatedAt", "expiresAt"))
        and document.get("platform") in {platform.value for platform in Platform}
    )


def _unreadable(document: Mapping[str, Any]) -> DeviceSummary:
    def text(name: str) -> str | None:
        value = document.get(name)
        return value if isinstance(value, str) else None

    return DeviceSummary(
        str(document.get("_id"))[:ID_LENGTH],
        DeviceState.UNREADABLE,
        device_uuid=text("deviceUUID"),
        platform=text("platform"),
    )


def _summary(document: Mapping[str, Any], state: DeviceState, last_push: LastPush | None) -> DeviceSummary:
    return DeviceSummary(
        device=str(document["_id"])[:ID_LENGTH],
        state=state,
        device_uuid=document["deviceUUID"],
        platform=document["platform"],
        token=fingerprint(document["deviceToken"]),
        refreshed_at=_utc(document["updatedAt"]),
        expires_at=_utc(document["expiresAt"]),
        last_push=last_push,
    )


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=moment.tzinfo or UTC)
