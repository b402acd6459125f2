"""Events a second and CPU time an event, one device a callee, many calls at once."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from bench.experiment import Bench, MeasuredApp, check, check_pushes, rotated
from bench.population import Crowd, settle
from bench.samples import Sample
from bench.services import DATABASE_NAME, cpu_seconds_of
from bench.worker import Events, Worker

EXPERIMENT = "throughput"
RATE = "events/s"
CPU = "CPU ms/event"
DATABASE_CPU = "database CPU ms/event"
HUB_CPU = "hub CPU ms/event"
_APPS = (MeasuredApp.OURS, MeasuredApp.FLOOR, MeasuredApp.REFERENCE, MeasuredApp.EMPTY)
_USERS = 100


@dataclass(frozen=True, slots=True)
class Condition:
    """How the hub is."""

    tls: bool
    hub_seconds: float
    concurrency: int
    """Events in flight at once: enough to fill the hub's time, no more."""

    @property
    def case(self) -> str:
        """Its name."""
        return f"hub {self.hub_seconds * 1_000:.0f} ms, {'TLS' if self.tls else 'plain'}"


CONDITIONS = (
    Condition(tls=False, hub_seconds=0.0, concurrency=8),
    Condition(tls=False, hub_seconds=0.05, concurrency=32),
    Condition(tls=True, hub_seconds=0.0, concurrency=8),
    Condition(tls=True, hub_seconds=0.05, concurrency=32),
)


def measure(bench: Bench) -> Iterator[Sample]:
    """Yield the samples."""
    crowd = Crowd("throughput", _USERS)
    settle(bench.services.database.uri, DATABASE_NAME, crowd)
    rounds = bench.sizes.throughput_rounds
    done = bench.step("Throughput", (rounds + 1) * len(CONDITIONS))
    with ExitStack() as stack:
        workers = {tls: bench.workers(stack, _APPS, tls=tls) for tls in (False, True)}
        for number in range(-1, rounds):
            for condition in CONDITIONS:
                for app in rotated(_APPS, number):
                    samples = _samples(bench, workers[condition.tls][app], app, condition, crowd, number)
                    if number >= 0:  # the first round warms up
                        yield from samples
                done()


def _samples(  # noqa: PLR0913, PLR0917
    bench: Bench, worker: Worker, app: MeasuredApp, condition: Condition, crowd: Crowd, number: int
) -> list[Sample]:
    services, hub = bench.services, bench.services.hub(tls=condition.tls)
    count = bench.sizes.throughput_events // (3 if app is MeasuredApp.REFERENCE else 1)
    hub.begin(condition.hub_seconds)
    watched = {DATABASE_CPU: services.database.pid or 0, HUB_CPU: hub.pid}
    before = {metric: cpu_seconds_of(pid) for metric, pid in watched.items()}
    load = check(worker.ask(Events(crowd.calls(count), condition.concurrency)), f"{app}, {condition.case}")
    after = {metric: cpu_seconds_of(pid) for metric, pid in watched.items()}
    check_pushes(hub, expected=0 if app is MeasuredApp.EMPTY else count, who=app)
    values = {RATE: count / load.usage.wall_seconds, CPU: 1_000 * load.usage.cpu_seconds / count}
    for metric in watched:
        start, end = before[metric], after[metric]
        if start is not None and end is not None:
            values[metric] = 1_000 * (end - start) / count
    return [
        Sample(EXPERIMENT, condition.case, app, metric, number, (value,)) for metric, value in values.items()
    ]
