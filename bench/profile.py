"""`python -m bench.profile`: where the CPU time of an event goes, in the app and in the floor.

The handler is called directly, one event after the other, on the main thread of a process of its own, and
interrupted at even steps of CPU time (`ITIMER_PROF`); unlike a tracing profiler, this makes no function look
dearer than it is. With `--calls` it is traced by cProfile as well, which tells how often each is called.
"""

import argparse
import cProfile
import importlib
import inspect
import json
import logging
import os
import pstats
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.experiment import MeasuredApp
from bench.population import Crowd, settle
from bench.remote import Remote, Stopwatch
from bench.services import DATABASE_NAME, ROOT, Services
from bench.worker import HandOn
from local.samples import event_grid_event, incoming_call_data

_STEP_SECONDS = 0.001
_SITE_PACKAGES = f"{os.sep}site-packages{os.sep}"
_TURNS = 10
"""The machine's pace drifts."""
_WARM_UP = 50
_SHOWN = 45

Handler = Callable[[str], None]

_NO_TRACE = SimpleNamespace(trace_context=SimpleNamespace(trace_parent="", trace_state=""))
"""Of an invocation, where telemetry is not set up."""


@dataclass(frozen=True, slots=True)
class Order:
    """Profile the handler over these events."""

    events: Sequence[str]
    calls: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the CPU time went, in milliseconds an event."""

    cpu_ms: float
    """Measured without the profiler."""
    areas: dict[str, float]
    """By package that the innermost Python frame belongs to."""
    functions: dict[str, float]
    """By function of ours or function called by one of ours, together with all that it calls."""


class ProfileService:
    """Calls the Event Grid function of one app."""

    def __init__(self, directory: Path) -> None:
        """Import the app."""
        logging.basicConfig(level=logging.INFO, handlers=[HandOn()])
        sys.path.insert(0, str(directory))
        self._handler = _event_grid_function(importlib.import_module("function_app").app)

    def answer(self, order: Order) -> Profile:
        """Measure, then profile."""
        # Each event once: the second time it would only be a duplicate.
        third = len(order.events) // 3
        first, second, last = order.events[:third], order.events[third : 2 * third], order.events[2 * third :]
        self._run(first[:_WARM_UP])
        watch = Stopwatch()
        self._run(first[_WARM_UP:])
        cpu_ms = 1_000 * watch.usage().cpu_seconds / len(first[_WARM_UP:])
        if order.calls:
            self._trace(last)
        sampler = Sampler()
        with sampler:
            self._run(second)
        share = cpu_ms / max(1, sampler.samples)
        return Profile(cpu_ms, _scaled(sampler.areas, share), _scaled(sampler.functions, share))

    def _run(self, events: Sequence[str]) -> None:
        for event in events:
            self._handler(event)

    def _trace(self, events: Sequence[str]) -> None:
        traced = cProfile.Profile()
        traced.runcall(self._run, events)
        pstats.Stats(traced, stream=sys.stderr).sort_stats("tottime").print_stats(_SHOWN)


class Sampler:
    """Looks at the main thread's stack at even steps of CPU time; `with Sampler() as sampler`."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.samples = 0
        self.areas: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()

    def __enter__(self) -> "Sampler":
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, _STEP_SECONDS, _STEP_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)

    def _look(self, _number: int, frame: FrameType | None) -> None:
        self.samples += 1
        if frame is not None:
            self.areas[_area(frame)] += 1
        seen: set[str] = set()
        while frame is not None:
            if _is_ours(frame) or (frame.f_back is not None and _is_ours(frame.f_back)):
                seen.add(f"{_area(frame)}: {frame.f_code.co_qualname}")
            frame = frame.f_back
        self.functions.update(seen)


def _event_grid_function(app: Any) -> Handler:  # noqa: ANN401 - azure-functions has no types for it
    for function in app.get_functions():
        if function.get_trigger().type == "eventGridTrigger":
            handler = function.get_user_function()
            needs_context = "context" in inspect.signature(handler).parameters
            return partial(handler, context=_NO_TRACE) if needs_context else handler
    raise LookupError("the app has no Event Grid function")


def _is_ours(frame: FrameType) -> bool:
    return (
        frame.f_code.co_filename.startswith(f"{ROOT}{os.sep}")
        and _SITE_PACKAGES not in frame.f_code.co_filename
    )


def _area(frame: FrameType) -> str:
    name = frame.f_code.co_filename
    if _is_ours(frame):
        return str(Path(name).relative_to(ROOT).with_suffix(""))
    if _SITE_PACKAGES in name:
        return name.rpartition(_SITE_PACKAGES)[2].partition(os.sep)[0]
    module = str(frame.f_globals.get("__name__", "?")).partition(".")[0]
    return f"Python's {module}"


def _mean(profiles: Sequence[Profile]) -> Profile:
    areas: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for one in profiles:
        areas.update(one.areas)
        functions.update(one.functions)
    share = 1 / len(profiles)
    cpu_ms = sum(one.cpu_ms for one in profiles) * share
    return Profile(cpu_ms, _scaled(areas, share), _scaled(functions, share))


def _scaled(counter: Counter[str], share: float) -> dict[str, float]:
    return {name: count * share for name, count in counter.most_common()}


def main() -> int:
    """Profile both and show them side by side."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument(
        "--events", type=int, default=6_000, help="a third of them is profiled, a third traced"
    )
    parser.add_argument("--tls", action="store_true", help="to the hub")
    parser.add_argument("--calls", action="store_true", help="trace the calls with cProfile, too")
    arguments = parser.parse_args()
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    with Services(console.print) as services:
        crowd = Crowd("profile", 100)
        settle(services.database.uri, DATABASE_NAME, crowd)
        environment = services.environment(tls=arguments.tls)
        console.print(f"Profiling ours and the floor by turns, {arguments.events} events each ...")
        with ExitStack() as stack:
            remotes = [
                stack.enter_context(Remote(partial(ProfileService, app.directory), environment))
                for app in (MeasuredApp.OURS, MeasuredApp.FLOOR)
            ]
            profiles: list[list[Profile]] = [[], []]
            for number in range(_TURNS):
                for remote, found in zip(remotes, profiles, strict=True):
                    events = _texts(crowd, arguments.events // _TURNS)
                    found.append(remote.ask(Order(events, arguments.calls and number == _TURNS - 1)))
    ours, floor = (_mean(found) for found in profiles)
    console.print(f"CPU an event: ours {ours.cpu_ms:.3f} ms, floor {floor.cpu_ms:.3f} ms")
    console.print(_table("by package of the innermost frame", ours.areas, floor.areas))
    console.print(_table("by function, all that it calls included", ours.functions, floor.functions))
    return 0


def _texts(crowd: Crowd, count: int) -> list[str]:
    return [json.dumps(event_grid_event(incoming_call_data(crowd.mri(number)))) for number in range(count)]


def _table(title: str, ours: dict[str, float], floor: dict[str, float]) -> Table:
    table = Table("where", title=f"ms of CPU an event, {title}", title_justify="left")
    table.add_column("ours", justify="right")
    table.add_column("floor", justify="right")
    names = sorted({*ours, *floor}, key=lambda name: -max(ours.get(name, 0), floor.get(name, 0)))
    for name in names[:_SHOWN]:
        table.add_row(name, *(f"{one[name]:.3f}" if name in one else "" for one in (ours, floor)))
    return table


if __name__ == "__main__":
    sys.exit(main())
