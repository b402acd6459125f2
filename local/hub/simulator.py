"""The simulated hub's decisions and its records. No network."""

import secrets
import threading
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from local.hub.check import Refusal
from local.hub.checks import NO_SUCH_HUB, check_direct_send
from local.hub.config import DEVELOPMENT_HUB, HubConfig
from local.hub.direct_send import DirectSend
from local.hub.faults import NO_FAULT, ActiveFaults, Ending, Fault
from local.hub.hub_directory import HubDirectory
from local.hub.platforms import Platforms
from local.hub.records import (
    Attempt,
    Connections,
    DeviceOutcome,
    PlatformOutcome,
    ReceivedPush,
    Summary,
)
from local.hub.service_request import HubRequest, tracking_id

_TOO_LONG = Refusal(413, "the body is larger than any push may be")


@dataclass(frozen=True)
class Decision:
    """What the hub does with one request."""

    verdict: DirectSend | Refusal
    fault: Fault | None
    tracking_id: str
    delay_seconds: float


class Simulator:
    """Checks requests, applies faults and records both. Thread-safe.

    It lives longer than the server that serves it. Memory is bounded: the last `keep` pushes are kept with
    their bodies, and ten times as many attempts and failed pushes; the counts of `summary` are complete.
    """

    def __init__(
        self,
        *hubs: HubConfig,
        delay_seconds: float = 0.0,
        keep: int = 5_000,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the configuration of one or several hubs.

        Args:
            *hubs: each of another name; DEVELOPMENT_HUB if there is none.
            delay_seconds: delay before every answer.
            keep: number of pushes that are kept.
            seed: for faults with a probability.
            clock: Unix seconds; also decides whether a SAS token has expired.
        """
        self.hubs = HubDirectory(*(hubs or (DEVELOPMENT_HUB,)))
        self.container_key = secrets.token_urlsafe()
        """Signs the URLs of the feedback containers."""
        self._clock = clock
        self._changed = threading.Condition()  # its lock is re-entrant and guards everything below
        self._delay_seconds = delay_seconds
        self._faults = ActiveFaults(Random(seed))  # noqa: S311 - not for cryptography
        self._pushes: deque[ReceivedPush] = deque(maxlen=keep)
        self._attempts: deque[Attempt] = deque(maxlen=10 * keep)
        self._platforms = Platforms(10 * keep)
        self._sequence = 0
        self._connections = Connections(open=0, total=0)
        self._reset_counts()

    def _reset_counts(self) -> None:
        self._accepted = 0
        self._refused = 0
        self._by_handle: Counter[str] = Counter()
        self._by_call: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._events: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._results: defaultdict[str, Counter[str]] = defaultdict(Counter)

    # --- for tests and the control API

    def pushes(self, since: int = 0) -> list[ReceivedPush]:
        """Accepted pushes with a sequence number above `since`, oldest first."""
        with self._changed:
            return [push for push in self._pushes if push.sequence > since]

    def attempts(self, device_handle: str | None = None) -> list[Attempt]:
        """Requests to send, oldest first; those for one device if it is given."""
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
                events={handle: dict(events) for handle, events in self._events.items()},
                attempts={handle: dict(results) for handle, results in self._results.items()},
                connections=self._connections,
            )

    def forget(self) -> None:
        """Delete pushes, attempts and counts; the feedback, sequence numbers, faults and latency stay."""
        with self._changed:
            self._pushes.clear()
            self._attempts.clear()
            self._reset_counts()

    def add_fault(self, fault: Fault) -> None:
        """Add a fault after the existing ones."""
        with self._changed:
            self._faults.add(fault)

    def faults(self) -> list[Fault]:
        """The active faults, with the number of applications left."""
        with self._changed:
            return self._faults.active()

    def clear_faults(self) -> None:
        """Remove every fault; requests that are held by a black hole stay unanswered."""
        with self._changed:
            self._faults.clear()

    def set_latency(self, seconds: float) -> None:
        """Delay every answer from now on."""
        with self._changed:
            self._delay_seconds = seconds

    def latency(self) -> float:
        """The delay before every answer, in seconds."""
        with self._changed:
            return self._delay_seconds

    def set_outcome(self, device_handle: str, outcome: PlatformOutcome) -> None:
        """Let the platform make this of every further push to a device, through any hub."""
        with self._changed:
            self._platforms.set_outcome(device_handle, outcome)

    def outcomes(self) -> list[DeviceOutcome]:
        """Devices whose pushes do not succeed."""
        with self._changed:
            return self._platforms.outcomes()

    def clear_outcomes(self) -> None:
        """Let every push succeed."""
        with self._changed:
            self._platforms.clear_outcomes()

    def set_telemetry_delay(self, seconds: float) -> None:
        """Let telemetry and feedback know of a push so long after it was accepted."""
        with self._changed:
            self._platforms.report_delay_seconds = seconds

    def telemetry_delay(self) -> float:
        """The delay of telemetry and feedback, in seconds."""
        with self._changed:
            return self._platforms.report_delay_seconds

    def wait_until(self, reached: Callable[["Simulator"], bool], timeout: float = 10.0) -> None:
        """Block until `reached(self)`, checked after every change; TimeoutError after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: reached(self), timeout):
                raise TimeoutError(f"not reached within {timeout} s")

    def wait_for_pushes(self, count: int, timeout: float = 10.0) -> list[ReceivedPush]:
        """Block until `count` pushes were accepted since they were last deleted."""
        self.wait_until(lambda hub: hub._accepted >= count, timeout)  # noqa: SLF001 - its own attribute
        return self.pushes()

    # --- for the server

    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    def receive(self, request: HubRequest) -> Decision:
        """Check a request, choose its fault and record the attempt. A refused request takes no fault."""
        hub = self.hubs.addressed(request)
        verdict = check_direct_send(request, hub, self._clock()) if hub else NO_SUCH_HUB
        with self._changed:
            fault = None
            if isinstance(verdict, DirectSend):
                fault = self._faults.take(verdict.hub, verdict.device_handle)
            return self._record(verdict, fault, request.headers, hub.hub_name if hub else None)

    def reported_push(self, hub: str, notification_id: str) -> ReceivedPush | None:
        """The push that telemetry knows under this id."""
        with self._changed:
            found = (push for push in self._pushes if push.notification_id == notification_id)
            known = self._platforms.reported((push for push in found if push.hub == hub), self._clock())
            return next(iter(known), None)

    def reported_failures(self, hub: str) -> list[ReceivedPush]:
        """Pushes through a hub, its name in any case, that the feedback names; oldest first."""
        with self._changed:
            return self._platforms.reported_failures(hub, self._clock())

    def receive_overlong(self, headers: Mapping[str, str]) -> Decision:
        """Record a request whose body is so long that it was not read."""
        with self._changed:
            return self._record(_TOO_LONG, None, headers, None)

    def accept(self, push: DirectSend, tracking: str) -> ReceivedPush:
        """Record an accepted push."""
        with self._changed:
            self._sequence += 1
            received = ReceivedPush(
                sequence=self._sequence,
                device_handle=push.device_handle,
                format=push.format,
                headers=push.headers,
                body=push.body,
                call_id=push.call_id,
                event=push.event,
                received_at=self._clock(),
                tracking_id=tracking,
                notification_id=str(uuid.uuid4()),
                hub=push.hub,
                outcome=self._platforms.outcome_for(push.device_handle),
            )
            self._pushes.append(received)
            self._platforms.note(received)
            self._accepted += 1
            self._by_handle[push.device_handle] += 1
            self._events[push.device_handle][push.event or ""] += 1
            if push.call_id is not None:
                self._by_call[push.call_id][push.device_handle] += 1
            self._changed.notify_all()
            return received

    def count_connection(self, *, opened: int = 0, closed: int = 0) -> None:
        """Count connections that carry sends."""
        with self._changed:
            now = self._connections
            self._connections = Connections(open=now.open + opened - closed, total=now.total + opened)
            self._changed.notify_all()

    def _record(
        self, verdict: DirectSend | Refusal, fault: Fault | None, headers: Mapping[str, str], hub: str | None
    ) -> Decision:
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
            hub=hub,
        )
        self._attempts.append(attempt)
        self._refused += refusal is not None
        self._results[attempt.device_handle or ""][attempt.result] += 1
        self._changed.notify_all()
        delay_seconds = self._delay_seconds + (fault.delay_seconds if fault else 0.0)
        return Decision(verdict, fault, tracking, delay_seconds)


def _answered_status(fault: Fault | None) -> int | None:
    effect = fault.effect if fault else NO_FAULT
    if effect.ending is not Ending.ANSWER:
        return None
    return fault.status if fault and fault.status else 201
