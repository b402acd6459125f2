"""Which devices a user has registered, which of them a call rings now, and what became of their last
pushes."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from common.telemetry import fingerprint
from doctor.checks.findings import Status
from models.device import DeviceRegistration, Purpose, rfc3339
from models.device_token import is_device_token, problem_of
from push.devices import showing
from push.ledger_entry import LedgerEntry
from registrar.document import StoredRegistration, UnreadableDocument, newest_of_each_device, read

ID_LENGTH = 16
"""Of a registration id, as the app's log lines show it."""


class DeviceState(StrEnum):
    """Whether a call rings a device."""

    RINGS = "rings"
    REFUSED = "last push refused"
    """A call is sent to it, but the last push came to nothing."""
    GONE = "gone"
    """A call is sent to it, but the hub has answered that the device is gone."""
    INVALID_TOKEN = "token cannot ring"  # noqa: S105 - no password
    """Its token, registered with an earlier release, is none that its platform issues."""
    SHOWS_ALERTS = "shows alerts"
    """An iPhone's token for visible notifications; no call rings by it."""
    ALERTS_ONLY = "alerts without calls"
    """Such a token, of a device that has none for calls: nothing is sent to it."""
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    """The same device has registered a newer token."""
    UNREADABLE = "unreadable"
    """This version of the app cannot read the registration and skips it."""


_STATUSES = {
    DeviceState.RINGS: Status.PASS,
    DeviceState.REFUSED: Status.FAIL,
    DeviceState.GONE: Status.FAIL,
    DeviceState.INVALID_TOKEN: Status.FAIL,
    DeviceState.SHOWS_ALERTS: Status.PASS,
    DeviceState.ALERTS_ONLY: Status.CANNOT_TELL,
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
    hub: str | None = None
    """Name of the hub that reaches it."""
    token: str | None = None
    """Fingerprint of the device token."""
    refreshed_at: datetime | None = None
    expires_at: datetime | None = None
    last_push: LastPush | None = None
    """None if the ledger, which keeps a day, has none."""
    problem: str | None = None
    """Why it cannot be read or cannot ring, or since when the device is gone."""

    @property
    def status(self) -> Status:
        """Whether a call rings it."""
        return _STATUSES[self.state]

    @property
    def is_rung(self) -> bool:
        """Whether a call is sent to it."""
        return self.state in {DeviceState.RINGS, DeviceState.REFUSED, DeviceState.GONE}


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
    """The registrations of one user, newest first; which of them ring is the registrar's rule.

    Args:
        documents: the user's registrations, as the database has them.
        last_pushes: by registration id.
        now: the current time, UTC.
    """
    found = [read(document) for document in documents]
    stored = [each for each in found if isinstance(each, StoredRegistration)]
    stored.sort(key=lambda each: each.age_order, reverse=True)
    unexpired = [each for each in stored if each.registration.expires_at > now]
    newest = newest_of_each_device(unexpired)
    used = {each.registration_id for each in newest}
    shown = {each.registration_id for each in showing(newest)}
    summaries = [
        _summary(each, _state(each.registration, used, shown, last_pushes, now), last_pushes)
        for each in stored
    ]
    unreadable = [each for each in found if isinstance(each, UnreadableDocument)]
    return [*summaries, *(_unreadable(each) for each in unreadable)]


def _state(
    registration: DeviceRegistration,
    used: AbstractSet[str],
    shown: AbstractSet[str],
    last_pushes: Mapping[str, LastPush],
    now: datetime,
) -> DeviceState:
    if registration.expires_at <= now:
        return DeviceState.EXPIRED
    if registration.registration_id not in used:
        return DeviceState.SUPERSEDED
    if not is_device_token(registration.platform, registration.device_token):
        return DeviceState.INVALID_TOKEN
    if registration.gone_at is not None:
        return DeviceState.GONE
    if registration.purpose is Purpose.ALERTS:
        is_shown = registration.registration_id in shown
        return DeviceState.SHOWS_ALERTS if is_shown else DeviceState.ALERTS_ONLY
    last_push = last_pushes.get(registration.registration_id)
    return DeviceState.REFUSED if last_push and not last_push.accepted else DeviceState.RINGS


def _summary(
    stored: StoredRegistration, state: DeviceState, last_pushes: Mapping[str, LastPush]
) -> DeviceSummary:
    registration = stored.registration
    return DeviceSummary(
        device=registration.registration_id[:ID_LENGTH],
        state=state,
        device_uuid=registration.device_uuid,
        platform=registration.platform.value,
        hub=registration.hub,
        token=fingerprint(registration.device_token),
        refreshed_at=stored.updated_at,
        expires_at=registration.expires_at,
        last_push=last_pushes.get(registration.registration_id),
        problem=_problem(registration),
    )


def _problem(registration: DeviceRegistration) -> str | None:
    if problem := problem_of(registration.platform, registration.device_token):
        return f"the device token {problem}"
    gone_at = registration.gone_at
    return None if gone_at is None else f"the hub calls the device gone since {rfc3339(gone_at)}"


def _unreadable(document: UnreadableDocument) -> DeviceSummary:
    return DeviceSummary(
        document.registration_id[:ID_LENGTH], DeviceState.UNREADABLE, problem=document.problem
    )
