"""The rules that the Bicep files are held to, each seen red, and the compiler where there is one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.bicep import check, compile_all

INFRA = Path(__file__).parents[2] / "infra"

BREAKS = [
    ("main.bicep", "param settings object = {}", "param settings object = {", "main.bicep:"),
    ("main.bicep", "    email: alertEmail\n", "", "lacks the parameter email"),
    ("main.bicep", "    overrides: settings\n", "    overrides: settings\n    x: 1\n", "has no parameter x"),
    ("main.bicep", "app.outputs.hostName", "app.outputs.host", "has no output host"),
    ("main.bicep", "modules/identity.bicep", "modules/me.bicep", "modules/me.bicep does not exist"),
    ("main.bicep", "    email: alertEmail\n", "    email: ''\n", "alertEmail is used nowhere"),
    ("main.bicep", "network!.outputs.id", "network!.outputs.key", "has no output key"),
    (
        "main.bicep",
        "@secure()\n@description('Password",
        "@description('Password",
        "databasePassword is not @secure()",
    ),
    (
        "main.bicep",
        "output REGISTRAR_URL string = ",
        "output PASSWORD string = databasePassword\noutput REGISTRAR_URL string = ",
        "output PASSWORD gives a secret away",
    ),
    ("modules/secret.bicep", "@secure()\n", "", "value is not @secure()"),
    ("modules/alerts.bicep", "missed-calls.kql", "missed.kql", "missed.kql does not exist"),
    ("modules/alerts.bicep", "@2026-03-01'", "@2026-04-01-preview'", "is a preview"),
    ("modules/storage.bicep", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true", "allowSharedKey"),
    ("modules/storage.bicep", "publicAccess: 'None'", "publicAccess: 'Blob'", "publicAccess"),
    ("modules/storage.bicep", "    scope: account\n", "", "the role is on the whole scope"),
    (
        "modules/dead-letters.bicep",
        "allowSharedKeyAccess: false",
        "allowSharedKeyAccess: true",
        "allowSharedKey",
    ),
    ("modules/secret-reader.bicep", "4633458b", "00000000", "is no role that this project gives"),
    (
        "modules/secret-reader.bicep",
        "scope: secret",
        "scope: vault",
        "the role is on every secret of the vault",
    ),
    ("modules/monitoring.bicep", "DisableLocalAuth: true", "DisableLocalAuth: false", "DisableLocalAuth"),
    (
        "modules/key-vault.bicep",
        "enabledForTemplateDeployment: true",
        "x: true",
        "enabledForTemplateDeployment",
    ),
    ("modules/key-vault.bicep", "enableRbacAuthorization: true", "accessPolicies: []", "enableRbac"),
    ("modules/function-app.bicep", "httpsOnly: true", "httpsOnly: false", "httpsOnly"),
    ("modules/function-app.bicep", "version: '3.13'", "version: '3.12'", "runtime.version"),
    ("modules/notification-hub-access.bicep", "['Send']", "['Send', 'Manage']", "rights"),
    (
        "modules/function-app.bicep",
        "  dependsOn: [ftpPublishing]\n",
        "",
        "waits for no other child of the site",
    ),
    (
        "events.bicep",
        "var calls = ['Microsoft.Communication.IncomingCall']",
        "var calls = []",
        "includedEventTypes",
    ),
    ("events.bicep", "  'Microsoft.Communication.CallEnded'\n", "", "includedEventTypes"),
    (
        "main.bicep",
        "    databaseEndpoint\n    databaseSecret\n",
        "    keptDatabase\n    databaseEndpoint\n    databaseSecret\n",
        "app: depends on keptDatabase by a reference already",
    ),
    (
        "modules/private-endpoint.bicep",
        "dependsOn: [link]",
        "dependsOn: [link, endpoint]",
        "records: depends on endpoint by a reference already",
    ),
    (
        "main.bicep",
        "    virtualNetworkId: virtualNetworkId\n",
        "    virtualNetworkId: network!.outputs.id\n",
        "blobEndpoint: reads network!.outputs whether or not it is there",
    ),
    (
        "main.bicep",
        "vnetEnabled ? network!.outputs.id : ''",
        "network!.outputs.id",
        "virtualNetworkId: reads network!.outputs whether or not it is there",
    ),
    (
        "events.bicep",
        "deadLetters ? topic.identity.principalId : ''",
        "topic.identity.principalId",
        "deadLetterAccess: reads topic.identity whether or not it is there",
    ),
    ("events.bicep", "endpointType: 'StorageBlob'", "endpointType: ''", "deadLetterDestination"),
]


def test_ours() -> None:
    """Nothing is wrong with our Bicep files, and they are looked at."""
    assert len(list(INFRA.rglob("*.bicep"))) > 10
    assert check(INFRA) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"), BREAKS, ids=[f"{file}: {problem}" for file, _, _, problem in BREAKS]
)
def test_broken(tmp_path: Path, file: str, old: str, new: str, problem: str) -> None:
    """Each rule finds what breaks it."""
    copy = tmp_path / "infra"
    shutil.copytree(INFRA, copy)
    source = (copy / file).read_text()
    assert old in source
    (copy / file).write_text(source.replace(old, new))
    assert any(problem in found for found in check(copy)), check(copy)


FAKE = """#!{python}
import json, sys
print(json.dumps({{"called": sys.argv[1:]}}), file=open({calls!r}, "a"))
said = {said!r}
if sys.argv[1] == "build":
    print("{{}}")
    print(said.get("build", ""), file=sys.stderr)
else:
    print(said.get("lint", ""))
sys.exit({code})
"""


class TestCompiler:
    """`bicep`, where it is installed."""

    @staticmethod
    def _fake(folder: Path, said: dict[str, str], code: int = 0) -> str:
        fake = folder / "bicep"
        calls = str(folder / "calls")
        fake.write_text(FAKE.format(python=sys.executable, calls=calls, said=said, code=code))
        fake.chmod(0o755)
        return str(fake)

    @pytest.mark.parametrize("command", ["build", "lint"])
    def test_a_warning_counts(self, tmp_path: Path, command: str) -> None:
        """A warning is a problem, although the command ends with 0."""
        warning = "main.bicep(1,1) : Warning BCP225: the name is not known"
        fake = self._fake(tmp_path, {command: warning})
        assert set(compile_all(fake, INFRA)) == {warning}

    def test_every_template_is_compiled(self, tmp_path: Path) -> None:
        """Each template of the folder is built and linted; the compiled template itself is no problem."""
        assert compile_all(self._fake(tmp_path, {}), INFRA) == []
        calls = [json.loads(line)["called"] for line in (tmp_path / "calls").read_text().splitlines()]
        called = sorted(f"{call[0]} {Path(call[-1]).name}" for call in calls)
        assert called == ["build events.bicep", "build main.bicep", "lint events.bicep", "lint main.bicep"]

    def test_a_failure_counts(self, tmp_path: Path) -> None:
        """So does a failure that says nothing."""
        assert len(compile_all(self._fake(tmp_path, {}, code=1), INFRA)) == 4

    @pytest.mark.parametrize("installed", [True, False])
    def test_the_command_says_what_it_used(self, tmp_path: Path, installed: bool) -> None:
        """Without the compiler, one line says that a parser stood in for it."""
        if installed:
            self._fake(tmp_path, {})
        done = subprocess.run(
            [sys.executable, "-m", "tools.bicep", "infra"],
            cwd=INFRA.parent,
            env={"PATH": f"{tmp_path}{os.pathsep}/nowhere"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("\n") == (0 if installed else 1)
        assert ("a parser stands in" in done.stdout) is not installed

    def test_linter_warnings_are_errors(self) -> None:
        """The linter's rules are errors, so that an editor shows them as what they are."""
        rules = json.loads((INFRA / "bicepconfig.json").read_text())["analyzers"]["core"]["rules"]
        assert len(rules) > 25
        assert {rule["level"] for rule in rules.values()} == {"error"}
