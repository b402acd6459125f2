"""The Notification Hubs simulator refuses what the service refuses, and records what it accepts.

Every test changes one thing in a valid request. `hub_requests` signs it, and it goes over real HTTP.
"""

import json
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.parse
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from local.hub.checks import check_direct_send
from local.hub.config import DEVELOPMENT_HUB, AccessRule, HubConfig
from local.hub.control_client import ControlClient, ControlError
from local.hub.direct_send import DirectSend
from local.hub.running_hub import RunningHub
from local.hub.server import server_tls
from local.hub.service_request import HubRequest, signature
from local.hub.simulator import Simulator
from tests.contract.hub_requests import (
    AUDIENCE,
    CHANNEL,
    FCM_HANDLE,
    HANDLE,
    HUB,
    TIMEOUT,
    Send,
    apple,
    fcm,
    fcm_message,
    good_token,
    padded,
    sas,
    windows,
)

ROOT = Path(__file__).parents[2]


def token_with_a_bare_plus() -> str:
    """A valid token, except that its base64 signature is not percent-encoded."""
    for lifetime in range(300, 1300):
        token = good_token(lifetime=lifetime)
        if "%2B" in token:
            return token.replace("%2B", "+")
    raise AssertionError("a thousand signatures without a plus")


def reason(answer: requests.Response) -> str:
    """The detail of an error answer, which must be XML in the service's form."""
    assert answer.headers["Content-Type"] == "application/xml;charset=utf-8"
    error = ET.fromstring(answer.text)  # noqa: S314 - our own simulator's
    assert [child.tag for child in error] == ["Code", "Detail"]
    assert error.findtext("Code") == str(answer.status_code)
    return error.findtext("Detail") or ""


type Wrong = tuple[Callable[[], Send], int, str]

REFUSALS: dict[str, Wrong] = {
    "unknown hub": (lambda: replace(apple(), path="/other/messages/"), 404, "no such notification hub"),
    "unknown path": (lambda: replace(apple(), path="/ring/installations/"), 404, "no such notification hub"),
    "wrong method": (lambda: replace(apple(), method="PUT"), 405, "POST"),
    "no authorization": (lambda: apple().with_headers(Authorization=None), 401, "missing"),
    "another scheme": (lambda: apple().with_headers(Authorization="Bearer abc"), 401, "malformed"),
    "token without a field": (
        lambda: apple().with_headers(Authorization="SharedAccessSignature sr=a&sig=b&se=1"),
        401,
        "malformed",
    ),
    "token with a field twice": (
        lambda: apple().with_headers(Authorization=good_token() + "&skn=listen"),
        401,
        "malformed",
    ),
    "expiry is no number": (
        lambda: apple().with_headers(Authorization=sas(AUDIENCE, "send only", "c2VuZA==", "soon")),
        401,
        "malformed",
    ),
    "unknown rule": (
        lambda: apple().with_headers(Authorization=sas(AUDIENCE, "no such policy", "c2VuZA==", 9999999999)),
        401,
        "skn",
    ),
    "another rule's key": (
        lambda: apple().with_headers(Authorization=sas(AUDIENCE, "send only", "bGlzdGVu", 9999999999)),
        401,
        "signature",
    ),
    "key decoded from base64": (
        lambda: apple().with_headers(Authorization=sas(AUDIENCE, "send only", "send", 9999999999)),
        401,
        "signature",
    ),
    "expiry other than the signed one": (
        lambda: apple().with_headers(Authorization=re.sub(r"se=\d+", "se=9999999999", good_token())),
        401,
        "signature",
    ),
    "resource re-encoded after signing": (
        lambda: apple().with_headers(Authorization=good_token().replace("%3A", "%3a")),
        401,
        "signature",
    ),
    "signature not percent-encoded": (
        lambda: apple().with_headers(Authorization=token_with_a_bare_plus()),
        401,
        "signature",
    ),
    "expired": (lambda: apple().with_headers(Authorization=good_token(lifetime=-1)), 401, "expired"),
    "another hub's token": (
        lambda: apple().with_headers(Authorization=good_token(AUDIENCE + "2")),
        401,
        "audience",
    ),
    "another namespace's token": (
        lambda: apple().with_headers(Authorization=good_token("https://evil.servicebus.windows.net/ring")),
        401,
        "audience",
    ),
    "audience is no URI": (lambda: apple().with_headers(Authorization=good_token("ring")), 401, "audience"),
    "audience not in lower case": (
        lambda: apple().with_headers(
            Authorization=good_token("https://Contoso-NS.servicebus.windows.net/Ring")
        ),
        401,
        "audience",
    ),
    "audience below the endpoint": (
        lambda: apple().with_headers(Authorization=good_token(AUDIENCE + "/messages/1")),
        401,
        "audience",
    ),
    "rule without Send": (
        lambda: apple().with_headers(Authorization=sas(AUDIENCE, "listen", "bGlzdGVu", 9999999999)),
        403,
        "Send right",
    ),
    "no direct": (lambda: replace(apple(), query="api-version=2020-06"), 400, "every device"),
    "no api-version": (lambda: replace(apple(), query="direct"), 400, "api-version"),
    "unknown api-version": (
        lambda: replace(apple(), query="direct&api-version=2099-01"),
        400,
        "api-version",
    ),
    "no format": (lambda: apple().with_headers(SBN_Format=None), 400, "Format"),
    "unknown format": (lambda: apple().with_headers(SBN_Format="ios"), 400, "Format"),
    "legacy gcm": (lambda: fcm().with_headers(SBN_Format="gcm"), 400, "legacy"),
    "no device handle": (lambda: apple().with_headers(SBN_DeviceHandle=None), 400, "DeviceHandle"),
    "empty device handle": (lambda: apple().with_headers(SBN_DeviceHandle=""), 400, "DeviceHandle"),
    "a token of another platform": (lambda: windows().with_headers(SBN_DeviceHandle=HANDLE), 400, "platform"),
    "an iOS app's text for a token": (
        lambda: apple().with_headers(SBN_DeviceHandle="{length=32,bytes=0x124686a5}"),
        400,
        "platform",
    ),
    "tags": (lambda: apple().with_headers(SBN_Tags="a"), 400, "Tags"),
    "an unknown service header": (
        lambda: apple().with_headers(SBN_Type="apple"),
        400,
        "unknown ServiceBusNotification header",
    ),
    "tracking id is no GUID": (lambda: apple().with_headers(TrackingId="1"), 400, "TrackingId"),
    "apple: too large": (lambda: padded(apple(), 4097), 413, "larger"),
    "apple: another content type": (
        lambda: apple().with_headers(Content_Type="text/plain;charset=utf-8"),
        400,
        "Content-Type",
    ),
    "apple: another charset": (
        lambda: apple().with_headers(Content_Type="application/json;charset=latin-1"),
        400,
        "Content-Type",
    ),
    "apple: not UTF-8": (lambda: replace(apple(), body=b'{"aps": {}, "a": "\xff"}'), 400, "UTF-8"),
    "apple: no JSON": (lambda: replace(apple(), body=b"aps"), 400, "JSON object"),
    "apple: NaN": (lambda: replace(apple(), body=b'{"aps": {}, "a": NaN}'), 400, "JSON object"),
    "apple: absurdly nested": (lambda: replace(apple(), body=b"[" * 4096), 400, "JSON object"),
    "apple: no object": (lambda: apple().with_json([1]), 400, "JSON object"),
    "apple: no aps": (lambda: apple().with_json({"data": {}}), 400, "aps"),
    "apple: aps no object": (lambda: apple().with_json({"aps": ""}), 400, "aps"),
    "apple: topic": (lambda: apple().with_headers(apns_topic="com.contoso.app"), 400, "token authentication"),
    "apple: no push type": (
        lambda: apple().with_headers(apns_push_type=None, SBN_Apns_Push_Type=None),
        400,
        "voip",
    ),
    "apple: alert push type": (lambda: apple().with_headers(apns_push_type="alert"), 400, "voip"),
    "apple: priority": (lambda: apple().with_headers(apns_priority="high"), 400, "apns-priority"),
    "apple: service priority": (
        lambda: apple().with_headers(SBN_Apns_Priority="1"),
        400,
        "Apns-Priority",
    ),
    "apple: expiration": (lambda: apple().with_headers(apns_expiration="12.5"), 400, "apns-expiration"),
    "apple: expiry without a zone": (
        lambda: apple().with_headers(SBN_Apns_Expiry="2026-01-31T12:00:00"),
        400,
        "Apns-Expiry",
    ),
    "apple: expiry of no date": (
        lambda: apple().with_headers(SBN_Apns_Expiry="2026-02-31T12:00:00Z"),
        400,
        "Apns-Expiry",
    ),
    "fcmv1: too large": (lambda: padded(fcm(), 4097), 413, "larger"),
    "fcmv1: another content type": (
        lambda: fcm().with_headers(Content_Type="application/octet-stream"),
        400,
        "Content-Type",
    ),
    "fcmv1: not UTF-8": (lambda: replace(fcm(), body=b'{"message": {}, "a": "\xff"}'), 400, "UTF-8"),
    "fcmv1: no JSON": (lambda: replace(fcm(), body=b""), 400, "JSON object"),
    "fcmv1: no message": (lambda: fcm().with_json({"data": {}}), 400, "message object"),
    "fcmv1: token": (lambda: fcm_message(token="x", data={}), 400, "target"),
    "fcmv1: topic": (lambda: fcm_message(topic="x", data={}), 400, "target"),
    "fcmv1: condition": (lambda: fcm_message(condition="x", data={}), 400, "target"),
    "fcmv1: data no object": (lambda: fcm_message(data=["x"]), 400, "data must be an object"),
    "fcmv1: number in data": (lambda: fcm_message(data={"eventId": 107}), 400, "string values"),
    "fcmv1: nested data": (lambda: fcm_message(data={"a": {"b": "c"}}), 400, "string values"),
    "fcmv1: from": (lambda: fcm_message(data={"from": "x"}), 400, "reserved"),
    "fcmv1: message_type": (lambda: fcm_message(data={"message_type": "x"}), 400, "reserved"),
    "fcmv1: google.*": (lambda: fcm_message(data={"google.x": "x"}), 400, "reserved"),
    "fcmv1: gcm.*": (lambda: fcm_message(data={"gcm.x": "x"}), 400, "reserved"),
    "fcmv1: android no object": (lambda: fcm_message(android="high"), 400, "android must be an object"),
    "fcmv1: ttl": (lambda: fcm_message(android={"ttl": "30"}), 400, "ttl"),
    "fcmv1: ttl as number": (lambda: fcm_message(android={"ttl": 30}), 400, "ttl"),
    "fcmv1: priority": (lambda: fcm_message(android={"priority": "10"}), 400, "priority"),
    "windows: too large": (lambda: padded(windows(), 5121), 413, "larger"),
    "windows: no type": (lambda: windows().with_headers(X_WNS_Type=None), 400, "X-WNS-Type is missing"),
    "windows: toast": (lambda: windows().with_headers(X_WNS_Type="wns/toast"), 400, "wns/raw"),
    "windows: another content type": (
        lambda: windows().with_headers(Content_Type="application/json;charset=utf-8"),
        400,
        "octet-stream",
    ),
    "windows: ttl": (lambda: windows().with_headers(X_WNS_TTL="-1"), 400, "X-WNS-TTL"),
}


@pytest.mark.parametrize(("make", "status", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refuses(hub: RunningHub, make: Callable[[], Send], status: int, words: str) -> None:
    """One error in a valid request: the service's status, the reason in words, no push accepted."""
    answer = make().to(hub.url)
    assert (answer.status_code, words in reason(answer)) == (status, True), reason(answer)
    [attempt] = hub.simulator.attempts()
    assert (attempt.status, attempt.fault) == (status, None)
    assert attempt.reason
    assert words in attempt.reason
    assert hub.simulator.pushes() == []
    assert (hub.simulator.summary().accepted, hub.simulator.summary().refused) == (0, 1)


ACCEPTED: dict[str, Callable[[], Send]] = {
    "apple": apple,
    "fcmv1": fcm,
    "windows": windows,
    "hub in another case": lambda: replace(apple(), path="/RING/messages/"),
    "no trailing slash": lambda: replace(apple(), path="/ring/messages"),
    "direct with a value": lambda: replace(apple(), query="api-version=2015-01&direct="),
    "token of the namespace": lambda: apple().with_headers(
        Authorization=good_token("https://contoso-ns.servicebus.windows.net/")
    ),
    "token of the endpoint, http": lambda: apple().with_headers(
        Authorization=good_token("http://contoso-ns.servicebus.windows.net/ring/messages/")
    ),
    "token of the whole URL with its query, as the SDK for Java signs it": lambda: apple().with_headers(
        Authorization=good_token(AUDIENCE + "/messages?api-version=2020-06&direct")
    ),
    "no charset, as from the SDK for .NET": lambda: apple().with_headers(Content_Type="application/json"),
    "token, sb": lambda: apple().with_headers(
        Authorization=good_token("sb://contoso-ns.servicebus.windows.net/ring")
    ),
    "content type spelt otherwise": lambda: apple().with_headers(
        Content_Type='Application/JSON ; Charset="UTF-8"'
    ),
    "push type in the first form only": lambda: apple().with_headers(SBN_Apns_Push_Type=None),
    "push type in the second form only": lambda: apple().with_headers(apns_push_type=None),
    "an alert needs no push type": lambda: (
        apple().with_headers(apns_push_type=None, SBN_Apns_Push_Type=None).with_json({"aps": {"alert": "x"}})
    ),
    "apple at its limit": lambda: padded(apple(), 4096),
    "fcmv1 at its limit": lambda: padded(fcm(), 4096),
    "windows at its limit": lambda: padded(windows(), 5120),
    "fcm ttl with a fraction": lambda: fcm_message(android={"ttl": "3.5s"}),
    "fcm message without options": lambda: fcm_message(data={}),
    "raw bytes for windows": lambda: replace(windows(), body=b"\xff\x00"),
}


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepts(hub: RunningHub, make: Callable[[], Send]) -> None:
    """A valid request is answered 201 without a body and recorded once."""
    answer = make().to(hub.url)
    assert (answer.status_code, answer.content) == (201, b"")
    assert len(hub.simulator.pushes()) == 1
    assert [each.result for each in hub.simulator.attempts()] == ["201"]


def test_recorded_push(hub: RunningHub) -> None:
    """The recorded push has the body, the relevant headers and the ids of the answer."""
    tracking = str(uuid.uuid4())
    before = time.time()
    answer = apple().with_headers(TrackingId=tracking).to(hub.url)
    [push] = hub.simulator.pushes()
    assert push.device_handle == HANDLE
    assert push.format == "apple"
    assert json.loads(push.body) == {"aps": {}, "data": {"callId": "call-1", "eventId": 107}}
    assert push.call_id == "call-1"
    assert push.headers["apns-expiration"] == "1769860800"
    assert before <= push.received_at <= time.time()
    assert push.tracking_id == answer.headers["TrackingId"] == tracking
    assert answer.headers["Location"] == (
        f"https://contoso-ns.servicebus.windows.net/Ring/messages/{push.notification_id}?api-version=2020-06"
    )


def test_no_secret_is_recorded_or_answered(hub: RunningHub) -> None:
    """Neither the SAS token nor a key is recorded, answered or printed."""
    refused = apple().with_headers(Authorization=good_token(AUDIENCE + "2")).to(hub.url)
    accepted = apple().to(hub.url)
    kept = f"{hub.simulator.pushes()} {hub.simulator.attempts()} {hub.simulator.summary()} {HUB!r}"
    shown = f"{refused.text} {refused.headers} {accepted.headers}"
    for secret in ("SharedAccessSignature", "sig=", "c2VuZA==", "bGlzdGVu"):
        assert secret not in kept
        assert secret not in shown


def test_generated_tracking_id(hub: RunningHub) -> None:
    """Without a TrackingId in the request, every answer has a generated one."""
    for answer in (apple().to(hub.url), apple().with_headers(SBN_Tags="a").to(hub.url)):
        assert uuid.UUID(answer.headers["TrackingId"])


def test_root_of_the_namespace(hub: RunningHub) -> None:
    """It is answered without a key, and is no attempt to push."""
    assert requests.get(f"{hub.url}/", timeout=5).status_code == 200
    assert hub.simulator.attempts() == []


def test_very_large_body(hub: RunningHub) -> None:
    """A body of megabytes is a 413 and an attempt."""
    answer = padded(apple(), 3_000_000).to(hub.url)
    assert answer.status_code == 413
    assert "larger" in reason(answer)
    assert [each.result for each in hub.simulator.attempts(HANDLE)] == ["413"]


def test_headers_that_are_not_utf_8(hub: RunningHub) -> None:
    """A device handle that is not UTF-8 is refused and recorded with replacement characters."""
    apple_like = b"POST /ring/messages/?direct&api-version=2020-06 HTTP/1.1\r\nHost: x\r\nAuthorization: "
    rest = b"\r\nServiceBusNotification-Format: apple\r\nServiceBusNotification-DeviceHandle: \xff\xfe\r\n"
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as connection:
        connection.sendall(apple_like + good_token().encode() + rest + b"Content-Length: 0\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
    with ControlClient(hub.url) as control:
        assert [each.device_handle for each in control.attempts()] == ["??"]


def test_signature_known_vectors() -> None:
    """HMAC-SHA256 in base64, the key used as UTF-8 and not decoded."""
    expected = urllib.parse.unquote("u0JTQtSbhCo8r7%2BYr%2FRNiJOs7%2FVwDireHAXovvLBbXo%3D")
    assert signature("mysecretkey", "mydata") == expected
    text = urllib.parse.quote("https://testhub-ns.servicebus.windows.net", safe="") + "\n123"
    assert signature("testAccessKey", text) == "cy3Y21BlsAw8slr5TnmSM3pilYBC8T7k3oNqOUKvE2g="


def test_token_expires_at_its_second() -> None:
    """The known namespace token is accepted before its expiry and refused at it."""
    hub = HubConfig("testhub-ns", "ring", {"k": AccessRule(key="testAccessKey", rights=frozenset({"Send"}))})
    sig = urllib.parse.quote("cy3Y21BlsAw8slr5TnmSM3pilYBC8T7k3oNqOUKvE2g=", safe="")
    token = f"SharedAccessSignature sr=https%3A%2F%2Ftesthub-ns.servicebus.windows.net&sig={sig}&se=123&skn=k"
    send = apple().with_headers(Authorization=token)
    headers = {name: value for name, value in send.headers.items() if value is not None}
    request = HubRequest(send.method, send.path, send.query, headers, send.body)
    assert isinstance(check_direct_send(request, hub, now=122.9), DirectSend)
    assert not isinstance(check_direct_send(request, hub, now=123.0), DirectSend)


def test_connection_string() -> None:
    """The connection string and the URL of the development hub are enough to send."""
    with RunningHub() as hub:
        parts = dict(part.split("=", 1) for part in hub.connection_string.split(";"))
        uri = parts["Endpoint"].replace("sb://", "https://") + hub.hub_name
        token = sas(uri, parts["SharedAccessKeyName"], parts["SharedAccessKey"], int(time.time()) + 60)
        send = replace(apple(), path=hub.messages_url.removeprefix(hub.url)).with_headers(Authorization=token)
        assert send.to(hub.url).status_code == 201


def test_counts_by_call_and_device(hub: RunningHub) -> None:
    """The summary counts pushes by call and device, for every platform."""
    for send in (apple(), apple(), fcm(), windows()):
        assert send.to(hub.url).status_code == 201
    summary = hub.simulator.summary()
    assert summary.calls == {"call-1": {HANDLE: 2, FCM_HANDLE: 1, CHANNEL: 1}}
    assert summary.handles == {HANDLE: 2, FCM_HANDLE: 1, CHANNEL: 1}
    assert summary.attempts == {HANDLE: {"201": 2}, FCM_HANDLE: {"201": 1}, CHANNEL: {"201": 1}}


def test_counts_connections_and_keeps_them_alive() -> None:
    """Sends of one session share a connection; connections of the control API are not counted."""
    with RunningHub(Simulator(HUB)) as hub, ControlClient(hub.url) as control:
        send = apple()
        headers = {name: value for name, value in send.headers.items() if value is not None}
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(3):
                url = f"{hub.url}{send.path}?{send.query}"
                assert session.post(url, data=send.body, headers=headers, timeout=5).status_code == 201
            assert control.summary().connections.model_dump() == {"open": 1, "total": 1}
            send.with_headers(SBN_Tags="a").to(hub.url)
            assert control.summary().connections.total == 2
        hub.simulator.wait_until(lambda simulator: simulator.summary().connections.open == 0)


def test_memory_is_bounded_and_counts_are_not() -> None:
    """Only the newest pushes and attempts are kept; the counts are complete."""
    simulator = Simulator(HUB, keep=2)
    push = DirectSend(hub="Ring", device_handle="d", format="apple", headers={}, body="{}", call_id="c")
    request = HubRequest("GET", "/ring/messages/", "", {"servicebusnotification-devicehandle": "d"}, b"")
    for _ in range(100):
        simulator.receive(request)
        simulator.accept(push, "t")
    assert [each.sequence for each in simulator.pushes()] == [99, 100]
    assert len(simulator.attempts()) == 20
    assert simulator.summary().calls == {"c": {"d": 100}}
    assert simulator.summary().attempts == {"d": {"405": 100}}


def test_restart() -> None:
    """A stopped hub is unreachable; after a start it has the same port and its records."""
    with RunningHub(Simulator(HUB)) as hub:
        url = hub.url
        assert apple().to(hub.url).status_code == 201
        hub.stop()
        with pytest.raises(requests.ConnectionError):
            apple().to(hub.url)
        hub.start()
        assert hub.url == url
        assert apple().to(hub.url).status_code == 201
        assert [push.sequence for push in hub.simulator.pushes()] == [1, 2]


def test_stop_closes_idle_connections() -> None:
    """A stop closes idle connections, and none is counted as open afterwards."""
    with RunningHub(Simulator(HUB)) as hub, socket.create_connection(("127.0.0.1", hub.port)) as connection:
        connection.settimeout(5)
        connection.sendall(b"POST /ring/messages/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        hub.stop()
        assert connection.recv(65536) == b""
        assert hub.simulator.summary().connections.open == 0


def test_stop_does_not_wait_for_an_incomplete_request() -> None:
    """A client that never completes its request does not delay the stop."""
    with RunningHub(Simulator(HUB)) as hub, socket.create_connection(("127.0.0.1", hub.port)) as connection:
        connection.settimeout(5)
        connection.sendall(b"POST /ring/messages/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        hub.simulator.wait_until(lambda simulator: simulator.summary().connections.open == 1)
        hub.stop()
        assert connection.recv(65536) == b""
        assert hub.simulator.attempts() == []


def test_port_in_use(hub: RunningHub) -> None:
    """The start of a second hub on the same port raises, and no thread remains."""
    second = RunningHub(Simulator(HUB), port=hub.port)
    with pytest.raises(OSError, match="address already in use"):
        second.start()
    second.stop()


def test_incomplete_request_is_not_an_attempt(caplog: pytest.LogCaptureFixture) -> None:
    """An incomplete request is not recorded as an attempt, and the hub goes on serving."""
    # A hub of its own: a connection of an earlier test that has not ended yet would be counted too.
    with RunningHub(Simulator(HUB)) as hub:
        with socket.create_connection(("127.0.0.1", hub.port)) as connection:
            connection.sendall(b"POST /ring/messages/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
            hub.simulator.wait_until(lambda simulator: simulator.summary().connections.open == 1, TIMEOUT)
        assert apple().to(hub.url).status_code == 201
        hub.simulator.wait_until(lambda simulator: simulator.summary().connections.open == 0, TIMEOUT)
        assert [each.status for each in hub.simulator.attempts()] == [201]
    assert [record.getMessage() for record in caplog.records if record.name.startswith("aiohttp")] == []


def test_latency() -> None:
    """The latency delays accepted and refused requests."""
    with RunningHub(Simulator(HUB, delay_seconds=0.05)) as hub:
        for send in (apple(), apple().with_headers(SBN_Tags="a")):
            started = time.monotonic()
            send.to(hub.url)
            assert time.monotonic() - started >= 0.05
        hub.simulator.set_latency(0.0)
        assert apple().to(hub.url).status_code == 201


def test_control_api_over_http(hub: RunningHub) -> None:
    """Pushes, attempts and counts are the same over HTTP; `forget` deletes them."""
    with ControlClient(hub.url) as control:
        apple().to(hub.url)
        fcm().with_headers(SBN_DeviceHandle="d:other").to(hub.url)
        apple().with_headers(SBN_Tags="a").to(hub.url)
        assert control.wait_for_pushes(2) == hub.simulator.summary() == control.summary()
        assert control.pushes() == hub.simulator.pushes()
        assert control.attempts() == hub.simulator.attempts()
        first, second = control.pushes()
        assert control.pushes(since=first.sequence) == [second]
        control.forget()
        assert (control.pushes(), control.attempts(), control.summary().attempts) == ([], [], {})
        apple().to(hub.url)
        assert control.pushes()[0].sequence == second.sequence + 1


def test_control_api_sets_latency(hub: RunningHub) -> None:
    """The latency is set through the control API; an invalid one is refused with a reason."""
    with ControlClient(hub.url) as control:
        control.set_latency(0.05)
        started = time.monotonic()
        apple().to(hub.url)
        assert time.monotonic() - started >= 0.05
        with pytest.raises(ControlError, match=r"400: .*delaySeconds"):
            control.set_latency(-1)
        control.set_latency(0)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "pushes?since=x", 400),
        ("GET", "pushes?since=-1", 400),
        ("PUT", "pushes", 405),
        ("GET", "nothing", 404),
        ("PUT", "latency", 400),
    ],
)
def test_control_api_refuses(hub: RunningHub, method: str, path: str, status: int) -> None:
    """Invalid use of the control API is answered with a reason in JSON, and is not an attempt."""
    answer = requests.request(method, f"{hub.url}/simulator/{path}", timeout=5)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert hub.simulator.attempts() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.test"},
        {"Host": "attacker.test", "Origin": "http://attacker.test"},
        {"Host": "127.0.0.1"},
        {"Origin": "https://attacker.test"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "faults"), ("GET", "pushes"), ("DELETE", "pushes")])
def test_control_api_refuses_other_sites(
    hub: RunningHub, method: str, path: str, headers: dict[str, str]
) -> None:
    """A request that another site in the same browser could send is a 403 and changes nothing."""
    assert apple().to(hub.url).status_code == 201
    order = b'{"kind": "drop"}'
    answer = requests.request(method, f"{hub.url}/simulator/{path}", data=order, headers=headers, timeout=5)
    assert answer.status_code == 403
    assert answer.json()["error"]
    assert (len(hub.simulator.pushes()), hub.simulator.faults()) == (1, [])


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_control_api_for_curl(hub: RunningHub, name: str) -> None:
    """A request without Origin, with curl's default content type, is accepted under both names."""
    headers = {"Host": f"{name}:{hub.port}", "Content-Type": "application/x-www-form-urlencoded"}
    url = f"{hub.url}/simulator/latency"
    answer = requests.put(url, data='{"delaySeconds": 0}', headers=headers, timeout=5)
    assert answer.status_code == 200


def test_waiting_has_a_timeout(hub: RunningHub) -> None:
    """Waiting for a push that does not arrive ends with TimeoutError, in the process and over HTTP."""
    with pytest.raises(TimeoutError):
        hub.simulator.wait_for_pushes(1, timeout=0.01)
    with ControlClient(hub.url) as control, pytest.raises(TimeoutError, match="0 of 1"):
        control.wait_for_pushes(1, timeout=0.01)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for loopback and its key, in PEM."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, so no certificate can be made")
    pem, key = tmp_path / "hub.pem", tmp_path / "hub.key"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    newkey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    command = [openssl, "req", "-x509", *newkey, *subject, "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return pem, key


def test_tls(certificate: tuple[Path, Path]) -> None:
    """With a certificate the hub is reached over https, and a stop closes its connections."""
    tls: ssl.SSLContext = server_tls(*certificate)
    with (
        RunningHub(Simulator(HUB), tls=tls) as hub,
        ControlClient(hub.url, verify=str(certificate[0])) as control,
    ):
        assert hub.url.startswith("https://")
        send = apple()
        headers = {name: value for name, value in send.headers.items() if value is not None}
        with requests.Session() as session:
            session.trust_env = False
            url = f"{hub.url}{send.path}?{send.query}"
            answer = session.post(url, send.body, headers=headers, timeout=5, verify=str(certificate[0]))
            assert answer.status_code == 201
            assert control.summary().connections.open == 1
            hub.stop()
        assert hub.simulator.summary().connections.open == 0


def test_repr_shows_no_key() -> None:
    """The representation of a hub shows no key."""
    assert "for-development-only" not in repr(DEVELOPMENT_HUB)
