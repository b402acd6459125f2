"""One invocation's hold on an event: results are written before any wait, and nothing is sent without it."""

import logging
from typing import Protocol

from common import telemetry
from common.clock import Clock
from models.errors import ConfigurationError, DatabaseUnavailableError
from models.push import DeviceResult
from push.ledger import Lease, Ledger

CLOCKS_AGREE_WITHIN_SECONDS = 1.0
"""Whoever takes a lease over goes by its own clock, so a send has to end this long before the lease does."""

_UNWRITTEN = (DatabaseUnavailableError, ConfigurationError)


class Hold(Protocol):
    """All that the fan-out wants to know of the lease."""

    @property
    def send_by(self) -> float:
        """Monotonic time after which a send could outlive the lease."""
        ...

    def renew_for_a_send(self) -> bool:
        """Make sure that a send which starts now ends within the lease; False if nothing may be sent."""
        ...

    def note(self, registration_id: str, result: DeviceResult) -> None:
        """Keep a result until the next `save`."""
        ...

    def save(self) -> None:
        """Write down what has been noted."""
        ...


class LeaseKeeper:
    """Keeps a lease alive for one invocation. `send_by` may be read from any thread."""

    def __init__(self, ledger: Ledger, lease: Lease, clock: Clock, longest_send_seconds: float) -> None:
        """Take the lease as it was just granted."""
        self._ledger = ledger
        self._lease = lease
        self._clock = clock
        self._longest_send_seconds = longest_send_seconds
        self._unsaved: dict[str, DeviceResult] = {}
        self._lost = False
        self._send_by = self._latest_start()

    @property
    def send_by(self) -> float:
        """Monotonic time after which a send could outlive the lease."""
        return self._send_by

    @property
    def lost(self) -> bool:
        """True if somebody else has taken the event over, or if it cannot be told."""
        return self._lost

    def renew_for_a_send(self) -> bool:
        """Make sure that a send which starts now ends within the lease; False if nothing may be sent."""
        if not self._lost and self._clock.monotonic() > self._send_by:
            try:
                self._hold(self._ledger.renew(self._lease, self._clock.now()))
            except _UNWRITTEN as error:
                self._lost = True
                telemetry.log(logging.WARNING, "lease_not_renewed", code=error.code, detail=error.detail)
        return not self._lost

    def note(self, registration_id: str, result: DeviceResult) -> None:
        """Keep a result until the next `save`."""
        self._unsaved[registration_id] = result

    def save(self) -> None:
        """Write down what has been noted; a failure leaves it for the next time."""
        if not self._unsaved or self._lost:
            return
        try:
            self._hold(self._ledger.record(self._lease, self._unsaved, self._clock.now()))
        except _UNWRITTEN as error:
            telemetry.log(logging.WARNING, "ledger_not_written", code=error.code, detail=error.detail)
        else:
            self._unsaved.clear()

    def finish(self) -> None:
        """Close the event. If only this last write fails the event counts as done all the same."""
        try:
            self._ledger.finish(self._lease, self._unsaved)
        except _UNWRITTEN as error:
            telemetry.log(logging.WARNING, "ledger_not_written", code=error.code, detail=error.detail)

    def release(self) -> None:
        """Leave the rest to the event's next delivery; a lease not given back runs out by itself."""
        try:
            self._ledger.release(self._lease, self._unsaved, self._clock.now())
        except _UNWRITTEN as error:
            telemetry.log(logging.WARNING, "ledger_not_written", code=error.code, detail=error.detail)

    def _hold(self, lease: Lease | None) -> None:
        if lease is None:
            self._lost = True
            telemetry.log(logging.WARNING, "lease_lost", event_id=self._lease.key.event_id)
        else:
            self._lease = lease
            self._send_by = self._latest_start()

    def _latest_start(self) -> float:
        left = (self._lease.until - self._clock.now()).total_seconds()
        return self._clock.monotonic() + left - self._longest_send_seconds - CLOCKS_AGREE_WITHIN_SECONDS
