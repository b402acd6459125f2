"""What the app says of itself, taken from the output of a host process: structured log lines and spans."""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from common.telemetry import LOGGER_NAME

KEPT_LINES = 300
KEPT_SPANS = 4_000

_STRUCTURED = re.compile(
    rf"\S+ (?P<time>\S+) (?P<level>[A-Z]+) +{re.escape(LOGGER_NAME)}: (?P<fields>\{{.*\}})"
)
_INVOCATION = re.compile(r"Execut(?:ing|ed) 'Functions\.")
_SPAN = '{"span": '


@dataclass(frozen=True, slots=True)
class StructuredLine:
    """One line of `telemetry.log`. `at`: Unix seconds when it was read; `time`: as the host wrote it."""

    at: float
    time: str
    level: str
    fields: Mapping[str, Any]

    def text(self, name: str) -> str | None:
        """The value of a field, if it is text."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Span:
    """One piece of the app's work, as `local.host.span_lines` writes it. Times are Unix seconds."""

    trace: str
    id: str
    name: str
    start: float
    end: float
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def milliseconds(self) -> float:
        """How long it took."""
        return round((self.end - self.start) * 1_000, 1)


class HostLines:
    """Keeps the last structured lines and spans. Pass it to a stack as `on_line`. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock`: Unix seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: deque[StructuredLine] = deque(maxlen=KEPT_LINES)
        self._spans: deque[Span] = deque(maxlen=KEPT_SPANS)
        self._on_activity: Callable[[], object] | None = None

    def __call__(self, stream: str, line: str) -> None:
        """Read a line of either stream."""
        span = _parse_span(line) if stream == "stdout" else None
        structured = _parse(line, self._clock()) if span is None else None
        with self._lock:
            if span is not None:
                self._spans.append(span)
            if structured is not None:
                self._lines.append(structured)
            listener = self._on_activity
        if listener is not None and (structured is not None or _INVOCATION.search(line)):
            listener()

    def listen(self, on_activity: Callable[[], object] | None) -> None:
        """Call `on_activity`, from another thread, when an invocation begins, ends or writes a line."""
        with self._lock:
            self._on_activity = on_activity

    def lines(self) -> list[StructuredLine]:
        """Oldest first."""
        with self._lock:
            return list(self._lines)

    def spans(self) -> list[Span]:
        """In the order in which they ended."""
        with self._lock:
            return list(self._spans)


def _parse(line: str, at: float) -> StructuredLine | None:
    match = _STRUCTURED.fullmatch(line)
    if match is None:
        return None
    try:
        return StructuredLine(at, match["time"], match["level"], json.loads(match["fields"]))
    except ValueError:
        return None


def _parse_span(line: str) -> Span | None:
    if not line.startswith(_SPAN):
        return None
    try:
        value = json.loads(line)["span"]
        return Span(
            trace=value["trace"],
            id=value["id"],
            name=value["name"],
            start=value["start"],
            end=value["end"],
            attributes=value["attributes"],
        )
    except (ValueError, LookupError, TypeError):
        return None
