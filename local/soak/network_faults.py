"""Faults of the network between the workers, the hub and the database, one after the other."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from local.tcp_proxy import Direction, TcpProxy

PAUSE_SECONDS = (1.0, 3.0)
"""Minimum and maximum time between two faults."""


@dataclass(frozen=True, slots=True)
class Network:
    """The proxies that all workers use."""

    hub: TcpProxy
    database: TcpProxy


type Act = Callable[[Network], None]


def _nothing(_: Network) -> None:
    """Some faults do not end: a frozen connection stays frozen."""


@dataclass(frozen=True, slots=True)
class NetworkFault:
    """A fault with its share of all faults."""

    name: str
    share: int
    begin: Act
    end: Act = _nothing
    seconds: float = 0.0
    """From `begin` to `end`."""


def _database_away(network: Network) -> None:
    network.database.refuse_new()
    network.database.reset_existing()


NETWORK_FAULTS = (
    NetworkFault("hub: connections frozen", 2, lambda it: it.hub.freeze_existing()),
    NetworkFault("hub: connections reset", 2, lambda it: it.hub.reset_existing()),
    NetworkFault("hub: an answer lost", 2, lambda it: it.hub.lose_next_answer()),
    NetworkFault("hub: silent for 2.5 s", 1, lambda it: it.hub.freeze_all(), lambda it: it.hub.thaw(), 2.5),
    NetworkFault(
        "hub: refuses connections for 1 s",
        1,
        lambda it: it.hub.refuse_new(),
        lambda it: it.hub.accept_new(),
        1.0,
    ),
    NetworkFault(
        "hub: answers 0.5 s late for 3 s",
        1,
        lambda it: it.hub.delay(0.5, Direction.TO_CLIENT),
        lambda it: it.hub.delay(0),
        3.0,
    ),
    NetworkFault("database: connections frozen", 2, lambda it: it.database.freeze_existing()),
    NetworkFault("database: connections reset", 2, lambda it: it.database.reset_existing()),
    NetworkFault(
        "database: answers 0.5 s late for 3 s",
        2,
        lambda it: it.database.delay(0.5, Direction.TO_CLIENT),
        lambda it: it.database.delay(0),
        3.0,
    ),
    NetworkFault("database: away for 3 s", 1, _database_away, lambda it: it.database.accept_new(), 3.0),
)


class NetworkFaults:
    """Applies random faults in a thread of its own while its `with` block runs."""

    def __init__(self, network: Network, seed: int) -> None:
        """`seed` decides which faults follow each other."""
        self._network = network
        self._random = random.Random(seed)  # noqa: S311 - not for cryptography
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="network-faults")
        self.applied: Counter[str] = Counter()
        """Faults by name."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        shares = [fault.share for fault in NETWORK_FAULTS]
        while not self._stopping.wait(self._random.uniform(*PAUSE_SECONDS)):
            (fault,) = self._random.choices(NETWORK_FAULTS, shares)
            self.applied[fault.name] += 1
            fault.begin(self._network)
            self._stopping.wait(fault.seconds)
            fault.end(self._network)
            for proxy in (self._network.hub, self._network.database):
                proxy.end_abandoned()
