"""HTTP exchanges with one hub, over connections that are kept between them."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from push.hub.answers import Answer, NoAnswer
from push.hub.connection import Connection, Request

MAX_IDLE_SECONDS = 60.0
"""How long an unused connection is kept. Azure's network silently drops one that has been idle for four
minutes ("Load Balancer TCP Reset and Idle Timeout"): a push sent over it would wait for its time-out."""

MAX_AGE_SECONDS = 300.0
"""How long a connection is used at all, so that pushes follow a change of the hub's address."""

_CLOSING_STATUSES = frozenset({401, 403, 404, 408})
"""With 5xx, the answers after which a connection is not kept: one front end of the hub may be at fault."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an exchange may take, in seconds."""

    connect: float
    """For the name look-up, TCP, the proxy and TLS together."""
    read: float
    """For request and answer over a kept connection. Over a new one, it is the two times together."""

    @property
    def exchange(self) -> float:
        """The longest that an exchange takes."""
        return self.connect + self.read


class HubWire:
    """Connections to one hub. Safe to share between threads."""

    def __init__(self, timeouts: Timeouts, monotonic: Callable[[], float]) -> None:
        """`monotonic` tells seconds and never runs backwards."""
        self.timeouts = timeouts
        self.monotonic = monotonic
        self._lock = threading.Lock()
        self._idle: deque[Connection] = deque()
        """In the order of their last use, the latest at the end."""
        self._closed = False

    def begin(
        self, request: Request, time_left: float, *, fresh_connection: bool = False
    ) -> "Exchange | NoAnswer":
        """What sends a request once. Redirects are not followed, and nothing is repeated.

        Args:
            request: what to send.
            time_left: seconds in which to be back, whatever the time-outs.
            fresh_connection: use a new connection, because an earlier try has failed.

        Raises:
            ValueError: a header's value cannot be sent.
        """
        header_lines = request.header_lines()
        if time_left <= 0:
            return NoAnswer.NO_TIME
        began = self.monotonic()
        kept = None if fresh_connection else self._take(began)
        seconds = min(time_left, self.timeouts.read if kept else self.timeouts.exchange)
        connection = kept or Connection(self.monotonic)
        connection.prepare(request, header_lines, min(seconds, self.timeouts.connect), seconds)
        return Exchange(self, connection, began, is_kept=kept is not None)

    def exchange(
        self, request: Request, time_left: float, *, fresh_connection: bool = False
    ) -> Answer | NoAnswer:
        """Send once, in this thread."""
        begun = self.begin(request, time_left, fresh_connection=fresh_connection)
        return begun if isinstance(begun, NoAnswer) else begun.perform()

    def end(self, exchange: "Exchange", reply: Answer | NoAnswer) -> None:
        """Keep the connection for the next exchange, or close it."""
        if _is_healthy(reply):
            self._keep(exchange.connection)
            return
        exchange.connection.close()
        if exchange.is_kept:
            # What broke it, such as a firewall that has lost its state, breaks all that are older.
            self._close_idle(last_used_before=exchange.began)

    def close(self) -> None:
        """Close the idle connections now, and each of the others when its exchange ends."""
        with self._lock:
            self._closed = True
        self._close_idle(last_used_before=float("inf"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, now: float) -> Connection | None:
        """The connection that was used last, so that the surplus of a burst grows old and is closed."""
        self._close_idle(last_used_before=now - MAX_IDLE_SECONDS)
        while connection := self._latest():
            # Not under the lock: looking is a system call, for which other threads would have to wait.
            if now - connection.opened_at <= MAX_AGE_SECONDS and connection.is_usable():
                return connection
            connection.close()
        return None

    def _latest(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: Connection) -> None:
        connection.used_at = self.monotonic()
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _close_idle(self, last_used_before: float) -> None:
        while True:
            with self._lock:
                if not self._idle or self._idle[0].used_at >= last_used_before:
                    return
                oldest = self._idle.popleft()
            oldest.close()


class Exchange:
    """One request over one connection. It is performed once: here, or beside others (`side_by_side.py`)."""

    def __init__(self, wire: HubWire, connection: Connection, began: float, *, is_kept: bool) -> None:
        """Take the connection, which is ready to send, and the monotonic time."""
        self.connection = connection
        self.began = began
        self.is_kept = is_kept
        """The connection has served an earlier exchange."""
        self._wire = wire

    def perform(self) -> Answer | NoAnswer:
        """Carry it out in this thread."""
        return self.finish(self.connection.perform())

    def finish(self, code: int) -> Answer | NoAnswer:
        """What came of it, where libcurl has carried it out and ended with `code`."""
        reply = self.connection.reply(code)
        self._wire.end(self, reply)
        return reply


def _is_healthy(reply: Answer | NoAnswer) -> bool:
    return isinstance(reply, Answer) and reply.status < 500 and reply.status not in _CLOSING_STATUSES
