"""What platforms report of device tokens, and the registrations that it concerns."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Feedback:
    """One push that a platform did not take."""

    at: datetime
    """UTC."""
    error: str
    """The service's name of it, such as `ExpiredChannel`."""
    handle: str = field(repr=False)
    """The device token; a browser's endpoint."""


@dataclass(frozen=True, slots=True)
class DeadRegistration:
    """A registration whose token a platform calls dead, and that was not refreshed since."""

    registration_id: str
    owner_mri: str = field(repr=False)
    device_uuid: str = field(repr=False)
    platform: str
    refreshed_at: datetime
    """As it was read: a registration that has changed by the time of its deletion stays."""


@dataclass(frozen=True, slots=True)
class BlobMark:
    """How far a blob of a feedback container has been read."""

    name: str
    offset: int
    """Bytes that have been dealt with."""
    length: int
    """Of the blob when it was read; as long as it does not change there is nothing new."""
