"""Work that waits for exchanges with a hub: one piece in the caller's thread, or many at once in others.

A piece of work is a generator. It yields each exchange that it needs, is sent the reply, and returns its
result.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Protocol

from push.hub.answers import Answer, NoAnswer

type Work[Result] = Generator[Any, Answer | NoAnswer, Result]
"""What it yields is an exchange, which only the hub's wire and the loop know."""

_LOOK_FOR_SLOTS_SECONDS = 0.02
"""How often a thread whose own sends are under way looks whether another has given back a slot."""

_MOST_IDLE_LOOPS = 8


class Loop(Protocol):
    """What carries out several exchanges at once, in the thread that calls it."""

    @property
    def is_idle(self) -> bool:
        """It holds no socket."""
        ...

    def start(self, exchange: Any) -> None:  # noqa: ANN401 - an exchange
        """Begin one."""
        ...

    def wait(self, seconds: float | None) -> Sequence[tuple[Any, Answer | NoAnswer]]:
        """Those that have ended; waits for the first, for `seconds` at most."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


def perform[Result](work: Work[Result], exchange: Any | None = None) -> Result:  # noqa: ANN401
    """Do a piece of work in this thread.

    The work is told of an exception of an exchange, as if it had been raised there.

    Args:
        work: what to do.
        exchange: what the work has come to; None if it has not begun.
    """
    try:
        if exchange is None:
            exchange = next(work)
        while True:
            try:
                reply = exchange.perform()
            except Exception as error:  # noqa: BLE001 - the work decides what it means
                exchange = work.throw(error)
            else:
                exchange = work.send(reply)
    except StopIteration as ended:
        result: Result = ended.value
        return result


@dataclass(frozen=True, slots=True)
class Pools:
    """Threads for pieces of work. There are two pools: what has a slot must not wait for what waits for
    one."""

    calls: Executor
    """One thread does the work of a call."""
    connections: Executor
    """One thread does a piece of work that needs a new connection. It has a thread for each slot."""


class SideBySide:
    """Does many pieces of work at once. Safe to share between threads.

    Exchanges over kept connections are carried out by one thread for each call: threads that send at the same
    time wait for the interpreter's lock, so that the last of fifty would start milliseconds after the first,
    for twice the processor time. A new connection has a thread of its own, since a loop looks up few names at
    once, so that a name server that hangs would hold all back, and remembers addresses that are wrong.
    """

    def __init__(self, pools: Pools, most: int, make_loop: Callable[[], Loop]) -> None:
        """Take what all calls share.

        Args:
            pools: their threads.
            most: how many pieces of work are done at once, over all calls.
            make_loop: what carries out the exchanges of one thread.
        """
        self._pools = pools
        self._slots = _Slots(most)
        self._loops = _Loops(make_loop)

    def start[Item, Result](
        self, work: Callable[[Item], Work[Result]], items: Iterable[Item]
    ) -> dict[Future[Result], Item]:
        """Start the work for every item, in their order; each result comes as a future.

        Args:
            work: makes the piece of work for an item, which sees the caller's context. Where the loop fails,
                the work is told by an exception instead of a reply, and must return then.
            items: any number of them; one whose future is cancelled before its turn is left out.
        """
        context = copy_context()
        turns = {_Turn(Future[Result](), work(item), context.copy()): item for item in items}
        batch = _Batch(deque(turns), self._pools.connections, self._slots, self._loops)
        try:
            self._pools.calls.submit(batch.do)
        except RuntimeError:
            # The machine has no thread left. The pool has queued the work by now and may still do it, so this
            # thread has a batch of its own: each turn is taken once all the same.
            batch.beside().do()
        return {turn.future: item for turn, item in turns.items()}

    def close(self) -> None:
        """Close the loops: those that are idle now, the others when their work ends."""
        self._loops.close()


class _Batch:
    """The work of one call, for one thread."""

    def __init__(
        self, turns: "deque[_Turn[Any]]", connections: Executor, slots: "_Slots", loops: "_Loops"
    ) -> None:
        self._turns = turns
        self._connections = connections
        self._slots = slots
        self._loops = loops
        self._loop: Loop | None = None
        self._under_way: dict[Any, _Turn[Any]] = {}
        """By exchange."""

    def beside(self) -> "_Batch":
        """One that does the same work, with this one: each turn is taken by either."""
        return _Batch(self._turns, self._connections, self._slots, self._loops)

    def do(self) -> None:
        """Do all of it."""
        while self._turns or self._under_way:
            try:
                self._begin()
                self._wait()
            except Exception as error:  # noqa: BLE001 - the work decides what a failure of the loop means
                self._fail(error)
        if self._loop is not None:
            self._loops.put_away(self._loop)

    def _begin(self) -> None:
        """Begin as much as there are slots for; with nothing under way, wait for the first slot."""
        while self._turns and self._slots.take(wait=not self._under_way):
            turn = _next(self._turns)
            if turn is None or not turn.future.set_running_or_notify_cancel():
                self._slots.give_back()
            else:
                self._go_on([(turn, None)])

    def _wait(self) -> None:
        """Go on with the work whose exchanges have ended; wait for the first."""
        if self._loop is None or not self._under_way:
            return
        ended = self._loop.wait(_LOOK_FOR_SLOTS_SECONDS if self._turns else None)
        self._go_on([(self._under_way.pop(exchange), reply) for exchange, reply in ended])

    def _go_on(self, turns: "list[tuple[_Turn[Any], Answer | NoAnswer | None]]") -> None:
        # Started is what comes next when all replies are told: starting may fail, and a reply that is lost
        # rings a phone twice.
        started = []
        for turn, reply in turns:
            exchange = turn.go_on(reply)
            if exchange is None:
                self._slots.give_back()
            elif exchange.is_kept and self._has_loop():
                self._under_way[exchange] = turn
                started.append(exchange)
            else:
                self._hand_over(turn, exchange)
        for exchange in started:
            if self._loop is not None:
                self._loop.start(exchange)

    def _has_loop(self) -> bool:
        """False where none can be made, such as for want of a file descriptor."""
        if self._loop is None:
            with suppress(Exception):
                self._loop = self._loops.take()
        return self._loop is not None

    def _hand_over(self, turn: "_Turn[Any]", exchange: Any) -> None:  # noqa: ANN401
        """Have a thread of its own do the rest of the work."""
        rest = _Rest(turn, exchange, self._slots)
        try:
            self._connections.submit(rest.do)
        except RuntimeError:  # no thread is left; the pool may still do what it has queued
            rest.do()

    def _fail(self, error: Exception) -> None:
        """Tell the work that is under way; what has not begun has another loop."""
        failed, self._under_way = self._under_way, {}
        for turn in failed.values():
            turn.fail(error)
            self._slots.give_back()
        loop, self._loop = self._loop, None
        if loop is not None:
            with suppress(Exception):
                loop.close()
        # Its frames refer to the exchanges, and the exchanges' connections would stay open.
        error.__traceback__ = None


class _Rest:
    """The rest of a piece of work, from an exchange on. It is done once, by the first thread that does it."""

    def __init__(self, turn: "_Turn[Any]", exchange: Any, slots: "_Slots") -> None:  # noqa: ANN401
        self._turn = turn
        self._exchange = exchange
        self._slots = slots
        self._not_done = threading.Lock()  # taken by the first, never released

    def do(self) -> None:
        """Do it in this thread."""
        if self._not_done.acquire(blocking=False):
            self._turn.perform_from(self._exchange)
            self._slots.give_back()


@dataclass(slots=True, eq=False)
class _Turn[Result]:
    """One piece of work, and the future of its result."""

    future: Future[Result]
    work: Work[Result]
    context: Context
    """Its own, so that what it changes there concerns no other."""

    def go_on(self, reply: Answer | NoAnswer | None) -> Any | None:  # noqa: ANN401
        """The next exchange; None if the work is done. `reply` is that of the last one, None at the start."""
        return self._step(self.work.send, reply)

    def fail(self, error: Exception) -> None:
        """Tell the work that its exchange has failed by an error of this app."""
        if self._step(self.work.throw, error) is not None:
            self.future.set_exception(error)

    def perform_from(self, exchange: Any) -> None:  # noqa: ANN401
        """Do the rest of the work in this thread."""
        try:
            self.future.set_result(self.context.run(perform, self.work, exchange))
        except Exception as error:  # noqa: BLE001 - it is for the one that waits for the result
            self.future.set_exception(error)

    def _step(self, step: Callable[[Any], Any], value: object) -> Any | None:  # noqa: ANN401
        try:
            return self.context.run(step, value)
        except StopIteration as ended:
            self.future.set_result(ended.value)
        except Exception as error:  # noqa: BLE001 - it is for the one that waits for the result
            self.future.set_exception(error)
        return None


class _Loops:
    """Loops, which are used again. Safe to share between threads."""

    def __init__(self, make: Callable[[], Loop]) -> None:
        self._make = make
        self._idle: deque[Loop] = deque()
        self._closed = False

    def take(self) -> Loop:
        """One for the calling thread."""
        return _next(self._idle) or self._make()

    def put_away(self, loop: Loop) -> None:
        """Keep one that has nothing under way; not one that still holds a socket, which nothing would end."""
        if loop.is_idle and len(self._idle) < _MOST_IDLE_LOOPS and not self._closed:
            self._idle.append(loop)
        else:
            loop.close()

    def close(self) -> None:
        """Close those that are idle."""
        self._closed = True
        while loop := _next(self._idle):
            loop.close()


class _Slots:
    """Limits how many things are done at once. Safe to share between threads."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def take(self, *, wait: bool) -> bool:
        """Take one. Without waiting: False if none is free, or if a thread without any waits for one."""
        with self._lock:
            if self._free <= self._waiting:
                if not wait:
                    return False
                self._waiting += 1
                self._changed.wait_for(lambda: self._free)
                self._waiting -= 1
            self._free -= 1
            return True

    def give_back(self) -> None:
        """Give one back."""
        with self._lock:
            self._free += 1
            if self._waiting:
                self._changed.notify()


def _next[Item](items: deque[Item]) -> Item | None:
    try:
        return items.popleft()
    except IndexError:
        return None
