"""The requests of the registrar's functions.

Names of members and parameters are accepted in any letter case, since the C# sample's clients are .NET; where
one is there twice, the exact spelling counts. Unknown ones are ignored. Every message is ours and quotes no
value.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from models.device import Purpose
from models.device_token import DeviceTokenError, parse_device_token
from models.hub import DEFAULT_HUB
from models.identity import (
    MAXIMUM_TTL_SECONDS,
    MINIMUM_TTL_SECONDS,
    OWNER_PREFIXES,
    Identity,
    IdentityKind,
)
from models.platform import PLATFORM_NAMES, Platform
from models.report import CallReport, DeviceState


@dataclass(frozen=True, slots=True)
class FieldRules:
    """What the fields of a request may hold. The lengths are numbers of characters."""

    acs_mri: int = 512
    device_uuid: int = 256
    device_token: int = 4_096
    call_id: int = 256
    hubs: tuple[str, ...] = (DEFAULT_HUB,)
    """The names of the hubs that a registration may name."""


class Mistake(StrEnum):
    """What can be wrong with a value; the type of a `PydanticCustomError` whose message is ours."""

    NOT_TEXT = "not_text"
    EMPTY = "empty"
    TOO_LONG = "field_too_long"
    WHITE_SPACE = "white_space_at_an_end"
    INVISIBLE = "invisible_character"
    SENT_TWICE = "sent_twice"
    NO_OWNER = "no_owner"
    PLACEHOLDER = "placeholder"
    UNKNOWN_PLATFORM = "unknown_platform"
    PURPOSE = "purpose"
    UNKNOWN_HUB = "unknown_hub"
    UNKNOWN_STATE = "unknown_state"
    BROWSER_OF_TEAMS_USER = "browser_of_teams_user"
    NO_DEVICE_TOKEN = "no_device_token"  # noqa: S105 # nosec B105 - the name of a mistake
    TIME_TO_LIVE = "time_to_live"
    NOT_ONE_DEVICE = "not_one_device"


def _refused(mistake: Mistake, message: str) -> PydanticCustomError:
    return PydanticCustomError(mistake, "{message}", {"message": message})


def _text(value: object, limit: int) -> str:
    if not isinstance(value, str):
        raise _refused(Mistake.NOT_TEXT, "must be text")
    if not value:
        raise _refused(Mistake.EMPTY, "must not be empty")
    if len(value) > limit:
        raise _refused(Mistake.TOO_LONG, f"must have at most {limit} characters")
    return value


_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode: control, format (zero-width and direction marks among them), surrogates, line separators."""
_INVISIBLE_LETTERS = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)
"""Of other categories, and drawn as nothing: fillers, variation selectors, the empty Braille pattern."""


def _identifier(value: object, limit: int) -> str:
    """Text that two systems write alike: what cannot be seen makes two identifiers of one."""
    text = _text(value, limit)
    if text != text.strip():
        raise _refused(Mistake.WHITE_SPACE, "must not begin or end with white space")
    if any(unicodedata.category(one) in _INVISIBLE_CATEGORIES or one in _INVISIBLE_LETTERS for one in text):
        raise _refused(Mistake.INVISIBLE, "must not hold control characters or invisible characters")
    return text


def _rules(info: ValidationInfo) -> FieldRules:
    return info.context or FieldRules()


def _owner(value: object, info: ValidationInfo) -> Identity:
    text = _identifier(value, _rules(info).acs_mri)
    # The Functions host joins the values of a repeated query parameter so.
    parts = text.split(",")
    if len(parts) > 1 and all(Identity.parse(part.strip()).can_own_devices for part in parts):
        raise _refused(Mistake.SENT_TWICE, "was sent more than once; send it once")
    identity = Identity.parse(text)
    if identity.can_own_devices:
        return identity
    raise _refused(
        Mistake.NO_OWNER,
        "names no Communication Services or Teams user; it must be one of "
        f"{', '.join(OWNER_PREFIXES)} followed by an id",
    )


def _device_uuid(value: object, info: ValidationInfo) -> str:
    return _identifier(value, _rules(info).device_uuid)


_NO_DEVICE_UUID = frozenset(
    {
        "null", "(null)", "nil", "none", "undefined", "unknown", "[object object]",
        "00000000-0000-0000-0000-000000000000",
    }
)  # fmt: skip
"""What apps send where they have no id of the device, in lower case."""


def _new_device_uuid(value: object, info: ValidationInfo) -> str:
    text = _device_uuid(value, info)
    if text.lower() in _NO_DEVICE_UUID:
        raise _refused(
            Mistake.PLACEHOLDER,
            "is a placeholder, which other devices send as well, and of devices with one id only one rings: "
            "send an id that the app has made for this device",
        )
    return text


def _platform(value: object) -> Platform:
    platform = PLATFORM_NAMES.get(value.lower()) if isinstance(value, str) else None
    if platform is None:
        raise _refused(Mistake.UNKNOWN_PLATFORM, f"must be one of: {', '.join(PLATFORM_NAMES)}")
    return platform


def _purpose(value: object, info: ValidationInfo) -> Purpose:
    # Generated clients send null for a value that is not set.
    if value is None:
        return Purpose.CALLS
    purpose = value.lower() if isinstance(value, str) else ""
    if purpose not in Purpose:
        raise _refused(Mistake.PURPOSE, f"must be one of: {', '.join(Purpose)}")
    if purpose == Purpose.ALERTS and info.data.get("platform") not in {None, Platform.APPLE}:
        raise _refused(
            Mistake.PURPOSE,
            "must be calls, or be left out: only an iPhone has another token for alerts; the registration of "
            "any other device serves both",
        )
    return Purpose(purpose)


def _hub(value: object, info: ValidationInfo) -> str:
    if value is None:
        return DEFAULT_HUB
    hub, known = value.lower() if isinstance(value, str) else "", _rules(info).hubs
    if hub not in known:
        raise _refused(Mistake.UNKNOWN_HUB, f"must be one of: {', '.join(known)}")
    return hub


def _call_id(value: object, info: ValidationInfo) -> str:
    return _identifier(value, _rules(info).call_id)


def _state(value: object) -> DeviceState:
    state = value.lower() if isinstance(value, str) else ""
    if state not in DeviceState:
        raise _refused(Mistake.UNKNOWN_STATE, f"must be one of: {', '.join(DeviceState)}")
    return DeviceState(state)


def _device_token(value: object, info: ValidationInfo) -> str:
    platform = info.data.get("platform")
    if platform is Platform.BROWSER and isinstance(value, Mapping):
        raise _refused(Mistake.NOT_TEXT, "must be text: send JSON.stringify(subscription)")
    text = _text(value, _rules(info).device_token)
    if platform is None:
        # The platform is wrong, so nothing is known of the token's shape.
        return text
    try:
        return parse_device_token(platform, text)
    except DeviceTokenError as error:
        raise _refused(Mistake.NO_DEVICE_TOKEN, str(error)) from None


def _ttl_seconds(value: object, info: ValidationInfo) -> int | None:
    # Generated clients send null for a value that is not set.
    if value is None:
        return None
    owner = info.data.get("owner")
    maximum = owner.maximum_ttl_seconds if owner else MAXIMUM_TTL_SECONDS
    # JSON has one kind of number: 3600.0 is whole (JSON Schema, "integer"), and Dart and Kotlin write it so.
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(whole, int) and not isinstance(whole, bool) and MINIMUM_TTL_SECONDS <= whole <= maximum:
        return whole
    raise _refused(
        Mistake.TIME_TO_LIVE,
        f"must be a whole number of seconds from {MINIMUM_TTL_SECONDS} to {maximum} for this user, or be "
        "left out",
    )


def _one_device(value: object, validate: Callable[[object], object]) -> object:
    if not isinstance(value, list) or len(value) != 1:
        raise _refused(Mistake.NOT_ONE_DEVICE, "must be a list of exactly one device")
    return validate(value)


def _rings_owner(device: "DeviceInfo", info: ValidationInfo) -> "DeviceInfo":
    owner = info.data.get("owner")
    if device.platform is not Platform.BROWSER or not owner or owner.kind is not IdentityKind.TEAMS_USER:
        return device
    mistake = _refused(
        Mistake.BROWSER_OF_TEAMS_USER,
        "must be another one for a Teams user: the web Calling SDK takes pushes for Communication Services "
        "users only",
    )
    # Raised this way, it is the platform's error.
    where = InitErrorDetails(type=mistake, loc=("platform",), input=None)
    raise ValidationError.from_exception_data("DeviceInfo", [where])


Owner = Annotated[Identity, PlainValidator(_owner)]
DeviceUuid = Annotated[str, PlainValidator(_device_uuid)]


class _Request(BaseModel):
    # hide_input_in_errors: pydantic's messages quote inputs, and a device token is never echoed.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _exact_names(cls, sent: object) -> object:
        """Replace each known name by its exact spelling."""
        if not isinstance(sent, Mapping):
            return sent
        names = [info.alias or name for name, info in cls.model_fields.items()]
        exact = {name.lower(): name for name in names}
        named = {exact.get(name.lower(), name): value for name, value in sent.items()}
        return named | {name: sent[name] for name in names if name in sent}


class DeviceInfo(_Request):
    """The device of an AddDeviceToken request."""

    # Only here, so that what was registered before can still be deleted.
    device_uuid: Annotated[str, PlainValidator(_new_device_uuid)] = Field(alias="deviceUUID")
    platform: Annotated[Platform, PlainValidator(_platform)]
    device_token: Annotated[str, PlainValidator(_device_token)] = Field(alias="deviceToken", repr=False)
    purpose: Annotated[Purpose, PlainValidator(_purpose)] = Purpose.CALLS
    hub: Annotated[str, PlainValidator(_hub)] = DEFAULT_HUB


class AddDeviceTokenRequest(_Request):
    """The body of `POST /api/add_device_token`: as the C# sample's apps send it, and optional members."""

    owner: Owner = Field(alias="acsMri")
    device_infos: Annotated[
        list[Annotated[DeviceInfo, AfterValidator(_rings_owner)]], WrapValidator(_one_device)
    ] = Field(alias="deviceInfos")
    ttl_seconds: Annotated[int | None, PlainValidator(_ttl_seconds)] = Field(alias="ttlSeconds", default=None)

    @property
    def device(self) -> DeviceInfo:
        """The one device of the request."""
        return self.device_infos[0]


class ReportCallRequest(_Request):
    """The body of `POST /api/report_call`."""

    owner: Owner = Field(alias="acsMri")
    device_uuid: DeviceUuid = Field(alias="deviceUUID")
    call_id: Annotated[str, PlainValidator(_call_id)] = Field(alias="callId")
    state: Annotated[DeviceState, PlainValidator(_state)]

    @property
    def report(self) -> CallReport:
        """What the phone reports."""
        return CallReport(self.owner, self.device_uuid, self.call_id, self.state)


class UserQuery(_Request):
    """The query of `GetDeviceRegistrations` and `DeleteUserRegistrations`."""

    owner: Owner = Field(alias="acsMri")


class DeviceQuery(UserQuery):
    """The query of `DeleteDeviceRegistration`."""

    device_uuid: DeviceUuid = Field(alias="deviceUUID")
