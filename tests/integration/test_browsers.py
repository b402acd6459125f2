"""Browsers ring, stop and show missed calls as phones do."""

import json
from dataclasses import replace
from typing import Any

from local.database import EmbeddedDatabase
from local.hub.running_hub import RunningHub
from models.device import DeviceRegistration
from models.platform import Platform
from models.push_subscription import PushSubscription
from models.report import DeviceState
from tests.call_events import report
from tests.end_to_end.hosts import new_user
from tests.fakes import AppLog
from tests.integration.conftest import SHORT
from tests.rig import Instance, call_to, line_of
from tests.subscriptions import subscription_text

ENDPOINT = "https://updates.push.services.mozilla.com/wpush/v2/gAAAAA-browser"
TOKEN = PushSubscription.parse(subscription_text(ENDPOINT)).text


def browser(app: Instance, user: str, token: str = TOKEN) -> DeviceRegistration:
    """A registered browser of a user."""
    (phone,) = app.register(user)
    device = replace(phone, device_uuid="browser", device_token=token, platform=Platform.BROWSER)
    app.app.device_store.register(device, app.app.clock.now())
    return device


def bodies(hub: RunningHub) -> list[dict[str, Any]]:
    """What the browser got."""
    return [json.loads(push.body) for push in hub.simulator.pushes() if push.device_handle == ENDPOINT]


def test_rings_and_stops(hub: RunningHub, database: EmbeddedDatabase, log: AppLog) -> None:
    """A call rings the browser; when the phone has answered, the browser is told to stop."""
    with Instance(hub, database.uri, {**SHORT, "StopRinging": "browser"}) as app:
        browser(app, user := new_user())
        phone = next(each for each in app.devices_of(user) if each.platform is Platform.APPLE)
        event = call_to(user)
        assert app.deliver(event).status == 202
        assert report(app, phone, event, DeviceState.ANSWERED)
    ring, stop = bodies(hub)
    assert line_of(log, event)["accepted"] == 2
    call_id = event["data"]["correlationId"]
    assert (ring["eventId"], ring["callId"], ring["videoCall"]) == (107, call_id, "false")
    assert ring["incomingCallContext"]
    assert "cp" not in ring
    assert ring["ringsUntil"].endswith("Z")
    assert (stop["eventId"], stop["callId"], stop["reason"]) == (110, call_id, "answered")
    assert "incomingCallContext" not in stop


def test_missed(hub: RunningHub, database: EmbeddedDatabase) -> None:
    """A browser shows a missed call in one flat message."""
    with Instance(hub, database.uri, {**SHORT, "VisibleNotifications": "missed"}) as app:
        device = browser(app, user := new_user())
        app.deliver(event := call_to(user))
        for each in app.devices_of(user):
            if each.platform is not Platform.BROWSER:
                app.app.device_store.delete(each.owner, each.device_uuid, app.app.clock.now())
        assert report(app, device, event, DeviceState.MISSED)
    missed = [body for body in bodies(hub) if body.get("event") == "missedCall"]
    assert [body["callId"] for body in missed] == [event["data"]["correlationId"]]
    assert missed[0]["title"] == "Missed call"


def test_refused(hub: RunningHub, database: EmbeddedDatabase, log: AppLog) -> None:
    """A stored text that is no subscription ends as an unusable token, and the phone rings."""
    with Instance(hub, database.uri, SHORT) as app:
        browser(app, user := new_user(), token="{}")
        event = call_to(user)
        assert app.deliver(event).status == 202
    (trouble,) = line_of(log, event)["troubles"]
    assert trouble["code"] == "unusable_token"
    assert line_of(log, event)["result"] == "delivered"
    assert bodies(hub) == []
