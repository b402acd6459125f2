"""Faults that can be ordered from the Notification Hubs simulator, and which of them strikes next."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from local.hub.checks import explain

type FaultKind = Literal["status", "slow", "drop", "black_hole", "accept_then_drop", "accept_then_black_hole"]


class Ending(Enum):
    """How the exchange ends for the client."""

    ANSWER = "answer"
    DROP = "drop"
    """The connection is closed without a byte of answer."""
    HOLD = "hold"
    """Nothing at all until the client goes away."""


@dataclass(frozen=True)
class Effect:
    """``accepts``: the phone rings."""

    accepts: bool
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


class BadFaultOrderError(ValueError):
    """The order cannot be carried out; the message says why."""


class Fault(BaseModel):
    """One order. JSON: ``{"kind": "status", "status": 429, "retryAfter": "2", "times": 1}``.

    device_handle: only pushes to this device; ``None`` for all. times: how often it strikes; ``None`` until
    cleared. probability: of striking a push that fits, in (0, 1]. status, retry_after: of kind ``status``
    only; retry_after goes out as it stands, so that a nonsensical one can be tried. delay_seconds: waited
    before the effect, on top of the hub's own latency; kind ``slow`` needs it.
    """

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
    times: int | None = Field(default=None, ge=1)
    probability: float = Field(default=1.0, gt=0, le=1)
    status: int | None = Field(default=None, ge=300, le=599)
    retry_after: str | None = Field(default=None, pattern=r"^[ -~]+$")
    delay_seconds: float = Field(default=0.0, ge=0, le=3600)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if (self.kind == "status") != (self.status is not None):
            raise ValueError("a status goes with the kind status, and only with it")
        if self.retry_after is not None and self.kind != "status":
            raise ValueError("only an answer of kind status can carry retryAfter")
        if self.kind == "slow" and not self.delay_seconds:
            raise ValueError("kind slow needs delaySeconds above 0")
        return self

    @property
    def effect(self) -> Effect:
        """What it does to a push that the hub would have accepted."""
        return EFFECTS[self.kind]


def parse_fault(text: bytes | str) -> Fault:
    """Reads one order from JSON; BadFaultOrderError names what is wrong with it."""
    try:
        return Fault.model_validate_json(text)
    except ValidationError as error:
        raise BadFaultOrderError(explain(error)) from None


class FaultOrders:
    """The active orders, oldest first. Not thread-safe: its owner guards it."""

    def __init__(self, random: Random) -> None:
        """``random``: seeded by the caller, so that a run can be repeated."""
        self._random = random
        self._active: list[tuple[Fault, int | None]] = []

    def add(self, fault: Fault) -> None:
        """Behind those already ordered."""
        self._active.append((fault, fault.times))

    def clear(self) -> None:
        """Forgets every order; what they did stays done."""
        self._active.clear()

    def active(self) -> list[Fault]:
        """What may still strike, oldest first, with the `times` that are left."""
        return [fault.model_copy(update={"times": left}) for fault, left in self._active]

    def strike(self, device_handle: str) -> Fault | None:
        """The first order that fits this push and whose dice fall; it is then one nearer to its end."""
        for place, (fault, left) in enumerate(self._active):
            if not self._hits(fault, device_handle):
                continue
            if left == 1:
                del self._active[place]
            elif left is not None:
                self._active[place] = (fault, left - 1)
            return fault
        return None

    def _hits(self, fault: Fault, device_handle: str) -> bool:
        if fault.device_handle not in {None, device_handle}:
            return False
        return fault.probability >= 1 or self._random.random() < fault.probability
