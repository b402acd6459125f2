"""The app's metrics, through OpenTelemetry's API. What records and exports them: see `common/tracing.py`."""

from enum import StrEnum

from opentelemetry import metrics

from common.telemetry import LOGGER_NAME, Harmless
from common.version import VERSION


class Metric(StrEnum):
    """Every metric of the app, by its OpenTelemetry name."""

    EVENTS = "acs_call_push.events"
    """Events taken; attribute `result`, and `code` where an error of ours ended it."""
    PUSHES = "acs_call_push.pushes"
    """Devices dealt with; attributes `outcome`, `platform` and `hub`."""
    RETRIES = "acs_call_push.retries"
    """Sends that were repetitions."""
    FIRST_PUSH_AGE = "acs_call_push.first_push_age"
    """Histogram: age of the call when its first push left, in milliseconds."""
    DELIVERY_DURATION = "acs_call_push.delivery_duration"
    """Histogram: from the event's arrival to the end of its invocation, in milliseconds."""
    TIME_TO_RING = "acs_call_push.time_to_ring"
    """Histogram: from the event's time to the report of a phone that it rings, in milliseconds; attribute
    `platform`."""
    STOPS = "acs_call_push.stops"
    """Stop pushes that the hub has taken."""
    MISSED_CALLS_TOLD = "acs_call_push.missed_calls_told"
    """Notifications of missed calls that the hub has taken."""


HISTOGRAMS = frozenset({Metric.FIRST_PUSH_AGE, Metric.DELIVERY_DURATION, Metric.TIME_TO_RING})
"""In milliseconds. All other metrics are counters."""


class Metrics:
    """Counts and measures. Safe to share between threads."""

    def __init__(self, meter: metrics.Meter | None) -> None:
        """Take a meter of the SDK; None records nothing."""
        self._harmless = Harmless("metrics")
        self._counters: dict[Metric, metrics.Counter] = {}
        self._histograms: dict[Metric, metrics.Histogram] = {}
        if meter is None:
            return
        with self._harmless:
            for metric in Metric:
                if metric in HISTOGRAMS:
                    self._histograms[metric] = meter.create_histogram(metric.value, unit="ms")
                else:
                    self._counters[metric] = meter.create_counter(metric.value)

    @classmethod
    def of_process(cls) -> "Metrics":
        """Over what the Functions worker has set up, if anything; it does so before it loads the app."""
        with Harmless("metrics"):
            return cls(metrics.get_meter(LOGGER_NAME, VERSION))
        return cls(None)

    def record(self, metric: Metric, value: float = 1, **attributes: str) -> None:
        """Add `value` to a counter, or to the histogram where the metric is one."""
        with self._harmless:
            if histogram := self._histograms.get(metric):
                histogram.record(value, attributes)
            elif counter := self._counters.get(metric):
                counter.add(value, attributes)
