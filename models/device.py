"""Devices: the platforms, a registration, and the request that makes one."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from models.identity import (
    MAXIMUM_TTL_SECONDS,
    MINIMUM_TTL_SECONDS,
    OWNER_PREFIXES,
    Identity,
)


@dataclass(frozen=True, slots=True)
class FieldLimits:
    """How long the fields of a request may be, in characters."""

    acs_mri: int = 512
    device_uuid: int = 256
    device_token: int = 4_096


class Platform(StrEnum):
    """A push platform, named as Notification Hubs names its format."""

    APPLE = "apple"
    FCM_V1 = "fcmv1"
    WINDOWS = "windows"


# Google switched the legacy GCM protocol off in 2024; all three names mean FCM v1 today.
PLATFORM_NAMES = {
    "apple": Platform.APPLE,
    "android": Platform.FCM_V1,
    "gcm": Platform.FCM_V1,
    "fcmv1": Platform.FCM_V1,
    "windows": Platform.WINDOWS,
}
"""Every name that an app may send for a platform, in lower case."""


def rfc3339(moment: datetime) -> str:
    """`moment` as RFC 3339 in UTC with whole seconds and a `Z`, such as `2026-01-31T12:00:00Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


@dataclass(frozen=True)
class DeviceRegistration:
    """One device of one user, and how long it stays registered."""

    acs_mri: str
    device_uuid: str
    device_token: str = field(repr=False)
    """The handle that the platform's push service knows; opaque and secret."""
    platform: Platform
    expires_at: datetime
    """UTC, whole seconds."""
    gone_at: datetime | None = None
    """When the hub called the device gone; None if it has not since the registration or an accepted push."""

    @cached_property
    def device_key(self) -> str:
        """Names the user's device whatever its token is: 32 hexadecimal digits."""
        named = f"{self.acs_mri.lower()}\n{self.device_uuid}"
        return hashlib.sha256(named.encode()).hexdigest()[:32]

    @cached_property
    def registration_id(self) -> str:
        """What names this device token everywhere without giving it away: 64 hexadecimal digits."""
        return hashlib.sha256(f"{self.platform.value}\n{self.device_token}".encode()).hexdigest()


def _platform(value: object) -> object:
    platform = PLATFORM_NAMES.get(value.lower()) if isinstance(value, str) else None
    if platform is None:
        raise PydanticCustomError("platform", "must be one of: {names}", {"names": ", ".join(PLATFORM_NAMES)})
    return platform


def check_owner(mri: str) -> str:
    """Return `mri` if it can own a device.

    Raises:
        PydanticCustomError: it names no Communication Services user and no Teams user.
    """
    identity = Identity.parse(mri)
    if identity.can_own_devices:
        return mri
    prefixes = ", ".join(OWNER_PREFIXES)
    raise PydanticCustomError(
        "owner",
        "names no Communication Services or Teams user; it must be one of {prefixes} followed by an id",
        {"prefixes": prefixes},
    )


def _at_most(field_name: str) -> Callable[[str, ValidationInfo], str]:
    """A validator for text that is as long as the `FieldLimits` of the validation's context allow."""

    def check(value: str, info: ValidationInfo) -> str:
        limit: int = getattr(info.context or FieldLimits(), field_name)
        if len(value) <= limit:
            return value
        raise PydanticCustomError("too_long", "must have at most {limit} characters", {"limit": limit})

    return check


_Text = Annotated[str, StringConstraints(strict=True, min_length=1)]
Mri = Annotated[_Text, AfterValidator(_at_most("acs_mri"))]
DeviceUuid = Annotated[_Text, AfterValidator(_at_most("device_uuid"))]
DeviceToken = Annotated[_Text, AfterValidator(_at_most("device_token"))]


class _Request(BaseModel):
    # hide_input_in_errors: pydantic's messages quote inputs, and a device token is never echoed.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class DeviceInfo(_Request):
    """The device of an AddDeviceToken request."""

    device_uuid: DeviceUuid = Field(alias="deviceUUID")
    device_token: DeviceToken = Field(alias="deviceToken", repr=False)
    platform: Annotated[Platform, BeforeValidator(_platform)]


class AddDeviceTokenRequest(_Request):
    """The body of `POST /api/add_device_token`, as the C# sample's apps send it, plus `ttlSeconds`."""

    acs_mri: Mri = Field(alias="acsMri")
    device_infos: Annotated[list[DeviceInfo], Field(strict=True, min_length=1, max_length=1)] = Field(
        alias="deviceInfos"
    )
    ttl_seconds: Annotated[int, Field(strict=True)] | None = Field(alias="ttlSeconds", default=None)

    _owner = field_validator("acs_mri")(check_owner)

    @field_validator("ttl_seconds", mode="before")
    @classmethod
    def _in_range(cls, value: object, info: ValidationInfo) -> object:
        mri = info.data.get("acs_mri")
        maximum = Identity.parse(mri).maximum_ttl_seconds if mri else MAXIMUM_TTL_SECONDS
        if isinstance(value, int) and not isinstance(value, bool) and MINIMUM_TTL_SECONDS <= value <= maximum:
            return value
        raise PydanticCustomError(
            "ttl",
            "must be a whole number of seconds from {minimum} to {maximum} for this user, or be left out",
            {"minimum": MINIMUM_TTL_SECONDS, "maximum": maximum},
        )

    @property
    def device(self) -> DeviceInfo:
        """The one device of the request."""
        return self.device_infos[0]


class UserQuery(_Request):
    """The query of `GET /api/get_device_registrations`."""

    acs_mri: Mri = Field(alias="acsMri")

    _owner = field_validator("acs_mri")(check_owner)


class DeviceQuery(UserQuery):
    """The query of `DELETE /api/delete_device_registration`."""

    device_uuid: DeviceUuid = Field(alias="deviceUUID")
