"""The settings: their names, their rules, and one error for all that is wrong."""

import json
import os
import traceback
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from models.errors import ConfigurationError
from settings import Settings, is_setting, setting_names, settings_error

ROOT = Path(__file__).parents[2]
SECRET = "do-not-quote"
HOST = "contoso.servicebus.windows.net"
CONNECTION = f"Endpoint=sb://{HOST}/;SharedAccessKeyName=Send;SharedAccessKey={SECRET}="
NEEDED = {
    "ANHHubConnectionString": CONNECTION,
    "ANHHubName": "Ring",
    "MongoDbConnectionString": f"mongodb://user:{SECRET}@db.test/",
    "DbName": "calling",
}


def settings(**changes: str) -> Settings:
    return Settings.from_mapping({**NEEDED, **changes})


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in NEEDED.items() if name not in names}


SECTIONS = ("hub", "secondary_key", "database", "calls", "registrar")


def refused(values: dict[str, str]) -> dict[str, str]:
    """What is said of each bad setting, after a search for secrets in all that can be shown."""
    read = Settings.from_mapping(values)
    mistakes = read.mistakes(*SECTIONS)
    assert mistakes
    error = settings_error(mistakes)
    for section in SECTIONS:
        try:
            getattr(read, section)
        except ConfigurationError as raised:
            error_of_section = raised
            shown = "".join([str(raised), repr(raised), *traceback.format_exception(error_of_section)])
            assert SECRET not in shown
    shown = "".join([str(error), repr(error), repr(error.errors), *traceback.format_exception(error)])
    assert SECRET not in shown
    assert all(f"{bad.field}: {bad.detail.removesuffix('.')}" in str(error) for bad in error.errors)
    return {bad.field: bad.detail for bad in error.errors}


def read_all(read: Settings) -> list[object]:
    """Every section."""
    return [getattr(read, section) for section in SECTIONS]


class TestNames:
    def test_of_the_sample(self) -> None:
        """The names of Microsoft's C# sample work."""
        read = settings(ANHHubUrl=f"https://{HOST}/Ring/messages/", ANHHubApiVersion="2015-01")
        assert (read.hub.connection_string.host, read.hub.connection_string.key) == (HOST, f"{SECRET}=")
        assert (read.hub.name, read.hub.api_version, read.database.name) == ("Ring", "2015-01", "calling")
        assert read.hub.messages_url == f"https://{HOST}/Ring/messages/"
        uri = read.database.connection_string
        assert uri == NEEDED["MongoDbConnectionString"]

    def test_of_the_tutorial(self) -> None:
        """So do those of its tutorial."""
        values = without("ANHHubConnectionString", "ANHHubName")
        values |= {
            "ANH_Hub_Connection_String": CONNECTION,
            "ANH_Hub_Name": "Ring",
            "ANH_Hub_URL": f"https://{HOST}/Other/messages",
            "ANH_Hub_Api_Version": "2015-01",
        }
        hub = Settings.from_mapping(values).hub
        assert (hub.connection_string, hub.name) == (settings().hub.connection_string, "Ring")
        assert (hub.messages_url, hub.api_version) == (f"https://{HOST}/Other/messages/", "2015-01")

    def test_in_any_case(self) -> None:
        """Azure's app settings keep the letter case in which they were typed."""
        values = {name.upper(): value for name, value in NEEDED.items()}
        assert read_all(Settings.from_mapping(values)) == read_all(settings())

    def test_renamed(self) -> None:
        """A setting's earlier name is still read, and it is told which name to use; the new one wins."""
        old = settings(MaximumConcurrentSends="7")
        assert (old.calls.max_concurrent_sends, old.renamed) == (
            7,
            {"MaximumConcurrentSends": "MaxConcurrentSends"},
        )
        both = settings(MaximumConcurrentSends="7", MaxConcurrentSends="8")
        assert (both.calls.max_concurrent_sends, both.renamed) == (8, {})

    def test_sample_wins(self) -> None:
        """Where both are there, the sample's name counts; where it is empty, the other."""
        assert settings(ANH_Hub_Name="Other").hub.name == "Ring"
        assert settings(ANHHubName="", ANH_Hub_Name="Other").hub.name == "Other"

    def test_only_the_mapping_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is set in the process's environment does not matter."""
        monkeypatch.setitem(os.environ, "ANHHubName", "FromTheEnvironment")
        monkeypatch.setitem(os.environ, "CallRingSeconds", "7")
        assert (settings().hub.name, settings().calls.call_ring_seconds) == ("Ring", 60)
        assert "ANHHubName" in refused(without("ANHHubName"))

    def test_strangers(self) -> None:
        """Other variables of the environment are ignored."""
        assert settings(PATH="/bin", AzureWebJobsStorage="x").hub.name == "Ring"


class TestMissing:
    def test_all_at_once(self) -> None:
        """One error names every missing setting, and only what has no default is missing."""
        assert refused({}) == dict.fromkeys(NEEDED, "is missing")

    @pytest.mark.parametrize("name", NEEDED)
    @pytest.mark.parametrize("value", ["", " ", "\t\n"])
    def test_empty(self, name: str, value: str) -> None:
        """An empty value counts as missing."""
        assert refused({**NEEDED, name: value}) == {name: "is missing"}

    def test_empty_optional(self) -> None:
        """An optional setting that is empty has its default."""
        names = [name for name in setting_names() if name not in NEEDED]
        assert read_all(settings(**dict.fromkeys(names, ""))) == read_all(settings())

    def test_together_with_malformed(self) -> None:
        """What is missing and what is malformed stand in the same error."""
        values = {
            "ANHHubConnectionString": SECRET,
            "MongoDbConnectionString": SECRET,
            "CallRingSeconds": SECRET,
        }
        assert sorted(refused(values)) == sorted([*NEEDED, "CallRingSeconds"])


class TestMalformed:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("ANHHubConnectionString", SECRET),
            ("ANHHubConnectionString", '{"host": "h", "key_name": "n", "key": "do-not-quote"}'),
            ("ANHHubConnectionString", f"SharedAccessKey={SECRET}"),
            ("ANHHubConnectionString", CONNECTION.replace("sb:", "https:")),
            ("ANHHubName", "a/b"),
            ("ANHHubName", "a?direct"),
            ("ANHHubName", "a#b"),
            ("ANHHubName", "a b"),
            ("ANHHubApiVersion", SECRET),
            ("ANHHubApiVersion", "2020-06&direct"),
            ("MongoDbConnectionString", SECRET),
            ("MongoDbConnectionString", f"https://user:{SECRET}@db.test/"),
            ("DbName", "a b"),
            ("DbName", "a.b"),
            ("DbName", "a$b"),
            ("DbName", "x" * 64),
            ("DefaultTtlSeconds", "299"),
            ("DefaultTtlSeconds", "15552001"),
            ("DefaultTtlSeconds", "1.5"),
            ("DefaultTtlSeconds", SECRET),
            ("CallRingSeconds", "0"),
            ("CallRingSeconds", "601"),
            ("CallRingSeconds", "nan"),
            ("CallRingSeconds", "inf"),
            ("InvocationTimeoutSeconds", "4"),
            ("InvocationTimeoutSeconds", "29"),
            ("HubConnectTimeoutSeconds", "0"),
            ("HubConnectTimeoutSeconds", "31"),
            ("HubReadTimeoutSeconds", "-1"),
            ("HubReadTimeoutSeconds", "31"),
            ("MaxConcurrentSends", "0"),
            ("MaxConcurrentSends", "513"),
            ("MongoDbServerSelectionTimeoutSeconds", "0"),
            ("MongoDbServerSelectionTimeoutSeconds", "31"),
            ("MongoDbOperationTimeoutSeconds", "0"),
            ("MongoDbOperationTimeoutSeconds", "31"),
        ],
    )
    def test_named_and_not_quoted(self, name: str, value: str) -> None:
        """A malformed value is named with what is wrong, and not quoted."""
        found = refused({**NEEDED, name: value})
        assert list(found) == [name]
        assert found[name] not in {"", "is missing"}

    def test_tutorials_spelling(self) -> None:
        """A setting in the tutorial's spelling that is malformed is named, too."""
        assert len(refused({**without("ANHHubName"), "ANH_Hub_Name": "a b"})) == 1


class TestHubUrl:
    def test_derived(self) -> None:
        """Without a URL it follows from the connection string and the hub's name."""
        assert settings().hub.messages_url == f"https://{HOST}/Ring/messages/"

    @pytest.mark.parametrize(
        ("url", "messages_url"),
        [
            (f"https://{HOST}/Ring/messages/", f"https://{HOST}/Ring/messages/"),
            (f"https://{HOST}/Ring/messages", f"https://{HOST}/Ring/messages/"),
            (f"https://{HOST}:443/Other/messages/", f"https://{HOST}:443/Other/messages/"),
            # What else the app asks of the hub has addresses that are made of this one.
            (f"HTTPS://{HOST}/Ring/Messages", f"https://{HOST}/Ring/messages/"),
            ("HTTP://127.0.0.1:7080/Ring/MESSAGES/", "http://127.0.0.1:7080/Ring/messages/"),
            ("https://CONTOSO.servicebus.windows.net/r/messages/", None),
            ("http://127.0.0.1:7080/Ring/messages/", "http://127.0.0.1:7080/Ring/messages/"),
            ("http://127.9.9.9/Ring/messages/", None),
            ("http://localhost:1/Ring/messages/", None),
            ("https://localhost:1/Ring/messages/", None),
            ("http://[::1]:7080/Ring/messages/", None),
        ],
    )
    def test_accepted(self, url: str, messages_url: str | None) -> None:
        """The connection string's own host over https, or loopback over http as well."""
        assert settings(ANHHubUrl=url).hub.messages_url == (messages_url or url)

    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.test/Ring/messages/",
            f"https://{HOST}.evil.test/Ring/messages/",
            f"https://evil{HOST}/Ring/messages/",
            f"https://{HOST}@evil.test/Ring/messages/",
            f"https://{HOST}\\@evil.test/Ring/messages/",
            f"https://{HOST}\\.evil.test/Ring/messages/",
            "https://other.servicebus.windows.net/Ring/messages/",
            "http://127.0.0.1.evil.test/Ring/messages/",
            "http://localhost.evil.test/Ring/messages/",
            "http://127.0.0.1@evil.test/Ring/messages/",
            "http://10.0.0.1/Ring/messages/",
            "http://0.0.0.0/Ring/messages/",
            "http://[::]/Ring/messages/",
        ],
    )
    def test_leak(self, url: str) -> None:
        """A URL that would take the token to another machine is refused."""
        assert list(refused({**NEEDED, "ANHHubUrl": url})) == ["ANHHubUrl"]

    @pytest.mark.parametrize(
        "url",
        [
            f"http://{HOST}/Ring/messages/",
            f"ftp://{HOST}/Ring/messages/",
            "ftp://127.0.0.1/Ring/messages/",
            f"{HOST}/Ring/messages/",
            f"//{HOST}/Ring/messages/",
            "do-not-quote",
            "https://",
            "https://[do-not-quote/",
            f"https://{HOST}:do-not-quote/Ring/messages/",
            f"https://user:do-not-quote@{HOST}/Ring/messages/",
            f"https://{HOST}/Ring/messages/?direct",
            f"https://{HOST}/Ring/messages/?",
            f"https://{HOST}/Ring/messages/#x",
            f"https://{HOST}/Ring?x=/messages/",
            f"https://{HOST}/Ring",
            f"https://{HOST}/",
        ],
    )
    def test_malformed(self, url: str) -> None:
        """Plain http to another machine, another scheme, no host, a query or another path are refused."""
        assert list(refused({**NEEDED, "ANHHubUrl": url})) == ["ANHHubUrl"]


class TestContradictions:
    def test_a_lease_longer_than_a_ring(self) -> None:
        """No other instance could take over in time; the arithmetic is told."""
        found = refused({**NEEDED, "CallRingSeconds": "9"})
        assert list(found) == ["CallRingSeconds"]
        assert "2 + 5 = 7 s" in found["CallRingSeconds"]
        assert settings(CallRingSeconds="9.1").calls.lease_seconds == 9

    def test_a_send_longer_than_an_invocation(self) -> None:
        """A single send would not fit."""
        found = refused({**NEEDED, "HubReadTimeoutSeconds": "5", "InvocationTimeoutSeconds": "6"})
        assert list(found) == ["InvocationTimeoutSeconds"]


class TestSections:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("RegistrationsPerMinute", "many"),
            ("MaxDevicesPerUser", "-1"),
            ("ANHHubConnectionStringSecondary", SECRET),
            ("ANHHubConnectionStringSecondary", CONNECTION.replace("contoso", "other")),
        ],
    )
    def test_ringing_needs_no_other(self, name: str, value: str) -> None:
        """A mistake in what ringing does not need is told, and ringing can read all that it needs."""
        assert list(refused({**NEEDED, name: value})) == [name]
        settings(**{name: value}).check_ringing()

    def test_registrar_needs_no_hub(self) -> None:
        """Devices can be registered while the hub's settings are wrong."""
        read = Settings.from_mapping(without("ANHHubConnectionString", "ANHHubName"))
        read.check_registrar()
        with pytest.raises(ConfigurationError) as caught:
            read.check_ringing()
        assert {bad.field for bad in caught.value.errors} == {"ANHHubConnectionString", "ANHHubName"}


def named(name: str, **more: str) -> dict[str, str]:
    """The settings of a named hub, in a namespace of its own."""
    values = {"ConnectionString": CONNECTION.replace("contoso", "other"), "HubName": "Second", **more}
    return {f"ANHHub__{name}__{setting}": value for setting, value in values.items()}


class TestNamedHubs:
    def test_read(self) -> None:
        """Each has a namespace, a name, a URL and a secondary key of its own."""
        second = CONNECTION.replace("contoso", "other").replace(SECRET, "second")
        url = "http://127.0.0.1:7080/Second/messages"
        read = settings(**named("sandbox", Url=url, ConnectionStringSecondary=second), **named("app_2"))
        assert read.hub_names == ("default", "app_2", "sandbox")
        sandbox, app = read.hub_named("sandbox"), read.hub_named("app_2")
        assert (sandbox.name, sandbox.messages_url) == ("Second", f"{url}/")
        assert app.messages_url == "https://other.servicebus.windows.net/Second/messages/"
        assert read.hub_named("default") == read.hub
        keys = [read.usable_secondary_key(hub) for hub in read.hub_names]
        assert [key and key.key for key in keys] == [None, None, "second="]
        assert read.named_hub_mistakes == ()

    def test_one_api_version(self) -> None:
        """The version of the API is one setting for all."""
        read = settings(ANHHubApiVersion="2015-01", **named("sandbox"))
        assert read.hub_named("sandbox").api_version == "2015-01"

    @pytest.mark.parametrize("spelled", ["SANDBOX", "Sandbox"])
    def test_in_any_case(self, spelled: str) -> None:
        """Names of hubs and of their settings have no letter case."""
        values = {name.upper(): value for name, value in named(spelled).items()}
        assert settings(**values).hub_names == ("default", "sandbox")
        assert settings(**values).hub_named("sandbox").name == "Second"

    @pytest.mark.parametrize("name", ["default", "", "a" * 33, "a-b", "a b", "a__b", "ä", "a.b"])
    def test_no_name(self, name: str) -> None:
        """A setting whose name no hub can have is told, and names no hub."""
        read = settings(**named(name))
        assert read.hub_names == ("default",)
        spelled = [bad.field for bad in read.named_hub_mistakes]
        assert spelled == sorted(named(name))
        assert "names no hub" in read.named_hub_mistakes[0].detail
        read.check_ringing()

    @pytest.mark.parametrize("name", ["a", "a" * 32, "0", "_", "a_b"])
    def test_names(self, name: str) -> None:
        """The shortest and the longest name, and every character."""
        assert settings(**named(name)).hub_names == ("default", name)

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"ConnectionString": SECRET}, "ConnectionString"),
            ({"ConnectionString": ""}, "ConnectionString"),
            ({"HubName": "a/b"}, "HubName"),
            ({"HubName": ""}, "HubName"),
            ({"Url": "https://evil.test/Second/messages/"}, "Url"),
            ({"Url": f"https://{HOST}/Second/messages/"}, "Url"),
        ],
    )
    def test_mistake(self, change: dict[str, str], name: str) -> None:
        """The hub is known and cannot be used; the mistake is named with its setting and quotes nothing."""
        read = settings(**named("sandbox", **change))
        assert read.hub_names == ("default", "sandbox")
        (mistake,) = read.hub_mistakes("sandbox")
        assert mistake.field == f"ANHHub__sandbox__{name}"
        with pytest.raises(ConfigurationError) as caught:
            read.hub_named("sandbox")
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert read.named_hub_mistakes == (mistake,)
        read.check_ringing()
        read.check_registrar()

    def test_unresolved_key_vault_reference(self) -> None:
        """It is called that, and the hub is known."""
        reference = "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/do-not-quote/)"
        (mistake,) = settings(**named("sandbox", ConnectionString=reference)).hub_mistakes("sandbox")
        assert "Key Vault reference is unresolved" in mistake.detail

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"ConnectionStringSecondary": SECRET}, "ConnectionStringSecondary"),
            ({"ConnectionStringSecondary": CONNECTION}, "ConnectionStringSecondary"),
            ({"Name": "Second"}, "Name"),
            ({"ApiVersion": "2015-01"}, "ApiVersion"),
        ],
    )
    def test_lesser_mistake(self, change: dict[str, str], name: str) -> None:
        """It is told, and the hub can be used."""
        read = settings(**named("sandbox", **change))
        assert read.hub_named("sandbox").name == "Second"
        assert [bad.field for bad in read.lesser_named_hub_mistakes] == [f"ANHHub__sandbox__{name}"]
        assert read.usable_secondary_key("sandbox") is None

    def test_are_settings(self) -> None:
        """What resolves and hides settings knows those of named hubs as well."""
        assert all(is_setting(name.swapcase()) for name in named("sandbox"))
        assert not is_setting("PATH")


class TestKnownCauses:
    @pytest.mark.parametrize("name", ["ANHHubConnectionString", "MongoDbConnectionString", "DbName"])
    def test_unresolved_key_vault_reference(self, name: str) -> None:
        """It is called that, instead of malformed."""
        reference = "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/do-not-quote/)"
        found = refused({**NEEDED, name: reference})
        assert list(found) == [name]
        assert "Key Vault reference is unresolved" in found[name]

    def test_entered_as_a_connection_string(self) -> None:
        """Azure renames what is entered there; the error says where the value was found."""
        values = without("MongoDbConnectionString")
        values["CUSTOMCONNSTR_MongoDbConnectionString"] = NEEDED["MongoDbConnectionString"]
        found = refused(values)
        assert "Connection strings" in found["MongoDbConnectionString"]


class TestValues:
    def test_defaults(self) -> None:
        """What the four needed settings leave open."""
        read = settings()
        assert (read.hub.url, read.hub.api_version) == (None, "2020-06")
        assert (read.calls.call_ring_seconds, read.calls.invocation_timeout_seconds) == (60, 20)
        assert (read.calls.hub_connect_timeout_seconds, read.calls.hub_read_timeout_seconds) == (2, 5)
        assert read.calls.max_concurrent_sends == 64
        database = read.database
        assert (database.server_selection_timeout_seconds, database.operation_timeout_seconds) == (2, 3)
        assert read.registrar.default_ttl_seconds == 86_400

    def test_pasted_blanks(self) -> None:
        """Blanks and line breaks around a value, as pasting leaves them, do not count."""
        padded = {name: f" {value}\n" for name, value in NEEDED.items()}
        assert read_all(Settings.from_mapping(padded)) == read_all(settings())

    def test_secrets_are_masked(self) -> None:
        """The settings can be written down."""
        second = f"Endpoint=sb://{HOST}/;SharedAccessKeyName=Send;SharedAccessKey={SECRET}"
        read = settings(ANHHubConnectionStringSecondary=second)
        shown = [text for each in (read, *read_all(read)) for text in (repr(each), str(each))]
        assert SECRET not in "".join(shown)
        assert read.secondary_key.connection_string_secondary is not None
        assert read.secondary_key.connection_string_secondary.key == SECRET

    def test_frozen(self) -> None:
        """They do not change once they are read."""
        with pytest.raises(FrozenInstanceError):
            settings().hub.name = "Other"  # type: ignore[misc]


class TestSampleFile:
    HOST_LEVEL = frozenset(
        {
            "FUNCTIONS_WORKER_RUNTIME",
            "AzureWebJobsStorage",
            "PYTHON_THREADPOOL_THREAD_COUNT",
            "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT",
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
            "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",
            "PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
            "OTEL_TRACES_SAMPLER",
            "OTEL_TRACES_SAMPLER_ARG",
        }
    )

    def values(self) -> dict[str, str]:
        values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
        assert isinstance(values, dict)
        return values

    def test_carries_every_setting(self) -> None:
        """Every setting has its line in the sample file, and the rest is the host's."""
        assert self.values().keys() - self.HOST_LEVEL == set(setting_names())
        assert set(self.values()) >= self.HOST_LEVEL

    def test_body_limit_exceeds_the_largest_event(self) -> None:
        """The host's body limit is above the 1 MB of the largest event: Event Grid does not retry a 413."""
        assert int(self.values()["FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"]) > 1_048_576

    def test_is_valid(self) -> None:
        """What stands there is accepted, all of it text as the host wants it, and is the default."""
        values = self.values()
        assert all(isinstance(value, str) for value in values.values())
        read = Settings.from_mapping(values)
        needed = {name: values[name] for name in NEEDED}
        assert read_all(read) == read_all(Settings.from_mapping(needed))
