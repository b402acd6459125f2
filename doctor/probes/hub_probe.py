"""Asks the hub whether it accepts the key, without ringing a phone.

The request is a Direct Send in a format that no platform has, to a handle that no device has, so the hub
cannot pass it on. Two more requests are wrong on purpose: one has a forged signature, one goes to a hub that
does not exist. If those are answered differently, the service looks at signature and hub before it looks at
the format, and an answer about the format means that both are right. The order in which the live service
looks is not documented `[?]`, so it is tried and not assumed.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import replace

from common.clock_watch import ahead_seconds
from doctor.checks.hub_checks import HubAnswer, HubFindings, HubName
from models.hub import DEFAULT_HUB, HubConnectionString, HubEndpoint
from push.hub.answers import Answer, NoAnswer
from push.hub.connection import Request
from push.hub.sas import TOKEN_LIFETIME_SECONDS, sas_token
from push.hub.wire import HubWire
from settings import Settings

NO_DEVICE = "doctor-no-such-device"
NO_FORMAT = "doctor-no-such-format"


class HubProbe:
    """Asks one hub."""

    def __init__(
        self,
        settings: Settings,
        wire: HubWire,
        now: Callable[[], float] = time.time,
        hub: str = DEFAULT_HUB,
    ) -> None:
        """Take where the hub is and how it is reached.

        Args:
            settings: those of the app; what they say of the hub can be used.
            wire: the app's own way to reach the hub.
            now: a clock in Unix seconds.
            hub: the hub's name in the settings.
        """
        self._hub = settings.hub_named(hub)
        self._second_key = settings.usable_secondary_key(hub)
        self._name = hub
        self._wire = wire
        self._now = now

    def ask(self) -> HubFindings:
        """Send at most four requests, none of which can ring a phone."""
        connection, name, url = self._hub.connection_string, self._hub.name, self._hub.messages_url
        named = HubName(connection.host.partition(".")[0], name, connection.key_name, self._name)
        first = self._send(url, connection, name)
        if isinstance(first, NoAnswer):
            return HubFindings(named, first)
        forged = self._send(url, replace(connection, key=uuid.uuid4().hex), name)
        made_up_name = f"doctor-{uuid.uuid4().hex}"
        made_up = self._send(_with_hub(url, made_up_name), connection, made_up_name)
        secondary = self._send(url, self._second_key, name) if self._second_key else None
        return HubFindings(named, first, forged, made_up, secondary)

    def _send(self, url: str, connection: HubConnectionString, hub_name: str) -> HubAnswer | NoAnswer:
        began = self._now()
        headers = {
            "Authorization": sas_token(connection, hub_name, int(began) + TOKEN_LIFETIME_SECONDS),
            "Content-Type": "application/json;charset=utf-8",
            "ServiceBusNotification-Format": NO_FORMAT,
            "ServiceBusNotification-DeviceHandle": NO_DEVICE,
            "TrackingId": str(uuid.uuid4()),
        }
        # Without `direct` a push goes to every device of the hub.
        endpoint = HubEndpoint(url, self._hub.api_version)
        request = Request(endpoint.direct_send_url, headers, b"{}")
        reply = self._wire.exchange(request, self._wire.timeouts.exchange)
        return reply if isinstance(reply, NoAnswer) else _answer(reply, began, self._now())


def _with_hub(messages_url: str, hub_name: str) -> str:
    base = messages_url.rstrip("/").rpartition("/")[0].rpartition("/")[0]
    return f"{base}/{hub_name}/messages/"


def _answer(answer: Answer, began: float, ended: float) -> HubAnswer:
    return HubAnswer(
        answer.status,
        "retry-after" in answer.headers,
        ended - began,
        ahead_seconds(answer.headers.get("date"), began, ended),
        answer.body.decode("utf-8", "replace"),
    )
