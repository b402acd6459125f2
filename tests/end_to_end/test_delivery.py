"""From an event at the webhook, through the real worker, to the pushes at the hub."""

import base64
import hashlib
import hmac
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests

from common.version import VERSION
from local.hub.config import DEVELOPMENT_HUB
from local.hub.records import ReceivedPush
from local.samples import (
    CALLER,
    Phone,
    call_context_cp,
    cloud_event,
    event_grid_event,
    incoming_call_context,
    incoming_call_data,
    phones,
)
from local.stack import Host, Stack
from push.retry import MOST_MISCONFIGURED
from settings import setting_names
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import another_host, new_user, register_phones
from tests.end_to_end.wire import WireTap, wire_tap

RING = timedelta(seconds=60)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Schema = Callable[..., dict[str, Any]]
Event = dict[str, Any]


def pushes_of(stack: Stack, call_id: str) -> dict[str, ReceivedPush]:
    """The pushes of a call by device token; fails if a token got more than one."""
    received = [push for push in stack.hub.pushes() if push.call_id == call_id]
    by_token = {push.device_handle: push for push in received}
    assert len(by_token) == len(received), "a phone rang twice"
    return by_token


def attempted(stack: Stack, devices: tuple[Phone, ...]) -> list[int | None]:
    """The hub's answers to sends to these devices."""
    tokens = {phone.device_token for phone in devices}
    return [attempt.status for attempt in stack.hub.attempts() if attempt.device_handle in tokens]


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def post(host: Host, body: bytes) -> requests.Response:
    """Deliver a notification with any body."""
    return requests.post(host.webhook_url, data=body, headers={"aeg-event-type": "Notification"}, timeout=30)


class TestThePushes:
    @pytest.mark.parametrize("schema", [event_grid_event, cloud_event], ids=["Event Grid", "CloudEvents"])
    def test_exactly(self, stack: Stack, host: Host, log: HostLog, user: str, schema: Schema) -> None:
        """Each device gets the body and headers of its platform once, in either schema; the answer is 202."""
        iphone, android, windows = devices = register_phones(host, user)
        call_id, happened = str(uuid.uuid4()), datetime.now(UTC)
        data = incoming_call_data(user, call_id=call_id, display_name="Zoë „Z“ 🦊 Müller")
        cp = call_context_cp(call_id)
        data["incomingCallContext"] = incoming_call_context(cp)
        event = schema(data, time=happened)

        response = host.deliver(event)

        assert response.status_code == 202
        pushes = pushes_of(stack, call_id)
        assert pushes.keys() == {phone.device_token for phone in devices}
        shared = {
            "cp": cp,
            "callId": call_id,
            "recipientId": user,
            "callerId": CALLER,
            "displayName": "Zoë „Z“ 🦊 Müller",
            "videoCall": "false",
        }
        ends = happened + RING
        native = compact({"aps": {}, "data": {"eventId": 107, **shared}})
        push = pushes[iphone.device_token]
        assert push.body == native
        assert self.headers(push) == {
            "content-type": "application/json;charset=utf-8",
            "servicebusnotification-format": "apple",
            "servicebusnotification-devicehandle": iphone.device_token,
            "apns-push-type": "voip",
            "servicebusnotification-apns-push-type": "voip",
            "apns-priority": "10",
            "apns-expiration": str(int(ends.timestamp())),
            "servicebusnotification-apns-expiry": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        push = pushes[android.device_token]
        ttl = json.loads(push.body)["message"]["android"]["ttl"]
        self.check_left(ttl.removesuffix("s"))
        assert push.body == compact(
            {
                "message": {
                    "android": {"priority": "high", "ttl": ttl},
                    "data": {"eventId": "107", **shared},
                }
            }
        )
        assert self.headers(push) == {
            "content-type": "application/json;charset=utf-8",
            "servicebusnotification-format": "fcmv1",
            "servicebusnotification-devicehandle": android.device_token,
        }
        push = pushes[windows.device_token]
        assert push.body == native
        self.check_left(push.headers["x-wns-ttl"])
        assert self.headers(push) == {
            "content-type": "application/octet-stream",
            "servicebusnotification-format": "windows",
            "servicebusnotification-devicehandle": windows.device_token,
            "x-wns-type": "wns/raw",
            "x-wns-ttl": push.headers["x-wns-ttl"],
        }
        entry = log.entry(event_id=event["id"])
        assert (entry.level, entry.fields["result"]) == ("INFO", "delivered")
        assert (entry.fields["devices"], entry.fields["accepted"]) == (3, 3)

    def headers(self, push: ReceivedPush) -> dict[str, str]:
        """The headers without User-Agent and TrackingId, which must be a GUID."""
        headers = dict(push.headers)
        assert UUID.fullmatch(headers.pop("trackingid"))
        assert headers.pop("user-agent") == f"acs-call-push/{VERSION}"
        return headers

    def check_left(self, seconds: str) -> None:
        """The rest of the ring time in whole seconds, rounded down."""
        assert 50 <= int(seconds) <= 59

    def test_missing_properties(self, stack: Stack, host: Host, user: str) -> None:
        """A property that the event lacks is absent from the push, not null; the callee's id is enough."""
        iphone, android, windows = register_phones(host, user)
        cp = call_context_cp("any")
        data = {"to": {"communicationUser": {"id": user}}, "incomingCallContext": incoming_call_context(cp)}
        assert host.deliver(event_grid_event(data)).status_code == 202
        pushes = {push.device_handle: push for push in stack.hub.pushes()}
        shared = {"cp": cp, "recipientId": user, "videoCall": "false"}
        native = compact({"aps": {}, "data": {"eventId": 107, **shared}})
        assert pushes[iphone.device_token].body == pushes[windows.device_token].body == native
        message = json.loads(pushes[android.device_token].body)["message"]
        assert message["data"] == {"eventId": "107", **shared}

    def test_a_batch(self, stack: Stack, host: Host) -> None:
        """A batch may mix schemas and callees: each callee's phones ring for their own call."""
        users = [new_user(), new_user("8:orgid:"), new_user("8:gcch-acs:")]
        devices = [register_phones(host, user) for user in users]
        data = [incoming_call_data(user) for user in users]
        schemas = (event_grid_event, cloud_event, event_grid_event)
        events = [schema(one) for schema, one in zip(schemas, data, strict=True)]
        assert host.deliver(*events).status_code == 202
        for mine, one in zip(devices, data, strict=True):
            rung = pushes_of(stack, one["correlationId"])
            assert rung.keys() == {phone.device_token for phone in mine}
            assert attempted(stack, mine) == [201, 201, 201]

    def test_invalid_event_in_a_batch(self, stack: Stack, host: Host, user: str) -> None:
        """An invalid event fails its batch; the valid event has rung."""
        devices = register_phones(host, user)
        good = event_grid_event(incoming_call_data(user))
        bad = event_grid_event({**incoming_call_data(user), "to": None})
        assert host.deliver(bad, good).status_code == 500
        assert attempted(stack, devices) == [201, 201, 201]

    def test_only_unexpired_phones_of_the_callee(self, stack: Stack, host: Host, user: str) -> None:
        """A deleted phone, and one on which another user has signed in, do not ring."""
        iphone, android, windows = register_phones(host, user)
        host.delete_device_registration(user, windows.device_uuid)
        host.add_device_token(android.registration(new_user()))
        data = incoming_call_data(user)
        assert host.deliver(cloud_event(data)).status_code == 202
        assert pushes_of(stack, data["correlationId"]).keys() == {iphone.device_token}


class TestTheWire:
    @pytest.fixture(scope="module")
    @staticmethod
    def tap(stack: Stack) -> Iterator[WireTap]:
        """A recording proxy in front of the hub."""
        with wire_tap(stack.hub_url) as running:
            yield running

    @pytest.fixture(scope="module")
    @staticmethod
    def tapped(stack: Stack, tap: WireTap) -> Iterator[Host]:
        """A host with the tutorial's spelling of the settings that sends through the proxy."""
        sample = ("ANHHubConnectionString", "ANHHubName", "ANHHubUrl", "ANHHubApiVersion")
        settings = {
            **dict.fromkeys(sample, ""),
            "ANH_Hub_Connection_String": DEVELOPMENT_HUB.connection_string(),
            "ANH_Hub_Name": DEVELOPMENT_HUB.hub_name,
            "ANH_Hub_URL": f"{tap.url}/{DEVELOPMENT_HUB.hub_name}/messages",
        }
        with another_host(stack, HostLog(), settings, hub_url=tap.url) as running:
            yield running

    def test_request_line_and_token(self, tap: WireTap, tapped: Host, user: str) -> None:
        """Direct Send: POST …/messages/?direct&api-version=2020-06, one valid SAS token for all sends."""
        devices = register_phones(tapped, user)
        for schema in (event_grid_event, cloud_event):
            assert tapped.deliver(schema(incoming_call_data(user))).status_code == 202
        sent = tap.exchanges()
        assert [exchange.status for exchange in sent] == [201] * 6
        assert {(exchange.method, exchange.target) for exchange in sent} == {
            ("POST", "/calls/messages/?direct&api-version=2020-06")
        }
        handles = [exchange.header("ServiceBusNotification-DeviceHandle") for exchange in sent]
        assert sorted(handles) == sorted([phone.device_token] for phone in devices * 2)
        forbidden = {"apns-topic", "servicebusnotification-type", "servicebusnotification-tags"}
        assert not any(name.lower() in forbidden for exchange in sent for name, _ in exchange.headers)
        tokens = {value for exchange in sent for value in exchange.header("Authorization")}
        assert len(tokens) == 1
        self.check_token(tokens.pop())

    def check_token(self, token: str) -> None:
        """Signed as the service requires, for the hub, and valid for longer than a call rings."""
        scheme, _, pairs = token.partition(" ")
        raw = dict(pair.split("=", 1) for pair in pairs.split("&"))
        fields = dict(parse_qsl(pairs))
        name, rule = next(iter(DEVELOPMENT_HUB.rules.items()))
        digest = hmac.new(rule.key.encode(), f"{raw['sr']}\n{fields['se']}".encode(), hashlib.sha256).digest()
        assert scheme == "SharedAccessSignature"
        assert fields["sr"] == "https://localhub.servicebus.windows.net/calls"
        assert fields["sig"] == base64.b64encode(digest).decode()
        assert fields["skn"] == name
        assert 600 <= int(fields["se"]) - time.time() <= 3_600


class TestNoDevices:
    @pytest.mark.parametrize("schema", [event_grid_event, cloud_event], ids=["Event Grid", "CloudEvents"])
    @pytest.mark.parametrize(
        ("callee", "reason"),
        [
            (
                {"kind": "phoneNumber", "rawId": "4:+14255550123", "phoneNumber": {"value": "+14255550123"}},
                "the callee owns no devices: phone number",
            ),
            ({"phoneNumber": {"value": "+14255550123"}}, "the callee owns no devices: phone number"),
            ({"rawId": "8:teamsvisitor:0f1e"}, "the callee owns no devices: anonymous Teams visitor"),
            (
                {"microsoftTeamsUser": {"userId": "0f1e", "isAnonymous": True, "cloud": "public"}},
                "the callee owns no devices: anonymous Teams visitor",
            ),
            ({"rawId": "28:orgid:0f1e"}, "the callee owns no devices: Teams app"),
            ({"rawId": "9:new:0f1e"}, "the callee owns no devices: unknown identifier"),
            ({"rawId": "8:acs:not_registered"}, "the callee has no registered device"),
        ],
    )
    def test_acknowledged(
        self, host: Host, log: HostLog, schema: Schema, callee: Mapping[str, Any], reason: str
    ) -> None:
        """A callee without devices: 202, and the log line says why no phone rang."""
        event = schema({**incoming_call_data(), "to": callee})
        assert host.deliver(event).status_code == 202
        entry = log.entry(event_id=event["id"])
        assert entry.level == "INFO"
        assert (entry.fields["result"], entry.fields["reason"]) == ("skipped", reason)

    @pytest.mark.parametrize("schema", [event_grid_event, cloud_event], ids=["Event Grid", "CloudEvents"])
    def test_another_event_type(
        self, stack: Stack, host: Host, log: HostLog, user: str, schema: Schema
    ) -> None:
        """Another type of event is acknowledged with any data, and the log has its type."""
        devices = register_phones(host, user)
        other = "Microsoft.Communication.CallEnded"
        for data in (incoming_call_data(user), {}, None):
            event = schema(data)
            event |= {name: other for name in ("eventType", "type") if name in event}
            assert host.deliver(event).status_code == 202
            entry = log.entry(event_id=event["id"])
            assert entry.fields["reason"] == "another event type"
            assert entry.fields["event_type"] == other
        assert attempted(stack, devices) == []


def context(claims: object) -> str:
    """An incomingCallContext with any JSON in its middle part."""
    middle = base64.b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{middle}."


BAD_DATA = {
    "no data": (None, "its data is not a JSON object"),
    "a list for data": ([1], "its data is not a JSON object"),
    "text for data": ("data", "its data is not a JSON object"),
    "empty data": ({}, "names no callee"),
    "callee left out": ({"to": ...}, "names no callee"),
    "callee null": ({"to": None}, "names no callee"),
    "callee without an id": ({"to": {"kind": "communicationUser"}}, "names no callee"),
    "callee a number": ({"to": 5}, "names no callee"),
    "raw id a number": ({"to": {"rawId": 5}}, "names no callee"),
    "context left out": ({"incomingCallContext": ...}, "it is missing"),
    "context null": ({"incomingCallContext": None}, "it is missing"),
    "context a number": ({"incomingCallContext": 5}, "it is missing"),
    "context without dots": ({"incomingCallContext": "H4sI"}, "three parts"),
    "context of four parts": ({"incomingCallContext": "a.b.c.d"}, "three parts"),
    "middle part not base64": ({"incomingCallContext": "a.!!.c"}, "not base64"),
    "middle part not JSON": ({"incomingCallContext": "a.AAAA."}, "not a JSON object"),
    "middle part a list": ({"incomingCallContext": context([1])}, "not a JSON object"),
    "no cc": ({"incomingCallContext": context({"shrToken": "s"})}, "has no cc"),
    "cc empty": ({"incomingCallContext": context({"cc": ""})}, "has no cc"),
    "cc a number": ({"incomingCallContext": context({"cc": 5})}, "has no cc"),
    "cc not base64": ({"incomingCallContext": context({"cc": "ä ö"})}, "cc is not base64"),
}
BAD_ENVELOPES = {
    "no id": ({"id": ...}, "missing or malformed: id"),
    "id a number": ({"id": 5}, "missing or malformed: id"),
    "no type": ({"eventType": ..., "type": ...}, "missing or malformed: type"),
    "id too long": ({"id": "x" * 1025}, "missing or malformed: id"),
}


def changed(value: Event, changes: Mapping[str, Any]) -> Event:
    """The members replaced, or removed if the change is `...`; no member is added."""
    kept = {name: changes.get(name, old) for name, old in value.items()}
    return {name: new for name, new in kept.items() if new is not ...}


class TestInvalidEvents:
    def check(self, host: Host, log: HostLog, event: Event, said: str) -> None:
        mark = log.mark()
        assert host.deliver(event).status_code == 500
        assert set(log.exceptions(mark)) == {"InvalidEventError"}
        entry = log.entry(mark, event="incoming_call", result="failed")
        assert entry.level == "ERROR"
        assert entry.fields["code"] == "invalid_event"
        assert said in entry.fields["detail"]
        assert not any("direct cause" in line or "During handling" in line for line in log.lines(mark))

    @pytest.mark.parametrize("schema", [event_grid_event, cloud_event], ids=["Event Grid", "CloudEvents"])
    @pytest.mark.parametrize(("changes", "said"), BAD_DATA.values(), ids=BAD_DATA)
    def test_data(self, host: Host, log: HostLog, schema: Schema, changes: object, said: str) -> None:
        """Data without a callee or a usable context: 500, and the error says what is wrong."""
        whole = incoming_call_data()
        data = changed(whole, changes) if isinstance(changes, dict) and changes else changes
        self.check(host, log, schema(data), said)

    @pytest.mark.parametrize("schema", [event_grid_event, cloud_event], ids=["Event Grid", "CloudEvents"])
    @pytest.mark.parametrize(("changes", "said"), BAD_ENVELOPES.values(), ids=BAD_ENVELOPES)
    def test_envelope(
        self, host: Host, log: HostLog, schema: Schema, changes: Mapping[str, Any], said: str
    ) -> None:
        """An envelope without a valid id, type or time: 500, and the error says what is wrong."""
        self.check(host, log, changed(schema(incoming_call_data()), changes), said)

    @pytest.mark.parametrize("body", [b"", b"{", b"5", b"[5]", b'"event"', b"null"])
    def test_no_events(self, host: Host, log: HostLog, body: bytes) -> None:
        """The webhook refuses a body without JSON objects; the host goes on."""
        mark = log.mark()
        assert post(host, body).status_code == 400
        assert host.deliver(event_grid_event(incoming_call_data(new_user()))).status_code == 202
        assert log.exceptions(mark) == []

    def test_event_without_a_time(self, stack: Stack, host: Host, user: str) -> None:
        """An event without a time, or from the future, has the full ring time from now on."""
        devices = register_phones(host, user)
        timeless = changed(event_grid_event(incoming_call_data(user)), {"eventTime": ...})
        future = cloud_event(incoming_call_data(user), time=datetime.now(UTC) + timedelta(hours=1))
        for event in (timeless, future):
            assert host.deliver(event).status_code == 202
            pushes = pushes_of(stack, event["data"]["correlationId"])
            assert pushes.keys() == {phone.device_token for phone in devices}
            assert 50 <= int(pushes[devices[2].device_token].headers["x-wns-ttl"]) <= 60


class TestLateEvents:
    @pytest.mark.parametrize("schema", [event_grid_event, cloud_event], ids=["Event Grid", "CloudEvents"])
    def test_never_pushed(self, stack: Stack, host: Host, log: HostLog, user: str, schema: Schema) -> None:
        """A call that has stopped ringing is acknowledged and not pushed; the log says how late it was."""
        devices = register_phones(host, user)
        event = schema(incoming_call_data(user), time=datetime.now(UTC) - RING - timedelta(seconds=5))
        assert host.deliver(event).status_code == 202
        entry = log.entry(event_id=event["id"])
        assert (entry.level, entry.fields["result"]) == ("WARNING", "missed")
        assert 5 <= entry.fields["late_seconds"] < 30
        assert attempted(stack, devices) == []

    def test_nearly_late(self, stack: Stack, host: Host, user: str) -> None:
        """A call that still rings for some seconds is pushed with these seconds."""
        devices = register_phones(host, user)
        event = event_grid_event(
            incoming_call_data(user), time=datetime.now(UTC) - RING + timedelta(seconds=20)
        )
        assert host.deliver(event).status_code == 202
        push = pushes_of(stack, event["data"]["correlationId"])[devices[2].device_token]
        assert 10 <= int(push.headers["x-wns-ttl"]) < 20


REQUIRED = ("ANHHubConnectionString", "ANHHubName", "MongoDbConnectionString", "DbName")


class TestMisconfigured:
    def test_wrong_key(self, stack: Stack, host: Host, user: str) -> None:
        """A wrong key: the event is raised for a while, and one CRITICAL line says what to check."""
        devices = register_phones(host, user)
        log = HostLog()
        right = DEVELOPMENT_HUB.connection_string()
        wrong = right.replace(next(iter(DEVELOPMENT_HUB.rules.values())).key, "d3Jvbmcga2V5")
        assert wrong != right
        with another_host(stack, log, {"ANHHubConnectionString": wrong}) as lost:
            event = event_grid_event(incoming_call_data(user))
            assert lost.deliver(event).status_code == 500
            assert log.entry(event_id=event["id"]).fields["failed"] == 3
            (critical,) = [entry for entry in log.entries() if entry.level == "CRITICAL"]
            assert critical.fields["status"] == 401
            assert critical.fields["devices"] == 3
            assert "ANHHubConnectionString" in critical.fields["remedy"]
            assert "policies" in critical.fields["remedy"]
        assert attempted(stack, devices) == [401] * len(devices) * MOST_MISCONFIGURED

    @pytest.fixture(scope="module")
    @staticmethod
    def bare_log() -> HostLog:
        """The output of the host without settings."""
        return HostLog()

    @pytest.fixture(scope="module")
    @staticmethod
    def bare(stack: Stack, bare_log: HostLog) -> Iterator[Host]:
        """A host without any required setting."""
        missing = dict.fromkeys(REQUIRED, "")
        with another_host(stack, bare_log, missing) as running:
            yield running

    def check_names_all(self, text: str, names: Sequence[str]) -> None:
        for name in names:
            assert f"{name}: is missing" in text

    @pytest.mark.parametrize(
        "function", ["AddDeviceToken", "GetDeviceRegistrations", "DeleteDeviceRegistration"]
    )
    def test_registrar_without_settings(
        self, bare: Host, bare_log: HostLog, user: str, function: str
    ) -> None:
        """The answer is 503 without a setting's name; one log line names what the registrar lacks."""
        mark = bare_log.mark()
        response = {
            "AddDeviceToken": lambda: bare.add_device_token(phones()[0].registration(user)),
            "GetDeviceRegistrations": lambda: bare.get_device_registrations(user),
            "DeleteDeviceRegistration": lambda: bare.delete_device_registration(user, "phone-1"),
        }[function]()
        assert response.status_code == 503
        assert response.headers["Content-Type"].split(";")[0] == "application/problem+json"
        assert response.headers["Retry-After"]
        assert response.json()["code"] == "misconfigured"
        assert not any(name.lower() in response.text.lower() for name in setting_names())
        entry = bare_log.entry(mark, event="request_failed")
        assert (entry.level, entry.fields["function"]) == ("ERROR", function)
        self.check_names_all(entry.fields["detail"], ("MongoDbConnectionString", "DbName"))

    def test_event_without_settings(self, bare: Host, bare_log: HostLog, user: str) -> None:
        """The event is raised for a while; one CRITICAL line names all missing settings."""
        mark = bare_log.mark()
        assert bare.deliver(event_grid_event(incoming_call_data(user))).status_code == 500
        entry = bare_log.entry(mark, event="misconfigured")
        assert entry.level == "CRITICAL"
        self.check_names_all(entry.fields["remedy"], REQUIRED)
        assert set(bare_log.exceptions(mark)) == {"ConfigurationError"}
