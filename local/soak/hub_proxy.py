"""A proxy in front of the hub that records which pushes were answered 201 to a worker."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from weakref import WeakKeyDictionary

from local.tcp_proxy import Direction, Link, TcpProxy

_HANDLE = "servicebusnotification-devicehandle"


class HubProxy(TcpProxy):
    """Reads requests and answers as far as needed to count answers by device handle."""

    def __init__(self, server_port: int) -> None:
        """Take the hub simulator's port."""
        super().__init__(server_port)
        self.seen_201: Counter[str] = Counter()
        """Answers 201 that reached a worker, by device handle."""
        self._handles: WeakKeyDictionary[Link, deque[str]] = WeakKeyDictionary()
        """Handles of the requests that have no answer yet, in order."""

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
        """Record the handle of a request; count an answer 201, unless the worker has given up."""
        handles = self._handles.setdefault(link, deque())
        head = unit.partition(b"\r\n\r\n")[0]
        if direction is Direction.TO_SERVER:
            handles.append(_headers(head).get(_HANDLE, ""))
            return
        handle = handles.popleft() if handles else ""
        if head.split(None, 2)[1] == b"201" and not link.client_gone:
            self.seen_201[handle] += 1


def _headers(head: bytes) -> dict[str, str]:
    """Header names in lower case."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
