"""What the ledger says of a ring, fact by fact."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.device import DeviceRegistration, Purpose
from models.push import OutcomeKind
from models.report import DeviceState
from push.ledger_entry import (
    Answer,
    AnswerKind,
    EventKey,
    LedgerEntry,
    NoticeKind,
    NoticeState,
    RingFacts,
    new_document,
)
from push.ring_state import GRACE, Marks, another_rings, is_unanswered, may_ring, why_over
from tests.fakes import ALICE, NOW, registration

SECOND = timedelta(seconds=1)
PHONE = registration(device_uuid="phone", device_token="a" * 64)
TABLET = registration(device_uuid="tablet", device_token="b" * 64)


def entry(devices: dict[str, Any] | None = None, **changes: Any) -> LedgerEntry:
    """A ring that began a minute ago, and is handled by no invocation any more."""
    facts = RingFacts("/source", ALICE, ALICE, "call-1", ("c:call-1",), NOW)
    document = new_document(EventKey("/source", "event-1", "call-1"), facts, "holder", NOW, NOW)
    read = LedgerEntry.read({"_id": "x", **document, "devices": devices or {}, "finished": True})
    return replace(read, **changes)


def record(outcome: OutcomeKind, device: DeviceRegistration = TABLET, unanswered: int = 0) -> dict[str, Any]:
    return {"outcome": outcome.value, "device": device.device_key, "unanswered": unanswered}


def answer(kind: AnswerKind) -> Answer:
    return Answer(kind, NOW)


class TestOver:
    @pytest.mark.parametrize(
        ("changes", "marks", "reason"),
        [
            ({}, Marks(), None),
            ({"answer": answer(AnswerKind.DECLINED)}, Marks(), "declined"),
            ({"answer": answer(AnswerKind.ANSWERED), "ended_at": NOW}, Marks(ended_at=NOW), "answered"),
            ({"ended_at": NOW}, Marks(), "ended"),
            ({}, Marks(ended_at=NOW - GRACE), "ended"),
            ({}, Marks(ended_at=NOW - GRACE - SECOND), None),
            ({}, Marks(joined_at=NOW - GRACE), "answered"),
            ({}, Marks(joined_at=NOW - GRACE - SECOND), None),
            ({}, Marks(ended_at=NOW + SECOND, joined_at=NOW), "answered"),
        ],
    )
    def test_why(self, changes: dict[str, Any], marks: Marks, reason: str | None) -> None:
        """An answer says more than an end; what was said of an earlier invitation says nothing."""
        ring = entry(**changes)
        assert why_over(ring, marks) == reason
        assert is_unanswered(ring, marks) == (reason in {None, "ended"})

    def test_no_ring(self) -> None:
        """Of a ring that is not in the ledger nothing is over."""
        assert why_over(None, Marks(ended_at=NOW)) is None


class TestDevices:
    @pytest.mark.parametrize(
        ("outcome", "unanswered", "rings"),
        [
            (OutcomeKind.ACCEPTED, 0, True),
            (OutcomeKind.TRANSIENT, 1, True),
            (OutcomeKind.TRANSIENT, 0, False),
            (OutcomeKind.REJECTED, 0, False),
            (OutcomeKind.GONE, 0, False),
        ],
    )
    def test_may_ring(self, outcome: OutcomeKind, unanswered: int, *, rings: bool) -> None:
        """A push that was accepted, or that may have been; by the device, which may have another token by
        now."""
        ring = entry({"an earlier token": record(outcome, TABLET, unanswered)})
        assert may_ring(TABLET, ring.devices) == rings
        assert not may_ring(PHONE, ring.devices)

    @pytest.mark.parametrize(
        ("ring", "rings"),
        [
            (entry({"b": record(OutcomeKind.ACCEPTED)}), True),
            (entry({"b": record(OutcomeKind.REJECTED)}), False),
            (entry({"b": record(OutcomeKind.REJECTED)}, finished=False), False),
            (entry({"b": record(OutcomeKind.TRANSIENT)}), False),
            # Not yet written down, or to be tried again: it counts as rung.
            (entry({"b": record(OutcomeKind.TRANSIENT)}, finished=False), True),
            (entry(), False),
            (entry(finished=False), True),
            (
                entry(
                    {"b": record(OutcomeKind.ACCEPTED)},
                    reports={TABLET.device_key: {DeviceState.MISSED: NOW}},
                ),
                False,
            ),
            (
                entry(
                    {"b": record(OutcomeKind.ACCEPTED)},
                    reports={TABLET.device_key: {DeviceState.RINGING: NOW}},
                ),
                True,
            ),
            (
                entry(
                    {"b": record(OutcomeKind.ACCEPTED)},
                    notices={NoticeKind.STOP: {TABLET.device_key: NoticeState.SENT}},
                ),
                False,
            ),
        ],
    )
    def test_another_rings(self, ring: LedgerEntry, *, rings: bool) -> None:
        """Another device rings until it is known to ring no more."""
        assert another_rings(ring, PHONE, [PHONE, TABLET]) == rings

    def test_only_the_device_itself(self) -> None:
        """Its own ring, and a token that takes alerts only, are no other device's."""
        ring = entry({"a": record(OutcomeKind.ACCEPTED, PHONE)}, finished=False)
        alerts = replace(TABLET, purpose=Purpose.ALERTS)
        assert not another_rings(ring, PHONE, [PHONE, alerts])
