"""Work side by side on a pool: every item once, each thread asked for by the one before."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push.side_by_side import start_side_by_side

PATIENCE = 10.0


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

    def do_next(self) -> None:
        """Let one thread do what was queued first."""
        self.queued.popleft()()


def test_no_item() -> None:
    """Nothing is started."""
    assert start_side_by_side(Scripted(), str, []) == {}


@pytest.mark.parametrize("threads", [1, 3, 30])
def test_every_item_once(threads: int) -> None:
    """Whether or not the pool has a thread for each."""
    done: list[int] = []

    def work(item: int) -> int:
        done.append(item)
        return item * 2

    with ThreadPoolExecutor(threads) as pool:
        futures = start_side_by_side(pool, work, range(20))
        assert {item: future.result(PATIENCE) for future, item in futures.items()} == {
            item: item * 2 for item in range(20)
        }
    assert sorted(done) == list(range(20))


def test_all_at_once() -> None:
    """With enough threads no item waits for another one's end."""
    all_work = threading.Barrier(20)
    with ThreadPoolExecutor(20) as pool:
        futures = start_side_by_side(pool, lambda _: all_work.wait(PATIENCE), range(20))
        assert len({future.result(PATIENCE) for future in futures}) == 20


def test_one_thread_is_asked_for_at_a_time() -> None:
    """Threads that are asked for all at once wait for the interpreter's lock together."""
    pool = Scripted()
    futures = start_side_by_side(pool, str, range(4))
    queued = []
    while pool.queued:
        queued.append(len(pool.queued))
        pool.do_next()
    assert queued == [1, 1, 1, 1]
    assert [future.result(0) for future in futures] == ["0", "1", "2", "3"]


def test_the_next_thread_is_asked_for_before_the_work() -> None:
    """Work that hangs holds nothing back."""
    pool = Scripted()
    waiting: list[int] = []
    start_side_by_side(pool, lambda _: waiting.append(len(pool.queued)), range(3))
    while pool.queued:
        pool.do_next()
    assert waiting == [1, 1, 0]


def test_cancelled() -> None:
    """An item that is cancelled before its turn is left out, and the ones after it are not."""
    pool = Scripted()
    done: list[int] = []
    futures = start_side_by_side(pool, done.append, range(5))
    for future, item in futures.items():
        assert item not in {0, 1, 4} or future.cancel()
    while pool.queued:
        pool.do_next()
    assert done == [2, 3]


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 8), st.integers(0, 30))
def test_a_machine_without_threads(has_threads: list[bool], items: int, early: int) -> None:
    """Every item is done once, by whichever threads there are, also if what was queued is done later."""
    pool = Scripted(iter(has_threads))
    done: list[int] = []

    def work(item: int) -> None:
        # Another thread of the pool does something of what is queued meanwhile.
        if pool.queued and len(done) < early:
            pool.do_next()
        done.append(item)

    futures = start_side_by_side(pool, work, range(items))
    while pool.queued:
        pool.do_next()
    assert sorted(done) == list(range(items))
    assert all(future.done() for future in futures)


def test_without_any_thread_the_caller_works() -> None:
    """Nothing is left to threads that never come."""
    done: list[int] = []
    start_side_by_side(Scripted(iter([False] * 9)), done.append, range(3))
    assert done == [0, 1, 2]


def test_context() -> None:
    """The work sees the context of the caller, and changes it for no other item."""
    variable = ContextVar("variable", default="nothing")
    seen: list[str] = []

    def work(item: int) -> None:
        seen.append(variable.get())
        variable.set(f"changed by {item}")

    variable.set("the caller's")
    with ThreadPoolExecutor(1) as pool:
        start_side_by_side(pool, work, range(3))
    assert seen == ["the caller's"] * 3
    assert variable.get() == "the caller's"
