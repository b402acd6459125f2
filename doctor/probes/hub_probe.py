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
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
from urllib3.exceptions import NameResolutionError

from doctor.checks.hub_checks import HubAnswer, HubFindings, NoAnswer
from models.hub import HubConnection
from push.hub.sas import TOKEN_LIFETIME_SECONDS, sas_token
from settings import Settings

NO_DEVICE = "doctor-no-such-device"
NO_FORMAT = "doctor-no-such-format"
_MOST_TEXT = 4_096


class HubProbe:
    """Asks one hub."""

    def __init__(
        self, settings: Settings, session: requests.Session, now: Callable[[], float] = time.time
    ) -> None:
        """Take the settings, a session, and a clock in Unix seconds."""
        self._settings = settings
        self._session = session
        self._now = now

    def ask(self) -> HubFindings:
        """Send at most four requests, none of which can ring a phone."""
        connection, name = self._settings.hub_connection, self._settings.hub_name
        url = self._settings.messages_url
        first = self._send(url, connection, name)
        if isinstance(first, NoAnswer):
            return HubFindings(first)
        forged = self._send(url, replace(connection, key=uuid.uuid4().hex), name)
        made_up_name = f"doctor-{uuid.uuid4().hex}"
        made_up = self._send(_with_hub(url, made_up_name), connection, made_up_name)
        second_key = self._settings.hub_connection_secondary
        secondary = self._send(url, second_key, name) if second_key else None
        return HubFindings(first, forged, made_up, secondary)

    def _send(self, url: str, connection: HubConnection, hub_name: str) -> HubAnswer | NoAnswer:
        began = self._now()
        headers = {
            "Authorization": sas_token(connection, hub_name, int(began) + TOKEN_LIFETIME_SECONDS),
            "Content-Type": "application/json;charset=utf-8",
            "ServiceBusNotification-Format": NO_FORMAT,
            "ServiceBusNotification-DeviceHandle": NO_DEVICE,
            "TrackingId": str(uuid.uuid4()),
        }
        timeout = (self._settings.hub_connect_seconds, self._settings.hub_read_seconds)
        try:
            # Without `direct` a push goes to every device of the hub.
            response = self._session.post(
                f"{url}?direct&api-version={self._settings.hub_api_version}",
                data=b"{}",
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            return _no_answer(error)
        return _answer(response, began, self._now())


def _with_hub(messages_url: str, hub_name: str) -> str:
    base = messages_url.rstrip("/").rpartition("/")[0].rpartition("/")[0]
    return f"{base}/{hub_name}/messages/"


def _answer(response: requests.Response, began: float, ended: float) -> HubAnswer:
    date = _date(response.headers.get("Date"))
    # A `Date` is cut to whole seconds, so it stands for the middle of its second.
    ahead = None if date is None else (began + ended) / 2 - (date.timestamp() + 0.5)
    return HubAnswer(
        response.status_code,
        "Retry-After" in response.headers,
        ended - began,
        ahead,
        response.text[:_MOST_TEXT],
    )


def _date(header: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(header or "")
        return moment.replace(tzinfo=moment.tzinfo or UTC)
    except (ValueError, OverflowError):
        return None


def _no_answer(error: requests.RequestException) -> NoAnswer:
    if isinstance(error, requests.exceptions.SSLError):
        return NoAnswer.TLS
    if isinstance(error, requests.Timeout):
        return NoAnswer.TIMED_OUT
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return NoAnswer.NO_SUCH_HOST if isinstance(reason, NameResolutionError) else NoAnswer.NO_CONNECTION
