"""`doctor` and `migrate` over a database that takes tokens: they sign in as the developer who is signed in to
Azure on this machine."""

import json
import logging
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from typer.testing import CliRunner

from doctor.checks.findings import Check, Status
from doctor.cli import app as doctor
from doctor.commands.check import run_checks
from doctor.probes.app_settings import AppSettings
from local.database import EmbeddedDatabase
from local.hub.config import DEVELOPMENT_HUB
from local.hub.running_hub import RunningHub
from migrate.cli import DONE, WRONG_USE
from migrate.cli import app as migrate
from tests.faults import DATABASE_RESOURCE, IdentityEndpoint, OidcProxy, port_of
from tests.rig import Instance, new_user

DEVELOPER = "0c5fd6f1-0000-4000-8000-0000000000dd"
"""Stands for the developer: the identity that their token names."""

_AZ = """#!{python}
import json, sys, time
from pathlib import Path
folder = Path({folder!r})
with (folder / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
slow = folder / "seconds"
time.sleep(float(slow.read_text()) if slow.exists() else 0)
answer = folder / "token.json"
if not answer.exists():
    sys.exit("ERROR: Please run 'az login' to setup account.")
print(answer.read_text())
"""


@dataclass
class SignedInDeveloper:
    """A protected database, and an `az` that hands out a token of the developer for it."""

    folder: Path
    database: OidcProxy
    hub: RunningHub
    near: Instance
    """Reaches the same data without a sign-in."""

    @property
    def uri(self) -> str:
        """As the app has it, with the app's own identity as its user."""
        return self.database.uri("0c5fd6f1-0000-4000-8000-0000000000aa")

    def values(self) -> dict[str, str]:
        """The app's settings."""
        return {
            "ANHHubConnectionString": DEVELOPMENT_HUB.connection_string(),
            "ANHHubName": DEVELOPMENT_HUB.hub_name,
            "ANHHubUrl": self.hub.messages_url,
            "MongoDbConnectionString": self.uri,
            "DbName": self.near.database_name,
        }

    def sign_out(self) -> None:
        """As `az logout`."""
        (self.folder / "token.json").unlink()

    def take(self, seconds: float) -> None:
        """Have `az` answer late."""
        (self.folder / "seconds").write_text(str(seconds))

    def calls(self) -> list[str]:
        """The arguments of each call of `az`."""
        return (self.folder / "calls").read_text().splitlines()

    def checks(self) -> dict[tuple[str, str], Check]:
        """What `check` says, by area and name."""
        found = run_checks(AppSettings(self.values(), {}, None)).checks
        return {(check.area, check.name): check for check in found}

    def ring(self, user: str) -> tuple[int, str]:
        """The exit code of `ring`, and what it prints."""
        settings = self.folder / "settings.json"
        settings.write_text(json.dumps({"IsEncrypted": False, "Values": self.values()}))
        result = CliRunner().invoke(doctor, ["ring", user, "--settings", str(settings), "--yes"])
        return result.exit_code, result.output

    def migrate(self) -> tuple[int, str]:
        """The exit code of `migrate`, and what it prints."""
        environment = {"MongoDbConnectionString": self.uri, "DbName": self.near.database_name}
        result = CliRunner().invoke(migrate, ["--json"], env=environment)
        return result.exit_code, result.output


@pytest.fixture
def developer(
    hub: RunningHub,
    database: EmbeddedDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[SignedInDeveloper]:
    """Signed in to Azure, and a user of the database; the token is written down nowhere."""
    command = tmp_path / "az"
    command.write_text(_AZ.format(python=sys.executable, folder=str(tmp_path)))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    # By default the library also asks the metadata service of virtual machines, which is no loopback address.
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    caplog.set_level(logging.DEBUG)
    with (
        IdentityEndpoint(DEVELOPER) as endpoint,
        OidcProxy(port_of(database.uri), endpoint) as protected,
        Instance(hub, database.uri, database_name=f"test-{uuid.uuid4().hex[:12]}") as near,
    ):
        token = endpoint.token(endpoint.hand_out(DEVELOPER))
        assert token
        answer = {"accessToken": token.text, "expires_on": int(token.expires_at), "tokenType": "Bearer"}
        (tmp_path / "token.json").write_text(json.dumps(answer))
        yield SignedInDeveloper(tmp_path, protected, hub, near)
        assert [secret for secret in endpoint.secrets() if secret in caplog.text] == []


def check_that_one_token_was_asked_for(developer: SignedInDeveloper) -> None:
    (call,) = developer.calls()
    assert call.endswith(f"--resource {DATABASE_RESOURCE}")


class TestSignedIn:
    def test_check(self, developer: SignedInDeveloper) -> None:
        """The way of the sign-in is told, and that it is the developer's own and not the app's."""
        found = developer.checks()
        assert found["database", "credentials"].status is Status.PASS
        assert "your own sign-in to Azure" in found["database", "credentials"].detail
        assert found["database", "right to write"].status is Status.PASS
        of_the_app = found["database", "the app's identity"]
        assert of_the_app.status is Status.CANNOT_TELL
        assert "/api/health/ready" in of_the_app.remedy
        check_that_one_token_was_asked_for(developer)

    def test_slow_command(self, developer: SignedInDeveloper) -> None:
        """An `az` that takes longer than the library would wait by itself, which is 10 s, is waited for."""
        developer.take(10.3)
        assert developer.checks()["database", "credentials"].status is Status.PASS
        check_that_one_token_was_asked_for(developer)

    def test_ring(self, developer: SignedInDeveloper) -> None:
        """The call that the command makes uses the developer's token, not one of the app's identity."""
        (device,) = developer.near.register(user := new_user())
        exit_code, printed = developer.ring(user)
        assert exit_code == 0, printed
        assert developer.near.rings(device) == 1
        check_that_one_token_was_asked_for(developer)

    def test_migrate(self, developer: SignedInDeveloper) -> None:
        """Source and target are read and written with one token."""
        user = new_user()
        with MongoClient[dict[str, Any]](developer.near.uri) as client:
            client[developer.near.database_name]["DeviceTokensColl"].insert_one(
                {
                    "_id": user,
                    "deviceInfos": [{"deviceUUID": "d", "deviceToken": "token-1", "platform": "android"}],
                }
            )
        exit_code, printed = developer.migrate()
        assert exit_code == DONE, printed
        assert [device.device_token for device in developer.near.devices_of(user)] == ["token-1"]
        check_that_one_token_was_asked_for(developer)


class TestNotSignedIn:
    def test_check(self, developer: SignedInDeveloper) -> None:
        """The command to sign in is named; everything else is looked at all the same."""
        developer.sign_out()
        found = developer.checks()
        failed = [check for check in found.values() if check.status is Status.FAIL]
        assert [(check.area, check.name) for check in failed] == [("database", "credentials")]
        assert "no sign-in to Azure" in failed[0].detail
        assert "az login" in failed[0].remedy
        assert developer.database.sign_ins == []

    @pytest.mark.parametrize("command", [SignedInDeveloper.migrate, lambda it: it.ring(new_user())])
    def test_command(self, developer: SignedInDeveloper, command: Any) -> None:
        """It ends with that command, and without a traceback."""
        developer.sign_out()
        exit_code, printed = command(developer)
        assert exit_code != 0
        assert "az login" in printed
        assert "Traceback" not in printed


class TestNoUser:
    def test_check(self, developer: SignedInDeveloper) -> None:
        """That the developer is signed in and no user of the cluster is told."""
        developer.database.remove_user(DEVELOPER)
        (failed,) = [check for check in developer.checks().values() if check.status is Status.FAIL]
        assert failed.name == "credentials"
        assert "user of the cluster" in failed.remedy

    def test_migrate(self, developer: SignedInDeveloper) -> None:
        """The same in the report of a migration."""
        developer.database.remove_user(DEVELOPER)
        exit_code, printed = developer.migrate()
        assert exit_code == WRONG_USE, printed
        assert "user of the cluster" in printed
