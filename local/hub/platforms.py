"""What the platforms make of accepted pushes, and what they report of it."""

from collections import deque
from collections.abc import Iterable

from local.hub.records import DeviceOutcome, PlatformOutcome, ReceivedPush


class Platforms:
    """Outcomes by device handle, and the pushes that failed. Not thread-safe: the owner must hold a lock."""

    def __init__(self, keep: int) -> None:
        """`keep`: number of failed pushes that are kept."""
        self.report_delay_seconds = 0.0
        """How long after it was accepted the hub knows what became of a push."""
        self._outcomes: dict[str, PlatformOutcome] = {}
        self._failed: deque[ReceivedPush] = deque(maxlen=keep)

    def outcome_for(self, device_handle: str) -> PlatformOutcome:
        """Of a push to this device."""
        return self._outcomes.get(device_handle, PlatformOutcome.SUCCESS)

    def set_outcome(self, device_handle: str, outcome: PlatformOutcome) -> None:
        """Of every further push to this device, through any hub."""
        self._outcomes.pop(device_handle, None)
        if outcome is not PlatformOutcome.SUCCESS:
            self._outcomes[device_handle] = outcome

    def outcomes(self) -> list[DeviceOutcome]:
        """Devices whose pushes do not succeed."""
        return [
            DeviceOutcome(device_handle=handle, outcome=outcome) for handle, outcome in self._outcomes.items()
        ]

    def clear_outcomes(self) -> None:
        """Let every push succeed."""
        self._outcomes.clear()

    def note(self, push: ReceivedPush) -> None:
        """Keep a push that failed."""
        if push.outcome is not PlatformOutcome.SUCCESS:
            self._failed.append(push)

    def reported(self, pushes: Iterable[ReceivedPush], now: float) -> list[ReceivedPush]:
        """Those of the pushes whose outcome is known at `now` (Unix seconds)."""
        return [push for push in pushes if push.received_at + self.report_delay_seconds <= now]

    def reported_failures(self, hub: str, now: float) -> list[ReceivedPush]:
        """Known failures of pushes through a hub, its name in any case; oldest first."""
        through = (push for push in self._failed if push.hub.lower() == hub.lower())
        return self.reported(through, now)
