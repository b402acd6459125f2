"""A call that this page places: the events that Communication Services would publish of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from local import samples
from local.page.commands import PlaceCall

type Event = Mapping[str, Any]

_ACKNOWLEDGED = frozenset({200, 201, 202, 203, 204})


@dataclass(slots=True)
class Delivery:
    """One delivery to the webhook. `status` is `None` while it runs, and if `problem` says why."""

    at: float
    trace: str
    status: int | None = None
    took_ms: int | None = None
    problem: str | None = None

    @property
    def is_running(self) -> bool:
        """It has no answer yet."""
        return self.status is None and self.problem is None

    @property
    def is_failed(self) -> bool:
        """It has been refused, or has had no answer."""
        return not self.is_running and self.status not in _ACKNOWLEDGED

    @property
    def is_to_be_repeated(self) -> bool:
        """Event Grid would deliver again: 400 and 413 are final."""
        return self.is_failed and self.status not in {400, 413}


@dataclass(slots=True)
class SentEvent:
    """An event and its deliveries, oldest first. `due`: Unix seconds of the next one, if there will be
    one."""

    kind: str
    """The last part of the event type."""
    event: Event = field(repr=False)
    deliveries: list[Delivery] = field(default_factory=list)
    due: float | None = None

    @property
    def id(self) -> str:
        """The id of the event."""
        return str(self.event["id"])


@dataclass(slots=True)
class PlacedCall:
    """A call and its events, oldest first; the first is IncomingCall. Times are Unix seconds."""

    command: PlaceCall
    data: Mapping[str, Any] = field(repr=False)
    at: float
    event_time: float
    events: list[SentEvent] = field(default_factory=list)
    ended_at: float | None = None

    @classmethod
    def begin(cls, command: PlaceCall, now: datetime) -> "PlacedCall":
        """The call, with its IncomingCall event not yet delivered."""
        began = now - timedelta(seconds=command.age_seconds)
        data = samples.incoming_call_data(command.callee, display_name=command.caller_name)
        call = cls(command, data, now.timestamp(), began.timestamp())
        call.add(data, samples.INCOMING_CALL, began)
        return call

    @property
    def call_id(self) -> str:
        """The correlation id, which is the push's `callId`."""
        return str(self.data["correlationId"])

    @property
    def incoming_call(self) -> SentEvent:
        """The event that rings the phones."""
        return self.events[0]

    def joined(self, now: datetime) -> SentEvent:
        """The callee has joined: CallParticipantAdded."""
        data = samples.participant_added_data(dict(self.data), self.command.callee)
        return self.add(data, samples.PARTICIPANT_ADDED, now)

    def ended(self, now: datetime) -> SentEvent:
        """The call is over: CallEnded."""
        self.ended_at = now.timestamp()
        return self.add(samples.call_ended_data(dict(self.data)), samples.CALL_ENDED, now)

    def add(self, data: Mapping[str, Any], event_type: str, time: datetime) -> SentEvent:
        """Make an event in the call's schema."""
        make: Callable[..., dict[str, Any]] = (
            samples.event_grid_event if self.command.schema_name == "eventGrid" else samples.cloud_event
        )
        sent = SentEvent(
            event_type.rpartition(".")[2], make(dict(data), time=time.astimezone(UTC), kind=event_type)
        )
        self.events.append(sent)
        return sent
