"""The faults of the Notification Hubs simulator, over real connections."""

import base64
import hashlib
import hmac
import socket
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random

import pytest
import requests

from local.hub.config import AccessRule, HubConfig
from local.hub.control_client import ControlClient
from local.hub.faults import ActiveFaults, BadFaultError, Fault, parse_fault
from local.hub.running_hub import RunningHub
from local.hub.simulator import Simulator

HUB = HubConfig("contoso-ns", "ring", {"k": AccessRule(key="c2VuZA==", rights=frozenset({"Send"}))})
PATH = "/ring/messages/?direct&api-version=2020-06"
PHONE = "https://db5.notify.windows.com/?token=phone"
TABLET = "https://db5.notify.windows.com/?token=tablet"
SILENCE_SECONDS = 0.1
"""Silence of this length counts as "no answer"; a slow machine can only let a test pass."""


def headers(handle: str = PHONE) -> dict[str, str]:
    """Headers of a valid push to a Windows device, signed without the simulator's code."""
    resource = urllib.parse.quote("https://contoso-ns.servicebus.windows.net/ring", safe="")
    expiry = int(time.time()) + 300
    digest = hmac.new(b"c2VuZA==", f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
    sig = urllib.parse.quote(base64.b64encode(digest), safe="")
    return {
        "Authorization": f"SharedAccessSignature sr={resource}&sig={sig}&se={expiry}&skn=k",
        "Content-Type": "application/octet-stream",
        "X-WNS-Type": "wns/raw",
        "ServiceBusNotification-Format": "windows",
        "ServiceBusNotification-DeviceHandle": handle,
    }


def push(hub: RunningHub, handle: str = PHONE, timeout: float = 5, **extra: str) -> requests.Response:
    """Send a valid push, with additional headers."""
    with requests.Session() as session:
        session.trust_env = False
        url = hub.url + PATH
        return session.post(url, data=b"{}", headers=headers(handle) | extra, timeout=timeout)


@contextmanager
def sent_without_answer(hub: RunningHub, handle: str = PHONE) -> Iterator[socket.socket]:
    """A connection on which a valid push was sent; the hub has read it."""
    lines = [f"POST {PATH} HTTP/1.1", "Host: hub", "Content-Length: 2"]
    lines += [f"{name}: {value}" for name, value in headers(handle).items()]
    before = len(hub.simulator.attempts())
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n{}").encode())
        hub.simulator.wait_until(lambda simulator: len(simulator.attempts()) > before)
        yield connection


def is_silent(connection: socket.socket) -> bool:
    """Neither an answer nor the end of the connection has arrived."""
    connection.settimeout(SILENCE_SECONDS)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    return False


def results(hub: RunningHub, handle: str = PHONE) -> list[str]:
    """The result of each request for this device."""
    return [attempt.result for attempt in hub.simulator.attempts(handle)]


@pytest.fixture
def hub() -> Iterator[RunningHub]:
    """A healthy hub."""
    with RunningHub(Simulator(HUB)) as running:
        yield running


@pytest.mark.parametrize(
    ("status", "retry_after"), [(500, None), (429, "2"), (403, "1"), (410, None), (503, "soon")]
)
def test_status_is_answered_and_no_push_accepted(
    hub: RunningHub, status: int, retry_after: str | None
) -> None:
    """The fault's status and Retry-After are answered, in the service's error form; no push is accepted."""
    hub.simulator.add_fault(Fault(kind="status", status=status, retry_after=retry_after))
    answer = push(hub)
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == retry_after
    assert f"<Code>{status}</Code>" in answer.text
    assert answer.headers["TrackingId"] in answer.text
    assert hub.simulator.pushes() == []
    [attempt] = hub.simulator.attempts()
    assert (attempt.status, attempt.fault, attempt.reason) == (status, "status", None)


def test_slow_answers_late_and_normally(hub: RunningHub) -> None:
    """A slow hub answers after the delay and accepts the push."""
    hub.simulator.add_fault(Fault(kind="slow", delay_seconds=0.05))
    started = time.monotonic()
    assert push(hub).status_code == 201
    assert time.monotonic() - started >= 0.05
    [attempt] = hub.simulator.attempts()
    assert (attempt.status, attempt.fault) == (201, "slow")


def test_slow_accepts_after_the_client_gave_up(hub: RunningHub) -> None:
    """The push is accepted although the client has closed the connection."""
    hub.simulator.add_fault(Fault(kind="slow", delay_seconds=0.2))
    with sent_without_answer(hub):
        pass
    assert len(hub.simulator.wait_for_pushes(1)) == 1


def test_drop_closes_without_an_answer(hub: RunningHub) -> None:
    """The connection closes without an answer, and no push is accepted."""
    hub.simulator.add_fault(Fault(kind="drop"))
    with sent_without_answer(hub) as connection:
        assert connection.recv(1) == b""
    with pytest.raises(requests.ConnectionError):
        push(hub)
    assert hub.simulator.pushes() == []
    assert results(hub) == ["drop", "drop"]


def test_black_hole_never_answers(hub: RunningHub) -> None:
    """The request stays unanswered until its client closes; other requests are served meanwhile."""
    hub.simulator.add_fault(Fault(kind="black_hole", device_handle=PHONE))
    with sent_without_answer(hub) as connection:
        assert push(hub, TABLET).status_code == 201
        assert is_silent(connection)
    with pytest.raises(requests.ReadTimeout):
        push(hub, timeout=SILENCE_SECONDS)
    hub.simulator.wait_until(lambda simulator: simulator.summary().connections.open == 0)
    assert [each.device_handle for each in hub.simulator.pushes()] == [TABLET]
    assert results(hub) == ["black_hole", "black_hole"]


def test_clearing_a_black_hole_does_not_answer_held_requests(hub: RunningHub) -> None:
    """After the fault is cleared new pushes are accepted; held ones stay unanswered."""
    hub.simulator.add_fault(Fault(kind="black_hole"))
    with sent_without_answer(hub) as connection:
        hub.simulator.clear_faults()
        assert push(hub, TABLET).status_code == 201
        assert is_silent(connection)
    assert [each.device_handle for each in hub.simulator.pushes()] == [TABLET]


def test_stop_closes_held_connections(hub: RunningHub) -> None:
    """A stopped hub closes held connections at once, without an answer."""
    hub.simulator.add_fault(Fault(kind="black_hole"))
    with sent_without_answer(hub) as connection:
        hub.stop()
        assert connection.recv(1) == b""


def test_stop_does_not_wait_for_slow_requests(hub: RunningHub) -> None:
    """A delayed request gets no answer when the hub stops, and its push is not accepted."""
    hub.simulator.add_fault(Fault(kind="slow", delay_seconds=3600))
    with sent_without_answer(hub) as connection:
        hub.stop()
        assert connection.recv(1) == b""
    assert hub.simulator.pushes() == []


def test_accept_then_drop(hub: RunningHub) -> None:
    """The push is accepted, and the connection closes without an answer."""
    hub.simulator.add_fault(Fault(kind="accept_then_drop"))
    with pytest.raises(requests.ConnectionError):
        push(hub)
    assert len(hub.simulator.pushes()) == 1
    assert results(hub) == ["accept_then_drop"]


def test_accept_then_black_hole(hub: RunningHub) -> None:
    """The push is accepted, and the client gets no answer."""
    hub.simulator.add_fault(Fault(kind="accept_then_black_hole"))
    with sent_without_answer(hub) as connection:
        assert len(hub.simulator.wait_for_pushes(1)) == 1
        assert is_silent(connection)
    assert results(hub) == ["accept_then_black_hole"]


def test_times_counts_down(hub: RunningHub) -> None:
    """A fault with `times` 2 applies twice."""
    hub.simulator.add_fault(Fault(kind="status", status=500, times=2))
    assert [push(hub).status_code for _ in range(3)] == [500, 500, 201]


def test_first_matching_fault_wins(hub: RunningHub) -> None:
    """Faults apply in the order in which they were added, each to its own device."""
    hub.simulator.add_fault(Fault(kind="status", status=410, device_handle=TABLET))
    hub.simulator.add_fault(Fault(kind="status", status=500, times=1))
    hub.simulator.add_fault(Fault(kind="status", status=429, times=1))
    assert [push(hub).status_code for _ in range(3)] == [500, 429, 201]
    assert [push(hub, TABLET).status_code for _ in range(2)] == [410, 410]


def test_refused_request_takes_no_fault(hub: RunningHub) -> None:
    """A request that the hub refuses is refused, and `times` does not go down."""
    hub.simulator.add_fault(Fault(kind="status", status=500, times=1))
    assert push(hub, Authorization="none").status_code == 401
    assert push(hub).status_code == 500


def test_times_is_exact_under_concurrent_pushes(hub: RunningHub) -> None:
    """A fault applies exactly `times` times to concurrent pushes."""
    hub.simulator.add_fault(Fault(kind="status", status=500, times=7))
    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(lambda _: push(hub).status_code, range(40)))
    assert answers == {500: 7, 201: 33}
    assert hub.simulator.summary().attempts == {PHONE: {"500": 7, "201": 33}}


def test_probability_repeats_with_its_seed() -> None:
    """A fault with probability 0.5 applies to some pushes, to the same ones for the same seed."""

    def run(seed: int) -> list[bool]:
        faults = ActiveFaults(Random(seed))  # noqa: S311 - not for cryptography
        faults.add(Fault(kind="drop", probability=0.5))
        return [faults.take("ring", PHONE) is not None for _ in range(64)]

    assert run(1) == run(1) != run(2)
    assert set(run(1)) == {True, False}


def test_probability_that_misses_leaves_the_push_to_the_next_fault() -> None:
    """A fault that did not apply keeps its `times`, and the next one is considered."""
    faults = ActiveFaults(Random(3))  # noqa: S311 - not for cryptography
    faults.add(Fault(kind="drop", probability=0.5, times=1))
    faults.add(Fault(kind="status", status=500))
    applied = [fault.kind for _ in range(32) if (fault := faults.take("ring", PHONE))]
    assert Counter(applied) == {"drop": 1, "status": 31}


def test_faults_over_http(hub: RunningHub) -> None:
    """Faults are added and cleared through the control API in the same form."""
    with ControlClient(hub.url) as control:
        control.add_fault(Fault(kind="status", status=429, retry_after="2", device_handle=PHONE))
        assert (push(hub).status_code, push(hub, TABLET).status_code) == (429, 201)
        control.clear_faults()
        assert push(hub).status_code == 201
        assert [each.fault for each in control.attempts()] == ["status", None, None]


def test_active_faults_over_http(hub: RunningHub) -> None:
    """The active faults are listed oldest first, with the number of applications left."""
    with ControlClient(hub.url) as control:
        control.add_fault(Fault(kind="status", status=503, times=2))
        control.add_fault(Fault(kind="drop"))
        assert push(hub).status_code == 503
        assert [(fault.kind, fault.times) for fault in control.faults()] == [("status", 1), ("drop", None)]
        control.clear_faults()
        assert control.faults() == []


def test_latency_over_http(hub: RunningHub) -> None:
    """The latency is read as it was set."""
    with ControlClient(hub.url) as control:
        assert control.latency() == 0
        control.set_latency(0.25)
        assert control.latency() == 0.25


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("", "JSON"),
        ("[]", "body"),
        ("{}", "kind"),
        ('{"kind": "explode"}', "kind"),
        ('{"kind": "drop", "surprise": 1}', "surprise"),
        ('{"kind": "status"}', "needs a status"),
        ('{"kind": "drop", "status": 500}', "needs a status"),
        ('{"kind": "status", "status": 201}', "status"),
        ('{"kind": "status", "status": "500"}', "status"),
        ('{"kind": "drop", "retryAfter": "1"}', "retryAfter"),
        ('{"kind": "status", "status": 429, "retryAfter": "1\\r\\nX: y"}', "retryAfter"),
        ('{"kind": "status", "status": 429, "retryAfter": "1\\n"}', "retryAfter"),
        ('{"kind": "slow"}', "delaySeconds"),
        ('{"kind": "slow", "delaySeconds": -1}', "delaySeconds"),
        ('{"kind": "slow", "delaySeconds": NaN}', "delaySeconds"),
        ('{"kind": "drop", "times": 0}', "times"),
        ('{"kind": "drop", "times": true}', "times"),
        ('{"kind": "drop", "probability": 0}', "probability"),
        ('{"kind": "drop", "probability": 1.5}', "probability"),
        ('{"kind": "drop", "deviceHandle": 1}', "deviceHandle"),
    ],
)
def test_malformed_fault(hub: RunningHub, fault: str, reason: str) -> None:
    """A malformed fault is a 400 that names what is wrong, and changes nothing."""
    answer = requests.post(f"{hub.url}/simulator/faults", data=fault, timeout=5)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]
    with pytest.raises(BadFaultError, match=reason):
        parse_fault(fault)
    assert push(hub).status_code == 201
