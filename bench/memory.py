"""Memory of the worker process over many events."""

from collections.abc import Iterator

from bench.experiment import Bench, MeasuredApp, check, check_pushes
from bench.population import Crowd, settle
from bench.samples import Sample
from bench.services import DATABASE_NAME
from bench.worker import Events, start_worker

EXPERIMENT = "memory"
CASE = "after events"
RESIDENT = "MiB"
BLOCKS = "blocks of Python objects"
"""Where the resident memory only says how well the allocator packs, these say whether anything is kept."""
_LOOKS = 50
_CONCURRENCY = 16
_USERS = 200


def measure(bench: Bench) -> Iterator[Sample]:
    """Yield one sample a fiftieth of the events, as rounds."""
    crowd = Crowd("memory", _USERS)
    settle(bench.services.database.uri, DATABASE_NAME, crowd)
    events = max(1, bench.sizes.memory_events // _LOOKS)
    done = bench.step(f"Memory over {events * _LOOKS:,} events", _LOOKS)
    with start_worker(MeasuredApp.OURS.directory, bench.services.environment()) as worker:
        for number in range(_LOOKS):
            bench.services.plain.begin()
            load = check(worker.ask(Events(crowd.calls(events), _CONCURRENCY)), EXPERIMENT)
            check_pushes(bench.services.plain, expected=events, who=EXPERIMENT)
            for metric, value in ((RESIDENT, load.resident_bytes / 2**20), (BLOCKS, load.allocated_blocks)):
                yield Sample(EXPERIMENT, CASE, MeasuredApp.OURS, metric, number, (value,))
            done()
