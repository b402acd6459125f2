"""What becomes of calls, over mongomock and over the wire."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import cast

import pytest
from pymongo import errors
from pymongo.collection import Collection

from common import mongodb
from models.call_end import CallEnd
from models.call_keys import call_keys
from models.identity import Identity
from models.report import DeviceState
from push.call_states import CallStates
from push.ledger import Lease, Ledger
from push.ledger_entry import Answer, AnswerKind, EventKey, NoticeKind, NoticeState, RingFacts
from push.ring_state import Marks
from tests.fakes import ALICE, BOB, NOW, FakeClock

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

SOURCE = "/subscriptions/1"
KEYS = call_keys("call-1", None)
LEASE = timedelta(seconds=9)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.fixture
def states(collection: Collection[mongodb.Document]) -> CallStates:
    return states_of(collection)


def states_of(collection: Collection[mongodb.Document]) -> CallStates:
    return CallStates(collection, mongodb.Work(mongodb.Timeouts(3, None), FakeClock()))


def facts(callee: str = ALICE, call_id: str = "call-1") -> RingFacts:
    return RingFacts(SOURCE, callee, callee, call_id, call_keys(call_id, None), NOW, None)


def ring(collection: Collection[mongodb.Document], of: RingFacts, event_id: str = "event-1") -> str:
    """The id of a ring that has begun."""
    ledger = Ledger(collection, mongodb.Work(mongodb.Timeouts(3, None), FakeClock()), LEASE)
    claim = ledger.claim(EventKey(SOURCE, event_id, of.call_id), "holder", NOW, of)
    assert isinstance(claim, Lease)
    return claim.key.document_id


def end(joined: str | None = None, source: str = SOURCE) -> CallEnd:
    return CallEnd("e", source, KEYS, None, Identity.parse(joined) if joined else None, "call-1")


class TestMarks:
    def test_seen_by_the_ring(self, states: CallStates, collection: Collection[mongodb.Document]) -> None:
        """A mark left before the ring is found with it; of several the latest counts."""
        states.mark(end(), NOW + SECOND)
        states.mark(end(), NOW - SECOND)
        entry_id = ring(collection, facts())
        entry, marks = states.look(entry_id, facts(), NOW)
        assert entry is not None
        assert marks.ended_at == NOW + SECOND
        assert marks.joined_at is None

    def test_two_at_once(self, wire: Collection[mongodb.Document]) -> None:
        """Where two instances insert a mark at the same moment, the second one updates it."""

        class LosesTheRace:
            """Another instance inserts first, once."""

            def __init__(self) -> None:
                self.database = wire.database
                self.lost = False

            def update_one(self, wanted: object, change: object, *, upsert: bool = False) -> object:
                if upsert and not self.lost:
                    self.lost = True
                    states_of(wire).mark(end(), NOW)
                    raise errors.DuplicateKeyError("E11000", 11000)
                return wire.update_one(wanted, change, upsert=upsert)  # type: ignore[arg-type]

        states_of(cast("Collection[mongodb.Document]", LosesTheRace())).mark(end(), NOW + SECOND)
        assert states_of(wire).look("none", facts(), NOW)[1].ended_at == NOW + SECOND

    def test_of_others(self, states: CallStates) -> None:
        """Another source's end and another callee's join are not of this ring; sources have no case."""
        states.mark(end(source="/subscriptions/2"), NOW)
        states.mark(end(joined=BOB), NOW)
        assert states.look("none", facts(), NOW) == (None, marks_of(states, "none"))
        states.mark(end(source=SOURCE.upper()), NOW)
        assert states.look("none", facts(), NOW)[1].ended_at == NOW

    def test_lives_a_day(self, states: CallStates, collection: Collection[mongodb.Document]) -> None:
        """The index that expires ledger entries expires marks."""
        states.mark(end(), NOW)
        (mark,) = collection.find()
        assert mark["expiresAt"].replace(tzinfo=None) == (NOW + DAY).replace(tzinfo=None)

    def test_not_swept(self, states: CallStates, collection: Collection[mongodb.Document]) -> None:
        """Where no TTL index works, a mark and a ring that have expired count as deleted all the same."""
        states.mark(end(), NOW)
        entry_id = ring(collection, facts())
        last = NOW + DAY - timedelta(milliseconds=1)
        entry, marks = states.look(entry_id, facts(), last)
        assert (entry is None, marks.ended_at) == (False, NOW)
        assert states.look(entry_id, facts(), NOW + DAY) == (None, Marks())
        assert [each.id for each in states.rings_of(end(), NOW, last)] == [entry_id]
        assert states.rings_of(end(), NOW, NOW + DAY) == []


def marks_of(states: CallStates, entry_id: str) -> object:
    return states.look(entry_id, facts(call_id="another"), NOW)[1]


class TestRings:
    def test_of_an_end(self, states: CallStates, collection: Collection[mongodb.Document]) -> None:
        """An end is of all callees' rings, a join of one's; not of rings that began after it."""
        of_alice = ring(collection, facts())
        of_bob = ring(collection, facts(BOB), "event-2")
        ring(collection, facts(call_id="call-2"), "event-3")
        assert {each.id for each in states.rings_of(end(), NOW, NOW)} == {of_alice, of_bob}
        assert [each.id for each in states.rings_of(end(joined=BOB), NOW, NOW)] == [of_bob]
        assert [each.id for each in states.rings_of(end(), NOW - 3 * SECOND, NOW)] == []
        assert len(states.rings_of(end(), NOW - 2 * SECOND, NOW)) == 2

    def test_to_a_callee(self, states: CallStates, collection: Collection[mongodb.Document]) -> None:
        """By the call id in any case, for a day."""
        entry_id = ring(collection, facts())
        ring(collection, facts(BOB), "event-2")
        assert [each.id for each in states.rings_to(Identity.parse(ALICE), "CALL-1", NOW)] == [entry_id]
        assert states.rings_to(Identity.parse(ALICE), "call-2", NOW) == []
        assert states.rings_to(Identity.parse(ALICE), "call-1", NOW + timedelta(days=1)) == []


class TestOnce:
    def test_answer(self, states: CallStates, collection: Collection[mongodb.Document]) -> None:
        """The first answer stays."""
        entry_id = ring(collection, facts())
        assert states.answer(entry_id, Answer(AnswerKind.DECLINED, NOW, "phone"))
        assert not states.answer(entry_id, Answer(AnswerKind.ANSWERED, NOW, "tablet"))
        entry, _ = states.look(entry_id, facts(), NOW)
        assert entry is not None
        assert entry.answer == Answer(AnswerKind.DECLINED, NOW, "phone")

    def test_report(self, states: CallStates, collection: Collection[mongodb.Document]) -> None:
        """A state's first report stays, for each device and state."""
        entry_id = ring(collection, facts())
        assert states.report(entry_id, "phone", DeviceState.RINGING, NOW)
        assert not states.report(entry_id, "phone", DeviceState.RINGING, NOW + SECOND)
        assert states.report(entry_id, "phone", DeviceState.MISSED, NOW)
        assert states.report(entry_id, "tablet", DeviceState.RINGING, NOW)
        entry, _ = states.look(entry_id, facts(), NOW)
        assert entry is not None
        assert entry.reports["phone"] == {DeviceState.RINGING: NOW, DeviceState.MISSED: NOW}


class TestClaims:
    """Over the wire alone: mongomock does not take the bulk writes of this pymongo."""

    def test_claims(self, wire: Collection[mongodb.Document]) -> None:
        """Each notice is taken once; one that cannot have arrived may be taken again."""
        states = states_of(wire)
        entry_id = ring(wire, facts())
        assert states.claim(entry_id, NoticeKind.STOP, ["phone", "tablet"]) == {"phone", "tablet"}
        assert states.claim(entry_id, NoticeKind.STOP, ["phone", "watch"]) == {"watch"}
        assert states.claim(entry_id, NoticeKind.MISSED, ["phone"]) == {"phone"}
        states.settle(entry_id, NoticeKind.STOP, {"phone": NoticeState.SENT, "tablet": None})
        assert states.claim(entry_id, NoticeKind.STOP, ["phone", "tablet"]) == {"tablet"}
        entry, _ = states.look(entry_id, facts(), NOW)
        assert entry is not None
        assert entry.notices[NoticeKind.STOP]["phone"] is NoticeState.SENT

    def test_unless_it_is_answered(self, wire: Collection[mongodb.Document]) -> None:
        """No device that answered is stopped, and no answered call is told as missed."""
        states = states_of(wire)
        entry_id = ring(wire, facts())
        states.report(entry_id, "phone", DeviceState.ANSWERED, NOW)
        states.report(entry_id, "watch", DeviceState.DECLINED, NOW)
        states.report(entry_id, "tablet", DeviceState.MISSED, NOW)
        devices = ["phone", "tablet", "watch"]
        assert states.claim(entry_id, NoticeKind.STOP, devices) == {"tablet"}
        assert states.claim(entry_id, NoticeKind.MISSED, ["phone"]) == {"phone"}
        states.answer(entry_id, Answer(AnswerKind.ANSWERED, NOW, "phone"))
        assert states.claim(entry_id, NoticeKind.MISSED, devices) == frozenset()

    def test_of_a_ring_that_is_gone(self, wire: Collection[mongodb.Document]) -> None:
        """Nothing is taken and nothing is written."""
        states = states_of(wire)
        assert states.claim("none", NoticeKind.STOP, ["phone"]) == frozenset()
        assert not states.answer("none", Answer(AnswerKind.ANSWERED, NOW))
        states.end("none", NOW)
        assert states.look("none", facts(), NOW)[0] is None


class TestRaces:
    def test_claims(self, wire: Collection[mongodb.Document]) -> None:
        """Of many that claim at once, each notice goes to one."""
        entry_id = ring(wire, facts())
        states = CallStates(wire, mongodb.Work(mongodb.Timeouts(10, None), FakeClock()))
        devices = [f"device-{number}" for number in range(10)]
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda _: states.claim(entry_id, NoticeKind.STOP, devices), range(16)))
        assert sorted(device for each in won for device in each) == sorted(devices)
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(
                    lambda name: states.answer(entry_id, Answer(AnswerKind.ANSWERED, NOW, name)), devices
                )
            )
        assert answers.count(True) == 1
