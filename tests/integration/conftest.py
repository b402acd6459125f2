"""What the tests of delivery share: one database, one hub simulator a test, one stack of two workers."""

from collections.abc import Iterator

import pytest

from local.database import EmbeddedDatabase
from local.hub.running_hub import RunningHub
from local.hub.simulator import Simulator
from local.stack import Stack, StackOptions
from tests.call_events import TurnedClock
from tests.databases import database_for_tests
from tests.end_to_end.host_log import HostLog
from tests.fakes import AppLog, app_log

SHORT = {"HubReadTimeoutSeconds": "0.5", "HubConnectTimeoutSeconds": "0.5", "InvocationTimeoutSeconds": "5"}
"""Settings that make a test of time-outs short."""


@pytest.fixture(scope="session")
def database() -> Iterator[EmbeddedDatabase]:
    """A database with fail points allowed; tests keep apart by database names."""
    with database_for_tests(test_commands=True) as running:
        yield running


@pytest.fixture
def hub() -> Iterator[RunningHub]:
    """A healthy hub that has seen nothing yet."""
    with RunningHub(Simulator()) as running:
        yield running


@pytest.fixture
def clock() -> TurnedClock:
    """For an instance whose time a test lets pass."""
    return TurnedClock()


@pytest.fixture
def log() -> Iterator[AppLog]:
    """What the app in this process writes."""
    with app_log() as listening:
        yield listening


@pytest.fixture(scope="session")
def host_log() -> HostLog:
    """What the workers of the stack write."""
    return HostLog()


@pytest.fixture(scope="session")
def stack(host_log: HostLog) -> Iterator[Stack]:
    """Two worker processes with short time-outs over one database and one hub."""
    options = StackOptions(hosts=2, settings=SHORT, test_commands=True, on_line=host_log)
    with Stack(options) as running:
        yield running


@pytest.fixture
def workers(stack: Stack) -> Iterator[Stack]:
    """The stack with a healthy hub that remembers nothing."""
    stack.hub.clear_faults()
    stack.hub.set_latency(0)
    stack.hub.forget()
    yield stack
    stack.hub.clear_faults()
    stack.hub.set_latency(0)
