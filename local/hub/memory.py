"""What the simulated hub decides about a request, and all that it remembers. No network."""

import threading
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from local.hub.checks import (
    AccessRule,
    DirectSend,
    HubConfig,
    HubRequest,
    Refusal,
    check_direct_send,
    tracking_id,
)
from local.hub.control_client import Attempt, Connections, ReceivedPush, Summary
from local.hub.faults import NO_FAULT, Ending, Fault, FaultOrders

DEVELOPMENT_HUB = HubConfig(
    namespace="localhub",
    hub_name="calls",
    rules={
        "DefaultFullSharedAccessSignature": AccessRule(
            key="for-development-only=", rights=frozenset({"Listen", "Manage", "Send"})
        ),
        "DefaultListenSharedAccessSignature": AccessRule(
            key="for-development-only-too=", rights=frozenset({"Listen"})
        ),
    },
)

_TOO_LONG = Refusal(413, "the body is larger than anything that could be a push")


@dataclass(frozen=True)
class Turn:
    """What the hub does about one request."""

    verdict: DirectSend | Refusal
    fault: Fault | None
    tracking_id: str
    delay_seconds: float


class Simulator:
    """Judges requests, plays the ordered faults and remembers it all. Thread-safe.

    It outlives the server around it. Memory is bounded: pushes with their bodies are kept for the last
    ``keep`` only, attempts for ten times as many; the counts in ``summary`` are complete.
    """

    def __init__(
        self,
        config: HubConfig = DEVELOPMENT_HUB,
        *,
        delay_seconds: float = 0.0,
        keep: int = 5_000,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock``: unix seconds, also the one that tokens expire by; ``seed``: of the faults' dice."""
        self.config = config
        self._clock = clock
        self._changed = threading.Condition()  # its lock is re-entrant and guards everything below
        self._delay_seconds = delay_seconds
        self._faults = FaultOrders(Random(seed))  # noqa: S311 - dice, not keys
        self._pushes: deque[ReceivedPush] = deque(maxlen=keep)
        self._attempts: deque[Attempt] = deque(maxlen=10 * keep)
        self._sequence = 0
        self._connections = Connections(open=0, total=0)
        self._start_counting()

    def _start_counting(self) -> None:
        self._accepted = 0
        self._refused = 0
        self._by_handle: Counter[str] = Counter()
        self._by_call: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._results: defaultdict[str, Counter[str]] = defaultdict(Counter)

    # --- for tests and the control API

    def pushes(self, since: int = 0) -> list[ReceivedPush]:
        """Accepted pushes with a sequence number above ``since``, oldest first."""
        with self._changed:
            return [push for push in self._pushes if push.sequence > since]

    def attempts(self, device_handle: str | None = None) -> list[Attempt]:
        """Requests to send, oldest first; of one device if it is named."""
        with self._changed:
            return [each for each in self._attempts if device_handle in {None, each.device_handle}]

    def summary(self) -> Summary:
        """A copy of the counts."""
        with self._changed:
            return Summary(
                accepted=self._accepted,
                refused=self._refused,
                handles=dict(self._by_handle),
                calls={call: dict(handles) for call, handles in self._by_call.items()},
                attempts={handle: dict(results) for handle, results in self._results.items()},
                connections=self._connections,
            )

    def forget(self) -> None:
        """Forgets pushes, attempts and counts; sequence numbers go on, faults and latency stay."""
        with self._changed:
            self._pushes.clear()
            self._attempts.clear()
            self._start_counting()

    def add_fault(self, fault: Fault) -> None:
        """Orders a fault, behind those already ordered."""
        with self._changed:
            self._faults.add(fault)

    def faults(self) -> list[Fault]:
        """The orders that are still to strike, with how often."""
        with self._changed:
            return self._faults.active()

    def clear_faults(self) -> None:
        """Back to a healthy hub; what a black hole has swallowed stays swallowed."""
        with self._changed:
            self._faults.clear()

    def set_latency(self, seconds: float) -> None:
        """How long the hub takes over every request from now on."""
        with self._changed:
            self._delay_seconds = seconds

    def latency(self) -> float:
        """What the hub takes over every request, in seconds."""
        with self._changed:
            return self._delay_seconds

    def wait_until(self, reached: Callable[["Simulator"], bool], timeout: float = 10.0) -> None:
        """Blocks until ``reached(self)``, asked again on every change; TimeoutError after ``timeout`` s."""
        with self._changed:
            if not self._changed.wait_for(lambda: reached(self), timeout):
                raise TimeoutError(f"not reached within {timeout} s")

    def wait_for_pushes(self, count: int, timeout: float = 10.0) -> list[ReceivedPush]:
        """Blocks until ``count`` pushes were accepted since they were last forgotten."""
        self.wait_until(lambda hub: hub._accepted >= count, timeout)  # noqa: SLF001 - itself
        return self.pushes()

    # --- for the server

    def receive(self, request: HubRequest) -> Turn:
        """Judges a request, picks its fault and notes the attempt. A fault never hides a refusal."""
        verdict = check_direct_send(request, self.config, self._clock())
        with self._changed:
            fault = self._faults.strike(verdict.device_handle) if isinstance(verdict, DirectSend) else None
            return self._noted(verdict, fault, request.headers)

    def receive_overlong(self, headers: Mapping[str, str]) -> Turn:
        """A body so long that it was not even read."""
        with self._changed:
            return self._noted(_TOO_LONG, None, headers)

    def accept(self, push: DirectSend, tracking: str) -> ReceivedPush:
        """The phone rings."""
        with self._changed:
            self._sequence += 1
            received = ReceivedPush(
                sequence=self._sequence,
                device_handle=push.device_handle,
                format=push.format,
                headers=push.headers,
                body=push.body,
                call_id=push.call_id,
                received_at=self._clock(),
                tracking_id=tracking,
                notification_id=str(uuid.uuid4()),
            )
            self._pushes.append(received)
            self._accepted += 1
            self._by_handle[push.device_handle] += 1
            if push.call_id is not None:
                self._by_call[push.call_id][push.device_handle] += 1
            self._changed.notify_all()
            return received

    def count_connection(self, *, opened: int = 0, closed: int = 0) -> None:
        """Connections that carry sends."""
        with self._changed:
            now = self._connections
            self._connections = Connections(open=now.open + opened - closed, total=now.total + opened)
            self._changed.notify_all()

    def _noted(self, verdict: DirectSend | Refusal, fault: Fault | None, headers: Mapping[str, str]) -> Turn:
        refusal = verdict if isinstance(verdict, Refusal) else None
        tracking = tracking_id(headers) or str(uuid.uuid4())
        attempt = Attempt(
            device_handle=headers.get("servicebusnotification-devicehandle"),
            status=refusal.status if refusal else _answered_status(fault),
            fault=fault.kind if fault else None,
            reason=refusal.reason if refusal else None,
            tracking_id=tracking,
            received_at=self._clock(),
            monotonic=time.monotonic(),
            call_id=verdict.call_id if isinstance(verdict, DirectSend) else None,
        )
        self._attempts.append(attempt)
        self._refused += refusal is not None
        self._results[attempt.device_handle or ""][attempt.result] += 1
        self._changed.notify_all()
        return Turn(verdict, fault, tracking, self._delay_seconds + (fault.delay_seconds if fault else 0.0))


def _answered_status(fault: Fault | None) -> int | None:
    effect = fault.effect if fault else NO_FAULT
    if effect.ending is not Ending.ANSWER:
        return None
    return fault.status if fault and fault.status else 201
