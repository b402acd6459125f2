"""Work that waits for exchanges with a hub: one piece in the caller's thread, or many at once in another.

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

    def start(self, exchange: Any) -> None:  # noqa: ANN401 - an exchange
        """Begin one."""
        ...

    def wait(self, seconds: float | None) -> Sequence[tuple[Any, Answer | NoAnswer]]:
        """Those that have ended; waits for the first, for `seconds` at most."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


def perform[Result](
    work: Work[Result], carry_out: Callable[[Any], Answer | NoAnswer] = lambda exchange: exchange.perform()
) -> Result:
    """Do a piece of work in this thread; `carry_out` carries out an exchange.

    The work is told of an exception of it, as if the exchange had raised it there.
    """
    try:
        exchange = next(work)
        while True:
            try:
                reply = carry_out(exchange)
            except Exception as error:  # noqa: BLE001 - the work decides what it means
                exchange = work.throw(error)
            else:
                exchange = work.send(reply)
    except StopIteration as ended:
        result: Result = ended.value
        return result


class SideBySide:
    """Does many pieces of work at once, those of one call in one thread. Safe to share between threads.

    One thread for all of them, since threads that send at the same time wait for the interpreter's lock: the
    last of fifty would start milliseconds after the first, for twice the processor time.
    """

    def __init__(self, pool: Executor, most: int, make_loop: Callable[[], Loop]) -> None:
        """Take what all calls share.

        Args:
            pool: has as many threads as there may be pieces of work at once.
            most: how many pieces of work are done at once, over all calls.
            make_loop: what carries out the exchanges of one thread.
        """
        self._pool = pool
        self._slots = _Slots(most)
        self._loops = _Loops(make_loop)

    def alone[Result](self, work: Work[Result]) -> Result:
        """Do a piece of work in this thread, beside what `most` counts."""
        return perform(work, self._carry_out)

    def _carry_out(self, exchange: Any) -> Answer | NoAnswer:  # noqa: ANN401
        """A loop opens connections for less; over one that is open, the exchange alone takes less."""
        return exchange.perform() if exchange.is_kept else self._loops.carry_out(exchange)

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
        batch = _Batch(deque(turns), self._slots, self._loops)
        try:
            self._pool.submit(batch.do)
        except RuntimeError:
            # The machine has no thread left. The pool has queued the work by now and may still do it, so this
            # thread has a batch of its own: each turn is taken once all the same.
            batch.beside().do()
        return {turn.future: item for turn, item in turns.items()}

    def close(self) -> None:
        """Close the loops that are idle."""
        self._loops.close()


class _Batch:
    """The work of one call, for one thread."""

    def __init__(self, turns: "deque[_Turn[Any]]", slots: "_Slots", loops: "_Loops") -> None:
        self._turns = turns
        self._slots = slots
        self._loops = loops
        self._loop: Loop | None = None
        self._under_way: dict[Any, _Turn[Any]] = {}
        """By exchange."""

    def beside(self) -> "_Batch":
        """One that does the same work, with this one: each turn is taken by either."""
        return _Batch(self._turns, self._slots, self._loops)

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
                self._go_on(turn, None)

    def _wait(self) -> None:
        """Go on with the work whose exchanges have ended; wait for the first."""
        if self._loop is None or not self._under_way:
            return
        for exchange, reply in self._loop.wait(_LOOK_FOR_SLOTS_SECONDS if self._turns else None):
            self._go_on(self._under_way.pop(exchange), reply)

    def _go_on(self, turn: "_Turn[Any]", reply: Answer | NoAnswer | None) -> None:
        exchange = turn.go_on(reply)
        if exchange is None:
            self._slots.give_back()
            return
        self._under_way[exchange] = turn
        if self._loop is None:
            self._loop = self._loops.take()
        self._loop.start(exchange)

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

    def take(self) -> Loop:
        """One for the calling thread."""
        return _next(self._idle) or self._make()

    def carry_out(self, exchange: Any) -> Answer | NoAnswer:  # noqa: ANN401
        """A single exchange, in the calling thread."""
        loop = self.take()
        try:
            loop.start(exchange)
            ended: Sequence[tuple[Any, Answer | NoAnswer]] = ()
            while not ended:
                ended = loop.wait(None)
        except BaseException:
            loop.close()
            raise
        self.put_away(loop)
        return ended[0][1]

    def put_away(self, loop: Loop) -> None:
        """Keep one that has nothing under way."""
        if len(self._idle) < _MOST_IDLE_LOOPS:
            self._idle.append(loop)
        else:
            loop.close()

    def close(self) -> None:
        """Close those that are idle."""
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
