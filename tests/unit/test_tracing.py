"""Spans: recorded where an SDK is set up, and harmless in every case."""

from contextlib import suppress
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import StatusCode

from common.metrics import Metric, Metrics
from common.tracing import NOT_TRACED, Tracer
from tests.fakes import app_log
from tests.recording import Recording

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SECRET = "device-token-4711"


@pytest.fixture
def recording() -> Recording:
    return Recording()


class TestRecorded:
    def test_nested(self, recording: Recording) -> None:
        """A span that begins within another is its child; None is left out of the attributes."""
        with recording.tracer.span("outer"), recording.tracer.span("inner") as inner:
            inner.set({"status": 201, "missing": None})
            inner.rename("renamed")
        outer, renamed = recording.spans["outer"], recording.spans["renamed"]
        assert renamed.parent is not None
        assert renamed.parent.span_id == outer.context.span_id
        assert dict(renamed.attributes or {}) == {"status": 201}
        assert outer.status.status_code is StatusCode.UNSET

    def test_exceptions_are_not_quoted(self, recording: Recording) -> None:
        """An exception marks the span by its type. Its text, which may be secret, is not there."""
        with suppress(ValueError), recording.tracer.span("work"):
            raise ValueError(SECRET)
        span = recording.spans["work"]
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError")
        assert not span.events
        assert SECRET not in span.to_json()

    def test_continued(self, recording: Recording) -> None:
        """The spans of an invocation belong to the trace that the host has begun."""
        with recording.tracer.continuing(PARENT, "vendor=1"), recording.tracer.span("work"):
            pass
        with recording.tracer.span("later"):
            pass
        span = recording.spans["work"]
        assert f"{span.context.trace_id:032x}" == TRACE
        assert span.context.trace_state.to_header() == "vendor=1"
        assert f"{recording.spans['later'].context.trace_id:032x}" != TRACE

    def test_linked(self, recording: Recording) -> None:
        """A span points to the trace that an event comes from."""
        with recording.tracer.span("work") as span:
            span.link(PARENT, None)
        (link,) = recording.spans["work"].links
        assert f"{link.context.trace_id:032x}" == TRACE

    @given(st.text(), st.one_of(st.none(), st.text()))
    def test_any_trace_parent(self, trace_parent: str, trace_state: str | None) -> None:
        """Whatever an event or the host says, the work goes on, in a trace of its own."""
        recording = Recording()
        with recording.tracer.continuing(trace_parent, trace_state), recording.tracer.span("work") as span:
            span.link(trace_parent, trace_state)
        assert not recording.spans["work"].links


class TestNotRecorded:
    def test_nothing_happens(self) -> None:
        """Without an SDK a span is entered, described and left, and changes no context."""
        with NOT_TRACED.continuing(PARENT, None), NOT_TRACED.span("work") as span:
            span.set({"status": 201})
            span.rename("other")
            span.link(PARENT, None)
            span.fail("503")
            assert trace.get_current_span() is trace.INVALID_SPAN
        assert not span.is_recorded

    def test_of_a_process_without_sdk(self) -> None:
        """The tests' own process has set nothing up."""
        assert not Tracer.of_process().is_recording

    @pytest.mark.parametrize("variable", ["OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER"])
    def test_provider_that_cannot_be_loaded(self, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """OpenTelemetry raises where a setting names a provider that is not installed. The app goes on."""
        monkeypatch.setenv(variable, "rubbish")
        with app_log() as log:
            assert not Tracer.of_process().is_recording
            Metrics.of_process().record(Metric.EVENTS, result="delivered")
        assert len(log.events("telemetry_failed")) == 1


class Broken:
    """An SDK of which nothing works."""

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError(f"{name}: {SECRET}")

        return fail


class TestBroken:
    def test_tracer(self) -> None:
        """The work goes on, its own exception is the one that is raised, and one line says so."""
        tracer = Tracer(cast("trace.Tracer", Broken()))
        with app_log() as log:
            for _ in range(3):
                with tracer.continuing(PARENT, None), tracer.span("work") as span:
                    span.set({"status": 201})
                    span.fail("503")
                    span.link(PARENT, None)
                with pytest.raises(ValueError, match="ours"), tracer.span("work"):
                    raise ValueError("ours")
        (line,) = log.events("telemetry_failed")
        assert (line["level"], line["part"], line["error"]) == ("WARNING", "tracing", "RuntimeError")
        assert SECRET not in log.text

    def test_span(self) -> None:
        """A span that begins and then fails is as harmless."""

        class Begins:
            def start_span(self, *_: object, **__: object) -> Broken:
                return Broken()

        with app_log() as log, Tracer(cast("trace.Tracer", Begins())).span("work") as span:
            span.set({"status": 201})
            span.fail("503")
        assert len(log.events("telemetry_failed")) == 1

    def test_metrics(self) -> None:
        """The same for metrics."""
        with app_log() as log:
            broken = Metrics(cast("Meter", Broken()))
            broken.record(Metric.EVENTS, result="delivered")
            broken.record(Metric.DELIVERY_DURATION, 1.5)
        (line,) = log.events("telemetry_failed")
        assert line["part"] == "metrics"
