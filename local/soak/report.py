"""The result of a run, and whether it is what it must be (pure)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from local.hub.records import Summary
from local.soak.counts import NoticeCount, PhoneCount
from local.soak.phones import Call, Ending
from local.soak.plan import Plan


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What was delivered."""

    calls: int
    duplicates: int
    """Events that were delivered twice."""
    deliveries: int
    reports: int
    """Of phones."""
    raised: int
    unacknowledged: int
    """Events and reports that were never acknowledged."""
    answer_ms: tuple[float, float]
    """From the first delivery of an event to its answer: median and 99th percentile."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did and found."""

    plan: Plan
    deliveries: Deliveries
    phones: PhoneCount
    stops: NoticeCount
    missed: NoticeCount
    """Notifications of missed calls."""
    endings: Mapping[Ending | None, int] = field(default_factory=dict)
    """Calls by how they ended; None for those that went on ringing."""
    hub_results: Mapping[str, int] = field(default_factory=dict)
    """Requests to the hub by their status or fault."""
    network_faults: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Every event was acknowledged, every phone rang, no phone rang more often than explained, and none
        was told to stop or of a missed call that must not be."""
        made = self.deliveries
        complete = made.calls == self.plan.events and made.unacknowledged == 0
        rang = self.phones.silent == 0 and self.phones.unexplained == 0
        return complete and rang and self.stops.is_right and self.missed.is_right

    def lines(self) -> list[str]:
        """As text."""
        rang, made = self.phones.rang, self.deliveries
        more = {times: count for times, count in sorted(rang.items()) if times > 1}
        failed = {kind: times for kind, times in sorted(self.hub_results.items()) if kind != "201"}
        return [
            f"{'PASSED' if self.passed else 'FAILED'} in {self.seconds:.0f} s, seed {self.plan.seed}",
            f"  calls                     {made.calls} of {self.plan.events}, for {rang.total()} phones",
            *[f"    {ending.value:<24}{self.endings.get(ending, 0)}" for ending in Ending],
            f"  delivered twice           {made.duplicates} events, half of them at the same time",
            f"  deliveries                {made.deliveries}, {made.raised} of them raised and redelivered",
            f"  reports of phones         {made.reports}",
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
            *_notice_lines("phones told to stop", self.stops),
            *_notice_lines("phones told they missed", self.missed),
            f"  first answer              {made.answer_ms[0]:.0f} ms median, {made.answer_ms[1]:.0f} ms p99",
        ]


def _notice_lines(title: str, notices: NoticeCount) -> list[str]:
    return [
        f"  {title:<26}{notices.told} of {notices.wanted} that were to be told",
        f"    told twice                                      {notices.twice}",
        f"    told although the call was answered or declined {notices.though_answered}",
        f"    told although nothing had ended for them        {notices.unexpected}",
    ]


def hub_results(calls: Sequence[Call], summary: Summary) -> Counter[str]:
    """Requests for the phones of these calls, by their result."""
    results: Counter[str] = Counter()
    for handle in (phone.handle for call in calls for phone in call.phones):
        results.update(summary.attempts.get(handle, {}))
    return results
