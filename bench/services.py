"""What every contender works against: the embedded MongoDB and two hubs, each its own process."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from bench.hub import Begin, HubService, Received, Report
from bench.remote import Remote
from local.certificates import Certificates, make_certificates
from local.database import EmbeddedDatabase
from local.hub.config import DEVELOPMENT_HUB
from settings import is_setting

ROOT = Path(__file__).resolve().parent.parent
DATABASE_NAME = "bench"
THREADS = 64
"""`PYTHON_THREADPOOL_THREAD_COUNT` of every worker."""


class Hub:
    """A running hub."""

    def __init__(self, remote: Remote[Begin | Report, Received]) -> None:
        """`remote`: its process."""
        self._remote = remote
        self.url = remote.ask(Report()).url
        self.pid = remote.pid

    @property
    def port(self) -> int:
        """On 127.0.0.1."""
        return urlsplit(self.url).port or 0

    def begin(self, seconds: float = 0.0) -> None:
        """Forget what was received, and answer each push after so many seconds from now on."""
        self._remote.ask(Begin(seconds))

    def received(self) -> Received:
        """What came since then."""
        return self._remote.ask(Report())


class Services:
    """Started on entering, stopped on leaving; everything listens on an ephemeral port of loopback."""

    certificates: Certificates
    plain: Hub
    tls: Hub

    def __init__(self, tell: Callable[[str], None]) -> None:
        """`tell` is told what is being started."""
        self._tell = tell
        self._exit = ExitStack()
        # A million documents need room, and its log of operations is not read.
        self.database = EmbeddedDatabase(options=("--cache-size", "4G", "--oplog-max-entries", "1000"))

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._tell("Starting the embedded MongoDB ...")
            starting.enter_context(self.database)
            self._tell("Starting the hubs, without and with TLS ...")
            directory = Path(starting.enter_context(TemporaryDirectory(prefix="bench-")))
            self.certificates = make_certificates(directory, DEVELOPMENT_HUB.host)
            self.plain = _start_hub(starting, None)
            self.tls = _start_hub(starting, self.certificates)
            self._exit = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell("Stopping everything ...")
        self._exit.close()

    def hub(self, *, tls: bool) -> Hub:
        """The one with or without TLS."""
        return self.tls if tls else self.plain

    def environment(self, *, tls: bool = False) -> dict[str, str]:
        """The settings of an app, and nothing that the developer's own environment sets of them."""
        # Byte code is written, so that the second start of a process finds it, as it finds that of packages.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not is_setting(name) and name != "PYTHONDONTWRITEBYTECODE"
        }
        return {
            **kept,
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "PYTHON_THREADPOOL_THREAD_COUNT": str(THREADS),
            "REQUESTS_CA_BUNDLE": str(self.certificates.bundle),
            "NODE_EXTRA_CA_CERTS": str(self.certificates.authority),
            "ANHHubConnectionString": DEVELOPMENT_HUB.connection_string(),
            "ANHHubName": DEVELOPMENT_HUB.hub_name,
            "ANHHubUrl": f"{self.hub(tls=tls).url}/{DEVELOPMENT_HUB.hub_name}/messages/",
            "MongoDbConnectionString": self.database.uri,
            "DbName": DATABASE_NAME,
        }


def _start_hub(starting: ExitStack, certificates: Certificates | None) -> Hub:
    tls = None if certificates is None else (certificates.certificate, certificates.key)
    return Hub(starting.enter_context(Remote(partial(HubService, tls))))


def cpu_seconds_of(pid: int) -> float | None:
    """CPU time of another process so far, in seconds; None where there is no /proc."""
    try:
        # The name of the program may hold anything, so what follows its closing bracket is counted.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
