"""Open connections that wait for their next request."""

import http.client
import threading
from collections import deque
from collections.abc import Callable

from urllib3.util import wait_for_read

KEPT_SECONDS = 60.0
"""How long a connection may wait. Azure's network silently drops one that has been idle for four minutes
("Load Balancer TCP Reset and Idle Timeout"): what is sent over it is waited for in vain."""


class IdleConnections:
    """Hands out the connection used last, so that those too many grow old. Safe to share between threads."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` tells seconds and never runs backwards."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._idle: deque[tuple[float, http.client.HTTPConnection]] = deque()

    def take(self) -> http.client.HTTPConnection | None:
        """An open connection, for the caller alone; None if there is none."""
        while connection := self._newest():
            # Nothing has been asked over it: what can be read is its end. Looked at outside the lock, since
            # looking lets other threads run, who would queue up for it.
            if not wait_for_read(connection.sock, timeout=0):
                break
            connection.close()
        return connection

    def keep(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose last answer has been read."""
        with self._lock:
            self._idle.append((self._monotonic(), connection))

    def close(self) -> None:
        """Close those that wait."""
        with self._lock:
            while self._idle:
                self._idle.pop()[1].close()

    def _newest(self) -> http.client.HTTPConnection | None:
        oldest = self._monotonic() - KEPT_SECONDS
        with self._lock:
            while self._idle and self._idle[0][0] < oldest:
                self._idle.popleft()[1].close()
            return self._idle.pop()[1] if self._idle else None
