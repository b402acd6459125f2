"""The goals, each held against what this run measured."""

import operator
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import cold_start, latency, lookups, memory, sends, throughput
from bench.experiment import MeasuredApp
from bench.samples import Ratio, Samples, Side
from bench.sizes import Sizes

RESIDENT_GROWTH = 1.02
"""Fifty samples of one process scatter by about one per cent."""

BLOCKS_GROWTH = 1.005
"""Python's objects scatter less; a single one kept of every event would add a tenth in 50,000."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal and what was measured."""

    name: str
    symbol: str
    limit: float
    ratio: Ratio | None
    """None where it was not measured."""
    note: str = ""

    @property
    def wanted(self) -> str:
        """Such as `≤ 1.15`."""
        return f"{self.symbol} {self.limit:g}"

    @property
    def verdict(self) -> str:
        """By the median of the rounds, or by the best ones."""
        if self.ratio is None:
            return "not measured"
        holds: dict[str, Callable[[float, float], bool]] = {
            "≤": operator.le,
            "≥": operator.ge,
        }
        return "met" if holds[self.symbol](self.ratio.median, self.limit) else "NOT MET"


def goals(samples: Samples, sizes: Sizes) -> list[Goal]:
    """All of them."""
    return [
        *_latency(samples),
        *_cpu(samples),
        *_rates(samples),
        *_sends(samples),
        *_lookups(samples, sizes),
        *_start(samples),
        *_memory(samples, sizes),
    ]


def _latency(samples: Samples) -> list[Goal]:
    one, ten, fifty = (Side(latency.case(devices), MeasuredApp.OURS) for devices in (1, 10, 50))
    stopping = Side(latency.case(1), MeasuredApp.OURS_STOPPING)
    reference = Side(latency.case(10), MeasuredApp.REFERENCE)

    def ratio(over: Side, under: Side) -> Ratio | None:
        return samples.ratio(latency.EXPERIMENT, latency.LAST_PUSH, over, under)

    return [
        Goal("latency, 10 devices / 1 device", "≤", 1.12, ratio(ten, one)),
        Goal("latency, 50 devices / 1 device", "≤", 1.12, ratio(fifty, one)),
        Goal("latency, 1 device, with StopRinging / without", "≤", 1.05, ratio(stopping, one)),
        Goal("latency at 10 devices, reference / ours", "≥", 7.5, ratio(reference, ten)),
    ]


def _cpu(samples: Samples) -> list[Goal]:
    goals = []
    for condition in throughput.CONDITIONS:
        for other, limit in (
            (MeasuredApp.FLOOR, 0.75),
            (MeasuredApp.REFERENCE, 0.2 if condition.tls else 0.5),
        ):
            sides = (Side(condition.case, MeasuredApp.OURS), Side(condition.case, other))
            ratio = samples.best_ratio(throughput.EXPERIMENT, throughput.CPU, *sides)
            goals.append(Goal(f"best CPU an event, ours / {other}: {condition.case}", "≤", limit, ratio))
    return goals


def _rates(samples: Samples) -> list[Goal]:
    goals = []
    for condition in throughput.CONDITIONS:
        sides = (Side(condition.case, MeasuredApp.OURS), Side(condition.case, MeasuredApp.FLOOR))
        ratio = samples.ratio(throughput.EXPERIMENT, throughput.RATE, *sides)
        goals.append(Goal(f"events a second, ours / floor: {condition.case}", "≥", 0.8, ratio))
    return goals


def _sends(samples: Samples) -> list[Goal]:
    goals = []
    for concurrency in sends.CONCURRENCIES:
        case = sends.case(concurrency)
        for other in (sends.PUBLIC_PYTHON, sends.PUBLIC_NODE):
            sides = (Side(case, sends.OURS), Side(case, other))
            ratio = samples.ratio(sends.EXPERIMENT, sends.PER_CPU_SECOND, *sides)
            limit = 3.0 if other == sends.PUBLIC_NODE and concurrency == sends.CONCURRENCIES[-1] else 1.0
            goals.append(Goal(f"sends a CPU-second, ours / {other}: {case}", "≥", limit, ratio))
    return goals


def _lookups(samples: Samples, sizes: Sizes) -> list[Goal]:
    few, many = sizes.registrations[0], sizes.registrations[-1]
    sides = (Side(lookups.case(many), MeasuredApp.OURS), Side(lookups.case(few), MeasuredApp.OURS))
    ratio = samples.ratio(lookups.EXPERIMENT, lookups.LOOK_UP, *sides, percent=99)
    note = "" if many >= 1_000_000 else "the goal is for 1,000,000: make bench-long"
    return [Goal(f"look up p99, {many:,} / {few:,} registrations", "≤", 1.5, ratio, note)]


def _start(samples: Samples) -> list[Goal]:
    sides = (Side(cold_start.IMPORT, MeasuredApp.OURS), Side(cold_start.IMPORT, cold_start.PACKAGES))
    ratio = samples.ratio(cold_start.EXPERIMENT, cold_start.IMPORT_MS, *sides)
    return [Goal("cold import, the app / its pinned packages alone", "≤", 1.0, ratio)]


def _memory(samples: Samples, sizes: Sizes) -> list[Goal]:
    """The last fifth of the run over its second fifth; the first fills pools and caches."""
    note = "" if sizes.memory_events >= 50_000 else "the goal is for 50,000 events: make bench-long"
    goals = []
    for metric, limit in ((memory.RESIDENT, RESIDENT_GROWTH), (memory.BLOCKS, BLOCKS_GROWTH)):
        found = samples.values(memory.EXPERIMENT, Side(memory.CASE, MeasuredApp.OURS), metric)
        name = f"memory over {sizes.memory_events:,} events, at the end / after warming up: {metric}"
        goals.append(Goal(name, "≤", limit, _growth(found), note))
    return goals


def _growth(values: Sequence[float]) -> Ratio | None:
    if len(values) < 5:
        return None
    fifth = len(values) // 5
    before = statistics.median(values[fifth : 2 * fifth])
    quotients = [value / before for value in values[-fifth:]]
    return Ratio(statistics.median(quotients), min(quotients), max(quotients), len(quotients))
