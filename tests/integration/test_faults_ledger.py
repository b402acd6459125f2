"""The ledger: answers that are lost, deliveries that meet, and devices that change in between."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from common.telemetry import LONGEST_LINE
from local.database import EmbeddedDatabase
from local.hub.faults import Fault
from local.hub.running_hub import RunningHub
from tests.end_to_end.hosts import new_user
from tests.fakes import AppLog
from tests.faults import MongoProxy, mongo_uri, port_of
from tests.integration.conftest import SHORT
from tests.integration.fault_rows import FaultRow, Played
from tests.rig import Instance, at_once, call_to, eventually

LOST = {
    retry: FaultRow(f"the answer to the ledger's first write is lost, `retryWrites={retry}`")
    for retry in ("true", "false")
}
WITHHELD = FaultRow("the answer to the ledger's first write never comes")
ROTATED = FaultRow("a device's token changes between two deliveries, of which the first rang it", (500, 202))
AT_ONCE = FaultRow("a redelivery comes while the device that is gone cannot be marked")
LONG_ID = FaultRow("an event id of 900 kB", (500, 500), (0, 0), tries=0)
ROWS = (*LOST.values(), WITHHELD, ROTATED, AT_ONCE, LONG_ID)


@pytest.fixture
def near(hub: RunningHub, database: EmbeddedDatabase) -> Iterator[Instance]:
    """An instance without a fault."""
    with Instance(hub, database.uri, SHORT) as running:
        yield running


@pytest.fixture
def proxy(database: EmbeddedDatabase) -> Iterator[MongoProxy]:
    with MongoProxy(port_of(database.uri)) as running:
        yield running
        running.restore()


def behind(proxy: MongoProxy, near: Instance, database: EmbeddedDatabase, retry: str = "false") -> Instance:
    """An instance of the same app that reaches the database through the proxy, with default time-outs."""
    uri = mongo_uri(proxy.port, f"directConnection=true&retryWrites={retry}")
    return Instance(near.hub, uri, database_name=near.database_name, observer_uri=database.uri)


class TestFirstWrite:
    @pytest.mark.parametrize("retry", LOST)
    def test_lost(self, proxy: MongoProxy, near: Instance, database: EmbeddedDatabase, retry: str) -> None:
        """What the repetition finds is this invocation's own claim: nothing is waited for."""
        with behind(proxy, near, database, retry) as app:
            call = Played(app, call_to(user := new_user()), near.register(user, 3))
            proxy.lose_answer("insert", collection="CallLedger")
            answer = call.deliver()
            call.deliver()
            call.check(LOST[retry])
            assert answer.seconds < app.app.settings.calls.lease_seconds - 2

    def test_withheld(self, proxy: MongoProxy, near: Instance, database: EmbeddedDatabase) -> None:
        """The same after the command's time-out."""
        with behind(proxy, near, database) as app:
            call = Played(app, call_to(user := new_user()), near.register(user, 3))
            proxy.withhold_answer("insert", collection="CallLedger")
            answer = call.deliver()
            call.deliver()
            call.check(WITHHELD)
            assert answer.seconds < app.app.settings.calls.lease_seconds - 2


def test_token_changes(near: Instance) -> None:
    """A device that has rung has rung, also with another token by now; the one that is left over rings."""
    rung, left_over = near.register(user := new_user(), 2)
    near.hub.simulator.add_fault(
        Fault(kind="status", status=429, retry_after="60", device_handle=left_over.device_token)
    )
    call = Played(near, call_to(user), [rung])
    call.deliver()
    near.hub.simulator.clear_faults()
    renewed, left_over = near.register(user, 2)
    call.rung = lambda _: near.rings(rung) + near.rings(renewed)
    call.deliver()
    call.check(ROTATED)
    assert near.rings(left_over) == 1


def test_gone_device_cannot_be_marked(proxy: MongoProxy, near: Instance, database: EmbeddedDatabase) -> None:
    """The ledger is written first, so a redelivery at that moment finds what has rung."""
    gone, rung = near.register(user := new_user(), 2)
    near.hub.simulator.add_fault(Fault(kind="status", status=410, device_handle=gone.device_token))
    with behind(proxy, near, database) as app, ThreadPoolExecutor(1) as pool:
        call = Played(app, call_to(user), [rung])
        proxy.withhold_answer("update", collection="DeviceRegistrations")
        first = pool.submit(call.deliver)
        eventually(lambda: ("update", "DeviceRegistrations") in proxy.commands)
        again = Played(near, call.event, [rung])
        again.deliver()
        assert not first.done()
        assert (again.statuses, again.rings, again.sends) == ([202], [1], [0])
        first.result()
        call.deliver()
        call.check(AT_ONCE)


def test_redeliveries_at_once(near: Instance, database: EmbeddedDatabase) -> None:
    """Two redeliveries of an event that is left over, on two instances at once: one ring."""
    with Instance(near.hub, database.uri, SHORT, database_name=near.database_name) as other:
        for _ in range(5):
            (device,) = near.register(user := new_user())
            event = call_to(user)
            near.hub.simulator.add_fault(Fault(kind="status", status=429, retry_after="60"))
            assert near.deliver(event).status == 500
            near.hub.simulator.clear_faults()
            answers = at_once(partial(Instance.deliver, event=event), [near, other])
            assert 202 in {answer.status for answer in answers}
            assert near.rings(device) == 1


def test_long_event_id(near: Instance, log: AppLog) -> None:
    """It cannot be understood: the event is raised for its dead letter, and nothing of its length is kept."""
    event = {**call_to(user := new_user()), "id": 900_000 * "x"}
    call = Played(near, event, near.register(user))
    call.deliver()
    call.deliver()
    call.check(LONG_ID)
    assert max(map(len, log.text.splitlines())) < LONGEST_LINE
    assert near.watcher[near.database_name]["CallLedger"].count_documents({}) == 0
