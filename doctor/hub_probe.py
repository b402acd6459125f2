"""Asks the hub what it thinks of our key, without ringing anybody.

A Direct Send in a format that no platform has, to a handle that no device has: nothing in it could be passed
on to anybody. It only tells something because two more requests go out that are wrong on purpose, one with a
forged signature and one to a hub that cannot exist: where those are answered differently, the service looks
at signature and hub before it looks at the format, so an answer about the format means that both are right.
In which order the live service looks is documented nowhere `[?]`; this finds out instead of assuming.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

import requests
from urllib3.exceptions import NameResolutionError

from models.hub import HubConnection
from push.hub.sas import TOKEN_LIFETIME_SECONDS, sas_token
from settings import Settings

NOBODY = "doctor-no-such-device"
NO_FORMAT = "doctor-no-such-format"
_MOST_TEXT = 4_096


class NoAnswer(StrEnum):
    """Why a request was not answered."""

    NO_SUCH_HOST = "the host name is not known"
    TLS = "no secure connection: the certificate is not accepted"
    TIMED_OUT = "no answer in time"
    NO_CONNECTION = "no connection, or it was lost"


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """How the hub answered one request."""

    status: int
    asked_for_patience: bool
    """It sent `Retry-After`."""
    seconds: float
    clock_ahead_seconds: float | None
    """By how much our clock is ahead of its `Date`, to about a second; None without a usable one."""
    text: str = field(repr=False, default="")
    """Beginning of the body; never shown, only searched."""


@dataclass(frozen=True, slots=True)
class HubFindings:
    """The answers to all that was asked."""

    first: HubAnswer | NoAnswer
    forged: HubAnswer | NoAnswer | None = None
    """To a signature that cannot be right; None where it was not asked."""
    elsewhere: HubAnswer | NoAnswer | None = None
    """To a hub that cannot be there."""
    second: HubAnswer | NoAnswer | None = None
    """To the secondary key; None without one."""


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
        """Everything; at most four requests, none of which can ring anybody."""
        connection, name = self._settings.hub_connection, self._settings.hub_name
        url = self._settings.messages_url
        first = self._send(url, connection, name)
        if isinstance(first, NoAnswer):
            return HubFindings(first)
        forged = self._send(url, replace(connection, key=uuid.uuid4().hex), name)
        nowhere = f"doctor-{uuid.uuid4().hex}"
        elsewhere = self._send(_with_hub(url, nowhere), connection, nowhere)
        secondary = self._settings.hub_connection_secondary
        second = self._send(url, secondary, name) if secondary else None
        return HubFindings(first, forged, elsewhere, second)

    def _send(self, url: str, connection: HubConnection, hub_name: str) -> HubAnswer | NoAnswer:
        began = self._now()
        headers = {
            "Authorization": sas_token(connection, hub_name, int(began) + TOKEN_LIFETIME_SECONDS),
            "Content-Type": "application/json;charset=utf-8",
            "ServiceBusNotification-Format": NO_FORMAT,
            "ServiceBusNotification-DeviceHandle": NOBODY,
            "TrackingId": str(uuid.uuid4()),
        }
        timeout = (self._settings.hub_connect_seconds, self._settings.hub_read_seconds)
        try:
            # `direct` above all: without it a push goes to every device of the hub.
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
