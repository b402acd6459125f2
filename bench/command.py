"""The command line: measures, shows, writes."""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import cold_start, latency, lookups, memory, registrar, sends, throughput
from bench.experiment import Bench
from bench.goals import goals
from bench.plot import draw
from bench.report import Report, show, write
from bench.samples import Sample, Samples
from bench.services import ROOT, Services
from bench.sizes import LONG, SHORT, SMOKE, Sizes

_RESULTS = ROOT / "bench" / "results"
_EXPERIMENTS: dict[str, Callable[[Bench], Iterator[Sample]]] = {
    "latency": latency.measure,
    "throughput": throughput.measure,
    "sends": sends.measure,
    "cold-start": cold_start.measure,
    "registrar": registrar.measure,
    "lookups": lookups.measure,
    "memory": memory.measure,
}
_REMARKS = (
    "Every ratio is taken within a round, contenders by turns; absolute times drift with the machine.",
    "Load goes through the real worker library (azure-functions-runtime); no HTTP host is in between.",
    (
        "CPU is user and system time of the worker process, all threads, the load's own driver included (see "
        "the empty function for the worker's share)."
    ),
    (
        "Worker, database and hub share this machine's cores: events a second are what all of them together "
        "allow. The embedded database does about 2,000 operations a second, a real MongoDB tens of thousands."
    ),
    (
        "Lookups use the indexes on acsMri and _id, as a real MongoDB would; the embedded database's full "
        "scans (find_one_and_update, $or on _id) are in no measured path."
    ),
)


def main() -> int:
    """Run what the command line asks for."""
    arguments = _arguments()
    sizes = {"short": SHORT, "long": LONG, "smoke": SMOKE}[arguments.sizes]
    console = Console()
    # Into a file or a pipe, the tables are not broken at 80 columns.
    console = console if console.is_terminal else Console(width=160)
    load_before = os.getloadavg()[0]
    samples = Samples(_measure(console, sizes, arguments.only or list(_EXPERIMENTS)))
    report = Report(samples, goals(samples, sizes), sizes, _REMARKS, load_before)
    show(report, console)
    if arguments.only:
        console.print("A part of the benchmark only: nothing is written.")
        return 0
    files = write(report, arguments.results)
    picture = arguments.results / f"{sizes.name}.png"
    draw(samples, report.goals, picture)
    console.print("Written:", *(str(file) for file in (*files, picture)))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--sizes", choices=("short", "long", "smoke"), default="short")
    parser.add_argument("--only", choices=tuple(_EXPERIMENTS), nargs="+", help="part of it; writes nothing")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="directory of the results")
    return parser.parse_args()


def _measure(console: Console, sizes: Sizes, names: list[str]) -> list[Sample]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Drawn seldom: what draws it takes CPU from what is measured.
    with (
        Services(console.print) as services,
        Progress(*columns, console=console, refresh_per_second=1) as progress,
    ):

        def step(title: str, steps: int) -> Callable[[], None]:
            task = progress.add_task(title, total=steps)
            return lambda: progress.advance(task)

        bench = Bench(services, sizes, step, progress.console.print)
        return [sample for name in names for sample in _EXPERIMENTS[name](bench)]
