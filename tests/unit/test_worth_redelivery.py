"""Whether Event Grid shall deliver again."""

import pytest

from models.push import Outcome, OutcomeKind
from push.retry import FIRST_REDELIVERY_SECONDS, worth_redelivery

AMPLE = 60.0
PASSING = {OutcomeKind.TRANSIENT, OutcomeKind.THROTTLED}


@pytest.mark.parametrize("kind", OutcomeKind)
def test_what_can_pass_is_worth_it(kind: OutcomeKind) -> None:
    """A redelivery may mend what is transient; whatever else has become of a device, it changes nothing."""
    assert worth_redelivery(Outcome(kind, "a reason"), AMPLE) == (kind in PASSING)


def test_a_device_that_was_not_tried_is_worth_it() -> None:
    """A device for which there was no time is rung by the next delivery."""
    assert worth_redelivery(None, AMPLE)


@pytest.mark.parametrize("outcome", [None, Outcome(OutcomeKind.TRANSIENT, "a reason")])
def test_only_while_the_call_rings(outcome: Outcome | None) -> None:
    """Event Grid's first redelivery has to come while the phone may still ring."""
    assert worth_redelivery(outcome, FIRST_REDELIVERY_SECONDS + 0.1)
    assert not worth_redelivery(outcome, FIRST_REDELIVERY_SECONDS)
    assert not worth_redelivery(outcome, -1)
