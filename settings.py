"""The app's settings, read from a mapping such as `os.environ`, in sections.

A section with a mistake raises one ConfigurationError that lists all of the section's mistakes, without
values, when it is read. Ringing needs the sections `hub`, `database` and `calls`; a mistake in another one
stops no call.

Names are those of Microsoft's C# sample, in any letter case; the spellings of its tutorial (`ANH_Hub_…`) work
as well. `local.settings.sample.json` has one line for each setting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.alias_generators import to_pascal

from models import access, known_causes
from models.errors import ConfigurationError, FieldError
from models.hub import HubConnectionString, check_messages_url
from models.identity import MAXIMUM_TTL_SECONDS, MINIMUM_TTL_SECONDS, TEAMS_MAXIMUM_TTL_SECONDS
from models.notifications import CALLER, NotificationOptions, Texts
from models.platform import PLATFORM_NAMES, Platform

LEASE_MARGIN_SECONDS = 2.0
"""By how much the lease on an event outlasts the longest send."""


def _hub_connection_string(value: object) -> object:
    return HubConnectionString.parse(value) if isinstance(value, str) else value


def _mongodb_uri(value: object) -> object:
    if isinstance(value, str) and not value.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must begin with mongodb:// or mongodb+srv://")
    return value


NONE = "none"


class VisibleKind(StrEnum):
    """What `VisibleNotifications` may name."""

    MISSED = "missed"
    FALLBACK = "fallback"


def _words(value: str) -> list[str]:
    """The words of a comma-separated list, in lower case; `none` stands for no word."""
    words = [word.strip().lower() for word in value.split(",") if word.strip()]
    return [] if words == [NONE] else words


def _platforms(value: object) -> object:
    if not isinstance(value, str):
        return value
    words = _words(value)
    if any(word not in PLATFORM_NAMES for word in words):
        raise ValueError(f"must be none, or out of {', '.join(Platform)}")
    return frozenset(PLATFORM_NAMES[word] for word in words)


def _visible_kinds(value: object) -> object:
    if not isinstance(value, str):
        return value
    words = _words(value)
    if any(word not in VisibleKind for word in words):
        raise ValueError(f"must be none, or out of {', '.join(VisibleKind)}")
    return frozenset(VisibleKind(word) for word in words)


_HubConnectionString = Annotated[HubConnectionString, BeforeValidator(_hub_connection_string)]
_Seconds = Annotated[float, Field(gt=0, le=30)]


class Section(BaseModel):
    """Settings that are read together; secrets do not show in its repr."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    prefix: ClassVar[str] = ""
    """Begins the name of each setting; the field's name in Pascal case follows."""
    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The accepted names of fields whose names are not made that way, the one to show first."""

    @classmethod
    def setting_names(cls) -> dict[str, tuple[str, ...]]:
        """The accepted names of each field's setting, the one to show first."""
        return {name: cls.spellings.get(name, (cls.prefix + to_pascal(name),)) for name in cls.model_fields}


class HubSettings(Section):
    """Which notification hub takes the pushes."""

    prefix = "ANHHub"
    spellings = {
        "connection_string": ("ANHHubConnectionString", "ANH_Hub_Connection_String"),
        "name": ("ANHHubName", "ANH_Hub_Name"),
        "url": ("ANHHubUrl", "ANH_Hub_URL"),
        "api_version": ("ANHHubApiVersion", "ANH_Hub_Api_Version"),
    }

    connection_string: _HubConnectionString
    """Needs the `Send` right on the hub, no more."""
    name: Annotated[str, Field(min_length=1, pattern=r"^[^/?#\s]+$")]
    url: str | None = None
    """`https://<namespace>.servicebus.windows.net/<hub>/messages/`; follows from the other two."""
    api_version: Annotated[str, Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")] = "2020-06"

    @property
    def messages_url(self) -> str:
        """Where Direct Send takes messages; ends in `/messages/`."""
        return self.url or self.connection_string.messages_url(self.name)


class SecondaryKeySettings(Section):
    """A second key of the hub, tried where the first is refused: a key is regenerated without a missed
    call."""

    prefix = "ANHHub"

    connection_string_secondary: _HubConnectionString | None = None


class DatabaseSettings(Section):
    """Which database holds the registrations and the ledger, and how long to wait for it."""

    prefix = "MongoDb"
    spellings = {"name": ("DbName",)}

    connection_string: Annotated[SecretStr, BeforeValidator(_mongodb_uri)]
    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r'^[^/\\. "$*<>:|?\x00]+$')]
    server_selection_timeout_seconds: _Seconds = 2
    operation_timeout_seconds: _Seconds = 3


class CallSettings(Section):
    """How long a call rings, and how long the work for it may take."""

    spellings = {"max_concurrent_sends": ("MaxConcurrentSends", "MaximumConcurrentSends")}

    call_ring_seconds: Annotated[float, Field(gt=0, le=600)] = 60
    """Counted from the event's time."""
    invocation_timeout_seconds: Annotated[float, Field(ge=5, le=28)] = 20
    """When the handling of an event is over at the latest; Event Grid waits 30 s."""
    hub_connect_timeout_seconds: _Seconds = 2
    hub_read_timeout_seconds: _Seconds = 5
    max_concurrent_sends: Annotated[int, Field(ge=1, le=512)] = 64
    """Threads of one worker process that send to the hub for callees with several devices."""

    @property
    def longest_send_seconds(self) -> float:
        """How long one send may take."""
        return self.hub_connect_timeout_seconds + self.hub_read_timeout_seconds

    @property
    def lease_seconds(self) -> float:
        """How long the lease on an event lasts."""
        return self.longest_send_seconds + LEASE_MARGIN_SECONDS


class RegistrarSettings(Section):
    """What a registration may be, and how often registrations may change."""

    default_ttl_seconds: Annotated[int, Field(ge=MINIMUM_TTL_SECONDS, le=MAXIMUM_TTL_SECONDS)] = (
        TEAMS_MAXIMUM_TTL_SECONDS
    )
    """Life of a registration whose app asks for none, in seconds."""
    max_devices_per_user: Annotated[int, Field(ge=1, le=1_000)] = 20
    registrations_per_minute: Annotated[int, Field(ge=0, le=100_000)] = 60
    """Changes of one user's registrations; 0 turns the limit off."""
    max_body_bytes: Annotated[int, Field(ge=1_024, le=1_048_576)] = 65_536
    max_mri_length: Annotated[int, Field(ge=16, le=4_096)] = 512
    max_device_uuid_length: Annotated[int, Field(ge=16, le=4_096)] = 256
    max_device_token_length: Annotated[int, Field(ge=64, le=16_384)] = 4_096


class NotificationSettings(Section):
    """Which pushes are sent beside rings, and the texts of visible ones."""

    stop_ringing: Annotated[frozenset[Platform], BeforeValidator(_platforms)] = frozenset()
    visible_notifications: Annotated[frozenset[VisibleKind], BeforeValidator(_visible_kinds)] = frozenset()
    missed_call_title: str = "Missed call"
    missed_call_body: str = CALLER
    incoming_call_title: str = "Incoming call"
    incoming_call_body: str = CALLER

    @property
    def options(self) -> NotificationOptions:
        """The same, as the rest of the app takes it."""
        return NotificationOptions(
            stop_ringing=self.stop_ringing,
            missed=VisibleKind.MISSED in self.visible_notifications,
            fallback=VisibleKind.FALLBACK in self.visible_notifications,
            missed_call=Texts(self.missed_call_title, self.missed_call_body),
            incoming_call=Texts(self.incoming_call_title, self.incoming_call_body),
        )


SECTIONS: tuple[type[Section], ...] = (
    HubSettings,
    SecondaryKeySettings,
    DatabaseSettings,
    RegistrarSettings,
    CallSettings,
    NotificationSettings,
)


NEEDED_FOR_RINGING = ("hub", "database", "calls")
NOT_NEEDED_FOR_RINGING = ("secondary_key", "registrar", "notifications")
"""Names of the sections of `Settings`."""


@dataclass(frozen=True)
class Settings:
    """All sections, each read from the values when it is first asked for."""

    _values: Mapping[str, str] = field(repr=False)
    """By name in lower case; empty values are left out."""

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "Settings":
        """Take the values by name, such as `os.environ`; an empty value counts as missing."""
        # Stripped: a pasted secret often ends in a line break.
        return cls({name.lower(): value.strip() for name, value in values.items() if value.strip()})

    @cached_property
    def hub(self) -> HubSettings:
        """Ringing needs it.

        Raises:
            ConfigurationError: lists the section's mistakes.
        """
        hub = self._read(HubSettings)
        try:
            url = hub.url and check_messages_url(hub.url, hub.connection_string)
        except ValueError as error:
            raise settings_error([FieldError("ANHHubUrl", str(error))]) from None
        return hub.model_copy(update={"url": url})

    @cached_property
    def secondary_key(self) -> SecondaryKeySettings:
        """Ringing does not need it.

        Raises:
            ConfigurationError: it is malformed, or names another namespace than the first.
        """
        section = self._read(SecondaryKeySettings)
        second = section.connection_string_secondary
        if second and second.host != self.hub.connection_string.host:
            mistake = "names another namespace than ANHHubConnectionString"
            raise settings_error([FieldError("ANHHubConnectionStringSecondary", mistake)])
        return section

    @cached_property
    def database(self) -> DatabaseSettings:
        """Ringing and the registrar need it.

        Raises:
            ConfigurationError: lists the section's mistakes.
        """
        return self._read(DatabaseSettings)

    @cached_property
    def calls(self) -> CallSettings:
        """Ringing needs it.

        Raises:
            ConfigurationError: lists the section's mistakes, times that contradict each other among them.
        """
        calls = self._read(CallSettings)
        if contradictions := _contradictions(calls):
            raise settings_error(contradictions)
        return calls

    @cached_property
    def registrar(self) -> RegistrarSettings:
        """The registrar needs it.

        Raises:
            ConfigurationError: lists the section's mistakes.
        """
        return self._read(RegistrarSettings)

    @cached_property
    def notifications(self) -> NotificationSettings:
        """Ringing does not need it.

        Raises:
            ConfigurationError: lists the section's mistakes.
        """
        return self._read(NotificationSettings)

    @property
    def renamed(self) -> Mapping[str, str]:
        """The new name of each setting that is given under an earlier name only."""
        old_and_new = {"MaximumConcurrentSends": "MaxConcurrentSends"}
        return {
            old: new
            for old, new in old_and_new.items()
            if old.lower() in self._values and new.lower() not in self._values
        }

    def check_ringing(self) -> None:
        """Read every section that ringing needs.

        Raises:
            ConfigurationError: lists the mistakes of all of them.
        """
        _raise_all(self.mistakes(*NEEDED_FOR_RINGING))

    def check_registrar(self) -> None:
        """Read every section that the registrar needs.

        Raises:
            ConfigurationError: lists the mistakes of all of them.
        """
        _raise_all(self.mistakes("database", "registrar"))

    def mistakes(self, *sections: str) -> tuple[FieldError, ...]:
        """What is wrong in the named sections."""
        found: list[FieldError] = []
        for section in sections:
            try:
                getattr(self, section)
            except ConfigurationError as error:
                found += error.errors
        return tuple(dict.fromkeys(found))

    def _read[Read: Section](self, section: type[Read]) -> Read:
        names = section.setting_names()
        given = {
            field_name: self._values[name.lower()]
            for field_name, accepted in names.items()
            for name in reversed(accepted)
            if name.lower() in self._values
        }
        unresolved = [
            FieldError(names[field_name][0], f"{_KEY_VAULT.problem}. {_KEY_VAULT.remedy}")
            for field_name, value in given.items()
            if known_causes.is_key_vault_reference(value)
        ]
        try:
            read = section.model_validate(given)
        except ValidationError as error:
            bad = {each.field for each in unresolved}
            raise settings_error(
                [*unresolved, *(each for each in self._errors(error, names) if each.field not in bad)]
            ) from None
        if unresolved:
            raise settings_error(unresolved)
        return read

    def _errors(self, error: ValidationError, names: Mapping[str, tuple[str, ...]]) -> Sequence[FieldError]:
        return [
            FieldError(name, self._missing(name) if detail["type"] == "missing" else _plain(detail["msg"]))
            for detail in error.errors(include_url=False, include_context=False, include_input=False)
            for name in (names[str(detail["loc"][0])][0],)
        ]

    def _missing(self, name: str) -> str:
        elsewhere = known_causes.name_on_connection_strings_blade(name, self._values)
        return f"{_BLADE.problem} ({elsewhere}). {_BLADE.remedy}" if elsewhere else "is missing"


_KEY_VAULT = known_causes.KEY_VAULT_REFERENCE
_BLADE = known_causes.CONNECTION_STRINGS_BLADE


def setting_names() -> tuple[str, ...]:
    """The name of every setting, as `local.settings.sample.json` spells it."""
    names = [accepted[0] for section in SECTIONS for accepted in section.setting_names().values()]
    return (*names, *access.SETTING_NAMES)


def settings_error(errors: Sequence[FieldError]) -> ConfigurationError:
    """One error that lists all of `errors`."""
    listed = "; ".join(f"{bad.field}: {bad.detail.removesuffix('.')}" for bad in errors)
    return ConfigurationError(f"Settings to correct: {listed}", errors=errors)


def _raise_all(mistakes: Sequence[FieldError]) -> None:
    if mistakes:
        raise settings_error(mistakes)


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")


def _contradictions(calls: CallSettings) -> list[FieldError]:
    """Times that cannot all hold, with the arithmetic."""
    send = calls.longest_send_seconds
    sum_of_both = (
        f"HubConnectTimeoutSeconds + HubReadTimeoutSeconds = {calls.hub_connect_timeout_seconds:g} + "
        f"{calls.hub_read_timeout_seconds:g} = {send:g} s"
    )
    found = []
    if calls.lease_seconds >= calls.call_ring_seconds:
        found.append(
            FieldError(
                "CallRingSeconds",
                f"must be more than {calls.lease_seconds:g}: the lease on an event lasts "
                f"{LEASE_MARGIN_SECONDS:g} s longer than a send ({sum_of_both}), and where it outlasts the "
                "ring no other instance can take over in time",
            )
        )
    if send > calls.invocation_timeout_seconds:
        found.append(
            FieldError(
                "InvocationTimeoutSeconds", f"must be at least {send:g}, the time of one send ({sum_of_both})"
            )
        )
    return found
