"""The doctor and a deployed app, over an `az` that answers from a script: what it finds, and that no secret
shows."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from doctor.checks.deployment_checks import check_deployment
from doctor.checks.findings import Check, Status
from doctor.checks.settings_checks import check_settings
from doctor.cli import app
from doctor.commands.check import CheckReport, run_checks
from doctor.probes import database_connection
from doctor.probes.app_settings import AppSettings, SettingsSource, load_settings
from doctor.probes.deployment_probe import AzureHub, DeploymentProbe
from doctor.probes.settings_source import UsageError
from tests.fake_azure import (
    ACS,
    FORBIDDEN,
    NAMESPACE,
    NOT_FOUND,
    NOT_SIGNED_IN,
    SECRET,
    SITE,
    VAULT_FORBIDDEN,
    Error,
    FakeAzure,
    event_subscription,
)

VAULT = "https://kv-calls.vault.azure.net/"
MONGODB = f"mongodb://user:{SECRET}@127.0.0.1:1/?directConnection=true"
HUB = f"Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=SendOnly;SharedAccessKey={SECRET}"
SETTINGS = {
    "FUNCTIONS_EXTENSION_VERSION": "~4",
    "ANHHubName": "calls",
    "ANHHubConnectionString": f"@Microsoft.KeyVault(SecretUri={VAULT}secrets/hub-connection-string)",
    "MongoDbConnectionString": "@Microsoft.KeyVault(VaultName=kv-calls;SecretName=mongodb-connection-string)",
    "DbName": "calling",
}


@pytest.fixture
def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAzure:
    """The deployed app, well, with its secrets in the vault."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    fake = FakeAzure(tmp_path, SETTINGS)
    fake.change("keyvault secret show hub-connection-string", {"value": HUB})
    fake.change("keyvault secret show mongodb-connection-string", {"value": MONGODB})
    return fake


def load(**changes: Any) -> AppSettings:
    source = {"file": None, "app": "func-calls", "group": "rg-calls", **changes}
    return load_settings(SettingsSource(**source), {})


def deployment_checks(azure: FakeAzure) -> Mapping[str, Check]:
    """What the doctor says of the deployment, by name."""
    hub = AzureHub("contoso", "calls")
    found = DeploymentProbe(azure.cli(), "func-calls", "rg-calls").ask(hub, datetime.now(UTC))
    made = check_deployment(found)
    assert SECRET not in str(made) + str(found)
    assert all(check.remedy for check in made if check.status is Status.FAIL)
    return {check.name: check for check in made}


class TestSettings:
    def test_resolved(self, azure: FakeAzure) -> None:
        """References of both forms are resolved; nothing that is no setting of the app is fetched."""
        loaded = load()
        assert loaded.values["MongoDbConnectionString"] == MONGODB
        assert loaded.values["ANHHubConnectionString"] == HUB
        assert loaded.unresolved == {}
        shown = [call for call in azure.calls() if call[:3] == ["keyvault", "secret", "show"]]
        assert len(shown) == 2
        assert SECRET not in repr(loaded)

    @pytest.mark.usefixtures("azure")
    def test_file_with_references(self, tmp_path: Path) -> None:
        """So are those in a file that was exported from Azure."""
        path = tmp_path / "settings.json"
        path.write_text(json.dumps([{"name": name, "value": value} for name, value in SETTINGS.items()]))
        loaded = load(file=str(path), app=None, group=None)
        assert loaded.values["MongoDbConnectionString"] == MONGODB
        assert loaded.deployment is None

    @pytest.mark.parametrize(
        ("error", "says"),
        [(VAULT_FORBIDDEN, "may not read"), (NOT_SIGNED_IN, "not signed in"), (Error("boom"), "az failed")],
    )
    def test_vault_refuses(self, azure: FakeAzure, error: Error, says: str) -> None:
        """Where a secret cannot be read, the exact line is printed by which a person can."""
        azure.answers.clear()
        azure.change("keyvault secret show", error)
        found = run_checks(load())
        failed = {check.name: check for check in found.checks if check.status is Status.FAIL}
        check = failed["MongoDbConnectionString"]
        assert found.exit_code == 2
        assert says in check.detail
        assert (
            "az keyvault secret show --vault-name kv-calls --name mongodb-connection-string"
            " --query value --output tsv"
        ) in check.commands
        uri = f"{VAULT}secrets/hub-connection-string"
        assert (
            f"az keyvault secret show --id {uri} --query value --output tsv"
            in failed["ANHHubConnectionString"].commands
        )

    def test_reference_that_ringing_does_not_need(self, azure: FakeAzure) -> None:
        """A secondary key that cannot be read is shown, and the rest is looked at."""
        uri = f"@Microsoft.KeyVault(SecretUri={VAULT}secrets/spare-key)"
        azure.settings = {**SETTINGS, "ANHHubConnectionStringSecondary": uri}
        azure.change("keyvault secret show spare-key", VAULT_FORBIDDEN)
        settings, checks = check_settings(load().values, load().unresolved)
        assert settings is not None
        failed = {check.name: check for check in checks if check.status is Status.FAIL}
        assert "may not read" in failed["ANHHubConnectionStringSecondary"].detail

    @pytest.mark.parametrize(
        "source", [{"group": None}, {"app": None}, {"file": "local.settings.json"}], ids=str
    )
    def test_wrong_options(self, azure: FakeAzure, source: dict[str, Any]) -> None:
        """App and group belong together, and exclude a file."""
        with pytest.raises(UsageError, match="--app"):
            load(**source)
        assert not (azure.folder / "calls.jsonl").exists()

    def test_not_signed_in(self, azure: FakeAzure) -> None:
        """Without a sign-in nothing is known of the app: 3, with the line that signs in."""
        azure.change("appsettings list", NOT_SIGNED_IN)
        done = CliRunner().invoke(app, ["check", "--app", "func-calls", "-g", "rg-calls"])
        assert done.exit_code == 3
        assert "az login" in done.stderr

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Without az it is said where to get it."""
        monkeypatch.setenv("PATH", str(tmp_path))
        done = CliRunner().invoke(app, ["check", "--app", "func-calls", "-g", "rg-calls"])
        assert done.exit_code == 3
        assert "aka.ms/azure-cli" in done.stderr


class TestDeployment:
    def test_well(self, azure: FakeAzure) -> None:
        """A good deployment: nothing fails, and nothing is unknown."""
        found = deployment_checks(azure)
        statuses = {check.status for check in found.values()}
        assert statuses == {Status.PASS, Status.NOTE}
        assert found["APNs environment"].detail.startswith("production")
        assert "com.contoso.app" in found["APNs bundle id"].detail

    def test_whole_check(self, azure: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> None:
        """`check` answers six of the seven questions that it cannot answer without Azure; no secret shows."""
        monkeypatch.setattr(database_connection, "CONNECT_SECONDS", 0.2)
        azure.settings = {**SETTINGS, "ANHHubUrl": "http://127.0.0.1:1/calls/messages/"}
        azure.write()
        found = run_checks(load())
        assert [check.name for check in found.checks if check.area == "elsewhere"] == ["kind of token"]
        assert SECRET not in json.dumps(CheckReport(found).as_json())

    @pytest.mark.parametrize(
        ("words", "answer", "name", "says"),
        [
            (f"rest {SITE}?", {"id": SITE, "properties": {"state": "Stopped"}}, "function app", "Stopped"),
            ("functionapp function list", [], "functions", "not deployed"),
            (
                "configreferences",
                {
                    "value": [
                        {
                            "name": "MongoDbConnectionString",
                            "properties": {
                                "status": "SecretNotFound", "vaultName": "kv", "secretName": "mongodb",
                            },
                        }
                    ]
                },
                "MongoDbConnectionString",
                "the Key Vault reference is unresolved: SecretNotFound, secret mongodb in vault kv",
            ),
            (
                "pnsCredentials",
                {
                    "properties": {
                        "apnsCredential": {
                            "properties": {"endpoint": "gateway.push.apple.com", "thumbprint": "x"}
                        }
                    }
                },
                "APNs authentication",
                "by certificate",
            ),
            (
                "pnsCredentials",
                {"properties": {"gcmCredential": {"properties": {"googleApiKey": SECRET}}}},
                "FCM v1 credentials",
                "legacy",
            ),
            ("pnsCredentials", {"properties": {}}, "platform credentials", "drops every push"),
            ("event-subscription list", [], "event subscription", "no subscription delivers"),
            (
                "event-subscription list",
                [event_subscription(filter={"includedEventTypes": ["Microsoft.Communication.CallEnded"]})],
                "event subscription calls",
                "IncomingCall",
            ),
            (
                "event-subscription list",
                [event_subscription(provisioningState="Failed")],
                "event subscription calls",
                "Failed",
            ),
        ],
    )  # fmt: skip
    def test_wrong(self, azure: FakeAzure, words: str, answer: Any, name: str, says: str) -> None:
        """Each thing that can be wrong with a deployment is found, with what to do."""
        azure.change(words, answer)
        found = deployment_checks(azure)[name]
        assert found.status is Status.FAIL
        assert says in found.detail

    def test_sandbox(self, azure: FakeAzure) -> None:
        """Sandbox or production is said, because nothing else shows which tokens fit."""
        apns = {
            "properties": {"endpoint": "https://api.development.push.apple.com:443/3/device", "keyId": "k"}
        }
        azure.change("pnsCredentials", {"properties": {"apnsCredential": apns}})
        assert deployment_checks(azure)["APNs environment"].detail.startswith("sandbox")

    def test_named_hubs(self, azure: FakeAzure) -> None:
        """The credentials of each hub are looked at, and told apart."""
        apns = {
            "properties": {"endpoint": "https://api.development.push.apple.com:443/3/device", "keyId": "k"}
        }
        azure.change("notificationHubs/debug/pnsCredentials", {"properties": {"apnsCredential": apns}})
        azure.change("notificationHubs/alerts/pnsCredentials", {"properties": {}})
        named = {name: AzureHub("contoso", name) for name in ("debug", "alerts")}
        named["elsewhere"] = AzureHub("unknown", "x")
        probe = DeploymentProbe(azure.cli(), "func-calls", "rg-calls")
        found = check_deployment(probe.ask(AzureHub("contoso", "calls"), datetime.now(UTC), named))
        environments = {check.area: check.detail for check in found if check.name == "APNs environment"}
        assert {area: detail.partition(":")[0] for area, detail in environments.items()} == {
            "azure": "production",
            "azure, hub debug": "sandbox",
        }
        failed = [check.area for check in found if check.name == "platform credentials"]
        assert failed == ["azure, hub alerts", "azure, hub elsewhere"]

    def test_filter(self, azure: FakeAzure) -> None:
        """Whether a filter leaves users out is not known."""
        chosen = {
            "includedEventTypes": None,
            "advancedFilters": [{"operatorType": "StringIn", "key": "data.to"}],
        }
        azure.change("event-subscription list", [event_subscription(filter=chosen)])
        assert deployment_checks(azure)["event subscription calls"].status is Status.CANNOT_TELL

    def test_second_subscription(self, azure: FakeAzure) -> None:
        """Another subscription for incoming calls is named: phones might ring twice."""
        other = {"endpointType": "WebHook", "endpointBaseUrl": "https://sample.example/api/x?code=" + SECRET}
        azure.change(
            "event-subscription list", [event_subscription(), event_subscription("old", destination=other)]
        )
        found = deployment_checks(azure)
        assert found["another event subscription"].status is Status.NOTE
        assert "old (WebHook sample.example)" in found["another event subscription"].detail
        assert "event subscription old" not in found

    def test_by_web_hook(self, azure: FakeAzure) -> None:
        """A subscription that names the function's web hook is this app's as well."""
        url = "https://func-calls.azurewebsites.net/runtime/webhooks/eventgrid?functionName=IncomingCallEventHandler"
        hook = {"endpointType": "WebHook", "endpointBaseUrl": url}
        azure.change("event-subscription list", [event_subscription(destination=hook)])
        assert deployment_checks(azure)["event subscription calls"].status is Status.PASS

    @pytest.mark.parametrize(("hours", "status"), [(1, Status.FAIL), (30, Status.PASS)])
    def test_dead_letters(self, azure: FakeAzure, hours: int, status: Status) -> None:
        """Dead letters of the last day fail, with the line that fetches them."""
        moment = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
        azure.change("storage blob list", [{"name": "a.json", "properties": {"lastModified": moment}}])
        found = deployment_checks(azure)["dead letters of calls"]
        assert found.status is status
        assert status is Status.PASS or "download-batch --account-name stdeadletters" in found.commands[0]

    def test_no_dead_letters(self, azure: FakeAzure) -> None:
        """A subscription that keeps none is noted."""
        azure.change("event-subscription list", [event_subscription(deadLetterWithResourceIdentity=None)])
        assert deployment_checks(azure)["dead letters of calls"].status is Status.NOTE

    def test_linked_hub(self, azure: FakeAzure) -> None:
        """A Communication Services resource that is linked to a hub may ring phones a second time."""
        linked = {"name": "acs", "properties": {"notificationHubId": f"{NAMESPACE}/notificationHubs/calls"}}
        azure.change(f"rest {ACS}", linked)
        assert deployment_checks(azure)["link to the hub"].status is Status.NOTE

    def test_no_always_ready_instance(self, azure: FakeAzure) -> None:
        """Without an always-ready instance a call waits for a cold start."""
        config = {"scaleAndConcurrency": {"alwaysReady": None}}
        azure.change(
            f"rest {SITE}?", {"id": SITE, "properties": {"state": "Running", "functionAppConfig": config}}
        )
        assert "cold start" in deployment_checks(azure)["always-ready instances"].detail

    @pytest.mark.parametrize(
        "error", [FORBIDDEN, NOT_FOUND, NOT_SIGNED_IN], ids=lambda error: error.text[:30]
    )
    def test_unanswered(self, azure: FakeAzure, error: Error) -> None:
        """What Azure does not answer is not known; the rest is looked at, and the reason is shown."""
        for words in ("pnsCredentials", "configreferences", "storage blob list", "system-topic list"):
            azure.change(words, error)
        found = deployment_checks(azure)
        for name in ("platform credentials", "Key Vault references", "event subscription"):
            assert found[name].status is Status.CANNOT_TELL
            assert found[name].commands
        assert found["functions"].status is Status.PASS

    def test_hub_elsewhere(self, azure: FakeAzure) -> None:
        """A namespace in another Azure subscription is said to be, with how to select that."""
        azure.change("resource list", [])
        found = deployment_checks(azure)["platform credentials"]
        assert found.status is Status.CANNOT_TELL
        assert "az account set --subscription SUBSCRIPTION" in found.commands
