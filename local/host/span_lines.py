"""Writes each span of the app as one line of JSON, in the place of an exporter to Application Insights.

`{"span": {"trace", "id", "parent", "name", "start", "end", "attributes"}}`; times are Unix seconds.
"""

import json
from collections.abc import Sequence
from typing import TextIO

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult


def record_spans(out: TextIO) -> None:
    """Record all spans of this process; call it before the app is loaded, as the worker sets tracing up."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_SpanLines(out)))
    trace.set_tracer_provider(provider)


class _SpanLines(SpanExporter):
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            # One write: other threads' lines must not come between.
            self._out.write(json.dumps({"span": _values(span)}) + "\n")
        self._out.flush()
        return SpanExportResult.SUCCESS


def _values(span: ReadableSpan) -> dict[str, object]:
    own = span.get_span_context()
    return {
        "trace": f"{own.trace_id:032x}" if own else "",
        "id": f"{own.span_id:016x}" if own else "",
        "parent": f"{span.parent.span_id:016x}" if span.parent else None,
        "name": span.name,
        "start": (span.start_time or 0) / 1e9,
        "end": (span.end_time or 0) / 1e9,
        "attributes": dict(span.attributes or {}),
    }
