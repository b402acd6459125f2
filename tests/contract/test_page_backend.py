"""The page's backend over real HTTP: its guard, its commands and its stream."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from local.hub.control_client import ControlClient
from local.hub.running_hub import RunningHub
from local.page.app_client import AppAnswer, AppClient
from local.page.controller import PageController
from local.page.event_grid import DELIVERIES_AT_ONCE
from local.page.host_lines import HostLines
from local.page.routes import create_app
from local.page.sources import Reading, SourceError, Sources
from local.page.watcher import Watcher
from models.device import DeviceRegistration
from tests.page_evidence import CALLEE, push, registration

SECONDS = 10.0
COMMANDS = (
    *("/phones", "/phones/removal", "/calls", "/calls/end", "/calls/clear"),
    *(
        "/feedback",
        "/phones/browser",
        "/phones/uninstallation",
        "/redeliveries",
        "/actions",
        "/options",
        "/hub",
    ),
)
CALL = {"callee": CALLEE, "callerName": "Ada"}


@dataclass
class FakeApp(AppClient):
    """Answers every request with `answer`; deliveries wait while `held`."""

    answer: AppAnswer = field(default_factory=lambda: AppAnswer(201, {"expiresAt": "later"}, 1))
    held: asyncio.Event | None = None
    registered: list[Mapping[str, Any]] = field(default_factory=list)
    removed: list[tuple[str, str]] = field(default_factory=list)
    delivered: list[Mapping[str, Any]] = field(default_factory=list)
    reported: list[Mapping[str, Any]] = field(default_factory=list)

    async def register(self, registration: Mapping[str, Any]) -> AppAnswer:
        """Record it."""
        self.registered.append(registration)
        return self.answer

    async def remove(self, acs_mri: str, device_uuid: str) -> AppAnswer:
        """Record it."""
        self.removed.append((acs_mri, device_uuid))
        return self.answer

    async def forget_dead_devices(self) -> AppAnswer:
        """As the host."""
        return AppAnswer(202, "", 1)

    async def report(self, report: Mapping[str, Any], trace: str) -> AppAnswer:
        """Record it."""
        assert trace
        self.reported.append(report)
        return AppAnswer(204, "", 2)

    async def deliver(self, event: Mapping[str, Any], trace: str) -> AppAnswer:
        """Record it, and wait."""
        assert trace
        self.delivered.append(event)
        if self.held is not None:
            await self.held.wait()
        return AppAnswer(202, "", 3)


@dataclass
class FakeSources(Sources):
    """Returns the reading that a test has set."""

    reading: Reading = field(default_factory=Reading)
    problem: str | None = None

    def read(self) -> Reading:
        """The reading; raises if a test has set `problem`."""
        if self.problem:
            raise SourceError(self.problem)
        return self.reading


@dataclass
class Backend:
    """A running backend with its collaborators."""

    client: "TestClient[Any, Any]"
    app: FakeApp
    source: FakeSources
    controller: PageController
    watcher: Watcher
    hub: RunningHub

    @property
    def origin(self) -> str:
        """The `Origin` of the page's own requests."""
        return str(self.client.make_url("/")).rstrip("/")

    async def send(self, path: str, body: object, **headers: str) -> ClientResponse:
        """Send a command as the page does."""
        return await self.client.post(path, json=body, headers={"Origin": self.origin, **headers})

    async def ring(self, call_id: str, *, received_at: float | None = None) -> DeviceRegistration:
        """A phone of the callee that the call rings; returns when the page knows of it."""
        device = registration()
        at = time.time() if received_at is None else received_at
        headers = {"apns-expiration": str(round(at) + 60)}
        ring = push({"callId": call_id}, headers=headers, received_at=at)
        async with self.client.get("/live") as stream:
            self.source.reading = Reading(registrations=[device], pushes=[ring])
            self.watcher.wake()
            while not (await next_snapshot(stream))["phones"]:
                pass
        return device

    def kinds(self) -> list[str]:
        """The types of the delivered events."""
        return [str(event["eventType"]).rpartition(".")[2] for event in self.app.delivered]

    async def settled(self) -> None:
        """Every delivery and every report has its answer."""
        await self.controller.calls.event_grid.settled()
        await self.controller.calls.reporter.settled()

    async def answer_to(self, path: str, body: object) -> Any:
        """The JSON answer to a command."""
        return await (await self.send(path, body)).json()


@asynccontextmanager
async def backend(app: FakeApp | None = None) -> AsyncIterator[Backend]:
    fake, source = app or FakeApp(), FakeSources()
    with RunningHub() as hub, ControlClient(hub.url) as control:
        watcher = Watcher(source, HostLines())
        controller = PageController(fake, control, watcher.wake)
        watching = asyncio.create_task(watcher.run(controller))
        async with TestClient(TestServer(create_app(controller, watcher))) as client:
            async with asyncio.timeout(SECONDS):
                yield Backend(client, fake, source, controller, watcher, hub)
            await watcher.stop()
        await controller.close()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def next_snapshot(stream: ClientResponse) -> Any:
    async for line in stream.content:
        if line.startswith(b"data: "):
            return json.loads(line.removeprefix(b"data: "))["snapshot"]
    raise AssertionError("the stream has ended")


class TestGuard:
    @pytest.mark.parametrize("path", COMMANDS)
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://attacker.test"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Host": "attacker.test"},
            {"Host": "attacker.test", "Origin": "http://attacker.test"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    def test_commands_of_other_origins(self, path: str, headers: dict[str, str]) -> None:
        """A command from another origin, or with another Host, is a 403 and is not carried out."""

        async def scenario() -> None:
            async with backend() as running:
                assert (await running.send(path, CALL, **headers)).status == 403
                assert (running.app.delivered, running.app.registered, running.app.removed) == ([], [], [])

        asyncio.run(scenario())

    def test_command_without_origin(self) -> None:
        """A POST without Origin is refused: every browser sends one."""

        async def scenario() -> None:
            async with backend() as running:
                assert (await running.client.post("/calls", json=CALL)).status == 403

        asyncio.run(scenario())

    def test_command_without_preflight(self) -> None:
        """A content type that needs no preflight request is a 415."""

        async def scenario() -> None:
            async with backend() as running:
                headers = {"Origin": running.origin, "Content-Type": "text/plain"}
                answer = await running.client.post("/calls", data=json.dumps(CALL), headers=headers)
                assert answer.status == 415

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        "headers",
        [{"Origin": "https://attacker.test"}, {"Host": "attacker.test"}, {"Sec-Fetch-Site": "cross-site"}],
    )
    def test_stream_for_other_origins(self, headers: dict[str, str]) -> None:
        """Another origin cannot read the stream."""

        async def scenario() -> None:
            async with backend() as running:
                assert (await running.client.get("/live", headers=headers)).status == 403

        asyncio.run(scenario())

    def test_link_from_another_site(self) -> None:
        """A link on another site to the start page works."""

        async def scenario() -> None:
            async with backend() as running:
                headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
                assert (await running.client.get("/", headers=headers)).status == 200

        asyncio.run(scenario())

    def test_localhost(self) -> None:
        """The page works under the name localhost too."""

        async def scenario() -> None:
            async with backend() as running:
                host = f"localhost:{running.client.port}"
                answer = await running.send("/calls", CALL, Host=host, Origin=f"http://{host}")
                assert answer.status == 200

        asyncio.run(scenario())

    @pytest.mark.parametrize("path", ["/", "/main.js", "/base.css", "/nothing"])
    def test_policy_on_every_answer(self, path: str) -> None:
        """Every answer forbids inline and external scripts, styles and connections, and framing."""

        async def scenario() -> None:
            async with backend() as running:
                headers = (await running.client.get(path)).headers
                policy = headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert "http" not in policy
                assert headers["X-Content-Type-Options"] == "nosniff"
                assert headers["Cache-Control"] == "no-store"

        asyncio.run(scenario())


class TestFiles:
    def test_other_paths(self) -> None:
        """A path that is not a file of the page is a 404."""

        async def scenario() -> None:
            async with backend() as running:
                for path in ("/nothing", "/../server.py", "/%2e%2e/server.py", "/static/index.html"):
                    assert (await running.client.get(path)).status == 404

        asyncio.run(scenario())

    def test_no_external_resources(self) -> None:
        """The page names no other host and has no inline script, handler or style."""

        async def scenario() -> None:
            async with backend() as running:
                text = await (await running.client.get("/")).text()
                for wrong in ("http://", "https://", "onclick", "onload", "style=", "<style", "javascript:"):
                    assert wrong not in text
                assert text.count("<script") == text.count('<script type="module" src="/')

        asyncio.run(scenario())


class TestCommands:
    def test_registers_through_the_api(self) -> None:
        """A phone gets a random token; the app's answer is returned as data, with any status."""

        async def scenario() -> None:
            refusing = FakeApp(AppAnswer(400, {"title": "Bad"}, 1))
            async with backend(refusing) as running:
                body = {"acsMri": "4:+1", "platform": "android", "deviceUuid": "known", "ttlSeconds": 300}
                answer = await running.answer_to("/phones", body)
                assert answer == {"status": 400, "body": {"title": "Bad"}, "problem": None}
                (sent,) = running.app.registered
                (device,) = sent["deviceInfos"]
                assert (sent["acsMri"], sent["ttlSeconds"]) == ("4:+1", 300)
                assert (device["deviceUUID"], device["platform"]) == ("known", "android")
                assert device["deviceToken"] not in json.dumps(answer)

        asyncio.run(scenario())

    def test_registers_the_browser(self) -> None:
        """The browser's subscription goes to the API as it is."""

        async def scenario() -> None:
            async with backend() as running:
                body = {"acsMri": CALLEE, "deviceUuid": "tab", "subscription": '{"endpoint": "e"}'}
                assert (await running.answer_to("/phones/browser", body))["status"] == 201
                (device,) = running.app.registered[0]["deviceInfos"]
                token = {"deviceUUID": "tab", "deviceToken": '{"endpoint": "e"}', "platform": "browser"}
                assert device == token

        asyncio.run(scenario())

    def test_forgets_dead_devices(self) -> None:
        """The host's answer is returned as data."""

        async def scenario() -> None:
            async with backend() as running:
                assert (await running.answer_to("/feedback", {}))["status"] == 202

        asyncio.run(scenario())

    def test_both_tokens_of_an_iphone(self) -> None:
        """An iPhone registers a token for calls and one for alerts."""

        async def scenario() -> None:
            async with backend() as running:
                await running.answer_to("/phones", {"acsMri": CALLEE, "platform": "apple"})
                calls, alerts = (sent["deviceInfos"][0] for sent in running.app.registered)
                assert alerts["purpose"] == "alerts"
                assert calls["deviceUUID"] == alerts["deviceUUID"]
                assert calls["deviceToken"] != alerts["deviceToken"]

        asyncio.run(scenario())

    def test_uninstalls(self) -> None:
        """The simulator's platform refuses the phone's pushes from then on."""

        async def scenario() -> None:
            async with backend() as running:
                device = await running.ring("call")
                await running.answer_to("/phones/uninstallation", {"phoneId": device.device_key})
                (dead,) = running.hub.simulator.outcomes()
                assert (dead.device_handle, dead.outcome) == (device.device_token, "ExpiredChannel")
                answer = await running.send("/phones/uninstallation", {"phoneId": "unknown"})
                assert answer.status == 400

        asyncio.run(scenario())

    def test_removes_through_the_api(self) -> None:
        """A removal names the user and the device."""

        async def scenario() -> None:
            async with backend() as running:
                await running.answer_to("/phones/removal", {"acsMri": "8:acs:a", "deviceUuid": "u"})
                assert running.app.removed == [("8:acs:a", "u")]

        asyncio.run(scenario())

    @pytest.mark.parametrize(("schema", "key"), [("eventGrid", "eventType"), ("cloudEvents", "specversion")])
    def test_places_a_call(self, schema: str, key: str) -> None:
        """An event is made in the given schema and delivered."""

        async def scenario() -> None:
            async with backend() as running:
                answer = await running.answer_to("/calls", {**CALL, "schemaName": schema})
                await running.settled()
                (event,) = running.app.delivered
                assert key in event
                assert (event["id"], event["data"]["correlationId"]) == (answer["eventId"], answer["callId"])
                assert running.controller.calls.placed[0].incoming_call.deliveries[0].status == 202

        asyncio.run(scenario())

    def test_redelivers_the_same_event(self) -> None:
        """A redelivery is the same event."""

        async def scenario() -> None:
            async with backend() as running:
                first = await running.answer_to("/calls", CALL)
                await running.answer_to("/calls", CALL)
                await running.answer_to("/redeliveries", {"eventId": first["eventId"]})
                await running.settled()
                one, _, again = running.app.delivered
                assert again == one

        asyncio.run(scenario())

    def test_nothing_to_redeliver(self) -> None:
        """A redelivery of an unknown event is refused with a reason."""

        async def scenario() -> None:
            async with backend() as running:
                answer = await running.send("/redeliveries", {"eventId": "unknown"})
                assert answer.status == 400
                assert "no such event" in (await answer.json())["problem"]

        asyncio.run(scenario())

    def test_deliveries_are_bounded(self) -> None:
        """The number of deliveries without an answer is bounded."""

        async def scenario() -> None:
            async with backend(FakeApp(held=asyncio.Event())) as running:
                answers = [await running.send("/calls", CALL) for _ in range(DELIVERIES_AT_ONCE + 1)]
                assert [one.status for one in answers] == [200] * DELIVERIES_AT_ONCE + [400]

        asyncio.run(scenario())

    def test_stop_does_not_wait_for_answers(self) -> None:
        """A delivery without an answer does not delay the stop."""

        async def scenario() -> None:
            async with asyncio.timeout(SECONDS), backend(FakeApp(held=asyncio.Event())) as running:
                await running.answer_to("/calls", CALL)

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("actions", "statuses"),
        [
            (("ended",), [400]),
            (("answered", "declined", "answered"), [200, 400, 400]),
            (("answered", "ended", "ended"), [200, 200, 400]),
            (("declined", "ended"), [200, 400]),
        ],
    )
    def test_actions(self, actions: tuple[str, ...], statuses: list[int]) -> None:
        """A call is answered or declined once, then ended once; every other order is a 400."""

        async def scenario() -> None:
            async with backend() as running:
                device = await running.ring("call")
                about = {"phoneId": device.device_key, "callId": "call"}
                answers = [await running.send("/actions", {**about, "action": action}) for action in actions]
                assert [answer.status for answer in answers] == statuses

        asyncio.run(scenario())

    def test_action_on_another_phone(self) -> None:
        """A phone that does not ring for the call cannot answer it."""

        async def scenario() -> None:
            async with backend() as running:
                device = await running.ring("call")
                for phone, call in (("unknown", "call"), (device.device_key, "another")):
                    about = {"phoneId": phone, "callId": call, "action": "answered"}
                    assert (await running.send("/actions", about)).status == 400

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("action", "published"),
        [("answered", ["CallParticipantAdded"]), ("declined", ["CallEnded"])],
    )
    def test_what_follows_from_an_action(self, action: str, published: list[str]) -> None:
        """The phone reports ringing and the action; the call publishes its event, in its schema and
        source."""

        async def scenario() -> None:
            async with backend() as running:
                call_id = (await running.answer_to("/calls", CALL))["callId"]
                device = await running.ring(call_id)
                about = {"phoneId": device.device_key, "callId": call_id, "action": action}
                assert (await running.send("/actions", about)).status == 200
                await running.settled()
                assert running.kinds() == ["IncomingCall", *published]
                assert {event["data"]["correlationId"] for event in running.app.delivered} == {call_id}
                assert [report["state"] for report in running.app.reported] == ["ringing", action]
                assert running.app.reported[0] == {
                    "acsMri": CALLEE,
                    "deviceUUID": device.device_uuid,
                    "callId": call_id,
                    "state": "ringing",
                }

        asyncio.run(scenario())

    def test_hanging_up(self) -> None:
        """The caller hangs up once: CallEnded is delivered; a call that was not placed here is a 400."""

        async def scenario() -> None:
            async with backend() as running:
                call_id = (await running.answer_to("/calls", CALL))["callId"]
                statuses = [
                    (await running.send("/calls/end", {"callId": wanted})).status
                    for wanted in (call_id.upper(), call_id, "unknown")
                ]
                await running.settled()
                assert statuses == [200, 400, 400]
                assert running.kinds() == ["IncomingCall", "CallEnded"]

        asyncio.run(scenario())

    def test_callee_hangs_up(self) -> None:
        """An answered call that the callee ends is over for the caller too."""

        async def scenario() -> None:
            async with backend() as running:
                call_id = (await running.answer_to("/calls", CALL))["callId"]
                device = await running.ring(call_id)
                for action in ("answered", "ended"):
                    about = {"phoneId": device.device_key, "callId": call_id, "action": action}
                    assert (await running.send("/actions", about)).status == 200
                await running.settled()
                assert running.kinds() == ["IncomingCall", "CallParticipantAdded", "CallEnded"]
                assert (await running.send("/calls/end", {"callId": call_id})).status == 400

        asyncio.run(scenario())

    def test_switched_off(self) -> None:
        """Without events and reports, nothing but the call itself reaches the app."""

        async def scenario() -> None:
            async with backend() as running:
                await running.answer_to("/options", {"callEvents": False, "reports": False})
                call_id = (await running.answer_to("/calls", CALL))["callId"]
                device = await running.ring(call_id)
                about = {"phoneId": device.device_key, "callId": call_id, "action": "answered"}
                assert (await running.send("/actions", about)).status == 200
                assert (await running.send("/calls/end", {"callId": call_id})).status == 200
                await running.settled()
                assert (running.kinds(), running.app.reported) == (["IncomingCall"], [])

        asyncio.run(scenario())

    def test_old_ring_is_not_reported(self) -> None:
        """A ring that was there before the page does not look new."""

        async def scenario() -> None:
            async with backend() as running:
                await running.ring("call", received_at=time.time() - 40)
                await running.settled()
                assert running.app.reported == []

        asyncio.run(scenario())

    def test_clear(self) -> None:
        """Cleared calls are not shown, and their events are not delivered again."""

        async def scenario() -> None:
            async with backend() as running:
                event_id = (await running.answer_to("/calls", CALL))["eventId"]
                await running.settled()
                await running.ring("placed outside the page")
                stream = await running.client.get("/live")
                while len((await next_snapshot(stream))["calls"]) < 2:
                    pass
                await running.answer_to("/calls/clear", {})
                while (await next_snapshot(stream))["calls"]:
                    pass
                assert (await running.send("/redeliveries", {"eventId": event_id})).status == 400

        asyncio.run(scenario())

    def test_push(self) -> None:
        """A push is shown with its secrets masked; one that is not kept is a 404."""

        async def scenario() -> None:
            async with backend() as running:
                await running.ring("call")
                shown = await (await running.client.get("/pushes/1")).json()
                assert shown["headers"]["apns-expiration"]
                assert '"callId": "call"' in shown["body"]
                assert (await running.client.get("/pushes/2")).status == 404

        asyncio.run(scenario())

    def test_hub_mode(self) -> None:
        """A mode replaces the simulator's faults; `healthy` removes them."""

        async def scenario() -> None:
            async with backend() as running:
                running.hub.simulator.set_latency(0.01)
                await running.answer_to("/hub", {"mode": "failing", "times": 2})
                await running.answer_to("/hub", {"mode": "throttled", "times": None, "seconds": 1})
                (fault,) = running.hub.simulator.faults()
                assert (fault.status, fault.retry_after, fault.times) == (429, "1", None)
                assert running.hub.simulator.latency() == 0
                await running.answer_to("/hub", {"mode": "healthy"})
                assert running.hub.simulator.faults() == []

        asyncio.run(scenario())

    @pytest.mark.parametrize("path", COMMANDS)
    @pytest.mark.parametrize("body", ["", "{", "[]", '{"unknown": 1}', '"text"'])
    def test_malformed_commands(self, path: str, body: str) -> None:
        """A malformed command is a 400 that says what is wrong."""

        async def scenario() -> None:
            async with backend() as running:
                headers = {"Origin": running.origin, "Content-Type": "application/json"}
                answer = await running.client.post(path, data=body, headers=headers)
                assert answer.status == 400
                assert (await answer.json())["problem"]

        asyncio.run(scenario())

    def test_overlong_command(self) -> None:
        """An overlong body is a 413."""

        async def scenario() -> None:
            async with backend() as running:
                answer = await running.send("/calls", {**CALL, "callerName": "x" * 100_000})
                assert answer.status == 413

        asyncio.run(scenario())


class TestStream:
    PHONE = registration()

    def test_every_stream_gets_every_change(self) -> None:
        """Two streams get the state at once, and both get every change."""

        async def scenario() -> None:
            async with backend() as running:
                streams = [await running.client.get("/live") for _ in range(2)]
                assert [(await next_snapshot(one))["phones"] for one in streams] == [[], []]
                running.source.reading = Reading(registrations=[self.PHONE])
                running.watcher.wake()
                for stream in streams:
                    (phone,) = (await next_snapshot(stream))["phones"]
                    assert phone["deviceUuid"] == self.PHONE.device_uuid

        asyncio.run(scenario())

    def test_problem_is_shown(self) -> None:
        """A source that does not answer is named, and the last reading is kept."""

        async def scenario() -> None:
            async with backend() as running:
                stream = await running.client.get("/live")
                running.source.reading = Reading(registrations=[self.PHONE])
                running.watcher.wake()
                while not (await next_snapshot(stream))["phones"]:
                    pass
                running.source.problem = "The database does not answer."
                running.watcher.wake()
                shown = await next_snapshot(stream)
                assert (shown["problem"], len(shown["phones"])) == ("The database does not answer.", 1)

        asyncio.run(scenario())

    def test_ends_when_the_page_stops(self) -> None:
        """A stop ends the streams."""

        async def scenario() -> None:
            async with backend() as running:
                stream = await running.client.get("/live")
                await next_snapshot(stream)
                await running.watcher.stop()
                assert (await stream.content.read()).strip() == b""

        asyncio.run(scenario())
