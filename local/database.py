"""The embedded MongoDB for development and tests: SecantusDB, in a process of its own.

It speaks the MongoDB wire protocol. SecantusDB is GPL-2.0-only: the app neither imports nor requires it.
"""

import os
import random
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from local.process import Child, ChildError, OnLine
from local.startable import Startable

START_TIMEOUT = 30.0
"""Seconds until the database must answer a ping; half a second is usual."""

# Below the ephemeral ports of Linux (32768-60999) and macOS (49152-65535): while the database is down for a
# restart, a reconnecting client could get such a port for its own end, connect to itself and block the port.
_PORTS = range(20000, 32768)
_PORT_ATTEMPTS = 5


class DatabaseStartError(Exception):
    """The database did not start; the message ends with its last output."""


class EmbeddedDatabase(Startable):
    """One database on loopback: `with EmbeddedDatabase() as database: MongoClient(database.uri)`.

    Without `storage` the data is lost when the process ends. With a directory, the data survives `stop`, and
    every acknowledged write survives `kill`. `start` starts it again after either.
    """

    def __init__(
        self,
        storage: Path | None = None,
        *,
        test_commands: bool = False,
        options: Sequence[str] = (),
        on_line: OnLine | None = None,
    ) -> None:
        """Take what differs from the default.

        Args:
            storage: a directory for the data.
            test_commands: allow fail points (`configureFailPoint`).
            options: additional options of `secantusd-py`.
            on_line: is called with every line of its log.
        """
        self._storage = storage
        self._test_commands = test_commands
        self._options = options
        self._on_line = on_line
        self._port: int | None = None
        self._child: Child | None = None
        self._scratch: TemporaryDirectory[str] | None = None

    @property
    def uri(self) -> str:
        """The connection string; a restart does not change it."""
        if self._port is None:
            raise DatabaseStartError("the database has not been started yet")
        # Direct: its `hello` during shutdown makes a driver with discovery drop the server for good.
        # Azure's connection strings switch retryable writes off too.
        return f"mongodb://127.0.0.1:{self._port}/?directConnection=true&retryWrites=false"

    @property
    def pid(self) -> int | None:
        """The process id, `None` while it is stopped."""
        return self._child.pid if self._child is not None else None

    def start(self) -> None:
        """Start it and wait until it answers; raises DatabaseStartError. No effect while it runs."""
        if self._child is not None:
            return
        if self._port is not None:
            self._launch(self._port)
            return
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            port = _free_port()
            try:
                self._launch(port)
            except DatabaseStartError:
                # Another process may have taken the port in the meantime.
                if attempt == _PORT_ATTEMPTS or not _is_taken(port):
                    raise
            else:
                self._port = port
                return

    def stop(self) -> None:
        """Send SIGTERM and wait; it flushes its storage, which takes about four seconds."""
        if self._child is not None:
            self._child.stop(grace=20.0)
        self._forget()

    def kill(self) -> None:
        """Send SIGKILL, as the out-of-memory killer does."""
        if self._child is not None:
            self._child.kill()
        self._forget()

    def prune_ttl(self) -> None:
        """Delete expired documents now; otherwise they are deleted every 60 seconds, as in MongoDB."""
        client = self._client(timeout=10.0)
        try:
            client.admin.command("secantusAdmin.pruneTtl")
        finally:
            client.close()

    def _launch(self, port: int) -> None:
        # With `:memory:` it uses a temporary directory, which a killed process cannot remove.
        self._scratch = TemporaryDirectory(prefix="embedded-mongodb-", ignore_cleanup_errors=True)
        try:
            self._child = Child.spawn(
                "the embedded database",
                self._command(port),
                environment={**os.environ, "TMPDIR": self._scratch.name},
                directory=Path(self._scratch.name),
                on_line=self._on_line,
            )
            self._wait_until_it_answers(self._child, port)
        except ChildError as error:
            self.kill()
            raise DatabaseStartError(str(error)) from None
        except BaseException:
            self.kill()
            raise

    def _command(self, port: int) -> list[str]:
        executable = Path(sys.executable).with_name("secantusd-py")
        if not executable.exists():
            raise DatabaseStartError(f"{executable} is missing: pip install -r requirements/dev.txt")
        command = [str(executable), "--host", "127.0.0.1", "--port", str(port), "--standalone"]
        command += ["--log-level", "WARNING", *self._options]
        if self._test_commands:
            command.append("--enable-test-commands")
        if self._storage is None:
            return [*command, "--storage-path", ":memory:"]
        # Without a synced log, acknowledged writes are lost when the process is killed.
        return [*command, "--storage-path", str(self._storage.resolve()), "--sync-on-commit"]

    def _wait_until_it_answers(self, child: Child, port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not _is_taken(port):
            _check_alive(child, deadline)
            time.sleep(0.02)
        client = _client(port, timeout=1.0)
        try:
            while not _answers(client):
                _check_alive(child, deadline)
        finally:
            client.close()
        # If another process has the port, ours has ended.
        _check_alive(child, deadline)

    def _client(self, timeout: float) -> MongoClient[dict[str, Any]]:
        if self._port is None:
            raise DatabaseStartError("the database has not been started yet")
        return _client(self._port, timeout)

    def _forget(self) -> None:
        self._child = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None


def _client(port: int, timeout: float) -> MongoClient[dict[str, Any]]:
    milliseconds = int(timeout * 1000)
    return MongoClient(
        "127.0.0.1",
        port,
        directConnection=True,
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=milliseconds,
        socketTimeoutMS=milliseconds,
    )


def _answers(client: MongoClient[dict[str, Any]]) -> bool:
    try:
        client.admin.command("ping")
    except PyMongoError:
        return False
    return True


def _check_alive(child: Child, deadline: float) -> None:
    if child.returncode is not None or time.monotonic() > deadline:
        state = "does not answer" if child.returncode is None else f"ended with status {child.returncode}"
        raise DatabaseStartError("\n".join([f"{child.name} {state}", *child.lines()[-30:]]))


def _free_port() -> int:
    for port in random.sample(_PORTS, k=100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise DatabaseStartError("no free port between 20000 and 32767")


def _is_taken(port: int) -> bool:
    """A process listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
