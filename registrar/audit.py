"""Audit lines: who changed what rings where, who ended a ring, and who read device tokens. One structured
line for each.

Users and devices are named by fingerprints, so that the lines of one user can be found by their MRI, which
the lines do not reveal.
"""

import logging
from collections.abc import Iterable
from enum import StrEnum

from common import telemetry
from models.device import DeviceRegistration
from models.identity import Identity
from models.report import DeviceState
from registrar.access import Right

EVENT = "registrar_audit"

_ID_LENGTH = 16
"""Of a registration id, as in the lines of calls."""


class Action(StrEnum):
    """What was done."""

    ADDED = "added"
    REFRESHED = "refreshed"
    MOVED = "moved"
    """The device token was another user's; that user's calls no longer ring there."""
    REMOVED = "removed"
    """The user had too many devices."""
    DELETED = "deleted"
    WIPED = "wiped"
    """All devices of the user were deleted."""
    TOKENS_READ = "tokens_read"
    FORGOTTEN = "forgotten"
    """The platform called the device dead."""
    RING_ENDED = "ring_ended"
    """A call was first reported as answered or declined, which stops the user's other devices."""


class Audit:
    """Writes the lines of one caller's work for one user."""

    def __init__(self, right: Right, owner: Identity) -> None:
        """Take by which right the caller acts, and for which user."""
        self._right = right
        self._user = telemetry.fingerprint(owner.mri)

    def registered(
        self, registration: DeviceRegistration, *, is_new: bool, moved_from: Iterable[str]
    ) -> None:
        """A token was registered.

        Args:
            registration: as it is stored.
            is_new: it was not stored before.
            moved_from: the MRIs, in lower case, of other users who had the token.
        """
        former = sorted(telemetry.fingerprint(mri) for mri in moved_from)
        action = Action.MOVED if former else Action.ADDED if is_new else Action.REFRESHED
        self._write(
            action,
            device=telemetry.fingerprint(registration.device_uuid),
            registration=registration.registration_id[:_ID_LENGTH],
            platform=registration.platform.value,
            purpose=registration.purpose.value,
            hub=registration.hub,
            moved_from=", ".join(former) or None,
        )

    def removed(self, device_uuid: str) -> None:
        """A device was removed because the user had too many."""
        self._write(Action.REMOVED, device=telemetry.fingerprint(device_uuid))

    def deleted(self, device_uuid: str) -> None:
        """A device was deleted."""
        self._write(Action.DELETED, device=telemetry.fingerprint(device_uuid))

    def wiped(self, registrations: int) -> None:
        """All devices of the user were deleted."""
        self._write(Action.WIPED, registrations=registrations)

    def forgotten(self, device_uuid: str, registration_id: str, platform: str) -> None:
        """A registration was deleted because its token is dead."""
        self._write(
            Action.FORGOTTEN,
            device=telemetry.fingerprint(device_uuid),
            registration=registration_id[:_ID_LENGTH],
            platform=platform,
        )

    def tokens_read(self, devices: int) -> None:
        """The user's device tokens were answered."""
        self._write(Action.TOKENS_READ, devices=devices)

    def ring_ended(self, device_uuid: str, state: DeviceState) -> None:
        """A device was the first to report that a call was answered or declined."""
        self._write(Action.RING_ENDED, device=telemetry.fingerprint(device_uuid), state=state.value)

    def _write(self, action: Action, **fields: object) -> None:
        # Usually a sign-in on a shared phone. It is also what an attacker does to get another user's calls.
        level = logging.WARNING if action is Action.MOVED else logging.INFO
        telemetry.log(level, EVENT, action=action.value, right=self._right.value, user=self._user, **fields)
