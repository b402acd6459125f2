"""What is deployed agrees with the code: settings, parameters, hooks, azure.yaml."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.stack import FUNCTIONS
from settings import Settings, setting_names
from tools.bicep import BicepFile, at

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"

LOCAL_ONLY = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"}
"""Flex Consumption refuses the first, and the second is three settings there, for an identity."""

BY_IDENTITY = {
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
}

OF_THE_HOST = {"PYTHON_THREADPOOL_THREAD_COUNT", "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"}

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
        deployed = set(variable("defaults")) | set(variable("fixed"))
        assert deployed - BY_IDENTITY == set(sample()) - LOCAL_ONLY
        assert deployed - BY_IDENTITY - OF_THE_HOST == set(setting_names())
        assert not set(variable("defaults")) & set(variable("fixed"))

    def test_the_same_defaults(self) -> None:
        """A default in Azure is the one of the sample file, and is accepted by the code."""
        defaults = variable("defaults")
        assert dict(defaults) == {name: sample()[name] for name in defaults}
        Settings.from_mapping({**sample(), **defaults})

    def test_secrets_are_references(self) -> None:
        """What is secret comes from the key vault; nothing else in the settings is secret."""
        fixed = variable("fixed")
        references = {name for name, value in fixed.items() if "@Microsoft.KeyVault(" in str(value)}
        assert references == SECRETS
        for name in references:
            assert re.fullmatch(
                r"@Microsoft\.KeyVault\(SecretUri=\$\{vaultUri\}secrets/[a-z-]+\)", fixed[name]
            )

    def test_every_reference_is_written(self) -> None:
        """Each secret that the app reads is one that a module writes."""
        read = set(re.findall(r"secrets/([a-z-]+)\)", app().source))
        written = set()
        for path in INFRA.rglob("*.bicep"):
            for module in BicepFile.read(path).modules:
                if module.type.endswith("secret.bicep"):
                    written.add(module.config["params"]["name"])
        assert read <= written

    def test_the_platform(self) -> None:
        """One instance is always ready for the function that calls come to, by its exact name."""
        (site,) = (one for one in app().resources if one.type == "Microsoft.Web/sites")
        ready = at(site.properties, "functionAppConfig.scaleAndConcurrency.alwaysReady")
        assert isinstance(ready, list)
        assert [one["name"] for one in ready] == ["function:IncomingCallEventHandler"]
        assert "param alwaysReadyInstances int = 1" in app().source
        assert "IncomingCallEventHandler" in FUNCTIONS

    def test_retries_fit_a_ringing_phone(self) -> None:
        """Event Grid tries three times within minutes, one event at a time."""
        events = BicepFile.read(INFRA / "events.bicep")
        assert events.parameters["maxDeliveryAttempts"]["default"] == 3
        assert events.parameters["eventTimeToLiveInMinutes"]["default"] == 5
        (subscription,) = (one for one in events.resources if one.type.endswith("/eventSubscriptions"))
        assert at(subscription.properties, "destination.properties.maxEventsPerBatch") == 1


class TestParameters:
    def test_main(self) -> None:
        """azd hands main.bicep exactly the parameters that it has."""
        given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
        assert set(given) == set(BicepFile.read(INFRA / "main.bicep").parameters)

    def test_events(self) -> None:
        """The hook hands events.bicep parameters that it has, and all that it needs."""
        script = (INFRA / "scripts" / "postdeploy.sh").read_text()
        given = set(re.findall(r'^    (\w+)="\$', script, re.MULTILINE))
        events = BicepFile.read(INFRA / "events.bicep")
        assert events.required_parameters <= given <= set(events.parameters)

    def test_hooks_read_outputs(self) -> None:
        """What the hook needs is an output of main.bicep, or set by azd itself."""
        script = (INFRA / "scripts" / "postdeploy.sh").read_text()
        needed = re.findall(r"for name in ([A-Z_ \\\n]+); do", script)[0].replace("\\", " ").split()
        outputs = BicepFile.read(INFRA / "main.bicep").outputs
        assert set(needed) - outputs == {"AZURE_ENV_NAME", "AZURE_SUBSCRIPTION_ID"}


class TestPolicies:
    """What checkov, in `make check`, is told to skip."""

    SKIPS = re.compile(r"  // checkov:skip=(CKV_AZURE_\d+): (\S.*)")

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
        assert set(document) == {"name", "metadata", "infra", "services", "hooks"}
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", document["name"])
        infra = document["infra"]
        assert infra["provider"] == "bicep"
        assert (ROOT / infra["path"] / f"{infra['module']}.bicep").exists()
        assert (ROOT / infra["path"] / f"{infra['module']}.parameters.json").exists()
        ((name, service),) = document["services"].items()
        assert (service["host"], service["language"], service["project"]) == ("function", "python", ".")
        assert f"'azd-service-name': '{name}'" in app().source

    @pytest.mark.parametrize("hook", ["postprovision", "postdeploy"])
    def test_hooks(self, hook: str) -> None:
        """A hook has a script for either kind of machine, each with its own shell."""
        systems = self._read()["hooks"][hook]
        assert set(systems) == {"posix", "windows"}
        assert (systems["posix"]["shell"], systems["windows"]["shell"]) == ("sh", "pwsh")
        for system in systems.values():
            assert set(system) == {"shell", "run"}
            assert (ROOT / system["run"]).exists()
        posix = ROOT / systems["posix"]["run"]
        assert posix.read_text().startswith("#!/bin/sh\n")
        assert posix.stat().st_mode & 0o111
        assert posix.name in (ROOT / systems["windows"]["run"]).read_text()
