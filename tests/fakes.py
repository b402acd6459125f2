"""A clock that tests turn, registrations to store, and what the app wrote to its log."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from common.clock import Clock, SystemClock
from common.metrics import Metrics
from common.telemetry import LOGGER_NAME
from models.call import IncomingCall
from models.device import DeviceRegistration
from models.identity import Identity
from models.notifications import NotificationOptions
from models.platform import Platform
from push.call_end import CallEnds
from push.call_end_event import CallEndHandler
from push.delivery import Delivery, TimeLimits
from push.grace import Grace
from push.incoming_call import IncomingCallHandler, IncomingCallTools
from push.ledger import Ledger
from push.ledger_entry import RingFacts
from push.trigger import EventHandler, EventTools

# Far ahead, so that no database's own clock finds a test's documents expired.
NOW = datetime(2100, 1, 31, 12, 0, 0, tzinfo=UTC)

ALICE = "8:acs:resource_alice"
BOB = "8:acs:resource_bob"
TEAMS_USER = "8:orgid:teams-user"


class FakeClock:
    """A clock that moves only when `sleep` is called."""

    def __init__(self, now: datetime = NOW) -> None:
        self._start = now
        self._elapsed = 0.0

    def now(self) -> datetime:
        """The current time."""
        return self._start + timedelta(seconds=self._elapsed)

    def unix(self) -> float:
        """The current Unix time, in seconds."""
        return self.now().timestamp()

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Move the clock; returns at once."""
        self._elapsed += seconds


class ShiftedClock(SystemClock):
    """The machine's clock, turned forward or back."""

    def __init__(self, wrong_by: float = 0.0) -> None:
        """Take by how many seconds the time of day is wrong; negative is behind."""
        self._wrong_by = timedelta(seconds=wrong_by)
        self._turned = 0.0

    def now(self) -> datetime:
        """The wrong time."""
        return super().now() + self._wrong_by + timedelta(seconds=self._turned)

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return super().monotonic() + self._turned

    def turn(self, seconds: float) -> None:
        """Let time pass at once."""
        self._turned += seconds


def registration(
    acs_mri: str = ALICE,
    device_uuid: str = "phone",
    device_token: str = "token-1",
    platform: Platform = Platform.APPLE,
    expires_at: datetime = NOW + timedelta(days=1),
) -> DeviceRegistration:
    """A registration with one thing changed."""
    return DeviceRegistration(Identity.parse(acs_mri), device_uuid, device_token, platform, expires_at)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class AppLog:
    """What the app wrote to its log."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        self._records = records

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(record.getMessage() for record in self._records)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The fields of the lines of one event, with `level` added and without the version."""
        lines = [(record.levelname, json.loads(record.getMessage())) for record in self._records]
        found = [{**fields, "level": level} for level, fields in lines if fields["event"] == name]
        return [{key: value for key, value in fields.items() if key != "version"} for fields in found]


@contextmanager
def app_log() -> Iterator[AppLog]:
    """Listen to the app's log."""
    handler = _Lines()
    logger = logging.getLogger(LOGGER_NAME)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield AppLog(handler.records)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


class Invocation:
    """What the worker hands a function that asks for its context."""

    def __init__(self, trace_parent: str = "", trace_state: str = "") -> None:
        self.trace_context = SimpleNamespace(trace_parent=trace_parent, trace_state=trace_state)


class NoLedger:
    """Keeps no notes, and knows no event."""

    def known(self, *_: object) -> None:
        """Of no delivery."""

    def note(self, *_: object) -> None:
        """Do nothing."""


class NoEnds:
    """Knows of no end of a call."""

    options = NotificationOptions()

    def facts_of(self, call: IncomingCall) -> RingFacts:
        """What the ledger keeps of a call."""
        return RingFacts.of(call, with_display_name=False)

    def not_rung(self, *_: object) -> None:
        """Do nothing."""


def event_handler(
    delivery: object, limits: TimeLimits, clock: Clock, metrics: Metrics | None = None
) -> EventHandler:
    """A handler of events over a stand-in for the delivery."""
    ends = cast("CallEnds", NoEnds())
    tools = IncomingCallTools(cast("Delivery", delivery), ends, cast("Ledger", NoLedger()), clock)
    database = Grace(clock.monotonic)
    return EventHandler(
        EventTools(
            IncomingCallHandler(tools, limits),
            CallEndHandler(ends, clock, limits, database),
            clock,
            metrics or Metrics(None),
            database,
        )
    )
