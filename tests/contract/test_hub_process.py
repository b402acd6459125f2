"""The hub simulator as a program: `python -m local.hub`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from local.hub.__main__ import RULES_VARIABLE
from local.hub.control_client import ControlClient
from local.hub.faults import EFFECTS, Fault, parse_fault
from local.hub.records import PlatformOutcome
from tests.contract.hub_requests import CHANNEL, HANDLE, Send, apple, sas, windows

ROOT = Path(__file__).parents[2]
NODE_MODULES = ROOT / "bench" / "node" / "node_modules"


@dataclass
class HubProcess:
    """A running `python -m local.hub`."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]

    @property
    def url(self) -> str:
        """The simulator's address."""
        return str(self.ready["url"])

    @property
    def connection_string(self) -> str:
        """Of the first hub."""
        return str(self.ready["hubs"][0]["connectionString"])

    def command_line(self) -> str:
        """The command line, as other processes can read it."""
        return Path(f"/proc/{self.process.pid}/cmdline").read_text()


@contextmanager
def running(*options: str, rules: object = None) -> Iterator[HubProcess]:
    """A simulator that listens; killed if the test leaves it running."""
    environment = os.environ | ({RULES_VARIABLE: json.dumps(rules)} if rules else {})
    command = [sys.executable, "-m", "local.hub", "--json", *options]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield HubProcess(process, json.loads(process.stdout.readline()))
        finally:
            process.kill()


def ended(*options: str, rules: str = "") -> subprocess.CompletedProcess[str]:
    """A simulator that cannot start."""
    return subprocess.run(
        [sys.executable, "-m", "local.hub", *options],
        cwd=ROOT,
        env=os.environ | {RULES_VARIABLE: rules},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def parts_of(connection_string: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in connection_string.split(";"))


def sent_with(connection_string: str, send: Send) -> Send:
    """The request, signed for the host in the connection string, for the development hub."""
    parts = parts_of(connection_string)
    resource = parts["Endpoint"].replace("sb://", "https://") + "calls"
    token = sas(resource, parts["SharedAccessKeyName"], parts["SharedAccessKey"], 9_999_999_999)
    return replace(send, path="/calls/messages/").with_headers(Authorization=token)


class TestProcess:
    RULES = {"send only": {"key": "c2VuZA==", "rights": ["Send"]}}  # noqa: RUF012 - not changed

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_serves_until_a_signal(self, number: signal.Signals) -> None:
        """It prints one line, serves sends and the control API, and stops with status 0."""
        with running("--namespace", "contoso-ns", "--hub-name", "ring", rules=self.RULES) as hub:
            assert hub.url.startswith("http://127.0.0.1:")
            with ControlClient(hub.url) as control:
                control.add_fault(Fault(kind="status", status=500, device_handle=CHANNEL))
                assert windows().to(hub.url).status_code == 500
                assert apple().to(hub.url).status_code == 201
                assert control.wait_for_pushes(1).calls == {"call-1": {HANDLE: 1}}
            hub.process.send_signal(number)
            assert hub.process.wait(timeout=10) == 0
            assert hub.process.stdout
            assert hub.process.stdout.read() == ""

    def test_keys_of_the_environment_are_not_shown(self) -> None:
        """Keys from the environment are neither on the command line nor in the printed connection string."""
        with running(rules=self.RULES) as hub:
            assert parts_of(hub.connection_string)["SharedAccessKeyName"] == "send only"
            assert "c2VuZA==" not in json.dumps(hub.ready)
            if Path("/proc/self/cmdline").exists():
                assert "local.hub" in hub.command_line()
                assert "c2VuZA==" not in hub.command_line()

    @pytest.mark.parametrize("rules", ["{", '{"k": {"key": 12345}}', '{"k": {"key": "12345"}}', "[12345]"])
    def test_malformed_policies(self, rules: str) -> None:
        """The message has the variable's name and no part of its value."""
        done = ended(rules=rules)
        assert done.returncode == 2
        assert RULES_VARIABLE in done.stderr
        assert "12345" not in done.stderr + done.stdout

    def test_port_in_use(self) -> None:
        """The message names the port."""
        with running() as hub:
            port = hub.url.rpartition(":")[2]
            done = ended("--port", port)
            assert (done.returncode, port in done.stderr, "Traceback" in done.stderr) == (1, True, False)

    @pytest.mark.parametrize(
        "options",
        [
            ("--tls-certificate", "missing.pem"),
            ("--tls-certificate", "missing.pem", "--tls-key", "missing.key"),
            ("--tls", "--tls-certificate", "missing.pem", "--tls-key", "missing.key"),
        ],
    )
    def test_wrong_tls_options(self, options: tuple[str, ...]) -> None:
        """Options that contradict each other, and missing files, are errors without a traceback."""
        done = ended(*options)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert "tls" in done.stderr.lower()


class TestAlone:
    """Without `--namespace` the connection string leads to the simulator itself."""

    def test_connection_string(self) -> None:
        """It names the simulator's address, and a token for that address is accepted."""
        with running() as hub:
            connection_string = hub.connection_string
            assert parts_of(connection_string)["Endpoint"] == hub.url.replace("http://", "sb://") + "/"
            assert hub.ready["hubs"][0]["name"] == "calls"
            assert sent_with(connection_string, apple()).to(hub.url).status_code == 201
            other = connection_string.replace("127.0.0.1", "other.test")
            assert sent_with(other, apple()).to(hub.url).status_code == 401

    def test_audience_without_a_port(self) -> None:
        """The SDK for .NET drops the port from the audience; its token is accepted."""
        with running() as hub:
            parts = parts_of(hub.connection_string)
            token = sas(
                "http://127.0.0.1/calls/messages/",
                parts["SharedAccessKeyName"],
                parts["SharedAccessKey"],
                9_999_999_999,
            )
            send = replace(apple(), path="/calls/messages").with_headers(Authorization=token)
            assert send.to(hub.url).status_code == 201

    def test_tls(self, tmp_path: Path) -> None:
        """`--tls FOLDER` makes a certificate that a client can verify with the printed file."""
        with running("--tls", str(tmp_path / "made")) as hub:
            authority = hub.ready["caFile"]
            assert Path(authority).parent == (tmp_path / "made").resolve()
            send = sent_with(hub.connection_string, apple())
            assert hub.url.startswith("https://")
            assert send.to(hub.url, verify=authority).status_code == 201
            with pytest.raises(requests.exceptions.SSLError):
                send.to(hub.url)

    def test_tls_files_are_removed(self) -> None:
        """Without a folder the certificate's files are removed at the end."""
        with running("--tls") as hub:
            authority = Path(hub.ready["caFile"])
            assert authority.exists()
            hub.process.send_signal(signal.SIGTERM)
            assert hub.process.wait(timeout=10) == 0
        assert not authority.exists()

    @pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
    @pytest.mark.parametrize("tls", [(), ("--tls",)], ids=["http", "https"])
    def test_text(self, tls: tuple[str, ...]) -> None:
        """Without `--json` it prints text, whose curl lines work."""
        command = [sys.executable, "-m", "local.hub", *tls]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            try:
                lines: list[str] = []
                while len(curls := [line for line in lines if line.startswith("  curl")]) < 2:
                    lines.append(process.stdout.readline().rstrip("\n"))
                text = "\n".join(lines)
                assert re.search(r"Connection string  Endpoint=sb://127\.0\.0\.1:\d+/;", text)
                for line in curls:
                    done = subprocess.run(
                        ["/bin/sh", "-c", line], capture_output=True, text=True, timeout=30, check=True
                    )
                    assert {"pushes", "kind"} & json.loads(done.stdout).keys()
            finally:
                process.kill()


class TestReadme:
    TEXT = (ROOT / "local" / "hub" / "README.md").read_text()

    def test_options(self) -> None:
        """It names every option of the command line, and no other."""
        known = set(re.findall(r"--[a-z][a-z-]+", ended("--help").stdout)) - {"--help"}
        assert set(re.findall(r"--[a-z][a-z-]+", self.TEXT)) == known

    def test_faults(self) -> None:
        """It names every kind of fault and every outcome, and its example is a fault."""
        assert [kind for kind in EFFECTS if f"\n| `{kind}` |" not in self.TEXT] == []
        assert [each for each in PlatformOutcome if f"`{each}`" not in self.TEXT] == []
        (example,) = re.findall(r"-d '(\{.*\})'", self.TEXT)
        assert parse_fault(example).retry_after == "2"


def run_sdk(script: str, hub: HubProcess) -> Any:
    """What a script with Microsoft's SDK for JavaScript prints as JSON; `sdk` and `client` are there."""
    environment = os.environ | {
        "MODULES": str(NODE_MODULES),
        "CONNECTION_STRING": hub.connection_string,
        "HUB_NAME": hub.ready["hubs"][0]["name"],
        "NODE_EXTRA_CA_CERTS": hub.ready["caFile"],
    }
    done = subprocess.run(
        ["node", "-e", SDK + script],  # noqa: S607 - from the path
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SDK = """
const { createRequire } = require("node:module");
const sdk = createRequire(process.env.MODULES + "/")("@azure/notification-hubs");
const client = new sdk.NotificationHubsClient(process.env.CONNECTION_STRING, process.env.HUB_NAME);
const deviceHandle = "a1".repeat(32);
const ring = JSON.stringify({ aps: {}, data: { callId: "from JavaScript", eventId: 107 } });
const voip = sdk.createAppleNotification({ body: ring, headers: { "apns-push-type": "voip" } });
"""
SEND = """
const message = JSON.stringify({ message: { data: { callId: "2" } } });
const p256dh = Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 1)]).toString("base64url");
const auth = Buffer.alloc(16).toString("base64url");
const subscription = { endpoint: "https://push.test/a", p256dh, auth };
(async () => {
  const raw = sdk.createWindowsRawNotification({ body: "raw", headers: { "X-WNS-Type": "wns/raw" } });
  const accepted = await client.sendNotification(voip, { deviceHandle });
  const android = { deviceHandle: "c1:APA91b" };
  await client.sendNotification(sdk.createFcmV1Notification({ body: message }), android);
  await client.sendNotification(raw, { deviceHandle: "https://db5.notify.windows.com/?token=a" });
  const web = sdk.createBrowserNotification({ body: { callId: "3" } });
  await client.sendNotification(web, { deviceHandle: subscription });
  console.log(JSON.stringify(accepted));
})();
"""
READ = """
(async () => {
  const { notificationId } = await client.sendNotification(voip, { deviceHandle });
  const details = await client.getNotificationOutcomeDetails(notificationId);
  const unknown = await client.getNotificationOutcomeDetails("1-2-3").catch((error) => error.statusCode);
  const container = await client.getFeedbackContainerUrl();
  console.log(JSON.stringify({ notificationId, details, unknown, container }));
})();
"""
READ_REFUSED = """
(async () => {
  const { notificationId } = await client.sendNotification(voip, { deviceHandle });
  const refused = (error) => [error.statusCode, error.message];
  const details = await client.getNotificationOutcomeDetails("1-2-3").catch(refused);
  const container = await client.getFeedbackContainerUrl().catch(refused);
  console.log(JSON.stringify({ notificationId: notificationId ?? null, details, container }));
})();
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
@pytest.mark.skipif(
    not NODE_MODULES.is_dir(), reason="npm is not installed, or not yet run: make test-contract"
)
class TestSdkForJavaScript:
    """Microsoft's `@azure/notification-hubs` works with the printed connection string, as it is."""

    def test_send(self) -> None:
        """To every platform; the answer has the ids of the push."""
        with running("--tls") as hub:
            answer = run_sdk(SEND, hub)
            with ControlClient(hub.url, verify=hub.ready["caFile"]) as control:
                pushes = control.pushes()
        assert [push.format for push in pushes] == ["apple", "fcmv1", "windows", "browser"]
        assert [push.call_id for push in pushes] == ["from JavaScript", "2", None, "3"]
        assert (answer["trackingId"], answer["notificationId"]) == (
            pushes[0].tracking_id,
            pushes[0].notification_id,
        )

    def test_telemetry_and_feedback(self) -> None:
        """It reads what became of a push to a dead device, and the container that names the device."""
        with running("--tls") as hub:
            authority = hub.ready["caFile"]
            with ControlClient(hub.url, verify=authority) as control:
                control.set_outcome(HANDLE, PlatformOutcome.EXPIRED_CHANNEL)
            answer = run_sdk(READ, hub)
            details = answer["details"]
            assert details["notificationId"] == answer["notificationId"]
            assert (details["state"], details["targetPlatforms"]) == ("Completed", "apple")
            assert details["apnsOutcomeCounts"] == [{"state": "ExpiredChannel", "count": 1}]
            assert details["enqueueTime"].endswith("Z")
            assert answer["unknown"] == 404
            listing = {"restype": "container", "comp": "list"}
            found = requests.get(answer["container"], listing, timeout=5, verify=authority)
            (name,) = re.findall("<Name>(.*?)</Name>", found.text)
            blob = answer["container"].replace("?", f"/{name}?")
            assert f"<PnsHandle>{HANDLE}</PnsHandle>" in requests.get(blob, timeout=5, verify=authority).text

    def test_basic_tier(self) -> None:
        """Without the tier Standard there is no notification id, and both reads are a 403 that says so."""
        with running("--tls", "--tier", "basic") as hub:
            answer = run_sdk(READ_REFUSED, hub)
        assert answer["notificationId"] is None
        for status, message in (answer["details"], answer["container"]):
            assert (status, "Standard" in message) == (403, True)


class TestSeveralHubs:
    def test_connection_strings(self) -> None:
        """Each hub is printed with a key of its own, which is no other's."""
        with running("--hub-name", "calls", "--hub-name", "Alerts") as hub:
            calls, alerts = hub.ready["hubs"]
            assert (calls["name"], alerts["name"]) == ("calls", "Alerts")
            keys = {parts_of(each["connectionString"])["SharedAccessKey"] for each in (calls, alerts)}
            assert len(keys) == 2
            send = sent_with(calls["connectionString"], apple())
            assert send.to(hub.url).status_code == 201
            assert replace(send, path="/alerts/messages/").to(hub.url).status_code == 401

    def test_wrong_names(self) -> None:
        """Two hubs of one name are an error, and so is a name of the simulator's own paths."""
        for names in (("calls", "Calls"), ("simulator",)):
            done = ended(*(f"--hub-name={name}" for name in names))
            assert (done.returncode, "--hub-name" in done.stderr) == (2, True)
