"""A proxy in front of the hub whose older connections end at a front end that fails."""

from weakref import WeakSet

from local.soak.hub_proxy import HubProxy
from local.tcp_proxy import Direction, Link, Step


class FrontEndProxy(HubProxy):
    """`answer_existing(503)`: the connections that are open now get this answer to every request; new ones
    reach the hub."""

    def __init__(self, server_port: int) -> None:
        """Take the hub simulator's port."""
        super().__init__(server_port)
        self._failing: WeakSet[Link] = WeakSet()
        self._reply = b""
        self.failed = 0
        """Requests that were answered here."""

    def answer_existing(self, status: int) -> None:
        """Answer every request on the connections that are open now."""
        self._reply = f"HTTP/1.1 {status} Of One Front End\r\nContent-Length: 0\r\n\r\n".encode()
        self._run(lambda: self._failing.update(self._links))

    def step(self, link: Link, direction: Direction, unit: bytes) -> Step:
        """Answer in place of the hub."""
        if direction is Direction.TO_SERVER and link in self._failing:
            self.failed += 1
            return Step(forward=None, reply=self._reply)
        return super().step(link, direction, unit)
