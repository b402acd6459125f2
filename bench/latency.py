"""From the event's arrival in the worker to the last push that the hub accepts, one call at a time."""

from collections.abc import Iterator
from contextlib import ExitStack

from bench.experiment import Bench, BenchError, MeasuredApp, check, rotated
from bench.population import Crowd, settle
from bench.samples import Sample
from bench.services import DATABASE_NAME
from bench.worker import Events, Worker

EXPERIMENT = "latency"
LAST_PUSH = "event to last push, ms"
ACKNOWLEDGED = "event to acknowledgement, ms"
HUB_SECONDS = 0.05
DEVICES = (1, 3, 10, 50)
_APPS = (MeasuredApp.OURS, MeasuredApp.OURS_STOPPING, MeasuredApp.FLOOR, MeasuredApp.REFERENCE)
_FOR_ONE_DEVICE = {MeasuredApp.OURS_STOPPING, MeasuredApp.FLOOR}
"""Measured with one device alone."""


def case(devices: int) -> str:
    """Its name."""
    return f"{devices} device{'s' if devices > 1 else ''}"


def measure(bench: Bench) -> Iterator[Sample]:
    """Yield the samples; the hub takes 50 ms, and its own clock says when it accepted."""
    services = bench.services
    crowds = {devices: Crowd(f"latency {devices}", 4, devices) for devices in DEVICES}
    settle(services.database.uri, DATABASE_NAME, *crowds.values())
    pairs = [
        (devices, app) for devices in DEVICES for app in _APPS if devices == 1 or app not in _FOR_ONE_DEVICE
    ]
    rounds = bench.sizes.latency_rounds
    done = bench.step("Latency", rounds + 1)
    with ExitStack() as stack:
        workers = bench.workers(stack, _APPS)
        for number in range(-1, rounds):
            for devices, app in rotated(pairs, number * 3):
                calls = _calls(app, devices, bench.sizes.latency_calls)
                spans = _ring(bench, workers[app], crowds[devices], calls)
                if number >= 0:  # the first round warms up: connections, pools, caches
                    yield _sample(devices, app, LAST_PUSH, number, [last - start for start, last, _ in spans])
                    yield _sample(
                        devices, app, ACKNOWLEDGED, number, [end - start for start, _, end in spans]
                    )
            done()


def _calls(app: MeasuredApp, devices: int, calls: int) -> int:
    """The reference way takes seconds for many devices."""
    return calls if app is not MeasuredApp.REFERENCE or devices == 1 else max(1, calls // devices)


def _ring(bench: Bench, worker: Worker, crowd: Crowd, calls: int) -> list[tuple[float, float, float]]:
    """Start, last push and end of each call, unix seconds: all processes read the same clock."""
    hub = bench.services.plain
    hub.begin(HUB_SECONDS)
    load = check(worker.ask(Events(crowd.calls(calls))), crowd.name)
    accepted = hub.received().accepted
    spans = []
    for start, end in load.spans:
        pushes = [moment for moment in accepted if start <= moment <= end]
        if len(pushes) != crowd.devices:
            raise BenchError(f"{crowd.name}: {len(pushes)} pushes for a call")
        spans.append((start, max(pushes), end))
    return spans


def _sample(devices: int, app: MeasuredApp, metric: str, number: int, seconds: list[float]) -> Sample:
    return Sample(EXPERIMENT, case(devices), app, metric, number, tuple(1_000 * one for one in seconds))
