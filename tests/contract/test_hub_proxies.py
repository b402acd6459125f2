"""The hub through the proxies that the environment names."""

import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler

import pytest

from local.certificates import Certificates
from push.hub.answers import Answer, NoAnswer
from push.hub.connection import Request
from push.hub.wire import HubWire
from tests.contract.conftest import MakeWire
from tests.proxies import SocksProxy, TunnelProxy
from tests.scripted_hub import PATIENCE, ScriptedHub

AMPLE = 4 * PATIENCE
HEADERS = {"Authorization": "SharedAccessSignature do-not-quote"}


def post(wire: HubWire, hub: ScriptedHub) -> Answer | NoAnswer:
    return wire.exchange(Request(hub.messages_url, HEADERS, b"{}"), AMPLE)


def is_created(reply: Answer | NoAnswer) -> bool:
    return isinstance(reply, Answer) and reply.status == 201


@pytest.fixture
def environment(plain_environment: pytest.MonkeyPatch, certificates: Certificates) -> pytest.MonkeyPatch:
    """Trusts the test's certificates and names no proxy."""
    plain_environment.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
    return plain_environment


@pytest.mark.parametrize(
    ("variable", "scheme"),
    [("HTTPS_PROXY", "http://"), ("https_proxy", "http://"), ("HTTPS_PROXY", ""), ("ALL_PROXY", "http://")],
)
def test_tunnel(
    tls_hub: ScriptedHub, make_wire: MakeWire, environment: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    """The proxy opens a tunnel, which is kept. Its credentials are for it alone, the push is for the hub."""
    with TunnelProxy() as proxy:
        environment.setenv(variable, f"{scheme}user:p%40ss@{proxy.address}")
        wire = make_wire()
        replies = [post(wire, tls_hub), post(wire, tls_hub)]
        wire.close()
    assert all(map(is_created, replies))
    (asked,) = proxy.asked
    assert asked.startswith(f"CONNECT 127.0.0.1:{tls_hub.port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic " + b64encode(b"user:p@ss") in asked
    assert b"do-not-quote" not in asked
    for seen in tls_hub.script.requests:
        assert seen.header("Proxy-Authorization") == []
        assert seen.header("Host") == [f"127.0.0.1:{tls_hub.port}"]


def test_headers_of_the_proxy(
    tls_hub: ScriptedHub, make_wire: MakeWire, environment: pytest.MonkeyPatch
) -> None:
    """The proxy's answer to CONNECT is not the hub's."""
    with TunnelProxy() as proxy:
        environment.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        wire = make_wire()
        reply = post(wire, tls_hub)
        wire.close()
    assert isinstance(reply, Answer)
    assert "trackingid" not in reply.headers


def test_slow_hub_behind_a_proxy(
    tls_hub: ScriptedHub, make_wire: MakeWire, environment: pytest.MonkeyPatch
) -> None:
    """The proxy's answer to CONNECT is not the hub's, which comes when the hub has it."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        tls_hub.script.released.wait(1.6)
        handler.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    tls_hub.script.behave = behave
    with TunnelProxy() as proxy:
        environment.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        wire = make_wire()
        reply = post(wire, tls_hub)
        wire.close()
    assert is_created(reply)
    assert len(tls_hub.script.requests) == 1


def test_proxy_over_tls(
    tls_hub: ScriptedHub, certificates: Certificates, make_wire: MakeWire, environment: pytest.MonkeyPatch
) -> None:
    """The connection to the proxy can be encrypted itself."""
    with TunnelProxy(certificates=certificates) as proxy:
        environment.setenv("HTTPS_PROXY", f"https://{proxy.address}")
        wire = make_wire()
        replies = [post(wire, tls_hub), post(wire, tls_hub)]
        wire.close()
    assert all(map(is_created, replies))
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_socks(
    tls_hub: ScriptedHub, make_wire: MakeWire, environment: pytest.MonkeyPatch, scheme: str
) -> None:
    """A SOCKS proxy passes the connection on."""
    with SocksProxy() as proxy:
        environment.setenv("HTTPS_PROXY", f"{scheme}://{proxy.address}")
        wire = make_wire()
        replies = [post(wire, tls_hub), post(wire, tls_hub)]
        wire.close()
    assert all(map(is_created, replies))
    assert len(proxy.asked) == 1


def test_no_proxy(tls_hub: ScriptedHub, make_wire: MakeWire, environment: pytest.MonkeyPatch) -> None:
    """Hosts in `NO_PROXY` are reached directly."""
    with TunnelProxy() as proxy:
        environment.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        environment.setenv("NO_PROXY", "127.0.0.1")
        assert is_created(post(make_wire(), tls_hub))
    assert proxy.asked == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_plain(
    scripted_hub: ScriptedHub, make_wire: MakeWire, environment: pytest.MonkeyPatch, variable: str
) -> None:
    """Plain HTTP goes to this machine only, and no proxy can reach that."""
    with TunnelProxy() as proxy:
        environment.setenv(variable, f"http://{proxy.address}")
        assert is_created(post(make_wire(), scripted_hub))
    assert proxy.asked == []


@pytest.mark.parametrize(
    "status", [b"407 Proxy Authentication Required", b"403 Forbidden", b"502 Bad Gateway"]
)
def test_refused_tunnel(
    tls_hub: ScriptedHub, make_wire: MakeWire, environment: pytest.MonkeyPatch, status: bytes
) -> None:
    """A proxy that opens no tunnel has not passed the push on; its status is not the hub's."""
    with TunnelProxy(status) as proxy:
        environment.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        assert post(make_wire(), tls_hub) is NoAnswer.PROXY_FAILED
    assert tls_hub.script.connections == 0


def test_nothing_listens(tls_hub: ScriptedHub, make_wire: MakeWire, environment: pytest.MonkeyPatch) -> None:
    """A proxy that is not there is named: the hub is not to blame."""
    with TunnelProxy() as proxy:
        address = proxy.address
    environment.setenv("HTTPS_PROXY", f"http://{address}")
    assert post(make_wire(), tls_hub) is NoAnswer.PROXY_FAILED


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://", NoAnswer.PROXY_MALFORMED),
        ("http://proxy:port", NoAnswer.PROXY_MALFORMED),
        ("http://proxy:99999", NoAnswer.PROXY_MALFORMED),
        ("ftp://127.0.0.1:1", NoAnswer.PROXY_MALFORMED),
        ("http://user:do-not-quote@[::1", NoAnswer.PROXY_MALFORMED),
        ("http://do-not-quote..corp:3128", NoAnswer.PROXY_FAILED),
    ],
)
def test_unusable(
    tls_hub: ScriptedHub, make_wire: MakeWire, environment: pytest.MonkeyPatch, url: str, reason: NoAnswer
) -> None:
    """An address that no proxy can have is told apart from a proxy that cannot be reached."""
    environment.setenv("HTTPS_PROXY", url)
    assert post(make_wire(), tls_hub) is reason
    assert tls_hub.script.connections == 0


def test_too_late(tls_hub: ScriptedHub, make_wire: MakeWire, environment: pytest.MonkeyPatch) -> None:
    """A tunnel that opens after the time for connecting is not used: another instance may send by then."""
    gave_up = threading.Event()
    with TunnelProxy() as proxy:
        proxy.before_answering = lambda: gave_up.wait(PATIENCE)
        environment.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        assert post(make_wire(connect=0.2), tls_hub) is NoAnswer.PROXY_FAILED
        gave_up.set()
    assert tls_hub.script.requests == []
