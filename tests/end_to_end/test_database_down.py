"""The database goes away and comes back, under a host that stays."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from pymongo import MongoClient

from local.database import EmbeddedDatabase
from local.samples import Phone, event_grid_event, incoming_call_data, phones
from local.stack import Host, Stack
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import another_host, new_user, register_phones

REGISTRAR_SECONDS = 10.0
"""How soon the registrar has to answer."""
EVENT_SECONDS = 10.0

IMPATIENT = {"InvocationTimeoutSeconds": "8"}
"""An event waits for the database until shortly before the end of its invocation."""

"""How soon an event has to fail: Event Grid waits 30 s."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDatabase]:
    """A database of its own, which keeps its files."""
    storage: Path = tmp_path_factory.mktemp("database")
    with EmbeddedDatabase(storage, test_commands=True) as running:
        yield running


@pytest.fixture(scope="module")
def own_log() -> HostLog:
    """What the host over that database writes."""
    return HostLog()


@pytest.fixture(scope="module")
def host(stack: Stack, database: EmbeddedDatabase, own_log: HostLog) -> Iterator[Host]:
    """A host over that database, whose connection string names no time-out."""
    assert "timeout" not in database.uri.lower()
    with another_host(stack, own_log, IMPATIENT, database=database) as running:
        yield running


@contextmanager
def stopped(database: EmbeddedDatabase) -> Iterator[None]:
    """No process listens on its port."""
    database.stop()
    try:
        yield
    finally:
        database.start()


@contextmanager
def frozen(database: EmbeddedDatabase) -> Iterator[None]:
    """Connections are taken, and stay open, but nothing is ever answered."""
    assert database.pid is not None
    os.kill(database.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(database.pid, signal.SIGCONT)


@contextmanager
def refusing(database: EmbeddedDatabase) -> Iterator[None]:
    """It answers every command on documents with an error of its own, code 8 (UnknownError)."""
    data = {"failCommands": ["insert", "find", "update", "delete", "createIndexes"], "errorCode": 8}
    client: MongoClient[dict[str, Any]] = MongoClient(database.uri)
    with client:
        order = {"configureFailPoint": "failCommand"}
        client.admin.command({**order, "mode": "alwaysOn", "data": data})
        try:
            yield
        finally:
            client.admin.command({**order, "mode": "off"})


def answers_again(send: Callable[[], requests.Response], status: int) -> requests.Response:
    """The first answer with that status; it may take pymongo a moment to see that the server is back."""
    deadline = time.monotonic() + 10
    while (response := send()).status_code != status and time.monotonic() < deadline:
        time.sleep(0.1)
    assert response.status_code == status, response.text
    return response


def check_registrar(host: Host, user: str, phone: Phone) -> None:
    """All functions at once: 503 in time, never "no devices" and never a bare 500."""
    report = {"acsMri": user, "deviceUUID": phone.device_uuid, "callId": "call", "state": "answered"}
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        answers = [
            pool.submit(host.add_device_token, phone.registration(user)),
            pool.submit(host.get_device_registrations, user),
            pool.submit(host.delete_device_registration, user, phone.device_uuid),
            pool.submit(host.report_call, report),
        ]
        responses = [answer.result() for answer in answers]
    assert time.monotonic() - began < REGISTRAR_SECONDS
    for response in responses:
        assert response.status_code == 503, response.text
        assert response.headers["Content-Type"].split(";")[0] == "application/problem+json"
        assert int(response.headers["Retry-After"]) > 0
        assert response.json()["code"] == "database_unavailable"
        assert response.json()["status"] == 503
        assert phone.device_token not in response.text


def check_events(stack: Stack, host: Host, log: HostLog, user: str) -> None:
    """An event fails in time, so that Event Grid delivers it again; nothing is pushed.

    Our own error alone is logged: what pymongo raises quotes keys and commands.
    """
    mark, event = log.mark(), event_grid_event(incoming_call_data(user))
    began = time.monotonic()
    assert host.deliver(event).status_code == 500
    assert time.monotonic() - began < EVENT_SECONDS
    assert set(log.exceptions(mark)) == {"DatabaseUnavailableError"}
    assert log.entry(event_id=event["id"]).fields["code"] == "database_unavailable"
    assert event["data"]["correlationId"] not in stack.hub.summary().calls


@pytest.mark.parametrize("outage", [stopped, frozen, refusing])
def test_down_and_back(
    stack: Stack,
    host: Host,
    own_log: HostLog,
    database: EmbeddedDatabase,
    outage: Callable[[EmbeddedDatabase], AbstractContextManager[None]],
) -> None:
    """Down: 503 with Retry-After, events 500, both in time. Back: what was registered rings, no restart."""
    user, other = new_user(), phones()[0]
    devices = register_phones(host, user)
    with outage(database):
        check_registrar(host, user, other)
        check_events(stack, host, own_log, user)
    answers_again(lambda: host.add_device_token(other.registration(new_user())), 201)
    assert len(host.get_device_registrations(user).json()["deviceInfos"]) == len(devices)
    event = event_grid_event(incoming_call_data(user), time=datetime.now(UTC))
    assert host.deliver(event).status_code == 202
    rung = stack.hub.summary().calls[event["data"]["correlationId"]]
    assert rung == {phone.device_token: 1 for phone in devices}


def test_down_from_the_start(stack: Stack, database: EmbeddedDatabase) -> None:
    """A host that has never seen its database answers 503 in time, and works once the database is there."""
    log, user, phone = HostLog(), new_user(), phones()[0]
    with another_host(stack, log, IMPATIENT, database=database) as early:
        with frozen(database):
            check_registrar(early, user, phone)
            check_events(stack, early, log, user)
        answers_again(lambda: early.add_device_token(phone.registration(user)), 201)
