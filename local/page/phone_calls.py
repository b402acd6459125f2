"""How a call stands on a phone (pure): from the pushes it got, what its user did, and the clock."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from local.page.pushes import Message, PushKind


class Action(StrEnum):
    """What the user of a phone does with a call; `ended`: hangs up after answering."""

    ANSWERED = "answered"
    DECLINED = "declined"
    ENDED = "ended"


class CallState(StrEnum):
    """Of a call on one phone."""

    RINGING = "ringing"
    SHOWN = "shown"
    """As a notification, since its VoIP push was refused."""
    ANSWERED = "answered"
    DECLINED = "declined"
    ENDED = "ended"
    STOPPED = "stopped"
    """It rings no more, because the call was answered or declined elsewhere, or has ended."""
    MISSED = "missed"
    """It has rung until its push expired."""
    TOLD = "told"
    """It never rang; the phone has only been told of the missed call."""


OPEN = frozenset({CallState.RINGING, CallState.SHOWN})
"""States in which the user can answer or decline."""


@dataclass(frozen=True, slots=True)
class CallOver:
    """How a call stopped ringing. A phone whose app is connected hears it from the call itself."""

    reason: str
    """`answered`, `declined` or `ended`, as in a stop push."""
    at: float
    phone: str | None = None
    """The phone that has answered or declined."""


@dataclass(frozen=True, slots=True)
class PhoneCall:
    """A call on a phone. Times are Unix seconds."""

    call_id: str
    state: CallState
    caller: str = field(repr=False)
    began: float
    until: float | None
    """When it rings no more by itself."""
    rings: int
    """Pushes that have rung the phone."""
    reason: str | None = None
    """Why it has stopped."""
    notification: Message | None = None
    """The visible notification of the call that came last."""


def phone_calls(
    messages: Iterable[Message],
    actions: Mapping[str, Action],
    over: Mapping[str, CallOver],
    now: float,
    *,
    is_connected: bool,
) -> list[PhoneCall]:
    """The calls on one phone, the newest last.

    Args:
        messages: what was sent to the phone, oldest first.
        actions: what its user did, by call id.
        over: the calls that ring no more, by call id.
        now: Unix seconds.
        is_connected: the app hears of a call's end by itself, as on an iPhone, which gets no stop push.
    """
    by_call: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        if message.has_arrived and message.kind is not PushKind.OTHER:
            by_call[message.call_id].append(message)
    calls = [
        _phone_call(call_id, received, actions.get(call_id), over.get(call_id) if is_connected else None, now)
        for call_id, received in by_call.items()
        if any(message.kind is not PushKind.STOP for message in received)
    ]
    return sorted(calls, key=lambda call: call.began)


def _phone_call(
    call_id: str, received: list[Message], action: Action | None, over: CallOver | None, now: float
) -> PhoneCall:
    rings = [message for message in received if message.kind is PushKind.RING]
    shown = [message for message in received if message.kind in {PushKind.SHOW, PushKind.MISSED}]
    first = next(message for message in received if message.kind is not PushKind.STOP)
    alerts = rings or [message for message in shown if message.kind is PushKind.SHOW]
    state, reason = _state(received, alerts, action, over, now)
    return PhoneCall(
        call_id=call_id,
        state=state,
        caller=next((message.caller for message in reversed(received) if message.caller), "Unknown caller"),
        began=first.received_at,
        until=alerts[-1].expires_at if alerts else None,
        rings=len(rings),
        reason=reason,
        notification=shown[-1] if shown else None,
    )


def _state(
    received: list[Message], alerts: list[Message], action: Action | None, over: CallOver | None, now: float
) -> tuple[CallState, str | None]:
    if action is not None:
        return CallState(action.value), None
    if not alerts:
        return CallState.TOLD, None
    last = alerts[-1]
    # A stop that came before the ring is not about it: the ring may be of a later invitation.
    stops = [each for each in received if each.kind is PushKind.STOP and each.sequence > last.sequence]
    if stops:
        return CallState.STOPPED, stops[0].reason or "ended"
    if over is not None and (last.expires_at is None or over.at < last.expires_at):
        return CallState.STOPPED, over.reason
    if last.expires_at is None or last.expires_at <= now:
        return CallState.MISSED, None
    return (CallState.RINGING if last.kind is PushKind.RING else CallState.SHOWN), None
