"""The output of a host process, collected while it runs."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TIMEOUT = 10.0
"""Seconds until a line must have arrived."""

_ENTRY = re.compile(r"\S+ \S+ (?P<level>[A-Z]+) +acs_call_push: (?P<fields>\{.*\})")
_EXCEPTION = re.compile(r"(?:[a-z_]\w*\.)*(?P<name>[A-Z]\w*)(?::|$)")
"""The last line of a traceback; a log line starts with its date."""
_END_OF_INVOCATION = "Executed 'Functions."


@dataclass(frozen=True, slots=True)
class Entry:
    """One structured line of the app."""

    level: str
    fields: dict[str, Any]


class HostLog:
    """Every line of both streams, oldest first. Pass it to a stack as `on_line`. Thread-safe."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, _stream: str, line: str) -> None:
        """Add a line of either stream."""
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()

    def mark(self) -> int:
        """The current end of the log, for `since`."""
        with self._changed:
            return len(self._lines)

    def lines(self, since: int = 0) -> list[str]:
        """The lines after a mark."""
        with self._changed:
            return self._lines[since:]

    def entries(self, since: int = 0, **fields: object) -> list[Entry]:
        """The app's structured lines with these fields."""
        found = [_entry(line) for line in self.lines(since)]
        return [entry for entry in found if entry and fields.items() <= entry.fields.items()]

    def entry(self, since: int = 0, **fields: object) -> Entry:
        """Wait for the only structured line with these fields; AssertionError if there are more."""
        self.wait_until(lambda: bool(self.entries(since, **fields)), f"a line with {fields}", since)
        found = self.entries(since, **fields)
        assert len(found) == 1, found
        return found[0]

    def exceptions(self, since: int) -> list[str]:
        """Wait for the end of an invocation; returns the types of all logged exceptions."""

        def ended() -> bool:
            lines = self.lines(since)
            ends = [number for number, line in enumerate(lines) if _END_OF_INVOCATION in line]
            # The traceback follows the line and ends with an empty one.
            return bool(ends) and ("(Failed" not in lines[ends[-1]] or "" in lines[ends[-1] :])

        self.wait_until(ended, "end of an invocation", since)
        matches = (_EXCEPTION.match(line) for line in self.lines(since))
        return [match["name"] for match in matches if match]

    def wait_until(self, reached: Callable[[], bool], awaited: str, since: int = 0) -> None:
        """Wait for a condition, checked after every line."""
        with self._changed:
            if not self._changed.wait_for(reached, TIMEOUT):
                raise TimeoutError("\n".join([f"no {awaited} in:", *self._lines[since:]]))


def _entry(line: str) -> Entry | None:
    match = _ENTRY.fullmatch(line)
    return Entry(match["level"], json.loads(match["fields"])) if match else None
