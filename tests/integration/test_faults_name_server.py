"""A name server that fails while a process starts, whose database is at `mongodb+srv://`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from local.database import EmbeddedDatabase
from local.hub.running_hub import RunningHub
from local.stack import Host, Stack
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import another_host, new_user, register_phones
from tests.fakes import AppLog
from tests.faults import DnsMode, DnsServer, port_of
from tests.faults.namespaces import run_in_namespaces
from tests.integration.conftest import SHORT
from tests.integration.fault_rows import FaultRow, Played
from tests.rig import Instance, at_once, call_to

NAME = "cluster.lab.test"
URI = f"mongodb+srv://{NAME}/?tls=false&retryWrites=false"
BURST = 20

FAILING = {
    mode: FaultRow(
        f"a process starts with 20 events at once; the name server of its `mongodb+srv://` {how} for 4 s"
    )
    for mode, how in ((DnsMode.SERVFAIL, "answers SERVFAIL"), (DnsMode.SILENCE, "is silent"))
}
FAILING_LONGER = {
    mode: FaultRow(
        f"the same, the name server {how} for longer than an invocation", (500, 202), (0, 1), tries=0
    )
    for mode, how in ((DnsMode.SERVFAIL, "answers SERVFAIL"), (DnsMode.SILENCE, "is silent"))
}
HUB = {
    mode: FaultRow(
        f"the name server {how} when the hub is looked up, through the first delivery",
        (500, 202),
        (0, 1),
        tries=None,
    )
    for mode, how in ((DnsMode.SERVFAIL, "answers SERVFAIL"), (DnsMode.SILENCE, "is silent"))
}
ROWS = (*FAILING.values(), *FAILING_LONGER.values(), *HUB.values())


@pytest.fixture
def name_server(stack: Stack) -> Iterator[DnsServer]:
    """Knows the stack's database."""
    with DnsServer() as running:
        running.add_mongodb(NAME, port_of(stack.database.uri))
        yield running


@contextmanager
def starting(stack: Stack, name_server: DnsServer, log: HostLog, **settings: str) -> Iterator[Host]:
    """A worker process whose database has to be looked up."""
    own = {**settings, **name_server.environment(), "MongoDbConnectionString": URI}
    with another_host(stack, log, own, host_module="tests.faults.host_with_dns") as host:
        yield host


class Calls:
    """Calls that are delivered to one host side by side."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        users = [new_user() for _ in range(BURST)]
        self._phones = [register_phones(stack.host, user) for user in users]
        self._events = [call_to(user) for user in users]
        self._seen: list[list[tuple[int, int]]] = [[] for _ in users]

    def deliver(self, host: Host) -> None:
        """Deliver every event once more."""
        answers = at_once(host.deliver, self._events)
        calls = self._stack.hub.summary().calls
        for event, phones, answer, seen in zip(self._events, self._phones, answers, self._seen, strict=True):
            rings = calls.get(event["data"]["correlationId"], {})
            (count,) = {rings.get(phone.device_token, 0) for phone in phones}
            seen.append((answer.status_code, count))

    def check(self, row: FaultRow) -> None:
        """Compare each with the row."""
        assert self._seen == [list(zip(row.statuses, row.rings, strict=True))] * BURST


@pytest.mark.parametrize("mode", FAILING)
def test_at_first(workers: Stack, name_server: DnsServer, mode: DnsMode) -> None:
    """A name that cannot be looked up is a database that cannot be reached: it is waited for."""
    calls = Calls(workers)
    settings = {"InvocationTimeoutSeconds": "20"}
    with starting(workers, name_server, HostLog(), **settings) as host:
        name_server.set_mode(mode)
        back = threading.Timer(4, name_server.set_mode, [DnsMode.ANSWER])
        back.start()
        calls.deliver(host)
        back.join()
        calls.deliver(host)
    calls.check(FAILING[mode])


@pytest.mark.parametrize("mode", FAILING_LONGER)
def test_for_longer(workers: Stack, name_server: DnsServer, mode: DnsMode) -> None:
    """The events are raised, and ring with their redelivery."""
    calls = Calls(workers)
    log = HostLog()
    with starting(workers, name_server, log, **SHORT) as host:
        name_server.set_mode(mode)
        calls.deliver(host)
        name_server.set_mode(DnsMode.ANSWER)
        calls.deliver(host)
    calls.check(FAILING_LONGER[mode])
    codes = [entry.fields.get("code") for entry in log.entries(event="incoming_call", result="failed")]
    assert codes == ["database_unavailable"] * BURST


@pytest.mark.parametrize("record_type", ["SRV", "TXT", "A"])
def test_each_look_up(hub: RunningHub, database: EmbeddedDatabase, log: AppLog, record_type: str) -> None:
    """Whichever look-up fails on the way to the database, it passes."""
    with DnsServer() as names, names.as_resolver_of_this_process():
        names.add_mongodb(NAME, port_of(database.uri))
        names.set_mode(DnsMode.SERVFAIL, record_type)
        with (
            Instance(hub, database.uri, SHORT) as near,
            Instance(hub, URI, SHORT, database_name=near.database_name, observer_uri=database.uri) as app,
        ):
            call = Played(app, call_to(user := new_user()), near.register(user))
            call.deliver()
            names.set_mode(DnsMode.ANSWER)
            call.deliver()
    call.check(FAILING_LONGER[DnsMode.SERVFAIL])
    assert log.events("misconfigured") == []


@pytest.mark.parametrize("mode", HUB)
def test_hub(mode: DnsMode) -> None:
    """A look-up that hangs neither outlasts the invocation nor hinders the next one."""
    seen = run_in_namespaces("tests.faults.event_with_dns", mode.value)
    row = FaultRow(HUB[mode].fault, tuple(seen["statuses"]), tuple(seen["rings"]), tries=None)
    assert row == HUB[mode]
    assert seen["tries"] > 1
    assert max(seen["seconds"]) < float(SHORT["InvocationTimeoutSeconds"]) + 1
