"""A small DNS server on loopback that can fail, stay silent, or deny that a name exists."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset

from local.server_thread import ServerThread
from local.startable import Startable

LOOPBACK = "127.0.0.1"
PORT_VARIABLE = "TEST_DNS_PORT"
"""Environment variable of `tests.faults.host_with_dns`: the port of a DnsServer."""

_TTL = 1
"""Seconds; short, so that no cache hides a fault."""


class DnsMode(Enum):
    """How queries are answered."""

    ANSWER = "answer"
    """With the zone's records; NXDOMAIN for unknown names."""
    SERVFAIL = "SERVFAIL"
    SILENCE = "silence"
    """Not at all."""
    NXDOMAIN = "NXDOMAIN"


class DnsServer(Startable):
    """Answers A, SRV and TXT queries over UDP: `with DnsServer() as server: server.add_mongodb(…)`.

    `localhost` resolves to 127.0.0.1, so that a process whose resolver this is can still find itself.
    """

    def __init__(self) -> None:
        self.port = 0
        """On 127.0.0.1, from the first `start` on."""
        self.queries: list[tuple[str, str]] = []
        """Name (without the final dot) and type of every query, in order."""
        self._records: dict[tuple[str, str], list[str]] = {("localhost", "A"): [LOOPBACK]}
        self._modes: dict[str, DnsMode] = {}
        self._mode = DnsMode.ANSWER
        self._thread = ServerThread("dns-server", self._serve)

    def add(self, name: str, record_type: str, *values: str) -> None:
        """Add a record set; values in the form of a zone file, such as `0 0 27017 db.lab.test.`."""
        self._records[name.lower(), record_type] = list(values)

    def add_mongodb(self, name: str, port: int, options: str = "") -> None:
        """Records for `mongodb+srv://name`: one server at 127.0.0.1:`port`; `options` for the TXT record."""
        host = f"server.{name}"
        self.add(f"_mongodb._tcp.{name}", "SRV", f"0 0 {port} {host}.")
        self.add(host, "A", LOOPBACK)
        if options:
            self.add(name, "TXT", f'"{options}"')

    def set_mode(self, mode: DnsMode, *record_types: str) -> None:
        """Answer like this from now on: queries of the given types, or all queries."""
        if record_types:
            self._modes.update(dict.fromkeys(record_types, mode))
        else:
            self._mode = mode
            self._modes.clear()

    def resolver(self) -> dns.resolver.Resolver:
        """A resolver that queries this server only."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = [LOOPBACK]
        resolver.port = self.port
        return resolver

    @contextmanager
    def as_resolver_of_this_process(self) -> Iterator[None]:
        """Resolve every name of this process here: in dnspython (pymongo's SRV look-ups) and in `socket`."""
        with replaced_resolver(self.resolver()):
            yield

    def environment(self) -> dict[str, str]:
        """For a process of `tests.faults.host_with_dns`, whose resolver is then this server."""
        return {PORT_VARIABLE: str(self.port)}

    def start(self) -> None:
        """Listen; after a stop on the same port."""
        self.port = self._thread.start()

    def stop(self) -> None:
        """Close the port: queries then get ICMP "port unreachable"."""
        self._thread.stop()

    async def _serve(self, listening: Callable[[int], None], stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Protocol(self._answer), local_addr=(LOOPBACK, self.port), family=socket.AF_INET
        )
        try:
            listening(transport.get_extra_info("sockname")[1])
            await stopping.wait()
        finally:
            transport.close()

    def _answer(self, query: bytes) -> bytes | None:
        """The answer to one query; `None` for silence."""
        try:
            asked = dns.message.from_wire(query)
            (question,) = asked.question
        except (dns.exception.DNSException, ValueError):
            return None
        name = question.name.to_text(omit_final_dot=True).lower()
        record_type = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, record_type))
        mode = self._modes.get(record_type, self._mode)
        if mode is DnsMode.SILENCE:
            return None
        answer = dns.message.make_response(asked)
        answer.flags |= dns.flags.RA | dns.flags.AA
        answer.set_rcode(self._rcode(mode, name))
        values = self._records.get((name, record_type))
        if mode is DnsMode.ANSWER and values:
            answer.answer.append(dns.rrset.from_text_list(question.name, _TTL, "IN", record_type, values))
        return answer.to_wire()

    def _rcode(self, mode: DnsMode, name: str) -> dns.rcode.Rcode:
        known = any(name == owner for owner, _ in self._records)
        if mode is DnsMode.SERVFAIL:
            return dns.rcode.SERVFAIL
        return dns.rcode.NOERROR if mode is DnsMode.ANSWER and known else dns.rcode.NXDOMAIN


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str | object, int]) -> None:
        answer = self._answer(data)
        if answer is not None:
            self._transport.sendto(answer, address)


@contextmanager
def replaced_resolver(resolver: dns.resolver.Resolver) -> Iterator[None]:
    """Use `resolver` for dnspython's default and for `socket.getaddrinfo` and its relatives."""
    before = dns.resolver.default_resolver
    dns.resolver.default_resolver = resolver
    dns.resolver.override_system_resolver(resolver)
    try:
        yield
    finally:
        dns.resolver.restore_system_resolver()
        dns.resolver.default_resolver = before
