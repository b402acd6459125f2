"""The rules that the Bicep files are held to: kept by ours, and red where one is broken."""

import shutil
from pathlib import Path

import pytest

from tools.bicep import check

INFRA = Path(__file__).parents[2] / "infra"

BREAKS = [
    ("main.bicep", "param settings object = {}", "param settings object = {", "main.bicep:"),
    ("main.bicep", "    email: alertEmail\n", "", "lacks the parameter email"),
    ("main.bicep", "    overrides: settings\n", "    overrides: settings\n    x: 1\n", "has no parameter x"),
    ("main.bicep", "app.outputs.hostName", "app.outputs.host", "has no output host"),
    ("main.bicep", "modules/identity.bicep", "modules/me.bicep", "modules/me.bicep does not exist"),
    ("main.bicep", "    email: alertEmail\n", "    email: ''\n", "alertEmail is used nowhere"),
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
    ("modules/alerts.bicep", "@2023-12-01'", "@2024-01-01-preview'", "is a preview"),
    ("modules/storage.bicep", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true", "allowSharedKey"),
    ("modules/storage.bicep", "publicAccess: 'None'", "publicAccess: 'Blob'", "publicAccess"),
    ("modules/storage.bicep", "  scope: account\n", "", "the role is on the whole scope"),
    ("modules/key-vault.bicep", "4633458b", "00000000", "is no role that this project gives"),
    ("modules/key-vault.bicep", "enableRbacAuthorization: true", "accessPolicies: []", "enableRbac"),
    ("modules/function-app.bicep", "httpsOnly: true", "httpsOnly: false", "httpsOnly"),
    ("modules/function-app.bicep", "version: '3.13'", "version: '3.12'", "runtime.version"),
    ("modules/notification-hub-access.bicep", "['Send']", "['Send', 'Manage']", "rights"),
    ("events.bicep", "['Microsoft.Communication.IncomingCall']", "[]", "includedEventTypes"),
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
