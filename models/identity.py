"""Communication identifiers (MRIs): what kind of party one names, and what that kind may do.

Prefixes: Azure Communication Services identifiers (`CommunicationIdentifier.rawId` of its SDKs).
Life times: "Current limitations with the Push Notification model" of the calling push tutorial.
"""

from dataclasses import dataclass
from enum import Enum

MINIMUM_TTL_SECONDS = 300
MAXIMUM_TTL_SECONDS = 15_552_000
TEAMS_MAXIMUM_TTL_SECONDS = 86_400


class IdentityKind(Enum):
    """What an MRI stands for."""

    ACS_USER = "Communication Services user"
    TEAMS_USER = "Teams user"
    ANONYMOUS = "anonymous Teams visitor"
    PHONE_NUMBER = "phone number"
    TEAMS_APP = "Teams app"
    UNKNOWN = "unknown identifier"


_KIND_BY_PREFIX = {
    "8:acs:": IdentityKind.ACS_USER,
    "8:gcch-acs:": IdentityKind.ACS_USER,
    "8:dod-acs:": IdentityKind.ACS_USER,
    "8:spool:": IdentityKind.ACS_USER,
    "8:orgid:": IdentityKind.TEAMS_USER,
    "8:gcch:": IdentityKind.TEAMS_USER,
    "8:dod:": IdentityKind.TEAMS_USER,
    "8:teamsvisitor:": IdentityKind.ANONYMOUS,
    "4:": IdentityKind.PHONE_NUMBER,
    "28:orgid:": IdentityKind.TEAMS_APP,
    "28:gcch:": IdentityKind.TEAMS_APP,
    "28:dod:": IdentityKind.TEAMS_APP,
}

_DEVICE_OWNERS = frozenset({IdentityKind.ACS_USER, IdentityKind.TEAMS_USER})

OWNER_PREFIXES = tuple(prefix for prefix, kind in _KIND_BY_PREFIX.items() if kind in _DEVICE_OWNERS)
"""The prefixes of the identifiers that can own a device."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An MRI together with its kind. The id behind the prefix is opaque."""

    mri: str
    kind: IdentityKind

    @classmethod
    def parse(cls, mri: str) -> "Identity":
        """Tell the kind of `mri`; an unknown prefix or an empty id is `IdentityKind.UNKNOWN`."""
        for prefix, kind in _KIND_BY_PREFIX.items():
            if mri.startswith(prefix) and len(mri) > len(prefix):
                return cls(mri, kind)
        return cls(mri, IdentityKind.UNKNOWN)

    @property
    def can_own_devices(self) -> bool:
        """True for Communication Services users and Teams users."""
        return self.kind in _DEVICE_OWNERS

    @property
    def maximum_ttl_seconds(self) -> int:
        """The longest life of a registration, in seconds; a Teams user's is a day."""
        if self.kind is IdentityKind.TEAMS_USER:
            return TEAMS_MAXIMUM_TTL_SECONDS
        return MAXIMUM_TTL_SECONDS

    def time_to_live_seconds(self, requested: int | None, default: int) -> int:
        """The life of a registration: what the app asked for, else the default as far as allowed.

        A requested value is taken as it is: the request's validation has already refused a wrong one.
        """
        return min(default, self.maximum_ttl_seconds) if requested is None else requested
