"""What a fault of the world costs a call: one row each of the table in docs/reliability.md.

The test that produces a fault compares what it sees with the fault's row; `test_faults_table.py` compares the
rows with the document.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from models.device import DeviceRegistration
from tests.rig import Answer, Event, Instance


@dataclass(frozen=True, slots=True)
class FaultRow:
    """A fault, and what follows for a call. The fault lasts through the first delivery of its event, and is
    over before the second one, unless its name says otherwise."""

    fault: str
    statuses: tuple[int, ...] = (202, 202)
    """What Event Grid hears of each delivery of the event."""
    rings: tuple[int, ...] = (1, 1)
    """How often each phone has rung after each delivery."""
    tries: int | None = 1
    """Sends to each phone in the first delivery; None for as many as fit into its time."""

    def published_line(self) -> str:
        """The row of the published table."""
        heard = "acknowledge" if self.statuses[0] == 202 else "raise"
        tries = "until the time is up" if self.tries is None else self.tries
        return f"| {self.fault} | {tries} | {heard} | {self._when()} | {self.rings[-1]} |"

    def _when(self) -> str:
        if self.rings[0]:
            return "in the first delivery"
        return "with the redelivery" if self.rings[-1] else "not"


@dataclass(slots=True)
class Played:
    """An event that is delivered several times, and what could be seen from outside after each time."""

    app: Instance
    event: Event
    devices: Sequence[DeviceRegistration]
    rung: Callable[[DeviceRegistration], int] | None = None
    """How often a device has rung; by the simulator's count if left out."""
    statuses: list[int] = field(default_factory=list)
    rings: list[int] = field(default_factory=list)
    sends: list[int] = field(default_factory=list)
    """To each device, in each delivery."""
    _earlier_sends: int = 0

    def __post_init__(self) -> None:
        """Count what is sent from now on."""
        assert self.app.handler
        self._earlier_sends = len(self.app.sends.tokens)

    def deliver(self) -> Answer:
        """Deliver once more."""
        answer = self.app.deliver(self.event)
        self.statuses.append(answer.status)
        self.rings.append(_same(map(self.rung or self.app.rings, self.devices)))
        tokens = self.app.sends.tokens[self._earlier_sends :]
        self.sends.append(
            _same(tokens.count(device.device_token) for device in self.devices) - sum(self.sends)
        )
        return answer

    def check(self, row: FaultRow) -> None:
        """Compare with a row."""
        seen = FaultRow(row.fault, tuple(self.statuses), tuple(self.rings), self.sends[0])
        assert seen == row


def _same(counts: Iterable[int]) -> int:
    (count,) = set(counts)
    return count
