"""A function app in the real worker library, in a process of its own, under a measured load.

What is measured is the worker's path (binding conversion, thread pool, function), as the Functions host calls
it. The development host's HTTP side is left out: it stands for no part of Azure and would dominate.
"""

import asyncio
import gc
import logging
import resource
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.remote import Remote, Stopwatch, Usage
from local.host.worker import EVENT_GRID_TRIGGER, FunctionWorker, HttpCall, InvocationFailed, LoadedFunction

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Events:
    """Events to invoke the Event Grid function with, `concurrency` at a time."""

    events: Sequence[Event]
    concurrency: int = 1


@dataclass(frozen=True, slots=True)
class Requests:
    """Calls to make of an HTTP function, `concurrency` at a time."""

    function: str
    calls: Sequence[HttpCall]
    concurrency: int = 1


Order = Events | Requests


@dataclass(frozen=True, slots=True)
class Load:
    """What became of an order."""

    usage: Usage
    spans: tuple[tuple[float, float], ...]
    """Start and end of each invocation, unix seconds, in the order of the events."""
    failures: tuple[str, ...]
    resident_bytes: int
    """Memory of the process at the end."""
    allocated_blocks: int
    """How many blocks of memory Python's objects take at the end, garbage collected."""
    start_seconds: float
    """How long importing and indexing the app took in this process."""


class HandOn(logging.Handler):
    """As in Azure: a line is formatted, without the time, which the host adds, and handed on in memory."""

    def __init__(self) -> None:
        """Keep the last lines, as a queue to the host would for a moment."""
        super().__init__()
        self._lines: deque[str] = deque(maxlen=100)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        self._lines.append(self.format(record))


class WorkerService:
    """The worker with one app loaded."""

    def __init__(self, directory: Path) -> None:
        """Import and index the app."""
        logging.basicConfig(level=logging.INFO, handlers=[HandOn()])
        self._runner = asyncio.Runner()
        started = time.perf_counter()
        self._worker = self._runner.run(FunctionWorker.start(directory))
        self._start_seconds = time.perf_counter() - started

    def answer(self, order: Order) -> Load:
        """Put the app under the load."""
        match order:
            case Events(events, concurrency):
                ring = self._function(lambda one: one.trigger_type == EVENT_GRID_TRIGGER)
                work = [partial(self._worker.invoke_event_grid, ring, event) for event in events]
            case Requests(name, calls, concurrency):
                function = self._function(lambda one: one.name == name)
                work = [partial(self._call, function, call) for call in calls]
        return self._runner.run(self._drive(work, concurrency))

    def _function(self, wanted: Callable[[LoadedFunction], bool]) -> LoadedFunction:
        return next(one for one in self._worker.functions if wanted(one))

    async def _call(self, function: LoadedFunction, call: HttpCall) -> None:
        answer = await self._worker.invoke_http(function, call)
        if answer.status >= 300:
            raise InvocationFailed(f"{function.name} answered {answer.status}", "")

    async def _drive(self, work: Sequence[Callable[[], Awaitable[None]]], concurrency: int) -> Load:
        spans: list[tuple[float, float]] = [(0.0, 0.0)] * len(work)
        failures: list[str] = []
        waiting = iter(enumerate(work))
        watch = Stopwatch()
        await asyncio.gather(*(_take_turns(waiting, spans, failures) for _ in range(concurrency)))
        usage = watch.usage()
        gc.collect()
        memory = resident_bytes(), sys.getallocatedblocks()
        return Load(usage, tuple(spans), tuple(failures), *memory, self._start_seconds)


async def _take_turns(
    waiting: Iterator[tuple[int, Callable[[], Awaitable[None]]]],
    spans: list[tuple[float, float]],
    failures: list[str],
) -> None:
    for number, invoke in waiting:
        started = time.time()
        try:
            await invoke()
        except InvocationFailed as failed:
            failures.append(failed.message)
        spans[number] = (started, time.time())


def resident_bytes() -> int:
    """Memory of this process; where the system does not say (macOS), the most it ever had."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


Worker = Remote[Order, Load]


def start_worker(directory: Path, environment: Mapping[str, str]) -> Worker:
    """A worker process with the app of `directory`."""
    return Remote(partial(WorkerService, directory), environment)
