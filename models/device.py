"""A registered device."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property

from models.device_token import compared_form, former_spellings
from models.hub import DEFAULT_HUB
from models.identity import Identity
from models.platform import Platform


def rfc3339(moment: datetime) -> str:
    """`moment` as RFC 3339 in UTC with whole seconds and a `Z`, such as `2026-01-31T12:00:00Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


class Purpose(StrEnum):
    """What a device token is for. An iPhone has two tokens: PushKit's for calls, the ordinary one for
    alerts."""

    CALLS = "calls"
    ALERTS = "alerts"


@dataclass(frozen=True)
class DeviceRegistration:
    """One device of one user, and how long it stays registered."""

    owner: Identity
    device_uuid: str
    device_token: str = field(repr=False)
    """Identifies the device to its push service; secret."""
    platform: Platform
    expires_at: datetime
    """UTC, whole seconds."""
    purpose: Purpose = Purpose.CALLS
    hub: str = DEFAULT_HUB
    """Name of the hub that reaches the device."""
    gone_at: datetime | None = None
    """When the hub called the device gone; None if it has not since the registration or an accepted push."""
    stored_id: str | None = field(default=None, compare=False)
    """The id under which the database holds it; None for one that has not been read from there."""

    @property
    def acs_mri(self) -> str:
        """The owner's MRI in lower case."""
        return self.owner.mri

    @cached_property
    def device_key(self) -> str:
        """Identifies the user's device, independent of its token: 32 hexadecimal digits."""
        return hashlib.sha256(f"{self.acs_mri}\n{self.device_uuid}".encode()).hexdigest()[:32]

    @cached_property
    def registration_id(self) -> str:
        """Identifies the device token without revealing it: 64 hexadecimal digits."""
        return self.stored_id or _id(self.platform, compared_form(self.platform, self.device_token))

    @property
    def former_ids(self) -> frozenset[str]:
        """Other ids under which an earlier release may have stored the same token.

        It hashed an Apple token as the app spelled it, so that one token could have two ids.
        """
        spellings = former_spellings(self.platform, self.device_token)
        return frozenset(_id(self.platform, token) for token in spellings) - {self.registration_id}

    @property
    def compared_token(self) -> tuple[Platform, str]:
        """Equal for registrations of the same token."""
        return self.platform, compared_form(self.platform, self.device_token)


def registration_ids(handle: str) -> frozenset[str]:
    """The ids under which a token may be stored, whichever platform it belongs to.

    Args:
        handle: as a hub reports it; of a browser, the endpoint alone.
    """
    return frozenset(
        _id(platform, token)
        for platform in Platform
        for token in (compared_form(platform, handle), *former_spellings(platform, handle))
    )


def _id(platform: Platform, token: str) -> str:
    return hashlib.sha256(f"{platform.value}\n{token}".encode()).hexdigest()
