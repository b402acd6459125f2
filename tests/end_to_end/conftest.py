"""One stack for all tests; each test uses users of its own."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from local.stack import Host, Stack, StackOptions
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import Documents, new_user


@pytest.fixture(scope="session")
def log() -> HostLog:
    """The output of the stack's host."""
    return HostLog()


@pytest.fixture(scope="session")
def stack(log: HostLog) -> Iterator[Stack]:
    """Database, hub simulator and one host with the default settings."""
    with Stack(StackOptions(on_line=log)) as running:
        yield running


@pytest.fixture
def host(stack: Stack) -> Host:
    """The stack's host."""
    return stack.host


@pytest.fixture(scope="session")
def registrations(stack: Stack) -> Iterator[Documents]:
    """The collection of device registrations, read directly."""
    client: MongoClient[dict[str, Any]] = MongoClient(stack.database.uri, tz_aware=True)
    with client:
        yield client["calling"]["DeviceRegistrations"]


@pytest.fixture
def user() -> str:
    """The MRI of a new user."""
    return new_user()
