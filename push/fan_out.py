"""One call's pushes, sent side by side, each tried again while that makes sense.

One slow or dead device neither delays nor fails another. Several devices are sent to by a thread of a pool,
which does nothing else; the invocation's own thread writes down what is known and waits through back-offs.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Protocol

from common import telemetry
from common.clock import Clock
from models.device import DeviceRegistration
from models.push import DeviceResult, Outcome, OutcomeKind, Push, Unanswered
from push.retry import Tries, seconds_to_wait
from push.side_by_side import SideBySide, Work, perform

_STRAGGLERS_SECONDS = 0.05
"""Devices whose sends end within this time of each other are written down together."""

_OVERTIME_SECONDS = 1.0
"""Sends end by time-outs that are cut to the deadline. One that hangs all the same is left behind after this
long, so that the invocation ends in time."""


_ABANDONED = Outcome(
    OutcomeKind.TRANSIENT, "the push hung, and was left behind", unanswered=Unanswered.TIMEOUT
)


class Sender(Protocol):
    """What delivery needs of a hub's client."""

    def sending(
        self, push: Push, device_token: str, time_left: float, *, fresh_connection: bool
    ) -> Work[Outcome]:
        """The sending of a push to one device, once, within the seconds that are left."""
        ...


class Senders(Protocol):
    """What delivery needs of the hubs."""

    def sender(self, name: str) -> Sender | Outcome:
        """What sends to the devices of a hub, or the outcome of every push to them."""
        ...


class Keeper(Protocol):
    """What a fan-out needs of the one that writes its results down: a lease's or a claim's keeper."""

    @property
    def send_until(self) -> float:
        """Monotonic time at which every send must have ended."""
        ...

    def prepare_send(self) -> bool:
        """Have time for a send that starts now; False if nothing may be sent."""
        ...

    def note(self, registration_id: str, result: DeviceResult) -> None:
        """Keep a result until the next `save`."""
        ...

    def save(self) -> None:
        """Write down what has been noted."""
        ...


class Watcher(Protocol):
    """What decides on repetitions, and may act between the sends, in the invocation's own thread."""

    @property
    def repeats_unanswered(self) -> bool:
        """Send again after a try that may have arrived."""
        ...

    def wrote(self, results: Mapping[str, DeviceResult]) -> None:
        """What became of these devices is written down; others are still tried."""
        ...

    def goes_on(self) -> bool:
        """Whether to send again to a device; if not, the rest is given up."""
        ...

    def pause(self, seconds: float, clock: Clock) -> bool:
        """Wait until the next try; False if there is to be none."""
        ...


class Unwatched:
    """Nothing happens between the sends."""

    repeats_unanswered = True

    def wrote(self, results: Mapping[str, DeviceResult]) -> None:
        """Nothing to do."""

    def goes_on(self) -> bool:
        """Always."""
        return True

    def pause(self, seconds: float, clock: Clock) -> bool:
        """Always."""
        clock.sleep(seconds)
        return True


UNWATCHED = Unwatched()


@dataclass(slots=True)
class DeviceSend:
    """The sending to one device, over all tries of this delivery."""

    device: DeviceRegistration
    push: Callable[[], Push]
    """Builds the push; it says how long the call still rings, so each try has one of its own."""
    tries: Tries = field(default_factory=Tries)
    outcome: Outcome | None = None
    """Of the last try; None before the first has ended."""
    due: float = 0.0
    """Monotonic time of the next try."""
    ends_at: float = float("inf")
    """Monotonic time after which nothing is sent to the device, where that is before the deadline of all."""


@dataclass(frozen=True, slots=True)
class FanOutTools:
    """What every fan-out of this process uses."""

    hubs: Senders
    sends: SideBySide
    clock: Clock
    jitter: Callable[[], float]
    """A random number, at least 0 and less than 1."""


class FanOut:
    """Sends one call's pushes."""

    def __init__(
        self,
        tools: FanOutTools,
        keeper: Keeper,
        deadline: float,
        age_ms: Callable[[], int],
        watcher: Watcher = UNWATCHED,
    ) -> None:
        """Take what belongs to this call.

        Args:
            tools: shared with all calls.
            keeper: decides whether anything may be sent, and writes down what became of it.
            deadline: monotonic time after which nothing is sent.
            age_ms: tells the age of the call, in milliseconds.
            watcher: decides on repetitions, and may act between the sends.
        """
        self._tools = tools
        self._keeper = keeper
        self._deadline = deadline
        self._age_ms = age_ms
        self._watcher = watcher
        self._settled: dict[str, DeviceResult] = {}
        """By registration id, of the devices that are tried no more."""
        self._running: dict[Future[Outcome | None], DeviceSend] = {}
        self._waiting: list[DeviceSend] = []

    def run(self, sends: Sequence[DeviceSend]) -> None:
        """Send to every device until it is settled or the time is up; each send then has its last outcome."""
        # With one device this thread sends: handing the work to another thread costs time.
        start = self._start_on_pool if len(sends) > 1 else self._start_here
        self._waiting = list(sends)
        while self._waiting or self._running:
            # Start the tries that are due, or give up what is left when the time or the lease is over.
            self._start_due(start)
            # Wait for the first running try to end, or until the next one is due.
            if self._running:
                self._collect()
            # Before any further wait, write down what is known: if this process dies, no device rings twice.
            if self._running or self._waiting:
                self._keeper.save()
                self._watcher.wrote(self._settled)
            if (
                self._waiting
                and not self._running
                and not self._watcher.pause(self._until_next_due(), self._tools.clock)
            ):
                self._waiting.clear()

    def _start_on_pool(self, sends: Sequence[DeviceSend]) -> None:
        self._running |= self._tools.sends.start(self._try, sends)

    def _start_here(self, sends: Sequence[DeviceSend]) -> None:
        for send in sends:
            self._take(send, perform(self._try(send)))

    def _start_due(self, start: Callable[[Sequence[DeviceSend]], None]) -> None:
        now = self._tools.clock.monotonic()
        due = [send for send in self._waiting if send.due <= now]
        if now >= self._deadline or (due and not self._may_send(due)):
            self._waiting.clear()
            for future in list(self._running):
                if future.cancel():
                    del self._running[future]
            return
        if due:
            self._waiting = [send for send in self._waiting if send.due > now]
            start(due)

    def _may_send(self, due: Sequence[DeviceSend]) -> bool:
        # A first push waits for no look.
        is_repeated = any(send.outcome is not None for send in due)
        return (not is_repeated or self._watcher.goes_on()) and self._keeper.prepare_send()

    def _try(self, send: DeviceSend) -> Work[Outcome | None]:
        """One try; None if its turn came too late to send anything."""
        ends_at = min(self._deadline, send.ends_at, self._keeper.send_until)
        time_left = ends_at - self._tools.clock.monotonic()
        if time_left <= 0:
            return None
        try:
            sender = self._tools.hubs.sender(send.device.hub)
            if isinstance(sender, Outcome):
                return sender
            return (
                yield from sender.sending(
                    send.push(),
                    send.device.device_token,
                    time_left,
                    fresh_connection=send.outcome is not None,
                )
            )
        except Exception as error:  # noqa: BLE001 - an error with one device must not touch the others
            device = send.device.registration_id[:16]
            telemetry.log(logging.ERROR, "send_failed", device=device, error=type(error).__name__)
            return Outcome(
                OutcomeKind.TRANSIENT,
                "an error of this app",
                code="internal_error",
                unanswered=Unanswered.LOST,
            )

    def _collect(self) -> None:
        """Take the results of tries that have ended; wait for the first one if none has."""
        done = {future for future in self._running if future.done()}
        running = self._running.keys() - done
        if not done:
            timeout = self._until_next_due() if self._waiting else self._until_end()
            done, running = wait(self._running, timeout=timeout, return_when=FIRST_COMPLETED)
        if not done and self._tools.clock.monotonic() >= self._deadline + _OVERTIME_SECONDS:
            begun = {future: send for future, send in self._running.items() if not future.cancel()}
            telemetry.log(logging.ERROR, "sends_abandoned", devices=len(begun))
            self._running = {}
            for send in begun.values():
                self._take(send, _ABANDONED)
        if done and running:
            done, _ = wait(self._running, timeout=_STRAGGLERS_SECONDS)
        for future in done:
            self._take(self._running.pop(future), future.result())

    def _take(self, send: DeviceSend, outcome: Outcome | None) -> None:
        """Note the outcome of a try, and plan the next one or none."""
        now = self._tools.clock.monotonic()
        if outcome is None:
            if now < send.ends_at:
                send.due = now
                self._waiting.append(send)
            return
        send.tries = send.tries.after(outcome)
        send.outcome = outcome
        time_left = min(self._deadline, send.ends_at) - now
        pause = seconds_to_wait(outcome, send.tries, time_left, self._tools.jitter())
        if outcome.unanswered is not None and not self._watcher.repeats_unanswered:
            pause = None
        # A try that may have rung unseen counts in later deliveries too, even if this process dies while it
        # waits.
        if pause is None or outcome.unanswered is not None:
            result = self._result(send, outcome)
            self._keeper.note(send.device.registration_id, result)
            if pause is None:
                self._settled[send.device.registration_id] = result
        if pause is not None:
            send.due = now + pause
            self._waiting.append(send)

    def results(self, sends: Sequence[DeviceSend]) -> dict[str, DeviceResult]:
        """What became of the devices that have been tried, by registration id."""
        return {
            name: self._settled.get(name) or self._result(send, send.outcome)
            for send in sends
            if send.outcome is not None
            for name in (send.device.registration_id,)
        }

    def _result(self, send: DeviceSend, outcome: Outcome) -> DeviceResult:
        return DeviceResult(
            outcome,
            send.tries.number,
            self._age_ms(),
            send.tries.unanswered,
            send.device.device_key,
            send.device.platform.value,
            send.device.hub,
        )

    def _until_next_due(self) -> float:
        earliest = min(send.due for send in self._waiting)
        return max(0.0, min(earliest, self._deadline) - self._tools.clock.monotonic())

    def _until_end(self) -> float:
        left = self._deadline - self._tools.clock.monotonic()
        return left if left > 0 else max(0.0, left + _OVERTIME_SECONDS)
