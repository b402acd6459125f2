"""What the app says about itself: structured log lines, and fingerprints. No business rule.

Device tokens, keys, SAS tokens, call contexts and display names are never logged; a user or a device is
named by a fingerprint.
"""

import hashlib
import json
import logging
import sys
import threading
from collections.abc import Mapping
from types import TracebackType

from common.version import VERSION

LOGGER_NAME = "acs_call_push"

_encode = json.JSONEncoder(default=str).encode


def fingerprint(secret: str) -> str:
    """A short name for something that must not be written down: the same for the same input.

    Returns:
        The first 16 hexadecimal digits of its SHA-256.
    """
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()[:16]


LONGEST_LINE = 16_384
"""Of a log line, in characters. Application Insights cuts a message at 32,768, which leaves no JSON to
query."""

LONGEST_TEXT = 512
"""Of one text in a line that would be too long."""


def log(level: int, event: str, **fields: object) -> None:
    """Write one structured line: a JSON object whose `event` says what happened, and which has the `version`.

    Args:
        level: of `logging`.
        event: a stable name, to be searched for.
        fields: numbers, names and fingerprints; None is left out.
    """
    logger = logging.getLogger(LOGGER_NAME)
    if not logger.isEnabledFor(level):
        return
    named: dict[str, object] = {"event": event, "version": VERSION}
    known = {key: value for key, value in fields.items() if value is not None}
    line = _encode({**named, **known})
    if len(line) > LONGEST_LINE:
        line = _encode({**named, **_shortened(known), "truncated": True})
    try:
        # Not `logger.log`, which would look up its caller: that is always here, and costs more than the line.
        logger.handle(logger.makeRecord(LOGGER_NAME, level, __file__, 0, line, (), None))
    except Exception:  # noqa: BLE001 - a handler that the worker has set up must not stop a ring
        print(line, file=sys.stderr)  # noqa: T201


def _shortened(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields without lists, and with their texts cut."""
    return {
        key: value[:LONGEST_TEXT] if isinstance(value, str) else value
        for key, value in fields.items()
        if isinstance(value, str | int | float | bool)
    }


class Harmless:
    """`with harmless:` a block whose failure is logged once and goes no further.

    Safe to share between threads. For what only observes the work, such as the OpenTelemetry SDK: no setting
    of it may stop a ring.
    """

    def __init__(self, part: str) -> None:
        """Take what the log line calls it."""
        self._part = part
        self._unlogged = threading.Lock()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> bool:
        if kind is None or not issubclass(kind, Exception):
            return False
        if self._unlogged.acquire(blocking=False):  # never released
            log(logging.WARNING, "telemetry_failed", part=self._part, error=kind.__name__)
        return True
