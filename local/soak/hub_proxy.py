"""A proxy in front of the hub that records which rings were answered 201 to a worker."""

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from local.tcp_proxy import Direction, Link, TcpProxy

GIVE_UP_SECONDS = 1.0
"""A worker that closes its connection so soon after an answer may have timed out without reading it: it keeps
the connection after an answer that it has read."""

_HANDLE = "servicebusnotification-devicehandle"
_RINGS = re.compile(rb'"eventId":"?107\b')


@dataclass(slots=True)
class _Exchanges:
    """The requests of one connection."""

    pending: deque[str] = field(default_factory=deque)
    """Device handles of the requests without an answer, in order; empty for those that ring nothing."""
    last_201: tuple[str, float] | None = None
    """Device handle and time of the last answer 201."""


class HubProxy(TcpProxy):
    """Reads requests and answers as far as needed to count answers by device handle."""

    def __init__(self, server_port: int) -> None:
        """Take the hub simulator's port."""
        super().__init__(server_port)
        self.seen_201: Counter[str] = Counter()
        """Answers 201 to rings that a worker has read, by device handle."""
        self._exchanges: WeakKeyDictionary[Link, _Exchanges] = WeakKeyDictionary()

    async def units(self, link: Link, direction: Direction) -> AsyncIterator[bytes]:
        """Whole requests and whole answers; both have a Content-Length."""
        reader = link.source(direction)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                yield head + await reader.readexactly(int(_headers(head).get("content-length", "0")))
        except asyncio.IncompleteReadError:
            return

    def passed(self, link: Link, direction: Direction, unit: bytes) -> None:
        """Record the handle of a request; count an answer 201, unless the worker has given up already."""
        exchanges = self._exchanges.setdefault(link, _Exchanges())
        head = unit.partition(b"\r\n\r\n")[0]
        if direction is Direction.TO_SERVER:
            exchanges.pending.append(_headers(head).get(_HANDLE, "") if _RINGS.search(unit) else "")
            exchanges.last_201 = None  # the worker uses the connection again, so it has read the answer
            return
        handle = exchanges.pending.popleft() if exchanges.pending else ""
        if head.split(None, 2)[1] == b"201" and not link.client_gone:
            self.seen_201[handle] += 1
            exchanges.last_201 = (handle, time.monotonic())

    def closing(self, link: Link) -> None:
        """Take back the count of an answer if the worker closed the connection right after it."""
        exchanges = self._exchanges.get(link)
        if exchanges is None or exchanges.last_201 is None or link.ended or not link.client_gone:
            return
        handle, at = exchanges.last_201
        if time.monotonic() - at < GIVE_UP_SECONDS:
            self.seen_201[handle] -= 1


def _headers(head: bytes) -> dict[str, str]:
    """Header names in lower case."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
