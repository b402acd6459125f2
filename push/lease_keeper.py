"""One invocation's lease on an event: results are written before any wait, and every send is bounded by
it."""

import logging
from collections.abc import Callable

from common import telemetry
from common.clock import Clock
from common.patience import patiently
from models.errors import ConfigurationError, DatabaseUnavailableError, ServiceError
from models.push import DeviceResult
from push.ledger import Lease, Ledger

CLOCKS_AGREE_WITHIN_SECONDS = 1.0
"""Another instance takes a lease over by its own clock, so a send ends this long before the lease does."""

SHORTEST_SEND_SECONDS = 0.25
"""With less time than this left of the lease, it is renewed before a send."""

_UNWRITTEN = (DatabaseUnavailableError, ConfigurationError)


class LeaseKeeper:
    """Keeps a lease for one invocation. `send_until` may be read from any thread."""

    def __init__(
        self, ledger: Ledger, lease: Lease, clock: Clock, longest_send_seconds: float, write_until: float
    ) -> None:
        """Take the lease as it was just granted; `write_until` is the monotonic end of the invocation."""
        self._ledger = ledger
        self._lease = lease
        self._clock = clock
        self._longest_send_seconds = longest_send_seconds
        self._write_until = write_until
        self._unsaved: dict[str, DeviceResult] = {}
        self._lost = False
        self._sent_since_renewal = False
        self._send_until = self._end_of_lease()

    @property
    def send_until(self) -> float:
        """Monotonic time at which every send must have ended."""
        return self._send_until

    @property
    def lost(self) -> bool:
        """Another invocation has taken the event over."""
        return self._lost

    def prepare_send(self) -> bool:
        """Have time for a send that starts now; False if nothing may be sent.

        A send is bounded by what is left of the lease. The lease is renewed where that is less than a send
        may take, but never twice without a send between: with a slow database, renewing would use up the
        time.
        """
        left = self._send_until - self._clock.monotonic()
        is_short = left < self._longest_send_seconds and self._sent_since_renewal
        if not self._lost and (is_short or left < SHORTEST_SEND_SECONDS):
            self._renew()
        self._sent_since_renewal = True
        return not self._lost and self._send_until > self._clock.monotonic()

    def note(self, registration_id: str, result: DeviceResult) -> None:
        """Keep a result until the next `save`."""
        self._unsaved[registration_id] = result

    def save(self) -> None:
        """Write down what has been noted, which renews the lease; a failure leaves it for the next time."""
        if not self._unsaved or self._lost:
            return
        try:
            self._keep(self._ledger.record(self._lease, self._unsaved, self._clock.now()))
        except _UNWRITTEN as error:
            self._warn("ledger_not_written", error)
        else:
            self._unsaved.clear()

    def finish(self) -> None:
        """Close the event. If only this last write fails, the event counts as done all the same.

        It is tried until the invocation ends: what is not written is rung again by a duplicate of the event.
        """
        self._write_last(lambda: self._ledger.finish(self._lease, self._unsaved))

    def release(self) -> None:
        """Leave the rest to the event's next delivery; a lease that is not given back runs out by itself."""
        self._write_last(lambda: self._ledger.release(self._lease, self._unsaved, self._clock.now()))

    def _write_last(self, write: Callable[[], None]) -> None:
        try:
            patiently(write, self._clock, self._write_until)
        except _UNWRITTEN as error:
            self._warn("ledger_not_written", error)
            return
        if self._unsaved and self._clock.monotonic() > self._send_until:
            # Another delivery may have taken over without knowing what has rung.
            self._warn("ledger_written_late")

    def _renew(self) -> None:
        try:
            self._keep(self._ledger.renew(self._lease, self._clock.now()))
        except _UNWRITTEN as error:
            # What is left of the lease is still this invocation's.
            self._warn("lease_not_renewed", error)

    def _keep(self, lease: Lease | None) -> None:
        if lease is None:
            self._lost = True
            self._warn("lease_lost")
        else:
            self._lease = lease
            self._send_until = self._end_of_lease()
            self._sent_since_renewal = False

    def _warn(self, event: str, error: ServiceError | None = None) -> None:
        more = {"code": error.code, "detail": error.detail} if error else {}
        telemetry.log(logging.WARNING, event, event_id=self._lease.key.event_id, **more)

    def _end_of_lease(self) -> float:
        left = (self._lease.until - self._clock.now()).total_seconds()
        return self._clock.monotonic() + left - CLOCKS_AGREE_WITHIN_SECONDS
