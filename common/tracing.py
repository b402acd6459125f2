"""Spans, through OpenTelemetry's API (https://opentelemetry.io/docs/languages/python/).

The Functions worker sets up what records and exports them before it loads the app, where
`PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY` is true; elsewhere a span costs next to nothing. A failure of
what is set up there never reaches the work that a span is about.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Token
from types import TracebackType
from typing import ClassVar, Self

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from common.telemetry import LOGGER_NAME, Harmless
from common.version import VERSION

__all__ = ["NOT_TRACED", "Span", "SpanKind", "Tracer", "Value"]

Value = str | int | float | bool | None
"""Of an attribute; None is left out. Never a secret, and nothing that names a person."""

_PROPAGATOR = TraceContextTextMapPropagator()


class Span:
    """One piece of work in a trace, as a context manager. This one is not recorded."""

    __slots__ = ()

    is_recorded: ClassVar[bool] = False
    """Whether it is worth working out attributes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        pass

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes."""

    def fail(self, error_type: str) -> None:
        """Mark the work as failed; `error_type` is a stable name, or an HTTP status."""

    def rename(self, name: str) -> None:
        """Give the span another name."""

    def link(self, trace_parent: str | None, trace_state: str | None) -> None:
        """Point to the trace that the work comes from, given as in W3C's Trace Context; None is ignored."""


class _RecordedSpan(Span):
    """A span of the SDK. It is the current one of its context while the block runs."""

    __slots__ = ("_harmless", "_kind", "_name", "_span", "_token", "_tracer")

    is_recorded = True

    def __init__(self, tracer: trace.Tracer, name: str, kind: SpanKind, harmless: Harmless) -> None:
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._harmless = harmless
        self._span: trace.Span = trace.INVALID_SPAN
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        with self._harmless:
            # Exceptions are not recorded: their texts may quote a command or a token.
            self._span = self._tracer.start_span(
                self._name, kind=self._kind, record_exception=False, set_status_on_exception=False
            )
            self._token = contexts.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        if kind is not None:
            self.fail(kind.__name__)
        with self._harmless:
            if self._token is not None:
                contexts.detach(self._token)
            self._span.end()

    def set(self, attributes: Mapping[str, Value]) -> None:
        with self._harmless:
            self._span.set_attributes(
                {name: value for name, value in attributes.items() if value is not None}
            )

    def fail(self, error_type: str) -> None:
        with self._harmless:
            self._span.set_attribute("error.type", error_type)
            self._span.set_status(StatusCode.ERROR, error_type)

    def rename(self, name: str) -> None:
        with self._harmless:
            self._span.update_name(name)

    def link(self, trace_parent: str | None, trace_state: str | None) -> None:
        if trace_parent is None:
            return
        with self._harmless:
            there = trace.get_current_span(_extracted(trace_parent, trace_state)).get_span_context()
            if there.is_valid:
                self._span.add_link(there)


class _Continued:
    """A block in which the current context is that of a span in another process."""

    __slots__ = ("_context", "_harmless", "_token")

    def __init__(self, context: Context, harmless: Harmless) -> None:
        self._context = context
        self._harmless = harmless
        self._token: Token[Context] | None = None

    def __enter__(self) -> None:
        with self._harmless:
            self._token = contexts.attach(self._context)

    def __exit__(self, *_: object) -> None:
        with self._harmless:
            if self._token is not None:
                contexts.detach(self._token)


_UNRECORDED = Span()


class Tracer:
    """Begins spans. Safe to share between threads."""

    def __init__(self, tracer: trace.Tracer | None) -> None:
        """Take a tracer of the SDK; None records nothing."""
        self._tracer = tracer
        self._harmless = Harmless("tracing")

    @classmethod
    def of_process(cls) -> "Tracer":
        """Over what the Functions worker has set up, if anything; it does so before it loads the app."""
        with Harmless("tracing"):
            provider = trace.get_tracer_provider()
            if not isinstance(provider, trace.ProxyTracerProvider):  # else nothing is set up
                return cls(provider.get_tracer(LOGGER_NAME, VERSION))
        return NOT_TRACED

    @property
    def is_recording(self) -> bool:
        """Whether spans are recorded at all."""
        return self._tracer is not None

    def span(self, name: str, kind: SpanKind = SpanKind.INTERNAL) -> Span:
        """A span below the current one: `with tracer.span("…") as span:`."""
        if self._tracer is None:
            return _UNRECORDED
        return _RecordedSpan(self._tracer, name, kind, self._harmless)

    def continuing(self, trace_parent: str | None, trace_state: str | None) -> AbstractContextManager[None]:
        """A block whose spans and log lines belong to a trace that began elsewhere.

        Args:
            trace_parent, trace_state: as in W3C's Trace Context; malformed ones are ignored.
        """
        if self._tracer is None or not trace_parent:
            return nullcontext()
        with self._harmless:
            return _Continued(_extracted(trace_parent, trace_state), self._harmless)
        return nullcontext()


NOT_TRACED = Tracer(None)


def _extracted(trace_parent: str, trace_state: str | None) -> Context:
    return _PROPAGATOR.extract({"traceparent": trace_parent, "tracestate": trace_state or ""}, Context())
