"""One call's pushes side by side, with a scripted sender, a clock that stands still and no thread."""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, cast

import pytest

from models.push import DeviceResult, Outcome, OutcomeKind, Push, Unanswered
from push.fan_out import DeviceSend, FanOut, FanOutTools
from push.lease_keeper import LeaseKeeper
from push.side_by_side import Pools, SideBySide, Work
from tests.fakes import FakeClock, app_log, registration

ACCEPTED = Outcome(OutcomeKind.ACCEPTED, "queued", status=201)
REJECTED = Outcome(OutcomeKind.REJECTED, "malformed", status=400)
TRANSIENT = Outcome(OutcomeKind.TRANSIENT, "a passing fault", status=503)
SILENT = Outcome(OutcomeKind.TRANSIENT, "no answer", unanswered=Unanswered.TIMEOUT)
LOST = Outcome(OutcomeKind.TRANSIENT, "connection lost", unanswered=Unanswered.LOST)
DEADLINE = 17.0
NEARLY_ONE = 0.999
PATIENCE = 10.0
MOST_AT_ONCE = 8


class AtOnce(Executor):
    """Runs what it is given when it is given it."""

    def submit[**P, R](self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """A future that is done."""
        future: Future[R] = Future()
        future.set_result(work(*args, **kwargs))
        return future


class Script:
    """A sender that answers each device from a list, and the last answer for ever; it takes `seconds`."""

    def __init__(self, clock: FakeClock, answers: dict[str, Sequence[Outcome | Exception]]) -> None:
        self.seconds = 0.0
        self.sent: dict[str, list[float]] = defaultdict(list)
        self.time_left: list[float] = []
        self.fresh: list[bool] = []
        self.pushes: list[Push] = []
        self._clock = clock
        self._answers = {token: list(outcomes) for token, outcomes in answers.items()}

    def sender(self, name: str) -> "Script":  # noqa: ARG002 - one for all hubs
        """The script itself."""
        return self

    def sending(
        self, push: Push, device_token: str, time_left: float, *, fresh_connection: bool
    ) -> Work[Outcome]:
        """The next answer for the device; it needs no exchange."""
        yield from ()
        self.fresh.append(fresh_connection)
        self.sent[device_token].append(self._clock.monotonic())
        self.time_left.append(time_left)
        self.pushes.append(push)
        self._clock.sleep(min(self.seconds, time_left))
        answers = self._answers[device_token]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Idle:
    """A loop that is given no exchange."""

    is_idle = True

    def start(self, exchange: object) -> None:
        """Nothing is to be started."""
        raise AssertionError(exchange)

    def wait(self, seconds: float | None) -> list[Any]:
        """Nothing is waited for."""
        raise AssertionError(seconds)

    def close(self) -> None:
        """Nothing to do."""


class Keeper:
    """Keeps a lease until `lost`, and remembers what it is told; `log` has notes and saves in order."""

    def __init__(self, clock: FakeClock, lease: float = 1000.0) -> None:
        self.lost = False
        self.lease = lease
        self.log: list[str] = []
        self.results: dict[str, DeviceResult] = {}
        self.renewals = 0
        self._clock = clock
        self.send_until = clock.monotonic() + lease

    def prepare_send(self) -> bool:
        """Renewed once it is over."""
        if not self.lost and self._clock.monotonic() >= self.send_until:
            self.renewals += 1
            self.send_until = self._clock.monotonic() + self.lease
        return not self.lost

    def note(self, registration_id: str, result: DeviceResult) -> None:
        """Kept."""
        self.results[registration_id] = result
        self.log.append("note")

    def save(self) -> None:
        """Logged."""
        self.log.append("save")


class Bench:
    """A fan-out over fakes."""

    def __init__(self, **answers: Sequence[Outcome | Exception]) -> None:
        self.clock = FakeClock()
        self.sender = Script(self.clock, answers)
        self.keeper = Keeper(self.clock)
        self.sends = [DeviceSend(registration(device_token=token), self._push) for token in answers]
        self.pool: Executor = AtOnce()
        self.built = 0

    def _push(self) -> Push:
        self.built += 1
        return Push("apple", "application/json", (), str(self.clock.monotonic()).encode())

    def run(self, deadline: float = DEADLINE) -> None:
        """Send until it is over."""
        sends = SideBySide(Pools(self.pool, self.pool), MOST_AT_ONCE, Idle)
        tools = FanOutTools(self.sender, sends, self.clock, lambda: NEARLY_ONE)
        FanOut(tools, cast("LeaseKeeper", self.keeper), deadline, lambda: 42).run(self.sends)

    def outcomes(self) -> list[Outcome | None]:
        """The last of each device."""
        return [send.outcome for send in self.sends]


def test_each_device_once() -> None:
    """Devices that are accepted or refused are sent to once, and noted with their number of tries."""
    bench = Bench(a=[ACCEPTED], b=[REJECTED], c=[ACCEPTED])
    bench.run()
    assert bench.outcomes() == [ACCEPTED, REJECTED, ACCEPTED]
    assert {token: len(times) for token, times in bench.sender.sent.items()} == {"a": 1, "b": 1, "c": 1}
    found = {(result.outcome, result.attempts, result.age_ms) for result in bench.keeper.results.values()}
    assert found == {(ACCEPTED, 1, 42), (REJECTED, 1, 42)}


def test_no_device() -> None:
    """A fan-out to no device ends at once and writes nothing."""
    bench = Bench()
    bench.run()
    assert bench.keeper.log == []


def test_back_off() -> None:
    """A passing fault is tried again after growing pauses, for which the invocation's thread sleeps."""
    bench = Bench(a=[TRANSIENT, TRANSIENT, TRANSIENT, ACCEPTED])
    bench.run()
    pauses = [0.2 * NEARLY_ONE, 0.4 * NEARLY_ONE, 0.8 * NEARLY_ONE]
    assert bench.sender.sent["a"] == pytest.approx([0, pauses[0], sum(pauses[:2]), sum(pauses)])
    assert bench.sends[0].tries.number == 4


def test_each_try_has_a_push_of_its_own() -> None:
    """What a push says of the time left is true when it is sent, not when the call came in."""
    bench = Bench(a=[TRANSIENT, ACCEPTED])
    bench.run()
    built = [float(push.body) for push in bench.sender.pushes]
    assert built == bench.sender.sent["a"]
    assert built[1] > built[0]


def test_results_are_written_before_any_wait() -> None:
    """What has been accepted is saved before the wait for the next try of another device."""
    bench = Bench(a=[ACCEPTED], b=[TRANSIENT, ACCEPTED])
    bench.run()
    assert bench.keeper.log == ["note", "save", "note"]
    assert bench.sender.sent["b"][1] > 0


def test_nothing_is_noted_of_a_device_that_is_still_tried() -> None:
    """A transient outcome is noted when it is the last one, not before."""
    bench = Bench(a=[TRANSIENT, REJECTED])
    bench.run()
    assert [(result.outcome, result.attempts) for result in bench.keeper.results.values()] == [(REJECTED, 2)]


def test_a_silent_hub() -> None:
    """Tries without an answer are spread over the invocation: at once, then with a pause."""
    bench = Bench(a=[SILENT])
    bench.sender.seconds = 5.0
    bench.run()
    assert bench.sender.sent["a"] == [0.0, 5.0, 12.0]


def test_a_try_that_may_have_rung_is_written_down_before_the_next() -> None:
    """It counts in later deliveries of the event even if this process dies while it waits."""
    bench = Bench(a=[SILENT, ACCEPTED])
    bench.run()
    assert bench.keeper.log == ["note", "save", "note"]
    (result,) = bench.keeper.results.values()
    assert (result.outcome, result.unanswered) == (ACCEPTED, 1)


def test_lost_connections() -> None:
    """A push whose connection was lost twice is not sent again in this delivery."""
    bench = Bench(a=[LOST])
    bench.run()
    assert len(bench.sender.sent["a"]) == 2


def test_a_try_after_a_failure_goes_over_a_new_connection() -> None:
    """The first try may use a kept connection, the others may not."""
    bench = Bench(a=[TRANSIENT, SILENT, ACCEPTED])
    bench.run()
    assert bench.sender.fresh == [False, True, True]


def test_a_send_is_bounded_by_the_lease() -> None:
    """A send gets what is left of the lease where that is less than the time to the deadline."""
    bench = Bench(a=[ACCEPTED])
    bench.keeper = Keeper(bench.clock, lease=3.0)
    bench.run()
    assert bench.sender.time_left == [3.0]


def test_a_try_after_a_failure_takes_a_new_connection() -> None:
    """The first try may use a kept connection, the others must not."""
    bench = Bench(a=[TRANSIENT, TRANSIENT, ACCEPTED])
    bench.run()
    assert bench.sender.fresh == [False, True, True]


def test_a_send_knows_its_time() -> None:
    """A sender is told how much time is left until the deadline."""
    bench = Bench(a=[TRANSIENT, ACCEPTED])
    bench.run()
    first, second = bench.sender.time_left
    assert first == DEADLINE
    assert second == pytest.approx(DEADLINE - 0.2 * NEARLY_ONE)


def test_nothing_is_sent_after_the_deadline() -> None:
    """A device that has not been tried by then stays without an outcome."""
    bench = Bench(a=[ACCEPTED], b=[ACCEPTED])
    bench.run(deadline=0.0)
    assert bench.outcomes() == [None, None]
    assert bench.sender.sent == {}


def test_the_deadline_ends_the_tries() -> None:
    """Tries that would come after it are not made; the last outcome is noted, and saved at the end."""
    bench = Bench(a=[TRANSIENT])
    bench.run()
    assert max(bench.sender.sent["a"]) < DEADLINE
    (result,) = bench.keeper.results.values()
    assert (result.outcome, result.attempts) == (TRANSIENT, len(bench.sender.sent["a"]))


def test_the_lease_is_renewed_for_a_send() -> None:
    """A try that is due after the end of the lease renews it first."""
    bench = Bench(a=[TRANSIENT, TRANSIENT, TRANSIENT, ACCEPTED])
    bench.keeper = Keeper(bench.clock, lease=0.3)
    bench.run()
    assert bench.outcomes() == [ACCEPTED]
    assert bench.keeper.renewals == 2


def test_nothing_is_sent_after_the_lease_was_lost() -> None:
    """Neither a first try nor another one."""
    bench = Bench(a=[ACCEPTED])
    bench.keeper.lost = True
    bench.run()
    assert bench.outcomes() == [None]
    bench = Bench(a=[TRANSIENT, ACCEPTED], b=[ACCEPTED])
    original = bench.keeper.save

    def save_and_lose() -> None:
        original()
        bench.keeper.lost = True

    bench.keeper.save = save_and_lose  # type: ignore[method-assign]
    bench.run()
    assert bench.outcomes() == [TRANSIENT, ACCEPTED]
    assert len(bench.sender.sent["a"]) == 1


def test_an_exception_stays_with_its_device() -> None:
    """A send that raises counts as a passing fault of its device and is tried again; the others ring."""
    bench = Bench(a=[ValueError("token-1")], b=[ACCEPTED])
    with app_log() as log:
        bench.run()
    first, second = bench.outcomes()
    assert second == ACCEPTED
    assert first is not None
    assert (first.kind, first.code, bench.sends[0].tries.number) == (
        OutcomeKind.TRANSIENT,
        "internal_error",
        2,
    )
    assert "token-1" not in log.text


class Jammed(Executor):
    """A pool whose threads are all busy: what is submitted starts late, or never."""

    def __init__(self, clock: FakeClock, late: float) -> None:
        self._clock = clock
        self._late = late

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs it, a while later."""
        self._clock.sleep(self._late)
        future: Future[Any] = Future()
        future.set_result(work(*args, **kwargs))
        self._late = 0.0
        return future


def test_a_send_that_had_to_queue_renews_the_lease() -> None:
    """A send whose turn in the pool comes after the end of the lease is sent under a new one."""
    bench = Bench(a=[ACCEPTED], b=[ACCEPTED])
    bench.keeper = Keeper(bench.clock, lease=1.0)
    bench.pool = Jammed(bench.clock, late=1.5)
    bench.run()
    assert bench.outcomes() == [ACCEPTED, ACCEPTED]
    assert bench.keeper.renewals >= 1
    assert [len(times) for times in bench.sender.sent.values()] == [1, 1]


def test_a_send_that_queued_beyond_the_deadline_is_not_made() -> None:
    """The call is over by the time that a thread is free."""
    bench = Bench(a=[ACCEPTED], b=[ACCEPTED])
    bench.pool = Jammed(bench.clock, late=DEADLINE)
    bench.run()
    assert bench.outcomes() == [None, None]
    assert bench.sender.sent == {}


class Exhausted(Executor):
    """A pool that can start no further thread. It has queued the work by then, which a thread of it does at
    once, late or never, as ThreadPoolExecutor does."""

    def __init__(self, does: Literal["at once", "late", "never"]) -> None:
        self._does = does
        self._queued: list[Callable[[], object]] = []

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Raises what Python raises where the machine has no thread left."""
        self._queued.append(partial(work, *args, **kwargs))
        if self._does == "at once":
            self.do()
        raise RuntimeError("can't start new thread")

    def do(self) -> None:
        """Do what is queued."""
        while self._queued:
            self._queued.pop(0)()


@pytest.mark.parametrize("does", ["at once", "late", "never"])
def test_no_thread_left(does: Literal["at once", "late", "never"]) -> None:
    """A machine that has no thread left costs no ring and doubles none: this thread sends."""
    bench = Bench(a=[ACCEPTED], b=[TRANSIENT, ACCEPTED])
    bench.pool = pool = Exhausted(does)
    bench.run()
    if does == "late":
        pool.do()
    assert bench.outcomes() == [ACCEPTED, ACCEPTED]
    assert {token: len(times) for token, times in bench.sender.sent.items()} == {"a": 1, "b": 2}
    assert set(bench.keeper.results) == {send.device.registration_id for send in bench.sends}


def test_a_send_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that no time-out ends does not keep the invocation from ending, soon after its deadline."""
    bench = Bench(a=[ACCEPTED], b=[ACCEPTED])
    hangs, released = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> Work[Outcome]:
        hangs.set()
        released.wait(PATIENCE)
        yield from ()
        return ACCEPTED

    monkeypatch.setattr(bench.sender, "sending", hang)
    with ThreadPoolExecutor(2) as bench.pool, app_log() as log:
        running = threading.Thread(target=bench.run, kwargs={"deadline": 0.05})
        running.start()
        assert hangs.wait(PATIENCE)
        bench.clock.sleep(2)  # the fan-out looks at it every 0.05 s
        running.join(PATIENCE)
        released.set()
    # It may have rung, and counts as such in later deliveries. The other has not had its turn.
    assert [outcome and outcome.unanswered for outcome in bench.outcomes()] == [Unanswered.TIMEOUT, None]
    assert [result.unanswered for result in bench.keeper.results.values()] == [1]
    assert log.events("sends_abandoned")[0]["devices"] == 1
