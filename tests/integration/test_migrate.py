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
from migrate import patience
from migrate.adoption import Adoption, AdoptionStore
from migrate.cli import BROKE_OFF, DONE, DONE_WITH_LOSSES, INTERRUPTED, WRONG_USE, app
from migrate.mover import Mover
from models.device import DeviceRegistration
from models.errors import DatabaseUnavailableError
from models.identity import Identity
from models.platform import Platform
from registrar.store import DeviceStore
from tests.faults import MongoProxy, mongo_uri, port_of
from tests.rig import at_once

ROOT = Path(__file__).parents[2]
ALICE, BOB, CAROL = (f"8:acs:resource_{name}" for name in ("alice", "bob", "carol"))
TEAMS_USER = "8:orgid:teams-user"
SECRET = "do-not-quote-this-device-token"
CHANNEL = "https://a.notify.windows.com/?token=c"

VAULT_REFERENCE = "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/mongo/)"

_names = (f"move{number}" for number in count())


def info(device: str, token: str, platform: str = "android") -> dict[str, str]:
    return {"deviceUUID": device, "deviceToken": token, "platform": platform}


@dataclass
class Sample:
    """A database with the C# sample's collection, and the command that takes it over."""

    uri: str
    database: Database[mongodb.Document]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> Collection[mongodb.Document]:
        return self.database["DeviceTokensColl"]

    @property
    def store(self) -> DeviceStore:
        return DeviceStore(self.database["DeviceRegistrations"], mongodb.Work(mongodb.Timeouts(10.0)))

    def user(self, mri: str, *infos: Mapping[str, Any]) -> None:
        """What the sample stores of a user."""
        self.source.replace_one({"_id": mri}, {"deviceInfos": list(infos)}, upsert=True)

    def register(self, user: str, device: str, token: str) -> None:
        """What an app does with this registrar."""
        now = datetime.now(UTC)
        registration = DeviceRegistration(
            Identity.parse(user), device, token, Platform.FCM_V1, now + timedelta(days=1)
        )
        self.store.register(registration, now, 20)

    def tokens(self, user: str) -> list[str]:
        return [
            device.device_token for device in self.store.devices_of(Identity.parse(user), datetime.now(UTC))
        ]

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
def sample(server: EmbeddedDatabase) -> Iterator[Sample]:
    with MongoClient[mongodb.Document](server.uri, serverSelectionTimeoutMS=5_000) as client:
        yield Sample(server.uri, client[next(_names)])


class TestMove:
    def test_everything(self, sample: Sample) -> None:
        """Every device of every user is taken over, and the source stays as it was."""
        sample.user(ALICE, info("a", "token-a"), info("b", "token-b", "android"))
        sample.user(BOB, info("c", CHANNEL, "windows"))
        before = list(sample.source.find())
        code, report = sample.migrate()
        assert code == DONE
        assert report["finished"] is True
        assert (report["users"], report["devices"], report["takenOver"]) == (2, 3, 3)
        assert (sample.tokens(ALICE), sample.tokens(BOB)) == (["token-a", "token-b"], [CHANNEL])
        assert list(sample.source.find()) == before

    def test_life(self, sample: Sample) -> None:
        """It ends after a month, a Teams user's after a day; `--ttl-seconds` changes that."""
        sample.user(ALICE, info("a", "token-a"))
        sample.user(TEAMS_USER, info("t", "token-t"))
        _, report = sample.migrate()
        assert report["shortenedToOneDay"] == 1
        assert self._days(sample, ALICE) == 30
        assert self._days(sample, TEAMS_USER) == 1
        sample.user(BOB, info("b", "token-b"))
        sample.migrate("--ttl-seconds", str(7 * 86_400))
        assert self._days(sample, BOB) == 7
        assert self._days(sample, ALICE) == 30

    def test_skipped(self, sample: Sample) -> None:
        """What cannot be taken over is counted and listed by its reason, and shows in the exit code."""
        sample.user(ALICE, info("a", SECRET, "baidu"), info("b", ""), info("c", "token-c"))
        sample.user("4:+491234", info("d", SECRET))
        code, report = sample.migrate("--details")
        assert code == DONE_WITH_LOSSES
        assert report["skipped"] == {"unknown_platform": 1, "empty_token": 1, "no_owner": 1}
        assert len(report["skippedDevices"]) == 3
        assert ALICE not in json.dumps(report)
        assert sample.tokens(ALICE) == ["token-c"]

    def test_shared_token(self, sample: Sample) -> None:
        """A token under two users goes to the one whose document comes last, in one batch and in several."""
        for size in ("1", "100"):
            sample.source.drop()
            sample.database["MigratedDevices"].drop()
            sample.database["DeviceRegistrations"].drop()
            sample.user(ALICE, info("phone", "shared"), info("other", "alices"))
            sample.user(BOB, info("phone", "shared"))
            code, report = sample.migrate("--batch-size", size)
            assert code == DONE_WITH_LOSSES
            assert report["skipped"] == {"shared_token": 1}
            assert (sample.tokens(ALICE), sample.tokens(BOB)) == (["alices"], ["shared"])

    def test_another_server(self, sample: Sample) -> None:
        """The source can be another server, database and collection."""
        with EmbeddedDatabase() as other:
            with MongoClient[mongodb.Document](other.uri) as client:
                client["sample"]["tokens"].insert_one({"_id": ALICE, "deviceInfos": [info("a", "token-a")]})
            sample.environment["MigrateSourceConnectionString"] = other.uri
            code, _ = sample.migrate("--source-database", "sample", "--source-collection", "tokens")
            assert code == DONE
            assert sample.tokens(ALICE) == ["token-a"]

    def test_dry_run(self, sample: Sample) -> None:
        """A dry run says what would be done and changes nothing, not even an index."""
        sample.user(ALICE, info("a", "token-a"), info("b", "token-b"))
        sample.user(BOB, info("c", "token-c", "adm"))
        sample.register(CAROL, "x", "token-b")
        names, documents = sample.database.list_collection_names(), sample.tokens(ALICE)
        code, report = sample.migrate("--dry-run")
        assert code == DONE_WITH_LOSSES
        assert report["dryRun"] is True
        assert report["takenOver"] == 1
        assert report["skipped"] == {"unknown_platform": 1, "token_registered_since": 1}
        assert (sorted(sample.database.list_collection_names()), sample.tokens(ALICE)) == (
            sorted(names),
            documents,
        )

    @staticmethod
    def _days(sample: Sample, user: str) -> int:
        (device,) = sample.store.devices_of(Identity.parse(user), datetime.now(UTC))
        return round((device.expires_at - datetime.now(UTC)) / timedelta(days=1))


class TestAgain:
    def test_nothing_new(self, sample: Sample) -> None:
        """A second run finds everything done and lengthens no life."""
        sample.user(ALICE, info("a", "token-a"))
        sample.migrate()
        before = list(sample.database["DeviceRegistrations"].find())
        code, report = sample.migrate()
        assert code == DONE
        assert (report["takenOver"], report["alreadyTakenOver"]) == (0, 1)
        assert list(sample.database["DeviceRegistrations"].find()) == before

    def test_signed_out_before_the_second_run(self, sample: Sample) -> None:
        """A phone that was unregistered here after the first run does not ring after the second."""
        sample.user(ALICE, info("a", "token-a"))
        sample.migrate()
        sample.store.delete(Identity.parse(ALICE), "a", datetime.now(UTC))
        sample.migrate()
        assert sample.tokens(ALICE) == []

    def test_moved_token_is_not_given_back(self, sample: Sample) -> None:
        """A token that had moved by the first run is not given back when its new user signs out."""
        sample.user(ALICE, info("a", "token-a"))
        sample.register(BOB, "a", "token-a")
        _, report = sample.migrate()
        assert report["skipped"] == {"token_registered_since": 1}
        sample.store.delete(Identity.parse(BOB), "a", datetime.now(UTC))
        sample.migrate()
        assert sample.tokens(ALICE) == []

    def test_what_apps_registered_stays(self, sample: Sample) -> None:
        """Registrations made here before a run keep user, token and end."""
        sample.user(ALICE, info("a", "token-a"), info("rotated", "old"))
        sample.register(ALICE, "a", "token-a")
        sample.register(ALICE, "rotated", "new")
        before = list(sample.database["DeviceRegistrations"].find())
        code, report = sample.migrate()
        assert code == DONE
        assert report["skipped"] == {"token_registered_since": 1, "device_registered_since": 1}
        assert list(sample.database["DeviceRegistrations"].find()) == before

    def test_two_runs_at_once(self, sample: Sample) -> None:
        """What another run has adopted, or is adopting, no app has registered; the later one wins."""
        work = mongodb.Work(mongodb.Timeouts(10.0))
        adoptions = AdoptionStore(sample.database["DeviceRegistrations"], work)
        now = datetime.now(UTC)
        outcomes = []
        for user, seconds in ((ALICE, 5), (ALICE, 0), (BOB, 1)):
            registration = DeviceRegistration(
                Identity.parse(user), "a", "token-a", Platform.FCM_V1, now + timedelta(days=1)
            )
            moment = now + timedelta(seconds=seconds)
            outcomes += [adoptions.foresee(registration, moment), adoptions.adopt(registration, moment)]
        assert outcomes == [Adoption.TAKEN_OVER] * 6
        assert (sample.tokens(ALICE), sample.tokens(BOB)) == ([], ["token-a"])
        sample.register(CAROL, "a", "token-a")
        assert adoptions.adopt(registration, now + timedelta(seconds=9)) is Adoption.REGISTERED_SINCE
        assert sample.tokens(CAROL) == ["token-a"]

    def test_many_adoptions_at_once(self, sample: Sample) -> None:
        """Adoptions of one token that race all take it over, whichever is written first."""
        work = mongodb.Work(mongodb.Timeouts(10.0))
        adoptions = AdoptionStore(sample.database["DeviceRegistrations"], work)
        now = datetime.now(UTC)

        def adopt(number: int) -> Adoption:
            token = f"token-{number // 8}"
            registration = DeviceRegistration(
                Identity.parse(ALICE), token, token, Platform.FCM_V1, now + timedelta(days=1)
            )
            return adoptions.adopt(registration, now - timedelta(milliseconds=number))

        assert set(at_once(adopt, list(range(64)))) == {Adoption.TAKEN_OVER}

    def test_the_source_goes_on(self, sample: Sample) -> None:
        """What phones do with the sample between two runs is followed: new, rotated and moved tokens."""
        sample.user(ALICE, info("a", "first"), info("b", "stays"))
        sample.migrate()
        sample.user(ALICE, info("a", "second"), info("b", "stays"))
        sample.user(BOB, info("c", "new"))
        _, report = sample.migrate()
        assert (report["takenOver"], report["alreadyTakenOver"]) == (2, 1)
        assert (sample.tokens(ALICE), sample.tokens(BOB)) == (["second", "stays"], ["new"])


class Stops(Exception):  # noqa: N818 - it stands in for a killed process
    """The run ends here."""


class TestBrokenOff:
    @pytest.mark.parametrize(
        ("error", "code"), [(KeyboardInterrupt, INTERRUPTED), (DatabaseUnavailableError, BROKE_OFF)]
    )
    def test_goes_on(
        self, sample: Sample, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], code: int
    ) -> None:
        """A run that breaks off says how far it has come; the next one does the rest."""
        for number in range(6):
            sample.user(f"8:acs:resource_{number}", info(f"d{number}", f"token-{number}"))
        with monkeypatch.context() as patched:
            patched.setattr(Mover, "_move", _stops_after(2, error))
            ended, report = sample.migrate("--batch-size", "2")
        assert ended == code
        assert (report["finished"], report["takenOver"]) == (False, 4)
        assert "Run it again" in report["error"]
        code, report = sample.migrate("--batch-size", "2")
        assert code == DONE
        assert (report["takenOver"], report["alreadyTakenOver"]) == (2, 4)

    def test_died_between_adopting_and_remembering(
        self, sample: Sample, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was adopted but not remembered is adopted again, to the same end."""
        sample.user(ALICE, info("a", "token-a"))

        def dies(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr("migrate.earlier_runs.EarlierRuns.record", dies)
            assert sample.migrate()[0] == INTERRUPTED
        assert sample.tokens(ALICE) == ["token-a"]
        assert sample.migrate()[1]["takenOver"] == 1
        assert sample.tokens(ALICE) == ["token-a"]

    def test_apps_register_meanwhile(self, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
        """Phones that move or rotate their tokens while the command runs end where their apps put them."""
        numbers = range(12)
        for number in numbers:
            sample.user(f"8:acs:resource_{number}", info(f"d{number}", f"old-{number}"))
        adopt = AdoptionStore.adopt

        def adopt_in_a_crowd(
            store: AdoptionStore, registration: DeviceRegistration, now: datetime
        ) -> Adoption:
            number = int(registration.device_uuid[1:])
            if number % 3 == 0:
                sample.register(BOB, registration.device_uuid, registration.device_token)
            outcome = adopt(store, registration, now)
            if number % 3 == 1:
                sample.register(registration.acs_mri, registration.device_uuid, f"new-{number}")
            return outcome

        monkeypatch.setattr(AdoptionStore, "adopt", adopt_in_a_crowd)
        sample.migrate("--batch-size", "3")
        for number in numbers:
            expected = {0: [], 1: [f"new-{number}"], 2: [f"old-{number}"]}[number % 3]
            assert sample.tokens(f"8:acs:resource_{number}") == expected
        assert len(sample.tokens(BOB)) == 4


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


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between tries, a hundred times shorter."""
    monkeypatch.setattr(patience, "PAUSES_SECONDS", (0.005,) * 8)


@pytest.fixture
def throttling(sample: Sample) -> Iterator[MongoProxy]:
    """A proxy before the database, which refuses commands as Azure Cosmos DB (RU) does."""
    with MongoProxy(port_of(sample.uri)) as proxy:
        sample.uri = mongo_uri(proxy.port)
        yield proxy


def throttle(
    proxy: MongoProxy, command: str, *, collection: str | None = None, nth: int = 1, times: int | None = 1
) -> None:
    message = "Error=16500, RetryAfterMs=7, Details='Request rate is large'"
    proxy.answer_error(command, 16500, message=message, collection=collection, nth=nth, times=times)


@pytest.mark.usefixtures("short_pauses")
class TestThrottled:
    def test_now_and_then(self, sample: Sample, throttling: MongoProxy) -> None:
        """Reads and writes that are refused now and then are repeated, and the run ends."""
        for number in range(30):
            sample.user(f"8:acs:resource_{number:02}", info(f"d{number}", f"token-{number}"))
        throttle(throttling, "find", collection="DeviceTokensColl")
        for nth in (2, 9, 20, 21, 22):
            throttle(throttling, "update", collection="DeviceRegistrations", nth=nth)
        throttle(throttling, "insert", collection="MigratedDevices", nth=2)
        throttle(throttling, "find", collection="MigratedDevices", nth=3)
        code, report = sample.migrate("--batch-size", "7")
        assert code == DONE, report
        assert (report["users"], report["takenOver"]) == (30, 30)

    def test_while_reading(self, sample: Sample, throttling: MongoProxy) -> None:
        """A source that refuses in the middle is read on from there: each document once."""
        sample.source.insert_many(
            {"_id": f"8:acs:resource_{number:04}", "deviceInfos": [info("d", f"token-{number}")]}
            for number in range(1_200)
        )
        # Once in the survey, and once in the move: the third of all readings on, or the sixth if one starts
        # anew.
        for nth in (1, 3, 6):
            throttle(throttling, "getMore", nth=nth)
        code, report = sample.migrate("--dry-run")
        assert code == DONE, report
        assert (report["users"], report["takenOver"]) == (1_200, 1_200)

    def test_for_good(self, sample: Sample, throttling: MongoProxy) -> None:
        """A database that refuses for good ends the run; what was done counts, and the next run does the
        rest."""
        for number in range(6):
            sample.user(f"8:acs:resource_{number}", info(f"d{number}", f"token-{number}"))
        throttle(throttling, "update", collection="DeviceRegistrations", nth=4, times=None)
        code, report = sample.migrate()
        assert code == BROKE_OFF
        assert 0 < report["takenOver"] < 6
        assert report["users"] == report["takenOver"]
        taken_over = report["takenOver"]
        throttling.restore()
        code, report = sample.migrate()
        assert code == DONE
        assert (report["takenOver"], report["alreadyTakenOver"]) == (6 - taken_over, taken_over)

    @pytest.mark.parametrize(
        ("code", "message", "says"),
        [(13, "not authorized", "lacks a right"), (8000, "bad auth", "refuses the user name")],
    )
    def test_refused(
        self, sample: Sample, throttling: MongoProxy, code: int, message: str, says: str
    ) -> None:
        """What waiting does not change ends the run at once."""
        throttling.answer_error("find", code, message=message, collection="DeviceTokensColl", times=None)
        ended, report = sample.migrate()
        assert ended == WRONG_USE
        assert says in report["error"]


class TestEmptySource:
    def test_empty(self, sample: Sample) -> None:
        """A source without users is an error that names what there is instead."""
        sample.database["DeviceTokens"].insert_one({"_id": ALICE})
        code, report = sample.migrate("--details")
        assert code == WRONG_USE
        assert report["finished"] is False
        assert "'DeviceTokensColl'" in report["error"]
        assert "'DeviceTokens'" in report["error"]

    def test_misspelled_database(self, sample: Sample) -> None:
        """So is a database that is not there; it is not made by the look."""
        sample.user(ALICE, info("a", "token-a"))
        code, report = sample.migrate("--source-database", "smaple")
        assert code == WRONG_USE
        assert f"'{sample.database.name}'" in report["error"]
        assert "smaple" not in sample.database.client.list_database_names()


class TestCommand:
    def test_for_a_person(self, sample: Sample) -> None:
        """The report is a table without tokens and MRIs; a pipe gets no progress bar."""
        sample.user(ALICE, info("a", SECRET), info("b", SECRET, "baidu"))
        environment = {"MongoDbConnectionString": sample.uri, "DbName": sample.database.name}
        done = run("--dry-run", "--details", environment=environment)
        assert done.returncode == DONE_WITH_LOSSES, done.stderr
        assert "would be taken over" in done.stdout
        assert "no Calling SDK takes pushes on that platform" in done.stdout
        assert "Nothing was changed" in done.stdout
        assert done.stderr == ""
        assert SECRET not in done.stdout
        assert ALICE not in done.stdout

    def test_console_of_windows(self, sample: Sample) -> None:
        """A console or pipe of another code page than UTF-8 is no reason to fail."""
        sample.user(ALICE, info("a", "token", "baidu"))
        environment = {"MongoDbConnectionString": sample.uri, "DbName": sample.database.name}
        windows = {"PYTHONIOENCODING": "cp437", "PYTHONUTF8": "0"}
        done = run("--dry-run", "--details", environment={**environment, **windows})
        assert done.returncode == DONE_WITH_LOSSES, done.stderr
        assert "unknown_platform" in done.stdout
        done = run("--source-database", "\u96fb\u8a71", environment={**environment, **windows})
        assert done.returncode == WRONG_USE, done.stderr
        assert "is empty or missing" in done.stderr

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
        ("name", "environment", "options"),
        [
            ("DbName", {"DbName": "my.calls"}, ()),
            ("DbName", {"DbName": "my calls"}, ("--source-database", "sample")),
            ("--source-database", {}, ("--source-database", "my/calls")),
            ("--source-collection", {}, ("--source-collection", "")),
            ("--source-collection", {}, ("--source-collection", "devices$")),
            ("MongoDbConnectionString", {"MongoDbConnectionString": VAULT_REFERENCE}, ()),
            ("DbName", {"DbName": VAULT_REFERENCE}, ()),
            ("MigrateSourceConnectionString", {"MigrateSourceConnectionString": VAULT_REFERENCE}, ()),
        ],
    )
    def test_unusable_name(self, name: str, environment: dict[str, str], options: tuple[str, ...]) -> None:
        """A name that MongoDB does not take is told by its setting or option; so is a setting that was copied
        from the app as a Key Vault reference."""
        usual = {"MongoDbConnectionString": "mongodb://127.0.0.1:1/", "DbName": "calling"}
        result = CliRunner().invoke(app, ["--json", *options], env={**usual, **environment})
        assert result.exit_code == WRONG_USE, result.output
        error = json.loads(result.stdout)["error"]
        assert error.startswith(f"{name}: ")
        assert ("Key Vault" in error) == (VAULT_REFERENCE in environment.values())

    @pytest.mark.parametrize(
        "options", [("--ttl-seconds", "299"), ("--ttl-seconds", "15552001"), ("--source-uri", "x")]
    )
    def test_wrong_options(self, options: tuple[str, ...]) -> None:
        """A life out of range, or a connection string on the command line, is refused."""
        assert CliRunner().invoke(app, options).exit_code == WRONG_USE

    def test_source_is_down(self, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
        """A source that cannot be reached breaks the run off and is not named by its URI."""
        monkeypatch.setattr("migrate.cli._TIMEOUT_SECONDS", 0.3)
        sample.environment["MigrateSourceConnectionString"] = f"mongodb://user:{SECRET}@127.0.0.1:1/"
        code, report = sample.migrate()
        assert code == BROKE_OFF
        assert report["error"].startswith("The source cannot be read: the database cannot be reached in time")
