"""The simulator in a thread of its own, for tests."""

import asyncio
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self

from local.hub.memory import Simulator
from local.hub.server import base_url, serve
from local.server_thread import ServerThread


class RunningHub:
    """A simulator served by a thread of its own: ``with RunningHub() as hub: … hub.url``.

    ``stop`` and ``start`` in between make the hub unreachable and bring it back on the same port, with
    everything that it remembers.
    """

    def __init__(
        self, simulator: Simulator | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        """``port`` 0: any free one, kept from the first start on."""
        self.simulator = simulator or Simulator()
        self.port = port
        self._tls = tls
        self._server = ServerThread("hub-simulator", self._serve)

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, or https with TLS; no trailing slash."""
        return base_url(self.port, self._tls)

    @property
    def messages_url(self) -> str:
        """Where sends go, as ``ANHHubUrl`` wants it."""
        return f"{self.url}/{self.hub_name}/messages/"

    @property
    def hub_name(self) -> str:
        """As configured."""
        return self.simulator.config.hub_name

    @property
    def connection_string(self) -> str:
        """For the first access rule that may send; it names the namespace, not this machine."""
        return self.simulator.config.connection_string()

    def start(self) -> None:
        """Returns once it listens; OSError if the port is taken."""
        self.port = self._server.start()

    def stop(self) -> None:
        """Closes the port and every connection; does nothing to a stopped hub."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _serve(self, listening: Callable[[int], None], stopping: asyncio.Event) -> None:
        await serve(self.simulator, self.port, self._tls, listening, stopping)
