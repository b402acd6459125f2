"""What the app says about itself: structured log lines, metric names, fingerprints. No business rule.

Device tokens, keys, SAS tokens, call contexts and display names are never logged; a user or a device is
named by a fingerprint.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

LOGGER_NAME = "acs_call_push"

_encode = json.JSONEncoder(default=str).encode


class Metric(StrEnum):
    """Every metric of the app, by its OpenTelemetry name."""

    EVENTS = "acs_call_push.events"
    """Events taken; attribute `result`, and `code` where an error of ours ended it."""
    PUSHES = "acs_call_push.pushes"
    """Devices dealt with; attribute `outcome`."""
    RETRIES = "acs_call_push.retries"
    """Sends that were repetitions."""
    FIRST_PUSH_AGE = "acs_call_push.first_push_age"
    """Histogram: age of the call when its first push left, in milliseconds."""
    DELIVERY_DURATION = "acs_call_push.delivery_duration"
    """Histogram: from the event's arrival to the end of its invocation, in milliseconds."""


HISTOGRAMS = frozenset({Metric.FIRST_PUSH_AGE, Metric.DELIVERY_DURATION})


class Metrics(Protocol):
    """Where metrics go."""

    def record(self, metric: Metric, value: float = 1, **attributes: str) -> None:
        """Add `value` to a counter, or to the histogram where the metric is one."""
        ...

    def close(self) -> None:
        """Export what is left and stop."""
        ...


class NoMetrics:
    """Takes metrics and keeps none, where no exporter is configured."""

    def record(self, metric: Metric, value: float = 1, **attributes: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


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
    """Write one structured line: a JSON object whose `event` says what happened.

    Args:
        level: of `logging`.
        event: a stable name, to be searched for.
        fields: numbers, names and fingerprints; None is left out.
    """
    logger = logging.getLogger(LOGGER_NAME)
    if logger.isEnabledFor(level):
        known = {key: value for key, value in fields.items() if value is not None}
        line = _encode({"event": event, **known})
        if len(line) > LONGEST_LINE:
            line = _encode({"event": event, **_shortened(known), "truncated": True})
        # Not `logger.log`, which would look up its caller: that is always here, and costs more than the line.
        logger.handle(logger.makeRecord(LOGGER_NAME, level, __file__, 0, line, (), None))


def _shortened(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields without lists, and with their texts cut."""
    return {
        key: value[:LONGEST_TEXT] if isinstance(value, str) else value
        for key, value in fields.items()
        if isinstance(value, str | int | float | bool)
    }
