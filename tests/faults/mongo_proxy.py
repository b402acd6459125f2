"""A proxy in front of MongoDB that applies faults to commands by their name."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pymongo.uri_parser import parse_uri

from local.tcp_proxy import Direction, Link, Step, TcpProxy
from tests.faults.mongo_messages import (
    HEADER_BYTES,
    Message,
    error_document,
    message_length,
    parse_message,
    reply_message,
)


@dataclass(slots=True)
class _Rule:
    """A fault of the `nth` … `nth + times - 1`th matching command, counted from when it was added."""

    command: str
    collection: str | None
    nth: int
    times: int | None
    request: Callable[[Message, bytes], Step] = lambda _, unit: Step(forward=unit)
    answer: Callable[[bytes], Step] | None = None
    seen: int = field(default=0, init=False)

    def applies(self, message: Message) -> bool:
        """Count the command if it matches; it is one of those that the fault is for."""
        if message.command != self.command or self.collection not in {None, message.collection}:
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)


class MongoProxy(TcpProxy):
    """Understands OP_MSG, so that it can act on the nth `insert`, `find`, `update`, ….

    Every method below adds a fault for the `nth` matching command from now on and for `times` of them
    (`None`: for all that follow); `collection` limits it to one collection. The oldest fault that matches is
    applied. `restore` removes all of them.
    """

    def __init__(self, server_port: int, *, tls: ssl.SSLContext | None = None) -> None:
        """As for TcpProxy."""
        super().__init__(server_port, tls=tls)
        self.commands: list[tuple[str, str | None]] = []
        """Every command and its collection, in order; the drivers' own `hello` and `ping` among them."""
        self._rules: list[_Rule] = []
        self._pending: dict[tuple[Link, int], Callable[[bytes], Step]] = {}
        """What to do with the answer to a request, by its connection and id."""

    def lose_answer(
        self,
        command: str,
        *,
        collection: str | None = None,
        nth: int = 1,
        times: int | None = 1,
        how: Literal["close", "reset"] = "close",
    ) -> None:
        """The server carries the command out; its answer is discarded and the connection ended."""
        self._add(_Rule(command, collection, nth, times, answer=lambda _: Step(forward=None, end=how)))

    def lose_command(
        self,
        command: str,
        *,
        collection: str | None = None,
        nth: int = 1,
        times: int | None = 1,
        how: Literal["close", "reset"] = "close",
    ) -> None:
        """The server never sees the command; the connection is ended."""
        lost = Step(forward=None, end=how)
        self._add(_Rule(command, collection, nth, times, request=lambda *_: lost))

    def withhold_answer(
        self, command: str, *, collection: str | None = None, nth: int = 1, times: int | None = 1
    ) -> None:
        """The server carries the command out; the client gets no answer, and the connection stays open."""
        self._add(_Rule(command, collection, nth, times, answer=lambda _: Step(forward=None)))

    def delay_answer(
        self,
        command: str,
        seconds: float,
        *,
        collection: str | None = None,
        nth: int = 1,
        times: int | None = None,
    ) -> None:
        """The answer arrives `seconds` late."""
        self._add(
            _Rule(command, collection, nth, times, answer=lambda unit: Step(forward=unit, delay=seconds))
        )

    def answer(
        self,
        command: str,
        document: Mapping[str, Any],
        *,
        collection: str | None = None,
        nth: int = 1,
        times: int | None = 1,
    ) -> None:
        """The server never sees the command; the client gets `document` as the answer."""

        def request(message: Message, _unit: bytes) -> Step:
            return Step(forward=None, reply=reply_message(message.request_id, document))

        self._add(_Rule(command, collection, nth, times, request=request))

    def answer_error(
        self,
        command: str,
        code: int,
        *,
        message: str = "a fault of the test",
        collection: str | None = None,
        nth: int = 1,
        times: int | None = 1,
        **fields: object,
    ) -> None:
        """The server never sees the command; the client gets the error `code` with additional `fields`."""
        document = error_document(code, message, **fields)
        self.answer(command, document, collection=collection, nth=nth, times=times)

    # --- in the proxy's thread

    async def units(self, link: Link, direction: Direction) -> AsyncIterator[bytes]:
        """Whole messages."""
        reader = link.source(direction)
        try:
            while True:
                header = await reader.readexactly(HEADER_BYTES)
                yield header + await reader.readexactly(message_length(header) - HEADER_BYTES)
        except asyncio.IncompleteReadError:
            return

    def step(self, link: Link, direction: Direction, unit: bytes) -> Step:
        """Apply the oldest matching fault to a command, and later to its answer."""
        message = parse_message(unit)
        if direction is Direction.TO_CLIENT:
            answer = self._pending.pop((link, message.response_to), None)
            return Step(forward=unit) if answer is None else answer(unit)
        if message.command is not None:
            self.commands.append((message.command, message.collection))
        matching = [rule for rule in self._rules if rule.applies(message)]
        if not matching:
            return Step(forward=unit)
        rule = matching[0]
        if rule.answer is not None:
            self._pending[link, message.request_id] = rule.answer
        return rule.request(message, unit)

    def forget_faults(self) -> None:
        """Remove the faults for commands."""
        self._rules.clear()
        self._pending.clear()

    def _add(self, rule: _Rule) -> None:
        self._run(lambda: self._rules.append(rule))


def mongo_uri(port: int, options: str = "directConnection=true&retryWrites=false") -> str:
    """The connection string of a server or proxy on loopback."""
    return f"mongodb://127.0.0.1:{port}/?{options}"


def port_of(uri: str) -> int:
    """The port in a connection string with one server."""
    return parse_uri(uri)["nodelist"][0][1] or 27017
