"""The app's structured log lines, taken from the output of a host process."""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from common.telemetry import LOGGER_NAME

KEPT_LINES = 300

_STRUCTURED = re.compile(
    rf"\S+ (?P<time>\S+) (?P<level>[A-Z]+) +{re.escape(LOGGER_NAME)}: (?P<fields>\{{.*\}})"
)
_INVOCATION = re.compile(r"Execut(?:ing|ed) 'Functions\.")


@dataclass(frozen=True, slots=True)
class StructuredLine:
    """One line of `telemetry.log`. `at`: Unix seconds when it was read; `time`: as the host wrote it."""

    at: float
    time: str
    level: str
    fields: Mapping[str, Any]

    @property
    def event_id(self) -> str | None:
        """The Event Grid event that the line is about, if any."""
        value = self.fields.get("event_id")
        return value if isinstance(value, str) else None


class HostLines:
    """Keeps the last structured lines. Pass it to a stack as `on_line`. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock`: Unix seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: deque[StructuredLine] = deque(maxlen=KEPT_LINES)
        self._on_activity: Callable[[], object] | None = None

    def __call__(self, _stream: str, line: str) -> None:
        """Read a line of either stream."""
        structured = _parse(line, self._clock())
        with self._lock:
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


def _parse(line: str, at: float) -> StructuredLine | None:
    match = _STRUCTURED.fullmatch(line)
    if match is None:
        return None
    try:
        return StructuredLine(at, match["time"], match["level"], json.loads(match["fields"]))
    except ValueError:
        return None
