"""Spans and metrics, kept in memory by OpenTelemetry's SDK."""

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from common.metrics import Metric, Metrics
from common.tracing import Tracer


class Recording:
    """A tracer of the SDK, and the spans that it has recorded."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = Tracer(self._provider.get_tracer("tests"))

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """By name."""
        return {span.name: span for span in self._exporter.get_finished_spans()}


class RecordedMetrics:
    """Metrics of the SDK, and their sums."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.metrics = Metrics(provider.get_meter("tests"))

    def sum_of(self, metric: Metric) -> float:
        """Of a counter, over all attributes."""
        data = self._reader.get_metrics_data()
        return sum(
            point.value
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for each in scope.metrics
            if each.name == metric.value
            for point in each.data.data_points
            if isinstance(point, NumberDataPoint)
        )
