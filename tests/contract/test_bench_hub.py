"""The benchmark's hub accepts and refuses what the hub simulator does, and tells when it accepted."""

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from bench.experiment import BenchError, check_pushes
from bench.hub import HubService
from bench.remote import Remote
from bench.services import Hub
from local.certificates import Certificates, make_certificates
from local.hub.config import DEVELOPMENT_HUB
from local.hub.running_hub import RunningHub
from local.hub.simulator import Simulator
from tests.contract import hub_requests
from tests.contract.hub_requests import TIMEOUT, Send, sas

KEY_NAME, RULE = next(iter(DEVELOPMENT_HUB.rules.items()))
AUDIENCE = f"https://{DEVELOPMENT_HUB.host}/{DEVELOPMENT_HUB.hub_name}"


def token(key: str = RULE.key, lifetime: int = 300) -> str:
    """A SAS token for the development hub."""
    return sas(AUDIENCE, KEY_NAME, key, int(time.time()) + lifetime)


def addressed(send: Send) -> Send:
    """The same push, to the development hub."""
    return replace(send.with_headers(Authorization=token()), path=f"/{DEVELOPMENT_HUB.hub_name}/messages/")


def apple() -> Send:
    """A push that is accepted."""
    return addressed(hub_requests.apple())


@pytest.fixture(scope="module")
def running() -> Iterator[Hub]:
    """One hub for all tests."""
    with Remote(partial(HubService, None)) as remote:
        yield Hub(remote)


@pytest.fixture
def hub(running: Hub) -> Hub:
    """A hub that has received nothing."""
    running.begin()
    return running


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningHub]:
    """What the hub has to agree with."""
    with RunningHub(Simulator(DEVELOPMENT_HUB)) as running:
        yield running


def test_an_accepted_push(hub: Hub) -> None:
    """It is answered as the service does, and the moment is kept."""
    tracking = str(uuid.uuid4())
    before = time.time()
    answer = apple().with_headers(TrackingId=tracking).to(hub.url)
    after = time.time()
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["TrackingId"] == tracking
    assert abs(parsedate_to_datetime(answer.headers["Date"]).timestamp() - after) < TIMEOUT
    location = urlsplit(answer.headers["Location"])
    assert location.netloc == DEVELOPMENT_HUB.host
    uuid.UUID(location.path.removeprefix(f"/{DEVELOPMENT_HUB.hub_name}/messages/"))
    (accepted,) = hub.received().accepted
    assert before <= accepted <= after


CASES: dict[str, Callable[[], Send]] = {
    "Apple": apple,
    "FCM": lambda: addressed(hub_requests.fcm()),
    "Windows": lambda: addressed(hub_requests.windows()),
    "path": lambda: replace(apple(), path="/other/messages/"),
    "method": lambda: replace(apple(), method="PUT"),
    "no token": lambda: apple().with_headers(Authorization=None),
    "another key": lambda: apple().with_headers(Authorization=token("another key")),
    "token has expired": lambda: apple().with_headers(Authorization=token(lifetime=-1)),
    "query": lambda: replace(apple(), query="api-version=2020-06"),
    "format": lambda: apple().with_headers(SBN_Format=None),
    "device handle": lambda: apple().with_headers(SBN_DeviceHandle="x"),
    "push type": lambda: apple().with_headers(apns_push_type="alert"),
    "content type": lambda: apple().with_headers(Content_Type="text/plain"),
    "body is not JSON": lambda: replace(apple(), body=b"{"),
    "body is too large": lambda: apple().with_json({"aps": {}, "data": {"cp": "x" * 5_000}}),
}


@pytest.mark.parametrize("case", CASES)
def test_decides_as_the_simulator(hub: Hub, simulator: RunningHub, case: str) -> None:
    """With the same status, and for the same reason."""
    simulator.simulator.forget()
    send = CASES[case]()
    answer = send.to(hub.url)
    assert answer.status_code == send.to(simulator.url).status_code
    (attempt,) = simulator.simulator.attempts()
    received = hub.received()
    assert len(received.accepted) == attempt.is_accepted
    assert received.refused == ([] if attempt.is_accepted else [f"{attempt.status}: {attempt.reason}"])


def exchange(hub: Hub, *pieces: bytes) -> bytes:
    """What comes back over one connection until the hub closes it or has answered all."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=TIMEOUT) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.01)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(partial(connection.recv, 4_096), b""))


def raw(send: Send) -> bytes:
    """The bytes of a request."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in send.headers.items())
    head = f"{send.method} {send.path}?{send.query} HTTP/1.1\r\nHost: hub\r\n{headers}"
    return f"{head}Content-Length: {len(send.body)}\r\n\r\n".encode() + send.body


def test_requests_in_pieces_over_one_connection(hub: Hub) -> None:
    """A request may come in any pieces, and another one after it."""
    whole = raw(apple()) + raw(apple())
    cuts = (0, 10, 700, len(whole) // 2 + 5, len(whole))
    pieces = [whole[start:end] for start, end in pairwise(cuts)]
    answers = exchange(hub, *pieces)
    assert answers.count(b"HTTP/1.1 201 Created\r\n") == 2
    assert len(hub.received().accepted) == 2


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 0\r\ncontent-length: 0\r\n\r\n",
        b"x" * 65_537,
    ],
)
def test_what_is_no_request(hub: Hub, garbage: bytes) -> None:
    """It is refused and counted, and ends the connection."""
    assert exchange(hub, garbage).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    received = hub.received()
    assert (received.accepted, len(received.refused)) == ([], 1)


def test_latency(hub: Hub) -> None:
    """An answer comes after the time that was asked for, until another is."""
    hub.begin(0.3)
    before = time.monotonic()
    assert apple().to(hub.url).status_code == 201
    assert time.monotonic() - before >= 0.3
    hub.begin()
    assert hub.received().accepted == []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Self-made ones."""
    return make_certificates(tmp_path_factory.mktemp("tls"), DEVELOPMENT_HUB.host)


def test_tls(certificates: Certificates) -> None:
    """The same over TLS; a client that does not trust the certificate gets no answer."""
    files: tuple[Path, Path] = certificates.certificate, certificates.key
    with Remote(partial(HubService, files)) as remote:
        hub = Hub(remote)
        assert apple().to(hub.url, verify=str(certificates.authority)).status_code == 201
        with pytest.raises(requests.exceptions.SSLError):
            apple().to(hub.url)
        assert len(hub.received().accepted) == 1


class TestCheckPushes:
    """A contender whose pushes are not all accepted fails the run."""

    def test_all_accepted(self, hub: Hub) -> None:
        """Nothing to object to."""
        apple().to(hub.url)
        check_pushes(hub, expected=1, who="ours")

    def test_one_is_missing(self, hub: Hub) -> None:
        """Too few."""
        apple().to(hub.url)
        with pytest.raises(BenchError, match="took 1 of 2 pushes"):
            check_pushes(hub, expected=2, who="ours")

    def test_one_is_refused(self, hub: Hub) -> None:
        """The error says why."""
        apple().to(hub.url)
        CASES["push type"]().to(hub.url)
        with pytest.raises(BenchError, match="refused 1, the first with 400: "):
            check_pushes(hub, expected=1, who="ours")
