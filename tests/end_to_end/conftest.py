"""One stack for all tests; each test uses users of its own."""

import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from pymongo import MongoClient

from local.page.chromium import HOW_TO_INSTALL, find_browser
from local.stack import Host, Stack, StackOptions
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import Documents, new_user


@cache
def has_browser() -> bool:
    """A browser is installed, or was downloaded by Playwright."""
    with sync_playwright() as playwright:
        return find_browser(playwright) is not None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a browser where there is none; in CI it fails.

    Skipped here and not in a fixture, all of them are one line of the summary, with their number.
    """
    needs_one = "browser" in getattr(item, "fixturenames", ()) and os.environ.get("CI") != "true"
    if needs_one and not has_browser():
        pytest.skip(f"the page's tests need a browser: {HOW_TO_INSTALL}")


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
