"""Asks hubs what became of pushes, by the ids that the ledger keeps."""

import time
from collections.abc import Callable

import requests

from doctor.checks.telemetry import MAXIMUM_BYTES, Telemetry, not_told, telemetry_of
from models.errors import ConfigurationError
from models.hub import HubEndpoint
from push.hub.sas import TOKEN_LIFETIME_SECONDS, sas_token
from settings import Settings


class TelemetryProbe:
    """Asks each hub of the settings."""

    def __init__(
        self, settings: Settings, session: requests.Session, now: Callable[[], float] = time.time
    ) -> None:
        """Take the app's settings, a session, and a clock in Unix seconds."""
        self._settings = settings
        self._session = session
        self._now = now

    def ask(self, hub: str, notification_id: str) -> Telemetry:
        """What became of a push.

        Args:
            hub: its name in the settings.
            notification_id: the hub's name for the push.
        """
        if hub not in self._settings.hub_names:
            return not_told(f"the settings have no hub {hub} any more")
        try:
            read = self._settings.hub_named(hub)
        except ConfigurationError:
            return not_told(f"the settings of the hub {hub} cannot be used", "'check' says why.")
        url = HubEndpoint(read.messages_url, read.api_version, hub).telemetry_url(notification_id)
        token = sas_token(read.connection_string, read.name, int(self._now()) + TOKEN_LIFETIME_SECONDS)
        calls = self._settings.calls
        timeouts = (calls.hub_connect_timeout_seconds, calls.hub_read_timeout_seconds)
        try:
            with self._session.get(
                url, headers={"Authorization": token}, timeout=timeouts, allow_redirects=False, stream=True
            ) as answer:
                body = answer.raw.read(MAXIMUM_BYTES + 1, decode_content=True)
        except (requests.RequestException, OSError, ValueError) as error:
            return not_told(
                f"the hub did not answer: {type(error).__name__}", "'check' looks at the way to it."
            )
        if len(body) > MAXIMUM_BYTES:
            return not_told("the hub's answer is too long")
        return telemetry_of(answer.status_code, body)
