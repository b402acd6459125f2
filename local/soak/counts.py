"""How often phones rang and were stopped, and how often they should have been (pure)."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from local.hub.records import Summary
from local.soak.phones import Call, Ending, Phone
from local.soak.plan import STOPPED
from models.platform import Platform

RING, STOP, MISSED = "107", "110", "missedCall"
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
class NoticeCount:
    """Pushes of one kind beside rings that the hub accepted."""

    wanted: int
    """Phones that were to get one."""
    told: int
    """Those of them that did."""
    twice: int
    """Phones that got more than one."""
    though_answered: int
    """Phones that got one although the call was answered or declined: on this phone, if it is a stop."""
    unexpected: int
    """Phones that got one although their call went on ringing, or is of a platform that gets none."""

    @property
    def is_right(self) -> bool:
        """None too many, and nine tenths at least, less two standard deviations of so few.

        Some are missing: one that may have arrived is not sent again. One fault of the network can meet
        several.
        """
        fewest = 0.9 * self.wanted - 2 * math.sqrt(0.09 * self.wanted)
        return not (self.twice or self.though_answered or self.unexpected) and self.told >= fewest


def count_stops(calls: Sequence[Call], stops: Mapping[str, int]) -> NoticeCount:
    """Compare the stops with the ends of the calls; `stops`: accepted ones by device handle."""

    def place(call: Call, phone: Phone) -> _Place:
        if phone == call.answering:
            return _Place.ANSWERED
        return _Place.WANTED if call.ending and phone.platform in STOPPED else _Place.UNEXPECTED

    return _count(calls, stops, place)


def count_missed(calls: Sequence[Call], shown: Mapping[str, int]) -> NoticeCount:
    """The same of notifications of a missed call: for calls that the caller ended, to every phone but an
    iPhone, whose token for calls shows none."""

    def place(call: Call, phone: Phone) -> _Place:
        if call.answering:
            return _Place.ANSWERED
        is_missed = call.ending is Ending.ENDED and phone.platform is not Platform.APPLE
        return _Place.WANTED if is_missed else _Place.UNEXPECTED

    return _count(calls, shown, place)


class _Place(Enum):
    """What a notice to a phone is."""

    WANTED = auto()
    ANSWERED = auto()
    UNEXPECTED = auto()


def _count(
    calls: Sequence[Call], accepted: Mapping[str, int], place: Callable[[Call, Phone], _Place]
) -> NoticeCount:
    told: Counter[_Place] = Counter()
    wanted = twice = 0
    for call in calls:
        for phone in call.phones:
            count, where = accepted.get(phone.handle, 0), place(call, phone)
            wanted += where is _Place.WANTED
            twice += count > 1
            told[where] += count > 0
    return NoticeCount(wanted, told[_Place.WANTED], twice, told[_Place.ANSWERED], told[_Place.UNEXPECTED])
