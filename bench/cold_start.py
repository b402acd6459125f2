"""How soon a new process can serve: importing the app, starting it in the worker, its first event."""

import json
import subprocess
import sys
from collections.abc import Iterator

from bench.experiment import Bench, MeasuredApp, check, rotated
from bench.population import Crowd, settle
from bench.samples import Sample
from bench.services import DATABASE_NAME, ROOT
from bench.worker import Events, start_worker

EXPERIMENT = "cold start"
IMPORT = "import"
IMPORT_MS = "wall ms"
IMPORT_CPU_MS = "CPU ms"
START = "worker process"
START_MS = "import and index, ms"
FIRST_EVENT_MS = "first event, ms"
PACKAGES = "packages alone"

# What requirements.txt pins, without what the worker imports where telemetry is exported, and without the
# worker library, which the process has imported before the app. `import pydantic` alone imports next to
# nothing.
_MODULES = (
    "azure.functions",
    "pydantic.main",
    "pycurl",
    "pymongo",
    "requests",
    "opentelemetry.trace",
    "opentelemetry.metrics",
)
_IMPORTS = {MeasuredApp.OURS.value: "function_app", PACKAGES: ", ".join(_MODULES)}
_TIMED = """
import json, resource, time
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
wall, used = time.perf_counter(), cpu()
import {modules}
print(json.dumps([time.perf_counter() - wall, cpu() - used]))
"""


def measure(bench: Bench) -> Iterator[Sample]:
    """Yield the samples; every one is of a new process, with the byte code already compiled."""
    yield from _imports(bench)
    yield from _first_events(bench)


def _imports(bench: Bench) -> Iterator[Sample]:
    rounds = bench.sizes.import_rounds
    done = bench.step("Cold import", rounds + 1)
    for number in range(-1, rounds):
        for contender in rotated(tuple(_IMPORTS), number):
            wall, used = _import(bench, _IMPORTS[contender])
            if number >= 0:  # the first round compiles
                yield Sample(EXPERIMENT, IMPORT, contender, IMPORT_MS, number, (1_000 * wall,))
                yield Sample(EXPERIMENT, IMPORT, contender, IMPORT_CPU_MS, number, (1_000 * used,))
        done()


def _import(bench: Bench, modules: str) -> tuple[float, float]:
    """Wall and CPU seconds in a fresh interpreter, whose own start is not counted."""
    ran = subprocess.run(
        [sys.executable, "-c", _TIMED.format(modules=modules)],
        cwd=ROOT,
        env=bench.services.environment(),
        capture_output=True,
        check=True,
        timeout=120,
    )
    wall, used = json.loads(ran.stdout)
    return wall, used


def _first_events(bench: Bench) -> Iterator[Sample]:
    crowd = Crowd("first event", 1)
    settle(bench.services.database.uri, DATABASE_NAME, crowd)
    bench.services.plain.begin()
    apps = (MeasuredApp.OURS, MeasuredApp.FLOOR, MeasuredApp.REFERENCE)
    done = bench.step("First event", bench.sizes.start_rounds)
    for number in range(bench.sizes.start_rounds):
        for app in rotated(apps, number):
            with start_worker(app.directory, bench.services.environment()) as worker:
                load = check(worker.ask(Events(crowd.calls(1))), app)
            values = {START_MS: load.start_seconds, FIRST_EVENT_MS: load.usage.wall_seconds}
            for metric, seconds in values.items():
                yield Sample(EXPERIMENT, START, app, metric, number, (1_000 * seconds,))
        done()
