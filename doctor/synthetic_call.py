"""A test call through the app's own code, delivered as Event Grid delivers."""

import base64
import gzip
import json
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from common.clock import Clock
from common.telemetry import LOGGER_NAME
from models.call import INCOMING_CALL_EVENT_TYPE
from models.errors import ServiceError

CALLER_NAME = "TEST CALL (doctor)"
CALLER_MRI = "8:acs:00000000-0000-0000-0000-000000000000_doctor-test-call"
SOURCE = "/doctor/test-call"
WARNING = (
    "Every device of the user gets a real push for a call that does not exist. A phone may ring (on iOS "
    "every VoIP push has to be shown as a call) and name the caller 'TEST CALL (doctor)'. The call cannot be "
    "answered, and the phone may ring until its app notices."
)

REDELIVERY_PAUSES = (10.0, 30.0)
"""When Event Grid delivers a failed event again, as far as that fits into a ring; in seconds."""


class Handler(Protocol):
    """The app's handler of incoming calls."""

    def handle(self, event: str) -> None:
        """Handle one event; it raises where Event Grid should deliver again."""
        ...


@dataclass(frozen=True, slots=True)
class SyntheticCall:
    """A call that exists as an event only."""

    event_id: str
    call_id: str
    event: str
    """The JSON of its event."""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """How the deliveries of a test call went."""

    count: int
    last_line: dict[str, Any]
    """The last structured line that the handler logged of the event."""
    error: str | None
    """Why Event Grid would deliver once more; None if the last delivery was acknowledged."""


NOTHING_TO_RING = Deliveries(0, {}, "The user has no device that a call rings: see 'user'.")


def synthetic_call(acs_mri: str, now: datetime) -> SyntheticCall:
    """A complete IncomingCall event for the user, without a call."""
    call_id = str(uuid.uuid4())
    event_id = f"doctor-{uuid.uuid4()}"
    event = {
        "id": event_id,
        "source": SOURCE,
        "subject": "doctor/test-call",
        "type": INCOMING_CALL_EVENT_TYPE,
        "specversion": "1.0",
        "time": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "data": {
            "to": {"kind": "communicationUser", "rawId": acs_mri},
            "from": {"kind": "communicationUser", "rawId": CALLER_MRI},
            "callerDisplayName": CALLER_NAME,
            "incomingCallContext": _context(call_id),
            "correlationId": call_id,
        },
    }
    return SyntheticCall(event_id, call_id, json.dumps(event))


def _context(call_id: str) -> str:
    """In the form of a real one, with no call to join in it."""
    inner = base64.b64encode(gzip.compress(json.dumps({"doctorSyntheticCall": call_id}).encode())).decode()
    parts = ({"alg": "none", "typ": "JWT"}, {"cc": inner})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return ".".join([*encoded, ""])


def deliver(
    handler: Handler, call: SyntheticCall, clock: Clock, announce: Callable[[str], None]
) -> Deliveries:
    """Deliver the call, and again when Event Grid would, until it is acknowledged.

    Args:
        handler: the app's.
        call: the test call.
        clock: to wait by.
        announce: gets a sentence before each wait.
    """
    with _captured_lines() as lines:
        error = _deliver_once(handler, call)
        count = 1
        for pause in REDELIVERY_PAUSES:
            if error is None:
                break
            announce(f"{error} Event Grid would deliver it again in {pause:.0f} s; so does the doctor.")
            clock.sleep(pause)
            error = _deliver_once(handler, call)
            count += 1
    about_call = [line for line in lines if line.get("event") == "incoming_call"]
    return Deliveries(count, about_call[-1] if about_call else {}, error)


def _deliver_once(handler: Handler, call: SyntheticCall) -> str | None:
    try:
        handler.handle(call.event)
    except ServiceError as error:
        return error.detail
    return None


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(record.getMessage()))


@contextmanager
def _captured_lines() -> Iterator[list[dict[str, Any]]]:
    """What the app logs in the block; it does not reach the terminal."""
    handler, logger = _Lines(), logging.getLogger(LOGGER_NAME)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
