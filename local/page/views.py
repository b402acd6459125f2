"""Everything that the page shows, as typed values; camelCase in JSON, times in Unix seconds."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

type Answer = Literal["accepted", "declined", "ended"]
"""What the user of a phone did with a call; `ended`: hung up after accepting."""


class View(BaseModel):
    """Frozen; camelCase in JSON."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True, extra="forbid")


class AttemptView(View):
    """One request to send at the hub. `result`: its status, or the fault that suppressed the answer."""

    at: float
    result: str
    accepted: bool
    reason: str | None
    tracking_id: str


class PushView(View):
    """An accepted push, secrets masked; `body_bytes` is the size of the unmasked body."""

    sequence: int
    received_at: float
    expires_at: float | None
    headers: Mapping[str, str]
    body: str
    body_bytes: int
    tracking_id: str
    notification_id: str


class RingView(View):
    """One call on one phone: its pushes and the requests to send them, oldest first.

    `answer`: `elsewhere` if another phone accepted; `None` before any answer. `expires_at`: of the last push;
    `None` without one. `began`: the event time, if known.
    """

    call_id: str
    caller: str | None
    answer: Answer | Literal["elsewhere"] | None
    expires_at: float | None
    began: float | None
    pushes: tuple[PushView, ...]
    attempts: tuple[AttemptView, ...]


class PhoneView(View):
    """A registered device; `id` is the field `device` of the app's lines. Newest call first."""

    id: str
    platform: str
    user: str
    device_uuid: str
    token: str
    expires_at: float
    rings: tuple[RingView, ...]


class LineView(View):
    """A structured line of the app; `time` as the host wrote it."""

    time: str
    level: str
    fields: Mapping[str, Any]


class DeliveryView(View):
    """One delivery to the webhook. `status` is `None` while it runs, and if `problem` says why."""

    at: float
    status: int | None
    took_ms: int | None
    problem: str | None


class EventView(View):
    """An IncomingCall event. Of one that this page did not place only the lines are known."""

    id: str
    at: float
    call_id: str | None
    callee: str | None
    caller: str | None
    schema_name: str | None
    event_time: float | None
    deliveries: tuple[DeliveryView, ...]
    lines: tuple[LineView, ...]


class FaultView(View):
    """An active fault; `times` is `None` for "until it is cleared"."""

    kind: str
    status: int | None
    retry_after: str | None
    delay_seconds: float
    times: int | None


class HubView(View):
    """The faults of the simulated hub."""

    delay_seconds: float
    faults: tuple[FaultView, ...]


class Snapshot(View):
    """The whole page. `more_phones`: registered but not shown; `problem`: a source that does not answer."""

    phones: tuple[PhoneView, ...]
    more_phones: int
    hub: HubView
    events: tuple[EventView, ...]
    other_lines: tuple[LineView, ...]
    problem: str | None
