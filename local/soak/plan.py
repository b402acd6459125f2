"""What a run of the soak does (pure)."""

from collections.abc import Iterator
from dataclasses import dataclass

from local.hub.faults import Fault
from models.platform import Platform

SETTINGS = {
    "HubReadTimeoutSeconds": "1",
    "HubConnectTimeoutSeconds": "1",
    "InvocationTimeoutSeconds": "10",
    "StopRinging": "fcmv1,windows,browser",
    "VisibleNotifications": "missed",
}
"""Time-outs are shorter than in production, so that a run has more faults in less time."""

STOPPED = frozenset({Platform.FCM_V1, Platform.WINDOWS, Platform.BROWSER})
"""As in SETTINGS."""

PAUSE_SECONDS = (0.05, 2.0)
"""Minimum and maximum time between two steps of a call, such as its ring and the answer."""

REDELIVERY_SECONDS = (1.0, 3.0, 6.0, 10.0, 10.0, 10.0)
"""Event Grid's 10 s, 30 s, 1 min, … divided by ten, as long as a call rings."""

HUB_FAULTS: tuple[tuple[Fault, int], ...] = (
    (Fault(kind="status", status=503), 4),
    (Fault(kind="status", status=500), 2),
    (Fault(kind="status", status=408), 1),
    (Fault(kind="status", status=429, retry_after="1"), 2),
    (Fault(kind="status", status=429, retry_after="30"), 4),
    (Fault(kind="status", status=403, retry_after="1"), 1),
    (Fault(kind="slow", delay_seconds=0.3), 2),
    (Fault(kind="drop"), 3),
    (Fault(kind="black_hole"), 2),
    (Fault(kind="accept_then_drop"), 1),
    (Fault(kind="accept_then_black_hole"), 1),
)
"""Faults of single requests, and the share of each. A phone must ring after every one of them."""


@dataclass(frozen=True)
class Plan:
    """The parameters of a run."""

    events: int = 10_000
    seed: int = 1
    fault_rate: float = 0.05
    """Share of the requests to the hub that fail."""
    duplicate_rate: float = 0.2
    """Share of the events that are delivered twice, half of them at the same time, half of them later."""
    network_faults: bool = True
    """Let the network between workers, hub and database fail."""
    concurrency: int = 32
    """Concurrent deliveries."""
    workers: int = 2
    limit_seconds: float = 900.0
    """After this time no new call is placed, and the run has failed."""

    def hub_faults(self) -> Iterator[Fault]:
        """The faults for the simulator, which tries one after the other until one applies.

        Each is given the probability to apply if none before it has applied.
        """
        whole, left = sum(share for _, share in HUB_FAULTS), 1.0
        for fault, share in HUB_FAULTS:
            probability = self.fault_rate * share / whole
            yield fault.model_copy(update={"probability": probability / left})
            left -= probability
