"""A client for the simulator's control API."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import requests
from pydantic import BaseModel, TypeAdapter

from local.hub.config import Tier
from local.hub.faults import Fault
from local.hub.records import (
    Attempt,
    AttemptList,
    DeviceOutcome,
    FaultList,
    HubList,
    HubTier,
    Latency,
    OutcomeList,
    PlatformOutcome,
    PushList,
    ReceivedPush,
    Summary,
)


class ControlError(Exception):
    """The simulator refused a request; the message is its reason."""


class ControlClient:
    """Reads what a simulator recorded and changes its faults.

    Every method raises `requests.RequestException` if the simulator cannot be reached.
    """

    def __init__(self, url: str, *, timeout: float = 5.0, verify: bool | str = True) -> None:
        """Take the simulator's address.

        Args:
            url: of the simulator, without `/simulator`.
            timeout: seconds, for connecting and for reading.
            verify: a CA file for a simulator with TLS.
        """
        self._url = url.rstrip("/") + "/simulator"
        self._timeout = timeout
        self._session = requests.Session()
        self._session.verify = verify
        # A proxy from the environment must not stand between two processes on loopback.
        self._session.trust_env = False

    def pushes(self, since: int = 0) -> list[ReceivedPush]:
        """Accepted pushes with a sequence number above `since` that are still kept."""
        return list(self._get("pushes", PushList, {"since": since}).pushes)

    def attempts(self) -> list[Attempt]:
        """Requests to send, accepted or not, that are still kept."""
        return list(self._get("attempts", AttemptList).attempts)

    def summary(self) -> Summary:
        """The complete counts."""
        return self._get("summary", Summary)

    def forget(self) -> None:
        """Delete pushes, attempts and counts; faults and latency stay."""
        self._call("DELETE", "pushes")

    def add_fault(self, fault: Fault) -> None:
        """Add a fault after the existing ones."""
        self._call("POST", "faults", json=fault.model_dump(by_alias=True))

    def faults(self) -> list[Fault]:
        """The active faults, with the number of applications left."""
        return list(self._get("faults", FaultList).faults)

    def clear_faults(self) -> None:
        """Remove every fault. Requests that are held by a black hole stay unanswered."""
        self._call("DELETE", "faults")

    def set_latency(self, seconds: float) -> None:
        """Delay every answer from now on."""
        self._call("PUT", "latency", json={"delaySeconds": seconds})

    def latency(self) -> float:
        """The delay before every answer, in seconds."""
        return self._get("latency", Latency).delay_seconds

    def hubs(self) -> list[HubTier]:
        """Names and tiers."""
        return list(self._get("hubs", HubList).hubs)

    def set_tier(self, hub: str, tier: Tier) -> None:
        """Change a hub's tier."""
        self._call("PUT", "hubs", json={"hub": hub, "tier": tier})

    def outcomes(self) -> list[DeviceOutcome]:
        """Devices whose pushes do not succeed."""
        return list(self._get("outcomes", OutcomeList).outcomes)

    def set_outcome(self, device_handle: str, outcome: PlatformOutcome) -> None:
        """Let the platform make this of every further push to a device."""
        self._call("PUT", "outcomes", json={"deviceHandle": device_handle, "outcome": outcome})

    def clear_outcomes(self) -> None:
        """Let every push succeed."""
        self._call("DELETE", "outcomes")

    def set_telemetry_delay(self, seconds: float) -> None:
        """Let telemetry and feedback know of a push so long after it was accepted."""
        self._call("PUT", "telemetry", json={"delaySeconds": seconds})

    def wait_for_pushes(self, count: int, timeout: float = 10.0) -> Summary:
        """Poll until `count` pushes were accepted; TimeoutError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (summary := self.summary()).accepted < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{summary.accepted} of {count} pushes after {timeout} s")
            time.sleep(0.02)
        return summary

    def close(self) -> None:
        """Close the connection."""
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

    def _call(self, method: str, name: str, **content: Any) -> requests.Response:  # noqa: ANN401 - passed on
        answer = self._session.request(method, f"{self._url}/{name}", timeout=self._timeout, **content)
        if not answer.ok:
            raise ControlError(f"{answer.status_code}: {answer.text}")
        return answer
