"""Causes that are recognised: by a code, by a driver's fixed phrase, by a connection string's text."""

from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import errors
from pymongo.common import MIN_SUPPORTED_WIRE_VERSION
from pymongo.hello import Hello
from pymongo.server_description import ServerDescription
from pymongo.topology_description import TOPOLOGY_TYPE, TopologyDescription
from pymongo.uri_parser import parse_uri

from models import known_causes
from models.known_causes import (
    ANOTHER_SHARD_KEY,
    CAUSES,
    CREDENTIALS_NOT_ENCODED,
    CREDENTIALS_REFUSED,
    DATABASE_FULL,
    DATABASE_NAME_CASE,
    FIREWALL,
    INDEX_OF_ANOTHER_KIND,
    KEY_VAULT_REFERENCE,
    PLACEHOLDER,
    RETRYABLE_WRITES,
    RIGHT_MISSING,
    SHARD_KEY_NEEDED,
    THROTTLED,
    THROUGHPUT_LIMIT,
    Cause,
    Fault,
    cause_of_code,
    cause_of_connection_string,
    cause_of_old_server,
    is_key_vault_reference,
    name_on_connection_strings_blade,
)
from push import feedback_marks, ledger
from registrar import rate, store

# What Azure Cosmos DB for MongoDB (RU) says, shortened: microsoft/vscode-cosmosdb#2291 and #1343,
# gottscj/Hangfire.Mongo#402, MicrosoftDocs/azure-docs#37251, Azure/azure-cli#8633; code 50: Microsoft Q&A
# 1508756.
BLOCKED = (
    "Error=13, Details='Request originated from IP 203.0.113.7 through public internet. This is blocked by "
)
BLOCKED += "your Cosmos DB account firewall settings."
NO_RETRIES = "Retryable writes are not supported. Please disable retryable writes by specifying …"
TOO_MUCH = (
    "Error=2, Details='Your account is currently configured with a total throughput limit of 1000 RU/s."
)
NO_SHARD_KEY = "Shared throughput collection should have a partition key\r\nActivityId: a9562d77-…"
WRONG_SHARD_KEY = "query in command must target a single shard key"
QUOTA = "you are over your space quota, using 513 MB of 512 MB"


class TestTexts:
    @pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.name)
    def test_reads_as_sentences(self, cause: Cause) -> None:
        """A problem can follow the name of a setting, and a remedy is made of sentences."""
        assert not cause.problem[0].isupper() or cause.problem.startswith("MongoDB")
        assert not cause.problem.endswith(".")
        assert cause.remedy.endswith(".")
        assert cause.problem in str(cause) or cause.problem[1:] in str(cause)

    def test_complete(self) -> None:
        """Every cause of the module is in the list from which the documents are checked."""
        defined = [value for value in vars(known_causes).values() if isinstance(value, Cause)]
        assert sorted(cause.name for cause in defined) == sorted(cause.name for cause in CAUSES)

    def test_another_setting(self) -> None:
        """The same cause in another setting names that one."""
        assert str(KEY_VAULT_REFERENCE.of("ANHHubConnectionString")).startswith(
            "ANHHubConnectionString: the Key Vault reference is unresolved. "
        )


@pytest.mark.parametrize("module", [ledger, feedback_marks, rate, store])
@pytest.mark.parametrize("cause", [SHARD_KEY_NEEDED, ANOTHER_SHARD_KEY])
def test_collections(cause: Cause, module: Any) -> None:
    """The remedies for shard keys name every collection of the app."""
    assert module.COLLECTION_NAME in cause.remedy


class TestCodes:
    @pytest.mark.parametrize(
        ("code", "message", "cause"),
        [
            (13, "not authorized on calling to execute command", RIGHT_MISSING),
            (13, BLOCKED, FIREWALL),
            (2, NO_RETRIES, RETRYABLE_WRITES),
            (20, "Transaction numbers are only allowed on a replica set member", RETRYABLE_WRITES),
            (2, TOO_MUCH, THROUGHPUT_LIMIT),
            (2, NO_SHARD_KEY, SHARD_KEY_NEEDED),
            (61, WRONG_SHARD_KEY, ANOTHER_SHARD_KEY),
            (61, "document does not contain shard key", ANOTHER_SHARD_KEY),
            (2, "The 'expireAfterSeconds' option is supported on '_ts' field only.", None),
            (18, "Authentication failed.", CREDENTIALS_REFUSED),
            (8000, "bad auth : Authentication failed.", CREDENTIALS_REFUSED),
            (8000, QUOTA, DATABASE_FULL),
            (14031, "Cannot insert: out of disk space", DATABASE_FULL),
            (13297, "db already exists with different case", DATABASE_NAME_CASE),
            (85, "Index already exists with a different name", INDEX_OF_ANOTHER_KIND),
            (86, "An existing index has the same name", INDEX_OF_ANOTHER_KIND),
            (16500, "Request rate is large", THROTTLED),
            (50, "Request timed out. Retries due to rate limiting: True.", THROTTLED),
            (50, "operation exceeded time limit", None),
            (59, "no such command", None),
            (None, QUOTA, None),
        ],
    )
    def test_code(self, code: int | None, message: str, cause: Cause | None) -> None:
        """A code stands for one cause; where it stands for several, the server's words tell which."""
        assert cause_of_code(code, message) is cause


def driver_refusal(wire_version: int) -> str:
    """What the pinned driver says of a server that speaks up to `wire_version`."""
    hello = Hello({"ok": 1, "isWritablePrimary": True, "minWireVersion": 0, "maxWireVersion": wire_version})
    server = ServerDescription(("db.example", 27017), hello)
    topology = TopologyDescription(TOPOLOGY_TYPE.Single, {server.address: server}, None, None, None, None)
    with pytest.raises(errors.ConfigurationError) as refused:
        topology.check_compatible()
    return str(refused.value)


class TestOldServer:
    @pytest.mark.parametrize(("wire_version", "version"), [(7, "4.0"), (8, "4.2")])
    def test_versions(self, wire_version: int, version: str) -> None:
        """The pinned driver's refusal gives both versions away; the server's address is not quoted."""
        cause = cause_of_old_server(driver_refusal(wire_version))
        assert cause is not None
        assert cause.fault is Fault.PERMANENT
        assert f"it is MongoDB {version}, and 4.4 is needed" in cause.problem
        assert "db.example" not in str(cause)

    def test_unknown_wire_version(self) -> None:
        """A wire version without a release of its own is named as it is."""
        cause = cause_of_old_server(driver_refusal(1))
        assert cause is not None
        assert "wire version 1" in cause.problem
        assert MIN_SUPPORTED_WIRE_VERSION > 1

    def test_other_refusals(self) -> None:
        """The driver's other configuration errors are none of this."""
        assert cause_of_old_server("The DNS query name does not exist: _mongodb._tcp.x.") is None


SCHEMES = ("mongodb://", "mongodb+srv://")
HOSTS = ("127.0.0.1:1/", "a.example:27017,b.example:27018/calling?tls=true", "[::1]:27017/", "a.example/")


class TestConnectionString:
    @pytest.mark.parametrize("scheme", SCHEMES)
    @pytest.mark.parametrize(
        "password", ["p@ss", "p:ss", "p%ss", "p/ss", "p?ss", "1/2", "p[s]s", "p%zz", "p%4"]
    )
    def test_unescaped(self, scheme: str, password: str) -> None:
        """A password that holds a reserved character is recognised."""
        uri = f"{scheme}user:{password}@db.example.com/calling?tls=true"
        assert cause_of_connection_string(uri) is CREDENTIALS_NOT_ENCODED

    @given(st.text(min_size=1), st.text(min_size=1), st.sampled_from(HOSTS))
    def test_escaped(self, user: str, password: str, hosts: str) -> None:
        """Percent-encoded credentials are never complained about, and the driver takes them."""
        try:
            uri = f"mongodb://{quote_plus(user)}:{quote_plus(password)}@{hosts}"
        except UnicodeEncodeError:
            return
        assert cause_of_connection_string(uri) is None
        parse_uri(uri)

    @given(st.text("ab@:/%?[]", min_size=1, max_size=8))
    def test_agrees_with_the_driver(self, password: str) -> None:
        """A password that the driver refuses because it is not encoded is recognised here."""
        uri = f"mongodb://user:{password}@127.0.0.1:1/"
        try:
            parse_uri(uri)
        except (errors.ConfigurationError, ValueError) as error:
            if "RFC 3986" in str(error):
                assert cause_of_connection_string(uri) is CREDENTIALS_NOT_ENCODED

    @pytest.mark.parametrize(
        "uri",
        [
            "mongodb://127.0.0.1:27017/",
            "mongodb://a.example:1,b.example:2/?replicaSet=rs",
            "mongodb+srv://client-id@c.example.com/?authMechanismProperties=TOKEN_RESOURCE:https://x.net",
            "mongodb://[::1]/?authMechanismProperties=TOKEN_RESOURCE:api://a@b",
            "nonsense",
        ],
    )
    def test_without_password(self, uri: str) -> None:
        """A connection string without a password has none to encode."""
        assert cause_of_connection_string(uri) is None

    @pytest.mark.parametrize(
        "credentials",
        ["<user>:<password>", "admin:<db_password>", "admin:{your_password}", "<username>:secret"],
    )
    def test_placeholder(self, credentials: str) -> None:
        """What portals print in the place of user name and password is recognised."""
        assert cause_of_connection_string(f"mongodb+srv://{credentials}@c.example.com/") is PLACEHOLDER


class TestKeyVaultReference:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s)", True),
            (" @microsoft.keyvault(VaultName=v;SecretName=s)", True),
            ("mongodb://127.0.0.1/", False),
            ("", False),
        ],
    )
    def test_recognised(self, value: str, expected: bool) -> None:
        """Both forms of a reference are recognised, in any letter case."""
        assert is_key_vault_reference(value) is expected


class TestConnectionStringsBlade:
    def test_found(self) -> None:
        """A setting that was entered on the other blade is found under its prefixed name."""
        names = {"customconnstr_mongodbconnectionstring", "dbname"}
        assert (
            name_on_connection_strings_blade("MongoDbConnectionString", names)
            == "CUSTOMCONNSTR_MongoDbConnectionString"
        )
        assert name_on_connection_strings_blade("ANHHubConnectionString", names) is None


class TestDocuments:
    def test_troubleshooting(self) -> None:
        """`docs/troubleshooting.md` lists every cause with the words that log lines and the doctor use."""
        text = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
        _, _, after = text.partition("<!-- known causes: held by tests/unit/test_known_causes.py -->")
        table, found, _ = after.partition("<!-- end of known causes -->")
        rows = [f"| {cause.problem} | {cause.remedy} |" for cause in CAUSES]
        assert found
        assert table.strip().splitlines() == ["| cause | remedy |", "|---|---|", *rows]
