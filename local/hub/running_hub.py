"""The simulator in a thread of its own, for tests."""

import asyncio
import ssl
from collections.abc import Callable

from local.hub.server import base_url, serve
from local.hub.simulator import Simulator
from local.server_thread import ServerThread
from local.startable import Startable


class RunningHub(Startable):
    """A simulator with a server thread of its own: `with RunningHub() as hub: … hub.url`.

    Between `stop` and `start` the hub is unreachable; `start` brings it back on the same port, with its
    records.
    """

    def __init__(
        self, simulator: Simulator | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        """`port` 0 takes a free one at the first start and keeps it."""
        self.simulator = simulator or Simulator()
        self.port = port
        self._tls = tls
        self._server = ServerThread("hub-simulator", self._serve)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, or https with TLS; no trailing slash."""
        return base_url(self.port, self._tls)

    @property
    def messages_url(self) -> str:
        """Value for `ANHHubUrl`: of the first hub."""
        return f"{self.url}/{self.hub_name}/messages/"

    @property
    def hub_name(self) -> str:
        """The name of the first hub."""
        return self.simulator.hubs.first.hub_name

    @property
    def connection_string(self) -> str:
        """Of the first hub's first policy that may send; it names the namespace, not this machine."""
        return self.simulator.hubs.first.connection_string()

    def start(self) -> None:
        """Return when it listens; OSError if the port is taken."""
        self.port = self._server.start()

    def stop(self) -> None:
        """Close the port and every connection; no effect on a stopped hub."""
        self._server.stop()

    async def _serve(self, listening: Callable[[int], None], stopping: asyncio.Event) -> None:
        await serve(self.simulator, self.port, self._tls, listening, stopping)
