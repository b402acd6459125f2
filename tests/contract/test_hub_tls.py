"""TLS to the hub: which certificates are trusted, and what is said where one is not."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.certificates import Certificates, make_certificates
from push.hub.answers import Answer, NoAnswer
from push.hub.connection import Request
from push.hub.wire import HubWire
from tests.contract.conftest import MakeWire
from tests.scripted_hub import PATIENCE, ScriptedHub

AMPLE = 4 * PATIENCE


def post(wire: HubWire, url: str) -> Answer | NoAnswer:
    return wire.exchange(Request(url, {}, b"{}"), AMPLE)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_named_authorities(
    tls_hub: ScriptedHub,
    certificates: Certificates,
    make_wire: MakeWire,
    plain_environment: pytest.MonkeyPatch,
    variable: str,
) -> None:
    """A file that the environment names counts. A connection is kept as without TLS."""
    plain_environment.setenv(variable, str(certificates.bundle))
    wire = make_wire()
    replies = [post(wire, tls_hub.messages_url) for _ in range(2)]
    assert all(isinstance(reply, Answer) and reply.status == 201 for reply in replies)
    assert (len(tls_hub.script.requests), tls_hub.script.connections) == (2, 1)


def test_requests_ca_bundle_wins(
    tls_hub: ScriptedHub,
    certificates: Certificates,
    make_wire: MakeWire,
    plain_environment: pytest.MonkeyPatch,
) -> None:
    """Of several variables, the one that `requests` reads counts: sign-in and pushes trust the same."""
    plain_environment.setenv("SSL_CERT_FILE", "/nowhere.pem")
    plain_environment.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
    assert isinstance(post(make_wire(), tls_hub.messages_url), Answer)


def test_directory(
    tls_hub: ScriptedHub,
    certificates: Certificates,
    tmp_path: Path,
    make_wire: MakeWire,
    plain_environment: pytest.MonkeyPatch,
) -> None:
    """A directory of certificates, named by their hashes, can be named as well."""
    plain_environment.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    assert post(make_wire(), tls_hub.messages_url) is NoAnswer.CERTIFICATE_REFUSED
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, which makes the hashes")
    command = [openssl, "x509", "-noout", "-subject_hash", "-in", str(certificates.authority)]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / f"{name}.0").write_bytes(certificates.authority.read_bytes())
    assert isinstance(post(make_wire(), tls_hub.messages_url), Answer)


def test_public_authorities(tls_hub: ScriptedHub, make_wire: MakeWire) -> None:
    """Without a variable only public authorities are trusted; nothing is sent to any other server."""
    assert post(make_wire(), tls_hub.messages_url) is NoAnswer.CERTIFICATE_REFUSED
    assert tls_hub.script.requests == []


def test_name(tmp_path: Path, make_wire: MakeWire, plain_environment: pytest.MonkeyPatch) -> None:
    """A trusted certificate of another host is refused."""
    others = make_certificates(tmp_path, "contoso.servicebus.windows.net", loopback=False)
    plain_environment.setenv("REQUESTS_CA_BUNDLE", str(others.bundle))
    with ScriptedHub(others) as hub:
        assert post(make_wire(), hub.messages_url) is NoAnswer.CERTIFICATE_REFUSED
    assert hub.script.requests == []


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_unreadable_authorities(
    tls_hub: ScriptedHub,
    make_wire: MakeWire,
    tmp_path: Path,
    plain_environment: pytest.MonkeyPatch,
    text: str | None,
) -> None:
    """A file that is missing or holds no certificate is told apart from a refused certificate."""
    bundle = tmp_path / "bundle.pem"
    if text is not None:
        bundle.write_text(text)
    plain_environment.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    assert post(make_wire(), tls_hub.messages_url) is NoAnswer.CA_FILE_UNREADABLE
    assert tls_hub.script.requests == []


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"https://127.0.0.1:{silent.getsockname()[1]}/ring/messages/"


def test_silent_handshake(silent_server: str, make_wire: MakeWire) -> None:
    """The handshake belongs to the time for connecting, and nothing has been sent."""
    started = time.monotonic()
    assert post(make_wire(connect=0.2), silent_server) is NoAnswer.NO_CONNECTION
    assert time.monotonic() - started < PATIENCE / 2


def test_no_tls(scripted_hub: ScriptedHub, make_wire: MakeWire) -> None:
    """A server that does not speak TLS."""
    url = scripted_hub.messages_url.replace("http:", "https:")
    assert post(make_wire(), url) is NoAnswer.TLS_FAILED
