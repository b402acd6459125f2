"""The app's own log lines and metrics in tables as Log Analytics has them, and KQL queries over them."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import duckdb_kql
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from common import telemetry
from common.clock import SystemClock
from common.metrics import Metrics
from local.samples import event_grid_event, incoming_call_data
from models.errors import ServiceError
from models.push import DeviceResult, Outcome, OutcomeKind
from push.delivery import DeliveryReport, TimeLimits
from push.event_log import EventResult
from tests.fakes import event_handler

LIMITS = TimeLimits(
    ring_time=timedelta(seconds=60), invocation_seconds=20, database_seconds=3, send_seconds=7
)

Rows = list[dict[str, Any]]


class StubDelivery:
    """Returns the result that it is given."""

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
        self._ages: dict[int, float] = {}
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self._metrics = Metrics(self._meters.get_meter("tests"))
        caplog.set_level(logging.DEBUG, logger=telemetry.LOGGER_NAME)

    def call(
        self,
        end: DeliveryReport | ServiceError,
        *,
        age: float = 1.0,
        event_id: str | None = None,
        minutes_ago: float = 0,
    ) -> None:
        """An incoming call whose delivery comes to `end`.

        Args:
            end: what the delivery comes to.
            age: of the event when it arrives, in seconds.
            event_id: the same one means a redelivery.
            minutes_ago: when its lines were written.
        """
        before = len(self._records())
        time = datetime.now(UTC) - timedelta(seconds=age)
        event = event_grid_event(incoming_call_data(), time=time)
        if event_id:
            event = {**event, "id": event_id, "data": {**event["data"], "correlationId": f"call-{event_id}"}}
        self.event(json.dumps(event), end)
        self._ages |= dict.fromkeys(range(before, len(self._records())), minutes_ago)

    def event(self, text: str, end: DeliveryReport | ServiceError) -> None:
        """An event of any kind."""
        handler = event_handler(StubDelivery(end), LIMITS, SystemClock(), self._metrics)
        with suppress(ServiceError):
            handler.handle(text)

    def query(self, text: str) -> Rows:
        """What a query finds."""
        with duckdb.connect() as database:
            now = datetime.now(UTC).replace(tzinfo=None)
            database.execute(
                "CREATE TABLE AppTraces (TimeGenerated TIMESTAMP, Message VARCHAR, SeverityLevel INT, "
                "OperationId VARCHAR)"
            )
            database.execute(
                "CREATE TABLE AppDependencies (TimeGenerated TIMESTAMP, Name VARCHAR, "
                "DependencyType VARCHAR, Target VARCHAR, ResultCode VARCHAR, Success BOOLEAN, "
                "DurationMs DOUBLE, Properties JSON, "
                "OperationId VARCHAR)"
            )
            traces = "INSERT INTO AppTraces (TimeGenerated, Message, SeverityLevel) VALUES (?, ?, ?)"
            database.execute(traces, [now, "Executing 'Functions.IncomingCallEventHandler'", 1])
            for index, record in enumerate(self._records()):
                written = now - timedelta(minutes=self._ages.get(index, 0))
                severity = record.levelno // 10 - 1  # logging.DEBUG is 10 and 0 there, CRITICAL is 50 and 4
                database.execute(traces, [written, record.getMessage(), severity])
            database.execute(
                "CREATE TABLE AppMetrics (TimeGenerated TIMESTAMP, Name VARCHAR, Sum DOUBLE, Properties JSON)"
            )
            for name, total, attributes in self._measured():
                row = [now, name, total, json.dumps(dict(attributes))]
                database.execute("INSERT INTO AppMetrics VALUES (?, ?, ?, ?)", row)
            found = duckdb_kql.execute(database, text)
            columns = [column[0] for column in found.description]
            return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]

    def _measured(self) -> Iterator[tuple[str, float, Mapping[str, Any]]]:
        """Name, sum and attributes of every point, as the exporter sends them."""
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        total = point.value if isinstance(point, NumberDataPoint) else point.sum
                        yield metric.name, total, point.attributes or {}

    def _records(self) -> Sequence[logging.LogRecord]:
        return [record for record in self._caplog.records if record.name == telemetry.LOGGER_NAME]


def report(
    kind: OutcomeKind,
    *,
    redeliver: bool = False,
    devices: int = 1,
    first_push_age_ms: int | None = None,
    attempts: int = 1,
) -> DeliveryReport:
    """A delivery in which every device came to the same."""
    outcome = Outcome(kind, "the hub says so", status=500, tracking_id="tracking")
    results = {
        f"{number:064x}": DeviceResult(outcome, attempts, 100, platform="apple") for number in range(devices)
    }
    settled = {OutcomeKind.ACCEPTED: EventResult.DELIVERED, OutcomeKind.GONE: EventResult.SKIPPED}
    result = EventResult.INCOMPLETE if redeliver else settled.get(kind, EventResult.GIVEN_UP)
    return DeliveryReport(result, devices=devices, results=results, first_push_age_ms=first_push_age_ms)


def given_up() -> DeliveryReport:
    """A delivery that left a device over for good."""
    return report(OutcomeKind.TRANSIENT)
