"""What the facts about the database mean (pure)."""

from doctor.database import REMEDIES, DatabaseTroubleError, Trouble, refusal
from doctor.database_probe import COLLECTIONS, CollectionFacts, DatabaseFacts
from doctor.findings import Area, Check

AREA = Area("database")
SLOW_SECONDS = 0.2
"""A ring waits for two round trips, a registration for three."""

REACHABLE, CREDENTIALS, SPEED, WRITE = "reachable", "credentials", "round trip", "right to write"

_ANOTHER_DATABASE = (
    "Use a MongoDB that has TTL indexes on any field: Azure DocumentDB (Cosmos DB for MongoDB vCore), Atlas, "
    "or one of your own."
)
_LOOKUPS = {"DeviceRegistrations": "acsMri", "CallLedger": "callId"}


def check_trouble(error: DatabaseTroubleError) -> list[Check]:
    """Where it could not be asked."""
    if error.trouble is Trouble.UNREACHABLE:
        return [
            AREA.failed(REACHABLE, str(error), error.remedy),
            AREA.unknown(CREDENTIALS, "the database did not answer"),
        ]
    name = CREDENTIALS if error.trouble in {Trouble.CREDENTIALS, Trouble.RIGHTS} else REACHABLE
    return [AREA.failed(name, str(error), error.remedy)]


def check_database(facts: DatabaseFacts) -> list[Check]:
    """Speed, rights, kind, indexes, sweep."""
    return [
        AREA.passed(REACHABLE, "it answers"),
        AREA.passed(CREDENTIALS, "they are accepted, and the registrations may be read"),
        _speed(facts.round_trip_seconds),
        _write(facts.may_write),
        _kind(is_cosmos_ru=facts.is_cosmos_ru),
        *(
            check
            for name in COLLECTIONS
            for check in _collection(name, facts.collections[name], is_cosmos_ru=facts.is_cosmos_ru)
        ),
    ]


def _speed(seconds: float) -> Check:
    detail = f"{seconds * 1_000:.0f} ms from here"
    if seconds < SLOW_SECONDS:
        return AREA.passed(SPEED, detail)
    return AREA.failed(
        SPEED,
        f"{detail}, where less than {SLOW_SECONDS * 1_000:.0f} ms are good",
        "Put database and functions into one region; look at the database's load. From a laptop far away the "
        "way itself may take that long: ask again from Azure's Cloud Shell.",
    )


def _write(trouble: DatabaseTroubleError | None) -> Check:
    if trouble is None:
        return AREA.passed(WRITE, "the user may write")
    return AREA.failed(WRITE, str(trouble), trouble.remedy)


def _kind(*, is_cosmos_ru: bool) -> Check:
    if not is_cosmos_ru:
        return AREA.passed("kind", "not Cosmos DB for MongoDB (RU), which lacks what the app needs")
    return AREA.failed(
        "kind",
        "Cosmos DB for MongoDB (RU): it takes TTL indexes on _ts alone, so expired registrations are ignored "
        "but stay for ever",
        _ANOTHER_DATABASE,
    )


def _collection(name: str, facts: CollectionFacts, *, is_cosmos_ru: bool) -> list[Check]:
    checks = [_ttl(name, facts, is_cosmos_ru=is_cosmos_ru)]
    if name in _LOOKUPS:
        checks.append(_lookup(name, _LOOKUPS[name], facts))
    if facts.has_overdue:
        checks.append(
            AREA.failed(
                f"sweep of {name}",
                "there are documents that should have been deleted long ago",
                "See whether the server's TTL monitor is on (setParameter ttlMonitorEnabled) and keeps up. "
                "Nothing rings wrongly: expired documents are ignored.",
            )
        )
    return checks


def _ttl(name: str, facts: CollectionFacts, *, is_cosmos_ru: bool) -> Check:
    question = f"TTL index of {name}"
    if facts.indexed.get("expiresAt") is not None:
        return AREA.passed(question, "it is there")
    if "expiresAt" in facts.refused:
        return _refused(question, facts.refused["expiresAt"])
    if is_cosmos_ru and facts.has_documents:
        return AREA.failed(question, "Cosmos DB for MongoDB (RU) refuses it", _ANOTHER_DATABASE)
    if "expiresAt" in facts.indexed:
        return AREA.failed(
            question,
            "there is an index on expiresAt, but it deletes nothing",
            f"Drop that index of {name}; then run 'check --create-indexes'.",
        )
    return _missing(question, facts, "expired documents stay; reads ignore them")


def _lookup(name: str, field: str, facts: CollectionFacts) -> Check:
    question = f"{field} index of {name}"
    if field in facts.indexed:
        return AREA.passed(question, "it is there")
    if field in facts.refused:
        return _refused(question, facts.refused[field])
    return _missing(question, facts, "every look-up reads the whole collection")


def _refused(question: str, code: int) -> Check:
    trouble = refusal(code)
    remedy = REMEDIES[trouble] if trouble is not Trouble.REFUSED else _ANOTHER_DATABASE
    return AREA.failed(question, f"the database refuses it (code {code})", remedy)


def _missing(question: str, facts: CollectionFacts, so: str) -> Check:
    if not facts.has_documents:
        return AREA.unknown(
            question,
            "nothing has been stored yet; the app makes it with the first document",
            "Run 'check --create-indexes' to make it now and see whether the database takes it.",
            counts=False,
        )
    return AREA.failed(
        question,
        f"it is missing: {so}",
        "Run 'check --create-indexes', which says why if the database refuses.",
    )
