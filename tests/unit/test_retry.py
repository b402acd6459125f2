"""Outcome, attempt and time left → wait or give up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.push import Outcome, OutcomeKind
from push.retry import FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS, Try, seconds_to_wait

ALMOST_ONE = 1 - 2**-53
AMPLE = 60.0
WORTH_IT = {OutcomeKind.TRANSIENT, OutcomeKind.THROTTLED}


def attempt(
    number: int = 1,
    kind: OutcomeKind = OutcomeKind.TRANSIENT,
    retry_after: float | None = None,
    *,
    may_have_rung_before: bool = False,
) -> Try:
    return Try(number, Outcome(kind, "a reason", retry_after_seconds=retry_after), may_have_rung_before)


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind not in WORTH_IT])
def test_not_worth_another_try(kind: OutcomeKind) -> None:
    """What another try cannot change is given up, whatever the hub says about coming back."""
    assert seconds_to_wait(attempt(kind=kind), AMPLE, 0.5) is None
    assert seconds_to_wait(attempt(kind=kind, retry_after=1), AMPLE, 0.5) is None


def test_back_off() -> None:
    """The longest pause doubles from try to try up to a bound; chance picks one between nothing and that."""
    longest = [seconds_to_wait(attempt(number), AMPLE, ALMOST_ONE) for number in range(1, 8)]
    assert longest == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])
    assert seconds_to_wait(attempt(3), AMPLE, 0.0) == 0
    assert seconds_to_wait(attempt(3), AMPLE, 0.5) == pytest.approx(0.4)


@pytest.mark.parametrize("kind", [OutcomeKind.TRANSIENT, OutcomeKind.THROTTLED])
@pytest.mark.parametrize("number", [1, 5])
def test_retry_after_wins(kind: OutcomeKind, number: int) -> None:
    """What the hub asks for is waited, neither more nor less."""
    for asked in (0.01, 7.0, 59.9):
        assert seconds_to_wait(attempt(number, kind, asked), AMPLE, 0.5) == asked


def test_retry_after_of_nothing() -> None:
    """A hub that asks for no pause gets the usual one, and is not tried as fast as the network goes."""
    assert seconds_to_wait(attempt(3, retry_after=0.0), AMPLE, 0.5) == pytest.approx(0.4)


@pytest.mark.parametrize("asked", [60.0, 61.0, 1e300, float("inf")])
def test_retry_after_that_does_not_fit(asked: float) -> None:
    """What does not fit into the time left is not waited for at all."""
    assert seconds_to_wait(attempt(kind=OutcomeKind.THROTTLED, retry_after=asked), AMPLE, 0.5) is None


@pytest.mark.parametrize("time_left", [0.0, -1.0])
def test_no_time_left(time_left: float) -> None:
    """With no time left there is no other try, not even at once."""
    assert seconds_to_wait(attempt(), time_left, 0.0) is None
    assert seconds_to_wait(attempt(retry_after=0), time_left, 0.0) is None


def test_may_have_rung() -> None:
    """After a try that may have rung there is one more, no third."""
    assert seconds_to_wait(attempt(2, may_have_rung_before=True), AMPLE, 0.5) is None


@given(st.integers(1, 1_000), st.floats(0, 100), st.floats(0, 1, exclude_max=True))
def test_any_back_off(number: int, time_left: float, chance: float) -> None:
    """However often it was tried, a wait is shorter than the time left and than the longest pause."""
    wait = seconds_to_wait(attempt(number), time_left, chance)
    if wait is None:
        assert chance * LONGEST_BACKOFF_SECONDS >= time_left or time_left <= FIRST_BACKOFF_SECONDS
    else:
        assert 0 <= wait < time_left
        assert wait <= LONGEST_BACKOFF_SECONDS
