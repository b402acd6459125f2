"""`ring`: a test call through the app's own code, with the doctor in Event Grid's place."""

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
NO_CALLER = "8:acs:00000000-0000-0000-0000-000000000000_doctor-test-call"
SOURCE = "/doctor/test-call"
WARNING = (
    "Every device of the user gets a real push, but the call that it announces does not exist. A phone may "
    "ring (on iOS every VoIP push has to be shown as a call) and name the caller 'TEST CALL (doctor)'. "
    "Nobody can answer, and it may ring until the app notices."
)

REDELIVERY_PAUSES = (10.0, 30.0)
"""When Event Grid delivers a failed event again, as far as that fits into a ring; in seconds."""


class Handler(Protocol):
    """The app's handler of incoming calls."""

    def handle(self, event: str) -> None:
        """Take one event; raises what Event Grid would deliver again."""
        ...


@dataclass(frozen=True, slots=True)
class SyntheticCall:
    """A call that nobody makes."""

    event_id: str
    call_id: str
    event: str
    """The JSON of its event."""


@dataclass(frozen=True, slots=True)
class RingOutcome:
    """How the deliveries of a test call went."""

    deliveries: int
    last_line: dict[str, Any]
    """The last structured line that the handler wrote about the event."""
    error: str | None
    """Why the last delivery would have been repeated; None if it was acknowledged."""


NOTHING_TO_RING = RingOutcome(0, {}, "The user has no device that could ring: see 'user'.")


def synthetic_call(acs_mri: str, now: datetime) -> SyntheticCall:
    """An IncomingCall event for the user, complete but for a call behind it."""
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
            "from": {"kind": "communicationUser", "rawId": NO_CALLER},
            "callerDisplayName": CALLER_NAME,
            "incomingCallContext": _context(call_id),
            "correlationId": call_id,
        },
    }
    return SyntheticCall(event_id, call_id, json.dumps(event))


def _context(call_id: str) -> str:
    """Shaped as the real one, with nothing to join in it."""
    inner = base64.b64encode(gzip.compress(json.dumps({"doctorSyntheticCall": call_id}).encode())).decode()
    parts = ({"alg": "none", "typ": "JWT"}, {"cc": inner})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return ".".join([*encoded, ""])


def ring(handler: Handler, call: SyntheticCall, clock: Clock, tell: Callable[[str], None]) -> RingOutcome:
    """Deliver the call, and again as Event Grid would, until it is acknowledged.

    Args:
        handler: the app's.
        call: the test call.
        clock: to wait by.
        tell: told what is waited for.
    """
    with _heard_lines() as lines:
        error = _deliver(handler, call)
        deliveries = 1
        for pause in REDELIVERY_PAUSES:
            if error is None:
                break
            tell(f"{error} Event Grid would deliver it again in {pause:.0f} s; so does the doctor.")
            clock.sleep(pause)
            error = _deliver(handler, call)
            deliveries += 1
    about = [line for line in lines if line.get("event") == "incoming_call"]
    return RingOutcome(deliveries, about[-1] if about else {}, error)


def _deliver(handler: Handler, call: SyntheticCall) -> str | None:
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
def _heard_lines() -> Iterator[list[dict[str, Any]]]:
    """What the app logs meanwhile; it is kept from the operator's screen."""
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
