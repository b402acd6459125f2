"""Faults of the simulated hub, and which of them applies to a push."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from local.pydantic_errors import explain

type FaultKind = Literal["status", "slow", "drop", "black_hole", "accept_then_drop", "accept_then_black_hole"]


class Ending(Enum):
    """How an exchange ends for the client."""

    ANSWER = "answer"
    DROP = "drop"
    """The connection is closed without an answer."""
    HOLD = "hold"
    """No answer; the connection stays open until the client closes it."""


@dataclass(frozen=True)
class Effect:
    """What a fault does to a push that the hub would have accepted."""

    accepts: bool
    """The push is accepted, so the device rings."""
    ending: Ending


NO_FAULT = Effect(accepts=True, ending=Ending.ANSWER)
EFFECTS: Mapping[FaultKind, Effect] = {
    "status": Effect(accepts=False, ending=Ending.ANSWER),
    "slow": NO_FAULT,
    "drop": Effect(accepts=False, ending=Ending.DROP),
    "black_hole": Effect(accepts=False, ending=Ending.HOLD),
    "accept_then_drop": Effect(accepts=True, ending=Ending.DROP),
    "accept_then_black_hole": Effect(accepts=True, ending=Ending.HOLD),
}


class BadFaultError(ValueError):
    """The fault is malformed or contradictory; the message says why."""


class Fault(BaseModel):
    """One fault. JSON: `{"kind": "status", "status": 429, "retryAfter": "2", "times": 1}`."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        strict=True,
    )

    kind: FaultKind
    device_handle: str | None = None
    """Applies to pushes to this device only; `None` for all devices."""
    hub: str | None = None
    """Applies to pushes through the hub of this name only, in any case; `None` for all hubs."""
    times: int | None = Field(default=None, ge=1)
    """Number of applications; `None` until it is cleared."""
    probability: float = Field(default=1.0, gt=0, le=1)
    """Of applying to a push that it matches."""
    status: int | None = Field(default=None, ge=300, le=599)
    """Required for the kind `status`, and only for that."""
    retry_after: str | None = Field(default=None, pattern=r"^[ -~]+$")
    """Value of `Retry-After`, not checked, so that a malformed one can be sent. Kind `status` only."""
    delay_seconds: float = Field(default=0.0, ge=0, le=3600)
    """Delay before the effect, added to the hub's latency; required for the kind `slow`."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if (self.kind == "status") != (self.status is not None):
            raise ValueError("the kind status needs a status; no other kind takes one")
        if self.retry_after is not None and self.kind != "status":
            raise ValueError("retryAfter needs the kind status")
        if self.kind == "slow" and not self.delay_seconds:
            raise ValueError("the kind slow needs delaySeconds above 0")
        return self

    @property
    def effect(self) -> Effect:
        """What it does to a push that the hub would have accepted."""
        return EFFECTS[self.kind]


def parse_fault(text: bytes | str) -> Fault:
    """Read one fault from JSON; raises BadFaultError."""
    try:
        return Fault.model_validate_json(text)
    except ValidationError as error:
        raise BadFaultError(explain(error)) from None


class ActiveFaults:
    """The active faults, oldest first. Not thread-safe: the owner must hold a lock."""

    def __init__(self, random: Random) -> None:
        """`random`: seeded by the caller, so that a run can be repeated."""
        self._random = random
        self._active: list[tuple[Fault, int | None]] = []

    def add(self, fault: Fault) -> None:
        """Add a fault after the existing ones."""
        self._active.append((fault, fault.times))

    def clear(self) -> None:
        """Remove every fault."""
        self._active.clear()

    def active(self) -> list[Fault]:
        """Oldest first; `times` is the number of applications left."""
        return [fault.model_copy(update={"times": left}) for fault, left in self._active]

    def take(self, hub: str, device_handle: str) -> Fault | None:
        """The first fault that applies to a push to this device; its `times` goes down by one."""
        for place, (fault, left) in enumerate(self._active):
            if not self._applies(fault, hub, device_handle):
                continue
            if left == 1:
                del self._active[place]
            elif left is not None:
                self._active[place] = (fault, left - 1)
            return fault
        return None

    def _applies(self, fault: Fault, hub: str, device_handle: str) -> bool:
        other_hub = fault.hub is not None and fault.hub.lower() != hub.lower()
        if other_hub or fault.device_handle not in {None, device_handle}:
            return False
        return fault.probability >= 1 or self._random.random() < fault.probability
