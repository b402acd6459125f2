"""The hubs of a simulator."""

import re
import threading
from dataclasses import replace

from local.hub.config import HubConfig, Tier
from local.hub.service_request import HubRequest

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,259}")
_RESERVED = frozenset({"simulator", "simulator-blobs"})
"""Paths of the simulator's own."""


class HubDirectory:
    """Hubs by name, which is compared without case. Thread-safe."""

    def __init__(self, *hubs: HubConfig) -> None:
        """`hubs`: each of another name; ValueError for a name that no path can have."""
        for hub in hubs:
            if not _NAME.fullmatch(hub.hub_name) or hub.hub_name.lower() in _RESERVED:
                raise ValueError(
                    "a hub's name has letters, digits, dots, hyphens and underscores, and is not "
                    + " or ".join(sorted(_RESERVED))
                )
        self._lock = threading.Lock()
        self._hubs = {hub.hub_name.lower(): hub for hub in hubs}
        if len(self._hubs) != len(hubs):
            raise ValueError("two hubs have the same name")

    @property
    def first(self) -> HubConfig:
        """The hub that was given first."""
        return self.all()[0]

    def all(self) -> list[HubConfig]:
        """In the order in which they were given."""
        with self._lock:
            return list(self._hubs.values())

    def get(self, name: str) -> HubConfig:
        """The hub of this name; ValueError if there is none."""
        with self._lock:
            return self._get(name)

    def addressed(self, request: HubRequest) -> HubConfig | None:
        """The hub that a request's path names; None if there is no such hub."""
        with self._lock:
            return self._hubs.get(request.segments[0])

    def set_endpoint(self, endpoint: str) -> None:
        """Expect tokens for this `host:port` in place of the namespaces' hosts."""
        with self._lock:
            self._hubs = {name: replace(hub, endpoint=endpoint) for name, hub in self._hubs.items()}

    def set_tier(self, name: str, tier: Tier) -> None:
        """Change a hub's tier; ValueError if there is no such hub."""
        with self._lock:
            self._hubs[name.lower()] = replace(self._get(name), tier=tier)

    def _get(self, name: str) -> HubConfig:
        if name.lower() not in self._hubs:
            raise ValueError(f"there is no such hub; there is {', '.join(self._hubs)}")
        return self._hubs[name.lower()]
