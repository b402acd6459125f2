"""The workbook's queries, run over lines and metrics that the app itself writes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.errors import ConfigurationError, DatabaseUnavailableError, InvalidEventError
from models.push import OutcomeKind
from push.delivery import DeliveryReport
from push.event_log import EventResult
from tests.log_queries import Log, Rows, given_up, report
from tools.bicep_file import BicepFile

WORKBOOK = Path(__file__).parents[2] / "infra" / "workbook"
MODULE = WORKBOOK.parent / "modules" / "workbook.bicep"
NAMES = {path.stem for path in WORKBOOK.iterdir()}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def rows(log: Log, name: str) -> Rows:
    """What a query of the workbook shows."""
    return log.query((WORKBOOK / f"{name}.kql").read_text())


class TestModule:
    def test_every_query_is_shown(self) -> None:
        """Each query is a chart of its name, and there are no others."""
        module = BicepFile.read(MODULE)
        charts = module.tree["variables"]["charts"]["value"]
        assert {chart["name"] for chart in charts} == NAMES
        for name in NAMES:
            assert f"loadTextContent('../workbook/{name}.kql')" in module.source
        assert all(chart["title"] for chart in charts)

    def test_kinds(self) -> None:
        """What is shown over time has a column of times first."""
        module = BicepFile.read(MODULE)
        for chart in module.tree["variables"]["charts"]["value"]:
            query = (WORKBOOK / f"{chart['name']}.kql").read_text()
            if chart["visualization"] == "timechart":
                assert "by bin(TimeGenerated" in query
                assert "order by TimeGenerated asc" in query

    @pytest.mark.parametrize("name", sorted(NAMES))
    def test_nothing_has_happened(self, log: Log, name: str) -> None:
        """Without a call there is nothing to show, and no error."""
        assert not [row for row in rows(log, name) if any(row.values())]


class TestCalls:
    def test_what_became_of_them(self, log: Log) -> None:
        """Calls are counted once, by what they came to in the end."""
        log.call(report(OutcomeKind.ACCEPTED))
        log.call(given_up())
        log.call(DeliveryReport(EventResult.MISSED, devices=1))
        log.call(DatabaseUnavailableError("It does not answer."))
        log.call(DeliveryReport(EventResult.SKIPPED, "the callee has no registered device"))
        log.call(report(OutcomeKind.TRANSIENT, redeliver=True), event_id="again", minutes_ago=0.5)
        log.call(report(OutcomeKind.ACCEPTED), event_id="again")
        totals = {kind: sum(row[kind] for row in rows(log, "calls")) for kind in ("rung", "missed", "failed")}
        assert totals == {"rung": 2, "missed": 2, "failed": 1}

    def test_time_to_first_push(self, log: Log) -> None:
        """Percentiles of the time from the event to the first push; calls without a push are left out."""
        for ms in range(100, 200):
            log.call(report(OutcomeKind.ACCEPTED, first_push_age_ms=ms), minutes_ago=60)
        log.call(DeliveryReport(EventResult.MISSED, devices=1), minutes_ago=60)
        (row,) = rows(log, "time-to-first-push")
        assert row["p50"] == pytest.approx(150, abs=2)
        assert row["p95"] == pytest.approx(195, abs=2)
        assert row["p99"] == pytest.approx(199, abs=2)

    def test_objective(self, log: Log) -> None:
        """A day's share of calls in time, and how much of the error budget the others have used."""
        for _ in range(19):
            log.call(report(OutcomeKind.ACCEPTED, first_push_age_ms=300))
        log.call(report(OutcomeKind.ACCEPTED, first_push_age_ms=3_000))
        log.call(report(OutcomeKind.ACCEPTED, first_push_age_ms=300), minutes_ago=3 * 24 * 60)
        days = rows(log, "objective")
        assert [row["in_time_percent"] for row in days if row["day"] > _days_ago(2)] == [95.0]
        assert days[0]["budget_used"] == 50.0
        assert (days[-1]["in_time_percent"], days[-1]["budget_used"]) == (100.0, 0.0)


def _days_ago(days: int) -> datetime:
    return (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None)


class TestDevices:
    def test_outcomes(self, log: Log) -> None:
        """Accepted devices are counted, and each that was not by what it came to."""
        log.call(report(OutcomeKind.ACCEPTED, devices=3))
        log.call(report(OutcomeKind.GONE))
        log.call(report(OutcomeKind.THROTTLED, devices=2))
        assert {row["outcome"]: row["devices"] for row in rows(log, "outcomes")} == {
            "accepted": 3,
            "throttled": 2,
            "gone": 1,
        }

    def test_by_platform(self, log: Log) -> None:
        """The metric has the same totals; what it says of platform and hub is shown beside them."""
        log.call(report(OutcomeKind.ACCEPTED, devices=3))
        log.call(report(OutcomeKind.GONE))
        totals: dict[str, float] = {}
        for row in rows(log, "outcomes-by-platform"):
            totals[row["outcome"]] = totals.get(row["outcome"], 0) + row["devices"]
            assert (row["platform"], row["hub"]) == ("apple", "default")
        assert totals == {"accepted": 3, "gone": 1}

    def test_retries(self, log: Log) -> None:
        """Repeated sends, and deliveries that Event Grid has to repeat."""
        log.call(report(OutcomeKind.ACCEPTED, devices=2, attempts=3))
        log.call(report(OutcomeKind.TRANSIENT, redeliver=True))
        shown = rows(log, "retries")
        assert sum(row["repeated_sends"] for row in shown) == 4
        assert sum(row["repeated_deliveries"] for row in shown) == 1

    def test_dead_devices(self, log: Log) -> None:
        """How many devices were gone, and of how many."""
        log.call(report(OutcomeKind.ACCEPTED, devices=3))
        log.call(report(OutcomeKind.GONE))
        shown = rows(log, "dead-devices")
        assert (sum(row["gone"] for row in shown), sum(row["devices"] for row in shown)) == (1, 4)


class TestFailedCalls:
    @pytest.mark.parametrize(
        ("end", "to_do"),
        [
            (DatabaseUnavailableError("It does not answer."), "failed-events"),
            (InvalidEventError("It is not JSON."), "failed-events"),
            (ConfigurationError("DbName: is missing"), "misconfiguration"),
            (DeliveryReport(EventResult.MISSED, devices=1), "missed-calls"),
            (given_up(), "failed-pushes"),
        ],
    )
    def test_what_to_do(self, log: Log, end: DeliveryReport | Exception, to_do: str) -> None:
        """Each call that failed names a runbook that exists."""
        log.call(end)  # type: ignore[arg-type]
        (row,) = rows(log, "failed-calls")
        assert row["to_do"].startswith(f"{to_do}: ")
        runbooks = (WORKBOOK.parents[1] / "docs" / "operations.md").read_text()
        assert f"\n### {to_do}\n" in runbooks

    def test_calls_that_ring(self, log: Log) -> None:
        """What went well, and what will be tried again, is not among them."""
        log.call(report(OutcomeKind.ACCEPTED))
        log.call(report(OutcomeKind.TRANSIENT, redeliver=True))
        assert rows(log, "failed-calls") == []
