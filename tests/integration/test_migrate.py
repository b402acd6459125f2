"""`python -m migrate` over the embedded database: in this process, and as the command that it is."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from typer.testing import CliRunner

from common import mongodb
from local.database import EmbeddedDatabase
from migrate.__main__ import BROKE_OFF, DONE, DONE_WITH_LOSSES, INTERRUPTED, WRONG_USE, app
from migrate.adoption import Adoption, AdoptionStore
from migrate.mover import Mover
from models.device import DeviceRegistration, Platform
from models.errors import DatabaseUnavailableError
from registrar.store import DeviceStore

ROOT = Path(__file__).parents[2]
ALICE, BOB, CAROL = (f"8:acs:resource_{name}" for name in ("alice", "bob", "carol"))
TEAMS_USER = "8:orgid:teams-user"
SECRET = "do-not-quote-this-device-token"

_names = (f"move{number}" for number in count())


def info(device: str, token: str, platform: str = "apple") -> dict[str, str]:
    return {"deviceUUID": device, "deviceToken": token, "platform": platform}


@dataclass
class House:
    """A database with the sample's collection in it, and the command that moves it."""

    uri: str
    database: Database[mongodb.Document]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> Collection[mongodb.Document]:
        return self.database["DeviceTokensColl"]

    @property
    def store(self) -> DeviceStore:
        return DeviceStore(self.database["DeviceRegistrations"], mongodb.Timeouts(10.0))

    def user(self, mri: str, *infos: Mapping[str, Any]) -> None:
        """What the sample stores of a user."""
        self.source.replace_one({"_id": mri}, {"deviceInfos": list(infos)}, upsert=True)

    def register(self, user: str, device: str, token: str) -> None:
        """What an app does with this registrar."""
        now = datetime.now(UTC)
        registration = DeviceRegistration(user, device, token, Platform.APPLE, now + timedelta(days=1))
        self.store.register(registration, now, 20)

    def tokens(self, user: str) -> list[str]:
        return [device.device_token for device in self.store.devices_of(user, datetime.now(UTC))]

    def migrate(self, *options: str) -> tuple[int, dict[str, Any]]:
        """Run the command; its exit code and its report."""
        environment = {"MongoDbConnectionString": self.uri, "DbName": self.database.name, **self.environment}
        result = CliRunner().invoke(app, ["--json", *options], env=environment)
        assert SECRET not in result.output
        return result.exit_code, json.loads(result.stdout)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase() as running:
        yield running


@pytest.fixture
def house(server: EmbeddedDatabase) -> Iterator[House]:
    with MongoClient[mongodb.Document](server.uri, serverSelectionTimeoutMS=5_000) as client:
        yield House(server.uri, client[next(_names)])


class TestMove:
    def test_everything(self, house: House) -> None:
        """Every device of every user is taken over, and the source stays as it was."""
        house.user(ALICE, info("a", "token-a"), info("b", "token-b", "android"))
        house.user(BOB, info("c", "token-c", "windows"))
        before = list(house.source.find())
        code, report = house.migrate()
        assert code == DONE
        assert report["finished"] is True
        assert (report["users"], report["devices"], report["takenOver"]) == (2, 3, 3)
        assert (house.tokens(ALICE), house.tokens(BOB)) == (["token-a", "token-b"], ["token-c"])
        assert list(house.source.find()) == before

    def test_life(self, house: House) -> None:
        """It ends after a month, a Teams user's after a day; `--ttl-seconds` changes that."""
        house.user(ALICE, info("a", "token-a"))
        house.user(TEAMS_USER, info("t", "token-t"))
        _, report = house.migrate()
        assert report["shortenedToOneDay"] == 1
        assert self._days(house, ALICE) == 30
        assert self._days(house, TEAMS_USER) == 1
        house.user(BOB, info("b", "token-b"))
        house.migrate("--ttl-seconds", str(7 * 86_400))
        assert self._days(house, BOB) == 7
        assert self._days(house, ALICE) == 30

    def test_skipped(self, house: House) -> None:
        """What cannot be taken over is counted and listed by its reason, and shows in the exit code."""
        house.user(ALICE, info("a", SECRET, "baidu"), info("b", ""), info("c", "token-c"))
        house.user("4:+491234", info("d", SECRET))
        code, report = house.migrate("--details")
        assert code == DONE_WITH_LOSSES
        assert report["skipped"] == {"unknown_platform": 1, "empty_token": 1, "no_owner": 1}
        assert len(report["skippedDevices"]) == 3
        assert ALICE not in json.dumps(report)
        assert house.tokens(ALICE) == ["token-c"]

    def test_shared_token(self, house: House) -> None:
        """A token under two users goes to the one whose document comes last, whatever the batches."""
        for size in ("1", "100"):
            house.source.drop()
            house.database["MigratedDevices"].drop()
            house.database["DeviceRegistrations"].drop()
            house.user(ALICE, info("phone", "shared"), info("other", "alices"))
            house.user(BOB, info("phone", "shared"))
            code, report = house.migrate("--batch-size", size)
            assert code == DONE_WITH_LOSSES
            assert report["skipped"] == {"shared_token": 1}
            assert (house.tokens(ALICE), house.tokens(BOB)) == (["alices"], ["shared"])

    def test_another_server(self, house: House) -> None:
        """The source can be another server, database and collection."""
        with EmbeddedDatabase() as other:
            with MongoClient[mongodb.Document](other.uri) as client:
                client["sample"]["tokens"].insert_one({"_id": ALICE, "deviceInfos": [info("a", "token-a")]})
            house.environment["MigrateSourceConnectionString"] = other.uri
            code, _ = house.migrate("--source-database", "sample", "--source-collection", "tokens")
            assert code == DONE
            assert house.tokens(ALICE) == ["token-a"]

    def test_dry_run(self, house: House) -> None:
        """A dry run says what would be done and changes nothing, not even an index."""
        house.user(ALICE, info("a", "token-a"), info("b", "token-b"))
        house.user(BOB, info("c", "token-c", "adm"))
        house.register(CAROL, "x", "token-b")
        names, documents = house.database.list_collection_names(), house.tokens(ALICE)
        code, report = house.migrate("--dry-run")
        assert code == DONE_WITH_LOSSES
        assert report["dryRun"] is True
        assert report["takenOver"] == 1
        assert report["skipped"] == {"unknown_platform": 1, "token_registered_since": 1}
        assert (sorted(house.database.list_collection_names()), house.tokens(ALICE)) == (
            sorted(names),
            documents,
        )

    @staticmethod
    def _days(house: House, user: str) -> int:
        (device,) = house.store.devices_of(user, datetime.now(UTC))
        return round((device.expires_at - datetime.now(UTC)) / timedelta(days=1))


class TestAgain:
    def test_nothing_new(self, house: House) -> None:
        """A second run finds everything done and lengthens no life."""
        house.user(ALICE, info("a", "token-a"))
        house.migrate()
        before = list(house.database["DeviceRegistrations"].find())
        code, report = house.migrate()
        assert code == DONE
        assert (report["takenOver"], report["alreadyTakenOver"]) == (0, 1)
        assert list(house.database["DeviceRegistrations"].find()) == before

    def test_who_signed_out_stays_signed_out(self, house: House) -> None:
        """A phone that was unregistered here after the first run does not ring after the second."""
        house.user(ALICE, info("a", "token-a"))
        house.migrate()
        house.store.delete(ALICE, "a", datetime.now(UTC))
        house.migrate()
        assert house.tokens(ALICE) == []

    def test_who_signed_in_and_out_stays_out(self, house: House) -> None:
        """A token that had moved by the first run is not given back when its new user signs out."""
        house.user(ALICE, info("a", "token-a"))
        house.register(BOB, "a", "token-a")
        _, report = house.migrate()
        assert report["skipped"] == {"token_registered_since": 1}
        house.store.delete(BOB, "a", datetime.now(UTC))
        house.migrate()
        assert house.tokens(ALICE) == []

    def test_what_apps_registered_stays(self, house: House) -> None:
        """Registrations made here before a run keep user, token and end."""
        house.user(ALICE, info("a", "token-a"), info("rotated", "old"))
        house.register(ALICE, "a", "token-a")
        house.register(ALICE, "rotated", "new")
        before = list(house.database["DeviceRegistrations"].find())
        code, report = house.migrate()
        assert code == DONE
        assert report["skipped"] == {"token_registered_since": 1, "device_registered_since": 1}
        assert list(house.database["DeviceRegistrations"].find()) == before

    def test_the_source_goes_on(self, house: House) -> None:
        """What phones do with the sample between two runs is followed: new, rotated and moved tokens."""
        house.user(ALICE, info("a", "first"), info("b", "stays"))
        house.migrate()
        house.user(ALICE, info("a", "second"), info("b", "stays"))
        house.user(BOB, info("c", "new"))
        _, report = house.migrate()
        assert (report["takenOver"], report["alreadyTakenOver"]) == (2, 1)
        assert (house.tokens(ALICE), house.tokens(BOB)) == (["second", "stays"], ["new"])


class Stops(Exception):  # noqa: N818 - it stands in for a killed process
    """The run ends here."""


class TestBrokenOff:
    @pytest.mark.parametrize(
        ("error", "code"), [(KeyboardInterrupt, INTERRUPTED), (DatabaseUnavailableError, BROKE_OFF)]
    )
    def test_goes_on(
        self, house: House, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], code: int
    ) -> None:
        """A run that breaks off says how far it has come; the next one does the rest."""
        for number in range(6):
            house.user(f"8:acs:resource_{number}", info(f"d{number}", f"token-{number}"))
        with monkeypatch.context() as patched:
            patched.setattr(Mover, "_move", _stops_after(2, error))
            ended, report = house.migrate("--batch-size", "2")
        assert ended == code
        assert (report["finished"], report["takenOver"]) == (False, 4)
        assert "Run it again" in report["error"]
        code, report = house.migrate("--batch-size", "2")
        assert code == DONE
        assert (report["takenOver"], report["alreadyTakenOver"]) == (2, 4)

    def test_died_between_adopting_and_remembering(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was adopted but not remembered is adopted again, to the same end."""
        house.user(ALICE, info("a", "token-a"))

        def dies(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr("migrate.memory.Memory.remember", dies)
            assert house.migrate()[0] == INTERRUPTED
        assert house.tokens(ALICE) == ["token-a"]
        assert house.migrate()[1]["takenOver"] == 1
        assert house.tokens(ALICE) == ["token-a"]

    def test_apps_register_meanwhile(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """Phones that move or rotate their tokens while the command runs end where their apps put them."""
        numbers = range(12)
        for number in numbers:
            house.user(f"8:acs:resource_{number}", info(f"d{number}", f"old-{number}"))
        adopt = AdoptionStore.adopt

        def adopt_in_a_crowd(
            store: AdoptionStore, registration: DeviceRegistration, now: datetime
        ) -> Adoption:
            number = int(registration.device_uuid[1:])
            if number % 3 == 0:
                house.register(BOB, registration.device_uuid, registration.device_token)
            outcome = adopt(store, registration, now)
            if number % 3 == 1:
                house.register(registration.acs_mri, registration.device_uuid, f"new-{number}")
            return outcome

        monkeypatch.setattr(AdoptionStore, "adopt", adopt_in_a_crowd)
        house.migrate("--batch-size", "3")
        for number in numbers:
            expected = {0: [], 1: [f"new-{number}"], 2: [f"old-{number}"]}[number % 3]
            assert house.tokens(f"8:acs:resource_{number}") == expected
        assert len(house.tokens(BOB)) == 4


def _stops_after(batches: int, error: type[BaseException]) -> Callable[..., None]:
    move = Mover._move
    left = iter(range(batches))

    def stops(mover: Mover, *arguments: Any) -> None:
        if next(left, None) is None:
            raise error("The database is gone.")
        move(mover, *arguments)

    return stops


def run(*options: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, in which every warning is an error."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("Mongo", "Migrate", "DbN"))
    }
    command: Sequence[str] = [sys.executable, "-W", "error", "-m", "migrate", *options]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestCommand:
    def test_for_a_person(self, house: House) -> None:
        """The report is a table; no token and no MRI is in it, and no bar where nobody looks."""
        house.user(ALICE, info("a", SECRET), info("b", SECRET, "baidu"))
        environment = {"MongoDbConnectionString": house.uri, "DbName": house.database.name}
        done = run("--dry-run", "--details", environment=environment)
        assert done.returncode == DONE_WITH_LOSSES, done.stderr
        assert "would be taken over" in done.stdout
        assert "no Calling SDK takes pushes on that platform" in done.stdout
        assert "Nothing was changed" in done.stdout
        assert done.stderr == ""
        assert SECRET not in done.stdout
        assert ALICE not in done.stdout

    def test_settings_are_missing(self) -> None:
        """Without the settings it says which one to set."""
        done = run(environment={"MongoDbConnectionString": "mongodb://127.0.0.1:1/"})
        assert done.returncode == WRONG_USE
        assert "DbName" in done.stderr

    @pytest.mark.parametrize("name", ["MongoDbConnectionString", "MigrateSourceConnectionString"])
    def test_unusable_connection_string(self, name: str) -> None:
        """A connection string that cannot be used is named, not quoted."""
        environment = {"MongoDbConnectionString": "mongodb://127.0.0.1:1/", "DbName": "calling"}
        done = run(environment={**environment, name: f"mongodb://user:{SECRET}@:x/"})
        assert done.returncode == WRONG_USE
        assert name in done.stderr
        assert SECRET not in done.stdout + done.stderr

    @pytest.mark.parametrize(
        "options", [("--ttl-seconds", "299"), ("--ttl-seconds", "15552001"), ("--source-uri", "x")]
    )
    def test_wrong_options(self, options: tuple[str, ...]) -> None:
        """A life out of range, or a connection string on the command line, is refused."""
        assert CliRunner().invoke(app, options).exit_code == WRONG_USE

    def test_source_is_down(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """A source that cannot be reached breaks the run off and is not named by its URI."""
        monkeypatch.setattr("migrate.__main__._TIMEOUT_SECONDS", 0.3)
        house.environment["MigrateSourceConnectionString"] = f"mongodb://user:{SECRET}@127.0.0.1:1/"
        code, report = house.migrate()
        assert code == BROKE_OFF
        assert report["error"].startswith("The source cannot be read (ServerSelectionTimeoutError).")
