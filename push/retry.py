"""Outcome, attempt and time left → wait or give up (pure; clock and randomness come in)."""

from dataclasses import dataclass

from models.push import Outcome, OutcomeKind

FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 2.0
"""A phone rings for a minute: a longer pause would cost more rings than it saves the hub requests."""

FIRST_REDELIVERY_SECONDS = 10.0
"""Event Grid waits this long before it delivers a failed event again."""

_WORTH_RETRYING = frozenset({OutcomeKind.TRANSIENT, OutcomeKind.THROTTLED})


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt at one device, and what went before."""

    number: int
    """1 for the first."""
    outcome: Outcome
    may_have_rung_before: bool
    """True if an earlier attempt of this invocation got no answer and may have rung."""


def seconds_to_wait(attempt: Try, time_left: float, chance: float) -> float | None:
    """How long to wait before the next try, or None to give up.

    Exponential from 0.2 s with full jitter. What the hub asks for with `Retry-After` wins; where it does not
    fit, nothing is waited for. A `Retry-After` of nothing asks for nothing: else a hub that keeps saying it
    would be tried as fast as the network goes. After a try that may have rung there is one more, no third:
    the phone may ring twice.

    Args:
        attempt: what has been tried.
        time_left: seconds until a try would be pointless.
        chance: a random number, at least 0 and less than 1.
    """
    if attempt.outcome.kind not in _WORTH_RETRYING or attempt.may_have_rung_before:
        return None
    wait = attempt.outcome.retry_after_seconds
    if not wait:
        wait = chance * min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** (attempt.number - 1))
    return wait if wait < time_left else None


def worth_redelivery(outcome: Outcome | None, ring_left: float) -> bool:
    """True if another delivery of the event may still ring the device.

    Args:
        outcome: its last outcome; None if there was no time to try.
        ring_left: seconds that the call still rings.
    """
    unfinished = outcome is None or outcome.kind in _WORTH_RETRYING
    return unfinished and ring_left > FIRST_REDELIVERY_SECONDS
