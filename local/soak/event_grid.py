"""Delivers events at least once, as Event Grid does, and what phones report in between."""

import heapq
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import requests

from local.soak.phones import Call
from local.soak.plan import PAUSE_SECONDS, REDELIVERY_SECONDS, Plan
from local.soak.report import Deliveries
from local.soak.steps import Step, steps_of
from local.stack import Host


@dataclass(order=True, slots=True)
class PendingStep:
    """A step to be taken at `due`, seconds on the monotonic clock."""

    due: float
    order: int
    steps: tuple[Step, ...] = field(compare=False)
    """The step, and those that follow once it is acknowledged."""
    worker: int = field(compare=False)
    is_ring: bool = field(compare=False, default=False)
    repetitions: int = field(compare=False, default=0)


class EventGrid:
    """Takes steps again that are not acknowledged, and delivers some events twice."""

    def __init__(self, plan: Plan, workers: Sequence[Host], place: Callable[[], Call]) -> None:
        """`place` makes a new call with registered phones."""
        self._plan = plan
        self._workers = workers
        self._place = place
        self._random = random.Random(plan.seed)  # noqa: S311 - not for cryptography
        self._changed = threading.Condition()
        self._pending: list[PendingStep] = []
        self._order = 0
        self._under_way = 0
        self._local = threading.local()
        self._ends = time.monotonic() + plan.limit_seconds
        self.calls: list[Call] = []
        self.deliveries = 0
        """Of events; reports of phones are not counted."""
        self.raised = 0
        """Deliveries that were not acknowledged."""
        self._reports = 0
        self._duplicates = 0
        self._unacknowledged = 0
        self._answer_ms: list[float] = []

    def summary(self) -> Deliveries:
        """The counts, after `run`."""
        answers = sorted(self._answer_ms)
        return Deliveries(
            calls=len(self.calls),
            duplicates=self._duplicates,
            deliveries=self.deliveries,
            reports=self._reports,
            raised=self.raised,
            unacknowledged=self._unacknowledged,
            answer_ms=(answers[len(answers) // 2], answers[len(answers) * 99 // 100]),
        )

    def run(self) -> None:
        """Go on until every step is acknowledged or has been repeated for the last time."""
        slots = threading.BoundedSemaphore(self._plan.concurrency)
        with ThreadPoolExecutor(self._plan.concurrency) as pool:
            while True:
                slots.acquire()
                pending = self._next()
                if pending is None:
                    return
                pool.submit(self._take, pending).add_done_callback(lambda _: slots.release())

    def _next(self) -> PendingStep | None:
        """A due step, else a new call, else the next step when it is due; `None` at the end."""
        with self._changed:
            while True:
                now = time.monotonic()
                if self._pending and self._pending[0].due <= now:
                    self._under_way += 1
                    return heapq.heappop(self._pending)
                if len(self.calls) < self._plan.events and now < self._ends:
                    break
                if not self._pending and not self._under_way:
                    return None
                self._changed.wait(max(0.0, self._pending[0].due - now) if self._pending else None)
        return self._new()

    def _new(self) -> PendingStep:
        call = self._place()
        steps, now = steps_of(call), time.monotonic()
        worker = self._random.randrange(len(self._workers))
        with self._changed:
            self.calls.append(call)
            self._under_way += 1
            self._perhaps_twice(steps[0], now, worker)
        return PendingStep(now, 0, steps, worker, is_ring=True)

    def _perhaps_twice(self, step: Step, now: float, worker: int) -> None:
        if step.is_event and self._random.random() < self._plan.duplicate_rate:
            wait = 0.0 if self._random.random() < 0.5 else self._random.uniform(0.05, 5.0)
            self._put(PendingStep(now + wait, 0, (step,), worker + 1))
            self._duplicates += 1

    def _put(self, pending: PendingStep) -> None:
        self._order += 1
        pending.order = self._order
        heapq.heappush(self._pending, pending)

    def _take(self, pending: PendingStep) -> None:
        started = time.monotonic()
        acknowledged = self._is_acknowledged(pending)
        ended = time.monotonic()
        with self._changed:
            self._under_way -= 1
            self._count(pending, (ended - started) * 1_000, acknowledged=acknowledged)
            if acknowledged:
                self._go_on(pending, ended)
            else:
                self._repeat(pending, ended)
            self._changed.notify_all()

    def _count(self, pending: PendingStep, milliseconds: float, *, acknowledged: bool) -> None:
        if pending.is_ring and pending.repetitions == 0:
            self._answer_ms.append(milliseconds)
        if pending.steps[0].is_event:
            self.deliveries += 1
            self.raised += not acknowledged
        else:
            self._reports += acknowledged

    def _go_on(self, pending: PendingStep, now: float) -> None:
        """Schedule the next step, some time later."""
        following = pending.steps[1:]
        if following:
            due = now + self._random.uniform(*PAUSE_SECONDS)
            worker = self._random.randrange(len(self._workers))
            self._put(PendingStep(due, 0, following, worker))
            self._perhaps_twice(following[0], due, worker)

    def _repeat(self, pending: PendingStep, now: float) -> None:
        """Schedule the step again, on the other worker."""
        count = pending.repetitions
        if count == len(REDELIVERY_SECONDS):
            self._unacknowledged += 1
            return
        due = now + REDELIVERY_SECONDS[count]
        self._put(PendingStep(due, 0, pending.steps, pending.worker + 1, repetitions=count + 1))

    def _is_acknowledged(self, pending: PendingStep) -> bool:
        worker = self._workers[pending.worker % len(self._workers)]
        try:
            return pending.steps[0].send(worker, self._session())
        except requests.RequestException:
            return False

    def _session(self) -> requests.Session:
        """One session per thread."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        session: requests.Session = self._local.session
        return session
