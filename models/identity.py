"""Communication identifiers (MRIs): which kind of party each names, and what that kind may do.

Prefixes: Azure Communication Services identifiers (`CommunicationIdentifier.rawId` of its SDKs).
Times to live: "Current limitations with the Push Notification model" of the calling push tutorial.
"""

from dataclasses import dataclass, field
from enum import Enum
from string import ascii_lowercase, ascii_uppercase

MINIMUM_TTL_SECONDS = 300
MAXIMUM_TTL_SECONDS = 15_552_000
TEAMS_MAXIMUM_TTL_SECONDS = 86_400


class IdentityKind(Enum):
    """The kind of party that an MRI names."""

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

# ASCII alone: `str.lower` makes the Kelvin sign a "k", so that another identifier would compare equal.
_TO_LOWER_CASE = str.maketrans(ascii_uppercase, ascii_lowercase)


@dataclass(frozen=True, slots=True)
class Identity:
    """An MRI together with its kind. The id behind the prefix is opaque, apart from its letter case."""

    mri: str
    """In lower case: GUIDs have no letter case, and tools print them in either."""
    kind: IdentityKind
    as_received: str = field(compare=False)
    """The MRI as the request, the event or the token has it."""

    @classmethod
    def parse(cls, mri: str) -> "Identity":
        """The identity that an MRI in any letter case names.

        With an unknown prefix or an empty id its kind is `IdentityKind.UNKNOWN`.
        """
        lower_case = mri.translate(_TO_LOWER_CASE)
        for prefix, kind in _KIND_BY_PREFIX.items():
            if lower_case.startswith(prefix) and len(mri) > len(prefix):
                return cls(lower_case, kind, mri)
        return cls(lower_case, IdentityKind.UNKNOWN, mri)

    @property
    def spellings(self) -> tuple[str, ...]:
        """In lower case, as it is stored, and as received, as an earlier release stored it."""
        return (self.mri,) if self.mri == self.as_received else (self.mri, self.as_received)

    @property
    def can_own_devices(self) -> bool:
        """True for Communication Services users and Teams users."""
        return self.kind in _DEVICE_OWNERS

    @property
    def maximum_ttl_seconds(self) -> int:
        """The longest time to live of a registration, in seconds; a day for a Teams user."""
        if self.kind is IdentityKind.TEAMS_USER:
            return TEAMS_MAXIMUM_TTL_SECONDS
        return MAXIMUM_TTL_SECONDS

    def time_to_live_seconds(self, requested: int | None, default: int) -> int:
        """The time to live of a registration: the requested one, else the default up to the maximum.

        Args:
            requested: validated before; None if the app asked for none.
            default: in seconds.
        """
        return min(default, self.maximum_ttl_seconds) if requested is None else requested
