"""The ledger's contract, over mongomock and over the wire; then what only a real server can show."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import mongomock
import pytest
from pymongo.collection import Collection

from common import mongodb
from models.errors import ConfigurationError, DatabaseUnavailableError
from models.push import DeviceResult, Outcome, OutcomeKind
from push.ledger import Finished, HeldElsewhere, Lease, Ledger
from push.ledger_entry import REMEMBERED_FOR, EventKey, LedgerEntry, Note
from tests.fakes import NOW, app_log

# mongomock still asks for the time in the deprecated way.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

LEASE = timedelta(seconds=9)
KEY = EventKey("/subscriptions/1", "event-1", "call-1")
PHONE, TABLET = "a" * 64, "b" * 64


def result(kind: OutcomeKind = OutcomeKind.ACCEPTED) -> DeviceResult:
    outcome = Outcome(kind, "a reason", status=201, tracking_id="tracking", notification_id="1-2-3")
    return DeviceResult(outcome, 2, 1_500, 1, "key", hub="sandbox")


@pytest.fixture
def ledger(collection: Collection[mongodb.Document]) -> Ledger:
    """Over that collection."""
    # In memory there is no server to be looked for.
    search = None if isinstance(collection, mongomock.Collection) else 2.0
    return Ledger(collection, mongodb.Work(mongodb.Timeouts(3.0, search)), LEASE)


def claimed(ledger: Ledger, holder: str = "me", after: float = 0.0, key: EventKey = KEY) -> Lease:
    """A claim that has to be granted."""
    lease = ledger.claim(key, holder, NOW + timedelta(seconds=after))
    assert isinstance(lease, Lease)
    return lease


class TestClaim:
    def test_a_new_event(self, ledger: Ledger) -> None:
        """The first claim gets the lease, from now on, with no device settled."""
        assert claimed(ledger) == Lease(KEY, "me", NOW + LEASE, NOW, is_new=True)

    def test_a_held_event(self, ledger: Ledger) -> None:
        """Until the lease ends other invocations hear that it is held, and since when it is known."""
        claimed(ledger)
        for seconds in (0, 8.999):
            assert ledger.claim(KEY, "you", NOW + timedelta(seconds=seconds)) == HeldElsewhere(NOW)

    def test_an_expired_lease(self, ledger: Ledger) -> None:
        """The first claim after the lease's end takes it over; the second does not."""
        claimed(ledger)
        taken = claimed(ledger, "you", after=9)
        assert (taken.holder, taken.until, taken.first_seen) == ("you", NOW + 2 * LEASE, NOW)
        assert isinstance(ledger.claim(KEY, "they", NOW + LEASE), HeldElsewhere)

    def test_a_finished_event(self, ledger: Ledger) -> None:
        """It stays finished, lease or no lease."""
        ledger.finish(claimed(ledger), {})
        for seconds in (0, 9, 3_600):
            assert ledger.claim(KEY, "you", NOW + timedelta(seconds=seconds)) == Finished()

    def test_what_was_settled(self, ledger: Ledger) -> None:
        """A new holder learns which devices are done with: accepted, rejected, gone; nothing else."""
        kinds = dict(zip("abcdef", OutcomeKind, strict=True))
        ledger.release(claimed(ledger), {name * 64: result(kind) for name, kind in kinds.items()}, NOW)
        done = {OutcomeKind.ACCEPTED, OutcomeKind.REJECTED, OutcomeKind.GONE}
        settled = claimed(ledger, "you").settled
        assert settled == {name * 64 for name, kind in kinds.items() if kind in done}

    def test_events_are_told_apart(self, ledger: Ledger) -> None:
        """By source, id and call together: ids have been seen to repeat across calls."""
        claimed(ledger)
        claimed(ledger, "you", key=EventKey(KEY.source, KEY.event_id, "call-2"))
        claimed(ledger, "you", key=EventKey(KEY.source, "event-2", "call-1"))
        claimed(ledger, "they", key=EventKey("/subscriptions/2", KEY.event_id, None))

    def test_sources_have_no_case(self, ledger: Ledger) -> None:
        """A source is a resource id: its letter case does not make another event, nor does the call id's."""
        claimed(ledger)
        same = EventKey(KEY.source.upper(), KEY.event_id, "CALL-1")
        assert isinstance(ledger.claim(same, "you", NOW), HeldElsewhere)

    def test_own_claim(self, ledger: Ledger) -> None:
        """The answer to a claim may be lost: the same holder's next claim is granted, and settled devices
        stay."""
        lease = claimed(ledger)
        ledger.record(lease, {PHONE: result()}, NOW)
        again = claimed(ledger, after=1)
        assert (again.holder, again.first_seen) == ("me", NOW)
        assert again.settled == {PHONE}

    def test_a_document_deleted_by_hand(
        self, ledger: Ledger, collection: Collection[mongodb.Document]
    ) -> None:
        """What has been deleted is new again."""
        claimed(ledger)
        collection.delete_many({})
        assert claimed(ledger, "you", after=1).first_seen == NOW + timedelta(seconds=1)


class TestHolding:
    def test_renewing(self, ledger: Ledger) -> None:
        """The holder makes its lease longer, and others go on waiting."""
        lease = ledger.renew(claimed(ledger), NOW + timedelta(seconds=8))
        assert lease is not None
        assert lease.until == NOW + timedelta(seconds=17)
        assert isinstance(ledger.claim(KEY, "you", NOW + timedelta(seconds=16.9)), HeldElsewhere)

    def test_recording(self, ledger: Ledger) -> None:
        """Results are written and the lease made longer in one go."""
        lease = ledger.record(claimed(ledger), {PHONE: result()}, NOW + timedelta(seconds=8))
        assert lease is not None
        assert lease.until == NOW + timedelta(seconds=17)
        assert isinstance(ledger.claim(KEY, "you", NOW + timedelta(seconds=16)), HeldElsewhere)
        assert claimed(ledger, "you", after=17).settled == {PHONE}

    def test_after_a_takeover(self, ledger: Ledger) -> None:
        """Who has been taken over can neither renew nor shorten the new holder's lease."""
        old = claimed(ledger)
        new = claimed(ledger, "you", after=9)
        later = NOW + timedelta(seconds=10)
        assert ledger.renew(old, later) is None
        assert ledger.record(old, {PHONE: result()}, later) is None
        ledger.release(old, {TABLET: result()}, later)
        assert isinstance(ledger.claim(KEY, "they", new.until - timedelta(seconds=1)), HeldElsewhere)

    def test_what_rang_is_written_after_a_takeover(self, ledger: Ledger) -> None:
        """A device that has rung is recorded even if another invocation has the lease by now."""
        old = claimed(ledger)
        claimed(ledger, "you", after=9)
        ledger.record(old, {PHONE: result()}, NOW + timedelta(seconds=10))
        ledger.release(old, {TABLET: result()}, NOW + timedelta(seconds=10))
        assert claimed(ledger, "they", after=20).settled == {PHONE, TABLET}

    def test_releasing(self, ledger: Ledger) -> None:
        """The next delivery has the lease at once, and knows what was rung."""
        ledger.release(claimed(ledger), {PHONE: result()}, NOW + timedelta(seconds=2))
        assert claimed(ledger, "you", after=2).settled == {PHONE}

    def test_writing_twice(self, ledger: Ledger) -> None:
        """What is written again, after an answer that was lost, changes nothing."""
        lease = claimed(ledger)
        for _ in range(2):
            assert ledger.record(lease, {PHONE: result()}, NOW) is not None
            ledger.finish(lease, {PHONE: result()})
        assert ledger.claim(KEY, "you", NOW) == Finished()


class TestDocument:
    def test_shape(self, ledger: Ledger, collection: Collection[mongodb.Document]) -> None:
        """It says who, when and what became of each device; no token, no user, no name."""
        ledger.finish(claimed(ledger), {PHONE: result()})
        (document,) = collection.find()
        ends = (NOW + LEASE).replace(tzinfo=None)
        assert document == {
            "_id": KEY.document_id,
            "eventId": "event-1",
            "callId": "call-1",
            "holder": "me",
            "leaseUntil": ends,
            "finished": True,
            "firstSeenAt": NOW.replace(tzinfo=None),
            "expiresAt": (NOW + REMEMBERED_FOR).replace(tzinfo=None),
            "devices": {
                PHONE: {
                    "outcome": "accepted",
                    "reason": "a reason",
                    "status": 201,
                    "trackingId": "tracking",
                    "attempts": 2,
                    "ageMs": 1_500,
                    "unanswered": 1,
                    "device": "key",
                    "notificationId": "1-2-3",
                    "hub": "sandbox",
                }
            },
        }

    def test_of_the_version_before(self, ledger: Ledger, collection: Collection[mongodb.Document]) -> None:
        """An entry without the newer fields is read, and what it settled stays settled."""
        ledger.release(claimed(ledger), {PHONE: result()}, NOW)
        newer = {f"devices.{PHONE}.{name}": "" for name in ("unanswered", "device", "notificationId", "hub")}
        collection.update_one({"_id": KEY.document_id}, {"$unset": newer})
        assert claimed(ledger, "you").settled == {PHONE}
        entry = LedgerEntry.read(collection.find_one({"_id": KEY.document_id}) or {})
        record = entry.devices[PHONE]
        assert (record.unanswered, record.device_key) == (0, None)
        assert (record.notification_id, record.hub) == (None, "default")

    def test_expiry(self, ledger: Ledger, collection: Collection[mongodb.Document]) -> None:
        """An index has the database forget it after a day; it is made with the first event's end."""
        lease = claimed(ledger)
        assert "expiresAt_1" not in collection.index_information()
        ledger.finish(lease, {})
        assert collection.index_information()["expiresAt_1"]["expireAfterSeconds"] == 0

    def test_not_swept(self, ledger: Ledger, collection: Collection[mongodb.Document]) -> None:
        """Where no TTL index works, an event that comes after a day is new, and is claimed once."""
        ledger.finish(claimed(ledger), {PHONE: result()})
        assert isinstance(ledger.claim(KEY, "other", NOW + REMEMBERED_FOR - LEASE), Finished)
        assert ledger.known(KEY, NOW + REMEMBERED_FOR - LEASE) is not None
        assert ledger.known(KEY, NOW + REMEMBERED_FOR) is None
        # The one that has expired makes way; the claim is repeated as where another invocation has the lease.
        assert isinstance(ledger.claim(KEY, "other", NOW + REMEMBERED_FOR), HeldElsewhere)
        claim = ledger.claim(KEY, "other", NOW + REMEMBERED_FOR)
        assert isinstance(claim, Lease)
        assert (claim.is_new, claim.devices) == (True, {})
        assert isinstance(ledger.claim(KEY, "third", NOW + REMEMBERED_FOR), HeldElsewhere)
        assert collection.count_documents({}) == 1


class TestNote:
    NOTE = Note("missed", NOW, late_seconds=3.5)

    def test_kept(self, ledger: Ledger, collection: Collection[mongodb.Document]) -> None:
        """A note names the call, says what became of it, and expires with the ledger."""
        ledger.note(KEY, self.NOTE)
        (document,) = collection.find()
        entry = LedgerEntry.read(document)
        assert (document["_id"], entry.event_id, entry.call_id) == (KEY.document_id, "event-1", "call-1")
        assert entry.note == self.NOTE
        assert document["expiresAt"] == (NOW + REMEMBERED_FOR).replace(tzinfo=None)
        assert {"calls_1", "expiresAt_1"} <= set(collection.index_information())

    def test_hinders_no_redelivery(self, ledger: Ledger) -> None:
        """An event of which nothing but a note is known is handled as if it were new."""
        ledger.note(KEY, self.NOTE)
        assert claimed(ledger).settled == frozenset()

    def test_leaves_a_lease_alone(self, ledger: Ledger, collection: Collection[mongodb.Document]) -> None:
        """A note on an event that is being rung changes nothing about that."""
        claimed(ledger)
        before = collection.find_one()
        ledger.note(KEY, self.NOTE)
        after = collection.find_one() or {}
        assert {name: value for name, value in after.items() if name != "note"} == before
        assert isinstance(ledger.claim(KEY, "other", NOW), HeldElsewhere)

    def test_never_fails(self, wire: Collection[mongodb.Document]) -> None:
        """Where the database refuses, the call goes on without a note."""
        ledger = Ledger(wire, mongodb.Work(mongodb.Timeouts(3.0)), LEASE)
        admin = wire.database.client.admin
        data = {"failCommands": ["update"], "errorCode": 13}
        admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
        try:
            with app_log() as log:
                ledger.note(KEY, self.NOTE)
        finally:
            admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        assert len(log.events("call_not_noted")) == 1


class TestOverTheWire:
    def test_sixteen_claims(self, wire: Collection[mongodb.Document]) -> None:
        """Of claims that race for a new or an expired lease exactly one is granted."""
        ledger = Ledger(wire, mongodb.Work(mongodb.Timeouts(3.0)), LEASE)
        for round_number in range(5):
            now = NOW + round_number * LEASE

            def claim(number: int, now: object = now) -> bool:
                return isinstance(ledger.claim(KEY, f"{now}-{number}", now), Lease)  # type: ignore[arg-type]

            with ThreadPoolExecutor(16) as pool:
                assert sum(pool.map(claim, range(16))) == 1

    def test_results_of_many_writers(self, wire: Collection[mongodb.Document]) -> None:
        """Holders that write at once, the old and the new, overwrite nothing of each other's."""
        ledger = Ledger(wire, mongodb.Work(mongodb.Timeouts(3.0)), LEASE)
        lease = claimed(ledger)
        ids = [f"{number:064x}" for number in range(16)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda one: ledger.record(lease, {one: result()}, NOW), ids))
        assert claimed(ledger, "you", after=9).settled == set(ids)

    @pytest.mark.parametrize(
        "data",
        [{"errorCode": code} for code in (13, 18, 8000, 189, 10107, 112, 8)] + [{"closeConnection": True}],
    )
    @pytest.mark.parametrize("command", ["insert", "find", "update"])
    def test_one_failure(
        self, wire: Collection[mongodb.Document], command: str, data: dict[str, object]
    ) -> None:
        """A fault of one moment is tried again at once, whatever it is, although the driver repeats
        nothing."""
        ledger = Ledger(wire, mongodb.Work(mongodb.Timeouts(3.0)), LEASE)
        if command != "insert":
            claimed(ledger)
        admin = wire.database.client.admin
        order = {"failCommands": [command], **data}
        admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": order})
        taken = claimed(ledger, "you", after=9)
        assert taken.holder == "you"
        ledger.finish(taken, {PHONE: result()})
        assert ledger.claim(KEY, "they", NOW) == Finished()

    @pytest.mark.parametrize(
        ("code", "error"),
        [(13, ConfigurationError), (18, ConfigurationError), (8, DatabaseUnavailableError)],
    )
    def test_errors(self, wire: Collection[mongodb.Document], code: int, error: type[Exception]) -> None:
        """A server that refuses us is misconfiguration, any other error an unavailable database."""
        ledger = Ledger(wire, mongodb.Work(mongodb.Timeouts(3.0)), LEASE)
        admin = wire.database.client.admin
        data = {"failCommands": ["insert"], "errorCode": code}
        admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
        try:
            with pytest.raises(error) as raised:
                ledger.claim(KEY, "me", NOW)
        finally:
            admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        assert raised.value.__cause__ is None
        assert KEY.event_id not in str(raised.value)

    def test_a_database_without_ttl_indexes(self, wire: Collection[mongodb.Document]) -> None:
        """It leaves one line at ERROR; events are dealt with all the same."""
        ledger = Ledger(wire, mongodb.Work(mongodb.Timeouts(3.0)), LEASE)
        admin = wire.database.client.admin
        data = {"failCommands": ["createIndexes"], "errorCode": 67}
        # The first index is a plain one, which every database takes.
        admin.command({"configureFailPoint": "failCommand", "mode": {"skip": 1}, "data": data})
        try:
            with app_log() as log:
                ledger.finish(claimed(ledger), {})
                ledger.finish(claimed(ledger, key=EventKey("s", "2", None)), {})
        finally:
            admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        assert [line["level"] for line in log.events("ttl_index_refused")] == ["ERROR"]
        assert ledger.claim(KEY, "you", NOW) == Finished()
