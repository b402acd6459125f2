"""Everything that the page shows, as typed values; camelCase in JSON, times in Unix seconds."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

type Tone = Literal["good", "plain", "warn", "bad", "live"]
"""How a result is to be taken; `live`: it is still under way."""

type Lane = Literal["caller", "grid", "app", "ledger", "devices", "hub", "phone"]
"""Which part of the system a step happens in."""


class View(BaseModel):
    """Frozen; camelCase in JSON."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True, extra="forbid")


class UserView(View):
    """A user that has a phone or is part of a call."""

    mri: str
    name: str


class NotificationView(View):
    """A visible notification on a phone."""

    title: str
    body: str
    at: float


class PhoneCallView(View):
    """A call on a phone. `until`: when its push expires; `reason`: why it has stopped ringing."""

    call_id: str
    caller: str
    state: str
    reason: str | None
    began: float
    until: float | None
    rings: int


class TokenView(View):
    """A registered token, masked. `gone`: the hub has called the device gone."""

    purpose: str
    hub: str
    token: str
    expires_at: float
    gone: bool


class PhoneView(View):
    """A registered device. `call`: on its screen, or the last one.

    `received`: sequence numbers of the pushes that have arrived last, the newest last.
    """

    id: str
    name: str
    platform: str
    user: str
    nickname: str
    device_uuid: str
    tokens: tuple[TokenView, ...]
    is_uninstalled: bool
    received: tuple[int, ...]
    call: PhoneCallView | None
    notification: NotificationView | None


class TryView(View):
    """One request to the hub. `waited`: seconds since the one before; `ms`: how long it took, if known."""

    result: str
    reason: str | None
    accepted: bool
    ms: float | None
    waited: float | None
    tracking_id: str


class WorkView(View):
    """A piece of work with the database that a step caused."""

    text: str
    ms: float


class StepView(View):
    """One step in the story of a call.

    `pushes`: sequence numbers of pushes that can be looked at; `fields`: of a log line; `event_id`: of an
    event that can be delivered again.
    """

    id: str
    at: float
    lane: Lane
    tone: Tone
    text: str
    detail: str | None = None
    ms: float | None = None
    tries: tuple[TryView, ...] = ()
    work: tuple[WorkView, ...] = ()
    pushes: tuple[int, ...] = ()
    fields: Mapping[str, Any] | None = None
    event_id: str | None = None
    due: float | None = None
    """When Event Grid delivers again."""


class CallView(View):
    """A call. `rang` of `devices` phones; `ms`: from the first delivery to the last phone's first push."""

    id: str
    at: float
    caller: str
    callee: UserView | None
    call_id: str | None
    schema_name: str | None
    result: str
    tone: Tone
    rang: int
    devices: int | None
    ms: int | None
    placed_here: bool
    can_hang_up: bool
    steps: tuple[StepView, ...]


class LineView(View):
    """A structured line of the app; `time` as the host wrote it."""

    time: str
    level: str
    fields: Mapping[str, Any]


class FaultView(View):
    """An active fault; `times` is `None` for "until it is cleared"."""

    kind: str
    status: int | None
    retry_after: str | None
    delay_seconds: float
    times: int | None


class HubView(View):
    """The simulated hub: its faults, and the delay before every answer."""

    delay_seconds: float
    faults: tuple[FaultView, ...]


class OptionsView(View):
    """What is switched on: see `commands.SetOptions`."""

    redelivery: bool
    call_events: bool
    reports: bool


class PushView(View):
    """A push that the hub accepted, secrets masked; `body_bytes` is the size of the unmasked body."""

    sequence: int
    received_at: float
    expires_at: float | None
    headers: Mapping[str, str]
    body: str
    body_bytes: int
    tracking_id: str
    notification_id: str


class Snapshot(View):
    """The whole page. `more_phones`: registered but not shown; `problem`: a source that does not answer."""

    users: tuple[UserView, ...]
    phones: tuple[PhoneView, ...]
    more_phones: int
    hub: HubView
    options: OptionsView
    calls: tuple[CallView, ...]
    lines: tuple[LineView, ...]
    problem: str | None
