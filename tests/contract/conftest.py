"""What the tests of the hub's connections share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from local.certificates import Certificates, make_certificates
from push.hub.wire import HubWire, Timeouts
from tests.fakes import FakeClock
from tests.scripted_hub import PATIENCE, ScriptedHub

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
_AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")

MakeWire = Callable[..., HubWire]


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


@pytest.fixture
def make_wire(plain_environment: pytest.MonkeyPatch, fake_clock: FakeClock) -> Iterator[MakeWire]:  # noqa: ARG001
    """Makes wires, which close with the test."""
    with ExitStack() as wires:

        def make(connect: float = PATIENCE, read: float = PATIENCE) -> HubWire:
            return wires.enter_context(HubWire(Timeouts(connect, read), fake_clock.monotonic))

        yield make
