"""Requests a second that the registrar's HTTP functions answer, in the worker."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlencode

from bench.experiment import Bench, MeasuredApp, check
from bench.samples import Sample
from bench.worker import Requests
from local.host.worker import HttpCall
from local.samples import phones

EXPERIMENT = "registrar"
RATE = "requests/s"
CPU = "CPU ms/request"
_CONCURRENCY = 8
_BASE = "http://127.0.0.1/api"


def measure(bench: Bench) -> Iterator[Sample]:
    """Yield the samples: a round registers new devices, registers them again, looks up and deletes them."""
    rounds = bench.sizes.registrar_rounds
    done = bench.step("Registrar", rounds + 1)
    with ExitStack() as stack:
        worker = bench.workers(stack, (MeasuredApp.OURS,))[MeasuredApp.OURS]
        for number in range(-1, rounds):
            for case, function, calls in _work(bench.sizes.registrar_requests):
                load = check(worker.ask(Requests(function, calls, _CONCURRENCY)), case)
                if number >= 0:  # the first round warms up
                    usage, count = load.usage, len(calls)
                    rate, cpu = count / usage.wall_seconds, 1_000 * usage.cpu_seconds / count
                    yield Sample(EXPERIMENT, case, MeasuredApp.OURS, RATE, number, (rate,))
                    yield Sample(EXPERIMENT, case, MeasuredApp.OURS, CPU, number, (cpu,))
            done()


def _work(count: int) -> list[tuple[str, str, list[HttpCall]]]:
    users = [f"8:acs:{uuid.uuid4()}_{uuid.uuid4()}" for _ in range(count)]
    devices = [phones()[number % 3] for number in range(count)]
    pairs = list(zip(users, devices, strict=True))
    adds = [_call("POST", "add_device_token", device.registration(user)) for user, device in pairs]
    gets = [_call("GET", "get_device_registrations", acsMri=user) for user in users]
    deletes = [
        _call("DELETE", "delete_device_registration", acsMri=user, deviceUUID=device.device_uuid)
        for user, device in pairs
    ]
    return [
        ("register, new", "AddDeviceToken", adds),
        ("register again", "AddDeviceToken", adds),
        ("look up", "GetDeviceRegistrations", gets),
        ("delete", "DeleteDeviceRegistration", deletes),
    ]


def _call(method: str, route: str, body: object = None, **query: str) -> HttpCall:
    return HttpCall(
        method=method,
        url=f"{_BASE}/{route}?{urlencode(query)}",
        headers={"content-type": "application/json"},
        query=query,
        body=json.dumps(body).encode() if body else None,
    )
