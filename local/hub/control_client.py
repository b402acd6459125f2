"""The simulator's control API as typed values: what it records, and a small client for it.

Importing this does not import the server, so that a demo can watch a simulator in another process.
"""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import requests
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from local.hub.faults import Fault, FaultKind


class _Shape(BaseModel):
    """Frozen; camelCase in JSON."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid", frozen=True
    )


class ReceivedPush(_Shape):
    """A push that the hub accepted. ``received_at``: unix seconds; ``headers``: never Authorization.

    ``sequence`` counts from 1 and goes on after the pushes are forgotten. ``call_id``: the payload's
    ``data.callId``, if it has one.
    """

    sequence: int
    device_handle: str
    format: str
    headers: Mapping[str, str]
    body: str
    call_id: str | None
    received_at: float
    tracking_id: str
    notification_id: str


class Attempt(_Shape):
    """A request to send, noted when its body was read, whatever became of it.

    ``status`` is what the hub decided to answer, ``None`` where a fault answers nothing at all; ``fault`` the
    kind that struck; ``reason`` why it was refused. ``received_at``: unix seconds; ``monotonic``: seconds of
    the hub's own clock, for differences.
    """

    device_handle: str | None
    status: int | None
    fault: FaultKind | None
    reason: str | None
    tracking_id: str
    received_at: float
    monotonic: float
    call_id: str | None = None
    """The payload's ``data.callId``, of a request that was not refused."""

    @property
    def result(self) -> str:
        """The status as text, or the kind of the fault that left the request without one."""
        return str(self.status) if self.status is not None else str(self.fault)


class Connections(_Shape):
    """Connections that carried at least one request to send; those of the control API do not count."""

    open: int
    total: int


class Summary(_Shape):
    """Counts since the pushes were last forgotten (connections: since the start), always complete."""

    accepted: int
    refused: int
    handles: Mapping[str, int]
    """Accepted pushes by device handle."""
    calls: Mapping[str, Mapping[str, int]]
    """Accepted pushes by call id, then by device handle."""
    attempts: Mapping[str, Mapping[str, int]]
    """Requests by device handle ("" if there was none), then by ``Attempt.result``."""
    connections: Connections


class Latency(_Shape):
    """What the hub waits before it answers anything, in seconds."""

    delay_seconds: float = Field(ge=0, le=3600)


class FaultList(_Shape):
    """The answer to ``GET /simulator/faults``, oldest first; ``times`` is what is left of each."""

    faults: tuple[Fault, ...]


class PushList(_Shape):
    """The answer to ``GET /simulator/pushes``, oldest first."""

    pushes: tuple[ReceivedPush, ...]


class AttemptList(_Shape):
    """The answer to ``GET /simulator/attempts``, oldest first."""

    attempts: tuple[Attempt, ...]


class HubControlError(Exception):
    """The simulator refused an order; the message is its reason."""


class HubControl:
    """Watches and disturbs a simulator at ``url``. Calls raise requests' errors if it cannot be reached."""

    def __init__(self, url: str, *, timeout: float = 5.0, verify: bool | str = True) -> None:
        """``timeout`` in seconds, to connect and to read; ``verify``: a CA file for a TLS simulator."""
        self._url = url.rstrip("/") + "/simulator"
        self._timeout = timeout
        self._session = requests.Session()
        self._session.verify = verify
        # A proxy from the environment has no business between two processes on loopback.
        self._session.trust_env = False

    def pushes(self, since: int = 0) -> list[ReceivedPush]:
        """Accepted pushes with a sequence number above ``since``, as far as their bodies are still kept."""
        return list(self._get("pushes", PushList, {"since": since}).pushes)

    def attempts(self) -> list[Attempt]:
        """Every request to send, accepted or not, as far as still kept."""
        return list(self._get("attempts", AttemptList).attempts)

    def summary(self) -> Summary:
        """The complete counts."""
        return self._get("summary", Summary)

    def forget(self) -> None:
        """Forgets pushes, attempts and counts; faults and latency stay."""
        self._call("DELETE", "pushes")

    def add_fault(self, fault: Fault) -> None:
        """Orders a fault, behind those already ordered."""
        self._call("POST", "faults", json=fault.model_dump(by_alias=True))

    def faults(self) -> list[Fault]:
        """The orders that are still to strike, with how often."""
        return list(self._get("faults", FaultList).faults)

    def clear_faults(self) -> None:
        """Back to a healthy hub. Requests that a black hole has swallowed stay swallowed."""
        self._call("DELETE", "faults")

    def set_latency(self, seconds: float) -> None:
        """How long the hub takes over every request, healthy or not."""
        self._call("PUT", "latency", json={"delaySeconds": seconds})

    def latency(self) -> float:
        """What the hub takes over every request, in seconds."""
        return self._get("latency", Latency).delay_seconds

    def wait_for_pushes(self, count: int, timeout: float = 10.0) -> Summary:
        """Polls until ``count`` pushes were accepted; TimeoutError after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while (summary := self.summary()).accepted < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{summary.accepted} of {count} pushes after {timeout} s")
            time.sleep(0.02)
        return summary

    def close(self) -> None:
        """Gives the connection back."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get[Answer: BaseModel](
        self, name: str, shape: type[Answer], params: Mapping[str, int] | None = None
    ) -> Answer:
        return TypeAdapter(shape).validate_json(self._call("GET", name, params=params).content)

    def _call(self, method: str, name: str, **content: Any) -> requests.Response:  # noqa: ANN401 - handed on
        answer = self._session.request(method, f"{self._url}/{name}", timeout=self._timeout, **content)
        if not answer.ok:
            raise HubControlError(f"{answer.status_code}: {answer.text}")
        return answer
