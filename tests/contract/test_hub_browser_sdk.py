"""A push to a browser, request against request: ours and that of Microsoft's SDK for JavaScript."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from common.clock_watch import ClockWatch
from local.certificates import make_certificates
from models.hub import HubConnectionString, HubEndpoint
from models.platform import Platform
from models.push import OutcomeKind, PushNotificationInfo
from models.push_subscription import PushSubscription
from push.hub.client import HubClient
from push.hub.payload import build_push
from push.hub.sas import SasTokenSource
from push.hub.wire import HubWire, Timeouts
from push.side_by_side import perform
from tests.fakes import NOW
from tests.scripted_hub import CREATED, PATIENCE, ScriptedHub, Seen
from tests.subscriptions import subscription_text

NODE_MODULES = Path(__file__).parents[2] / "bench" / "node" / "node_modules"

SEND = """
const { createRequire } = require("node:module");
const sdk = createRequire(process.env.MODULES + "/")("@azure/notification-hubs");
const client = new sdk.NotificationHubsClient(process.env.CONNECTION_STRING, process.env.HUB_NAME);
const { endpoint, keys } = JSON.parse(process.env.SUBSCRIPTION);
const notification = sdk.createBrowserNotification({ body: process.env.BODY });
client.sendNotification(notification, { deviceHandle: { endpoint, ...keys } });
"""

IDENTICAL = (
    "ServiceBusNotification-Format",
    "ServiceBusNotification-DeviceHandle",
    "P256DH",
    "Auth",
    "Content-Type",
)


def named(request: Seen) -> dict[str, list[str]]:
    return {name: request.header(name) for name in IDENTICAL}


def query(request: Seen) -> set[str]:
    """The query without `direct`: the SDK writes `direct=true`, and the REST page `direct`."""
    target = request.line.split()[1]
    return set(target.partition("?")[2].split("&")) - {"direct", "direct=true"}


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
@pytest.mark.skipif(
    not NODE_MODULES.is_dir(), reason="npm is not installed, or not yet run: make test-contract"
)
def test_same_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For one subscription and one body both send the same request, `direct=true` apart."""
    certificates = make_certificates(tmp_path, "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    info = PushNotificationInfo("H4sIAAAA", "call-1", "8:acs:a", "8:acs:b", "Zoë")
    push = build_push(Platform.BROWSER, info, NOW, NOW)
    subscription = PushSubscription.parse(subscription_text())
    with ScriptedHub(certificates) as hub:
        hub.script.raw = CREATED
        connection = HubConnectionString("127.0.0.1", "Send", "key")
        tokens = [SasTokenSource(connection, "Ring", time.time)]
        endpoint = HubEndpoint(hub.messages_url, "2020-06")
        with HubWire(Timeouts(PATIENCE, PATIENCE), time.monotonic) as wire:
            client = HubClient(endpoint, wire, tokens, time.time, ClockWatch())
            assert perform(client.sending(push, subscription.text, PATIENCE)).kind is OutcomeKind.ACCEPTED
        address = hub.messages_url.removeprefix("https://").partition("/")[0]
        done = subprocess.run(
            ["node", "-e", SEND],  # noqa: S607 - from the path
            env={
                **os.environ,
                "MODULES": str(NODE_MODULES),
                "CONNECTION_STRING": f"Endpoint=sb://{address}/;SharedAccessKeyName=Send;SharedAccessKey=key",
                "HUB_NAME": "Ring",
                "SUBSCRIPTION": subscription.text,
                "BODY": push.body.decode(),
                "NODE_EXTRA_CA_CERTS": str(certificates.bundle),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        ours, theirs = hub.script.requests
    assert named(ours) == named(theirs)
    assert ours.body == theirs.body
    assert query(ours) == query(theirs)
    assert [request.line.split()[0] for request in (ours, theirs)] == ["POST", "POST"]
    assert not any(name.lower() == "servicebusnotification-type" for name, _ in theirs.headers)
