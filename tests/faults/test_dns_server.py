"""The DNS server, as pymongo and a worker process see it."""

import socket
from collections.abc import Iterator
from typing import Any

import dns.resolver
import pytest
from pymongo import MongoClient
from pymongo.errors import ConfigurationError

from local.database import EmbeddedDatabase
from local.host.keys import KEYS_VARIABLE, KeyRing
from local.process import Child, python_module
from local.stack import APP_DIRECTORY
from tests.faults import DnsMode, DnsServer, port_of

NAME = "cluster.lab.test"
QUICK = 0.3
"""Seconds for a look-up that gets no answer."""


@pytest.fixture
def server() -> Iterator[DnsServer]:
    """A server with the records of one database."""
    with DnsServer() as running:
        running.add_mongodb(NAME, 27_017, "authSource=admin")
        yield running


def look_up(server: DnsServer, name: str, record_type: str) -> list[str]:
    return [record.to_text() for record in server.resolver().resolve(name, record_type, lifetime=QUICK)]


class TestAnswers:
    def test_records(self, server: DnsServer) -> None:
        """SRV, TXT and A records are answered, in any letter case, and the queries are recorded."""
        assert look_up(server, f"_mongodb._tcp.{NAME}", "SRV") == [f"0 0 27017 server.{NAME}."]
        assert look_up(server, NAME.upper(), "TXT") == ['"authSource=admin"']
        assert look_up(server, f"server.{NAME}", "A") == ["127.0.0.1"]
        assert server.queries == [(f"_mongodb._tcp.{NAME}", "SRV"), (NAME, "TXT"), (f"server.{NAME}", "A")]

    def test_unknown(self, server: DnsServer) -> None:
        """An unknown name does not exist; a known one without such a record has no answer."""
        with pytest.raises(dns.resolver.NXDOMAIN):
            look_up(server, "other.lab.test", "A")
        with pytest.raises(dns.resolver.NoAnswer):
            look_up(server, f"server.{NAME}", "AAAA")

    @pytest.mark.parametrize(
        ("mode", "error"),
        [
            (DnsMode.SERVFAIL, dns.resolver.NoNameservers),
            (DnsMode.SILENCE, dns.resolver.LifetimeTimeout),
            (DnsMode.NXDOMAIN, dns.resolver.NXDOMAIN),
        ],
    )
    def test_modes(self, server: DnsServer, mode: DnsMode, error: type[Exception]) -> None:
        """Every query fails in the given way, and works again afterwards."""
        server.set_mode(mode)
        with pytest.raises(error):
            look_up(server, f"server.{NAME}", "A")
        server.set_mode(DnsMode.ANSWER)
        assert look_up(server, f"server.{NAME}", "A") == ["127.0.0.1"]

    def test_mode_of_one_type(self, server: DnsServer) -> None:
        """Only queries of the given type fail."""
        server.set_mode(DnsMode.SERVFAIL, "SRV")
        assert look_up(server, NAME, "TXT")
        with pytest.raises(dns.resolver.NoNameservers):
            look_up(server, f"_mongodb._tcp.{NAME}", "SRV")

    def test_malformed_query(self, server: DnsServer) -> None:
        """A datagram that is not a query is ignored."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"\xff" * 5, ("127.0.0.1", server.port))
            client.sendto(b"", ("127.0.0.1", server.port))
        assert look_up(server, f"server.{NAME}", "A") == ["127.0.0.1"]


class TestThisProcess:
    def test_pymongo(self, server: DnsServer) -> None:
        """`mongodb+srv` is resolved here, and everything is as before afterwards."""
        before = (socket.getaddrinfo, dns.resolver.default_resolver)
        with EmbeddedDatabase() as database, server.as_resolver_of_this_process():
            server.add_mongodb(NAME, port_of(database.uri))
            uri = f"mongodb+srv://{NAME}/?tls=false"
            with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=5_000) as client:
                assert client.admin.command("ping")["ok"] == 1
                assert client.address == (f"server.{NAME}", port_of(database.uri))
            server.set_mode(DnsMode.SERVFAIL)
            with pytest.raises(ConfigurationError):
                MongoClient(uri)
        assert (socket.getaddrinfo, dns.resolver.default_resolver) == before

    def test_addresses_and_localhost(self, server: DnsServer) -> None:
        """Addresses need no look-up, and localhost is this machine."""
        with server.as_resolver_of_this_process():
            for host in ("127.0.0.1", "localhost"):
                assert socket.getaddrinfo(host, 80, socket.AF_INET)[0][4] == ("127.0.0.1", 80)


def test_worker_process(server: DnsServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`tests.faults.host_with_dns` runs `local.host` with this server as its resolver."""
    app = tmp_path_factory.mktemp("app")
    (app / "function_app.py").write_text(
        "import socket\n"
        "import azure.functions as func\n"
        "import dns.resolver\n"
        f"print('resolved', socket.gethostbyname('server.{NAME}'), flush=True)\n"
        f"print('found', dns.resolver.resolve('_mongodb._tcp.{NAME}', 'SRV')[0].port, flush=True)\n"
        "app = func.FunctionApp()\n"
        "@app.route('x')\n"
        "def x(req: func.HttpRequest) -> str:\n"
        "    return 'x'\n"
    )
    with Child.spawn(
        "host",
        python_module("tests.faults.host_with_dns", "--app-directory", str(app)),
        environment={**server.environment(), KEYS_VARIABLE: KeyRing.generate().to_json()},
        directory=APP_DIRECTORY,
    ) as child:
        # Not after the ready line: that comes over the other stream, which is read apart.
        child.wait_for_line("resolved 127.0.0.1", 20)
        child.wait_for_line("found 27017", 20)
