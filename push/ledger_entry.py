"""One event's document in the ledger: the names of its fields, written and read here alone (pure).

A document holds no device token, no call context and no key. Of people it holds the callee's and the caller's
MRI, and the caller's display name where visible notifications need it, for a day.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

from models.call import IncomingCall
from models.hub import DEFAULT_HUB
from models.push import DeviceResult, OutcomeKind
from models.report import DeviceState

Document = dict[str, Any]

REMEMBERED_FOR = timedelta(days=1)
"""Event Grid redelivers for a day at most, and an operator may ask for a day what became of a call."""

SETTLED = frozenset({OutcomeKind.ACCEPTED, OutcomeKind.REJECTED, OutcomeKind.GONE})
"""Outcomes that no redelivery changes. A misconfigured hub may be corrected by then."""


@dataclass(frozen=True)
class EventKey:
    """What names an event, and the call that it is about.

    Event ids have been seen to repeat across calls, and a silent phone is worse than a second ring: an event
    with the same id and another call is another event. Sources are resource ids, which have no letter case.
    """

    source: str
    event_id: str
    call_id: str | None

    @cached_property
    def document_id(self) -> str:
        """64 hexadecimal digits."""
        named = f"{self.source.lower()}\n{self.event_id}\n{(self.call_id or '').lower()}"
        return hashlib.sha256(named.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RingFacts:
    """What an event says of its call, as far as the call's later events and reports need it."""

    source: str
    """In lower case."""
    callee: str
    """MRI in lower case."""
    recipient_id: str
    """The callee's MRI as the event has it."""
    call_id: str | None
    """The correlation id, which the pushes carry as the call's id."""
    keys: tuple[str, ...]
    """Of the call (`models/call_keys.py`)."""
    event_time: datetime | None
    caller_id: str | None = None
    display_name: str | None = field(default=None, repr=False)
    """Kept only where a visible notification may have to show it."""

    @classmethod
    def of(cls, call: IncomingCall, *, with_display_name: bool) -> "RingFacts":
        """The facts of a call."""
        return cls(
            source=call.event_source.lower(),
            callee=call.callee.mri,
            recipient_id=call.recipient_id,
            call_id=call.correlation_id,
            keys=call.keys,
            event_time=call.event_time,
            caller_id=call.caller_mri,
            display_name=call.caller_display_name if with_display_name else None,
        )


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What became of one device's ring."""

    outcome: str
    """Of `OutcomeKind`, or one that another version of the app wrote."""
    reason: str
    status: int | None
    tracking_id: str | None
    attempts: int
    age_ms: int
    """Age of the call when the outcome was known."""
    unanswered: int
    """Tries that may have rung unseen, over all deliveries of the event."""
    device_key: str | None
    """Names the device, also when its token changes."""
    notification_id: str | None = None
    """The hub's name for the push; None where it gave none."""
    hub: str = DEFAULT_HUB

    @property
    def is_settled(self) -> bool:
        """No redelivery sends to the device again."""
        return any(self.outcome == kind.value for kind in SETTLED)

    @property
    def is_accepted(self) -> bool:
        """The hub has taken its push."""
        return self.outcome == OutcomeKind.ACCEPTED.value

    @property
    def is_gone(self) -> bool:
        """The hub calls it gone."""
        return self.outcome == OutcomeKind.GONE.value

    @property
    def may_have_rung(self) -> bool:
        """The hub has taken its push, or may have."""
        return self.is_accepted or self.unanswered > 0

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "DeviceRecord":
        """From the ledger; fields that the version before did not write have defaults."""
        return cls(
            outcome=str(value.get("outcome", "")),
            reason=str(value.get("reason", "")),
            status=value.get("status"),
            tracking_id=value.get("trackingId"),
            attempts=int(value.get("attempts") or 0),
            age_ms=int(value.get("ageMs") or 0),
            unanswered=int(value.get("unanswered") or 0),
            device_key=value.get("device"),
            notification_id=value.get("notificationId"),
            hub=value.get("hub") or DEFAULT_HUB,
        )

    @classmethod
    def of(cls, result: DeviceResult) -> "DeviceRecord":
        """The record of a result."""
        outcome = result.outcome
        return cls(
            outcome=outcome.kind.value,
            reason=outcome.reason,
            status=outcome.status,
            tracking_id=outcome.tracking_id,
            attempts=result.attempts,
            age_ms=result.age_ms,
            unanswered=result.unanswered,
            device_key=result.device_key,
            notification_id=outcome.notification_id,
            hub=result.hub,
        )

    def document(self) -> Document:
        """How it is written."""
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "status": self.status,
            "trackingId": self.tracking_id,
            "attempts": self.attempts,
            "ageMs": self.age_ms,
            "unanswered": self.unanswered,
            "device": self.device_key,
            "notificationId": self.notification_id,
            "hub": self.hub,
        }


@dataclass(frozen=True, slots=True)
class Note:
    """What the devices' outcomes alone do not say: why nothing was sent, or why no more will be."""

    result: str
    """Of `EventResult`."""
    at: datetime
    reason: str | None = None
    code: str | None = None
    late_seconds: float | None = None
    devices: int | None = None
    failed: int | None = None

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Note":
        """From the ledger."""
        return cls(
            result=str(value.get("result", "")),
            at=utc(value["at"]),
            reason=value.get("reason"),
            code=value.get("code"),
            late_seconds=value.get("lateSeconds"),
            devices=value.get("devices"),
            failed=value.get("failed"),
        )

    def document(self) -> Document:
        """How it is written."""
        return _known(
            {
                "result": self.result,
                "at": self.at,
                "reason": self.reason,
                "code": self.code,
                "lateSeconds": self.late_seconds,
                "devices": self.devices,
                "failed": self.failed,
            }
        )


class AnswerKind(StrEnum):
    """How a callee dealt with a call."""

    ANSWERED = "answered"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class Answer:
    """The first word of a device, or of an event, that the callee has answered or declined."""

    kind: AnswerKind
    at: datetime
    device_key: str | None = None
    """The device that said so; None where an event did, which does not say which device it was."""

    def is_of(self, device_key: str, state: DeviceState) -> bool:
        """The device's report of that state was the first word."""
        return self.device_key == device_key and self.kind.value == state.value

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Answer | None":
        """From the ledger; None for a kind that this version does not know."""
        if value.get("kind") not in AnswerKind:
            return None
        return cls(AnswerKind(value["kind"]), utc(value["at"]), value.get("device"))

    def document(self) -> Document:
        """How it is written."""
        return _known({"kind": self.kind.value, "at": self.at, "device": self.device_key})


class NoticeKind(StrEnum):
    """A push about a call, beside its ring. Each is sent once a device and ring."""

    STOP = "stop"
    """Ring no more."""
    MISSED = "missed"
    """A visible notification of a missed call."""
    FALLBACK = "fallback"
    """A visible notification of the incoming call, where its VoIP push was refused."""


class NoticeState(StrEnum):
    """What became of a notice. One that is not there at all may be sent."""

    CLAIMED = "claimed"
    """It is being sent, or the sender has died: better none than two."""
    SENT = "sent"
    UNKNOWN = "unknown"
    """It may have arrived."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One event's document."""

    id: str
    event_id: str
    call_id: str | None
    holder: str
    """Names the invocation that has the lease; empty where none ever had it."""
    lease_until: datetime
    finished: bool
    first_seen: datetime
    expires_at: datetime
    """From then on it is as good as deleted: where no TTL index works, nothing deletes it."""
    facts: RingFacts | None
    """None in an entry of the version before, and of an event that could not be understood."""
    devices: Mapping[str, DeviceRecord]
    """By registration id."""
    note: Note | None = None
    answer: Answer | None = None
    ended_at: datetime | None = None
    """When an event said that the call had ended."""
    reports: Mapping[str, Mapping[DeviceState, datetime]] = field(default_factory=dict)
    """What devices have reported, and when, by device key."""
    notices: Mapping[NoticeKind, Mapping[str, NoticeState]] = field(default_factory=dict)
    """What became of the notices, by device key."""

    @property
    def rings_from(self) -> datetime:
        """When the call began to ring; an event time in the future counts as now."""
        event_time = self.facts.event_time if self.facts else None
        return min(event_time or self.first_seen, self.first_seen)

    @property
    def shown(self) -> frozenset[str]:
        """Keys of the devices that show the incoming call because its VoIP push was refused."""
        fallbacks = self.notices.get(NoticeKind.FALLBACK, {})
        return frozenset(key for key, state in fallbacks.items() if state is NoticeState.SENT)

    @property
    def has_rung(self) -> bool:
        """A device has rung, or shows the call."""
        return bool(self.shown) or any(record.is_accepted for record in self.devices.values())

    def is_held(self, now: datetime) -> bool:
        """An invocation is handling the event."""
        return not self.finished and self.lease_until > now

    def has_ended_for(self, device_key: str) -> bool:
        """The device has reported that it answered or declined."""
        reported = self.reports.get(device_key, {})
        return DeviceState.ANSWERED in reported or DeviceState.DECLINED in reported

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "LedgerEntry":
        """From the database; entries of the version before are read as well."""
        note, answer, ended_at = (document.get(name) for name in ("note", "answer", "endedAt"))
        return cls(
            id=document["_id"],
            event_id=document["eventId"],
            call_id=document.get("callId"),
            holder=document["holder"],
            lease_until=utc(document["leaseUntil"]),
            finished=document["finished"],
            first_seen=utc(document["firstSeenAt"]),
            expires_at=utc(document["expiresAt"]),
            facts=_read_facts(document),
            devices={name: DeviceRecord.read(value) for name, value in document["devices"].items()},
            note=Note.read(note) if note else None,
            answer=Answer.read(answer) if answer else None,
            ended_at=utc(ended_at) if ended_at else None,
            reports=_read_reports(document.get("reports") or {}),
            notices=_read_notices(document.get("notices") or {}),
        )


def new_document(
    key: EventKey, facts: RingFacts | None, holder: str, now: datetime, lease_until: datetime
) -> Document:
    """An event that is seen for the first time, without `_id`."""
    document: Document = {
        "eventId": key.event_id,
        "callId": key.call_id,
        "holder": holder,
        "leaseUntil": lease_until,
        "finished": False,
        "firstSeenAt": now,
        "expiresAt": now + REMEMBERED_FOR,
        "devices": {},
    }
    return document if facts is None else {**document, **_facts_document(facts)}


def device_values(results: Mapping[str, DeviceResult]) -> Document:
    """One field a device: concurrent writers overwrite nothing, and writing twice changes nothing."""
    return {f"devices.{name}": DeviceRecord.of(result).document() for name, result in results.items()}


def _facts_document(facts: RingFacts) -> Document:
    return _known(
        {
            "source": facts.source,
            "callee": facts.callee,
            "recipientId": facts.recipient_id,
            "calls": list(facts.keys),
            "eventTime": facts.event_time,
            "callerId": facts.caller_id,
            "displayName": facts.display_name,
        }
    )


def _read_facts(document: Mapping[str, Any]) -> RingFacts | None:
    if "callee" not in document:
        return None
    event_time = document.get("eventTime")
    return RingFacts(
        source=document["source"],
        callee=document["callee"],
        recipient_id=document["recipientId"],
        call_id=document.get("callId"),
        keys=tuple(document["calls"]),
        event_time=utc(event_time) if event_time else None,
        caller_id=document.get("callerId"),
        display_name=document.get("displayName"),
    )


def _read_reports(value: Mapping[str, Mapping[str, datetime]]) -> dict[str, dict[DeviceState, datetime]]:
    return {
        device: {DeviceState(state): utc(at) for state, at in states.items() if state in DeviceState}
        for device, states in value.items()
    }


def _read_notices(value: Mapping[str, Mapping[str, Any]]) -> dict[NoticeKind, dict[str, NoticeState]]:
    return {
        NoticeKind(kind): {device: _notice_state(notice) for device, notice in notices.items()}
        for kind, notices in value.items()
        if kind in NoticeKind
    }


def _notice_state(notice: Mapping[str, Any]) -> NoticeState:
    state = str(notice.get("state"))
    return NoticeState(state) if state in NoticeState else NoticeState.UNKNOWN


def _known(values: Document) -> Document:
    return {name: value for name, value in values.items() if value is not None}


def utc(moment: datetime) -> datetime:
    """A time as the driver returns it, which is UTC without saying so."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
