"""Metrics to Application Insights through OpenTelemetry; imported only where a connection string is set."""

from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter
from opentelemetry.metrics import Counter, Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from common.telemetry import HISTOGRAMS, Metric
from models.errors import ConfigurationError

EXPORT_INTERVAL_MILLISECONDS = 60_000


class ApplicationInsightsMetrics:
    """Counts and measures, exported once a minute by a thread of its own."""

    def __init__(self, connection_string: str) -> None:
        """Start exporting.

        Args:
            connection_string: of an Application Insights resource.

        Raises:
            ConfigurationError: the connection string cannot be used; it is not quoted.
        """
        try:
            # Nothing is kept on disk: numbers that come late are worth less than the space.
            exporter = AzureMonitorMetricExporter(
                connection_string=connection_string, disable_offline_storage=True
            )
        except ValueError:
            raise ConfigurationError(
                "APPLICATIONINSIGHTS_CONNECTION_STRING cannot be used: copy it again."
            ) from None
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=EXPORT_INTERVAL_MILLISECONDS)
        # The provider is ours alone: the process-wide one belongs to the Functions worker.
        self._provider = MeterProvider([reader], resource=Resource.create({"service.name": "acs-call-push"}))
        meter = self._provider.get_meter("acs_call_push")
        self._counters: dict[Metric, Counter] = {}
        self._histograms: dict[Metric, Histogram] = {}
        for metric in Metric:
            if metric in HISTOGRAMS:
                self._histograms[metric] = meter.create_histogram(metric.value, unit="ms")
            else:
                self._counters[metric] = meter.create_counter(metric.value)

    def record(self, metric: Metric, value: float = 1, **attributes: str) -> None:
        """Add `value` to the metric's counter or histogram."""
        if metric in self._histograms:
            self._histograms[metric].record(value, attributes)
        else:
            self._counters[metric].add(value, attributes)

    def close(self) -> None:
        """Export what is left and stop the thread."""
        self._provider.shutdown()
