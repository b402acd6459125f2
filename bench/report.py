"""The results as tables: on the terminal, in Markdown, and all numbers as JSON."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.goals import Goal
from bench.samples import Samples, percentile
from bench.sizes import Sizes

_PACKAGES = ("azure-functions", "azure-functions-runtime", "pydantic", "pymongo", "requests", "SecantusDB")
_GOAL_COLUMNS = ("goal", "wanted", "measured: median (min-max)", "verdict")
_COLUMNS = ("case", "contender", "metric", "n", "p50", "p99", "min", "max")


@dataclass(frozen=True, slots=True)
class Report:
    """All of a run."""

    samples: Samples
    goals: Sequence[Goal]
    sizes: Sizes
    remarks: Sequence[str]
    load_before: float
    """Processes that wanted a core in the minute before the run."""

    def machine(self) -> dict[str, str]:
        """Where and with what it was measured."""
        return {
            "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "run": self.sizes.name,
            "cores": str(os.cpu_count()),
            "load before": f"{self.load_before:.1f}",
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        }

    def goal_rows(self) -> list[tuple[str, ...]]:
        """One a goal."""
        return [
            (
                goal.name,
                goal.wanted,
                str(goal.ratio or "-"),
                f"{goal.verdict} ({goal.note})" if goal.note and goal.ratio else goal.verdict,
            )
            for goal in self.goals
        ]

    def rows(self, experiment: str) -> list[tuple[str, ...]]:
        """One a case, contender and metric of an experiment."""
        rows = []
        for side in self.samples.sides(experiment):
            for metric in self.samples.metrics(experiment):
                found = self.samples.values(experiment, side, metric)
                if found:
                    numbers = (percentile(found, 50), percentile(found, 99), min(found), max(found))
                    shown = tuple(f"{number:,.4g}" for number in numbers)
                    rows.append((side.case, side.contender, metric, str(len(found)), *shown))
        return rows


def show(report: Report, console: Console) -> None:
    """Print the tables."""
    for experiment in report.samples.experiments():
        console.print(_table(experiment, _COLUMNS, report.rows(experiment)))
    console.print(_table("goals", _GOAL_COLUMNS, report.goal_rows()))
    for remark in report.remarks:
        console.print(remark)


def write(report: Report, directory: Path) -> list[Path]:
    """Write `<kind of run>.json` and `.md`."""
    directory.mkdir(exist_ok=True)
    everything = {
        "machine": report.machine(),
        "remarks": list(report.remarks),
        "goals": [{**asdict(goal), "verdict": goal.verdict} for goal in report.goals],
        "samples": [asdict(sample) for sample in report.samples.all],
    }
    data, text = directory / f"{report.sizes.name}.json", directory / f"{report.sizes.name}.md"
    data.write_text(_compact(everything) + "\n", encoding="utf-8")
    text.write_text(_markdown(report), encoding="utf-8")
    return [data, text]


def _compact(everything: Mapping[str, object]) -> str:
    """JSON with one sample a line and numbers of six digits, so that a difference can be read."""
    rounded = json.loads(json.dumps(everything), parse_float=lambda number: float(f"{float(number):.6g}"))
    samples = ",\n  ".join(json.dumps(sample, ensure_ascii=False) for sample in rounded.pop("samples"))
    head = json.dumps(rounded, ensure_ascii=False, indent=1).removesuffix("\n}")
    return f'{head},\n "samples": [\n  {samples}\n ]\n}}'


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if columns == _COLUMNS and number > 2 else "left")
    for row in rows:
        style = "red" if row[-1].startswith("NOT MET") else None
        table.add_row(*row, style=style)
    return table


def _markdown(report: Report) -> str:
    parts = [f"# Benchmark results ({report.sizes.name} run)\n"]
    parts.append("; ".join(f"{name} {value}" for name, value in report.machine().items()) + ".\n")
    parts.extend(f"- {remark}" for remark in report.remarks)
    parts.append(f"\n![The results as a plot]({report.sizes.name}.png)\n")
    parts.append("## Goals\n")
    parts.append(_markdown_table(_GOAL_COLUMNS, report.goal_rows()))
    for experiment in report.samples.experiments():
        parts.append(f"\n## {experiment.capitalize()}\n")
        parts.append(_markdown_table(_COLUMNS, report.rows(experiment)))
    return "\n".join(parts) + "\n"


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
