"""What the contract tests share: databases, hubs and connections to them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import cast

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from common import mongodb
from local.certificates import Certificates, make_certificates
from local.database import EmbeddedDatabase
from local.hub.running_hub import RunningHub
from local.hub.simulator import Simulator
from push.hub.answers import Answer, NoAnswer
from push.hub.connection import Request
from push.hub.exchange_loop import ExchangeLoop
from push.hub.wire import HubWire, Timeouts
from tests.contract.hub_requests import HUB
from tests.databases import database_for_tests, unique_names
from tests.fakes import FakeClock
from tests.memory_store import new_collection
from tests.scripted_hub import PATIENCE, ScriptedHub

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
_AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")

_names = unique_names("contract")

MakeWire = Callable[..., HubWire]


@pytest.fixture(scope="module")
def database() -> Iterator[EmbeddedDatabase]:
    """One database process for a module's tests, with fail points; each test has a collection of its own."""
    with database_for_tests(test_commands=True) as running:
        yield running


@pytest.fixture(scope="module")
def client(database: EmbeddedDatabase) -> Iterator[MongoClient[mongodb.Document]]:
    """A client that repeats nothing by itself, as with Azure's connection strings."""
    with MongoClient[mongodb.Document](
        database.uri,
        serverSelectionTimeoutMS=5_000,
        retryWrites=False,
        retryReads=False,
        serverMonitoringMode="poll",
    ) as connected:
        yield connected


@pytest.fixture
def wire(client: MongoClient[mongodb.Document]) -> Collection[mongodb.Document]:
    """An empty collection on a real server."""
    return client["calling"][next(_names)]


@pytest.fixture(params=["mongomock", "wire"])
def collection(request: pytest.FixtureRequest) -> Collection[mongodb.Document]:
    """An empty collection, in memory or on a real server."""
    if request.param == "mongomock":
        return new_collection()
    return cast("Collection[mongodb.Document]", request.getfixturevalue("wire"))


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[RunningHub]:
    """One hub simulator for a module's tests that add no faults."""
    with RunningHub(Simulator(HUB)) as hub:
        yield hub


@pytest.fixture
def hub(shared_simulator: RunningHub) -> RunningHub:
    """A hub simulator without records."""
    shared_simulator.simulator.forget()
    return shared_simulator


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No proxies and no certificates but those that the test sets."""
    for name in (*_PROXIES, *_AUTHORITIES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """For loopback, by an authority that only `bundle` has."""
    return make_certificates(tmp_path_factory.mktemp("certificates"), "contoso.servicebus.windows.net")


@pytest.fixture
def scripted_hub() -> Iterator[ScriptedHub]:
    with ScriptedHub() as running:
        yield running


@pytest.fixture
def tls_hub(certificates: Certificates) -> Iterator[ScriptedHub]:
    with ScriptedHub(certificates) as running:
        yield running


@pytest.fixture
def trusted_hub(
    tls_hub: ScriptedHub, certificates: Certificates, plain_environment: pytest.MonkeyPatch
) -> ScriptedHub:
    """A hub over TLS whose certificate is trusted."""
    plain_environment.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
    return tls_hub


@pytest.fixture
def fake_clock() -> FakeClock:
    return FakeClock()


class LoopWire(HubWire):
    """Exchanges as they are when others are under way in the same thread. Each has a loop of its own."""

    def exchange(
        self, request: Request, time_left: float, *, fresh_connection: bool = False
    ) -> Answer | NoAnswer:
        """Send once, by a loop."""
        begun = self.begin(request, time_left, fresh_connection=fresh_connection)
        if isinstance(begun, NoAnswer):
            return begun
        with closing(ExchangeLoop()) as loop:
            loop.start(begun)
            while not (ended := loop.wait()):
                pass
        ((exchange, reply),) = ended
        assert exchange is begun
        return reply


@pytest.fixture(params=[HubWire, LoopWire], ids=["alone", "loop"])
def make_wire(
    request: pytest.FixtureRequest,
    plain_environment: pytest.MonkeyPatch,  # noqa: ARG001
    fake_clock: FakeClock,
) -> Iterator[MakeWire]:
    """Makes wires, which close with the test."""
    with ExitStack() as wires:

        def make(connect: float = PATIENCE, read: float = PATIENCE) -> HubWire:
            wire: HubWire = request.param(Timeouts(connect, read), fake_clock.monotonic)
            return wires.enter_context(wire)

        yield make
