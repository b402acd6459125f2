"""The one place that builds what lives as long as the process, on first use."""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property

import requests
from pymongo import MongoClient
from pymongo import errors as mongo_errors
from pymongo.collection import Collection

import mongodb
from clock import SystemClock
from health import probes
from health.readiness import Part, Readiness
from models.access import is_anonymous_to_the_host
from models.device import FieldLimits
from models.errors import ConfigurationError
from push import ledger
from push.call_notes import LedgerNotes
from push.connections import KEPT_SECONDS
from push.delivery import Delivery, TimeLimits
from push.fan_out import FanOutTools
from push.hub import HubClient
from push.ledger import Ledger
from push.sas import SasTokenSource
from push.trigger import IncomingCallHandler
from push.wire import HubEndpoint, HubWire
from registrar import rate, store
from registrar.access import Access, KeyAccess, OidcAccess
from registrar.rate import ChangeLimit, MongoChangeLimit, NoChangeLimit
from registrar.routes import Limits, Registrar
from registrar.store import DeviceStore
from settings import Settings
from telemetry import Metrics, NoMetrics

_KEPT_MILLISECONDS = int(KEPT_SECONDS * 1_000)


class Clients:
    """Builds each client once, when it is first asked for; safe to share between threads.

    A failure (a setting is missing) is raised to whoever asked and tried again by the next one.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Take where the settings are read from, on first use."""
        self._environment = environment
        self._lock = threading.RLock()
        self._clock = SystemClock()

    def registrar(self) -> Registrar:
        """The registrar."""
        return self._once(lambda: self._registrar)

    def incoming_call_handler(self) -> IncomingCallHandler:
        """The handler of incoming calls."""
        return self._once(lambda: self._incoming_call_handler)

    def readiness(self) -> Readiness:
        """Whether all that the app needs is there."""
        return self._once(lambda: self._readiness)

    def _once[Client](self, build: Callable[[], Client]) -> Client:
        with self._lock:
            return build()

    @cached_property
    def _settings(self) -> Settings:
        return Settings.from_mapping(self._environment)

    @cached_property
    def _registrar(self) -> Registrar:
        settings = self._settings
        # First: who cannot be told from a stranger needs no database.
        access = self._access()
        limits = Limits(
            default_ttl_seconds=settings.default_ttl_seconds,
            devices_per_user=settings.maximum_devices_per_user,
            body_bytes=settings.maximum_body_bytes,
            fields=FieldLimits(
                acs_mri=settings.maximum_mri_length,
                device_uuid=settings.maximum_device_uuid_length,
                device_token=settings.maximum_device_token_length,
            ),
        )
        return Registrar(self._device_store, access, self._change_limit(), self._clock, limits)

    def _access(self) -> Access:
        oidc = self._settings.oidc()
        if is_anonymous_to_the_host(self._environment) is not (oidc is not None):
            # The host asks for no key and the app for no token, or both do: nobody meant that.
            raise ConfigurationError("Spell RegistrarAccess, OidcIssuer and OidcAudience so, and once each.")
        if oidc is None:
            return KeyAccess()
        # Imported only where it is used: half of the apps need no cryptography.
        from registrar.oidc import JwksKeys, OidcVerifier  # noqa: PLC0415

        keys = JwksKeys(oidc, requests.Session(), self._clock.monotonic)
        return OidcAccess(OidcVerifier(oidc, keys), oidc.user_claim, oidc.admin_role)

    def _change_limit(self) -> ChangeLimit:
        per_minute = self._settings.registrations_per_minute
        if per_minute == 0:
            return NoChangeLimit()
        return MongoChangeLimit(self._collection(rate.COLLECTION_NAME), self._timeouts, per_minute)

    @cached_property
    def _incoming_call_handler(self) -> IncomingCallHandler:
        settings = self._settings
        limits = TimeLimits(
            ring=timedelta(seconds=settings.call_ring_seconds),
            invocation_seconds=settings.invocation_seconds,
            database_seconds=settings.mongodb_operation_seconds,
        )
        pool = ThreadPoolExecutor(settings.maximum_concurrent_sends, thread_name_prefix="direct-send")
        tools = FanOutTools(self._hub_client, pool, self._clock, random.random)
        delivery = Delivery(self._device_store, self._ledger, tools, limits)
        notes = LedgerNotes(self._collection(ledger.COLLECTION_NAME))
        return IncomingCallHandler(delivery, limits, self._clock, self._metrics, notes)

    @cached_property
    def _readiness(self) -> Readiness:
        parts = (
            Part("settings", self._is_configured),
            Part("database", lambda: probes.database_answers(self._collection(store.COLLECTION_NAME))),
            Part("hub", lambda: probes.hub_listens(self._settings.messages_url)),
        )
        return Readiness(parts, self._clock.monotonic)

    def _is_configured(self) -> bool:
        self.registrar()
        self.incoming_call_handler()
        return True

    @property
    def _timeouts(self) -> mongodb.Timeouts:
        settings = self._settings
        return mongodb.Timeouts(settings.mongodb_operation_seconds, settings.mongodb_server_selection_seconds)

    def _collection(self, name: str) -> Collection[mongodb.Document]:
        return self._mongo_client[self._settings.database_name][name]

    @cached_property
    def _ledger(self) -> Ledger:
        # Longer than one send; with the defaults shorter than Event Grid's first redelivery after 10 s.
        lease = timedelta(seconds=self._hub_client.longest_send_seconds + 2)
        return Ledger(self._collection(ledger.COLLECTION_NAME), self._timeouts, lease)

    @cached_property
    def _metrics(self) -> Metrics:
        connection_string = self._settings.application_insights
        if connection_string is None:
            return NoMetrics()
        # Imported only where it is used: it takes longer to import than all the rest.
        from metrics_export import ApplicationInsightsMetrics  # noqa: PLC0415

        return ApplicationInsightsMetrics(connection_string.get_secret_value())

    @cached_property
    def _device_store(self) -> DeviceStore:
        return DeviceStore(self._collection(store.COLLECTION_NAME), self._timeouts)

    @cached_property
    def _hub_client(self) -> HubClient:
        settings = self._settings
        tokens = SasTokenSource(settings.hub_connection, settings.hub_name, time.time)
        second = settings.hub_connection_secondary
        secondary_tokens = SasTokenSource(second, settings.hub_name, time.time) if second else None
        return HubClient(self._hub_wire, tokens, time.time, secondary_tokens)

    @cached_property
    def _hub_wire(self) -> HubWire:
        settings = self._settings
        endpoint = HubEndpoint(
            settings.messages_url,
            settings.hub_api_version,
            settings.hub_connect_seconds,
            settings.hub_read_seconds,
        )
        return HubWire(endpoint, self._clock.monotonic)

    @cached_property
    def _mongo_client(self) -> MongoClient[mongodb.Document]:
        # At DEBUG pymongo logs whole commands, device tokens included.
        logging.getLogger("pymongo").setLevel(logging.INFO)
        return mongo_client(self._settings)


def mongo_client(settings: Settings) -> MongoClient[mongodb.Document]:
    """A client whose every wait is bounded: pymongo's own default is 30 s, all the time Event Grid has.

    Raises:
        ConfigurationError: the connection string cannot be used; it is not quoted.
    """
    selection = int(settings.mongodb_server_selection_seconds * 1_000)
    operation = int(settings.mongodb_operation_seconds * 1_000)
    try:
        return MongoClient(
            settings.mongodb_uri.get_secret_value(),
            serverSelectionTimeoutMS=selection,
            connectTimeoutMS=selection,
            timeoutMS=operation,
            # As with the hub's connections: what lies between forgets an idle one and tells nobody.
            maxIdleTimeMS=_KEPT_MILLISECONDS,
            appname="acs-call-push",
        )
    except (mongo_errors.PyMongoError, ValueError, TypeError):
        raise ConfigurationError(
            "MongoDbConnectionString cannot be used: compare it with what the database's portal shows."
        ) from None
