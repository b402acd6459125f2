"""Causes of failure that a code or a fixed phrase gives away: one text each for what is wrong and what to do.

The app's log lines and problem documents, the doctor and `docs/troubleshooting.md` use these texts. What a
server or a driver writes itself is searched for fixed phrases and never quoted: it may hold secrets.

Codes: MongoDB, "Error Codes" (`src/mongo/base/error_codes.yml`); 8000 is MongoDB Atlas' own, 16500 that of
Azure Cosmos DB for MongoDB (RU).
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from string import hexdigits

from models.database_sign_in import SignInWay, sign_in_way


class Fault(Enum):
    """How long a failure lasts."""

    PASSING = "passing"
    """The next try may succeed."""
    MISCONFIGURED = "misconfigured"
    """An operator has to act; but one instance, or one minute of a password rotation, looks the same."""
    PERMANENT = "permanent"
    """No try succeeds until other software is installed."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What is wrong, and what to do about it. Nothing in it is secret."""

    name: str
    """Stable, for tests and documents."""
    fault: Fault
    problem: str
    """Without a capital letter and a full stop."""
    remedy: str
    """Whole sentences."""
    setting: str | None = "MongoDbConnectionString"
    """Which setting it is about; None if about none, or about any."""

    def __str__(self) -> str:
        problem = (
            f"{self.setting}: {self.problem}" if self.setting else self.problem[0].upper() + self.problem[1:]
        )
        return f"{problem}. {self.remedy}"

    def of(self, setting: str) -> "Cause":
        """The same cause, found in another setting."""
        return replace(self, setting=setting)


KEY_VAULT_REFERENCE = Cause(
    "key_vault_reference",
    Fault.MISCONFIGURED,
    "the Key Vault reference is unresolved",
    "Portal, the function app, Settings, Environment variables: the setting's status names the reason. The "
    "app's identity needs the role Key Vault Secrets User, the secret has to exist, and the vault has to be "
    "reachable.",
    setting=None,
)
CONNECTION_STRINGS_BLADE = Cause(
    "connection_strings_blade",
    Fault.MISCONFIGURED,
    "is missing; it was entered under Connection strings, where Azure puts a prefix before its name",
    "Portal, the function app, Settings, Environment variables: enter it under App settings, and remove it "
    "from Connection strings.",
    setting=None,
)
UNRESOLVED_REFERENCE = f"{KEY_VAULT_REFERENCE.problem}. {KEY_VAULT_REFERENCE.remedy}"
"""What is wrong with a setting whose value is a Key Vault reference."""

CREDENTIALS_NOT_ENCODED = Cause(
    "credentials_not_encoded",
    Fault.MISCONFIGURED,
    "the user name or the password holds a character that has to be percent-encoded",
    "Percent-encode the user name and the password: @ is %40, : is %3A, / is %2F, % is %25, ? is %3F.",
)
PLACEHOLDER = Cause(
    "placeholder",
    Fault.MISCONFIGURED,
    "the portal's placeholder for the user name or the password is still there",
    "Replace it, brackets included, by the percent-encoded user name or password.",
)
PASSWORD_BESIDE_TOKEN = Cause(
    "password_beside_token",
    Fault.MISCONFIGURED,
    "it holds a password, and authMechanism=MONGODB-OIDC takes none",
    "Remove the password and the colon before it. What is left before the @ is the client id of the "
    "identity; without it MongoDbClientId names the identity.",
)
CERTIFICATE_FILE = Cause(
    "certificate_file",
    Fault.MISCONFIGURED,
    "the file that its tlsCAFile or tlsCertificateKeyFile names cannot be read",
    "Deploy the file with the app and name its path there, or remove the option: certificates of public "
    "authorities need no file.",
)
CONNECTION_STRING = Cause(
    "connection_string",
    Fault.MISCONFIGURED,
    "the connection string cannot be used",
    "Copy it again from the database's portal.",
)
CREDENTIALS_REFUSED = Cause(
    "credentials_refused",
    Fault.MISCONFIGURED,
    "the database refuses the user name or the password",
    "Copy the connection string again, percent-encode the user name and the password, and see that the user "
    "exists.",
)
IDENTITY_REFUSED = Cause(
    "identity_refused",
    Fault.MISCONFIGURED,
    "the database refuses the identity that signs in with a token",
    "Make the identity a user of the cluster, named by its principal (object) id, and let the cluster's "
    "authentication methods include Microsoft Entra ID: allowedModes holds MicrosoftEntraID. "
    "docs/deployment.md has the commands.",
)
NO_TOKEN = Cause(
    "no_token",
    Fault.PASSING,
    "there is no token for the identity that signs in to the database",
    "Portal, the function app, Settings, Identity: the identity has to be there. Its client id is the "
    "connection string's user name, else MongoDbClientId, else AZURE_CLIENT_ID; with none of them it is the "
    "system-assigned identity. The log line no_database_token says which it is and what Azure answered.",
    setting=None,
)
NOT_SIGNED_IN = Cause(
    "not_signed_in",
    Fault.MISCONFIGURED,
    "there is no sign-in to Azure on this machine, and so no token for the database",
    "Sign in with 'az login' (with '--tenant TENANT' if the cluster is in another tenant) and run the "
    "command again. docs/deployment.md says how a person becomes a user of the cluster.",
)
TOKEN_ENDED = Cause(
    "token_ended",
    Fault.PASSING,
    "the database refuses the token, and the one after it as well",
    "If this stays, compare the clock of the database with the real time, and see whether the identity is "
    "still a user of the cluster.",
    setting=None,
)
RIGHT_MISSING = Cause(
    "right_missing",
    Fault.MISCONFIGURED,
    "the database user lacks a right that the app needs",
    "Give the user the role readWrite on the database that DbName names.",
)
FIREWALL = Cause(
    "firewall",
    Fault.MISCONFIGURED,
    "the database's firewall refuses this machine's address",
    "Portal, the database account, Networking: let the app's outbound addresses or its virtual network in. "
    "With a private endpoint the host name has to be looked up in its network.",
    setting=None,
)
RETRYABLE_WRITES = Cause(
    "retryable_writes",
    Fault.MISCONFIGURED,
    "the server refuses the driver's retryable writes",
    "Add retrywrites=false to its options: the app repeats writes itself.",
)
THROUGHPUT_LIMIT = Cause(
    "throughput_limit",
    Fault.MISCONFIGURED,
    "the account's limit on total throughput does not allow another collection",
    "Portal, the database account, Cost Management: raise the limit, or let the collections share the "
    "database's throughput.",
    setting=None,
)
_SHARD_BY_ID = (
    "DeviceRegistrations, CallLedger, RegistrationRates and FeedbackMarks take the shard key _id: make them "
    "anew with it (portal, the database account, Data Explorer)"
)
SHARD_KEY_NEEDED = Cause(
    "shard_key_needed",
    Fault.MISCONFIGURED,
    "the database shares its throughput, and takes no new collection without a shard key",
    f"{_SHARD_BY_ID}, or use a database whose collections have throughput of their own.",
    setting=None,
)
ANOTHER_SHARD_KEY = Cause(
    "another_shard_key",
    Fault.MISCONFIGURED,
    "a collection of the app is sharded by a field that its documents do not have",
    f"{_SHARD_BY_ID}, or without a shard key.",
    setting=None,
)
DATABASE_FULL = Cause(
    "database_full",
    Fault.MISCONFIGURED,
    "the database is full and takes no more data",
    "Raise the tier or the disk of the database, or delete data that is not needed.",
    setting=None,
)
DATABASE_NAME_CASE = Cause(
    "database_name_case",
    Fault.MISCONFIGURED,
    "the server has a database of this name in another letter case",
    "Write the name exactly as the server has it: letter case counts.",
    setting="DbName",
)
INDEX_OF_ANOTHER_KIND = Cause(
    "index_of_another_kind",
    Fault.MISCONFIGURED,
    "an existing index of another kind keeps the database from making the one that the app needs",
    "Drop the existing index. 'doctor check --create-indexes' then makes the right one; so does the app, at "
    "its next start.",
    setting=None,
)
SERVER_TOO_OLD = Cause(
    "server_too_old",
    Fault.PERMANENT,
    "the MongoDB server is too old for the app's driver",
    "Upgrade the server; in a portal, choose a later server version.",
    setting=None,
)
NAME_NOT_FOUND = Cause(
    "name_not_found",
    Fault.PASSING,
    "the database's host name cannot be looked up",
    "Compare the host name with the database's portal. The name of a private endpoint is known in its own "
    "network only; mongodb+srv:// needs SRV and TXT records.",
)
UNREACHABLE = Cause(
    "unreachable",
    Fault.PASSING,
    "the database cannot be reached in time",
    "See whether the database runs, whether its firewall or IP access list lets this machine in, and whether "
    "it has a private endpoint that cannot be reached from here.",
    setting=None,
)
THROTTLED = Cause(
    "throttled",
    Fault.PASSING,
    "the database is throttling",
    "If this stays, raise the database's throughput (request units).",
    setting=None,
)
COMMAND_REFUSED = Cause(
    "command_refused",
    Fault.PASSING,
    "the database refuses a command",
    "Look the code up in MongoDB's list of error codes. The app needs MongoDB 4.4 or later.",
    setting=None,
)

CAUSES: tuple[Cause, ...] = (
    KEY_VAULT_REFERENCE,
    CONNECTION_STRINGS_BLADE,
    CREDENTIALS_NOT_ENCODED,
    PLACEHOLDER,
    PASSWORD_BESIDE_TOKEN,
    CERTIFICATE_FILE,
    CONNECTION_STRING,
    CREDENTIALS_REFUSED,
    IDENTITY_REFUSED,
    NO_TOKEN,
    NOT_SIGNED_IN,
    TOKEN_ENDED,
    RIGHT_MISSING,
    FIREWALL,
    RETRYABLE_WRITES,
    THROUGHPUT_LIMIT,
    SHARD_KEY_NEEDED,
    ANOTHER_SHARD_KEY,
    DATABASE_FULL,
    DATABASE_NAME_CASE,
    INDEX_OF_ANOTHER_KIND,
    SERVER_TOO_OLD,
    NAME_NOT_FOUND,
    UNREACHABLE,
    THROTTLED,
    COMMAND_REFUSED,
)
"""All of them, in the order in which the documents list them."""

_BY_CODE: Mapping[int, Cause] = {
    13: RIGHT_MISSING,
    18: CREDENTIALS_REFUSED,
    61: ANOTHER_SHARD_KEY,  # ShardKeyNotFound
    85: INDEX_OF_ANOTHER_KIND,  # IndexOptionsConflict
    86: INDEX_OF_ANOTHER_KIND,  # IndexKeySpecsConflict
    334: CREDENTIALS_REFUSED,  # MechanismUnavailable
    391: TOKEN_ENDED,  # ReauthenticationRequired
    8000: CREDENTIALS_REFUSED,
    13297: DATABASE_NAME_CASE,
    14031: DATABASE_FULL,  # OutOfDiskSpace
    16500: THROTTLED,
}
_BY_CODE_AND_PHRASE: tuple[tuple[int, str, Cause], ...] = (
    (8000, "space quota", DATABASE_FULL),
    # Azure Cosmos DB for MongoDB (RU) has few codes for what its other interfaces tell apart.
    (2, "retryable writes are not supported", RETRYABLE_WRITES),
    (2, "total throughput limit", THROUGHPUT_LIMIT),
    (2, "should have a partition key", SHARD_KEY_NEEDED),
    (13, "firewall settings", FIREWALL),
    # With its server-side retry it refuses only after a minute of throttling.
    (50, "rate limiting: true", THROTTLED),
    # A storage engine or a mode of MongoDB that has no retryable writes.
    (20, "transaction numbers are only allowed", RETRYABLE_WRITES),
)
"""Codes that stand for several causes, with a phrase in lower case that tells one of them."""


def cause_of_code(code: int | None, message: str = "") -> Cause | None:
    """What an error code of the database stands for; None for a code without a text of its own.

    Args:
        code: as the server sent it.
        message: what the server wrote, to tell apart what shares a code.
    """
    lower_case = message.lower()
    for its_code, phrase, cause in _BY_CODE_AND_PHRASE:
        if code == its_code and phrase in lower_case:
            return cause
    return None if code is None else _BY_CODE.get(code)


_REFUSED_MECHANISM = re.compile(r"\b(sasl|mechanism)", re.IGNORECASE)
_UNKNOWN_COMMAND_OR_VALUE = frozenset({2, 59, 115})  # BadValue, CommandNotFound, CommandNotSupported


def cause_of_code_for_identity(code: int | None, message: str = "") -> Cause | None:
    """As `cause_of_code`, for a client that signs in with a token instead of a password."""
    if code in _UNKNOWN_COMMAND_OR_VALUE and _REFUSED_MECHANISM.search(message):
        return IDENTITY_REFUSED
    cause = cause_of_code(code, message)
    return IDENTITY_REFUSED if cause is CREDENTIALS_REFUSED else cause


_TOO_OLD = re.compile(r"reports wire version (\d+).* requires at least \d+ \(MongoDB (\d+\.\d+)\)")
_VERSION_BY_WIRE_VERSION = {
    0: "2.4", 2: "2.6", 3: "3.0", 4: "3.2", 5: "3.4", 6: "3.6", 7: "4.0", 8: "4.2", 9: "4.4", 13: "5.0",
    17: "6.0", 21: "7.0", 25: "8.0",
}  # fmt: skip


def cause_of_old_server(driver_message: str) -> Cause | None:
    """`SERVER_TOO_OLD` with both versions in it, where that is what the driver says.

    Args:
        driver_message: of pymongo's ConfigurationError, which it also raises for other causes.
    """
    found = _TOO_OLD.search(driver_message)
    if found is None:
        return None
    wire_version, needed = found.groups()
    version = _VERSION_BY_WIRE_VERSION.get(int(wire_version), f"with wire version {wire_version}")
    problem = f"{SERVER_TOO_OLD.problem}: it is MongoDB {version}, and {needed} is needed"
    return replace(SERVER_TOO_OLD, problem=problem)


_REFERENCE = "@microsoft.keyvault("


def is_key_vault_reference(value: str) -> bool:
    """Whether a setting's value is a Key Vault reference. The app sees one only while it is unresolved."""
    return value.strip().lower().startswith(_REFERENCE)


_BLADE_PREFIXES = tuple(
    f"{kind}CONNSTR_"
    for kind in (
        "CUSTOM", "SQL", "SQLAZURE", "MYSQL", "POSTGRESQL", "DOCDB", "NOTIFICATIONHUB", "SERVICEBUS",
        "EVENTHUB", "REDISCACHE", "APIHUB",
    )
)  # fmt: skip


def name_on_connection_strings_blade(setting: str, names: Container[str]) -> str | None:
    """The name under which a setting arrived that was entered under "Connection strings"; None if it was not.

    App Service puts a prefix before the name there, by the type that was chosen, such as `CUSTOMCONNSTR_`.

    Args:
        setting: its proper name.
        names: of everything in the environment, in lower case.
    """
    candidates = (f"{prefix}{setting}" for prefix in _BLADE_PREFIXES)
    return next((candidate for candidate in candidates if candidate.lower() in names), None)


def problem_of_missing(setting: str, names: Container[str]) -> str:
    """What is said of a setting that is missing, and where it arrived instead.

    Args:
        setting: its proper name.
        names: of everything in the environment, in lower case.
    """
    elsewhere = name_on_connection_strings_blade(setting, names)
    if elsewhere is None:
        return "is missing"
    return f"{CONNECTION_STRINGS_BLADE.problem} ({elsewhere}). {CONNECTION_STRINGS_BLADE.remedy}"


_PLACEHOLDERS = re.compile(r"[<{](?:db_|your[-_ ]?)?(?:user ?name|user|password)[>}]", re.IGNORECASE)


def cause_of_connection_string(uri: str) -> Cause | None:
    """Why a MongoDB connection string cannot work, as far as its text alone gives it away.

    Args:
        uri: `mongodb://…` or `mongodb+srv://…`.
    """
    rest = uri.partition("://")[2]
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    user_info, _, hosts = authority.rpartition("@")
    if _PLACEHOLDERS.search(user_info):
        return PLACEHOLDER
    if user_info.partition(":")[2] and sign_in_way(uri) is SignInWay.IDENTITY:
        return PASSWORD_BESIDE_TOKEN
    # An unescaped / or ? in the password ends the authority too early: what follows then holds an @.
    path, _, options = rest[len(authority) :].partition("?")
    ends_too_early = "@" in path or ("@" in options and not all(map(_has_port, hosts.split(","))))
    return CREDENTIALS_NOT_ENCODED if ends_too_early or _needs_encoding(user_info) else None


def _needs_encoding(user_info: str) -> bool:
    user, _, password = user_info.partition(":")
    if any(character in part for part in (user, password) for character in "@:[]"):
        return True
    return any(len(after) < 2 or not set(after[:2]) <= set(hexdigits) for after in user_info.split("%")[1:])


def _has_port(host: str) -> bool:
    """Whether a port follows the host's colon; true where there is no colon."""
    if host.startswith("["):
        host = host.partition("]")[2]
    _, colon, port = host.partition(":")
    return not colon or (port.isascii() and port.isdigit())
