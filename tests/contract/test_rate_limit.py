"""How often requests for one user may come: over mongomock, and over the embedded database with races."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from pymongo import MongoClient, errors
from pymongo.collection import Collection

from common import mongodb
from models.errors import DatabaseUnavailableError, TooManyChangesError, TooManyReportsError
from models.identity import Identity
from registrar.rate import RateLimit
from tests.fakes import ALICE, BOB

MINUTE = datetime(2100, 1, 31, 12, 0, 0, tzinfo=UTC)
WORK = mongodb.Work(mongodb.Timeouts(10.0))


def allowed(limit: RateLimit, user: str, now: datetime) -> bool:
    try:
        limit.count(Identity.parse(user), now)
    except TooManyChangesError:
        return False
    return True


class TestLimit:
    def test_exactly(self, collection: Collection[mongodb.Document]) -> None:
        """Exactly as many as allowed."""
        limit = RateLimit(collection, WORK, 3)
        assert [allowed(limit, ALICE, MINUTE) for _ in range(6)] == [True] * 3 + [False] * 3

    def test_one(self, collection: Collection[mongodb.Document]) -> None:
        """The smallest limit allows one."""
        limit = RateLimit(collection, WORK, 1)
        assert [allowed(limit, ALICE, MINUTE) for _ in range(2)] == [True, False]

    def test_other_user(self, collection: Collection[mongodb.Document]) -> None:
        """Another user's changes do not count."""
        limit = RateLimit(collection, WORK, 1)
        assert allowed(limit, ALICE, MINUTE)
        assert not allowed(limit, ALICE, MINUTE)
        assert allowed(limit, BOB, MINUTE)

    def test_kinds_apart(self, collection: Collection[mongodb.Document]) -> None:
        """Changes and reports are counted apart; each refusal says what there were too many of."""
        changes = RateLimit(collection, WORK, 1)
        reports = RateLimit(collection, WORK, 1, TooManyReportsError)
        for limit, error in ((changes, TooManyChangesError), (reports, TooManyReportsError)):
            limit.count(Identity.parse(ALICE), MINUTE)
            with pytest.raises(error, match=f"At most 1 {error.counted} a minute"):
                limit.count(Identity.parse(ALICE), MINUTE)

    @pytest.mark.parametrize(("second", "wait"), [(0, 60), (1, 59), (59, 1)])
    def test_next_minute(self, collection: Collection[mongodb.Document], second: int, wait: int) -> None:
        """`Retry-After` is the rest of the minute; then changes are allowed again."""
        limit, now = RateLimit(collection, WORK, 1), MINUTE + timedelta(seconds=second)
        assert allowed(limit, ALICE, now)
        with pytest.raises(TooManyChangesError) as caught:
            limit.count(Identity.parse(ALICE), now)
        assert caught.value.headers == {"Retry-After": str(wait)}
        assert ALICE not in caught.value.detail
        assert not allowed(limit, ALICE, now + timedelta(seconds=wait - 1))
        assert allowed(limit, ALICE, now + timedelta(seconds=wait))

    def test_across_instances(self, collection: Collection[mongodb.Document]) -> None:
        """Two instances count together."""
        one, two = (RateLimit(collection, WORK, 3) for _ in range(2))
        assert [allowed(limit, ALICE, MINUTE) for limit in (one, two, one, two)] == [True] * 3 + [False]

    def test_document(self, collection: Collection[mongodb.Document]) -> None:
        """The document holds no MRI and expires after its minute."""
        now = MINUTE + timedelta(seconds=59.5)
        RateLimit(collection, WORK, 3).count(Identity.parse(ALICE), now)
        (document,) = collection.find()
        assert set(document) == {"_id", "count", "expiresAt"}
        assert ALICE not in str(document)
        expires_at = document["expiresAt"].replace(tzinfo=UTC)
        assert MINUTE + timedelta(minutes=1) <= expires_at <= MINUTE + timedelta(minutes=3)
        assert collection.index_information()["expiresAt_1"]["expireAfterSeconds"] == 0

    def test_switched_off(self, collection: Collection[mongodb.Document]) -> None:
        """0 means no limit; nothing is counted."""
        limit = RateLimit(collection, WORK, 0)
        assert all(allowed(limit, ALICE, MINUTE) for _ in range(100))
        assert list(collection.find()) == []

    def test_database_away(self) -> None:
        """A change that cannot be counted is refused."""
        with MongoClient[mongodb.Document]("127.0.0.1", 1, serverSelectionTimeoutMS=100) as nowhere:
            limit = RateLimit(nowhere["calling"]["rates"], mongodb.Work(mongodb.Timeouts(1.0)), 3)
            with pytest.raises(DatabaseUnavailableError):
                limit.count(Identity.parse(ALICE), MINUTE)


class TestRaces:
    @pytest.mark.parametrize("per_minute", [1, 7, 40])
    def test_many_firsts_at_once(
        self, client: MongoClient[mongodb.Document], wire: Collection[mongodb.Document], per_minute: int
    ) -> None:
        """Of many first changes of a minute at once, exactly as many as allowed pass."""
        limits = [RateLimit(client["calling"][wire.name], WORK, per_minute) for _ in range(4)]
        for minute in range(5):
            now = MINUTE + timedelta(minutes=minute)

            def change(number: int, now: datetime = now) -> bool:
                return allowed(limits[number % 4], ALICE, now)

            with ThreadPoolExecutor(16) as pool:
                through = Counter(pool.map(change, range(48)))
            assert through == {True: per_minute, False: 48 - per_minute}

    def test_first_taken_meanwhile(self, wire: Collection[mongodb.Document]) -> None:
        """A change that loses the race to insert the document counts as the second, and is not refused."""

        class Overtaken:
            """Another instance comes first, once."""

            database = wire.database
            overtaken = False

            def create_index(self, *_: object, **__: object) -> None:
                """Nothing."""

            def update_one(
                self, below_limit: mongodb.Document, change: mongodb.Document, *, upsert: bool
            ) -> None:
                if not self.overtaken:
                    self.overtaken = True
                    wire.insert_one({"_id": below_limit["_id"], "count": 1})
                    raise errors.DuplicateKeyError("E11000")
                wire.update_one(below_limit, change, upsert=upsert)

        limit = RateLimit(cast("Collection[mongodb.Document]", Overtaken()), WORK, 2)
        assert [allowed(limit, ALICE, MINUTE) for _ in range(2)] == [True, False]
