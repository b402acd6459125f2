"""Outcome, tries and time left → wait or give up (pure; the jitter comes in)."""

from dataclasses import dataclass

from models.push import Outcome, OutcomeKind, Unanswered

FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 2.0
"""A phone rings for a minute: a longer pause costs more rings than it saves the hub requests."""

MOST_UNANSWERED = 6
"""Tries of one device and event that may have rung unseen, over all deliveries of the event."""
MOST_LOST_IN_A_DELIVERY = 2
"""A lost connection is known at once, so these tries would follow each other within seconds."""
UNANSWERED_PAUSE_SECONDS = 2.0
"""Between tries without an answer, after the first repetition: it spreads them over the ring."""

MOST_MISCONFIGURED = 4
"""Tries that the hub refuses as misconfigured, in a delivery. Each goes over a new connection: one front end
of the hub, or one moment of a key rotation, answers the same as a wrong key."""

FIRST_REDELIVERY_SECONDS = 10.0
"""Event Grid waits this long before it delivers a failed event again."""

_PASSING = frozenset({OutcomeKind.TRANSIENT, OutcomeKind.THROTTLED})


@dataclass(frozen=True, slots=True)
class Tries:
    """What has been tried for one device."""

    number: int = 0
    """In this delivery."""
    misconfigured: int = 0
    """In this delivery, refused as misconfigured."""
    lost: int = 0
    """In this delivery: the connection was lost, or the answer was no HTTP."""
    unanswered: int = 0
    """In all deliveries of the event: the push may have rung unseen."""

    def after(self, outcome: Outcome) -> "Tries":
        """These and one more, with its outcome."""
        return Tries(
            number=self.number + 1,
            misconfigured=self.misconfigured + (outcome.kind is OutcomeKind.MISCONFIGURED),
            lost=self.lost + (outcome.unanswered is Unanswered.LOST),
            unanswered=self.unanswered + (outcome.unanswered is not None),
        )


def seconds_to_wait(outcome: Outcome, tries: Tries, time_left: float, jitter: float) -> float | None:
    """How long to wait before the next try, or None to give up.

    Exponential from 0.2 s with full jitter; `Retry-After` wins, and is not waited for where it does not fit.
    After a try without an answer the first repetition follows at once, because the hub may never have had the
    push; later ones are spread, because the phone may ring at each.

    Args:
        outcome: of the last try.
        tries: the last one included.
        time_left: seconds until a try would be pointless.
        jitter: a random number, at least 0 and less than 1.
    """
    if not _may_be_tried_again(outcome, tries):
        return None
    if outcome.unanswered is not None:
        wait = 0.0 if tries.unanswered == 1 else UNANSWERED_PAUSE_SECONDS
    else:
        # `Retry-After: 0` counts as absent: honouring it would hammer the hub.
        wait = outcome.retry_after_seconds or jitter * _longest_backoff(tries.number)
    return wait if wait < time_left else None


def worth_redelivery(
    outcome: Outcome | None, tries: Tries, ring_left: float, *, misconfiguration_may_pass: bool
) -> bool:
    """True if another delivery of the event may still ring the device.

    Args:
        outcome: its last outcome; None if there was no time to try.
        tries: of this delivery and earlier ones.
        ring_left: seconds that the call still rings.
        misconfiguration_may_pass: a hub that refuses as misconfigured is worth a redelivery.
    """
    if ring_left <= FIRST_REDELIVERY_SECONDS or tries.unanswered >= MOST_UNANSWERED:
        return False
    if outcome is None or outcome.kind in _PASSING:
        return True
    return outcome.is_refused_as_misconfigured and misconfiguration_may_pass


def _may_be_tried_again(outcome: Outcome, tries: Tries) -> bool:
    if outcome.is_refused_as_misconfigured:
        return tries.misconfigured < MOST_MISCONFIGURED
    if outcome.kind not in _PASSING or tries.unanswered >= MOST_UNANSWERED:
        return False
    return outcome.unanswered is not Unanswered.LOST or tries.lost < MOST_LOST_IN_A_DELIVERY


def _longest_backoff(number: int) -> float:
    return min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** (number - 1))
