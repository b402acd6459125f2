"""The same work for several items at once, on a pool of threads."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from contextvars import copy_context


def start_side_by_side[Item, Result](
    pool: Executor, work: Callable[[Item], Result], items: Iterable[Item]
) -> dict[Future[Result], Item]:
    """Start the work for every item, in their order; each result comes as a future.

    Each thread asks the pool for the next one before it works itself. If all are asked for at once, all of
    them wait for the interpreter's lock, and it changes hands several times an item.

    A thread that gets no next one, since the machine has none left, takes the next item itself. The pool has
    queued the work by then and may still do it; each item is taken once all the same.

    Args:
        pool: may be busy; an item whose future is cancelled before its turn is left out.
        work: raises nothing.
        items: any number of them.
    """
    futures: dict[Future[Result], Item] = {Future(): item for item in items}
    turns = deque(futures.items())
    context = copy_context()

    def take_turns() -> None:
        while turn := _next(turns):
            future, item = turn
            if not future.set_running_or_notify_cancel():
                continue
            may_end = not turns or ask_for_a_thread()
            # In a copy of the caller's context: the work belongs to its trace.
            future.set_result(context.copy().run(work, item))
            if may_end:
                return

    def ask_for_a_thread() -> bool:
        try:
            pool.submit(take_turns)
        except RuntimeError:
            return False
        return True

    if not ask_for_a_thread():
        take_turns()
    return futures


def _next[Turn](turns: deque[Turn]) -> Turn | None:
    try:
        return turns.popleft()
    except IndexError:
        return None
