"""One call's pushes, side by side, each tried again while that makes sense.

One slow or dead device neither delays nor fails another: sends run on a bounded pool, whose threads never
sleep through a back-off; the invocation's own thread does the waiting.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import Protocol

from common import telemetry
from common.clock import Clock
from models.device import DeviceRegistration
from models.push import DeviceResult, Outcome, OutcomeKind, Push, Unanswered
from push.lease_keeper import Hold
from push.retry import Try, seconds_to_wait

_STRAGGLERS_SECONDS = 0.05
"""Devices that answer together are written down together."""


_OVERTIME_SECONDS = 1.0
"""Sends end by time-outs that are cut to the deadline. One that hangs where none reaches, such as a name
look-up, is left behind after this long, so that the invocation ends in time."""


class Sender(Protocol):
    """All that delivery wants to know of the hub."""

    @property
    def longest_send_seconds(self) -> float:
        """How long one send can take."""
        ...

    def send(
        self, push: Push, device_token: str, time_left: float, *, fresh_connection: bool = False
    ) -> Outcome:
        """Send a push to one device, once, within the seconds that are left."""
        ...


@dataclass(slots=True)
class Ring:
    """One device on the way to its ring."""

    device: DeviceRegistration
    push: Callable[[], Push]
    """Builds the push; it says how long the call still rings, so each try has one of its own."""
    attempts: int = 0
    outcome: Outcome | None = None
    """The last one; None before the first try has ended."""
    may_have_rung: bool = False
    due: float = 0.0
    """Monotonic time of the next try."""


@dataclass(frozen=True, slots=True)
class FanOutTools:
    """What every fan-out of this process uses."""

    sender: Sender
    pool: Executor
    clock: Clock
    chance: Callable[[], float]
    """A random number, at least 0 and less than 1."""


class FanOut:
    """Rings the devices of one call."""

    def __init__(self, tools: FanOutTools, hold: Hold, deadline: float, age_ms: Callable[[], int]) -> None:
        """Take what belongs to this call.

        Args:
            tools: shared with all calls.
            hold: on the event; nothing is sent without it.
            deadline: monotonic time after which nothing is sent.
            age_ms: tells the age of the call, in milliseconds.
        """
        self._tools = tools
        self._hold = hold
        self._deadline = deadline
        self._age_ms = age_ms
        self._running: dict[Future[Outcome | None], Ring] = {}
        self._waiting: list[Ring] = []

    def run(self, rings: Sequence[Ring]) -> None:
        """Send to every device until it is settled or the time is up; each ring then has its last outcome."""
        # A single device is sent to from this very thread: a hop to another one costs time.
        submit = self._tools.pool.submit if len(rings) > 1 else _run_here
        self._waiting = list(rings)
        while self._waiting or self._running:
            self._start_due(submit)
            if self._running:
                self._collect()
            if self._running or self._waiting:
                self._hold.save()
            if self._waiting and not self._running:
                self._tools.clock.sleep(max(0.0, self._until_next_due()))

    def _start_due(self, submit: Callable[..., "Future[Outcome | None]"]) -> None:
        now = self._tools.clock.monotonic()
        due = [ring for ring in self._waiting if ring.due <= now]
        if now >= self._deadline or (due and not self._hold.renew_for_a_send()):
            self._waiting.clear()
            for future in list(self._running):
                if future.cancel():
                    del self._running[future]
            return
        for ring in due:
            self._waiting.remove(ring)
            self._running[submit(self._send, ring)] = ring

    def _send(self, ring: Ring) -> Outcome | None:
        """One try; None if it came to its turn too late to be sent under the lease or at all."""
        now = self._tools.clock.monotonic()
        if now > self._hold.send_by or now >= self._deadline:
            return None
        try:
            return self._tools.sender.send(
                ring.push(),
                ring.device.device_token,
                self._deadline - now,
                fresh_connection=ring.attempts > 0,
            )
        except Exception as error:  # noqa: BLE001 - what goes wrong with one device is not for the others
            device = ring.device.registration_id[:16]
            telemetry.log(logging.ERROR, "send_failed", device=device, error=type(error).__name__)
            return Outcome(
                OutcomeKind.TRANSIENT,
                "an error of this app",
                code="internal_error",
                unanswered=Unanswered.LOST,
            )

    def _collect(self) -> None:
        done = {future for future in self._running if future.done()}
        running = self._running.keys() - done
        if not done:
            timeout = self._until_next_due() if self._waiting else self._until_end()
            done, running = wait(self._running, timeout=timeout, return_when=FIRST_COMPLETED)
        if not done and self._tools.clock.monotonic() >= self._deadline + _OVERTIME_SECONDS:
            telemetry.log(logging.ERROR, "sends_abandoned", devices=len(running))
            self._running.clear()
        if done and running:
            done, _ = wait(self._running, timeout=_STRAGGLERS_SECONDS)
        for future in done:
            self._take(self._running.pop(future), future.result())

    def _take(self, ring: Ring, outcome: Outcome | None) -> None:
        now = self._tools.clock.monotonic()
        if outcome is None:
            ring.due = now
            self._waiting.append(ring)
            return
        ring.attempts += 1
        ring.outcome = outcome
        attempt = Try(ring.attempts, outcome, ring.may_have_rung)
        ring.may_have_rung = ring.may_have_rung or outcome.may_have_rung
        pause = seconds_to_wait(attempt, self._deadline - now, self._tools.chance())
        if pause is None:
            result = DeviceResult(outcome, ring.attempts, self._age_ms())
            self._hold.note(ring.device.registration_id, result)
        else:
            ring.due = now + pause
            self._waiting.append(ring)

    def _until_next_due(self) -> float:
        earliest = min(ring.due for ring in self._waiting)
        return max(0.0, min(earliest, self._deadline) - self._tools.clock.monotonic())

    def _until_end(self) -> float:
        left = self._deadline - self._tools.clock.monotonic()
        return left if left > 0 else max(0.0, left + _OVERTIME_SECONDS)


def _run_here(send: Callable[[Ring], Outcome | None], ring: Ring) -> "Future[Outcome | None]":
    future: Future[Outcome | None] = Future()
    future.set_result(send(ring))
    return future
