"""The app's settings: read from a mapping, every missing or malformed one named in one error.

The names are those of Microsoft's C# sample; the spellings of its tutorial work as well.
`local.settings.sample.json` has one line for each.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from models import access
from models.errors import ConfigurationError, FieldError
from models.hub import HubConnection, check_messages_url
from models.identity import MAXIMUM_TTL_SECONDS, MINIMUM_TTL_SECONDS, TEAMS_MAXIMUM_TTL_SECONDS


def _connection(value: object) -> object:
    return HubConnection.parse(value) if isinstance(value, str) else value


def _mongodb_uri(value: object) -> object:
    if isinstance(value, str) and not value.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must begin with mongodb:// or mongodb+srv://")
    return value


class Settings(BaseSettings):
    """All settings of the app; secrets do not show in its repr."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    hub_connection: Annotated[HubConnection, NoDecode, BeforeValidator(_connection)] = Field(
        validation_alias=AliasChoices("ANHHubConnectionString", "ANH_Hub_Connection_String")
    )
    """Needs the `Send` right on the hub, no more."""
    hub_connection_secondary: Annotated[HubConnection | None, NoDecode, BeforeValidator(_connection)] = Field(
        validation_alias="ANHHubConnectionStringSecondary", default=None
    )
    """Tried where the first is refused, so that a key can be regenerated without a missed call."""
    hub_name: Annotated[str, Field(min_length=1, pattern=r"^[^/?#\s]+$")] = Field(
        validation_alias=AliasChoices("ANHHubName", "ANH_Hub_Name")
    )
    hub_url: str | None = Field(validation_alias=AliasChoices("ANHHubUrl", "ANH_Hub_URL"), default=None)
    """`https://<namespace>.servicebus.windows.net/<hub>/messages/`; follows from the other two."""
    hub_api_version: Annotated[str, Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")] = Field(
        validation_alias=AliasChoices("ANHHubApiVersion", "ANH_Hub_Api_Version"), default="2020-06"
    )
    mongodb_uri: Annotated[SecretStr, BeforeValidator(_mongodb_uri)] = Field(
        validation_alias="MongoDbConnectionString"
    )
    database_name: Annotated[str, Field(min_length=1, max_length=63, pattern=r'^[^/\\. "$*<>:|?\x00]+$')] = (
        Field(validation_alias="DbName")
    )
    default_ttl_seconds: Annotated[int, Field(ge=MINIMUM_TTL_SECONDS, le=MAXIMUM_TTL_SECONDS)] = Field(
        validation_alias="DefaultTtlSeconds", default=TEAMS_MAXIMUM_TTL_SECONDS
    )
    """Life of a registration whose app asks for none, in seconds."""
    maximum_devices_per_user: Annotated[int, Field(ge=1, le=1_000)] = Field(
        validation_alias="MaxDevicesPerUser", default=20
    )
    registrations_per_minute: Annotated[int, Field(ge=0, le=100_000)] = Field(
        validation_alias="RegistrationsPerMinute", default=60
    )
    """Changes of one user's registrations; 0 turns the limit off."""
    maximum_body_bytes: Annotated[int, Field(ge=1_024, le=1_048_576)] = Field(
        validation_alias="MaxBodyBytes", default=65_536
    )
    maximum_mri_length: Annotated[int, Field(ge=16, le=4_096)] = Field(
        validation_alias="MaxMriLength", default=512
    )
    maximum_device_uuid_length: Annotated[int, Field(ge=16, le=4_096)] = Field(
        validation_alias="MaxDeviceUuidLength", default=256
    )
    maximum_device_token_length: Annotated[int, Field(ge=64, le=16_384)] = Field(
        validation_alias="MaxDeviceTokenLength", default=4_096
    )
    call_ring_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        validation_alias="CallRingSeconds", default=60
    )
    """How long a call rings from its event time."""
    invocation_seconds: Annotated[float, Field(ge=5, le=28)] = Field(
        validation_alias="InvocationTimeoutSeconds", default=20
    )
    """When an invocation is over at the latest; Event Grid waits 30 s."""
    hub_connect_seconds: Annotated[float, Field(gt=0, le=30)] = Field(
        validation_alias="HubConnectTimeoutSeconds", default=2
    )
    hub_read_seconds: Annotated[float, Field(gt=0, le=30)] = Field(
        validation_alias="HubReadTimeoutSeconds", default=5
    )
    maximum_concurrent_sends: Annotated[int, Field(ge=1, le=512)] = Field(
        validation_alias="MaximumConcurrentSends", default=64
    )
    """Threads of one worker process that send to the hub for callees with several devices."""
    application_insights: SecretStr | None = Field(
        validation_alias="APPLICATIONINSIGHTS_CONNECTION_STRING", default=None
    )
    """Where metrics go; without it there are none."""
    mongodb_server_selection_seconds: Annotated[float, Field(gt=0, le=30)] = Field(
        validation_alias="MongoDbServerSelectionTimeoutSeconds", default=2
    )
    mongodb_operation_seconds: Annotated[float, Field(gt=0, le=30)] = Field(
        validation_alias="MongoDbOperationTimeoutSeconds", default=3
    )

    @field_validator("hub_connection_secondary")
    @classmethod
    def _same_namespace(cls, value: HubConnection | None, info: ValidationInfo) -> HubConnection | None:
        first = info.data.get("hub_connection")
        if value is not None and first is not None and value.host != first.host:
            raise ValueError("names another namespace than ANHHubConnectionString")
        return value

    @field_validator("hub_url")
    @classmethod
    def _token_stays_home(cls, value: str | None, info: ValidationInfo) -> str | None:
        connection = info.data.get("hub_connection")
        return value if value is None or connection is None else check_messages_url(value, connection)

    @property
    def messages_url(self) -> str:
        """Where Direct Send takes messages, ending in `/messages/`."""
        if self.hub_url is None:
            return self.hub_connection.messages_url(self.hub_name)
        return self.hub_url

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> Self:
        """Read the settings from `values`, such as `os.environ`; an empty value counts as missing.

        Raises:
            ConfigurationError: names every missing and every malformed setting, with no value quoted.
        """
        source = EnvSettingsSource(cls, case_sensitive=False, env_ignore_empty=True)
        # Stripped: a pasted secret often ends in a line break.
        source.env_vars = {name.lower(): value.strip() for name, value in values.items() if value.strip()}
        try:
            return cls(**source())
        except ValidationError as error:
            raise _configuration_error(error) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but the mapping that was handed in counts; the process's environment is not looked at."""
        return (init_settings,)


def _configuration_error(error: ValidationError) -> ConfigurationError:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    errors = []
    for detail in details:
        name = str(detail["loc"][0])
        message = "is missing" if detail["type"] == "missing" else detail["msg"].removeprefix("Value error, ")
        errors.append(FieldError(name, message))
    listed = "; ".join(f"{bad.field}: {bad.detail}" for bad in errors)
    return ConfigurationError(f"Settings to correct: {listed}", errors=errors)


def setting_names() -> tuple[str, ...]:
    """The name of every setting, as `local.settings.sample.json` spells it."""
    names = []
    for info in Settings.model_fields.values():
        alias = info.validation_alias
        names.append(str(alias.choices[0]) if isinstance(alias, AliasChoices) else str(alias))
    return (*names, *access.SETTING_NAMES)
