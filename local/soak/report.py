"""The result of a run, and whether it is what it must be (pure)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from local.hub.records import Summary
from local.soak.phones import Call
from local.soak.plan import Plan


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
        rings: accepted pushes by device token.
        seen_201: answers 201 that a worker has read, by device token.
        unrecorded: by event id, how many lines of the workers say that a result was not recorded in time.
    """
    rang: Counter[int] = Counter()
    by_unseen = by_unrecorded = unexplained = 0
    for call in calls:
        # Another delivery rings once more where it does not find the result of an earlier one.
        missing = unrecorded.get(str(call.event["id"]), 0)
        for token in call.tokens:
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
class Deliveries:
    """What was delivered."""

    calls: int
    duplicates: int
    """Calls that were delivered twice."""
    deliveries: int
    raised: int
    unacknowledged: int
    """Events that no delivery acknowledged."""
    answer_ms: tuple[float, float]
    """From the first delivery of an event to its answer: median and 99th percentile."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did and found."""

    plan: Plan
    deliveries: Deliveries
    phones: PhoneCount
    hub_results: Mapping[str, int] = field(default_factory=dict)
    """Requests to the hub by their status or fault."""
    network_faults: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Every event was acknowledged, every phone rang, and no phone rang more often than explained."""
        made = self.deliveries
        complete = made.calls == self.plan.events and made.unacknowledged == 0
        return complete and self.phones.silent == 0 and self.phones.unexplained == 0

    def lines(self) -> list[str]:
        """As text."""
        rang, made = self.phones.rang, self.deliveries
        more = {times: count for times, count in sorted(rang.items()) if times > 1}
        failed = {kind: times for kind, times in sorted(self.hub_results.items()) if kind != "201"}
        return [
            f"{'PASSED' if self.passed else 'FAILED'} in {self.seconds:.0f} s, seed {self.plan.seed}",
            f"  calls                     {made.calls} of {self.plan.events}, for {rang.total()} phones",
            f"  delivered twice           {made.duplicates} calls, half of them at the same time",
            f"  deliveries                {made.deliveries}, {made.raised} of them raised and redelivered",
            f"  never acknowledged        {made.unacknowledged}",
            f"  requests to the hub       {sum(self.hub_results.values())}, of which the hub failed",
            *[f"    {kind:<24}{times}" for kind, times in failed.items()],
            f"  faults of the network     {sum(self.network_faults.values())}",
            *[f"    {name:<40}{times}" for name, times in sorted(self.network_faults.items())],
            f"  phones that rang once     {rang[1]}",
            f"  phones that did not ring  {self.phones.silent}",
            f"  phones that rang more     {sum(more.values())} {more or ''}".rstrip(),
            f"    rings after an answer that no worker has read   {self.phones.by_unseen_answers}",
            f"    rings after a result that was not recorded      {self.phones.by_unrecorded_results}",
            f"    phones without such an explanation              {self.phones.unexplained}",
            f"  first answer              {made.answer_ms[0]:.0f} ms median, {made.answer_ms[1]:.0f} ms p99",
        ]


def hub_results(calls: Sequence[Call], summary: Summary) -> Counter[str]:
    """Requests for the phones of these calls, by their result."""
    results: Counter[str] = Counter()
    for token in (token for call in calls for token in call.tokens):
        results.update(summary.attempts.get(token, {}))
    return results
