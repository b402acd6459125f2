"""The alerts' queries, run over lines that the app itself writes."""

import json
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import duckdb
import duckdb_kql
import pytest

from common import telemetry
from common.clock import SystemClock
from common.telemetry import NoMetrics
from local.samples import event_grid_event, incoming_call_data
from models.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    DeliveryIncompleteError,
    InvalidEventError,
    ServiceError,
)
from models.push import DeviceResult, Outcome, OutcomeKind
from push.delivery import Delivery, DeliveryReport, TimeLimits
from push.trigger import EventResult, IncomingCallHandler, push_blueprint
from registrar.routes import answer

ALERTS = Path(__file__).parents[2] / "infra" / "alerts"
NAMES = {"missed-calls", "failed-events", "failed-pushes", "misconfiguration"}
LIMITS = TimeLimits(ring=timedelta(seconds=60), invocation_seconds=20, database_seconds=3)

Rows = list[dict[str, Any]]


class StubDelivery:
    """Comes to whatever it is told to."""

    def __init__(self, end: DeliveryReport | ServiceError) -> None:
        self._end = end

    def deliver(self, *_: object) -> DeliveryReport:
        """The report, or the error."""
        if isinstance(self._end, ServiceError):
            raise self._end
        return self._end


class Log:
    """Runs parts of the app and keeps the lines that they write, as Application Insights would."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        caplog.set_level(logging.DEBUG, logger=telemetry.LOGGER_NAME)

    def call(self, end: DeliveryReport | ServiceError, *, age: float = 1.0) -> None:
        """An incoming call whose delivery comes to `end`."""
        time = datetime.now(UTC) - timedelta(seconds=age)
        event = event_grid_event(incoming_call_data(), time=time)
        self.event(json.dumps(event), end)

    def event(self, text: str, end: DeliveryReport | ServiceError) -> None:
        """An event of any kind."""
        delivery = cast("Delivery", StubDelivery(end))
        handler = IncomingCallHandler(delivery, LIMITS, SystemClock(), NoMetrics())
        with suppress(ServiceError):
            handler.handle(text)

    def rows(self, alert: str) -> Rows:
        """What an alert's query finds."""
        return self.query((ALERTS / f"{alert}.kql").read_text())

    def query(self, text: str) -> Rows:
        """What a query finds."""
        with duckdb.connect() as database:
            database.execute("CREATE TABLE AppTraces (TimeGenerated TIMESTAMP, Message VARCHAR)")
            now = datetime.now(UTC).replace(tzinfo=None)
            for message in ["Executing 'Functions.IncomingCallEventHandler'", *self._messages()]:
                database.execute("INSERT INTO AppTraces VALUES (?, ?)", [now, message])
            found = duckdb_kql.execute(database, text)
            columns = [column[0] for column in found.description]
            return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]

    def found(self) -> dict[str, int]:
        """How many rows each alert finds, for those that find any."""
        counts = {alert: len(self.rows(alert)) for alert in NAMES}
        return {alert: count for alert, count in counts.items() if count}

    def _messages(self) -> Sequence[str]:
        return [
            record.getMessage() for record in self._caplog.records if record.name == telemetry.LOGGER_NAME
        ]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def report(kind: OutcomeKind, *, redeliver: bool = False, devices: int = 1) -> DeliveryReport:
    """A delivery in which every device came to the same."""
    outcome = Outcome(kind, "the hub says so", status=500, tracking_id="tracking")
    results = {f"{number:064x}": DeviceResult(outcome, 1, 100) for number in range(devices)}
    return DeliveryReport(devices=devices, results=results, redeliver=redeliver)


def given_up() -> DeliveryReport:
    """A delivery that left a device over for good."""
    values: dict[str, Any] = {"devices": 1, "results": report(OutcomeKind.TRANSIENT).results, "unfinished": 1}
    known = {field.name for field in fields(DeliveryReport)}
    return DeliveryReport(**{name: value for name, value in values.items() if name in known})


class TestQuiet:
    def test_what_goes_well(self, log: Log) -> None:
        """Calls that ring, duplicates, calls to nobody and dead devices raise no alert."""
        log.call(report(OutcomeKind.ACCEPTED))
        log.call(report(OutcomeKind.GONE))
        log.call(DeliveryReport(duplicate=True))
        log.call(DeliveryReport())
        log.event(json.dumps({"id": "1", "eventType": "Other"}), DeliveryReport())
        assert log.found() == {}

    def test_another_instance_is_ringing(self, log: Log) -> None:
        """An event that is left to its holder is no failure."""
        log.call(DeliveryIncompleteError("Another instance is still ringing."))
        assert log.found() == {}

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
        log.call(DeliveryReport(), age=90)
        (row,) = log.rows("missed-calls")
        assert row["result"] == EventResult.MISSED
        assert 29 < row["late_seconds"] < 40
        assert row["callee"] == telemetry.fingerprint(incoming_call_data()["to"]["rawId"])

    def test_late_within_the_delivery(self, log: Log) -> None:
        """A call that ends before a push can leave is a missed call."""
        log.call(DeliveryReport(devices=1, missed=True))
        assert log.found() == {"missed-calls": 1}

    def test_given_up(self, log: Log) -> None:
        """A call of which devices were left over for good is a missed call."""
        log.call(given_up())
        (row,) = log.rows("missed-calls")
        assert row["result"] == EventResult.GIVEN_UP


class TestFailedEvents:
    @pytest.mark.parametrize(
        "error", [DatabaseUnavailableError("It does not answer."), InvalidEventError("It is not JSON.")]
    )
    def test_failed(self, log: Log, error: ServiceError) -> None:
        """An event that ends in an error is found with the error's code and sentence."""
        log.call(error)
        (row,) = log.rows("failed-events")
        assert (row["code"], row["detail"]) == (error.code, error.detail)
        assert log.found() == {"failed-events": 1}

    def test_cannot_be_understood(self, log: Log) -> None:
        """An event that is not JSON is a failed one."""
        log.event("{", DeliveryReport())
        assert log.found() == {"failed-events": 1}


class TestFailedPushes:
    @pytest.mark.parametrize("kind", [OutcomeKind.REJECTED, OutcomeKind.TRANSIENT, OutcomeKind.THROTTLED])
    def test_failed(self, log: Log, kind: OutcomeKind) -> None:
        """Each device that the hub did not take is a row, with all that there is to ask Azure."""
        log.call(report(kind, redeliver=True, devices=3))
        rows = log.rows("failed-pushes")
        assert len(rows) == 3
        assert rows[0]["outcome"] == kind.value
        assert (rows[0]["status"], rows[0]["tracking_id"]) == (500, "tracking")
        assert rows[0]["reason"] == "the hub says so"

    def test_misconfigured(self, log: Log) -> None:
        """A misconfigured hub is one alert, not two."""
        log.call(report(OutcomeKind.MISCONFIGURED))
        assert "failed-pushes" not in log.found()


class TestMisconfiguration:
    def test_the_hub(self, log: Log) -> None:
        """A hub that refuses us is found with what to do about it."""
        log.call(report(OutcomeKind.MISCONFIGURED))
        rows = log.rows("misconfiguration")
        assert [row["event"] for row in rows] == ["misconfigured"]
        assert (rows[0]["remedy"], rows[0]["status"]) == ("the hub says so", 500)

    def test_a_setting(self, log: Log) -> None:
        """A setting that is missing is found, by which function it was needed."""

        def missing() -> IncomingCallHandler:
            raise ConfigurationError("Settings to correct: DbName: is missing")

        blueprint = push_blueprint(missing)
        (builder,) = blueprint._function_builders
        builder._function.get_user_function()("{}")
        (row,) = log.rows("misconfiguration")
        assert row["remedy"] == "Settings to correct: DbName: is missing"

    def test_the_registrar(self, log: Log) -> None:
        """The registrar's settings count as well."""

        def missing() -> Any:
            raise ConfigurationError("Settings to correct: OidcIssuer: is missing")

        answer("AddDeviceToken", missing)
        (row,) = log.rows("misconfiguration")
        assert (row["event"], row["code"]) == ("request_failed", "misconfigured")
        assert row["remedy"] == "Settings to correct: OidcIssuer: is missing"

    @pytest.mark.parametrize("event", ["hub_key_refused", "ttl_index_refused"])
    def test_other_loud_lines(self, log: Log, event: str) -> None:
        """A key that was refused and a database that sweeps nothing are found."""
        telemetry.log(logging.ERROR, event, remedy="Do something.")
        assert [row["remedy"] for row in log.rows("misconfiguration")] == ["Do something."]

    def test_their_names_are_in_the_code(self) -> None:
        """Every event that the query names is one that the code writes."""
        query = (ALERTS / "misconfiguration.kql").read_text()
        names = re.findall(r'"(\w+)"', re.findall(r"line\.event\) in \((.*?)\)", query)[0])
        root = ALERTS.parents[1]
        code = "".join(
            path.read_text()
            for path in [*root.glob("*.py"), *root.glob("common/*.py"), *root.glob("push/*.py")]
        )
        assert len(names) == 3
        assert [name for name in names if f'"{name}",' not in code] == []


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
