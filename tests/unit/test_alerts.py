"""The alerts' queries, run over lines that the app itself writes."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from common import telemetry
from local.samples import incoming_call_data
from models.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    DeliveryIncompleteError,
    InvalidEventError,
    ServiceError,
)
from models.push import OutcomeKind
from push.delivery import DeliveryReport
from push.event_log import EventResult
from push.grace import Grace
from push.trigger import EventHandler, push_blueprint
from registrar.routes import answer
from tests.fakes import FakeClock, Invocation
from tests.log_queries import Log, Rows, given_up, report

ALERTS = Path(__file__).parents[2] / "infra" / "alerts"
NAMES = {"missed-calls", "failed-events", "failed-pushes", "misconfiguration", "slow-calls"}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def rows(log: Log, alert: str) -> Rows:
    """What an alert's query finds."""
    return log.query((ALERTS / f"{alert}.kql").read_text())


def found(log: Log) -> dict[str, int]:
    """How many rows each alert finds, for those that find any."""
    counts = {alert: len(rows(log, alert)) for alert in NAMES}
    return {alert: count for alert, count in counts.items() if count}


class TestQuiet:
    def test_what_goes_well(self, log: Log) -> None:
        """Calls that ring, duplicates, calls to users without devices and dead devices raise no alert."""
        log.call(report(OutcomeKind.ACCEPTED))
        log.call(report(OutcomeKind.GONE))
        log.call(DeliveryReport(EventResult.DUPLICATE))
        log.call(DeliveryReport(EventResult.SKIPPED, "the callee has no registered device"))
        log.event(
            json.dumps({"id": "1", "eventType": "Other"}),
            DeliveryReport(EventResult.SKIPPED, "the callee has no registered device"),
        )
        assert found(log) == {}

    def test_another_instance_is_ringing(self, log: Log) -> None:
        """An event that is left to its holder is no failure."""
        log.call(DeliveryIncompleteError("Another instance is still ringing."))
        assert found(log) == {}

    def test_every_query_is_an_alert(self) -> None:
        """Each query is used by an alert of its name, and there are no others."""
        assert {path.stem for path in ALERTS.iterdir()} == NAMES
        bicep = (ALERTS.parent / "modules" / "alerts.bicep").read_text()
        assert set(re.findall(r"    name: '([a-z-]+)'\n    description", bicep)) == NAMES
        for name in NAMES:
            assert f"loadTextContent('../alerts/{name}.kql')" in bicep


class TestMissedCalls:
    def test_too_late(self, log: Log) -> None:
        """An event that comes after the ring is a missed call, with how late it was."""
        log.call(DeliveryReport(EventResult.SKIPPED, "the callee has no registered device"), age=90)
        (row,) = rows(log, "missed-calls")
        assert row["result"] == EventResult.MISSED
        assert 29 < row["late_seconds"] < 40
        assert row["callee"] == telemetry.fingerprint(incoming_call_data()["to"]["rawId"])

    def test_late_within_the_delivery(self, log: Log) -> None:
        """A call that ends before a push can leave is a missed call."""
        log.call(DeliveryReport(EventResult.MISSED, devices=1))
        assert found(log) == {"missed-calls": 1}

    def test_given_up(self, log: Log) -> None:
        """A call of which devices were left over for good is a missed call."""
        log.call(given_up())
        (row,) = rows(log, "missed-calls")
        assert row["result"] == EventResult.GIVEN_UP


class TestFailedEvents:
    @pytest.mark.parametrize(
        "error", [DatabaseUnavailableError("It does not answer."), InvalidEventError("It is not JSON.")]
    )
    def test_failed(self, log: Log, error: ServiceError) -> None:
        """An event that ends in an error is found with the error's code and sentence."""
        log.call(error)
        (row,) = rows(log, "failed-events")
        assert (row["code"], row["detail"]) == (error.code, error.detail)
        assert found(log) == {"failed-events": 1}

    def test_cannot_be_understood(self, log: Log) -> None:
        """An event that is not JSON is a failed one."""
        log.event("{", DeliveryReport(EventResult.SKIPPED, "the callee has no registered device"))
        assert found(log) == {"failed-events": 1}


class TestFailedPushes:
    @pytest.mark.parametrize("kind", [OutcomeKind.REJECTED, OutcomeKind.TRANSIENT, OutcomeKind.THROTTLED])
    def test_failed(self, log: Log, kind: OutcomeKind) -> None:
        """Each device that the hub did not take is a row, with all that there is to ask Azure."""
        log.call(report(kind, redeliver=True, devices=3))
        failed = rows(log, "failed-pushes")
        assert len(failed) == 3
        assert failed[0]["outcome"] == kind.value
        assert (failed[0]["status"], failed[0]["tracking_id"]) == (500, "tracking")
        assert failed[0]["reason"] == "the hub says so"

    def test_misconfigured(self, log: Log) -> None:
        """A misconfigured hub is one alert, not two."""
        log.call(report(OutcomeKind.MISCONFIGURED))
        assert "failed-pushes" not in found(log)


class TestSlowCalls:
    """The alert on the objective: 99.9 % of calls have their first push within 2 s of the event."""

    @staticmethod
    def _calls(log: Log, count: int, *, ms: int | None, minutes_ago: float) -> None:
        for _ in range(count):
            end = report(OutcomeKind.ACCEPTED, first_push_age_ms=ms)
            log.call(end, minutes_ago=minutes_ago)

    def test_fast_enough(self, log: Log) -> None:
        """Calls within 2 s are as they should be."""
        self._calls(log, 20, ms=2_000, minutes_ago=1)
        assert rows(log, "slow-calls") == []

    def test_a_burst(self, log: Log) -> None:
        """Many slow calls now are told within minutes, with how fast the budget burns."""
        self._calls(log, 20, ms=100, minutes_ago=30)
        self._calls(log, 3, ms=2_001, minutes_ago=1)
        by_window = {row["window"]: row for row in rows(log, "slow-calls")}
        assert set(by_window) == {"1h", "6h"}
        assert (by_window["1h"]["calls"], by_window["1h"]["slow"]) == (23, 3)
        assert by_window["1h"]["burn_rate"] == pytest.approx(3 / 23 / 0.001)

    def test_calls_without_a_push(self, log: Log) -> None:
        """A call that was missed, given up or failed had no push in time."""
        log.call(DeliveryReport(EventResult.MISSED, devices=1))
        log.call(given_up())
        log.call(DatabaseUnavailableError("It does not answer."))
        assert {row["slow"] for row in rows(log, "slow-calls")} == {3}

    def test_single_calls(self, log: Log) -> None:
        """Two slow calls are no trend: missed ones have an alert of their own."""
        self._calls(log, 2, ms=5_000, minutes_ago=1)
        assert rows(log, "slow-calls") == []

    def test_it_is_over(self, log: Log) -> None:
        """Slow calls of an hour ago raise nothing once calls are fast again."""
        self._calls(log, 5, ms=5_000, minutes_ago=50)
        self._calls(log, 20, ms=100, minutes_ago=1)
        assert rows(log, "slow-calls") == []

    def test_redelivered(self, log: Log) -> None:
        """A call counts once, by its first push, however often its event was delivered."""
        for _ in range(3):
            first = report(OutcomeKind.TRANSIENT, redeliver=True, first_push_age_ms=150)
            log.call(first, event_id="one", minutes_ago=2)
            log.call(report(OutcomeKind.ACCEPTED, first_push_age_ms=10_400), event_id="one", minutes_ago=1)
        assert rows(log, "slow-calls") == []

    def test_not_a_call(self, log: Log) -> None:
        """Users without devices, duplicates, other events and events that are no calls do not count."""
        for _ in range(5):
            log.call(DeliveryReport(EventResult.SKIPPED, "the callee has no registered device"))
            log.call(DeliveryReport(EventResult.DUPLICATE))
            log.event("{", DeliveryReport(EventResult.SKIPPED, "the callee has no registered device"))
            log.event(
                json.dumps({"id": "1", "eventType": "Other"}),
                DeliveryReport(EventResult.SKIPPED, "the callee has no registered device"),
            )
        assert rows(log, "slow-calls") == []


class TestMisconfiguration:
    def test_the_hub(self, log: Log) -> None:
        """A hub that refuses us is found with what to do about it."""
        log.call(report(OutcomeKind.MISCONFIGURED))
        wrong = rows(log, "misconfiguration")
        assert [row["event"] for row in wrong] == ["misconfigured"]
        assert (wrong[0]["remedy"], wrong[0]["status"]) == ("the hub says so", 500)

    def test_a_setting(self, log: Log) -> None:
        """A setting that is missing is found, by which function it was needed."""

        def missing() -> EventHandler:
            raise ConfigurationError("Settings to correct: DbName: is missing")

        blueprint = push_blueprint(missing, Grace(FakeClock().monotonic))
        (builder,) = blueprint._function_builders
        with pytest.raises(ConfigurationError):
            builder._function.get_user_function()("{}", Invocation())
        (row,) = rows(log, "misconfiguration")
        assert row["remedy"] == "Settings to correct: DbName: is missing"

    def test_the_registrar(self, log: Log) -> None:
        """The registrar's settings count as well."""

        def missing() -> Any:
            raise ConfigurationError("Settings to correct: OidcIssuer: is missing")

        answer("AddDeviceToken", missing)
        (row,) = rows(log, "misconfiguration")
        assert (row["event"], row["code"]) == ("request_failed", "misconfigured")
        assert row["remedy"] == "Settings to correct: OidcIssuer: is missing"

    @pytest.mark.parametrize(
        "event",
        [
            "hub_key_refused",
            "ttl_index_refused",
            "clock_off",
            "registrations_unreadable",
        ],
    )
    def test_other_lines(self, log: Log, event: str) -> None:
        """Other lines that only an operator can do something about are found, with what to do."""
        telemetry.log(logging.ERROR, event, remedy="Do something.")
        assert [row["remedy"] for row in rows(log, "misconfiguration")] == ["Do something."]

    def test_no_token_for_the_database(self, log: Log) -> None:
        """Only a time without a token that costs calls is found."""
        telemetry.log(logging.WARNING, "no_database_token", remedy="Wait.")
        assert found(log) == {}
        telemetry.log(logging.CRITICAL, "no_database_token", remedy="Do something.")
        assert [row["remedy"] for row in rows(log, "misconfiguration")] == ["Do something."]

    def test_their_names_are_in_the_code(self) -> None:
        """Every event that the query names is one that the code writes."""
        query = (ALERTS / "misconfiguration.kql").read_text()
        names = re.findall(r'"(\w+)"', re.findall(r"line\.event\) in \((.*?)\)", query, re.DOTALL)[0])
        root = ALERTS.parents[1]
        code = "".join(
            path.read_text()
            for folder in (".", "common", "push", "push/hub", "registrar")
            for path in (root / folder).glob("*.py")
        )
        assert len(names) >= 5
        assert [name for name in names if f'"{name}"' not in code] == []


class TestRunbook:
    def test_every_query_runs(self, log: Log) -> None:
        """The queries of docs/operations.md run over the lines that the app writes."""
        log.call(report(OutcomeKind.TRANSIENT, redeliver=True))
        text = (ALERTS.parents[1] / "docs" / "operations.md").read_text()
        queries = re.findall(r"```kusto\n(.*?)```", text, re.DOTALL)
        assert len(queries) >= 4
        for query in queries:
            log.query(query)

    def test_every_alert_has_one(self) -> None:
        """Each alert is a heading of docs/operations.md."""
        text = (ALERTS.parents[1] / "docs" / "operations.md").read_text()
        assert [name for name in (*NAMES, "dead-letters") if f"\n### {name}\n" not in text] == []
