"""An event of Event Grid: both schemas in, one envelope out.

Shapes: Event Grid's own schema and CloudEvents 1.0. They differ in names only, and in `specversion`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from models.errors import InvalidEventError
from models.members import Members

MAXIMUM_NAME_BYTES = 1_024
"""Of an event's id, source and type. They are stored and logged; Event Grid's own are far shorter."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What both event schemas say around `data`."""

    event_id: str
    source: str
    """`topic` in the Event Grid schema, `source` in CloudEvents: together with the id it is unique."""
    event_type: str
    time: object
    """When the event happened, as sent; None if the event does not say."""
    data: object = field(repr=False)
    trace_parent: str | None = None
    """Of the CloudEvents extension for distributed tracing, as sent."""
    trace_state: str | None = None


def event_time(time: object) -> datetime | None:
    """An event time, with any offset and any number of fractional digits; without an offset it is UTC.

    One that cannot be read counts as missing, so that the phone rings.
    """
    # A number is no time, though 20260131 would read as a date.
    if not isinstance(time, str):
        return None
    try:
        moment = datetime.fromisoformat(time.strip().upper())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def parse_event(text: str) -> Envelope:
    """Read one event as Event Grid delivers it, in the Event Grid schema or as CloudEvents 1.0.

    Args:
        text: the JSON of one event.

    Raises:
        InvalidEventError: it is no JSON object with an id and a type, each of at most `MAXIMUM_NAME_BYTES`.
    """
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidEventError("The event cannot be understood: it is not JSON.") from None
    if not isinstance(event, dict):
        raise _malformed("event")
    names = _Names(event)
    event_id = names.read("id")
    source = names.read("source", "topic", default="")
    event_type = names.read("type", "eventType")
    if names.malformed:
        raise _malformed(*names.malformed)
    optional = Members(event)
    return Envelope(
        event_id,
        source,
        event_type,
        event.get(_given(event, "time", "eventTime")),
        event.get("data"),
        optional.text("traceparent"),
        optional.text("tracestate"),
    )


def _malformed(*names: str) -> InvalidEventError:
    return InvalidEventError(f"The event cannot be understood: missing or malformed: {', '.join(names)}.")


def _given(event: Mapping[str, object], *spellings: str) -> str:
    """The spelling under which a member is there; the first one if it is not there."""
    return next((each for each in spellings if each in event), spellings[0])


class _Names:
    """Reads members that name the event, and notes which of them are missing or malformed.

    A name is hashed and stored, so half a character in it cannot be replaced: it would be another name.
    """

    def __init__(self, event: Mapping[str, object]) -> None:
        self._event = event
        self.malformed: list[str] = []

    def read(self, *spellings: str, default: str | None = None) -> str:
        """A text of at least one character, unless there is a default."""
        spelling = _given(self._event, *spellings)
        value = self._event.get(spelling, default)
        if isinstance(value, str) and (value or default is not None) and _is_short(value):
            return value
        self.malformed.append(spelling)
        return ""


def _is_short(text: str) -> bool:
    try:
        return len(text.encode()) <= MAXIMUM_NAME_BYTES
    except UnicodeEncodeError:
        return False
