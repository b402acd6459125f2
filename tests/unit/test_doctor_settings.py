"""The doctor and the settings: where they come from, and what can be wrong with them."""

import io
import json
from pathlib import Path
from types import MappingProxyType

import pytest

from doctor.checks.azure import Unanswered
from doctor.checks.findings import Check, Status
from doctor.checks.settings_checks import check_settings
from doctor.probes.settings_source import UsageError, parse_settings, read_settings

GOOD = {
    "ANHHubConnectionString": "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=SendOnly;"
    "SharedAccessKey=c2VjcmV0",
    "ANHHubName": "calls",
    "MongoDbConnectionString": "mongodb://user:hidden@127.0.0.1:27017/",
    "DbName": "calling",
}


def failures(values: dict[str, str]) -> dict[str, Check]:
    """The checks that fail, by name."""
    return {check.name: check for check in check_settings(values)[1] if check.status is Status.FAIL}


class TestWhereTheyComeFrom:
    def test_environment(self) -> None:
        """Without a file it is the environment."""
        assert read_settings(None, GOOD) == GOOD

    def test_local_settings(self, tmp_path: Path) -> None:
        """The file that func uses; values that are no text become text, and the environment stays out."""
        path = tmp_path / "local.settings.json"
        path.write_text(json.dumps({"IsEncrypted": False, "Values": {**GOOD, "MaxDevicesPerUser": 5}}))
        assert read_settings(str(path), {"DbName": "other"}) == {**GOOD, "MaxDevicesPerUser": "5"}

    def test_export_of_azure(self, tmp_path: Path) -> None:
        """The list that the Azure CLI prints."""
        path = tmp_path / "settings.json"
        path.write_text(json.dumps([{"name": k, "value": v, "slotSetting": False} for k, v in GOOD.items()]))
        assert read_settings(str(path), {}) == GOOD

    def test_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`-` is standard input, so that secrets stay off the disk."""
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps({"Values": GOOD}).encode())))
        assert read_settings("-", {}) == GOOD

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_redirected_on_windows(self, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
        """PowerShell writes a byte order mark, or UTF-16."""
        content = json.dumps({"Values": GOOD}).replace("\n", "\r\n").encode(encoding)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert read_settings("-", {}) == GOOD

    def test_comments(self) -> None:
        """Comments and trailing commas, which editors allow in this file."""
        text = """{
          // made by func init
          "IsEncrypted": false,
          "Values": {
            "ANHHubName": "calls", /* the hub's name */
            "MongoDbConnectionString": "mongodb://127.0.0.1/?a=//b", // not a comment in here
          },
        }"""
        assert parse_settings(text, "file") == {
            "ANHHubName": "calls",
            "MongoDbConnectionString": "mongodb://127.0.0.1/?a=//b",
        }

    @pytest.mark.parametrize("line_end", ["\n", "\r\n"])
    def test_other_output_of_azure(self, line_end: str) -> None:
        """The Azure CLI's table and tab-separated values, which a user may have set as the default."""
        tsv = line_end.join(f"{name}\tFalse\t{value}" for name, value in GOOD.items()) + line_end
        width = max(map(len, GOOD)) + 2
        rows = [f"{name:<{width}}False          {value}" for name, value in GOOD.items()]
        head = f"{'Name':<{width}}SlotSetting    Value"
        rule = f"{'-' * (width - 2)}  -----------    {'-' * 40}"
        assert parse_settings(tsv, "file") == GOOD
        assert parse_settings(line_end.join([head, rule, *rows]) + line_end, "file") == GOOD

    def test_resource_manager(self) -> None:
        """What `az rest` prints of the settings."""
        assert parse_settings(json.dumps({"name": "appsettings", "properties": GOOD}), "file") == GOOD

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "is empty"),
            ("{", "is not JSON"),
            ('{"IsEncrypted": true, "Values": {}}', "func settings decrypt"),
            ("[1]", "neither"),
            ('{"a": "secret-value"}', "neither"),
        ],
    )
    def test_unusable_file(self, tmp_path: Path, text: str, says: str) -> None:
        """A file that cannot be used is refused with what to do, and nothing of it is quoted."""
        path = tmp_path / "settings.json"
        path.write_text(text)
        with pytest.raises(UsageError, match=says) as refused:
            read_settings(str(path), {})
        assert "secret-value" not in str(refused.value)

    def test_no_file(self, tmp_path: Path) -> None:
        """So is one that is not there."""
        with pytest.raises(UsageError, match="cannot be read"):
            read_settings(str(tmp_path / "none.json"), {})


class TestChecks:
    def test_good(self) -> None:
        """Good settings pass, and come back."""
        settings, checks = check_settings(GOOD)
        assert settings is not None
        assert {check.status for check in checks} == {Status.PASS}

    def test_everything_that_is_wrong(self) -> None:
        """Every missing and malformed setting is listed at once, with a remedy, no value quoted."""
        wrong = {"ANHHubConnectionString": "Endpoint=secret", "MongoDbConnectionString": "redis://hidden"}
        found = failures(wrong)
        assert {"ANHHubConnectionString", "ANHHubName", "MongoDbConnectionString", "DbName"} <= set(found)
        assert all(check.remedy for check in found.values())
        assert "secret" not in str(found)
        assert "hidden" not in str(found)

    def test_key_vault_reference(self) -> None:
        """A reference that only Azure resolves is named as one."""
        found = failures({**GOOD, "MongoDbConnectionString": "@Microsoft.KeyVault(SecretUri=https://v/x)"})
        assert "Key Vault" in found["MongoDbConnectionString"].detail

    def test_connection_strings_blade(self) -> None:
        """A setting on the portal's other blade is found there."""
        values = {name: value for name, value in GOOD.items() if name != "MongoDbConnectionString"}
        found = failures({**values, "CUSTOMCONNSTR_MongoDbConnectionString": "mongodb://hidden/"})
        check = found["MongoDbConnectionString"]
        assert "CUSTOMCONNSTR_MongoDbConnectionString" in check.detail
        assert "App settings" in check.remedy

    @pytest.mark.parametrize("password", ["p@ss", "p:ss", "p%ss", "p/ss"])
    def test_unescaped_password(self, password: str) -> None:
        """A reserved character in the database password is recognised, and not quoted."""
        check = failures({**GOOD, "MongoDbConnectionString": f"mongodb://user:{password}@127.0.0.1:1/"})[
            "MongoDbConnectionString"
        ]
        assert check.remedy.startswith("Percent-encode the user name and the password")
        assert password not in str(check)

    def test_two_hubs(self) -> None:
        """A URL for another hub than ANHHubName is found."""
        url = "https://contoso.servicebus.windows.net/other/messages/"
        assert "one hub" in failures({**GOOD, "ANHHubUrl": url})

    def test_unknown_api_version(self) -> None:
        """An API version that no public page names cannot be judged."""
        _, checks = check_settings({**GOOD, "ANHHubApiVersion": "2031-01"})
        assert [c.name for c in checks if c.status is Status.CANNOT_TELL] == ["ANHHubApiVersion"]

    @pytest.mark.parametrize(
        ("more", "named"),
        [
            ({"RegistrarAccess": "oidc"}, {"OidcIssuer", "OidcAudience"}),
            ({"RegistrarAccess": "oidc", "OidcIssuer": "https://i.example"}, {"OidcAudience"}),
            (
                {"RegistrarAccess": "oidc", "OidcIssuer": "http://i.example", "OidcAudience": "a"},
                {"OidcIssuer"},
            ),
            ({"REGISTRARACCESS": "OIDC", "oidcissuer": "https://i.example"}, {"OidcAudience"}),
            ({"RegistrarAccess": "keys"}, {"RegistrarAccess"}),
        ],
    )
    def test_half_a_sign_in(self, more: dict[str, str], named: set[str]) -> None:
        """Half of a sign-in configuration is found, the missing half named."""
        assert named <= set(failures({**GOOD, **more}))

    def test_sign_in_beside_what_ringing_needs(self) -> None:
        """A mistake in the sign-in or in telemetry is listed at once, also where calls cannot ring either."""
        telemetry = {
            "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": "rubbish",
        }
        wrong = {**GOOD, **telemetry, "ANHHubName": "", "RegistrarAccess": "oidc", "OidcIssuer": "x"}
        assert set(failures(wrong)) == {
            "ANHHubName",
            "OidcIssuer",
            "OidcAudience",
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
        }

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("RegistrarAcess", "RegistrarAccess"),
            ("OIDC_ISSUER", "OidcIssuer"),
            ("MaxDevicePerUser", "MaxDevicesPerUser"),
            ("DefaultTTLSecond", "DefaultTtlSeconds"),
            ("MongoDBConnectionStrings", "MongoDbConnectionString"),
            ("AnhHubNames", "ANHHubName"),
        ],
    )
    def test_misspelled(self, name: str, meant: str) -> None:
        """A name that is nearly that of a setting is noted, since the app reads nothing of it."""
        _, checks = check_settings({**GOOD, name: "secret"})
        (note,) = (check for check in checks if check.name == name)
        assert note.status is Status.NOTE
        assert meant in note.detail
        assert "secret" not in str(note)

    @pytest.mark.parametrize(
        "name",
        [
            "AzureWebJobsStorage", "FUNCTIONS_WORKER_RUNTIME", "WEBSITE_CONTENTSHARE", "AZURE_CLIENT_ID",
            "PATH", "HOSTNAME", "MigrateSourceConnectionString", "CUSTOMCONNSTR_DbName", "maxdevicesperuser",
            "ANH_Hub_Name", "APPLICATIONINSIGHTS_CONNECTION_STRING", "MaximumConcurrentSends",
        ],
    )  # fmt: skip
    def test_other_names(self, name: str) -> None:
        """Other names, and other spellings that the app reads, are no reason for a note."""
        _, checks = check_settings({**GOOD, name: "1000"})
        assert [check.name for check in checks if check.status is Status.NOTE] == []

    def test_reference_in_the_sign_in(self) -> None:
        """A Key Vault reference there is named as one, with the reason if it could not be resolved."""
        reference = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/x)"
        values = {
            **GOOD,
            "RegistrarAccess": "oidc",
            "OidcIssuer": "https://i.example",
            "OidcAudience": reference,
        }
        check = failures(values)["OidcAudience"]
        assert "Key Vault" in check.detail
        assert "Key Vault Secrets User" in check.remedy
        _, checks = check_settings(values, {"OidcAudience": Unanswered("it is forbidden", "Ask for it.")})
        (check,) = (each for each in checks if each.name == "OidcAudience")
        assert "it is forbidden" in check.detail
        assert check.remedy == "Ask for it."


class TestTelemetry:
    NAME = "APPLICATIONINSIGHTS_CONNECTION_STRING"
    ON = MappingProxyType({"PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true"})
    KEY = "InstrumentationKey=00000000-0000-0000-0000-000000000001"

    def check(self, **values: str) -> Check:
        (found,) = (check for check in check_settings({**GOOD, **values})[1] if check.name == self.NAME)
        return found

    @pytest.mark.parametrize(
        "value",
        [
            KEY,
            f"{KEY};IngestionEndpoint=https://westeurope-5.in.applicationinsights.azure.com/;ApplicationId=x",
            f" instrumentationkey = {KEY.partition('=')[2].upper()} ; ",
            f"{KEY};IngestionEndpoint=http://127.0.0.1:9/",
        ],
    )
    def test_good(self, value: str) -> None:
        """A connection string as the portal shows it."""
        assert self.check(**self.ON, **{self.NAME: value}).status is Status.PASS

    @pytest.mark.parametrize(
        ("value", "says"),
        [
            ("", "missing"),
            ("rubbish-secret", "InstrumentationKey"),
            ("InstrumentationKey=rubbish-secret", "InstrumentationKey"),
            ("@Microsoft.KeyVault(SecretUri=https://kv/secrets/rubbish-secret)", "Key Vault reference"),
            (f"{KEY};IngestionEndpoint=http://evil.test/rubbish-secret", "ingestionendpoint"),
            (f"{KEY};LiveEndpoint=https://[::rubbish-secret", "liveendpoint"),
        ],
    )
    def test_wrong(self, value: str, says: str) -> None:
        """One that the worker cannot use, which only its own log would say; nothing is quoted."""
        found = self.check(**self.ON, **{self.NAME: value})
        assert (found.status, says in found.detail) == (Status.FAIL, True)
        assert "rubbish-secret" not in f"{found.detail} {found.remedy}"

    @pytest.mark.parametrize(
        "values",
        [{}, {"PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "false"}, {"OTEL_TRACES_EXPORTER": "none"}],
    )
    def test_off(self, values: dict[str, str]) -> None:
        """Where telemetry is off nothing is asked of its connection string."""
        more = {**self.ON, **values} if "OTEL_TRACES_EXPORTER" in values else values
        names = [check.name for check in check_settings({**GOOD, **more, self.NAME: "rubbish"})[1]]
        assert self.NAME not in names


class TestNamedHubs:
    def test_mistake(self) -> None:
        """A mistake in a named hub's settings fails, and the others are looked at."""
        wrong = {
            "ANHHub__sandbox__HubName": "x",
            "ANHHub__sandbox__Rubbish": "y",
            "ANHHub__a-b__HubName": "z",
        }
        settings, checks = check_settings({**GOOD, **wrong})
        assert settings is not None
        failed = {check.name: check.remedy for check in checks if check.status is Status.FAIL}
        assert failed.keys() == {
            "ANHHub__sandbox__ConnectionString", "ANHHub__sandbox__Rubbish", "ANHHub__a-b__HubName",
        }  # fmt: skip
        assert all("docs/hubs.md" in remedy for remedy in failed.values())

    def test_url_of_another_hub(self) -> None:
        """Its URL has to name the same hub as its name."""
        connection = GOOD["ANHHubConnectionString"]
        named = {
            "ANHHub__sandbox__ConnectionString": connection,
            "ANHHub__sandbox__HubName": "debug",
            "ANHHub__sandbox__Url": "https://contoso.servicebus.windows.net/calls/messages/",
        }
        assert "ANHHub__sandbox__Url" in failures({**GOOD, **named})["one hub sandbox"].detail
