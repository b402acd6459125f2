"""The Notification Hubs simulator fails in just the way that was ordered, over real connections."""

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

from local.hub.checks import AccessRule, HubConfig
from local.hub.control_client import HubControl
from local.hub.faults import BadFaultOrderError, Fault, FaultOrders, parse_fault
from local.hub.memory import Simulator
from local.hub.running import RunningHub

HUB = HubConfig("contoso-ns", "ring", {"k": AccessRule(key="c2VuZA==", rights=frozenset({"Send"}))})
PATH = "/ring/messages/?direct&api-version=2020-06"
NOT_YET = 0.1
"""Seconds of silence that stand for "never" below; too short a time can only let a test pass."""


def headers(handle: str = "phone") -> dict[str, str]:
    """Those of a good push to a Windows device, signed independently of the simulator."""
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


def push(hub: RunningHub, handle: str = "phone", timeout: float = 5, **extra: str) -> requests.Response:
    """Sends a good push, with further headers if they are given."""
    with requests.Session() as session:
        session.trust_env = False
        url = hub.url + PATH
        return session.post(url, data=b"{}", headers=headers(handle) | extra, timeout=timeout)


@contextmanager
def swallowed(hub: RunningHub, handle: str = "phone") -> Iterator[socket.socket]:
    """A connection on which a good push was sent and read by the hub."""
    lines = [f"POST {PATH} HTTP/1.1", "Host: hub", "Content-Length: 2"]
    lines += [f"{name}: {value}" for name, value in headers(handle).items()]
    before = len(hub.simulator.attempts())
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n{}").encode())
        hub.simulator.wait_until(lambda simulator: len(simulator.attempts()) > before)
        yield connection


def is_silent(connection: socket.socket) -> bool:
    """Neither an answer nor the end of the connection has come."""
    connection.settimeout(NOT_YET)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    return False


def results(hub: RunningHub, handle: str = "phone") -> list[str]:
    """What became of each request for this device."""
    return [attempt.result for attempt in hub.simulator.attempts(handle)]


@pytest.fixture
def hub() -> Iterator[RunningHub]:
    """A healthy hub."""
    with RunningHub(Simulator(HUB)) as running:
        yield running


@pytest.mark.parametrize(
    ("status", "retry_after"), [(500, None), (429, "2"), (403, "1"), (410, None), (503, "soon")]
)
def test_status_is_answered_and_nothing_rings(hub: RunningHub, status: int, retry_after: str | None) -> None:
    """The ordered status comes with the ordered Retry-After or none, in the service's error shape."""
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
    """A slow hub takes its time, then accepts."""
    hub.simulator.add_fault(Fault(kind="slow", delay_seconds=0.05))
    started = time.monotonic()
    assert push(hub).status_code == 201
    assert time.monotonic() - started >= 0.05
    [attempt] = hub.simulator.attempts()
    assert (attempt.status, attempt.fault) == (201, "slow")


def test_slow_rings_even_if_the_client_gave_up(hub: RunningHub) -> None:
    """A client that stops waiting does not take its request back: the phone rings all the same."""
    hub.simulator.add_fault(Fault(kind="slow", delay_seconds=0.2))
    with swallowed(hub):
        pass
    assert len(hub.simulator.wait_for_pushes(1)) == 1


def test_drop_closes_without_an_answer(hub: RunningHub) -> None:
    """The connection ends without a byte, and nothing rings."""
    hub.simulator.add_fault(Fault(kind="drop"))
    with swallowed(hub) as connection:
        assert connection.recv(1) == b""
    with pytest.raises(requests.ConnectionError):
        push(hub)
    assert hub.simulator.pushes() == []
    assert results(hub) == ["drop", "drop"]


def test_black_hole_never_answers(hub: RunningHub) -> None:
    """A swallowed request gets silence until its client goes; others are served meanwhile."""
    hub.simulator.add_fault(Fault(kind="black_hole", device_handle="phone"))
    with swallowed(hub) as connection:
        assert push(hub, "tablet").status_code == 201
        assert is_silent(connection)
    with pytest.raises(requests.ReadTimeout):
        push(hub, timeout=NOT_YET)
    hub.simulator.wait_until(lambda simulator: simulator.summary().connections.open == 0)
    assert [each.device_handle for each in hub.simulator.pushes()] == ["tablet"]
    assert results(hub) == ["black_hole", "black_hole"]


def test_clearing_a_black_hole_releases_nothing(hub: RunningHub) -> None:
    """After the fault is cleared new pushes ring, and those swallowed before stay without an answer."""
    hub.simulator.add_fault(Fault(kind="black_hole"))
    with swallowed(hub) as connection:
        hub.simulator.clear_faults()
        assert push(hub, "tablet").status_code == 201
        assert is_silent(connection)
    assert [each.device_handle for each in hub.simulator.pushes()] == ["tablet"]


def test_a_stop_ends_a_black_hole_without_an_answer(hub: RunningHub) -> None:
    """A hub that is stopped closes what it has swallowed, at once and without a byte."""
    hub.simulator.add_fault(Fault(kind="black_hole"))
    with swallowed(hub) as connection:
        hub.stop()
        assert connection.recv(1) == b""


def test_a_stop_does_not_wait_for_slow_requests(hub: RunningHub) -> None:
    """A request still being worked on goes down with the hub: no answer, no push."""
    hub.simulator.add_fault(Fault(kind="slow", delay_seconds=3600))
    with swallowed(hub) as connection:
        hub.stop()
        assert connection.recv(1) == b""
    assert hub.simulator.pushes() == []


def test_accept_then_drop_rings_without_an_answer(hub: RunningHub) -> None:
    """The phone rings, and the client learns nothing of it."""
    hub.simulator.add_fault(Fault(kind="accept_then_drop"))
    with pytest.raises(requests.ConnectionError):
        push(hub)
    assert len(hub.simulator.pushes()) == 1
    assert results(hub) == ["accept_then_drop"]


def test_accept_then_black_hole_rings_in_silence(hub: RunningHub) -> None:
    """The phone rings, and the client waits for nothing."""
    hub.simulator.add_fault(Fault(kind="accept_then_black_hole"))
    with swallowed(hub) as connection:
        assert len(hub.simulator.wait_for_pushes(1)) == 1
        assert is_silent(connection)
    assert results(hub) == ["accept_then_black_hole"]


def test_times_counts_down(hub: RunningHub) -> None:
    """A fault ordered twice strikes twice, and then the hub is healthy."""
    hub.simulator.add_fault(Fault(kind="status", status=500, times=2))
    assert [push(hub).status_code for _ in range(3)] == [500, 500, 201]


def test_the_first_fault_that_fits_wins(hub: RunningHub) -> None:
    """Faults strike in the order in which they were given, each on its own device only."""
    hub.simulator.add_fault(Fault(kind="status", status=410, device_handle="tablet"))
    hub.simulator.add_fault(Fault(kind="status", status=500, times=1))
    hub.simulator.add_fault(Fault(kind="status", status=429, times=1))
    assert [push(hub).status_code for _ in range(3)] == [500, 429, 201]
    assert [push(hub, "tablet").status_code for _ in range(2)] == [410, 410]


def test_a_fault_never_hides_a_refusal(hub: RunningHub) -> None:
    """A request that the hub refuses is refused, and uses up no fault."""
    hub.simulator.add_fault(Fault(kind="status", status=500, times=1))
    assert push(hub, Authorization="none").status_code == 401
    assert push(hub).status_code == 500


def test_times_is_exact_under_concurrent_pushes(hub: RunningHub) -> None:
    """However many clients push at once, a fault strikes as often as ordered."""
    hub.simulator.add_fault(Fault(kind="status", status=500, times=7))
    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(lambda _: push(hub).status_code, range(40)))
    assert answers == {500: 7, 201: 33}
    assert hub.simulator.summary().attempts == {"phone": {"500": 7, "201": 33}}


def test_dice_repeat_with_their_seed() -> None:
    """A fault of half a chance strikes some and spares some, the same ones for the same seed."""

    def run(seed: int) -> list[bool]:
        orders = FaultOrders(Random(seed))  # noqa: S311 - dice, not keys
        orders.add(Fault(kind="drop", probability=0.5))
        return [orders.strike("phone") is not None for _ in range(64)]

    assert run(1) == run(1) != run(2)
    assert set(run(1)) == {True, False}


def test_dice_that_miss_leave_the_push_to_the_next_fault() -> None:
    """A fault whose dice fell otherwise is not used up, and the next one has its turn."""
    orders = FaultOrders(Random(3))  # noqa: S311 - dice, not keys
    orders.add(Fault(kind="drop", probability=0.5, times=1))
    orders.add(Fault(kind="status", status=500))
    struck = [fault.kind for _ in range(32) if (fault := orders.strike("phone"))]
    assert Counter(struck) == {"drop": 1, "status": 31}


def test_orders_over_http(hub: RunningHub) -> None:
    """Faults are ordered and cleared through the control API in the same shape."""
    with HubControl(hub.url) as control:
        control.add_fault(Fault(kind="status", status=429, retry_after="2", device_handle="phone"))
        assert (push(hub).status_code, push(hub, "tablet").status_code) == (429, 201)
        control.clear_faults()
        assert push(hub).status_code == 201
        assert [each.fault for each in control.attempts()] == ["status", None, None]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("", "JSON"),
        ("[]", "body"),
        ("{}", "kind"),
        ('{"kind": "explode"}', "kind"),
        ('{"kind": "drop", "surprise": 1}', "surprise"),
        ('{"kind": "status"}', "status goes with"),
        ('{"kind": "drop", "status": 500}', "status goes with"),
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
def test_bad_orders_are_refused_with_a_reason(hub: RunningHub, order: str, reason: str) -> None:
    """An order that makes no sense is a 400 that names what is wrong, and changes nothing."""
    answer = requests.post(f"{hub.url}/simulator/faults", data=order, timeout=5)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]
    with pytest.raises(BadFaultOrderError, match=reason):
        parse_fault(order)
    assert push(hub).status_code == 201
