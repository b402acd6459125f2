"""Outcome, tries and time left → wait or give up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.push import Outcome, OutcomeKind, Unanswered
from push.retry import (
    FIRST_BACKOFF_SECONDS,
    FIRST_REDELIVERY_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    MOST_LOST_IN_A_DELIVERY,
    MOST_MISCONFIGURED,
    MOST_UNANSWERED,
    UNANSWERED_PAUSE_SECONDS,
    Tries,
    seconds_to_wait,
    worth_redelivery,
)

ALMOST_ONE = 1 - 2**-53
AMPLE = 60.0
PASSING = {OutcomeKind.TRANSIENT, OutcomeKind.THROTTLED}
TRIED_AGAIN = PASSING | {OutcomeKind.MISCONFIGURED}


def outcome(
    kind: OutcomeKind = OutcomeKind.TRANSIENT,
    retry_after: float | None = None,
    unanswered: Unanswered | None = None,
) -> Outcome:
    return Outcome(kind, "a reason", retry_after_seconds=retry_after, unanswered=unanswered)


TIMEOUT, LOST = outcome(unanswered=Unanswered.TIMEOUT), outcome(unanswered=Unanswered.LOST)


UNTRIED = Tries()


def waits(tried: Outcome, tries: Tries = UNTRIED, count: int = 20) -> list[float]:
    """The waits after so many tries that all end in one outcome, until the device is given up."""
    found = []
    for _ in range(count):
        tries = tries.after(tried)
        wait = seconds_to_wait(tried, tries, AMPLE, ALMOST_ONE)
        if wait is None:
            break
        found.append(wait)
    return found


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind not in TRIED_AGAIN])
@pytest.mark.parametrize("retry_after", [None, 1.0])
def test_final_outcomes(kind: OutcomeKind, retry_after: float | None) -> None:
    """An outcome that another try cannot change is given up, with or without a `Retry-After`."""
    assert waits(outcome(kind, retry_after)) == []


def test_back_off() -> None:
    """The longest pause doubles from try to try up to a bound; the jitter picks one between zero and that."""
    assert waits(outcome())[:7] == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])
    assert seconds_to_wait(outcome(), Tries(number=3), AMPLE, 0.0) == 0
    assert seconds_to_wait(outcome(), Tries(number=3), AMPLE, 0.5) == pytest.approx(0.4)


@pytest.mark.parametrize("kind", sorted(PASSING, key=str))
@pytest.mark.parametrize("number", [1, 5])
def test_retry_after_wins(kind: OutcomeKind, number: int) -> None:
    """The time that the hub asks for is waited, neither more nor less."""
    for asked in (0.01, 7.0, 59.9):
        assert seconds_to_wait(outcome(kind, asked), Tries(number=number), AMPLE, 0.5) == asked


def test_retry_after_zero() -> None:
    """`Retry-After: 0` counts as absent: the usual pause is kept."""
    assert seconds_to_wait(outcome(retry_after=0.0), Tries(number=3), AMPLE, 0.5) == pytest.approx(0.4)


@pytest.mark.parametrize("asked", [60.0, 61.0, 1e300, float("inf")])
def test_retry_after_that_does_not_fit(asked: float) -> None:
    """A `Retry-After` that does not fit into the time left is not waited for at all."""
    assert seconds_to_wait(outcome(OutcomeKind.THROTTLED, asked), Tries(number=1), AMPLE, 0.5) is None


@pytest.mark.parametrize("time_left", [0.0, -1.0])
@pytest.mark.parametrize("tried", [outcome(), outcome(retry_after=0), TIMEOUT])
def test_no_time_left(time_left: float, tried: Outcome) -> None:
    """With no time left there is no other try, not even at once."""
    assert seconds_to_wait(tried, Tries().after(tried), time_left, 0.0) is None


def test_silent_hub() -> None:
    """The first repetition follows at once, later ones are spread, and there is a bound for the event."""
    assert waits(TIMEOUT) == [0.0, *[UNANSWERED_PAUSE_SECONDS] * (MOST_UNANSWERED - 2)]


def test_silent_hub_in_a_later_delivery() -> None:
    """Tries of earlier deliveries count: the bound is one of the event."""
    assert len(waits(TIMEOUT, Tries(unanswered=3))) == MOST_UNANSWERED - 3 - 1
    assert waits(outcome(), Tries(unanswered=MOST_UNANSWERED)) == []


def test_lost_connections() -> None:
    """A lost connection is known at once, so a delivery has a bound of its own for it."""
    assert waits(LOST) == [0.0] * (MOST_LOST_IN_A_DELIVERY - 1)
    assert waits(LOST, Tries(unanswered=3)) == [UNANSWERED_PAUSE_SECONDS] * (MOST_LOST_IN_A_DELIVERY - 1)


def test_misconfigured() -> None:
    """A refusal as misconfigured is tried a few times; other failures before it do not count."""
    refused = outcome(OutcomeKind.MISCONFIGURED)
    assert len(waits(refused)) == MOST_MISCONFIGURED - 1
    assert len(waits(refused, Tries(number=10))) == MOST_MISCONFIGURED - 1


@given(st.integers(1, 1_000), st.floats(0, 100), st.floats(0, 1, exclude_max=True))
def test_any_back_off(number: int, time_left: float, jitter: float) -> None:
    """A wait is shorter than the time left and than the longest pause."""
    wait = seconds_to_wait(outcome(), Tries(number=number), time_left, jitter)
    if wait is None:
        assert jitter * LONGEST_BACKOFF_SECONDS >= time_left or time_left <= FIRST_BACKOFF_SECONDS
    else:
        assert 0 <= wait < time_left
        assert wait <= LONGEST_BACKOFF_SECONDS


class TestRedelivery:
    @pytest.mark.parametrize("kind", OutcomeKind)
    @pytest.mark.parametrize("may_pass", [True, False])
    def test_passing_faults_are_worth_it(self, kind: OutcomeKind, *, may_pass: bool) -> None:
        """A redelivery may mend a passing fault, and for a while a misconfigured hub; nothing else."""
        worth = kind in PASSING or (kind is OutcomeKind.MISCONFIGURED and may_pass)
        assert worth_redelivery(outcome(kind), Tries(), AMPLE, misconfiguration_may_pass=may_pass) == worth

    def test_an_untried_device_is_worth_it(self) -> None:
        """A device for which there was no time is rung by the next delivery."""
        assert worth_redelivery(None, Tries(), AMPLE, misconfiguration_may_pass=False)

    def test_not_after_too_many_silent_tries(self) -> None:
        """A phone that may have rung six times is left alone."""
        tries = Tries(unanswered=MOST_UNANSWERED)
        assert not worth_redelivery(TIMEOUT, tries, AMPLE, misconfiguration_may_pass=True)

    @pytest.mark.parametrize("tried", [None, outcome(), outcome(OutcomeKind.MISCONFIGURED)])
    def test_only_while_the_call_rings(self, tried: Outcome | None) -> None:
        """Event Grid's first redelivery must come while the phone may still ring."""

        def worth(ring_left: float) -> bool:
            return worth_redelivery(tried, Tries(), ring_left, misconfiguration_may_pass=True)

        assert worth(FIRST_REDELIVERY_SECONDS + 0.1)
        assert not worth(FIRST_REDELIVERY_SECONDS)
        assert not worth(-1)
