"""What the simulator refuses of visible notifications, stops and browser pushes: one error each.

Every row changes one thing in a request that is accepted.
"""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from local.hub.running_hub import RunningHub
from tests.contract.hub_requests import (
    ENDPOINT,
    TOAST,
    Send,
    alert,
    apple,
    base64url,
    browser,
    fcm_message,
    padded,
    toast,
    windows,
)

STOP = {"eventId": 110, "callId": "call-1", "recipientId": "8:acs:a_b", "reason": "answered"}


def android_shows(**notification: object) -> Send:
    """A notification on Android, with a tag."""
    android = {"priority": "high", "ttl": "60s", "notification": {"tag": "call-1", **notification}}
    return fcm_message(notification={"title": "Missed call", "body": "Ann"}, android=android)


ACCEPTED: dict[str, Callable[[], Send]] = {
    "apple: alert": alert,
    "apple: alert as text": lambda: alert(alert="Missed call"),
    "apple: alert that may break a focus": lambda: alert(**{"interruption-level": "time-sensitive"}),
    "apple: collapse id at its limit": lambda: alert().with_headers(apns_collapse_id="c" * 64),
    "apple: stop": lambda: apple().with_json({"aps": {}, "data": STOP}),
    "apple: expiry without seconds": lambda: apple().with_headers(SBN_Apns_Expiry="2026-01-31T12:00Z"),
    "apple: background": lambda: (
        apple()
        .with_json({"aps": {"content-available": 1}})
        .with_headers(apns_push_type="background", SBN_Apns_Push_Type=None, apns_priority="5")
    ),
    "fcmv1: notification": android_shows,
    "fcmv1: names in camelCase": lambda: fcm_message(android={"collapseKey": "a", "directBootOk": True}),
    "fcmv1: stop": lambda: fcm_message(
        android={"priority": "high", "ttl": "30s"}, data={**STOP, "eventId": "110"}
    ),
    "windows: toast": toast,
    "windows: toast, the other type of XML": lambda: toast().with_headers(Content_Type="text/xml"),
    "windows: toast at its limit": lambda: padded(toast(), 5120),
    "windows: stop": lambda: replace(windows(), body=json.dumps({"aps": {}, "data": STOP}).encode()),
    "windows: every header": lambda: toast().with_headers(
        X_WNS_Tag="call1", X_WNS_Group="calls", X_WNS_Cache_Policy="no-cache", X_WNS_RequestForStatus="true"
    ),
    "browser: ring": browser,
    "browser: stop": lambda: browser().with_json(STOP),
    "browser: keys with padding": lambda: browser().with_headers(Auth=base64url(b"a" * 16) + "=="),
    "browser: at its limit": lambda: padded(browser(), 3800),
    "browser: endpoint with a port": lambda: browser().with_headers(
        SBN_DeviceHandle="https://push.example.com:8443/a"
    ),
}


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepts(hub: RunningHub, make: Callable[[], Send]) -> None:
    """It is accepted."""
    answer = make().to(hub.url)
    assert answer.status_code == 201, answer.text


type Wrong = tuple[Callable[[], Send], int, str]

REFUSED: dict[str, Wrong] = {
    "apple: unknown push type": (lambda: alert().with_headers(apns_push_type="alarm"), 400, "none of APNs'"),
    "apple: unknown push type of the service": (
        lambda: alert().with_headers(SBN_Apns_Push_Type="alarm"),
        400,
        "ServiceBusNotification-Apns-Push-Type",
    ),
    "apple: two push types": (lambda: alert().with_headers(apns_push_type="voip"), 400, "contradict"),
    "apple: alert that shows nothing": (
        lambda: alert().with_json({"aps": {"content-available": 1}}),
        400,
        "an alert, a badge or a sound",
    ),
    "apple: background with priority 10": (
        lambda: (
            apple()
            .with_json({"aps": {"content-available": 1}})
            .with_headers(apns_push_type="background", SBN_Apns_Push_Type="background")
        ),
        400,
        "background",
    ),
    "apple: alert is a list": (lambda: alert(alert=["a"]), 400, "aps.alert"),
    "apple: title is a number": (lambda: alert(alert={"title": 1}), 400, "must be strings"),
    "apple: sound is a number": (lambda: alert(sound=1), 400, "aps.sound"),
    "apple: badge is a text": (lambda: alert(badge="1"), 400, "aps.badge"),
    "apple: unknown interruption level": (
        lambda: alert(**{"interruption-level": "urgent"}),
        400,
        "interruption-level",
    ),
    "apple: collapse id too long": (lambda: alert().with_headers(apns_collapse_id="c" * 65), 400, "collapse"),
    "apple: collapse id not ASCII": (
        lambda: alert().with_headers(apns_collapse_id="é".encode().decode("latin-1")),
        400,
        "collapse",
    ),
    "apple: two expiries": (
        lambda: alert().with_headers(SBN_Apns_Expiry="2026-01-31T12:01:00Z"),
        400,
        "different times",
    ),
    "fcmv1: unknown member": (lambda: fcm_message().with_json({"message": {}, "to": "x"}), 400, "know"),
    "fcmv1: unknown member of message": (lambda: fcm_message(priority="high"), 400, "message has"),
    "fcmv1: notification is a text": (lambda: fcm_message(notification="x"), 400, "notification must be"),
    "fcmv1: unknown member of notification": (
        lambda: fcm_message(notification={"titel": "x"}),
        400,
        "message.notification has",
    ),
    "fcmv1: title is a number": (lambda: fcm_message(notification={"title": 1}), 400, "texts of"),
    "fcmv1: unknown option of android": (lambda: fcm_message(android={"expiry": "1s"}), 400, "android has"),
    "fcmv1: notification of android is a text": (
        lambda: fcm_message(android={"notification": "x"}),
        400,
        "android.notification must be",
    ),
    "fcmv1: unknown member of the notification of android": (
        lambda: android_shows(label="x"),
        400,
        "android.notification has",
    ),
    "fcmv1: tag is a number": (lambda: android_shows(tag=1), 400, "texts of message.android"),
    "windows: not well-formed": (lambda: toast(TOAST.replace("&amp;", "&")), 400, "well-formed"),
    "windows: document type": (
        lambda: toast(f'<!DOCTYPE toast [<!ENTITY a "b">]>{TOAST}'),
        400,
        "document type",
    ),
    "windows: unknown encoding": (
        lambda: toast(f'<?xml version="1.0" encoding="none-such"?>{TOAST}'),
        400,
        "well-formed",
    ),
    "windows: another root": (lambda: toast("<tile/>"), 400, "not a toast"),
    "windows: no text": (
        lambda: toast('<toast><visual><binding template="ToastGeneric"/></visual></toast>'),
        400,
        "not a toast",
    ),
    "windows: no template": (
        lambda: toast("<toast><visual><binding><text>a</text></binding></visual></toast>"),
        400,
        "not a toast",
    ),
    "windows: toast of raw bytes": (
        lambda: toast().with_headers(Content_Type="application/octet-stream"),
        400,
        "Content-Type",
    ),
    "windows: unknown header": (lambda: toast().with_headers(X_WNS_Expiry="30"), 400, "unknown X-WNS"),
    "windows: tag": (lambda: toast().with_headers(X_WNS_Tag="call-1"), 400, "X-WNS-Tag"),
    "windows: toast too large": (lambda: padded(toast(), 5121), 413, "larger"),
    "browser: too large": (lambda: padded(browser(), 3801), 413, "larger"),
    "browser: another content type": (
        lambda: browser().with_headers(Content_Type="application/octet-stream"),
        400,
        "Content-Type",
    ),
    "browser: no JSON": (lambda: replace(browser(), body=b"ring"), 400, "JSON object"),
    "browser: no P256DH": (lambda: browser().with_headers(P256DH=None), 400, "P256DH"),
    "browser: P256DH of 64 bytes": (
        lambda: browser().with_headers(P256DH=base64url(b"\4" + b"a" * 63)),
        400,
        "65 bytes",
    ),
    "browser: compressed point": (
        lambda: browser().with_headers(P256DH=base64url(b"\2" + b"a" * 64)),
        400,
        "uncompressed",
    ),
    "browser: P256DH in ordinary base64": (
        lambda: browser().with_headers(P256DH="+" * 87),
        400,
        "base64url",
    ),
    "browser: no Auth": (lambda: browser().with_headers(Auth=None), 400, "Auth"),
    "browser: Auth of 15 bytes": (lambda: browser().with_headers(Auth=base64url(b"a" * 15)), 400, "16 bytes"),
    "browser: Auth that no base64 ends so": (lambda: browser().with_headers(Auth="a" * 21), 400, "16 bytes"),
    **{
        f"browser: endpoint {endpoint}": (
            lambda endpoint=endpoint: browser().with_headers(SBN_DeviceHandle=endpoint),  # type: ignore[misc]
            400,
            "push service",
        )
        for endpoint in (
            ENDPOINT.replace("https", "http"),
            "https://localhost/a",
            "https://printer.local/a",
            "https://127.0.0.1/a",
            "https://[::1]/a",
            "https://2130706433/a",
            "https://user@push.example.com/a",
            "https://push.example.com:port/a",
            "https://push.example.com\\@127.0.0.1/a",
            "abc",
        )
    },
}


@pytest.mark.parametrize(("make", "status", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(hub: RunningHub, make: Callable[[], Send], status: int, words: str) -> None:
    """It is refused with the reason, and no push is recorded."""
    answer = make().to(hub.url)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert hub.simulator.pushes() == []


@pytest.mark.parametrize("make", [alert, toast, browser, apple, windows])
def test_call_id(hub: RunningHub, make: Callable[[], Send]) -> None:
    """The call is found in every kind of push."""
    make().to(hub.url)
    assert [push.call_id for push in hub.simulator.pushes()] == ["call-1"]


@pytest.mark.parametrize("launch", ["", "call-1", "[1]", "{"])
def test_toast_for_another_app(hub: RunningHub, launch: str) -> None:
    """A toast whose launch text is no JSON object belongs to no call."""
    body = TOAST.replace("{&quot;callId&quot;:&quot;call-1&quot;}", launch)
    assert toast(body).to(hub.url).status_code == 201
    assert [push.call_id for push in hub.simulator.pushes()] == [None]


def test_keys_of_a_browser_are_not_recorded(hub: RunningHub) -> None:
    """They are secrets of its subscription."""
    browser().to(hub.url)
    (push,) = hub.simulator.pushes()
    assert push.headers.keys().isdisjoint({"p256dh", "auth", "authorization"})
