"""Runs a plan on a stack of its own."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.uri_parser import parse_uri

from common import mongodb
from local.soak.counts import (
    MISSED,
    RING,
    STOP,
    count_missed,
    count_phones,
    count_stops,
    pushes_of,
)
from local.soak.event_grid import EventGrid
from local.soak.hub_proxy import HubProxy
from local.soak.network_faults import Network, NetworkFaults
from local.soak.phones import SECOND_HUB, Phones
from local.soak.plan import SETTINGS, Plan
from local.soak.report import Report, hub_results
from local.soak.worker_log import WorkerLog
from local.stack import DATABASE_NAME, Host, Stack, StackOptions
from local.tcp_proxy import TcpProxy
from registrar.store import COLLECTION_NAME, DeviceStore

PROGRESS_SECONDS = 5.0
SETTLE_SECONDS = 1.0
"""A request that its sender has given up on may still be accepted by the hub for this long."""


def soak(plan: Plan, tell: Callable[[str], None]) -> Report:
    """Run a plan; `tell` gets progress messages."""
    log = WorkerLog()
    options = StackOptions(
        hosts=0, settings=SETTINGS, more_hubs=(SECOND_HUB,), log_level="WARNING", on_line=log, tell=tell
    )
    with ExitStack() as running:
        stack = running.enter_context(Stack(options))
        client = running.enter_context(MongoClient[dict[str, Any]](stack.database.uri))
        hub = running.enter_context(HubProxy(int(stack.hub_url.rpartition(":")[2])))
        database_port = parse_uri(stack.database.uri)["nodelist"][0][1] or 0
        database = running.enter_context(TcpProxy(database_port))
        workers = [running.enter_context(_worker(stack, hub, database)) for _ in range(plan.workers)]
        store = DeviceStore(client[DATABASE_NAME][COLLECTION_NAME], mongodb.Work(mongodb.Timeouts(10)))
        for fault in plan.hub_faults():
            stack.hub.add_fault(fault)
        grid = EventGrid(plan, workers, Phones(store, plan.seed).place)
        faults = NetworkFaults(Network(hub, database), plan.seed)
        started = time.monotonic()
        with _progress(plan, grid, tell):
            if plan.network_faults:
                running.enter_context(faults)
            grid.run()
        time.sleep(SETTLE_SECONDS)
        summary = stack.hub.summary()
        return Report(
            plan,
            grid.summary(),
            count_phones(grid.calls, pushes_of(summary, RING), hub.seen_201, log.unrecorded),
            count_stops(grid.calls, pushes_of(summary, STOP)),
            count_missed(grid.calls, pushes_of(summary, MISSED)),
            Counter(call.ending for call in grid.calls),
            hub_results(grid.calls, summary),
            faults.applied,
            time.monotonic() - started,
        )


@contextmanager
def _worker(stack: Stack, hub: TcpProxy, database: TcpProxy) -> Iterator[Host]:
    """A Functions host that reaches hub and database through the proxies."""
    settings = {
        **stack.hub_urls(f"http://127.0.0.1:{hub.port}"),
        "MongoDbConnectionString": (
            f"mongodb://127.0.0.1:{database.port}/?directConnection=true&retryWrites=false"
        ),
    }
    host = stack.start_host(settings=settings)
    try:
        yield host
    finally:
        host.close()


@contextmanager
def _progress(plan: Plan, grid: EventGrid, tell: Callable[[str], None]) -> Iterator[None]:
    """A line every PROGRESS_SECONDS."""
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
