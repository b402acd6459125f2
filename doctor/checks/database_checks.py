"""What the facts about the database mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from doctor.checks.database_content import EMPTY_REMEDY, DatabaseContent
from doctor.checks.findings import Area, Check
from models import known_causes
from models.database_sign_in import SignInWay
from models.indexes import ExistingIndex, IndexState, NeededIndex, index_state, serving_index
from models.known_causes import Cause, Fault

AREA = Area("database")
SWEPT_AFTER = timedelta(minutes=15)
"""The sweep runs once a minute and may be slow; a document that is overdue for longer is not being swept."""
SLOW_SECONDS = 0.2
"""A ring waits for two round trips, a registration for three."""

REACHABLE, CREDENTIALS, SPEED, WRITE, CONTENT = (
    "reachable", "credentials", "round trip", "right to write", "content",
)  # fmt: skip

_ANOTHER_DATABASE = (
    "Use a MongoDB that has TTL indexes on any field: Azure DocumentDB (Cosmos DB for MongoDB vCore), Atlas, "
    "or a server of your own."
)
_CREATE_INDEXES = "call-push-doctor check --create-indexes"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The database refused something."""

    cause: Cause
    code: int | None

    @property
    def detail(self) -> str:
        """The cause, with the code to look up."""
        return self.cause.problem if self.code is None else f"{self.cause.problem} (code {self.code})"


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """One collection of the app."""

    has_documents: bool
    needed: Sequence[NeededIndex]
    indexes: Sequence[ExistingIndex]
    has_overdue: bool
    """It has documents that a sweep should have deleted long ago."""
    refused: Mapping[str, Refusal]
    """Field -> why its index could not be made; empty unless `--create-indexes` is given."""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """Everything that was found out."""

    sign_in: SignInWay
    """In which way the database was signed in to."""
    round_trip_seconds: float
    """The median of a few."""
    clock_ahead_seconds: float | None
    """By how much this machine's clock is ahead of the server's."""
    is_cosmos_ru: bool
    """Azure Cosmos DB for MongoDB in its request-unit model."""
    name_in_another_case: str | None
    """An existing database whose name differs from `DbName` in letter case only."""
    write_refused: Refusal | None
    """None if a document could be written."""
    collections: Mapping[str, CollectionFacts]
    """By name."""
    content: DatabaseContent
    unreadable: int | None
    """Registrations that this version of the app cannot read; None if they could not be counted in time."""


def check_trouble(cause: Cause, detail: str) -> list[Check]:
    """For a database that cannot be reached or refuses the credentials."""
    if cause.fault is Fault.PASSING:
        return [
            AREA.failed(REACHABLE, detail, cause.remedy),
            AREA.unknown(CREDENTIALS, "the database did not answer"),
        ]
    return [AREA.failed(CREDENTIALS if cause in _ABOUT_CREDENTIALS else REACHABLE, detail, cause.remedy)]


_ABOUT_CREDENTIALS = frozenset(
    {
        known_causes.CREDENTIALS_REFUSED,
        known_causes.IDENTITY_REFUSED,
        known_causes.NOT_SIGNED_IN,
        known_causes.RIGHT_MISSING,
    }
)
_ACCEPTED = {
    SignInWay.NONE: "the database asks for none",
    SignInWay.PASSWORD: "user name and password are accepted",
    SignInWay.CERTIFICATE: "the certificate is accepted",
    SignInWay.IDENTITY: "your own sign-in to Azure is accepted",
}


def check_database(facts: DatabaseFacts) -> list[Check]:
    """Speed, rights, content, kind, indexes, sweep."""
    return [
        AREA.passed(REACHABLE, "it answers"),
        AREA.passed(CREDENTIALS, f"{_ACCEPTED[facts.sign_in]}, and the registrations may be read"),
        *_identity_of_the_app(facts.sign_in),
        _speed(facts.round_trip_seconds),
        _write(facts),
        _content(facts.content),
        *_unreadable(facts),
        _kind(is_cosmos_ru=facts.is_cosmos_ru),
        *(
            check
            for name, collection in facts.collections.items()
            for check in _collection(name, collection, is_cosmos_ru=facts.is_cosmos_ru)
        ),
    ]


def _identity_of_the_app(sign_in: SignInWay) -> list[Check]:
    if sign_in is not SignInWay.IDENTITY:
        return []
    return [
        AREA.unknown(
            "the app's identity",
            "the app signs in with its managed identity, which only the app has",
            "Ask the app: GET /api/health/ready is 200 if the database takes its identity. The log line "
            "no_database_token, or misconfigured, says why not.",
            counts=False,
        )
    ]


def _speed(seconds: float) -> Check:
    detail = f"{seconds * 1_000:.0f} ms from here"
    if seconds < SLOW_SECONDS:
        return AREA.passed(SPEED, detail)
    return AREA.failed(
        SPEED,
        f"{detail}; less than {SLOW_SECONDS * 1_000:.0f} ms is good",
        "Put database and functions into one region; look at the database's load. From a machine far away "
        "the network alone may take that long: ask again from Azure's Cloud Shell.",
    )


def _write(facts: DatabaseFacts) -> Check:
    if facts.name_in_another_case is not None:
        cause = known_causes.DATABASE_NAME_CASE
        detail = f"{cause.problem}: {facts.name_in_another_case}"
        return AREA.failed("name", detail, cause.remedy)
    if facts.write_refused is None:
        return AREA.passed(WRITE, "the user may write")
    return AREA.failed(WRITE, facts.write_refused.detail, facts.write_refused.cause.remedy)


def _content(found: DatabaseContent) -> Check:
    if found.is_empty:
        return AREA.unknown(CONTENT, str(found), EMPTY_REMEDY)
    return AREA.passed(CONTENT, str(found))


def _unreadable(facts: DatabaseFacts) -> list[Check]:
    question = "readable registrations"
    if facts.unreadable is None:
        return [AREA.unknown(question, "counting them took too long", counts=False)]
    if facts.unreadable == 0:
        return [AREA.passed(question, "this version of the app can read all of them")]
    return [
        AREA.failed(
            question,
            f"{facts.unreadable} registrations cannot be read by this version of the app, which skips them",
            "They were written by a later version, or changed by hand. 'user' lists those of one user. They "
            "are right again when the device's app registers again.",
        )
    ]


def _kind(*, is_cosmos_ru: bool) -> Check:
    if not is_cosmos_ru:
        return AREA.passed("kind", "not Cosmos DB for MongoDB (RU), which lacks what the app needs")
    return AREA.failed(
        "kind",
        "Cosmos DB for MongoDB (RU): it takes TTL indexes on _ts only, so expired registrations are ignored "
        "but never deleted",
        _ANOTHER_DATABASE,
    )


def _collection(name: str, facts: CollectionFacts, *, is_cosmos_ru: bool) -> list[Check]:
    checks = [_index(name, needed, facts, is_cosmos_ru=is_cosmos_ru) for needed in facts.needed]
    if facts.has_overdue:
        checks.append(
            AREA.failed(
                f"expiry of {name}",
                "there are documents that should have been deleted long ago",
                "See whether the server's TTL monitor is on (setParameter ttlMonitorEnabled) and keeps up. "
                "No phone rings wrongly: expired documents are ignored.",
            )
        )
    return checks


def _index(name: str, needed: NeededIndex, facts: CollectionFacts, *, is_cosmos_ru: bool) -> Check:
    question = f"{'TTL' if needed.expires else needed.field} index of {name}"
    state = index_state(needed, facts.indexes)
    if found := serving_index(needed, facts.indexes):
        return _late(question, name, found) or AREA.passed(question, "it is there")
    if needed.expires and is_cosmos_ru and (facts.has_documents or needed.field in facts.refused):
        return AREA.failed(question, "Cosmos DB for MongoDB (RU) refuses it", _ANOTHER_DATABASE)
    if state is IndexState.ANOTHER_KIND:
        cause = known_causes.INDEX_OF_ANOTHER_KIND
        existing = next(index.name for index in facts.indexes if index.fields == (needed.field,))
        drop = f"db.{name}.dropIndex({existing!r})"
        return AREA.failed(question, f"{cause.problem}: {existing}", cause.remedy, drop, _CREATE_INDEXES)
    if refusal := facts.refused.get(needed.field):
        unknown = needed.expires and refusal.cause is known_causes.COMMAND_REFUSED
        return AREA.failed(question, refusal.detail, _ANOTHER_DATABASE if unknown else refusal.cause.remedy)
    return _missing(question, facts, needed)


def _late(question: str, name: str, index: ExistingIndex) -> Check | None:
    """A note where the index deletes later than at the expiry."""
    seconds = index.expire_after_seconds or 0
    if seconds <= SWEPT_AFTER.total_seconds():
        return None
    change = f"{{collMod: '{name}', index: {{name: {index.name!r}, expireAfterSeconds: 0}}}}"
    return AREA.note(
        question,
        f"it is there, and deletes documents {seconds:.0f} s after they have expired",
        "No phone rings wrongly: expired documents are ignored. To delete them when they expire:",
        f"db.runCommand({change})",
    )


def _missing(question: str, facts: CollectionFacts, needed: NeededIndex) -> Check:
    if not facts.has_documents:
        return AREA.unknown(
            question,
            "nothing has been stored yet; the app makes it with the first document",
            "This makes it now, and says why if the database refuses:",
            _CREATE_INDEXES,
            counts=False,
        )
    so = (
        "expired documents stay; reads ignore them"
        if needed.expires
        else "look-ups read the whole collection"
    )
    return AREA.failed(
        question,
        f"it is missing: {so}",
        "This makes it, and says why if the database refuses:",
        _CREATE_INDEXES,
    )
