"""Delivers events at least once, as Event Grid does."""

import heapq
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import requests

from local.soak.phones import Call
from local.soak.plan import REDELIVERY_SECONDS, Plan
from local.soak.report import Deliveries
from local.stack import Host

EVENT_GRID_TIMEOUT = 30.0


@dataclass(order=True, slots=True)
class PendingDelivery:
    """A delivery to be made at `due`, seconds on the monotonic clock."""

    due: float
    order: int
    call: Call = field(compare=False)
    worker: int = field(compare=False)
    redeliveries: int = field(compare=False, default=0)


class EventGrid:
    """Redelivers what is not acknowledged, and delivers some events twice."""

    def __init__(self, plan: Plan, workers: Sequence[Host], place: Callable[[], Call]) -> None:
        """`place` makes a new call with registered phones."""
        self._plan = plan
        self._workers = workers
        self._place = place
        self._random = random.Random(plan.seed)  # noqa: S311 - not for cryptography
        self._changed = threading.Condition()
        self._pending: list[PendingDelivery] = []
        self._order = 0
        self._under_way = 0
        self._local = threading.local()
        self._ends = time.monotonic() + plan.limit_seconds
        self.calls: list[Call] = []
        self.deliveries = 0
        self.raised = 0
        """Deliveries that were not acknowledged."""
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
            raised=self.raised,
            unacknowledged=self._unacknowledged,
            answer_ms=(answers[len(answers) // 2], answers[len(answers) * 99 // 100]),
        )

    def run(self) -> None:
        """Deliver until every event is acknowledged or has had its last redelivery."""
        slots = threading.BoundedSemaphore(self._plan.concurrency)
        with ThreadPoolExecutor(self._plan.concurrency) as pool:
            while True:
                slots.acquire()
                delivery = self._next()
                if delivery is None:
                    return
                pool.submit(self._deliver, delivery).add_done_callback(lambda _: slots.release())

    def _next(self) -> PendingDelivery | None:
        """A due delivery, else a new call, else the next delivery when it is due; `None` at the end."""
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

    def _new(self) -> PendingDelivery:
        call, now = self._place(), time.monotonic()
        worker = self._random.randrange(len(self._workers))
        with self._changed:
            self.calls.append(call)
            self._under_way += 1
            if self._random.random() < self._plan.duplicate_rate:
                wait = 0.0 if self._random.random() < 0.5 else self._random.uniform(0.05, 5.0)
                self._put(PendingDelivery(now + wait, 0, call, worker + 1))
                self._duplicates += 1
        return PendingDelivery(now, 0, call, worker)

    def _put(self, delivery: PendingDelivery) -> None:
        self._order += 1
        delivery.order = self._order
        heapq.heappush(self._pending, delivery)

    def _deliver(self, delivery: PendingDelivery) -> None:
        started = time.monotonic()
        acknowledged = self._is_acknowledged(delivery)
        ended = time.monotonic()
        with self._changed:
            self._under_way -= 1
            self.deliveries += 1
            if delivery.redeliveries == 0:
                self._answer_ms.append((ended - started) * 1_000)
            if not acknowledged:
                self.raised += 1
                self._redeliver(delivery, ended)
            self._changed.notify_all()

    def _redeliver(self, delivery: PendingDelivery, now: float) -> None:
        """Schedule the next delivery, on the other worker."""
        count = delivery.redeliveries
        if count == len(REDELIVERY_SECONDS):
            self._unacknowledged += 1
            return
        due = now + REDELIVERY_SECONDS[count]
        self._put(PendingDelivery(due, 0, delivery.call, delivery.worker + 1, count + 1))

    def _is_acknowledged(self, delivery: PendingDelivery) -> bool:
        worker = self._workers[delivery.worker % len(self._workers)]
        try:
            answer = self._session().post(
                worker.webhook_url,
                json=[delivery.call.event],
                headers={"aeg-event-type": "Notification"},
                timeout=EVENT_GRID_TIMEOUT,
            )
        except requests.RequestException:
            return False
        return answer.status_code == 202

    def _session(self) -> requests.Session:
        """One session per thread."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        session: requests.Session = self._local.session
        return session
