"""The doctor and the database: a real one that is stopped, slow, refuses, or lacks its indexes."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from common.mongodb import failure_of
from doctor.checks.clock_checks import check_clock
from doctor.checks.database_checks import check_database
from doctor.checks.findings import Check, Status
from doctor.commands.check import Checks, run_checks
from doctor.probes import database_connection
from doctor.probes.app_settings import AppSettings
from doctor.probes.database_connection import DatabaseTroubleError
from doctor.probes.database_probe import DatabaseProbe, is_cosmos_ru_host
from local.database import EmbeddedDatabase
from local.hub.config import DEVELOPMENT_HUB
from local.hub.running_hub import RunningHub
from push import ledger
from registrar import rate, store
from registrar.document import UnreadableDocument, read
from tests.old_mongodb import old_mongodb

PASS, FAIL, CANNOT_TELL = Status.PASS, Status.FAIL, Status.CANNOT_TELL
TTL, LOOKUP = f"TTL index of {store.COLLECTION_NAME}", f"acsMri index of {store.COLLECTION_NAME}"
SWEEP = f"expiry of {store.COLLECTION_NAME}"
BAD_VALUE = 2
"""What Cosmos DB for MongoDB (RU) answers to a TTL index on anything but `_ts`."""

Document = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedDatabase]:
    """A database that fail points may be set in."""
    with EmbeddedDatabase(test_commands=True) as running:
        yield running


@pytest.fixture
def client(server: EmbeddedDatabase) -> Iterator[MongoClient[Document]]:
    with MongoClient[Document](server.uri) as connected:
        yield connected


@pytest.fixture
def name() -> str:
    """A database that no other test knows."""
    return f"test-{uuid.uuid4().hex[:12]}"


@contextmanager
def failing(client: MongoClient[Document], *commands: str, **how: Any) -> Iterator[None]:
    """Have the server fail some commands."""
    data = {"failCommands": list(commands), **how}
    client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
    try:
        yield
    finally:
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def settings_values(uri: str, name: str) -> dict[str, str]:
    return {
        "ANHHubConnectionString": DEVELOPMENT_HUB.connection_string(),
        "ANHHubName": DEVELOPMENT_HUB.hub_name,
        "MongoDbConnectionString": uri,
        "DbName": name,
    }


def checks(client: Any, name: str, *, create_indexes: bool = False) -> Mapping[str, Check]:
    """What the doctor says of the database, by name."""
    made = check_database(DatabaseProbe(client, name, "mongodb://h/").ask(create_indexes=create_indexes))
    assert all(check.remedy for check in made if check.status is FAIL)
    return {check.name: check for check in made}


def registered(client: MongoClient[Document], name: str, expires: timedelta = timedelta(days=1)) -> None:
    document = {"_id": "1", "acsMri": "8:acs:a", "expiresAt": datetime.now(UTC) + expires}
    client[name][store.COLLECTION_NAME].insert_one(document)


class TestIndexes:
    def test_nothing_stored_yet(self, client: MongoClient[Document], name: str) -> None:
        """Before the first registration there are none, which is no fault; and the doctor makes none."""
        found = checks(client, name)
        assert (found[TTL].status, found[TTL].counts) == (CANNOT_TELL, False)
        assert (found[LOOKUP].status, found[LOOKUP].counts) == (CANNOT_TELL, False)
        assert client[name].list_collection_names() == []

    def test_create(self, client: MongoClient[Document], name: str) -> None:
        """With `create_indexes` the doctor makes those that the app would make."""
        found = checks(client, name, create_indexes=True)
        assert {check.status for title, check in found.items() if title != "content"} == {PASS}
        for collection in (store.COLLECTION_NAME, ledger.COLLECTION_NAME, rate.COLLECTION_NAME):
            indexes = client[name][collection].index_information()
            assert indexes["expiresAt_1"]["expireAfterSeconds"] == 0

    def test_missing(self, client: MongoClient[Document], name: str) -> None:
        """Missing ones are found where something is stored."""
        registered(client, name)
        found = checks(client, name)
        assert (found[TTL].status, found[LOOKUP].status) == (FAIL, FAIL)

    @pytest.mark.parametrize(("code", "says"), [(BAD_VALUE, "DocumentDB"), (13, "readWrite")])
    def test_refused(self, client: MongoClient[Document], name: str, code: int, says: str) -> None:
        """A refusal is shown with its code, and with what to use or to grant instead."""
        with failing(client, "createIndexes", errorCode=code):
            found = checks(client, name, create_indexes=True)[TTL]
        assert found.status is FAIL
        assert f"code {code}" in found.detail
        assert says in found.remedy

    def test_of_a_large_collection(
        self, client: MongoClient[Document], name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Making one may take longer than anything else that is asked."""
        registered(client, name)
        monkeypatch.setattr(database_connection, "READ_SECONDS", 2.0)
        with failing(client, "createIndexes", blockConnection=True, blockTimeMS=2_500):
            found = checks(client, name, create_indexes=True)
        assert (found[TTL].status, found[LOOKUP].status) == (PASS, PASS)

    @pytest.mark.parametrize("create", [False, True])
    def test_made_beforehand(self, client: MongoClient[Document], name: str, create: bool) -> None:
        """Indexes under other names that do the work are enough."""
        registrations = client[name][store.COLLECTION_NAME]
        registrations.create_index("acsMri", name="by_user")
        registrations.create_index("expiresAt", name="ttl", expireAfterSeconds=60)
        registered(client, name)
        found = checks(client, name, create_indexes=create)
        assert (found[TTL].status, found[LOOKUP].status) == (PASS, PASS)
        made = {"hub_1"} if create else set()
        assert set(registrations.index_information()) == {"_id_", "by_user", "ttl", *made}

    def test_of_another_kind(self, client: MongoClient[Document], name: str) -> None:
        """An index on the expiry that deletes nothing is named, with the line that drops it."""
        client[name][store.COLLECTION_NAME].create_index("expiresAt", name="by_expiry")
        with failing(client, "createIndexes", errorCode=85):
            found = [checks(client, name, create_indexes=create)[TTL] for create in (False, True)]
        for check in found:
            assert check.status is FAIL
            assert "by_expiry" in check.detail
            assert check.commands[0] == f"db.{store.COLLECTION_NAME}.dropIndex('by_expiry')"

    def test_not_swept(self, client: MongoClient[Document], name: str) -> None:
        """Documents that should be long gone show that nothing is swept."""
        checks(client, name, create_indexes=True)
        registered(client, name, expires=timedelta(hours=-1))
        assert checks(client, name)[SWEEP].status is FAIL

    @pytest.mark.parametrize("later", [timedelta(hours=3), timedelta(seconds=2_147_483_647)])
    def test_deletes_later(self, client: MongoClient[Document], name: str, later: timedelta) -> None:
        """A TTL index that was made to delete later than at the expiry does its work, so nothing is overdue;
        it is noted, with the command that changes it, since calls are to be forgotten after a day."""
        registrations = client[name][store.COLLECTION_NAME]
        registrations.create_index("expiresAt", name="ttl", expireAfterSeconds=int(later.total_seconds()))
        registered(client, name, expires=timedelta(hours=-1))
        found = checks(client, name)
        assert SWEEP not in found
        assert found[TTL].status is Status.NOTE
        assert f"{int(later.total_seconds())} s" in found[TTL].detail
        (command,) = found[TTL].commands
        assert store.COLLECTION_NAME in command
        assert "'ttl'" in command
        registrations.drop_index("ttl")
        registrations.create_index("expiresAt", expireAfterSeconds=1_800)
        assert checks(client, name)[SWEEP].status is FAIL


class TestContent:
    def test_empty(self, client: MongoClient[Document], name: str) -> None:
        """An empty database may be the wrong one: the answer is unknown, and counts."""
        found = checks(client, name)["content"]
        assert (found.status, found.counts) == (CANNOT_TELL, True)
        assert name in found.detail
        assert name not in client.list_database_names()

    def test_counts(self, client: MongoClient[Document], name: str) -> None:
        """Registrations and calls are counted, and the time of the last call is shown."""
        registered(client, name)
        now = datetime.now(UTC)
        call = {"_id": "c", "eventId": "e", "firstSeenAt": now, "expiresAt": now + timedelta(days=1)}
        client[name][ledger.COLLECTION_NAME].insert_one(call)
        found = checks(client, name)["content"]
        assert found.status is PASS
        assert "1 registrations, 1 calls" in found.detail
        assert f"{now:%Y-%m-%d %H:%M}" in found.detail

    def test_unreadable(self, client: MongoClient[Document], name: str) -> None:
        """Registrations that this version cannot read are counted."""
        now = datetime.now(UTC)
        good = {
            "acsMri": "8:acs:a", "deviceUUID": "d", "deviceToken": "t", "platform": "apple",
            "expiresAt": now + timedelta(days=1), "updatedAt": now,
        }  # fmt: skip
        changes: list[Document] = [
            {},
            {"purpose": "alerts", "hub": "sandbox"},
            {"purpose": None, "hub": None},
            {"purpose": "", "hub": ""},
            {"platform": "carrier-pigeon"},
            {"deviceToken": None},
            {"updatedAt": "x"},
            {"purpose": "voicemail"},
            {"purpose": {"calls": True}},
            {"hub": 7},
            {"_id": ObjectId()},
        ]
        written = [{"_id": str(number), **good, **change} for number, change in enumerate(changes)]
        unreadable = [each for each in written if isinstance(read(each), UnreadableDocument)]
        assert len(unreadable) == 7
        client[name][store.COLLECTION_NAME].insert_many(written)
        found = checks(client, name)["readable registrations"]
        assert found.status is FAIL
        assert found.detail.startswith("7 registrations")
        client[name][store.COLLECTION_NAME].delete_many(
            {"_id": {"$in": [each["_id"] for each in unreadable]}}
        )
        assert checks(client, name)["readable registrations"].status is PASS

    def test_leaves_nothing_behind(self, client: MongoClient[Document], name: str) -> None:
        """What the doctor inserts to try it is deleted again."""
        registered(client, name)
        assert checks(client, name)["right to write"].status is PASS
        assert client[name][store.COLLECTION_NAME].count_documents({}) == 1


class CosmosRu:
    """Cosmos DB for MongoDB (RU) around a real database: it names its set `globaldb` and sweeps by _ts."""

    def __init__(self, client: MongoClient[Document]) -> None:
        self._client = client
        self.admin = self

    def list_database_names(self) -> list[str]:
        return self._client.list_database_names()

    def command(self, name: str) -> Mapping[str, Any]:
        return {**self._client.admin.command(name), "setName": "globaldb"}

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return {each: _CosmosCollection(self._client[name][each]) for each in _COLLECTIONS}


_COLLECTIONS = (store.COLLECTION_NAME, ledger.COLLECTION_NAME, rate.COLLECTION_NAME)


class _CosmosCollection:
    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def create_index(self, field: str, **options: Any) -> Any:
        if "expireAfterSeconds" in options and field != "_ts":
            raise OperationFailure("The option is supported on '_ts' field only", BAD_VALUE)
        return self._collection.create_index(field, **options)


class TestCosmos:
    def test_said_so(self, client: MongoClient[Document], name: str) -> None:
        """It is recognized by what it calls itself, and what to use instead is said."""
        found = checks(CosmosRu(client), name, create_indexes=True)
        assert (found["kind"].status, found[TTL].status, found[LOOKUP].status) == (FAIL, FAIL, PASS)
        assert "DocumentDB" in found["kind"].remedy
        assert "Atlas" in found[TTL].remedy

    @pytest.mark.parametrize(
        ("uri", "expected"),
        [
            ("mongodb://a:p%40s@acct.mongo.cosmos.azure.com:10255/?ssl=true&replicaSet=globaldb", True),
            ("mongodb://a:p@acct.documents.azure.com:10255/", True),
            ("mongodb+srv://a:p@acct.global.mongocluster.cosmos.azure.com/?tls=true", False),
            ("mongodb+srv://a:p@cluster0.abcde.mongodb.net/", False),
            ("mongodb://127.0.0.1:27017/?appName=x.mongo.cosmos.azure.com", False),
        ],
    )
    def test_host_name(self, uri: str, expected: bool) -> None:
        """It is recognized by its host name; DocumentDB, which has TTL indexes, is not mistaken for it."""
        assert is_cosmos_ru_host(uri) is expected


class TestTrouble:
    def test_slow(self, client: MongoClient[Document], name: str) -> None:
        """The round trip of a slow database is shown."""
        with failing(client, "find", blockConnection=True, blockTimeMS=250):
            found = checks(client, name)["round trip"]
        assert found.status is FAIL
        assert int(found.detail.split()[0]) >= 250

    def test_clock(self, client: MongoClient[Document], name: str) -> None:
        """The server's clock is compared with ours."""
        probe = DatabaseProbe(client, name, "", lambda: datetime.now(UTC) + timedelta(minutes=2))
        assert check_clock("clock", probe.ask().clock_ahead_seconds).status is FAIL

    def test_read_only(self, client: MongoClient[Document], name: str) -> None:
        """A user who may only read is found, although nothing is written."""
        with failing(client, "delete", errorCode=13):
            found = checks(client, name)["right to write"]
        assert found.status is FAIL
        assert "readWrite" in found.remedy

    @pytest.mark.parametrize(("code", "says"), [(14031, "is full"), (13297, "another letter case")])
    def test_insert_refused(self, client: MongoClient[Document], name: str, code: int, says: str) -> None:
        """What only an insert shows is found, because the doctor inserts."""
        registered(client, name)
        with failing(client, "insert", errorCode=code):
            found = checks(client, name)["right to write"]
        assert found.status is FAIL
        assert says in found.detail

    def test_full_atlas_tier(self) -> None:
        """Atlas' code for refused credentials is a full database where the server says so."""
        details = {"errmsg": "you are over your space quota, using 513 MB of 512 MB"}
        trouble = DatabaseTroubleError(failure_of(OperationFailure("", 8000, details)))
        assert "is full" in str(trouble)
        assert "513" not in str(trouble)

    def test_letter_case(self, client: MongoClient[Document], name: str) -> None:
        """A database whose name differs in letter case only is named, and nothing is written."""
        registered(client, name)
        found = checks(client, name.upper())["name"]
        assert found.status is FAIL
        assert name in found.detail
        assert name.upper() not in client.list_database_names()

    @pytest.mark.parametrize(
        ("code", "message", "says"),
        [
            (18, "", "refuses the user name or the password"),
            (8000, "bad auth : Authentication failed.", "refuses the user name or the password"),
            (13, "", "lacks a right"),
            (59, "", "refuses a command (code 59)"),
        ],
    )
    def test_refused(
        self, client: MongoClient[Document], name: str, code: int, message: str, says: str
    ) -> None:
        """Credentials, rights and everything else that a server refuses have causes of their own."""
        with (
            failing(client, "find", errorCode=code, errmsg=message),
            pytest.raises(DatabaseTroubleError) as trouble,
        ):
            checks(client, name)
        assert says in str(trouble.value)
        assert trouble.value.remedy


def checked(values: Mapping[str, str]) -> Checks:
    return run_checks(AppSettings(values, {}, None))


class TestWholeCheck:
    """`check` over settings, with a hub that is well."""

    @pytest.fixture
    def values(self, server: EmbeddedDatabase, name: str) -> Iterator[dict[str, str]]:
        with RunningHub() as hub:
            yield {**settings_values(server.uri, name), "ANHHubUrl": hub.messages_url}

    def test_stopped(self, values: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        """A database that is not there fails; the rest is looked at all the same."""
        monkeypatch.setattr(database_connection, "CONNECT_SECONDS", 0.3)
        uri = "mongodb://someone:hidden@127.0.0.1:1/?directConnection=true"
        found = checked({**values, "MongoDbConnectionString": uri})
        by_name = {(check.area, check.name): check for check in found.checks}
        assert found.exit_code == 1
        assert by_name["database", "reachable"].status is FAIL
        assert by_name["hub", "key"].status is PASS
        assert "hidden" not in str(found.checks)

    def test_unusable_connection_string(self, values: dict[str, str]) -> None:
        """A connection string that no client takes is no crash, and is not quoted."""
        found = checked({**values, "MongoDbConnectionString": "mongodb://h:hidden/?x"})
        assert found.exit_code == 1
        assert any(check.area == "database" and check.status is FAIL for check in found.checks)
        assert "hidden" not in str(found.checks)

    def test_old_server(self, values: dict[str, str]) -> None:
        """A server that is too old for the driver is called that, with both versions."""
        with old_mongodb(8) as uri:
            found = checked({**values, "MongoDbConnectionString": uri})
        (failed,) = [check for check in found.checks if check.status is FAIL]
        assert "it is MongoDB 4.2, and 4.4 is needed" in failed.detail

    def test_certificate_file(self, values: dict[str, str]) -> None:
        """A certificate file that cannot be read is named as such, without a traceback."""
        uri = f"{values['MongoDbConnectionString']}&tls=true&tlsCAFile=/nonexistent/ca.pem"
        found = checked({**values, "MongoDbConnectionString": uri})
        (failed,) = [check for check in found.checks if check.status is FAIL]
        assert "tlsCAFile" in failed.detail

    def test_unknown_host(self, values: dict[str, str]) -> None:
        """A host name that cannot be looked up is named as such, not as a server that is down."""
        uri = "mongodb://no-such-host.invalid/?directConnection=true&serverSelectionTimeoutMS=300"
        found = checked({**values, "MongoDbConnectionString": uri})
        (failed,) = [check for check in found.checks if check.status is FAIL]
        assert "host name" in failed.detail

    def test_half_a_sign_in(self, values: dict[str, str]) -> None:
        """A sign-in that is half configured fails; calls ring all the same, so the rest is looked at."""
        found = checked({**values, "RegistrarAccess": "oidc"})
        assert found.exit_code == 1
        assert {check.name for check in found.checks if check.status is FAIL} == {
            "OidcIssuer",
            "OidcAudience",
        }

    def test_unreachable_issuer(self, values: dict[str, str]) -> None:
        """An issuer that does not answer fails."""
        oidc = {"RegistrarAccess": "oidc", "OidcIssuer": "http://127.0.0.1:1", "OidcAudience": "calls"}
        found = checked({**values, **oidc})
        assert found.exit_code == 1
        assert [check.area for check in found.checks if check.status is FAIL] == ["sign-in"]
