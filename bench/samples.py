"""What was measured, and what follows from it: medians, percentiles, ratios round by round."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Sample:
    """The values of one metric that one contender made in one round of one case."""

    experiment: str
    case: str
    contender: str
    metric: str
    """With its unit, such as `latency ms`."""
    round: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What is compared: one contender in one case."""

    case: str
    contender: str


@dataclass(frozen=True, slots=True)
class Ratio:
    """A quotient measured in each of several rounds."""

    median: float
    low: float
    high: float
    rounds: int

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that `percent` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


class Samples:
    """All samples of a run."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        """Take them."""
        self.all = tuple(samples)

    def experiments(self) -> list[str]:
        """Their names, in the order measured."""
        return list(dict.fromkeys(sample.experiment for sample in self.all))

    def sides(self, experiment: str) -> list[Side]:
        """Who was measured in it, case by case."""
        found = dict.fromkeys(
            Side(one.case, one.contender) for one in self.all if one.experiment == experiment
        )
        cases = list(dict.fromkeys(side.case for side in found))
        return sorted(found, key=lambda side: cases.index(side.case))

    def metrics(self, experiment: str) -> list[str]:
        """What was measured in it."""
        return list(dict.fromkeys(one.metric for one in self.all if one.experiment == experiment))

    def values(self, experiment: str, side: Side, metric: str) -> list[float]:
        """All rounds together."""
        rounds = self._rounds(experiment, side, metric)
        return [value for number in sorted(rounds) for value in rounds[number]]

    def ratio(
        self, experiment: str, metric: str, over: Side, under: Side, percent: float = 50
    ) -> Ratio | None:
        """`over` divided by `under` in each round, each as its percentile; None if one is missing."""
        overs, unders = (self._rounds(experiment, side, metric) for side in (over, under))
        quotients = [
            percentile(overs[number], percent) / percentile(unders[number], percent)
            for number in sorted(overs.keys() & unders.keys())
        ]
        if not quotients:
            return None
        return Ratio(statistics.median(quotients), min(quotients), max(quotients), len(quotients))

    def best_ratio(self, experiment: str, metric: str, over: Side, under: Side) -> Ratio | None:
        """The least of `over` divided by the least of `under`, with the quotients of single rounds as the
        range; None if one is missing.

        What else runs on the machine adds to a round's CPU time and never takes from it, so the least value
        is nearest to what the work costs.
        """
        ratio = self.ratio(experiment, metric, over, under)
        if ratio is None:
            return None
        best = min(self.values(experiment, over, metric)) / min(self.values(experiment, under, metric))
        return replace(ratio, median=best)

    def _rounds(self, experiment: str, side: Side, metric: str) -> dict[int, tuple[float, ...]]:
        return {
            one.round: one.values
            for one in self.all
            if (one.experiment, one.case, one.contender, one.metric)
            == (experiment, side.case, side.contender, metric)
        }
