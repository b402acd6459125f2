"""The hubs of the settings, by name: each has connections, SAS tokens and failures of its own."""

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from common import telemetry
from models.errors import ConfigurationError
from models.hub import DEFAULT_HUB
from models.push import HUB_NOT_USABLE, Outcome, OutcomeKind
from push.fan_out import Sender
from push.hub.client import HubClient
from push.hub.wire import HubWire


@dataclass(frozen=True, slots=True)
class Hub:
    """What reaches one hub."""

    client: HubClient
    sender: Sender
    """The client, or what stands before it."""
    wire: HubWire


class Hubs:
    """Builds each hub when it is first used. Safe to share between threads.

    A named hub that has no settings, or wrong ones, stops its own devices only, and is logged once.
    """

    def __init__(
        self,
        names: Iterable[str],
        make: Callable[[str], Hub],
        lock: AbstractContextManager[object],
    ) -> None:
        """Take the names of the hubs in the settings, and what builds one.

        Args:
            names: the default hub's among them.
            make: raises a ConfigurationError where a hub's settings are wrong.
            lock: held while a hub is built. The app's own: a second one could deadlock with it, since
                building a hub builds other parts of the app.
        """
        self.names = tuple(names)
        self._make = make
        self._lock = lock
        self._built: dict[str, Hub] = {}
        self._refusals: dict[str, Outcome] = {}

    def named(self, name: str) -> Hub:
        """A hub of the settings.

        Raises:
            ConfigurationError: its settings are wrong.
        """
        hub = self._built.get(name)
        if hub is None:
            with self._lock:
                hub = self._built.get(name)
                if hub is None:
                    hub = self._built[name] = self._make(name)
        return hub

    @property
    def default(self) -> Hub:
        """The hub of `ANHHubConnectionString`.

        Raises:
            ConfigurationError: its settings are wrong.
        """
        return self.named(DEFAULT_HUB)

    def sender(self, name: str) -> Sender | Outcome:
        """What sends to the devices of a hub, or the outcome of every push to them."""
        if name not in self.names:
            return self._refuse(
                name,
                f"the device is registered with the hub {name}, for which there are no settings; there are "
                f"{', '.join(self.names)}: add the hub's settings, or have the app register with another hub",
            )
        try:
            return self.named(name).sender
        except ConfigurationError as error:
            return self._refuse(name, error.detail)

    def client(self, name: str) -> HubClient | None:
        """The client of a hub; None where its settings are wrong, which is logged once."""
        return None if isinstance(self.sender(name), Outcome) else self.named(name).client

    def close(self) -> None:
        """Close all connections."""
        for hub in self._built.values():
            hub.wire.close()

    def _refuse(self, name: str, reason: str) -> Outcome:
        with self._lock:
            known = self._refusals.get(name)
            refusal = known or Outcome(OutcomeKind.MISCONFIGURED, reason, code=HUB_NOT_USABLE)
            self._refusals[name] = refusal
        if known is None:
            telemetry.log(logging.CRITICAL, "misconfigured", code=HUB_NOT_USABLE, hub=name, remedy=reason)
        return refusal
