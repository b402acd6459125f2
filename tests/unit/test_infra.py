"""What is deployed agrees with the code: settings, parameters, hooks, azure.yaml."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.monitor.opentelemetry._constants import _ALL_SUPPORTED_INSTRUMENTED_LIBRARIES

from common.telemetry import LOGGER_NAME
from local.stack import FUNCTIONS
from models.hub import HubSettingNames
from settings import Settings, setting_names
from tools.bicep_file import BicepFile

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"

LOCAL_ONLY = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"}
"""Flex Consumption refuses the first, and the second is three settings there, for an identity."""

PLATFORM = {
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "AZURE_CLIENT_ID",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
}
"""What only Azure needs: access by the identity."""

OF_THE_HOST = {"PYTHON_THREADPOOL_THREAD_COUNT", "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"}

ENABLE_TELEMETRY = "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"

TELEMETRY = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",
    "PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
}
"""Read by the host and by the worker, not by the app."""

SECRETS = {"ANHHubConnectionString", "ANHHubConnectionStringSecondary", "MongoDbConnectionString"}


def sample() -> dict[str, str]:
    values: dict[str, str] = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    return values


def app() -> BicepFile:
    return BicepFile.read(INFRA / "modules" / "function-app.bicep")


def variable(name: str) -> Mapping[str, Any]:
    value: Mapping[str, Any] = app().tree["variables"][name]["value"]
    return value


class TestSettings:
    def test_the_same_set(self) -> None:
        """Settings in Azure, in the sample file and in the code are the same ones."""
        deployed = set(variable("defaults")) | set(variable("telemetry")) | set(variable("fixed"))
        assert deployed - PLATFORM == set(sample()) - LOCAL_ONLY
        assert deployed - PLATFORM - OF_THE_HOST - TELEMETRY == set(setting_names())
        assert not set(variable("defaults")) & set(variable("fixed"))

    def test_the_same_defaults(self) -> None:
        """A default in Azure is the one of the sample file, and is accepted by the code."""
        defaults = variable("defaults")
        assert dict(defaults) == {name: sample()[name] for name in defaults}
        Settings.from_mapping({**sample(), **defaults})

    def test_telemetry(self) -> None:
        """Telemetry is on in Azure and off in the sample, and else the same; an operator can change it."""
        deployed, local = dict(variable("telemetry")), sample()
        assert deployed == {name: local[name] for name in deployed} | {ENABLE_TELEMETRY: "true"}
        assert local[ENABLE_TELEMETRY] == "false"
        assert "union(defaults, telemetry, overrides, fixed, namedHubs)" in app().source

    def test_nothing_is_instrumented(self) -> None:
        """Every library that the distribution would instrument is left out: a URL can hold a SAS."""
        disabled = variable("telemetry")["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"].split(",")
        assert set(disabled) == set(_ALL_SUPPORTED_INSTRUMENTED_LIBRARIES)

    def test_only_the_apps_lines(self) -> None:
        """The worker exports the logger of the app. With the root logger it would export its own exports."""
        assert variable("telemetry")["PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME"] == LOGGER_NAME

    def test_the_host_sends_as_well(self) -> None:
        """Host and worker speak OpenTelemetry; samplingSettings would be without effect there."""
        host = json.loads((ROOT / "host.json").read_text())
        assert host["telemetryMode"] == "OpenTelemetry"
        assert "applicationInsights" not in host["logging"]

    def test_secrets_are_references(self) -> None:
        """What is secret comes from the key vault; nothing else in the settings is secret."""
        choices = {name: list(app().choices(value)) for name, value in variable("fixed").items()}
        references = {name for name in choices if "@Microsoft.KeyVault(" in str(choices[name])}
        assert references == SECRETS
        for name in references:
            assert re.fullmatch(
                r"@Microsoft\.KeyVault\(SecretUri=\$\{vaultUri\}secrets/[a-z-]+\)", str(choices[name][0])
            )

    def test_the_database_without_a_password(self) -> None:
        """With the app's identity the connection string is plain text, and holds no user and no password."""
        reference, by_identity = app().choices(variable("fixed")["MongoDbConnectionString"])
        assert "secrets/mongodb-connection-string" in str(reference)
        text = str(by_identity).replace("${databaseHost}", "mongo-x.example.net")
        text = text.replace("${signIn}", str(variable("signIn")))
        assert text == (
            "mongodb+srv://mongo-x.example.net/?tls=true&authMechanism=MONGODB-OIDC"
            "&retrywrites=false&maxIdleTimeMS=120000"
        )
        assert variable("fixed")["AZURE_CLIENT_ID"] == "identityClientId"
        assert f"settings.?DbName ?? '{sample()['DbName']}'" in main().source

    def test_only_the_app_reads_what_it_needs(self) -> None:
        """The app may read three secrets. The administrator's password is not one of them."""
        readers = set()
        for path in INFRA.rglob("*.bicep"):
            if path.name == "secret.bicep":
                continue  # it hands its own parameters on
            for module in BicepFile.read(path).modules:
                if "readerPrincipalId" in module.config.get("params", {}):
                    readers.add(module.config["params"]["name"])
        assert readers == {"entryName", "${entryName}-secondary", "mongodb-connection-string"}

    def test_keys_of_hubs(self) -> None:
        """Each hub's keys have entries of their own in the vault; the default hub's keep their names."""
        access = [
            module for module in main().modules if module.type.endswith("notification-hub-access.bicep")
        ]
        names = {module.symbol: module.config["params"]["entryName"] for module in access}
        assert names["hubAccess"] == "hub-connection-string"
        assert "entryName: 'hub-${replace(toLower(each.name), '_', '-')}-connection-string'" in main().source
        assert names.keys() == {"hubAccess", "furtherAccess"}

    def test_settings_of_named_hubs(self) -> None:
        """They are those that the app reads, and their values are references."""
        names = HubSettingNames.of("${each.name}")
        wanted = (names.hub_name, names.connection_string, names.secondary)
        source = app().source
        assert all(f'"{name}":' in source for name in wanted)
        assert source.count("${vaultReference}${each.entryName}") == 2
        assert "ANHHub__${each.name}__Url" not in source

    def test_push_credentials_of_further_hubs(self) -> None:
        """A further hub is made where it is asked for and is not there, since deploying one again removes
        them.

        Neither is its namespace deployed again, which an earlier hub of this deployment may have made.
        """
        there = "!contains(present, toLower('${each.?namespace ?? hubNamespace}/${each.hubName}'))"
        assert f"make: (each.?create ?? false) && {there}\n" in main().source
        assert "var hubsToMake = filter(furtherHubs, each => each.make)" in main().source
        assert "[for (each, place) in hubsToMake: {" in main().source
        assert "makeNamespace: !contains(present, toLower(hubNamespace))" in main().source
        assert "var namespacesToMake = [for each in hubsToMake: toLower(each.namespace)]" in main().source
        assert "!contains(concat(namespaces, take(namespacesToMake, place))" in main().source
        hub = BicepFile.read(INFRA / "modules" / "notification-hub.bicep")
        (made,) = (one for one in hub.resources if one.type.endswith("/namespaces") and not one.existing)
        assert made.conditional
        assert azd_parameters()["moreHubs"] == []

    def test_the_identity_is_a_user(self) -> None:
        """The app's principal is a user of the cluster with the least role, or root where that is refused."""
        database = BicepFile.read(INFRA / "modules" / "database.bicep")
        (user,) = (one for one in database.resources if one.type.endswith("mongoClusters/users"))
        assert user.config["name"] == "appPrincipalId"
        principal = "identityProvider.properties.principalType"
        assert database.choices_at(user.properties, principal) == ["servicePrincipal"]
        (cluster,) = (one for one in database.resources if one.type.endswith("/mongoClusters"))
        modes = database.choices_at(cluster.properties, "authConfig.allowedModes")
        assert modes == [["NativeAuth", "MicrosoftEntraID"]]
        assert "param databaseRole string = 'readWrite'" in main().source
        assert "param databaseSignIn string = 'identity'" in main().source

    def test_every_reference_is_written(self) -> None:
        """Each secret that the app reads is one that a module writes."""
        read = set(re.findall(r"secrets/([a-z-]+)\)", app().source))
        written = set()
        for path in INFRA.rglob("*.bicep"):
            for module in BicepFile.read(path).modules:
                if module.type.endswith("secret.bicep"):
                    written.add(module.config["params"]["name"])
        # The access to a hub writes what its caller names.
        entries = {"hub-connection-string", "hub-connection-string-secondary"}
        assert read <= written | entries

    def test_always_ready(self) -> None:
        """Instances are kept ready for the function that calls come to, by its exact name, and for HTTP."""
        (site,) = (one for one in app().resources if one.type == "Microsoft.Web/sites")
        scale = "functionAppConfig.scaleAndConcurrency.alwaysReady"
        assert "alwaysReady: concat(readyForCalls, readyForRequests)" in app().source
        assert app().choices_at(site.properties, scale)
        assert variable("calls")["name"] == "function:IncomingCallEventHandler"
        assert "IncomingCallEventHandler" in FUNCTIONS
        assert variable("requests")["name"] == "http"
        for name, count in (("Calls", "alwaysReadyInstances"), ("Requests", "alwaysReadyHttpInstances")):
            assert f"var readyFor{name} = {count} == 0 ? [] : [{name.lower()}]\n" in app().source

    def test_events_fit_the_body_limit(self) -> None:
        """The host's limit is above the largest event of Event Grid, whatever the registrar's own is."""
        megabyte = 1024 * 1024
        limit = int(variable("fixed")["FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"])
        assert megabyte < limit
        assert int(variable("defaults")["MaxBodyBytes"]) < limit

    def test_storage_by_address(self) -> None:
        """No name of a cloud is built into an address of the storage account."""
        fixed = variable("fixed")
        assert "AzureWebJobsStorage__accountName" not in fixed
        for service in ("blob", "table"):
            address = f"storage.properties.primaryEndpoints.{service}"
            assert f"AzureWebJobsStorage__{service}ServiceUri: {address}\n" in app().source
        for path in INFRA.rglob("*.bicep"):
            assert "core.windows.net" not in path.read_text()

    def test_retries_fit_a_ringing_phone(self) -> None:
        """Event Grid tries three times within minutes, one event at a time."""
        events = BicepFile.read(INFRA / "events.bicep")
        assert events.parameters["maxDeliveryAttempts"]["default"] == 3
        assert events.parameters["eventTimeToLiveInMinutes"]["default"] == 5
        (subscription,) = (one for one in events.resources if one.type.endswith("/eventSubscriptions"))
        assert events.choices_at(subscription.properties, "destination.properties.maxEventsPerBatch") == [1]


def main() -> BicepFile:
    return BicepFile.read(INFRA / "main.bicep")


def azd_parameters() -> dict[str, Any]:
    given: dict[str, Any] = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    return {name: parameter["value"] for name, parameter in given.items()}


MADE_ANEW = {"databasePassword"}
"""A default of the template that must not come from azd: it is another one at each deployment."""


class TestParameters:
    def test_main(self) -> None:
        """azd hands main.bicep exactly the parameters that it has."""
        assert set(azd_parameters()) == set(main().parameters) - MADE_ANEW

    def test_the_same_defaults(self) -> None:
        """A variable of azd that is not set means the default of the template."""
        for name, value in azd_parameters().items():
            match = re.fullmatch(r"\$\{[A-Z_0-9]+=(.*)\}", str(value))
            default = re.search(rf"^param {name} \S+ = (.*)$", main().source, re.MULTILINE)
            if match:
                assert default, name
                assert match[1] == default[1].strip("'"), name

    def test_documented(self) -> None:
        """The documentation names every variable of azd that a parameter takes."""
        text = (ROOT / "docs" / "deployment.md").read_text()
        names = set(re.findall(r"\$\{([A-Z_0-9]+)", json.dumps(azd_parameters())))
        assert {name for name in names if f"`{name}`" not in text} == set()

    def test_only_the_first_run(self) -> None:
        """What only the first deployment may make is made by the hook's answer alone, never by default."""
        assert azd_parameters()["createNotificationHub"] == "${CREATE_NOTIFICATION_HUB=false}"
        source = (INFRA / "scripts" / "preprovision.py").read_text()
        set_by_hook = set(re.findall(r'azd\.set\("(\w+)"', source))
        assert set_by_hook == {
            "CREATE_NOTIFICATION_HUB",
            "EXISTING_HUBS",
            "KEEP_DATABASE_ADMINISTRATOR",
            "RECOVER_KEY_VAULT",
            "DATABASE_SIGN_IN",
        }
        assert set_by_hook <= set(re.findall(r"\$\{(\w+)=", json.dumps(azd_parameters())))

    def test_prefixes_that_the_hook_looks_for(self) -> None:
        """The hook finds namespace and vault by the beginnings of the names that the template generates."""
        source = (INFRA / "scripts" / "preprovision.py").read_text()
        for prefix in ("ntfns-", "kv-"):
            assert f'"{prefix}"' in source
            assert f"'{prefix}${{token}}'" in main().source
        assert "name: 'rg-${environmentName}'" in main().source

    def test_events(self) -> None:
        """The hook hands events.bicep parameters that it has, and all that it needs."""
        script = (INFRA / "scripts" / "postdeploy.py").read_text()
        events = BicepFile.read(INFRA / "events.bicep")
        given = set(re.findall(r'"(\w+)": ', script)) - {"identity", "type"}
        assert events.required_parameters <= given <= set(events.parameters)

    def test_hooks_read_outputs(self) -> None:
        """What a hook needs is an output of main.bicep, or set by azd itself."""
        needed = set()
        for script in (INFRA / "scripts").glob("post*.py"):
            source = script.read_text()
            needed |= set(re.findall(r'needed\(\s*"([A-Z_]+)"', source))
            needed |= set(re.findall(r'^ +"(AZURE_[A-Z_]+)",$', source, re.MULTILINE))
        assert needed - main().outputs == {"AZURE_ENV_NAME", "AZURE_SUBSCRIPTION_ID"}
        assert {"AZURE_FUNCTION_APP_ID", "DEAD_LETTER_STORAGE_ACCOUNT_ID"} <= needed

    def test_outputs_are_no_inputs(self) -> None:
        """'azd down' deletes the outputs from the environment: what the operator has set must not go with
        them."""
        inputs = set(re.findall(r"\$\{([A-Z_0-9]+)", json.dumps(azd_parameters())))
        assert main().outputs & inputs == set()


def test_a_new_password_reaches_the_cluster() -> None:
    """azd skips a provision whose template and parameters have not changed, and a secret is neither of
    them."""
    places = [
        place
        for page in (ROOT / "docs").glob("*.md")
        for place in re.split(r"\n(?=[-|\d\n])", page.read_text())
        if "`mongodb-administrator-password`" in place and "`azd provision" in place
    ]
    assert len(places) == 2
    assert [place for place in places if "`azd provision --no-state`" not in place] == []


LONGEST = {
    "each.name": 32,
    "entryName": len("hub--connection-string") + 32,
    "uniqueString(name)": 13,
}
"""Characters of what names of deployments are made of; a hub has 32 at most."""


def test_names_of_deployments() -> None:
    """Each module is a deployment, whose name may have 64 characters."""
    for path in INFRA.rglob("*.bicep"):
        for module in BicepFile.read(path).modules:
            name = module.config["name"]
            parts = re.findall(r"\$\{(.*?)\}", "${entryName}" if name == "entryName" else name)
            longest = len(re.sub(r"\$\{.*?\}|^entryName$", "", name)) + sum(LONGEST[part] for part in parts)
            assert longest <= 64, (path, name)


class TestProfiles:
    @pytest.mark.parametrize(
        ("name", "trial", "production"),
        [
            ("profileHubTier", "Free", "Basic"),
            ("profileDatabaseTier", "M10", "M30"),
            ("profileHighAvailability", "Disabled", "ZoneRedundantPreferred"),
            ("profileStorageSku", "Standard_LRS", "Standard_ZRS"),
            ("profileAlwaysReady", 0, 1),
        ],
    )
    def test_tiers(self, name: str, trial: object, production: object) -> None:
        """What the two profiles choose, as documented; production is the default."""
        operands = main().tree["variables"][name]["value"]["operator"]["operands"]
        small = {"profileStorageSku": "oneZone", "profileHighAvailability": "alone"}.get(name, "trial")
        assert operands == {"condition": small, "true_value": trial, "false_value": production}
        assert "param profile string = 'production'" in main().source
        text = (ROOT / "docs" / "deployment.md").read_text()
        assert re.search(rf"^\|.*\b{trial}\b.*\|.*\b{production}\b.*\|$", text, re.MULTILINE), name

    def test_regions_of_one_zone(self) -> None:
        """Storage over zones is refused where there are none; these are regions that can be chosen."""
        assert "var oneZone = trial || contains(regionsOfOneZone, location)\n" in main().source
        regions = re.findall(r"'(\w+)'", re.findall(r"^var regionsOfOneZone = (.*)$", main().source, re.M)[0])
        allowed = re.search(r"@allowed\(\[([^]]*)\]\)\n@metadata", main().source)
        assert allowed
        assert len(regions) == 3
        assert set(regions) <= set(re.findall(r"'(\w+)'", allowed[1]))

    def test_a_smaller_database(self) -> None:
        """A tier that takes no standby can be chosen alone."""
        assert "var alone = trial || contains(tiersAlone, chosenDatabaseTier)\n" in main().source
        assert "var tiersAlone = ['Free', 'M10', 'M20', 'M25']\n" in main().source

    def test_each_can_be_overridden(self) -> None:
        """Each choice of a profile has a parameter that goes before it."""
        chosen = re.findall(r"^var (chosen\w+) = .*\? (profile\w+) : (\w+)$", main().source, re.MULTILINE)
        assert len(chosen) == 5
        assert {parameter for _, _, parameter in chosen} <= set(main().parameters)
        assert {name for _, name, _ in chosen} == {
            name for name in main().tree["variables"] if name.startswith("profile")
        }


class TestPolicies:
    """What checkov, in `make check`, is told to skip."""

    SKIPS = re.compile(r"(?:  )?// checkov:skip=(CKV_AZURE_\d+): (\S.*)")

    @classmethod
    def _skips(cls) -> list[tuple[str, str]]:
        """The policy and the reason of each; any other way to write one is refused."""
        lines = [line for path in INFRA.rglob("*.bicep") for line in path.read_text().splitlines()]
        found = []
        for line in lines:
            if ":skip=" in line:
                skip = cls.SKIPS.fullmatch(line)
                assert skip, line
                found.append((skip[1], skip[2]))
        return found

    def test_reasons(self) -> None:
        """A skip is of one policy in one resource, and says why in a few words at least."""
        assert self._skips()
        assert [skip for skip in self._skips() if len(skip[1].split()) < 5] == []

    def test_documented(self) -> None:
        """The documentation names exactly the policies that are skipped."""
        text = (ROOT / "docs" / "deployment.md").read_text()
        rows = re.findall(r"^\| (CKV_AZURE_[^|]+)\|", text, re.MULTILINE)
        assert set(re.findall(r"CKV_AZURE_\d+", " ".join(rows))) == {policy for policy, _ in self._skips()}

    def test_no_other_way(self) -> None:
        """No file of options skips a policy everywhere; checkov would read one of these."""
        found = [path.name for folder in (ROOT, INFRA) for path in folder.glob(".checkov.y*ml")]
        assert found == []


class TestAzureYaml:
    @staticmethod
    def _read() -> dict[str, Any]:
        document: dict[str, Any] = yaml.safe_load((ROOT / "azure.yaml").read_text())
        return document

    def test_essentials(self) -> None:
        """It has a valid name, Bicep that exists, and one Python function app, found by its tag."""
        document = self._read()
        assert set(document) == {"name", "metadata", "requiredVersions", "infra", "services", "hooks"}
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", document["name"])
        assert document["requiredVersions"] == {"azd": ">= 1.25.3"}
        infra = document["infra"]
        assert infra["provider"] == "bicep"
        assert (ROOT / infra["path"] / f"{infra['module']}.bicep").exists()
        assert (ROOT / infra["path"] / f"{infra['module']}.parameters.json").exists()
        ((name, service),) = document["services"].items()
        assert (service["host"], service["language"], service["project"]) == ("function", "python", ".")
        assert f"'azd-service-name': '{name}'" in app().source

    @pytest.mark.parametrize("hook", ["preprovision", "postprovision", "postdeploy"])
    def test_hooks(self, hook: str) -> None:
        """A hook is one Python script for every system, whose output is seen."""
        assert set(self._read()["hooks"]) == {"preprovision", "postprovision", "postdeploy"}
        configured = self._read()["hooks"][hook]
        assert configured == {
            "kind": "python",
            "run": f"infra/scripts/{hook}.py",
            "interactive": True,
            "config": {"virtualEnvName": ".venv-hooks"},
        }
        script = ROOT / configured["run"]
        assert script.exists()
        # azd installs the nearest requirements.txt, up to the repository's own.
        assert script.with_name("requirements.txt").exists()

    def test_the_environment_of_the_hooks(self) -> None:
        """It stays out of git; .funcignore leaves the whole folder out of the deployed package."""
        assert ".venv-hooks" in (ROOT / ".gitignore").read_text().splitlines()
        assert "infra/" in (ROOT / ".funcignore").read_text().splitlines()
