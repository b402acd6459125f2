"""Work side by side in one thread: each piece once, as many at once as there are slots."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push.hub.answers import Answer, NoAnswer
from push.side_by_side import Pools, SideBySide, Work, perform

PATIENCE = 10.0
CREATED = Answer(201, {})


class Scripted(Executor):
    """A pool that does its work when told to. As ThreadPoolExecutor, it queues also what it raises for."""

    def __init__(self, has_threads: Iterator[bool] | None = None) -> None:
        self.queued: deque[Callable[[], object]] = deque()
        self._has_threads = has_threads

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue it, and raise where the script says that there is no thread."""
        self.queued.append(partial(work, *args, **kwargs))
        if self._has_threads is not None and not next(self._has_threads, True):
            raise RuntimeError("can't start new thread")
        return Future()

    def do_all(self) -> None:
        """Do what is queued."""
        while self.queued:
            self.queued.popleft()()


class Ask:
    """An exchange."""

    def __init__(self, item: object, reply: Answer | NoAnswer = CREATED, *, is_kept: bool = True) -> None:
        self.item = item
        self.reply = reply
        self.is_kept = is_kept

    def perform(self) -> Answer | NoAnswer:
        """In the thread itself."""
        return self.reply


class FakeLoop:
    """Ends the exchanges one by one, the latest first, and counts how many are under way."""

    def __init__(self) -> None:
        self.under_way: list[Ask] = []
        self.most = 0
        self.is_idle = True
        self.is_closed = False

    def start(self, exchange: Ask) -> None:
        """One more."""
        self.under_way.append(exchange)
        self.most = max(self.most, len(self.under_way))

    def wait(self, seconds: float | None) -> Sequence[tuple[Ask, Answer | NoAnswer]]:  # noqa: ARG002
        """The one that was started last."""
        exchange = self.under_way.pop()
        return [(exchange, exchange.reply)]

    def close(self) -> None:
        """Remembered."""
        self.is_closed = True


def twice(item: int) -> Work[tuple[int, list[Answer | NoAnswer]]]:
    """Work that needs two exchanges."""
    first = yield Ask(item)
    second = yield Ask(item, NoAnswer.TIMED_OUT)
    return item, [first, second]


def start_and_do[Item, Result](
    work: Callable[[Item], Work[Result]], items: Iterable[Item], most: int = 8
) -> tuple[list[Future[Result]], list[FakeLoop]]:
    """Start the work on one thread, this one, and do it."""
    pool = Scripted()
    loops: list[FakeLoop] = []

    def make_loop() -> FakeLoop:
        loops.append(FakeLoop())
        return loops[-1]

    futures = SideBySide(Pools(pool, pool), most, make_loop).start(work, items)
    assert len(pool.queued) == 1
    pool.do_all()
    return list(futures), loops


def test_in_the_thread_itself() -> None:
    """Work is sent the reply to each exchange."""
    assert perform(twice(7)) == (7, [CREATED, NoAnswer.TIMED_OUT])


def test_an_exchange_that_raises() -> None:
    """The work is told, as if it had been raised there."""

    class Raising(Ask):
        def perform(self) -> Answer | NoAnswer:
            raise OSError

    def work() -> Work[list[object]]:
        try:
            yield Raising("first")
        except OSError as error:
            return [error, (yield Ask("second"))]
        return []

    error, reply = perform(work())
    assert (type(error), reply) == (OSError, CREATED)


class Slowly(Ask):
    """An exchange over a new connection."""

    def __init__(self, item: object, act: Callable[[], object] = lambda: None) -> None:
        super().__init__(item, is_kept=False)
        self._act = act

    def perform(self) -> Answer | NoAnswer:
        """In a thread of its own."""
        self._act()
        return self.reply


def test_a_new_connection_has_a_thread_of_its_own() -> None:
    """Also where it is needed after a kept one; the loop goes on meanwhile."""
    calls, connections, loop = Scripted(), Scripted(), FakeLoop()

    def work(item: int) -> Work[list[Answer | NoAnswer]]:
        first = yield Ask(item)
        second = yield Slowly(item) if item % 2 else Ask(item, NoAnswer.TIMED_OUT)
        return [first, second]

    futures = list(SideBySide(Pools(calls, connections), 8, lambda: loop).start(work, range(4)))
    calls.do_all()
    assert [future.done() for future in futures] == [True, False, True, False]
    assert len(connections.queued) == 2
    connections.do_all()
    assert [future.result(0) for future in futures] == [[CREATED, NoAnswer.TIMED_OUT], [CREATED, CREATED]] * 2


def test_all_new_connections_at_once() -> None:
    """None waits for another."""
    together = threading.Barrier(20)

    def work(item: int) -> Work[int]:
        yield Slowly(item, lambda: together.wait(PATIENCE))
        return item

    with ThreadPoolExecutor(20) as calls, ThreadPoolExecutor(20) as connections:
        futures = SideBySide(Pools(calls, connections), 20, FakeLoop).start(work, range(20))
        assert sorted(future.result(PATIENCE) for future in futures) == list(range(20))


def test_new_connections_have_slots_too() -> None:
    """Calls that wait for one do not keep the threads from those that have one."""
    lock, together = threading.Lock(), 0
    seen: list[int] = []

    def count_one(change: int) -> None:
        nonlocal together
        with lock:
            together += change
            seen.append(together)

    def work(item: int) -> Work[int]:
        count_one(1)
        yield Slowly(item)
        count_one(-1)
        return item

    with ThreadPoolExecutor(2) as calls, ThreadPoolExecutor(2) as connections:
        sends = SideBySide(Pools(calls, connections), 2, FakeLoop)
        several = [list(sends.start(work, range(20))) for _ in range(20)]
        assert [[future.result(PATIENCE) for future in call] for call in several] == [list(range(20))] * 20
    assert max(seen) == 2


@pytest.mark.parametrize("is_done_late", [False, True])
def test_no_thread_for_a_new_connection(*, is_done_late: bool) -> None:
    """The thread of the call does the rest; what the pool has queued all the same does nothing."""
    calls, connections = Scripted(), Scripted(iter([False] * 9))
    performed: list[int] = []

    def work(item: int) -> Work[int]:
        yield Slowly(item, lambda: performed.append(item))
        return item

    futures = SideBySide(Pools(calls, connections), 8, FakeLoop).start(work, range(3))
    calls.do_all()
    if is_done_late:
        connections.do_all()
    assert [future.result(0) for future in futures] == [0, 1, 2]
    assert performed == [0, 1, 2]


def test_no_item() -> None:
    """Nothing to do makes no loop."""
    futures, loops = start_and_do(twice, [])
    assert (futures, loops) == ([], [])


@pytest.mark.parametrize("most", [1, 3, 30])
def test_every_item_once(most: int) -> None:
    """All with one loop, as many at once as there are slots; each is sent the replies to its own
    exchanges."""
    futures, (loop,) = start_and_do(twice, range(20), most)
    expected = [(item, [CREATED, NoAnswer.TIMED_OUT]) for item in range(20)]
    assert [future.result(0) for future in futures] == expected
    assert loop.most == min(most, 20)


def test_a_loop_is_used_again() -> None:
    """It keeps the certificate authorities in memory."""
    pool, loops = Scripted(), []

    def make_loop() -> FakeLoop:
        loops.append(FakeLoop())
        return loops[-1]

    sends = SideBySide(Pools(pool, pool), 8, make_loop)
    for _ in range(3):
        sends.start(twice, range(2))
        pool.do_all()
    assert [loop.is_closed for loop in loops] == [False]
    sends.close()
    assert [loop.is_closed for loop in loops] == [True]


def test_work_without_an_exchange() -> None:
    """Such as one for which no time is left."""

    def work(item: int) -> Work[int]:
        yield from ()
        return item

    futures, _ = start_and_do(work, range(3))
    assert [future.result(0) for future in futures] == [0, 1, 2]


def test_cancelled() -> None:
    """An item that is cancelled before its turn is left out, and the ones after it are not."""
    pool = Scripted()
    done: list[int] = []

    def work(item: int) -> Work[None]:
        done.append(item)
        yield Ask(item)

    futures = SideBySide(Pools(pool, pool), 2, FakeLoop).start(work, range(5))
    for future, item in futures.items():
        assert item not in {0, 1, 4} or future.cancel()
    pool.do_all()
    assert done == [2, 3]


@pytest.mark.parametrize("method", ["start", "wait"])
def test_a_loop_that_fails(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work that is under way is told, the rest is done with another loop, and no slot is lost."""

    def fail(*_: object) -> None:
        raise OSError

    failing = FakeLoop()
    monkeypatch.setattr(failing, method, fail)
    loops = [failing, FakeLoop()]
    pool, rest = Scripted(), deque(loops)
    sends = SideBySide(Pools(pool, pool), 2, rest.popleft)
    failed = 1 if method == "start" else 2
    for expected in (["failed"] * failed + ["done"] * (4 - failed), ["done"] * 4):
        futures = sends.start(told, range(4))
        pool.do_all()
        assert [future.result(0) for future in futures] == expected
    assert [loop.is_closed for loop in loops] == [True, False]


def told(item: int) -> Work[str]:
    """Work that says whether its exchange has had a reply."""
    try:
        yield Ask(item)
    except OSError:
        return "failed"
    return "done"


def test_no_loop_can_be_made() -> None:
    """Such as for want of a file descriptor: each piece of work has a thread, until there is a loop."""

    def make_loop() -> FakeLoop:
        if next(attempts) < 2:
            raise OSError
        loops.append(FakeLoop())
        return loops[-1]

    attempts, loops = count(), list[FakeLoop]()
    calls, connections = Scripted(), Scripted()
    futures = SideBySide(Pools(calls, connections), 8, make_loop).start(told, range(4))
    calls.do_all()
    assert [future.done() for future in futures] == [False, False, True, True]
    connections.do_all()
    assert [future.result(0) for future in futures] == ["done"] * 4


def test_replies_outlive_a_loop_that_fails() -> None:
    """Two have been accepted when the next exchange of one of them cannot be started: the other is
    accepted."""

    class Failing(FakeLoop):
        def start(self, exchange: Ask) -> None:
            if exchange.item == "second":
                raise OSError
            super().start(exchange)

        def wait(self, seconds: float | None) -> Sequence[tuple[Ask, Answer | NoAnswer]]:
            return [*super().wait(seconds), *super().wait(seconds)]

    def work(item: int) -> Work[str]:
        yield Ask("first")
        try:
            if item == 1:
                yield Ask("second")
        except OSError:
            return "failed"
        return "accepted"

    pool = Scripted()
    futures = SideBySide(Pools(pool, pool), 2, Failing).start(work, range(2))
    pool.do_all()
    assert [future.result(0) for future in futures] == ["accepted", "failed"]
    # What the failure keeps from being started is told as well.
    futures = SideBySide(Pools(pool, pool), 2, Failing).start(work, [1, 1])
    pool.do_all()
    assert [future.result(0) for future in futures] == ["failed", "failed"]


def test_a_loop_that_holds_a_socket_is_not_kept() -> None:
    """Nothing would end it."""
    loops = [FakeLoop(), FakeLoop()]
    loops[0].is_idle = False
    pool, rest = Scripted(), deque(loops)
    sends = SideBySide(Pools(pool, pool), 8, rest.popleft)
    for _ in range(2):
        sends.start(twice, range(2))
        pool.do_all()
    assert [loop.is_closed for loop in loops] == [True, False]


def test_a_loop_that_ends_after_closing_is_closed() -> None:
    """The app has been closed while the last calls were under way."""
    loop, pool = FakeLoop(), Scripted()
    sends = SideBySide(Pools(pool, pool), 8, lambda: loop)
    sends.start(twice, range(2))
    sends.close()
    pool.do_all()
    assert loop.is_closed


def test_a_loop_that_cannot_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has failed already."""

    def fail(*_: object) -> None:
        raise OSError

    failing = FakeLoop()
    for method in ("wait", "close"):
        monkeypatch.setattr(failing, method, fail)
    loops = deque([failing, FakeLoop()])
    pool = Scripted()
    futures = SideBySide(Pools(pool, pool), 1, loops.popleft).start(told, range(3))
    pool.do_all()
    assert [future.result(0) for future in futures] == ["failed", "done", "done"]


def test_work_that_does_not_end_when_its_loop_fails() -> None:
    """It is not waited for."""

    class Failing(FakeLoop):
        def wait(self, seconds: float | None) -> Sequence[tuple[Ask, Answer | NoAnswer]]:
            raise OSError(seconds)

    def work(item: int) -> Work[None]:
        while True:
            with suppress(OSError):
                yield Ask(item)

    pool = Scripted()
    (future,) = SideBySide(Pools(pool, pool), 1, Failing).start(work, [0])
    pool.do_all()
    assert isinstance(future.exception(0), OSError)


def test_work_that_raises() -> None:
    """The exception is for the one that waits for the result; the other work goes on."""

    def work(item: int) -> Work[int]:
        yield Ask(item)
        if item == 1:
            raise KeyError(item)
        return item

    futures, _ = start_and_do(work, range(3), most=1)
    assert [future.exception(0) is None for future in futures] == [True, False, True]


def test_threads_share_the_slots() -> None:
    """Two calls together have no more under way than there are slots; none of them waits for ever."""
    most, lock, together = 3, threading.Lock(), 0
    seen: list[int] = []

    class Counting(FakeLoop):
        def start(self, exchange: Ask) -> None:
            nonlocal together
            super().start(exchange)
            with lock:
                together += 1
                seen.append(together)

        def wait(self, seconds: float | None) -> Sequence[tuple[Ask, Answer | NoAnswer]]:
            nonlocal together
            ended = super().wait(seconds)
            with lock:
                together -= len(ended)
            return ended

    def once(item: int) -> Work[int]:
        yield Ask(item)
        return item

    with ThreadPoolExecutor(most) as pool:
        sends = SideBySide(Pools(pool, pool), most, Counting)
        calls = [list(sends.start(once, range(200))) for _ in range(6)]
        results = [[future.result(PATIENCE) for future in call] for call in calls]
    assert results == [list(range(200))] * 6
    assert max(seen) <= most


def test_a_call_that_waits_has_the_next_slot() -> None:
    """A call with many devices does not keep the slots from one that has none yet."""
    order: list[str] = []
    first_is_under_way, second_has_begun = threading.Event(), threading.Event()

    class Slow(FakeLoop):
        def wait(self, seconds: float | None) -> Sequence[tuple[Ask, Answer | NoAnswer]]:
            first_is_under_way.set()
            second_has_begun.wait(0.5)  # it has this long to ask for a slot
            return super().wait(seconds)

    def once(item: str) -> Work[None]:
        order.append(item)
        if item == "second":
            second_has_begun.set()
        yield Ask(item)

    loops: deque[FakeLoop] = deque([Slow(), FakeLoop()])
    with ThreadPoolExecutor(2) as pool:
        sends = SideBySide(Pools(pool, pool), 2, loops.popleft)
        first = sends.start(once, [f"first {number}" for number in range(8)])
        assert first_is_under_way.wait(PATIENCE)
        second = sends.start(once, ["second"])
        for future in [*first, *second]:
            future.result(PATIENCE)
    assert order[-1] != "second"


@given(has_threads=st.lists(st.booleans(), max_size=5), items=st.integers(0, 8), is_early=st.booleans())
def test_a_machine_without_threads(*, has_threads: list[bool], items: int, is_early: bool) -> None:
    """Every item is done once, by whichever threads there are, also if what was queued is done later."""
    pool = Scripted(iter(has_threads))
    done: list[int] = []

    def work(item: int) -> Work[None]:
        # A thread of the pool does what is queued meanwhile.
        if is_early:
            pool.do_all()
        done.append(item)
        yield Ask(item)

    futures = SideBySide(Pools(pool, pool), 30, FakeLoop).start(work, range(items))
    pool.do_all()
    assert sorted(done) == list(range(items))
    assert all(future.done() for future in futures)


def test_without_any_thread_the_caller_works() -> None:
    """Nothing is left to threads that never come."""
    futures = SideBySide(Pools(Scripted(iter([False])), Scripted()), 8, FakeLoop).start(twice, range(3))
    assert all(future.done() for future in futures)


def test_context() -> None:
    """The work sees the context of the caller at each step, and changes it for no other."""
    variable = ContextVar("variable", default="nothing")
    seen: list[str] = []

    def work(item: int) -> Work[None]:
        seen.append(variable.get())
        variable.set(f"changed by {item}")
        yield Ask(item)
        seen.append(variable.get())

    variable.set("the caller's")
    start_and_do(work, range(2))
    assert seen == ["the caller's"] * 2 + ["changed by 1", "changed by 0"]
    assert variable.get() == "the caller's"
