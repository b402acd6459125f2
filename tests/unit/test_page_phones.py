"""How a call stands on a simulated phone."""

import json

import pytest

from local.hub.records import ReceivedPush
from local.page.phone_calls import Action, CallOver
from local.page.phones import Phone, Taken, phones_of
from local.page.sources import Reading
from models.device import Purpose
from models.platform import Platform
from tests.page_evidence import NOW, RING_SECONDS, TOKEN, push, registration, stop
from tests.subscriptions import ENDPOINT, subscription_text

ANDROID = registration(platform=Platform.FCM_V1)
ALERTS = "a1" * 32


def ring_on_android() -> ReceivedPush:
    data = {"eventId": "107", "callId": "call", "displayName": "Ada"}
    body = {"message": {"android": {"ttl": f"{RING_SECONDS}s"}, "data": data}}
    return push(format="fcmv1", body=json.dumps(body), headers={})


def stop_on_android(sequence: int = 9) -> ReceivedPush:
    data = {"eventId": "110", "callId": "call", "reason": "ended"}
    return push(format="fcmv1", body=json.dumps({"message": {"data": data}}), headers={}, sequence=sequence)


def phone(
    *pushes: ReceivedPush,
    is_android: bool = False,
    action: Action | None = None,
    over: CallOver | None = None,
    now: float = NOW + 1,
) -> Phone:
    device = ANDROID if is_android else registration()
    actions = {(device.device_key, "call"): Taken(action, NOW)} if action else {}
    reading = Reading(registrations=[device], pushes=pushes)
    (found,) = phones_of(reading, actions, {"call": over} if over else {}, now)
    return found


def state(found: Phone) -> tuple[str, str | None]:
    call = found.on_screen
    assert call is not None
    return call.state.value, call.reason


def test_idle() -> None:
    """A phone without a push has no call, and a stop alone makes none."""
    assert phone().on_screen is None
    assert phone(stop()).on_screen is None


def test_rings_until_its_push_expires() -> None:
    """A ring lasts until its push expires, and then the call is missed."""
    assert state(phone(push())) == ("ringing", None)
    assert state(phone(push(), now=NOW + RING_SECONDS)) == ("missed", None)


@pytest.mark.parametrize("action", Action)
def test_action(action: Action) -> None:
    """What the user did comes before everything else."""
    assert state(phone(push(), stop(), action=action, now=NOW + 999)) == (action.value, None)


def test_stop() -> None:
    """A stop after the ring ends it; one that came before is not about it."""
    assert state(phone(ring_on_android(), stop_on_android(), is_android=True)) == ("stopped", "ended")
    assert state(phone(stop_on_android(0), ring_on_android(), is_android=True)) == ("ringing", None)


def test_hears_of_the_end_by_itself() -> None:
    """An iPhone, which gets no stop, hears of the end from the call; another phone needs the push."""
    over = CallOver("declined", NOW + 1, "another phone")
    assert state(phone(push(), over=over)) == ("stopped", "declined")
    assert state(phone(ring_on_android(), over=over, is_android=True)) == ("ringing", None)


def test_end_after_the_ring() -> None:
    """A call that ends after the ring has run out was missed."""
    over = CallOver("ended", NOW + RING_SECONDS + 1)
    assert state(phone(push(), over=over, now=NOW + 999)) == ("missed", None)


def test_rung_twice() -> None:
    """Two pushes of one call are one call that rang twice."""
    (call,) = phone(push(), push(sequence=2)).calls
    assert call.rings == 2


def test_newest_call_is_on_the_screen() -> None:
    """A call that can be answered is on the screen, else the one that was, else the newest."""
    later = push({"callId": "later"}, sequence=2, received_at=NOW + 5)
    assert getattr(phone(push(), later).on_screen, "call_id", None) == "later"
    answered = phone(push(), later, action=Action.ANSWERED, now=NOW + RING_SECONDS)
    assert getattr(answered.on_screen, "call_id", None) == "call"


def test_two_tokens() -> None:
    """An iPhone's alert comes with another token than its rings, and is shown on the same phone."""
    alerts = registration(ALERTS, purpose=Purpose.ALERTS, device_uuid=registration().device_uuid)
    missed = {"aps": {"alert": {"title": "Missed call", "body": "Ada"}}}
    body = {**missed, "data": {"event": "missedCall", "callId": "call"}}
    reading = Reading(
        registrations=[registration(), alerts],
        pushes=[push(), push(sequence=2, token=ALERTS, body=json.dumps(body))],
    )
    (found,) = phones_of(reading, {}, {}, NOW + 999)
    assert [one.device_token for one in found.registrations] == [TOKEN, ALERTS]
    assert state(found) == ("missed", None)
    assert getattr(found.notification, "title", None) == "Missed call"


def test_only_told_of_the_call() -> None:
    """A phone that never rang and is told of a missed call shows that."""
    body = {
        "aps": {"alert": {"title": "Missed call", "body": "Ada"}},
        "data": {"event": "missedCall", "callId": "call"},
    }
    assert state(phone(push(body=json.dumps(body)))) == ("told", None)


def test_push_that_has_not_arrived() -> None:
    """A push that the platform refused does not ring the phone, whose app has been uninstalled."""
    refused = push(outcome="ExpiredChannel")
    reading = Reading(registrations=[registration()], pushes=[refused], dead_tokens=frozenset({TOKEN}))
    (found,) = phones_of(reading, {}, {}, NOW)
    assert (found.calls, found.is_uninstalled) == ((), True)
    assert not phone(push()).is_uninstalled


def test_browser() -> None:
    """A browser's token is its subscription; a push names its endpoint."""
    browser = registration(subscription_text(), platform=Platform.BROWSER)
    reading = Reading(
        registrations=[browser], pushes=[push(token=ENDPOINT)], dead_tokens=frozenset({ENDPOINT})
    )
    (found,) = phones_of(reading, {}, {}, NOW)
    assert (len(found.messages), found.name, found.is_uninstalled) == (1, "browser", True)


def test_visible_instead_of_a_ring() -> None:
    """An iPhone whose VoIP push was refused shows the call, which can be answered."""
    body = {
        "aps": {"alert": {"title": "Incoming call", "body": "Ada"}},
        "data": {"event": "incomingCall", "callId": "call"},
    }
    assert state(phone(push(body=json.dumps(body)))) == ("shown", None)
