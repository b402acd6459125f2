"""What the doctor reads out of the ledger and of registrations."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from doctor.checks.call_summaries import CallState, summarize_call
from doctor.checks.device_summaries import DeviceState, last_push, summarize_devices
from doctor.checks.findings import ExitCode, Status, exit_code

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ACCEPTED = {
    "outcome": "accepted", "reason": "queued by the hub", "status": 201, "trackingId": "t", "attempts": 2,
    "ageMs": 120,
}  # fmt: skip
REFUSED = {**ACCEPTED, "outcome": "misconfigured", "status": 401, "reason": "the key is wrong"}


def document(**changes: Any) -> dict[str, Any]:
    """A finished event whose one device rang, as MongoDB gives it back: times without a zone."""
    moment = NOW.replace(tzinfo=None)
    return {
        "_id": "e" * 64, "eventId": "event", "callId": "call", "holder": "h", "leaseUntil": moment,
        "finished": True, "firstSeenAt": moment, "expiresAt": moment + timedelta(days=1),
        "devices": {"d" * 64: ACCEPTED}, **changes,
    }  # fmt: skip


def note(result: str, **more: Any) -> dict[str, Any]:
    return {"result": result, "at": NOW.replace(tzinfo=None), **more}


class TestCall:
    @pytest.mark.parametrize(
        ("changes", "state", "status"),
        [
            ({}, CallState.RUNG, Status.PASS),
            ({"devices": {"a": ACCEPTED, "b": REFUSED}}, CallState.RUNG_IN_PART, Status.FAIL),
            ({"note": note("given_up", devices=2)}, CallState.RUNG_IN_PART, Status.FAIL),
            ({"devices": {"b": REFUSED}}, CallState.NOT_RUNG, Status.FAIL),
            ({"devices": {}}, CallState.NOT_RUNG, Status.FAIL),
            ({"devices": {}, "note": note("skipped", reason="no device")}, CallState.SKIPPED, Status.FAIL),
            (
                {"devices": {}, "finished": False, "note": note("missed", lateSeconds=3.5)},
                CallState.MISSED,
                Status.FAIL,
            ),
            (
                {"devices": {}, "finished": False, "note": note("failed", reason="no cc")},
                CallState.FAILED,
                Status.FAIL,
            ),
            ({"finished": False}, CallState.UNFINISHED, Status.FAIL),
            (
                {"finished": False, "leaseUntil": NOW.replace(tzinfo=None) + timedelta(seconds=5)},
                CallState.IN_PROGRESS,
                Status.CANNOT_TELL,
            ),
            ({"note": note("incomplete")}, CallState.RUNG, Status.PASS),
            ({"note": note("failed", reason="once")}, CallState.RUNG, Status.PASS),
        ],
    )
    def test_state(self, changes: dict[str, Any], state: CallState, status: Status) -> None:
        """Each way in which a call can end has a state of its own, and a remedy."""
        summary = summarize_call(document(**changes), {}, NOW)
        assert (summary.state, summary.status) == (state, status)
        assert summary.remedy

    def test_why_it_was_missed(self) -> None:
        """How late a missed call was is said."""
        missed = document(devices={}, finished=False, note=note("missed", lateSeconds=33.4))
        summary = summarize_call(missed, {}, NOW)
        assert "33 s" in summary.detail

    def test_device(self) -> None:
        """A device has status, TrackingId, attempts and age, and a name if it is still registered."""
        known = {"d" * 64: {"deviceUUID": "phone", "platform": "apple"}}
        (device,) = summarize_call(document(), known, NOW).devices
        assert (device.device, device.device_uuid, device.platform) == ("d" * 16, "phone", "apple")
        assert (device.status, device.tracking_id, device.attempts, device.age_ms) == (201, "t", 2, 120)

    def test_unregistered_device(self) -> None:
        """One that is not registered any more has no name, but still its outcome."""
        (device,) = summarize_call(document(), {}, NOW).devices
        assert device.device_uuid is None
        assert device.accepted

    def test_unreadable(self) -> None:
        """A document of another version is shown as such, and no reason to stop."""
        broken: list[dict[str, Any]] = [{"devices": None}, {"devices": {"d": None}}, {"firstSeenAt": "today"}]
        for changes in broken:
            summary = summarize_call(document(**changes), {}, NOW)
            assert (summary.state, summary.status) == (CallState.UNREADABLE, Status.CANNOT_TELL)
            assert summary.event_id == "event"


def registration(token: str, uuid: str, *, refreshed: int, expires: int) -> dict[str, Any]:
    """Of an Android phone; times in minutes from now."""
    moment = NOW.replace(tzinfo=None)
    return {
        "_id": token * 8, "acsMri": "8:acs:a", "deviceUUID": uuid, "deviceToken": token, "platform": "fcmv1",
        "updatedAt": moment + timedelta(minutes=refreshed), "expiresAt": moment + timedelta(minutes=expires),
    }  # fmt: skip


class TestUser:
    def test_states(self) -> None:
        """What rings, what has expired, and what a newer token of the same device has replaced."""
        documents = [
            registration("old-token", "phone", refreshed=-9, expires=9),
            registration("new-token", "phone", refreshed=-1, expires=9),
            registration("dead-token", "tablet", refreshed=-99, expires=-1),
        ]
        views = summarize_devices(documents, {}, NOW)
        assert [(view.device_uuid, view.state) for view in views] == [
            ("phone", DeviceState.RINGS),
            ("phone", DeviceState.SUPERSEDED),
            ("tablet", DeviceState.EXPIRED),
        ]

    def test_alerts(self) -> None:
        """A token for alerts rings by no call; without one for calls of the same device nothing is sent to
        it."""
        alerts = {
            **registration("ab" * 32, "iphone", refreshed=-1, expires=9),
            "platform": "apple", "purpose": "alerts", "hub": "visible",
        }  # fmt: skip
        calls = {**registration("cd" * 32, "iphone", refreshed=-2, expires=9), "platform": "apple"}
        alone, beside = summarize_devices([alerts], {}, NOW), summarize_devices([alerts, calls], {}, NOW)
        assert [(view.state, view.hub, view.is_rung) for view in alone] == [
            (DeviceState.ALERTS_ONLY, "visible", False)
        ]
        assert [(view.state, view.hub, view.is_rung) for view in beside] == [
            (DeviceState.SHOWS_ALERTS, "visible", False),
            (DeviceState.RINGS, "default", True),
        ]

    @pytest.mark.parametrize(
        ("outcome", "state"), [(ACCEPTED, DeviceState.RINGS), (REFUSED, DeviceState.REFUSED)]
    )
    def test_last_push(self, outcome: dict[str, Any], state: DeviceState) -> None:
        """A device whose last push came to nothing is not called healthy."""
        phone = registration("token", "phone", refreshed=-1, expires=9)
        push = last_push(document(devices={phone["_id"]: outcome}), phone["_id"])
        assert push is not None
        (device,) = summarize_devices([phone], {phone["_id"]: push}, NOW)
        assert (device.state, device.last_push) == (state, push)
        assert push.at == NOW

    def test_gone(self) -> None:
        """A device that the hub calls gone is no healthy one, and since when is said."""
        phone = {
            **registration("token", "phone", refreshed=-1, expires=9),
            "goneAt": NOW.replace(tzinfo=None),
        }
        (device,) = summarize_devices([phone], {}, NOW)
        assert device.state is DeviceState.GONE
        assert device.is_rung
        assert "2026-01-31T12:00:00Z" in str(device.problem)

    @pytest.mark.parametrize("token", ["{length = 32, bytes = 0x96d6}", "null", "abc", "<96d6bb5d 412881d3>"])
    def test_token_that_cannot_ring(self, token: str) -> None:
        """A token of an earlier release that its platform never issued is shown as such, and why."""
        phone = {
            **registration("x", "phone", refreshed=-1, expires=9),
            "platform": "apple",
            "deviceToken": token,
        }
        (device,) = summarize_devices([phone], {}, NOW)
        assert device.state is DeviceState.INVALID_TOKEN
        assert str(device.problem).startswith(("the device token is ", "the device token must "))
        assert not device.is_rung
        assert token not in str(device)

    def test_expired_with_refused_push(self) -> None:
        """A refused push does not hide that the registration has expired."""
        phone = registration("token", "phone", refreshed=-9, expires=-1)
        push = last_push(document(devices={phone["_id"]: REFUSED}), phone["_id"])
        assert push is not None
        (device,) = summarize_devices([phone], {phone["_id"]: push}, NOW)
        assert device.state is DeviceState.EXPIRED

    @pytest.mark.parametrize(
        "call", [document(devices=None), document(devices={"x": None}), document(firstSeenAt=None), {}]
    )
    def test_unreadable_call(self, call: dict[str, Any]) -> None:
        """A document of the ledger that cannot be read says nothing of a device."""
        assert last_push(call, "x") is None

    @pytest.mark.parametrize(
        "changes",
        [{"platform": "carrier-pigeon"}, {"deviceToken": None}, {"expiresAt": "soon"}, {"updatedAt": None}],
    )
    def test_unreadable(self, changes: dict[str, Any]) -> None:
        """A registration that cannot be read is listed as such beside those that can."""
        good = registration("good-token", "phone", refreshed=-1, expires=9)
        bad = {**registration("bad-token", "tablet", refreshed=-1, expires=9), **changes}
        readable, unreadable = summarize_devices([bad, good], {}, NOW)
        assert (readable.device_uuid, readable.state) == ("phone", DeviceState.RINGS)
        assert (unreadable.device, unreadable.state) == (("bad-token" * 8)[:16], DeviceState.UNREADABLE)
        assert next(iter(changes)) in str(unreadable.problem)

    def test_no_token(self) -> None:
        """A token shows as a fingerprint only."""
        (view,) = summarize_devices([registration("secret-token", "phone", refreshed=-1, expires=9)], {}, NOW)
        assert view.token is not None
        assert len(view.token) == 16
        assert view.token not in "secret-token"


class TestExitCode:
    @pytest.mark.parametrize(
        ("statuses", "code"),
        [
            ([], ExitCode.OK),
            ([Status.PASS], ExitCode.OK),
            ([Status.PASS, Status.CANNOT_TELL], ExitCode.CANNOT_TELL),
            ([Status.CANNOT_TELL, Status.FAIL], ExitCode.FAILED),
        ],
    )
    def test_worst_counts(self, statuses: list[Status], code: ExitCode) -> None:
        """A failure outweighs an unknown answer, which outweighs a pass."""
        assert exit_code(statuses) is code
