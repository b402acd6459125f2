"""With every logger at DEBUG, no secret and no name leaves the app by its log or its answers."""

import base64
import json
import secrets
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
import requests
from pymongo import MongoClient

from local.hub.config import DEVELOPMENT_HUB
from local.hub.control_client import ControlClient
from local.hub.faults import Fault
from local.process import Child, python_module
from local.samples import (
    CALLER,
    Phone,
    call_context_cp,
    cloud_event,
    event_grid_event,
    incoming_call_data,
    phones,
)
from local.stack import APP_DIRECTORY, SIMULATOR_OPTIONS, Host, Stack
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import another_host, new_user
from tests.end_to_end.wire import WireTap, wire_tap
from tests.subscriptions import subscription_text

DATABASE = "secrets"
PASSWORD = "correct-horse-battery"  # no real one
WRONG_KEY = "bm90LXRoZS1yaWdodC1rZXk="
DISPLAY_NAME = "Rear Admiral Grace Hopper"
DEBUG_SETTINGS = {"DbName": DATABASE, "PYTHON_ENABLE_DEBUG_LOGGING": "1"}


@dataclass
class Evidence:
    """What was written, by its source, and what must not be in it."""

    hosts: HostLog = field(default_factory=HostLog)
    hub: HostLog = field(default_factory=HostLog)
    answers: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    def hide(self, what: str, secret: str) -> str:
        """Have a secret looked for; returns it."""
        self.secrets[f"{what} {len(self.secrets)}"] = secret
        return secret

    def keep(self, response: requests.Response) -> requests.Response:
        """Have an answer searched, its headers too."""
        self.answers.append(f"{response.headers}\n{response.text}")
        return response


def base64url(value: bytes) -> str:
    """Without padding, as a browser writes its keys."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def leaks(text: str, secrets: Mapping[str, str]) -> list[str]:
    """The names of the secrets that stand in the text, plain or as any common encoding would show them."""
    found = []
    for name, secret in secrets.items():
        forms = {
            secret,
            json.dumps(secret)[1:-1],
            repr(secret)[1:-1],
            quote(secret, safe=""),
            base64.b64encode(secret.encode()).decode().rstrip("="),
        }
        if any(form in text for form in forms):
            found.append(name)
    return found


class Story:
    """Everything that can happen to a registration and a call, told on one host."""

    def __init__(self, evidence: Evidence, stack: Stack) -> None:
        self.evidence = evidence
        self.stack = stack

    def user(self, prefix: str = "8:acs:") -> str:
        return self.evidence.hide("MRI", new_user(prefix))

    def phones(self) -> tuple[Phone, ...]:
        devices = phones()
        for phone in devices:
            self.evidence.hide("device token", phone.device_token)
        return devices

    def call(self, user: str) -> dict[str, Any]:
        """The data of a call whose every part is looked for."""
        cp = self.evidence.hide("cc", call_context_cp(str(uuid.uuid4())))
        data = incoming_call_data(user, display_name=DISPLAY_NAME)
        data["incomingCallContext"] = self.context({"cc": cp, "shrToken": f"share-{uuid.uuid4()}"})
        return data

    def context(self, claims: dict[str, str]) -> str:
        """A call context around claims; all of it is secret, and each claim by itself."""
        for name, value in claims.items():
            if value:
                self.evidence.hide(name, value)
        middle = base64.b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return self.evidence.hide("call context", f"eyJhbGciOiJub25lIn0.{middle}.")

    def registrations(self, host: Host) -> None:
        user, keep = self.user(), self.evidence.keep
        iphone, android, windows = self.phones()
        for phone in (iphone, android, windows, iphone):
            assert host.add_device_token(phone.registration(user)).status_code == 201
        assert host.get_device_registrations(user).status_code == 200
        assert host.delete_device_registration(user, iphone.device_uuid).status_code == 200
        # From here on nothing is answered that the caller may not have written down either.
        assert keep(host.get_device_registrations(self.user())).status_code == 404
        assert keep(host.delete_device_registration(user, iphone.device_uuid)).status_code == 404
        whole = iphone.registration(user)
        for bad in (
            {**whole, "acsMri": iphone.device_token},
            {**whole, "acsMri": self.evidence.hide("MRI", "4:+14255550199")},
            {**whole, "ttlSeconds": iphone.device_token},
            {**whole, "deviceInfos": [{**whole["deviceInfos"][0], "platform": iphone.device_token}]},
            {**whole, "deviceInfos": [{**whole["deviceInfos"][0], "deviceToken": iphone.device_token * 90}]},
            {**whole, "deviceInfos": [whole["deviceInfos"][0], whole["deviceInfos"][0]]},
            {**whole, "deviceInfos": [iphone.device_token]},
        ):
            assert keep(host.add_device_token(bad)).status_code == 400
        for torn in (json.dumps(whole)[:-5], iphone.device_token):
            response = host.call("POST", "add_device_token", function="AddDeviceToken", data=torn)
            assert keep(response).status_code == 400
        assert keep(host.call("POST", "add_device_token", json=whole)).status_code == 401
        query = {"acsMri": user, "code": self.evidence.hide("a wrong key", str(uuid.uuid4()))}
        assert keep(host.call("GET", "get_device_registrations", params=query)).status_code == 401

    def deliveries(self, host: Host, hub: ControlClient) -> None:
        keep, user = self.evidence.keep, self.user()
        for phone in self.phones():
            assert host.add_device_token(phone.registration(user)).status_code == 201
        for schema in (event_grid_event, cloud_event):
            event = schema(self.call(user))
            assert keep(host.deliver(event)).status_code == 202
            assert keep(host.deliver(event)).status_code == 202  # a duplicate
        for fault in (
            Fault(kind="status", status=400, times=1),
            Fault(kind="status", status=410, times=1),
            Fault(kind="status", status=403, times=1),
            Fault(kind="status", status=503, times=1),
            Fault(kind="status", status=429, retry_after="3600", times=1),
        ):
            hub.add_fault(fault)
            answered = keep(host.deliver(event_grid_event(self.call(user)))).status_code
            assert answered == (500 if fault.status == 429 else 202)
            hub.clear_faults()
        self.bad_events(host, user)
        assert (
            keep(host.deliver(event_grid_event(self.call(self.user("8:teamsvisitor:"))))).status_code == 202
        )
        late = event_grid_event(self.call(user)) | {"eventTime": "2026-01-31T12:00:00.1234567Z"}
        assert keep(host.deliver(late)).status_code == 202

    def reports(self, host: Host) -> None:
        """Reports of a call that rings, and of none."""
        keep, user = self.evidence.keep, self.user()
        android = self.phones()[1]
        assert host.add_device_token(android.registration(user)).status_code == 201
        data = self.call(user)
        assert host.deliver(event_grid_event(data)).status_code == 202
        whole = {"acsMri": user, "deviceUUID": android.device_uuid, "callId": data["correlationId"]}
        for state in ("ringing", "answered"):
            assert keep(host.report_call({**whole, "state": state})).status_code == 204
        for change, status in (
            ({"acsMri": self.user()}, 404),
            ({"deviceUUID": android.device_token[:200]}, 404),
            ({"callId": android.device_token[:200]}, 404),
            ({"state": android.device_token}, 400),
            ({"acsMri": android.device_token}, 400),
        ):
            assert keep(host.report_call({**whole, "state": "ringing", **change})).status_code == status

    def browsers(self, host: Host) -> None:
        """A browser's subscription: registered, rung, refused by the hub, and malformed in each part."""
        keep, user, hide = self.evidence.keep, self.user(), self.evidence.hide
        endpoint = hide("endpoint", f"https://push.example.test/{uuid.uuid4()}")
        p256dh = hide("p256dh", base64url(b"\x04" + secrets.token_bytes(64)))
        auth = hide("auth", base64url(secrets.token_bytes(16)))
        good = subscription_text(endpoint, p256dh=p256dh, auth=auth)
        browser = Phone("browser", "browser", good, "web")
        assert host.add_device_token(browser.registration(user)).status_code == 201
        assert keep(host.deliver(event_grid_event(self.call(user)))).status_code == 202
        for text in (
            good[:-2],
            endpoint,
            subscription_text(endpoint, p256dh=auth, auth=p256dh),
            subscription_text(endpoint.replace("push.example.test", "127.0.0.1"), p256dh=p256dh, auth=auth),
        ):
            bad = Phone("browser", "browser", text, "web")
            assert keep(host.add_device_token(bad.registration(user))).status_code == 400
        teams_user = self.user("8:orgid:")
        assert keep(host.add_device_token(browser.registration(teams_user))).status_code == 400

    def bad_events(self, host: Host, user: str) -> None:
        keep, whole = self.evidence.keep, self.call(user)
        contexts = (
            self.context({"cc": "", "shrToken": f"share-{uuid.uuid4()}"}),
            self.context({"cc": f"not base64: {uuid.uuid4()}", "shrToken": f"share-{uuid.uuid4()}"}),
            self.evidence.hide("call context", f"a.{uuid.uuid4().hex}!.c"),
            self.evidence.hide("call context", f"a.{base64.b64encode(uuid.uuid4().hex.encode()).decode()}."),
            self.evidence.hide("call context", uuid.uuid4().hex),
        )
        events = [event_grid_event({**whole, "incomingCallContext": context}) for context in contexts]
        events.append(event_grid_event({**whole, "to": {"rawId": [user]}}))
        events.append(event_grid_event({**whole, "to": None}))
        assert keep(host.deliver({**cloud_event(whole), "time": user})).status_code == 202
        events.append({**event_grid_event(whole), "id": [user]})
        for event in events:
            assert keep(host.deliver(event)).status_code == 500
        headers = {"aeg-event-type": "Notification"}
        response = requests.post(host.webhook_url, data=json.dumps(whole)[:-9], headers=headers, timeout=30)
        assert keep(response).status_code == 400
        wrong = f"{host.webhook_url}-wrong"
        assert keep(requests.post(wrong, json=[events[0]], headers=headers, timeout=30)).status_code == 401

    def database_errors(self, host: Host, uri: str) -> None:
        """A real duplicate key, whose message quotes the device token."""
        # A channel of WNS is taken as a token of FCM as well, which has no documented shape.
        user, phone = self.user(), self.phones()[2]
        client: MongoClient[dict[str, Any]] = MongoClient(uri)
        with client:
            collection = client[DATABASE]["DeviceRegistrations"]
            collection.create_index("deviceToken", unique=True)
            collection.insert_one({"_id": "twin", "deviceToken": phone.device_token})
            response = host.add_device_token(phone.registration(user))
            collection.delete_one({"_id": "twin"})
            collection.drop_index("deviceToken_1")
        assert response.status_code == 503
        assert self.evidence.keep(response).json()["code"] == "database_unavailable"

    def garbage(self, host: Host) -> None:
        """Requests that are no HTTP, with a key where a server might quote it."""
        port = int(host.url.rpartition(":")[2])
        code = host.webhook_url.partition("?")[2]
        for line in (f"POST /runtime?{code} HTTP/9.9", f"PO\x00ST /runtime?{code} HTTP/1.1", f"{code} ? ?"):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(f"{line}\r\nHost: localhost\r\nx-functions-key: {code}\r\n\r\n".encode())
                connection.recv(65_536)


@contextmanager
def own_hub(evidence: Evidence) -> Iterator[tuple[WireTap, ControlClient]]:
    """A hub simulator whose output is kept, behind a wire tap."""
    child = Child.spawn(
        "hub", python_module("local.hub", *SIMULATOR_OPTIONS), directory=APP_DIRECTORY, on_line=evidence.hub
    )
    with child:
        url = str(child.wait_for_ready(30)["url"])
        with ControlClient(url) as control, wire_tap(url) as tap:
            yield tap, control


@pytest.fixture(scope="module")
def evidence(stack: Stack) -> Evidence:
    """All of it, once the hosts have ended, so that their very last words are there."""
    evidence = Evidence()
    for rule in DEVELOPMENT_HUB.rules.values():
        evidence.hide("hub key", rule.key.rstrip("="))
    for name, key in {**stack.keys.functions, **stack.keys.system}.items():
        evidence.hide(f"key of {name}", key)
    evidence.hide("host key", stack.keys.host)
    evidence.hide("master key", stack.keys.master)
    evidence.hide("wrong hub key", WRONG_KEY.rstrip("="))
    evidence.hide("database password", PASSWORD)
    evidence.hide("SAS token", "SharedAccessSignature")
    evidence.hide("SAS signature", "sig=")
    evidence.hide("display name", DISPLAY_NAME)
    evidence.hide("caller", CALLER)
    story = Story(evidence, stack)
    with own_hub(evidence) as (tap, control):
        tell_all(story, tap, control)
        for exchange in tap.exchanges():
            evidence.answers.append(f"{exchange.answer_headers}\n{exchange.answer.decode()}")
            for token in exchange.header("Authorization"):
                evidence.hide("signature sent", token.partition("sig=")[2].partition("&")[0])
    return evidence


def tell_all(story: Story, tap: WireTap, control: ControlClient) -> None:
    stack, log = story.stack, story.evidence.hosts
    with another_host(stack, log, DEBUG_SETTINGS, hub_url=tap.url, log_level="DEBUG") as host:
        story.registrations(host)
        story.deliveries(host, control)
        story.reports(host)
        story.browsers(host)
        story.database_errors(host, stack.database.uri)
        story.garbage(host)
    right = DEVELOPMENT_HUB.connection_string()
    wrong_key = {
        "ANHHubConnectionString": right.rpartition("SharedAccessKey=")[0] + f"SharedAccessKey={WRONG_KEY}"
    }
    settings = {**DEBUG_SETTINGS, **wrong_key}
    with another_host(stack, log, settings, hub_url=tap.url, log_level="DEBUG") as host:
        user = story.user()
        host.add_device_token(story.phones()[0].registration(user))
        assert story.evidence.keep(host.deliver(event_grid_event(story.call(user)))).status_code == 500
    secured = stack.database.uri.replace("://", f"://operator:{PASSWORD}@")
    settings = {**DEBUG_SETTINGS, "MongoDbConnectionString": secured}
    with another_host(stack, log, settings, hub_url=tap.url, log_level="DEBUG") as host:
        user = story.user()
        refused = host.add_device_token(story.phones()[0].registration(user))
        assert story.evidence.keep(refused).json()["code"] == "misconfigured"
        assert story.evidence.keep(host.deliver(event_grid_event(story.call(user)))).status_code == 500
    torn = f"Endpoint=sb://localhub.servicebus.windows.net/;SharedAccessKey={WRONG_KEY}"
    for broken in (
        {"MongoDbConnectionString": f"mongodb://operator:{PASSWORD}@[::1"},
        {
            "MongoDbConnectionString": f"postgres://operator:{PASSWORD}@127.0.0.1",
            "ANHHubConnectionString": torn,
            "ANHHubUrl": "ftp://localhost",
            "DefaultTtlSeconds": "a week",
        },
    ):
        settings = {**DEBUG_SETTINGS, **broken}
        with another_host(stack, log, settings, hub_url=tap.url, log_level="DEBUG") as host:
            refused = host.add_device_token(story.phones()[0].registration(story.user()))
            assert story.evidence.keep(refused).json()["code"] == "misconfigured"
            answered = story.evidence.keep(host.deliver(event_grid_event(story.call(story.user()))))
            assert answered.status_code == 500


def test_it_was_logged(evidence: Evidence) -> None:
    """The search below means something: all loggers spoke at DEBUG, and what they spoke about did happen."""
    lines = evidence.hosts.lines()
    for logger in ("azure.functions", "asyncio"):
        assert any(f" DEBUG   {logger}: " in line for line in lines), logger
    results = {entry.fields.get("result") for entry in evidence.hosts.entries()}
    assert {"delivered", "incomplete", "duplicate", "skipped", "missed", "failed"} <= results
    codes = {entry.fields.get("code") for entry in evidence.hosts.entries()}
    assert {"invalid_event", "database_unavailable", "misconfigured"} <= codes
    assert any("A unique index of the collection" in line for line in lines)
    assert any("the database refuses the user name or the password" in line for line in lines)
    assert len(evidence.secrets) > 50


def test_nothing_secret_in_the_log(evidence: Evidence) -> None:
    """No host wrote a device token, key, signature, call context, display name or MRI on stdout or stderr."""
    assert leaks("\n".join(evidence.hosts.lines()), evidence.secrets) == []


def test_nothing_secret_in_the_answers(evidence: Evidence) -> None:
    """Neither the webhook, the registrar's errors nor the hub repeat what they were sent."""
    assert leaks("\n".join(evidence.answers), evidence.secrets) == []


def test_nothing_secret_from_the_hub_simulator(evidence: Evidence) -> None:
    """The simulator, which has seen every token, writes none of it."""
    assert leaks("\n".join(evidence.hub.lines()), evidence.secrets) == []


@pytest.mark.parametrize("shape", ["{}", '{{"token": {}}}', "b'{}'", "/?handle={}", "{}, more"])
def test_a_leak_is_found(evidence: Evidence, shape: str) -> None:
    """One secret among thousands of harmless lines is found, whatever stands around it."""
    name, secret = next((n, s) for n, s in evidence.secrets.items() if n.startswith("device token"))
    text = "\n".join([*evidence.hosts.lines(), shape.format(secret)])
    assert leaks(text, evidence.secrets) == [name]
