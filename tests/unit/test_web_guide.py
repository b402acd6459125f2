"""The page and the service worker of docs/clients, run by Node with stand-ins for what a browser has."""

import json
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models.platform import Platform
from models.push import PushNotificationInfo, StopInfo, VisibleInfo
from models.report import DeviceState
from models.requests import AddDeviceTokenRequest, ReportCallRequest
from models.validation import parse_json
from push.hub.payload import build_push, build_stop
from push.hub.visible_payload import build_visible
from tests.documents import ROOT
from tests.fakes import ALICE, NOW
from tests.subscriptions import subscription

NODE = shutil.which("node")
SECONDS = 30

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

WORKER = """
const seen = { shown: [], messages: [], opened: 0 };
const listeners = {};
const page = { postMessage: (data) => seen.messages.push(data), focus: () => {} };
const state = { pages: [] };
globalThis.self = {
  addEventListener: (name, listener) => { listeners[name] = listener; },
  registration: { showNotification: async (title, options) => { seen.shown.push({ title, ...options }); } },
  clients: {
    matchAll: async () => state.pages,
    openWindow: async () => { seen.opened += 1; return page; },
  },
};
const fire = async (name, event) => {
  const waited = [];
  listeners[name]({ ...event, waitUntil: (work) => waited.push(work) });
  await Promise.all(waited);
};
await import(CODE);
for (const { push, isOpen, isClicked } of EVENTS) {
  state.pages = isOpen ? [page] : [];
  await fire("push", { data: { json: () => push } });
  const notification = { ...seen.shown.at(-1), close: () => {} };
  if (isClicked) await fire("notificationclick", { notification });
}
console.log(JSON.stringify(seen));
"""

PAGE = """
const seen = { requests: [], handled: [], timers: [] };
const listeners = {};
const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true });
define("localStorage", {});
define("Notification", { requestPermission: async () => "granted" });
define("setTimeout", (work, milliseconds) => seen.timers.push(milliseconds));
define("navigator", {
  serviceWorker: {
    register: async () => ({ pushManager: { subscribe: async (options) => {
      seen.options = options;
      return SUBSCRIPTION;
    } } }),
    addEventListener: (name, listener) => { listeners[name] = listener; },
    startMessages: () => {},
  },
});
define("session", {
  acsMri: MRI,
  bearerToken: async (options) => (options?.fresh ? "fresh" : "cached"),
  credential: async () => ({}),
});
define("CallClient", class {
  async createCallAgent() {
    return { handlePushNotification: async (data) => { seen.handled.push(data); } };
  }
});
define("fetch", async (url, { headers, body }) => {
  seen.requests.push({ path: new URL(url).pathname, token: headers.Authorization, body });
  if (headers.Authorization === "Bearer cached") return { status: 401 };
  return { status: 201, json: async () => ({ expiresAt: new Date(Date.now() + 86_400_000).toISOString() }) };
});
const { start } = await import(CODE);
await start();
await listeners.message({ data: RING });
console.log(JSON.stringify(seen));
"""


def script(name: str) -> str:
    return (ROOT / "docs" / "clients" / name).read_text()


def run(folder: Path, harness: str, code: str, **values: object) -> dict[str, Any]:
    """What the harness saw of the code; `values` are its constants."""
    (folder / "code.mjs").write_text(code)
    constants = {"CODE": (folder / "code.mjs").as_uri(), **values}
    head = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in constants.items())
    (folder / "harness.mjs").write_text(head + harness)
    done = subprocess.run(
        [str(NODE), str(folder / "harness.mjs")], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert isinstance(seen, dict)
    return seen


def ring() -> dict[str, Any]:
    """What a browser gets of a call, as the app builds it; the tests' time is far ahead of the browser's."""
    info = PushNotificationInfo("H4sI", "call-1", ALICE, "8:acs:caller", "Grace Hopper")
    return body(build_push(Platform.BROWSER, info, NOW, NOW + timedelta(seconds=60)).body)


def late_ring() -> dict[str, Any]:
    """A ring that is over by the browser's clock."""
    return {**ring(), "ringsUntil": "2026-01-31T12:00:00Z"}


def stop(reason: str) -> dict[str, Any]:
    return body(build_stop(Platform.BROWSER, StopInfo("call-1", ALICE, None, reason), NOW).body)


def missed() -> dict[str, Any]:
    info = VisibleInfo(
        "missedCall", "call-1", None, "Grace Hopper", "Missed call", "Grace Hopper", time_sensitive=False
    )
    return body(build_visible(Platform.BROWSER, info, NOW, NOW + timedelta(days=1)).body)


def body(raw: bytes) -> dict[str, Any]:
    found = json.loads(raw)
    assert isinstance(found, dict)
    return found


class TestServiceWorker:
    def seen(self, folder: Path, *events: dict[str, Any]) -> dict[str, Any]:
        return run(folder, WORKER, script("service-worker.js"), EVENTS=events)

    def test_ring(self, tmp_path: Path) -> None:
        """A ring shows a notification for its call; a click opens the page and hands it the push."""
        seen = self.seen(tmp_path, {"push": ring(), "isClicked": True})
        (shown,) = seen["shown"]
        assert (shown["title"], shown["body"], shown["tag"]) == ("Incoming call", "Grace Hopper", "call-1")
        assert (seen["opened"], seen["messages"]) == (1, [ring()])

    def test_open_page(self, tmp_path: Path) -> None:
        """An open page is told of the ring at once, and only once."""
        seen = self.seen(tmp_path, {"push": ring(), "isOpen": True, "isClicked": True})
        assert (seen["opened"], seen["messages"]) == (0, [ring()])

    @pytest.mark.parametrize(
        ("reason", "title"), [("answered", "Answered on another device"), ("ended", "Call ended")]
    )
    def test_stop(self, tmp_path: Path, reason: str, title: str) -> None:
        """A stop replaces the notification of its call, silently; no page is told, since one may be in the
        call."""
        seen = self.seen(
            tmp_path, {"push": ring()}, {"push": stop(reason), "isOpen": True, "isClicked": True}
        )
        assert [each["tag"] for each in seen["shown"]] == ["call-1", "call-1"]
        assert (seen["shown"][1]["title"], seen["shown"][1]["silent"]) == (title, True)
        assert seen["messages"] == []

    def test_missed(self, tmp_path: Path) -> None:
        """A missed call is shown in the server's words."""
        seen = self.seen(tmp_path, {"push": missed()})
        (shown,) = seen["shown"]
        assert (shown["title"], shown["body"], shown["tag"]) == ("Missed call", "Grace Hopper", "call-1")

    def test_late(self, tmp_path: Path) -> None:
        """A ring that is over does not ring."""
        seen = self.seen(tmp_path, {"push": late_ring()})
        assert [each["title"] for each in seen["shown"]] == ["Missed call"]


def test_page(tmp_path: Path) -> None:
    """The page registers what the registrar takes, gets a new bearer token once, hands a ring to the SDK and
    reports it."""
    code = script("calls.js").replace("func-…", "func-x")
    code = code.replace('import { CallClient } from "@azure/communication-calling";', "")
    sent = subscription()
    seen = run(tmp_path, PAGE, code, MRI=ALICE, SUBSCRIPTION=sent, RING=ring())
    assert seen["options"]["userVisibleOnly"] is True
    paths = [request["path"] for request in seen["requests"]]
    assert paths == ["/api/add_device_token"] * 2 + ["/api/report_call"] * 2
    assert [request["token"] for request in seen["requests"]] == ["Bearer cached", "Bearer fresh"] * 2
    registered = parse_json(AddDeviceTokenRequest, seen["requests"][1]["body"].encode())
    assert registered.device.platform is Platform.BROWSER
    assert json.loads(registered.device.device_token)["endpoint"] == sent["endpoint"]
    # Two thirds of a day, at the latest the longest time that a timer holds.
    (wait,) = seen["timers"]
    assert 57_000_000 < wait <= 57_600_000
    assert seen["handled"] == [{"incomingCallContext": "H4sI"}]
    report = parse_json(ReportCallRequest, seen["requests"][3]["body"].encode()).report
    assert (report.call_id, report.state) == ("call-1", DeviceState.RINGING)
    assert report.device_uuid == registered.device.device_uuid
