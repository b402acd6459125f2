"""One invocation's lease on an event, over a ledger in memory and a clock that stands still."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import cast

import pytest

from models.errors import ConfigurationError, DatabaseUnavailableError
from models.push import DeviceResult, Outcome, OutcomeKind
from push.lease_keeper import CLOCKS_AGREE_WITHIN_SECONDS, SHORTEST_SEND_SECONDS, LeaseKeeper
from push.ledger import Lease, Ledger
from push.ledger_entry import EventKey
from tests.fakes import FakeClock, app_log

LEASE = timedelta(seconds=9)
LONGEST_SEND = 7.0
INVOCATION = 20.0
USABLE = LEASE.total_seconds() - CLOCKS_AGREE_WITHIN_SECONDS
"""Seconds of a lease in which a send may run."""
RESULT = DeviceResult(Outcome(OutcomeKind.ACCEPTED, "queued"), 1, 10)
ERRORS = [DatabaseUnavailableError("it is down"), ConfigurationError("it refuses")]


class Book:
    """A ledger for one event: `taken` once another invocation has it, `error` raised by every method."""

    def __init__(self, clock: FakeClock) -> None:
        self.taken = False
        self.error: Exception | None = None
        self.seconds = 0.0
        self.calls: list[str] = []
        self._clock = clock
        self.results: dict[str, DeviceResult] = {}

    def renew(self, lease: Lease, now: datetime) -> Lease | None:
        """The lease from now on."""
        return self._granted("renew", lease, now)

    def record(self, lease: Lease, results: Mapping[str, DeviceResult], now: datetime) -> Lease | None:
        """The same, with results."""
        renewed = self._granted("record", lease, now)
        self.results.update(results)
        return renewed

    def finish(self, lease: Lease, results: Mapping[str, DeviceResult]) -> None:
        """The end."""
        self._granted("finish", lease, lease.until)
        self.results.update(results)

    def release(self, lease: Lease, results: Mapping[str, DeviceResult], now: datetime) -> None:
        """The end of this delivery."""
        self._granted("release", lease, now)
        self.results.update(results)

    def _granted(self, call: str, lease: Lease, now: datetime) -> Lease | None:
        self.calls.append(call)
        self._clock.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        if self.taken:
            return None
        return Lease(lease.key, lease.holder, now + LEASE, lease.first_seen, devices=lease.devices)


@pytest.fixture
def clock() -> FakeClock:
    """Stands still."""
    return FakeClock()


@pytest.fixture
def book(clock: FakeClock) -> Book:
    """No other invocation has the event."""
    return Book(clock)


@pytest.fixture
def keeper(clock: FakeClock, book: Book) -> LeaseKeeper:
    """A lease that was granted this moment."""
    now = clock.now()
    lease = Lease(EventKey("source", "id", "call"), "me", now + LEASE, now)
    return LeaseKeeper(cast("Ledger", book), lease, clock, LONGEST_SEND, INVOCATION)


class TestRenewing:
    def test_not_before_the_first_send(self, keeper: LeaseKeeper, book: Book, clock: FakeClock) -> None:
        """With a slow database little of the lease may be left: the send is bounded by it, not refused."""
        clock.sleep(USABLE - 2 * SHORTEST_SEND_SECONDS)
        assert keeper.prepare_send()
        assert book.calls == []
        assert keeper.send_until == pytest.approx(USABLE)

    def test_before_a_later_send(self, keeper: LeaseKeeper, book: Book, clock: FakeClock) -> None:
        """A send that may take longer than what is left renews the lease, once a send has been made."""
        assert keeper.prepare_send()
        clock.sleep(USABLE - LONGEST_SEND + 0.01)
        assert keeper.prepare_send()
        assert book.calls == ["renew"]
        assert keeper.send_until == pytest.approx(clock.monotonic() + USABLE)

    def test_not_while_a_send_fits(self, keeper: LeaseKeeper, book: Book, clock: FakeClock) -> None:
        """A send that ends within the lease costs no round trip."""
        assert keeper.prepare_send()
        clock.sleep(USABLE - LONGEST_SEND)
        assert keeper.prepare_send()
        assert book.calls == []

    def test_after_its_end(self, keeper: LeaseKeeper, book: Book, clock: FakeClock) -> None:
        """With next to nothing left the lease is renewed, send or no send."""
        clock.sleep(USABLE)
        assert keeper.prepare_send()
        assert book.calls == ["renew"]

    def test_a_slow_renewal(self, keeper: LeaseKeeper, book: Book, clock: FakeClock) -> None:
        """A renewal that takes 3 s leaves time for a send, and no second renewal follows it."""
        book.seconds = 3.0
        clock.sleep(USABLE)
        assert keeper.prepare_send()
        assert keeper.send_until - clock.monotonic() == pytest.approx(USABLE - 3.0)
        assert book.calls == ["renew"]

    def test_taken_over(self, keeper: LeaseKeeper, book: Book, clock: FakeClock) -> None:
        """Once another invocation has the event nothing may be sent, for good."""
        clock.sleep(USABLE + 1)
        book.taken = True
        with app_log() as log:
            assert not keeper.prepare_send()
        assert keeper.lost
        assert len(log.events("lease_lost")) == 1
        book.taken = False
        assert not keeper.prepare_send()
        assert book.calls == ["renew"]

    @pytest.mark.parametrize("error", ERRORS)
    def test_a_renewal_that_fails(
        self, keeper: LeaseKeeper, book: Book, clock: FakeClock, error: Exception
    ) -> None:
        """What is left of the lease is used; after its end nothing may be sent until a renewal succeeds."""
        keeper.prepare_send()
        clock.sleep(USABLE - 1)
        book.error = error
        with app_log() as log:
            assert keeper.prepare_send()
            clock.sleep(1)
            assert not keeper.prepare_send()
        assert len(log.events("lease_not_renewed")) == 2
        assert not keeper.lost
        book.error = None
        assert keeper.prepare_send()


class TestWriting:
    def test_nothing_to_save(self, keeper: LeaseKeeper, book: Book) -> None:
        """Saving nothing costs no round trip."""
        keeper.save()
        assert book.calls == []

    def test_saving_renews(self, keeper: LeaseKeeper, book: Book, clock: FakeClock) -> None:
        """What is written down renews the lease on the way, and is written once."""
        clock.sleep(1)
        keeper.note("device", RESULT)
        keeper.save()
        keeper.save()
        assert book.calls == ["record"]
        assert book.results == {"device": RESULT}
        assert keeper.send_until == pytest.approx(1 + USABLE)

    def test_a_failed_save_is_made_up_for(self, keeper: LeaseKeeper, book: Book) -> None:
        """What could not be written is written the next time; the lease is not lost by it."""
        keeper.note("device", RESULT)
        book.error = ERRORS[0]
        with app_log():
            keeper.save()
        assert not keeper.lost
        book.error = None
        keeper.save()
        assert book.results == {"device": RESULT}

    def test_saving_finds_out_that_it_is_lost(self, keeper: LeaseKeeper, book: Book) -> None:
        """A record that finds another holder leaves what has rung in the ledger, and ends the sends."""
        book.taken = True
        keeper.note("device", RESULT)
        with app_log():
            keeper.save()
        assert keeper.lost
        assert book.results == {"device": RESULT}
        assert not keeper.prepare_send()

    @pytest.mark.parametrize("end", ["finish", "release"])
    def test_the_last_write(self, keeper: LeaseKeeper, book: Book, end: str) -> None:
        """What is left to be written goes with the end."""
        keeper.note("device", RESULT)
        getattr(keeper, end)()
        assert (book.calls, book.results) == ([end], {"device": RESULT})

    @pytest.mark.parametrize("error", ERRORS)
    @pytest.mark.parametrize("end", ["finish", "release"])
    def test_the_last_write_may_fail(
        self, keeper: LeaseKeeper, book: Book, end: str, error: Exception
    ) -> None:
        """It is logged; what was rung was rung."""
        book.error = error
        with app_log() as log:
            getattr(keeper, end)()
        assert len(log.events("ledger_not_written")) == 1

    @pytest.mark.parametrize(("after", "lines"), [(USABLE - 1, 0), (USABLE + 1, 1)])
    def test_a_late_last_write(self, keeper: LeaseKeeper, clock: FakeClock, after: float, lines: int) -> None:
        """Once the lease has run out, another delivery may have rung the same devices: that is logged."""
        keeper.note("device", RESULT)
        clock.sleep(after)
        with app_log() as log:
            keeper.finish()
        assert [line["event_id"] for line in log.events("ledger_written_late")] == ["id"] * lines

    def test_what_was_rung_under_a_lost_lease(
        self, keeper: LeaseKeeper, book: Book, clock: FakeClock
    ) -> None:
        """It is written at the end, so that the event's next holder leaves the device alone."""
        clock.sleep(USABLE + 1)
        book.taken = True
        with app_log():
            keeper.prepare_send()
        keeper.note("device", RESULT)
        keeper.save()
        assert book.results == {}
        keeper.release()
        assert book.results == {"device": RESULT}
