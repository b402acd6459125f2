"""`python -m local.soak`: thousands of calls with faults and duplicates; does every phone ring once?

Two worker processes over one database and one hub. The hub fails some of its requests at random, in every
way that a phone has to survive. Events are delivered as Event Grid does: an event that is not acknowledged
comes back, some come twice at once, some come again later. At the end the simulator's counters tell how
often each phone of each call rang.
"""

import argparse
import heapq
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from pymongo import MongoClient

from common import mongodb
from local.hub.faults import Fault
from local.hub.records import Summary
from local.process import ChildError
from local.samples import event_grid_event, incoming_call_data
from local.stack import Host, Stack, StackOptions
from models.device import DeviceRegistration, Platform
from registrar.store import COLLECTION_NAME, DeviceStore

SETTINGS = {"HubReadTimeoutSeconds": "1", "HubConnectTimeoutSeconds": "1", "InvocationTimeoutSeconds": "10"}
"""Shorter than in production, so that a run sees more of its faults in less time."""

REDELIVERY_SECONDS = (1.0, 3.0, 6.0, 10.0, 10.0, 10.0)
"""Event Grid's 10 s, 30 s, 1 min, … at a tenth, and no longer than a call rings."""

FAULTS: tuple[tuple[Fault, int], ...] = (
    (Fault(kind="status", status=503), 4),
    (Fault(kind="status", status=500), 2),
    (Fault(kind="status", status=408), 1),
    (Fault(kind="status", status=429, retry_after="1"), 2),
    (Fault(kind="status", status=429, retry_after="30"), 4),
    (Fault(kind="status", status=403, retry_after="1"), 1),
    (Fault(kind="slow", delay_seconds=0.3), 2),
    (Fault(kind="drop"), 3),
    (Fault(kind="black_hole"), 2),
    (Fault(kind="accept_then_drop"), 1),
    (Fault(kind="accept_then_black_hole"), 1),
)
"""What befalls a request, and its share of all faults. A phone has to ring after each of them."""

UNANSWERED = ("accept_then_drop", "accept_then_black_hole")
"""After one of these nobody can know that the phone has rung, so it may ring once more."""

PROGRESS_SECONDS = 5.0


@dataclass(frozen=True)
class Plan:
    """What a run does."""

    events: int = 10_000
    seed: int = 1
    fault_rate: float = 0.05
    """Share of the requests to the hub that fail."""
    duplicate_rate: float = 0.2
    """Share of the events that are delivered twice, half of them at once, half of them later."""
    concurrency: int = 32
    """Deliveries at a time."""
    workers: int = 2
    limit_seconds: float = 600.0
    """After this long no new call is placed, and the run has failed."""

    def faults(self) -> Iterator[Fault]:
        """The orders for the hub, which throws its dice for one after the other until one hits."""
        whole, left = sum(share for _, share in FAULTS), 1.0
        for fault, share in FAULTS:
            probability = self.fault_rate * share / whole
            yield fault.model_copy(update={"probability": probability / left})
            left -= probability


@dataclass(frozen=True, slots=True)
class Call:
    """One live call: its event, and the tokens of the phones that it has to ring."""

    event: dict[str, Any] = field(repr=False)
    phones: tuple[str, ...] = field(repr=False)


@dataclass(order=True, slots=True)
class Parcel:
    """One delivery to be made."""

    due: float
    order: int
    call: Call = field(compare=False)
    worker: int = field(compare=False)
    tries: int = field(compare=False, default=0)


@dataclass(slots=True)
class Report:
    """What a run came to."""

    plan: Plan
    seconds: float = 0.0
    calls: int = 0
    phones: int = 0
    duplicates: int = 0
    deliveries: int = 0
    raised: int = 0
    unacknowledged: int = 0
    requests: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    rang: Counter[int] = field(default_factory=Counter)
    """Phones by how often they rang."""
    unexplained: int = 0
    """Phones that rang more often than once and once more for each unanswered send."""
    answer_ms: tuple[float, float] = (0.0, 0.0)
    """From an event's first delivery to its answer: median and 99th percentile."""

    @property
    def silent(self) -> int:
        """Phones that did not ring."""
        return self.rang[0]

    @property
    def passed(self) -> bool:
        """Whether all is as it has to be."""
        complete = self.calls == self.plan.events and self.unacknowledged == 0
        return complete and self.silent == 0 and self.unexplained == 0

    def lines(self) -> list[str]:
        """For a person to read."""
        twice = {times: phones for times, phones in sorted(self.rang.items()) if times > 1}
        return [
            f"{'PASSED' if self.passed else 'FAILED'} in {self.seconds:.0f} s, seed {self.plan.seed}",
            f"  calls                     {self.calls} of {self.plan.events}, for {self.phones} phones",
            f"  delivered twice           {self.duplicates} calls, half of them at the same instant",
            f"  deliveries                {self.deliveries}, {self.raised} of them raised and redelivered",
            f"  never acknowledged        {self.unacknowledged}",
            f"  requests to the hub       {self.requests}, {sum(self.faults.values())} of them struck:",
            *[f"    {kind:<24}{times}" for kind, times in sorted(self.faults.items())],
            f"  phones that rang once     {self.rang[1]}",
            f"  phones that did not ring  {self.silent}",
            f"  phones that rang more     {sum(twice.values())} {twice or ''}".rstrip(),
            f"    not explained           {self.unexplained} (by sends that were accepted and not answered)",
            f"  first answer              {self.answer_ms[0]:.0f} ms median, {self.answer_ms[1]:.0f} ms p99",
        ]


class EventGrid:
    """Delivers events at least once: again what is not acknowledged, and some of them for no reason."""

    def __init__(self, plan: Plan, workers: list[Host], place: Callable[[], Call]) -> None:
        """`place` makes a new call, with its phones registered."""
        self._plan = plan
        self._workers = workers
        self._place = place
        self._dice = random.Random(plan.seed)  # noqa: S311 - dice, not keys
        self._changed = threading.Condition()
        self._later: list[Parcel] = []
        self._order = 0
        self._under_way = 0
        self._local = threading.local()
        self._ends = time.monotonic() + plan.limit_seconds
        self.calls: list[Call] = []
        self.duplicates = 0
        self.deliveries = 0
        self.raised = 0
        self.unacknowledged = 0
        self.answer_ms: list[float] = []

    def run(self) -> None:
        """Until every event has been placed and acknowledged, or is beyond all hope."""
        slots = threading.BoundedSemaphore(self._plan.concurrency)
        with ThreadPoolExecutor(self._plan.concurrency) as pool:
            while True:
                slots.acquire()
                parcel = self._next()
                if parcel is None:
                    return
                pool.submit(self._deliver, parcel).add_done_callback(lambda _: slots.release())

    def _next(self) -> Parcel | None:
        """What is due, else a new call, else what comes due next; None when all is done."""
        with self._changed:
            while True:
                now = time.monotonic()
                if self._later and self._later[0].due <= now:
                    self._under_way += 1
                    return heapq.heappop(self._later)
                if len(self.calls) < self._plan.events and now < self._ends:
                    break
                if not self._later and not self._under_way:
                    return None
                self._changed.wait(max(0.0, self._later[0].due - now) if self._later else None)
        return self._new()

    def _new(self) -> Parcel:
        call, now = self._place(), time.monotonic()
        worker = self._dice.randrange(len(self._workers))
        with self._changed:
            self.calls.append(call)
            self._under_way += 1
            if self._dice.random() < self._plan.duplicate_rate:
                wait = 0.0 if self._dice.random() < 0.5 else self._dice.uniform(0.05, 5.0)
                self._put(Parcel(now + wait, 0, call, worker + 1))
                self.duplicates += 1
        return Parcel(now, 0, call, worker)

    def _put(self, parcel: Parcel) -> None:
        self._order += 1
        parcel.order = self._order
        heapq.heappush(self._later, parcel)

    def _deliver(self, parcel: Parcel) -> None:
        started = time.monotonic()
        acknowledged = self._acknowledged(parcel)
        ended = time.monotonic()
        with self._changed:
            self._under_way -= 1
            self.deliveries += 1
            if parcel.tries == 0:
                self.answer_ms.append((ended - started) * 1_000)
            if not acknowledged:
                self.raised += 1
                self._again(parcel, ended)
            self._changed.notify_all()

    def _again(self, parcel: Parcel, now: float) -> None:
        if parcel.tries == len(REDELIVERY_SECONDS):
            self.unacknowledged += 1
            return
        due = now + REDELIVERY_SECONDS[parcel.tries]
        self._put(Parcel(due, 0, parcel.call, parcel.worker + 1, parcel.tries + 1))

    def _acknowledged(self, parcel: Parcel) -> bool:
        worker = self._workers[parcel.worker % len(self._workers)]
        try:
            answer = self._session().post(
                worker.webhook_url,
                json=[parcel.call.event],
                headers={"aeg-event-type": "Notification"},
                timeout=30,  # Event Grid's own
            )
        except requests.RequestException:
            return False
        return answer.status_code == 202

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        session: requests.Session = self._local.session
        return session


class Phones:
    """Places calls, each to a user of its own with one to three phones, so that every ring tells its call."""

    def __init__(self, store: DeviceStore, seed: int) -> None:
        self._store = store
        self._dice = random.Random(seed)  # noqa: S311 - dice, not keys

    def place(self) -> Call:
        """A new call."""
        now = datetime.now(UTC)
        user = f"8:acs:{uuid.uuid4()}_{uuid.uuid4()}"
        tokens = tuple(uuid.uuid4().hex for _ in range(self._dice.choice((1, 1, 2, 3))))
        for number, token in enumerate(tokens):
            platform = self._dice.choice(list(Platform))
            expires = now.replace(microsecond=0) + timedelta(days=1)
            self._store.register(DeviceRegistration(user, f"phone-{number}", token, platform, expires), now)
        return Call(event_grid_event(incoming_call_data(user)), tokens)


def soak(plan: Plan, tell: Callable[[str], None]) -> Report:
    """Run a plan on a stack of its own; `tell` gets a line now and then."""
    options = StackOptions(hosts=plan.workers, settings=SETTINGS, log_level="ERROR", tell=tell)
    with Stack(options) as stack, MongoClient[dict[str, Any]](stack.database.uri) as client:
        store = DeviceStore(client["calling"][COLLECTION_NAME], mongodb.Timeouts(10))
        for fault in plan.faults():
            stack.hub.add_fault(fault)
        grid = EventGrid(plan, stack.hosts, Phones(store, plan.seed).place)
        started = time.monotonic()
        with _progress(plan, grid, tell):
            grid.run()
        # A request that its sender has given up on may still ring its phone.
        time.sleep(1.0)
        return _report(plan, grid, stack.hub.summary(), time.monotonic() - started)


@contextmanager
def _progress(plan: Plan, grid: EventGrid, tell: Callable[[str], None]) -> Iterator[None]:
    """A line every few seconds."""
    started, done = time.monotonic(), threading.Event()

    def run() -> None:
        while not done.wait(PROGRESS_SECONDS):
            seconds = time.monotonic() - started
            tell(
                f"{seconds:4.0f} s  {len(grid.calls):>6} of {plan.events} calls"
                f"  {grid.deliveries / seconds:4.0f} deliveries a second  {grid.raised} raised"
            )

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _report(plan: Plan, grid: EventGrid, summary: Summary, seconds: float) -> Report:
    results: Counter[str] = Counter()
    rang: Counter[int] = Counter()
    unexplained = 0
    for token in (token for call in grid.calls for token in call.phones):
        seen = summary.attempts.get(token, {})
        results.update(seen)
        rings = summary.handles.get(token, 0)
        rang[rings] += 1
        unexplained += rings > 1 + sum(seen.get(kind, 0) for kind in UNANSWERED)
    answers = sorted(grid.answer_ms)
    return Report(
        plan=plan,
        seconds=seconds,
        calls=len(grid.calls),
        phones=rang.total(),
        duplicates=grid.duplicates,
        deliveries=grid.deliveries,
        raised=grid.raised,
        unacknowledged=grid.unacknowledged,
        requests=results.total(),
        faults={kind: times for kind, times in results.items() if kind != "201"},
        rang=rang,
        unexplained=unexplained,
        answer_ms=(answers[len(answers) // 2], answers[len(answers) * 99 // 100]),
    )


def main() -> int:
    """Run the soak; 0 only if every phone of every call rang as it should."""
    parser = argparse.ArgumentParser(prog="python -m local.soak", description=__doc__)
    parser.add_argument("--events", type=int, default=Plan.events, help="live calls to place")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of the dice")
    arguments = parser.parse_args()
    plan = Plan(events=arguments.events, seed=arguments.seed)
    print(f"{plan.events} calls, seed {plan.seed}", flush=True)
    try:
        report = soak(plan, lambda line: print(line, flush=True))
    except (ChildError, requests.RequestException) as error:
        print(f"The soak could not be run: {error}", file=sys.stderr)
        return 2
    print("\n".join(report.lines()), flush=True)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
