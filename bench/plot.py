"""The results as one picture."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import latency, memory, sends, throughput
from bench.experiment import MeasuredApp
from bench.goals import Goal
from bench.samples import Samples, Side, percentile

_COLOURS = {
    MeasuredApp.OURS.value: "#0b6e4f",
    sends.OURS: "#0b6e4f",
    MeasuredApp.OURS_STOPPING.value: "#57a98c",
    MeasuredApp.FLOOR.value: "#8fb339",
    MeasuredApp.REFERENCE.value: "#b23a48",
    MeasuredApp.EMPTY.value: "#c8c8c8",
    sends.PUBLIC_PYTHON: "#3a6ea5",
    sends.PUBLIC_NODE: "#e6a817",
}


def draw(samples: Samples, goals: Sequence[Goal], path: Path) -> None:
    """Write a PNG with six panels."""
    # Installed by `make bench` only, and slow to import.
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    layout = [["latency", "cpu"], ["rate", "sends"], ["memory", "memory"], ["goals", "goals"]]
    figure, panels = pyplot.subplot_mosaic(
        layout, figsize=(14, 19), height_ratios=(3, 3, 1.5, 3.5), constrained_layout=True
    )
    _draw_latency(panels["latency"], samples)
    _draw_bars(panels["cpu"], samples, throughput.EXPERIMENT, throughput.CPU, log=True)
    _draw_bars(panels["rate"], samples, throughput.EXPERIMENT, throughput.RATE, log=True)
    _draw_bars(panels["sends"], samples, sends.EXPERIMENT, sends.PER_CPU_SECOND)
    _draw_memory(panels["memory"], samples)
    _draw_goals(panels["goals"], goals)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_latency(axes: Any, samples: Samples) -> None:  # noqa: ANN401 - matplotlib is not imported here
    for app in (MeasuredApp.OURS, MeasuredApp.FLOOR, MeasuredApp.REFERENCE):
        points = []
        for devices in latency.DEVICES:
            found = samples.values(latency.EXPERIMENT, Side(latency.case(devices), app), latency.LAST_PUSH)
            if found:
                points.append((devices, percentile(found, 50), percentile(found, 99)))
        if points:
            devices_, middle, late = zip(*points, strict=True)
            axes.plot(devices_, middle, "o-", color=_COLOURS[app], label=f"{app}, p50")
            axes.plot(devices_, late, "x--", color=_COLOURS[app], label=f"{app}, p99", alpha=0.6)
    axes.set(title="Event to last push, hub 50 ms", xlabel="devices", ylabel="ms", xscale="log", yscale="log")
    axes.set_xticks(latency.DEVICES, [str(devices) for devices in latency.DEVICES])
    axes.legend()
    axes.grid(alpha=0.3)


def _draw_bars(
    axes: Any,  # noqa: ANN401
    samples: Samples,
    experiment: str,
    metric: str,
    *,
    log: bool = False,
) -> None:
    sides = samples.sides(experiment)
    cases = list(dict.fromkeys(side.case for side in sides))
    contenders = list(dict.fromkeys(side.contender for side in sides))
    width = 0.8 / max(1, len(contenders))
    for number, contender in enumerate(contenders):
        for place, case in enumerate(cases):
            found = samples.values(experiment, Side(case, contender), metric)
            if found:
                middle = percentile(found, 50)
                spread = [[middle - min(found)], [max(found) - middle]]
                axes.bar(
                    place + number * width,
                    middle,
                    width,
                    yerr=spread,
                    color=_COLOURS[contender],
                    label=contender if place == 0 else None,
                )
    middle_of_group = width * (len(contenders) - 1) / 2
    labels = [case.replace(", ", "\n") for case in cases]
    axes.set_xticks([place + middle_of_group for place in range(len(cases))], labels)
    axes.set(
        title=f"{experiment.capitalize()}: {metric} (median, min-max)", yscale="log" if log else "linear"
    )
    axes.legend(fontsize=8)
    axes.grid(axis="y", alpha=0.3)


def _draw_memory(axes: Any, samples: Samples) -> None:  # noqa: ANN401
    found = samples.values(memory.EXPERIMENT, Side(memory.CASE, MeasuredApp.OURS), memory.RESIDENT)
    axes.plot(found, color=_COLOURS[MeasuredApp.OURS])
    axes.set(title="Resident memory of the worker", xlabel="share of the events, in fiftieths", ylabel="MiB")
    axes.set_ylim(0, 1.2 * max(found, default=1))
    axes.grid(alpha=0.3)


def _draw_goals(axes: Any, goals: Sequence[Goal]) -> None:  # noqa: ANN401
    """How far each goal is reached: 1 is the goal, more is better."""
    measured = [goal for goal in goals if goal.ratio is not None]
    for place, goal in enumerate(reversed(measured)):
        assert goal.ratio is not None
        quotient = goal.ratio.median / goal.limit
        reached = 1 / quotient if goal.symbol == "≤" else quotient
        colour = _COLOURS[MeasuredApp.OURS] if goal.verdict == "met" else _COLOURS[MeasuredApp.REFERENCE]
        axes.barh(place, reached, color=colour)
    axes.set_yticks(range(len(measured)), [goal.name for goal in reversed(measured)], fontsize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(title="Goals: the line is the goal, right of it is better", xscale="log")
