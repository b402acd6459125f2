"""How often phones rang and were stopped, and how often they should have been (pure)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local.hub.records import Summary
from local.soak.phones import Call
from local.soak.plan import STOPPED

RING, STOP = "107", "110"
"""Events of pushes."""


def pushes_of(summary: Summary, event: str) -> dict[str, int]:
    """Accepted pushes of one kind, by device handle."""
    return {token: events.get(event, 0) for token, events in summary.events.items()}


@dataclass(frozen=True, slots=True)
class PhoneCount:
    """Phones by how often they rang, and the causes of additional rings."""

    rang: Counter[int]
    by_unseen_answers: int
    """Additional rings after an accepted push whose answer no worker has read."""
    by_unrecorded_results: int
    """Additional rings after an answer that a worker has read: its log says that the database did not record
    the result in time."""
    unexplained: int
    """Phones with more rings than these causes explain."""

    @property
    def silent(self) -> int:
        """Phones that did not ring."""
        return self.rang[0]


def count_phones(
    calls: Sequence[Call],
    rings: Mapping[str, int],
    seen_201: Mapping[str, int],
    unrecorded: Mapping[str, int],
) -> PhoneCount:
    """Compare the pushes that the hub accepted with the answers that workers have read.

    After a worker has read a 201 for a phone, no worker may send to it again, unless the result could not be
    recorded.

    Args:
        calls: all calls of the run.
        rings: accepted pushes by device handle.
        seen_201: answers 201 that a worker has read, by device handle.
        unrecorded: by event id, how many lines of the workers say that a result was not recorded in time.
    """
    rang: Counter[int] = Counter()
    by_unseen = by_unrecorded = unexplained = 0
    for call in calls:
        # Another delivery rings once more where it does not find the result of an earlier one.
        missing = unrecorded.get(str(call.event["id"]), 0)
        for phone in call.phones:
            token = phone.handle
            count = rings.get(token, 0)
            unseen = count - min(count, seen_201.get(token, 0))
            rang[count] += 1
            more = max(0, count - 1)
            by_unseen += min(more, unseen)
            after_seen = max(0, more - unseen)
            by_unrecorded += min(after_seen, missing)
            unexplained += after_seen > missing
    return PhoneCount(rang, by_unseen, by_unrecorded, unexplained)


@dataclass(frozen=True, slots=True)
class StopCount:
    """Stop pushes that the hub accepted."""

    wanted: int
    """Phones that were to be told to ring no more."""
    told: int
    """Those of them that were."""
    twice: int
    """Phones that were told more than once."""
    to_answering: int
    """Phones that had reported that they answered or declined, and were told to ring no more."""
    unexpected: int
    """Phones of a call that went on ringing, or of a platform that is not stopped, that were told so."""

    @property
    def is_right(self) -> bool:
        """None too many. Some are missing: a stop that may have arrived is not sent again."""
        return not (self.twice or self.to_answering or self.unexpected) and self.told >= 0.9 * self.wanted


def count_stops(calls: Sequence[Call], stops: Mapping[str, int]) -> StopCount:
    """Compare the stops with the ends of the calls; `stops`: accepted ones by device handle."""
    wanted = told = twice = to_answering = unexpected = 0
    for call in calls:
        for phone in call.phones:
            count = stops.get(phone.handle, 0)
            twice += count > 1
            if phone == call.answering:
                to_answering += count > 0
            elif call.ending is None or phone.platform not in STOPPED:
                unexpected += count > 0
            else:
                wanted += 1
                told += count > 0
    return StopCount(wanted, told, twice, to_answering, unexpected)
