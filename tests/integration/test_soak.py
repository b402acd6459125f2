"""A short soak, and the rules of its report."""

from collections import Counter

from local.soak import FAULTS, Plan, Report, soak


def test_every_phone_rings_once() -> None:
    """Some hundreds of calls with faults and duplicates: each phone rings, and twice only where it may."""
    lines: list[str] = []
    report = soak(Plan(events=400, seed=7), lines.append)
    told = "\n".join([*lines, *report.lines()])
    assert report.passed, told
    assert report.faults, told
    assert report.duplicates, told
    assert report.deliveries >= report.plan.events + report.duplicates, told


def test_faults_come_as_often_as_planned() -> None:
    """The dice, thrown one after the other, hit as often as the plan says and in the shares of the table."""
    missed, hits = 1.0, []
    for fault in Plan(fault_rate=0.05).faults():
        hits.append(missed * fault.probability)
        missed *= 1 - fault.probability
    whole = sum(share for _, share in FAULTS)
    assert abs(sum(hits) - 0.05) < 1e-9
    assert all(abs(hit - 0.05 * share / whole) < 1e-9 for hit, (_, share) in zip(hits, FAULTS, strict=True))


def test_a_silent_phone_fails_it() -> None:
    """The report of a run is what decides: a phone that did not ring, or rang too often, is a failure."""

    def report(**what: object) -> Report:
        return Report(Plan(events=1), **{"calls": 1, "rang": Counter({1: 2}), **what})  # type: ignore[arg-type]

    assert report().passed
    assert not report(rang=Counter({0: 1, 1: 1})).passed
    assert not report(unexplained=1).passed
    assert not report(unacknowledged=1).passed
    assert not report(calls=0).passed
