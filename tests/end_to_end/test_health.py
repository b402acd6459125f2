"""The health functions through the real worker: their answers, and what they do not reveal."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest
import requests

from common.version import VERSION
from local.database import EmbeddedDatabase
from local.stack import Host, Stack, StackOptions

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The app with all that it needs."""
    with Stack() as running:
        yield running


@contextmanager
def host_with(
    stack: Stack, settings: Mapping[str, str], database: EmbeddedDatabase | None = None
) -> Iterator[Host]:
    """One more host, with settings of its own; it has looked at nothing yet."""
    twin = Stack(replace(StackOptions(), settings=settings))
    twin.keys, twin.hub_url, twin.database = stack.keys, stack.hub_url, database or stack.database
    host = twin.start_host()
    try:
        yield host
    finally:
        host.close()


def not_ready(response: requests.Response) -> str:
    """The failing part, from a problem document that says no more than that."""
    assert response.status_code == 503, response.text
    assert response.headers["Content-Type"].split(";")[0] == "application/problem+json"
    assert int(response.headers["Retry-After"]) > 0
    document = response.json()
    always = {"type", "title", "status", "detail", "code", "part", "version"}
    assert always <= set(document) <= always | {"databaseSignIn"}
    assert document["code"] == "not_ready"
    for secret in ("127.0.0.1", "mongodb", "Endpoint", "localhub", "ANHHub"):
        assert secret not in response.text
    return str(document["part"])


class TestWell:
    @pytest.mark.parametrize(
        ("route", "document"),
        [
            ("health/live", {"status": "live", "version": VERSION}),
            ("health/ready", {"status": "ready", "version": VERSION, "databaseSignIn": "none"}),
        ],
    )
    def test_open_to_everybody(self, stack: Stack, route: str, document: dict[str, str]) -> None:
        """Both answer 200 without a key, and may not be cached on the way."""
        response = stack.host.call("GET", route)
        assert (response.status_code, response.json()) == (200, document)
        assert response.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("route", ["health/live", "health/ready"])
    def test_head(self, stack: Stack, route: str) -> None:
        """HEAD answers the same without a body: it is the default probe of Azure Front Door."""
        response = stack.host.call("HEAD", route)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["Cache-Control"] == "no-store"

    def test_sends_nothing(self, stack: Stack) -> None:
        """The readiness probe sends no push and needs no key of the hub."""
        before = len(stack.hub.attempts())
        assert stack.host.call("GET", "health/ready").status_code == 200
        assert len(stack.hub.attempts()) == before

    def test_other_functions_stay_closed(self, stack: Stack) -> None:
        """That two functions are open opens no other."""
        assert stack.host.call("GET", "get_device_registrations").status_code == 401


class TestNotReady:
    @pytest.mark.parametrize(
        ("settings", "part"),
        [
            ({"ANHHubConnectionString": ""}, "settings"),
            ({"RegistrarAccess": "oidc"}, "settings"),
            ({"ANHHubUrl": f"{NOWHERE}/calls/messages/"}, "hub"),
        ],
        ids=["no hub", "half a sign-in", "hub gone"],
    )
    def test_part(self, stack: Stack, settings: dict[str, str], part: str) -> None:
        """The failing part is named; the process is alive all the same."""
        with host_with(stack, settings) as host:
            assert not_ready(host.call("GET", "health/ready")) == part
            assert host.call("GET", "health/live").status_code == 200

    def test_database_down(self, stack: Stack) -> None:
        """A database that is down is named, in a time that a monitor waits."""
        with EmbeddedDatabase() as database:
            database.kill()
            with host_with(stack, {}, database) as host:
                response = host.call("GET", "health/ready")
                assert not_ready(response) == "database"
                assert response.elapsed.total_seconds() < 5
