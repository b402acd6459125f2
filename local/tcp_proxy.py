"""A TCP proxy on loopback whose connections can be frozen, delayed, reset and refused at run time."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from local.server_thread import ServerThread
from local.startable import Startable

LOOPBACK = "127.0.0.1"
_CHUNK = 65_536
_TIMEOUT = 10.0
"""Seconds for a command to the proxy's thread."""


class Direction(Enum):
    """A direction of a connection, from the proxy's view."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


BOTH = (Direction.TO_SERVER, Direction.TO_CLIENT)


@dataclass(frozen=True, slots=True)
class Step:
    """What the proxy does with one unit of data."""

    forward: bytes | None
    """Passed on; `None` for nothing."""
    reply: bytes | None = None
    """Sent back to the side that the unit came from."""
    delay: float = 0.0
    """Seconds before anything is done."""
    end: Literal["close", "reset"] | None = None
    """The connection is closed (FIN) or reset (RST) on both sides afterwards."""


class Link:
    """One connection of a client, and the proxy's own connection to the server for it."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._client, self._server = client, server
        self.passable = {direction: asyncio.Event() for direction in BOTH}
        """Cleared while a direction is frozen."""
        self.loses_answer = False
        """The next answer on this link is lost."""
        self.ended = False

    @property
    def client_gone(self) -> bool:
        """The client has closed or reset its connection."""
        reader = self._client[0]
        return reader.at_eof() or reader.exception() is not None

    def source(self, direction: Direction) -> asyncio.StreamReader:
        """Where the data of a direction is read."""
        return (self._client if direction is Direction.TO_SERVER else self._server)[0]

    def target(self, direction: Direction) -> asyncio.StreamWriter:
        """Where the data of a direction is written."""
        return (self._server if direction is Direction.TO_SERVER else self._client)[1]

    def end(self, how: Literal["close", "reset"]) -> None:
        """Close or reset both connections at once."""
        self.ended = True
        for passable in self.passable.values():
            passable.set()
        for _, writer in (self._client, self._server):
            if how == "reset":
                # With SO_LINGER 0 the kernel sends RST and discards unsent data.
                endpoint: socket.socket | None = writer.get_extra_info("socket")
                if endpoint is not None and endpoint.fileno() != -1:
                    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()

    async def wait_ended(self) -> None:
        """Wait until the operating system's connections are gone."""
        for _, writer in (self._client, self._server):
            with suppress(OSError):
                await writer.wait_closed()


class TcpProxy(Startable):
    """Passes connections on to a server: `with TcpProxy(server_port) as proxy: … proxy.port`.

    Every fault can be switched while connections are open, from any thread; it is in effect when the method
    returns. `direction=None` means both directions. `restore` makes the proxy transparent again.
    """

    def __init__(self, server_port: int, *, tls: ssl.SSLContext | None = None) -> None:
        """Take the server.

        Args:
            server_port: on 127.0.0.1.
            tls: the proxy speaks TLS with its clients, with this context; the server gets plain TCP.
        """
        self.port = 0
        """Of the proxy on 127.0.0.1, from the first `start` on."""
        self.opened = 0
        """Connections that were accepted so far."""
        self._server_port = server_port
        self._tls = tls
        self._thread = ServerThread("tcp-proxy", self._serve)
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._delay = dict.fromkeys(BOTH, 0.0)
        self._seconds_per_byte = dict.fromkeys(BOTH, 0.0)
        self._freezes_new: set[Direction] = set()
        self._answers_to_lose = 0
        self._how_to_lose: Literal["close", "reset"] = "close"
        self._listener: asyncio.Server | None = None
        self._backlog: list[socket.socket] = []

    # --- for tests

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._links)

    def freeze_existing(self, direction: Direction | None = None) -> None:
        """Pass nothing more on the connections that are open now, neither data nor FIN nor RST.

        New connections work. It looks like a NAT device that has dropped its mapping without notice.
        """
        self._run(lambda: self._freeze(direction))

    def freeze_all(self, direction: Direction | None = None) -> None:
        """The same for new connections too: they are accepted and stay silent."""

        def freeze() -> None:
            self._freeze(direction)
            self._freezes_new.update(_directions(direction))

        self._run(freeze)

    def thaw(self) -> None:
        """End every freeze; what has arrived in the meantime is passed on."""

        def thaw() -> None:
            self._freezes_new.clear()
            for link in self._links:
                for passable in link.passable.values():
                    passable.set()

        self._run(thaw)

    def delay(self, seconds: float, direction: Direction | None = None) -> None:
        """Delay every chunk of data by `seconds`; 0 ends it."""
        self._run(lambda: self._delay.update(dict.fromkeys(_directions(direction), seconds)))

    def drip(self, seconds_per_byte: float, direction: Direction | None = None) -> None:
        """Pass data byte by byte, `seconds_per_byte` apart; 0 ends it."""
        rule = dict.fromkeys(_directions(direction), seconds_per_byte)
        self._run(lambda: self._seconds_per_byte.update(rule))

    def reset_existing(self) -> None:
        """Reset (RST) the connections that are open now, on both sides."""
        self._run(lambda: self._end_all("reset"))

    def close_existing(self) -> None:
        """Close (FIN) the connections that are open now, on both sides."""
        self._run(lambda: self._end_all("close"))

    def end_abandoned(self) -> None:
        """End the frozen connections whose client has gone. The server learns of it only now."""

        def end() -> None:
            for link in self._links:
                if link.client_gone and not all(each.is_set() for each in link.passable.values()):
                    link.end("reset")

        self._run(end)

    def lose_next_answer(self, times: int = 1, how: Literal["close", "reset"] = "close") -> None:
        """Let the next exchange reach the server, discard the server's answer and end the connection.

        The exchange starts with the next data of any client, so use it with one client, or use a proxy that
        understands the protocol.
        """

        def lose() -> None:
            self._answers_to_lose, self._how_to_lose = times, how

        self._run(lose)

    def refuse_new(self) -> None:
        """Refuse new connections (the port is closed); open ones go on."""
        self._run(self._stop_listening)

    def ignore_new(self) -> None:
        """Do not answer new connections, not even their SYN, so that connecting times out (Linux only)."""
        self._run(self._fill_backlog)

    def accept_new(self) -> None:
        """Accept new connections again, on the same port; OSError if another process has taken it."""
        self._await(self._listen())

    def restore(self) -> None:
        """End every fault and accept new connections. Connections that have ended stay ended."""
        self.thaw()
        self._run(self._forget_faults)
        self.accept_new()

    def start(self) -> None:
        """Listen; after a stop on the same port."""
        self.port = self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection."""
        self._thread.stop()

    # --- for subclasses that understand a protocol

    async def units(self, link: Link, direction: Direction) -> AsyncIterator[bytes]:
        """The data of one direction, in units that are passed on as a whole; here as it arrives."""
        while data := await link.source(direction).read(_CHUNK):
            yield data

    def step(self, link: Link, direction: Direction, unit: bytes) -> Step:
        """What is done with a unit, in the proxy's thread; here only `lose_next_answer`."""
        if direction is Direction.TO_SERVER and self._answers_to_lose > 0 and not link.loses_answer:
            self._answers_to_lose -= 1
            link.loses_answer = True
        elif direction is Direction.TO_CLIENT and link.loses_answer:
            return Step(forward=None, end=self._how_to_lose)
        return Step(forward=unit)

    def passed(self, link: Link, direction: Direction, unit: bytes) -> None:
        """Called in the proxy's thread after a unit has been passed on."""

    def closing(self, link: Link) -> None:
        """Called in the proxy's thread when a link has ended; `link.ended` says that the proxy ended it."""

    def forget_faults(self) -> None:
        """Called by `restore`, in the proxy's thread, for faults of a subclass."""

    # --- in the proxy's thread

    async def _serve(self, listening: Callable[[int], None], stopping: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await self._listen()
            listening(self.port)
            await stopping.wait()
        finally:
            self._end_all("reset")
            await self._finish_accepting()
            self._stop_listening()
            self._release_backlog()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        self._release_backlog()
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._accept,
                LOOPBACK,
                self.port,
                ssl=self._tls,
                ssl_shutdown_timeout=1.0 if self._tls else None,
                backlog=1024,
            )
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _finish_accepting(self) -> None:
        """Take no new connection, and let those that have been taken reach `_accept`.

        asyncio cannot make a transport for a listener that is closed: such a connection would never be
        closed.
        """
        if self._listener is not None:
            for listening in self._listener.sockets:
                self._loop.remove_reader(listening.fileno())
            for _ in range(3):  # its task, its transport, `_accept`
                await asyncio.sleep(0)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _fill_backlog(self) -> None:
        """Listen with a backlog of one connection and take that place: the kernel then drops every SYN."""
        self._stop_listening()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, self.port))
        listener.listen(0)
        self._backlog = [listener]
        for _ in range(2):
            filler = socket.socket()
            filler.settimeout(0)
            filler.connect_ex((LOOPBACK, self.port))
            self._backlog.append(filler)

    def _release_backlog(self) -> None:
        for endpoint in self._backlog:
            endpoint.close()
        self._backlog = []

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            # A task that is cancelled before the server is connected has closed nothing.
            writer.transport.abort()

        task.add_done_callback(done)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One link, until both directions have ended."""
        try:
            server = await asyncio.open_connection(LOOPBACK, self._server_port)
        except OSError:
            # The proxy has accepted already, so a reset is as close to "refused" as it gets.
            refused = Link((reader, writer), (reader, writer))
            refused.end("reset")
            await refused.wait_ended()
            return
        link = Link((reader, writer), server)
        for direction in set(BOTH) - self._freezes_new:
            link.passable[direction].set()
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as pumps:
                for direction in BOTH:
                    pumps.create_task(self._pump(link, direction))
        except* (OSError, ValueError):
            pass  # one side is gone, or does not speak a subclass's protocol: the other one is closed too
        finally:
            self._links.discard(link)
            self.closing(link)
            link.end("close")
            await link.wait_ended()

    async def _pump(self, link: Link, direction: Direction) -> None:
        """Pass on one direction until its source ends."""
        async for unit in self.units(link, direction):
            step = self.step(link, direction, unit)
            await asyncio.sleep(step.delay + self._delay[direction])
            await link.passable[direction].wait()
            if link.ended:
                return
            if step.forward is not None:
                await self._write(link.target(direction), step.forward, self._seconds_per_byte[direction])
                self.passed(link, direction, unit)
            if step.reply is not None:
                back = Direction.TO_CLIENT if direction is Direction.TO_SERVER else Direction.TO_SERVER
                await link.passable[back].wait()
                await self._write(link.target(back), step.reply, self._seconds_per_byte[back])
            if step.end is not None:
                link.end(step.end)
                return
        # A frozen direction passes no FIN either.
        await link.passable[direction].wait()
        target = link.target(direction)
        if link.ended:
            return
        if target.can_write_eof():
            target.write_eof()
        else:
            link.end("close")

    @staticmethod
    async def _write(writer: asyncio.StreamWriter, data: bytes, seconds_per_byte: float) -> None:
        if not seconds_per_byte:
            writer.write(data)
            await writer.drain()
            return
        for value in data:
            writer.write(bytes([value]))
            await writer.drain()
            await asyncio.sleep(seconds_per_byte)

    def _freeze(self, direction: Direction | None) -> None:
        for link in self._links:
            for each in _directions(direction):
                link.passable[each].clear()

    def _end_all(self, how: Literal["close", "reset"]) -> None:
        for link in self._links:
            link.end(how)

    def _forget_faults(self) -> None:
        for rule in (self._delay, self._seconds_per_byte):
            rule.update(dict.fromkeys(BOTH, 0.0))
        self._answers_to_lose = 0
        for link in self._links:
            link.loses_answer = False
        self.forget_faults()

    # --- from other threads

    def _run(self, act: Callable[[], object]) -> None:
        async def run() -> None:
            act()

        self._await(run())

    def _await(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT)


def _directions(direction: Direction | None) -> tuple[Direction, ...]:
    return BOTH if direction is None else (direction,)
