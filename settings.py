"""The app's settings, read from a mapping such as `os.environ`, in sections.

A section with a mistake raises one ConfigurationError that lists all of the section's mistakes, without
values, when it is read. Ringing needs the sections `hub`, `database` and `calls`; a mistake in another one
stops no call. A mistake in a named hub's settings stops the devices of that hub only.

Names are those of Microsoft's C# sample, in any letter case; the spellings of its tutorial (`ANH_Hub_…`) work
as well. `local.settings.sample.json` has one line for each setting; further hubs have settings of their own,
`ANHHub__<name>__…` (`HubSettingNames`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, astuple, dataclass, field, fields, replace
from enum import StrEnum
from functools import cache, cached_property, partial
from typing import Annotated, Any, ClassVar

from models import access, known_causes
from models.database_sign_in import SignInIdentity, token_sign_in
from models.errors import ConfigurationError, FieldError
from models.hub import (
    DEFAULT_HUB,
    LONGEST_HUB_NAME,
    NAMED_HUB_PREFIX,
    HubConnectionString,
    HubSettingNames,
    check_messages_url,
    is_hub_name,
)
from models.identity import MAXIMUM_TTL_SECONDS, MINIMUM_TTL_SECONDS, TEAMS_MAXIMUM_TTL_SECONDS
from models.notifications import CALLER, NotificationOptions, Texts
from models.platform import PLATFORM_NAMES, Platform
from models.setting_values import Number, WholeNumber

DEFAULT_SCHEDULE = "0 7 * * * *"
DEFAULT_MAXIMUM_PERCENT = 20

LEASE_MARGIN_SECONDS = 2.0
"""By how much the lease on an event outlasts the longest send."""


def _hub_name(text: str) -> str:
    if any(one in "/?#" or one.isspace() for one in text):
        raise ValueError("must be the name of the hub alone, without /, ?, # and white space")
    return text


def _api_version(text: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}(-[0-9]{2})?", text):
        raise ValueError("must be a version of the API, such as 2020-06")
    return text


def _mongodb_uri(text: str) -> str:
    if not text.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must begin with mongodb:// or mongodb+srv://")
    return text


_NOT_IN_A_DATABASE_NAME = frozenset('/\\. "$*<>:|?\0')


def _database_name(text: str) -> str:
    if len(text) > 63 or not _NOT_IN_A_DATABASE_NAME.isdisjoint(text):
        raise ValueError('must have at most 63 characters, none of which is a space or one of /\\."$*<>:|?')
    return text


NONE = "none"


class VisibleKind(StrEnum):
    """What `VisibleNotifications` may name."""

    MISSED = "missed"
    FALLBACK = "fallback"


def _schedule(text: str) -> str:
    if text.lower() != NONE:
        # Read while the functions are indexed, and seldom set.
        from models.ncrontab import Ncrontab  # noqa: PLC0415

        Ncrontab.parse(text)
    return text


def _words(value: str) -> list[str]:
    """The words of a comma-separated list, in lower case; `none` stands for no word."""
    words = [word.strip().lower() for word in value.split(",") if word.strip()]
    return [] if words == [NONE] else words


def _platforms(text: str) -> frozenset[Platform]:
    words = _words(text)
    if any(word not in PLATFORM_NAMES for word in words):
        raise ValueError(f"must be none, or out of {', '.join(Platform)}")
    return frozenset(PLATFORM_NAMES[word] for word in words)


def _visible_kinds(text: str) -> frozenset[VisibleKind]:
    words = _words(text)
    if any(word not in VisibleKind for word in words):
        raise ValueError(f"must be none, or out of {', '.join(VisibleKind)}")
    return frozenset(VisibleKind(word) for word in words)


_Seconds = Annotated[float, Number(0, 30, above=True)]
_Spellings = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Section:
    """Settings that are read together; secrets do not show in its repr.

    The annotation of a field holds what reads the text of its setting; without one, the text is the value.
    """

    prefix: ClassVar[str] = ""
    """Begins the name of each setting; the field's name in Pascal case follows."""
    spellings: ClassVar[_Spellings] = {}
    """The accepted names of fields whose names are not made that way, the one to show first."""

    @classmethod
    def setting_names(cls) -> dict[str, tuple[str, ...]]:
        """The accepted names of each field's setting, the one to show first."""
        return {
            each.name: cls.spellings.get(each.name, (cls.prefix + _in_pascal_case(each.name),))
            for each in fields(cls)
        }


def _in_pascal_case(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def parser_of(setting: Field[Any]) -> Callable[[str], object]:
    """What reads the text of a section's field; it raises a ValueError that does not quote it."""
    (parse,) = getattr(setting.type, "__metadata__", (str,))
    return parse


@dataclass(frozen=True)
class HubSettings(Section):
    """Where a notification hub is, and the key to send through it."""

    prefix = "ANHHub"
    spellings: ClassVar[_Spellings] = {
        "connection_string": ("ANHHubConnectionString", "ANH_Hub_Connection_String"),
        "name": ("ANHHubName", "ANH_Hub_Name"),
        "url": ("ANHHubUrl", "ANH_Hub_URL"),
        "api_version": ("ANHHubApiVersion", "ANH_Hub_Api_Version"),
    }

    connection_string: Annotated[HubConnectionString, HubConnectionString.parse]
    """Needs the `Send` right on the hub, no more."""
    name: Annotated[str, _hub_name]
    url: str | None = None
    """`https://<namespace>.servicebus.windows.net/<hub>/messages/`; follows from the other two."""
    api_version: Annotated[str, _api_version] = "2020-06"

    @property
    def messages_url(self) -> str:
        """Where Direct Send takes messages; ends in `/messages/`."""
        return self.url or self.connection_string.messages_url(self.name)

    @classmethod
    def names_of(cls, hub: str) -> dict[str, tuple[str, ...]]:
        """As `setting_names`, of any hub; the version of the API is one setting for all hubs."""
        if hub == DEFAULT_HUB:
            return cls.setting_names()
        own = HubSettingNames.of(hub)
        return {
            "connection_string": (own.connection_string,),
            "name": (own.hub_name,),
            "url": (own.url,),
            "api_version": cls.spellings["api_version"],
        }


@dataclass(frozen=True)
class SecondaryKeySettings(Section):
    """A second key of a hub, tried where the first is refused: a key is regenerated without a missed
    call."""

    prefix = "ANHHub"

    connection_string_secondary: Annotated[HubConnectionString | None, HubConnectionString.parse] = None

    @classmethod
    def names_of(cls, hub: str) -> dict[str, tuple[str, ...]]:
        """As `setting_names`, of any hub."""
        return {"connection_string_secondary": (HubSettingNames.of(hub).secondary,)}


@dataclass(frozen=True)
class DatabaseSettings(Section):
    """Which database holds the registrations and the ledger, and how long to wait for it."""

    prefix = "MongoDb"
    spellings: ClassVar[_Spellings] = {"name": ("DbName",)}

    connection_string: Annotated[str, _mongodb_uri] = field(repr=False)
    name: Annotated[str, _database_name]
    client_id: str | None = None
    """Of the managed identity that signs in, where the connection string asks for a token."""
    server_selection_timeout_seconds: _Seconds = 2
    operation_timeout_seconds: _Seconds = 3


@dataclass(frozen=True)
class CallSettings(Section):
    """How long a call rings, and how long the work for it may take."""

    spellings: ClassVar[_Spellings] = {
        "max_concurrent_sends": ("MaxConcurrentSends", "MaximumConcurrentSends")
    }

    call_ring_seconds: Annotated[float, Number(0, 600, above=True)] = 60
    """Counted from the event's time."""
    invocation_timeout_seconds: Annotated[float, Number(5, 28)] = 20
    """When the handling of an event is over at the latest; Event Grid waits 30 s."""
    hub_connect_timeout_seconds: _Seconds = 2
    hub_read_timeout_seconds: _Seconds = 5
    max_concurrent_sends: Annotated[int, WholeNumber(1, 512)] = 64
    """Pushes of one worker process to callees with several devices that are under way at once."""

    @property
    def longest_send_seconds(self) -> float:
        """How long one send may take."""
        return self.hub_connect_timeout_seconds + self.hub_read_timeout_seconds

    @property
    def lease_seconds(self) -> float:
        """How long the lease on an event lasts."""
        return self.longest_send_seconds + LEASE_MARGIN_SECONDS


@dataclass(frozen=True)
class RegistrarSettings(Section):
    """What a registration may be, and how often registrations may change."""

    default_ttl_seconds: Annotated[int, WholeNumber(MINIMUM_TTL_SECONDS, MAXIMUM_TTL_SECONDS)] = (
        TEAMS_MAXIMUM_TTL_SECONDS
    )
    """Life of a registration whose app asks for none, in seconds."""
    max_devices_per_user: Annotated[int, WholeNumber(1, 1_000)] = 20
    registrations_per_minute: Annotated[int, WholeNumber(0, 100_000)] = 60
    """Changes of one user's registrations; 0 turns the limit off."""
    max_body_bytes: Annotated[int, WholeNumber(1_024, 1_048_576)] = 65_536
    max_mri_length: Annotated[int, WholeNumber(16, 4_096)] = 512
    max_device_uuid_length: Annotated[int, WholeNumber(16, 4_096)] = 256
    max_device_token_length: Annotated[int, WholeNumber(64, 16_384)] = 4_096


@dataclass(frozen=True)
class NotificationSettings(Section):
    """Which pushes are sent beside rings, and the texts of visible ones."""

    stop_ringing: Annotated[frozenset[Platform], _platforms] = frozenset()
    visible_notifications: Annotated[frozenset[VisibleKind], _visible_kinds] = frozenset()
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


@dataclass(frozen=True)
class FeedbackScheduleSettings(Section):
    """When the feedback of the platforms is read. Apart from the limit: a mistake there does not turn a sweep
    on that is turned off here."""

    feedback_schedule: Annotated[str, _schedule] = DEFAULT_SCHEDULE
    """NCRONTAB, UTC; `none` for never."""


@dataclass(frozen=True)
class FeedbackLimitSettings(Section):
    """How many registrations one sweep may delete."""

    feedback_maximum_percent: Annotated[int, WholeNumber(1, 100)] = DEFAULT_MAXIMUM_PERCENT
    """Of a hub's registrations; 100 for any number."""


SECTIONS: tuple[type[Section], ...] = (
    HubSettings,
    SecondaryKeySettings,
    DatabaseSettings,
    RegistrarSettings,
    CallSettings,
    NotificationSettings,
    FeedbackScheduleSettings,
    FeedbackLimitSettings,
)


NEEDED_FOR_RINGING = ("hub", "database", "calls")
NOT_NEEDED_FOR_RINGING = ("secondary_key", "registrar", "notifications", "feedback_limit")
READ_AT_INDEXING = ("feedback_schedule",)
"""Names of the sections of `Settings`."""


@dataclass(frozen=True)
class Settings:
    """All sections, each read from the values when it is first asked for."""

    _values: Mapping[str, str] = field(repr=False)
    """By name in lower case; empty values are left out."""
    _spellings: Mapping[str, str] = field(repr=False)
    """The names as they were given, by name in lower case."""

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "Settings":
        """Take the values by name, such as `os.environ`; an empty value counts as missing."""
        # Stripped: a pasted secret often ends in a line break.
        given = {name: value.strip() for name, value in values.items() if value.strip()}
        return cls(
            {name.lower(): value for name, value in given.items()}, {name.lower(): name for name in given}
        )

    @cached_property
    def hub(self) -> HubSettings:
        """The default hub. Ringing needs it.

        Raises:
            ConfigurationError: lists the section's mistakes.
        """
        return self.hub_named(DEFAULT_HUB)

    @cached_property
    def secondary_key(self) -> SecondaryKeySettings:
        """Of the default hub. Ringing does not need it.

        Raises:
            ConfigurationError: it is malformed, or names another namespace than the first.
        """
        return self.secondary_key_of(DEFAULT_HUB)

    @cached_property
    def hub_names(self) -> tuple[str, ...]:
        """`default`, and every named hub that has a setting, whether or not the setting can be used."""
        return (DEFAULT_HUB, *self.named_hubs)

    @cached_property
    def named_hubs(self) -> tuple[str, ...]:
        """`hub_names` without `default`."""
        return tuple(sorted({each.hub for each in self._named_hub_settings if is_hub_name(each.hub)}))

    @cached_property
    def _named_hub_settings(self) -> "Sequence[_NamedHubSetting]":
        prefix = NAMED_HUB_PREFIX.lower()
        found = []
        for name in sorted(self._values):
            if name.startswith(prefix):
                hub, _, rest = name.removeprefix(prefix).rpartition("__")
                found.append(_NamedHubSetting(hub, rest, self._spellings[name]))
        return found

    def hub_named(self, hub: str) -> HubSettings:
        """One of `hub_names`. Ringing its devices needs it.

        Raises:
            ConfigurationError: lists the mistakes.
        """
        names = HubSettings.names_of(hub)
        read = self._read(HubSettings, names)
        try:
            url = read.url and check_messages_url(read.url, read.connection_string)
        except ValueError as error:
            raise settings_error([FieldError(names["url"][0], str(error))]) from None
        return replace(read, url=url)

    def secondary_key_of(self, hub: str) -> SecondaryKeySettings:
        """Of one of `hub_names`. Ringing does not need it.

        Raises:
            ConfigurationError: it is malformed, or names another namespace than the first.
        """
        section = self._read(SecondaryKeySettings, SecondaryKeySettings.names_of(hub))
        second = section.connection_string_secondary
        if second and second.host != self.hub_named(hub).connection_string.host:
            names = HubSettingNames.of(hub)
            mistake = f"names another namespace than {names.connection_string}"
            raise settings_error([FieldError(names.secondary, mistake)])
        return section

    def usable_secondary_key(self, hub: str) -> HubConnectionString | None:
        """Of one of `hub_names`; None if there is none, or a wrong one."""
        try:
            return self.secondary_key_of(hub).connection_string_secondary
        except ConfigurationError:
            return None

    def hub_mistakes(self, hub: str) -> tuple[FieldError, ...]:
        """What keeps a hub from being used."""
        return _mistakes_of(lambda: self.hub_named(hub))

    def _lesser_mistakes(self, hub: str) -> tuple[FieldError, ...]:
        wrong = self.hub_mistakes(hub)
        secondary = (each for each in _mistakes_of(lambda: self.secondary_key_of(hub)) if each not in wrong)
        return (*secondary, *self._stray(hub))

    @property
    def named_hub_mistakes(self) -> tuple[FieldError, ...]:
        """All that is wrong with the settings of named hubs."""
        of_hubs = (self.hub_mistakes(name) for name in self.named_hubs)
        return (*(each for mistakes in of_hubs for each in mistakes), *self.lesser_named_hub_mistakes)

    @property
    def lesser_named_hub_mistakes(self) -> tuple[FieldError, ...]:
        """What is wrong with them and stops no ring; a setting whose name no hub can have is among them."""
        of_hubs = (self._lesser_mistakes(name) for name in self.named_hubs)
        nameless = (
            FieldError(each.spelled, _HUB_NAME_RULE)
            for each in self._named_hub_settings
            if not is_hub_name(each.hub)
        )
        return (*(each for mistakes in of_hubs for each in mistakes), *nameless)

    def _stray(self, hub: str) -> Iterable[FieldError]:
        for each in self._named_hub_settings:
            if each.hub == hub and each.name not in _NAMED_HUB_SETTINGS:
                known = ", ".join(_NAMED_HUB_SETTINGS.values())
                yield FieldError(each.spelled, f"is no setting of a hub; there are {known}")

    @cached_property
    def database(self) -> DatabaseSettings:
        """Ringing and the registrar need it.

        Raises:
            ConfigurationError: lists the section's mistakes.
        """
        return self._read(DatabaseSettings)

    @cached_property
    def database_identity(self) -> SignInIdentity | None:
        """The identity that signs in to the database; None if the connection string asks for no token.

        Raises:
            ConfigurationError: lists the mistakes of the section `database`.
        """
        sign_in = token_sign_in(self.database.connection_string)
        if sign_in is None:
            return None
        candidates = {
            "MongoDbConnectionString": sign_in.client_id,
            "MongoDbClientId": self.database.client_id,
            "AZURE_CLIENT_ID": self._values.get("azure_client_id"),
        }
        for setting, client_id in candidates.items():
            if client_id:
                return SignInIdentity(sign_in.scope, client_id, setting)
        return SignInIdentity(sign_in.scope)

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

    @cached_property
    def feedback_schedule(self) -> FeedbackScheduleSettings:
        """Ringing does not need it.

        Raises:
            ConfigurationError: it is no schedule.
        """
        return self._read(FeedbackScheduleSettings)

    @cached_property
    def feedback_limit(self) -> FeedbackLimitSettings:
        """Ringing does not need it.

        Raises:
            ConfigurationError: it is no percentage.
        """
        return self._read(FeedbackLimitSettings)

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

    def check_registrar(self, sign_in: Sequence[FieldError] = ()) -> None:
        """Read every section that the registrar needs.

        Args:
            sign_in: what is wrong with the settings of its callers' sign-in.

        Raises:
            ConfigurationError: lists the mistakes of all of them.
        """
        _raise_all((*sign_in, *self.mistakes("database", "registrar")))

    def mistakes(self, *sections: str) -> tuple[FieldError, ...]:
        """What is wrong in the named sections."""
        return _mistakes_of(*(partial(getattr, self, section) for section in sections))

    def _read[Read: Section](
        self, section: type[Read], names: Mapping[str, tuple[str, ...]] | None = None
    ) -> Read:
        """Read a section; `names` are its own if left out."""
        names = names or section.setting_names()
        given = {
            field_name: self._values[name.lower()]
            for field_name, accepted in names.items()
            for name in reversed(accepted)
            if name.lower() in self._values
        }
        values: dict[str, object] = {}
        mistakes: list[FieldError] = []
        for each in fields(section):
            name = names[each.name][0]
            if each.name in given:
                try:
                    values[each.name] = _value(each, given[each.name])
                except ValueError as error:
                    mistakes.append(FieldError(name, str(error)))
            elif each.default is MISSING:
                mistakes.append(FieldError(name, known_causes.problem_of_missing(name, self._values)))
        if mistakes:
            raise settings_error(mistakes)
        return section(**values)


def setting_names() -> tuple[str, ...]:
    """The name of every setting, as `local.settings.sample.json` spells it."""
    names = [accepted[0] for section in SECTIONS for accepted in section.setting_names().values()]
    return (*names, *access.SETTING_NAMES)


@cache
def _lower_case_names() -> frozenset[str]:
    accepted = (names for section in SECTIONS for names in section.setting_names().values())
    return frozenset(name.lower() for names in (*accepted, access.SETTING_NAMES) for name in names)


def settings_error(errors: Sequence[FieldError]) -> ConfigurationError:
    """One error that lists all of `errors`."""
    listed = "; ".join(f"{bad.field}: {bad.detail.removesuffix('.')}" for bad in errors)
    return ConfigurationError(f"Settings to correct: {listed}", errors=errors)


def is_setting(name: str) -> bool:
    """Whether a variable of the environment, in any letter case, is one of the app's settings."""
    lower_case = name.lower()
    return lower_case in _lower_case_names() or lower_case.startswith(NAMED_HUB_PREFIX.lower())


@dataclass(frozen=True, slots=True)
class _NamedHubSetting:
    """A setting whose name begins like those of a named hub."""

    hub: str
    """In lower case, perhaps a name that no hub can have."""
    name: str
    """What follows the hub's name, in lower case."""
    spelled: str


_NAMED_HUB_SETTINGS = {
    name.lower(): name
    for name in (each.removeprefix(f"{NAMED_HUB_PREFIX}x__") for each in astuple(HubSettingNames.of("x")))
}
"""What may follow a hub's name, by its lower case."""

_HUB_NAME_RULE = (
    f"names no hub: the name of a hub has 1 to {LONGEST_HUB_NAME} characters out of a-z, 0-9 and _, has no "
    f"__, and is not {DEFAULT_HUB}; the name of the setting follows it after __"
)


def _value(setting: Field[Any], text: str) -> object:
    if known_causes.is_key_vault_reference(text):
        raise ValueError(known_causes.UNRESOLVED_REFERENCE)
    return parser_of(setting)(text)


def _mistakes_of(*reads: Callable[[], object]) -> tuple[FieldError, ...]:
    """The errors of those that raise a ConfigurationError, each once."""
    found: list[FieldError] = []
    for read in reads:
        try:
            read()
        except ConfigurationError as error:
            found += error.errors
    return tuple(dict.fromkeys(found))


def _raise_all(mistakes: Sequence[FieldError]) -> None:
    if mistakes:
        raise settings_error(mistakes)


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
