"""What this process has lately met of the services that it depends on."""

from collections.abc import Callable
from dataclasses import dataclass

from push.gone import GoneWatch
from push.grace import Grace


@dataclass(frozen=True, slots=True)
class HubWatch:
    """Of one hub."""

    grace: Grace
    gone: GoneWatch


class ServiceWatch:
    """The database, and each hub. Safe to share between threads."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` tells seconds and never runs backwards."""
        self._monotonic = monotonic
        self.database = Grace(monotonic)
        self._hubs: dict[str, HubWatch] = {}

    def hub(self, name: str) -> HubWatch:
        """What was met of a hub; its name is one of the settings."""
        known = self._hubs.get(name)
        if known is None:
            # Of two threads that come here at once, one adds it and both get that one.
            known = self._hubs.setdefault(
                name, HubWatch(Grace(self._monotonic), GoneWatch(self._monotonic, name))
            )
        return known
