"""Builds what lives as long as the process: one part each, on first use."""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property
from typing import Self

from pymongo import MongoClient
from pymongo import errors as mongo_errors
from pymongo.collection import Collection

from common import mongodb
from common.clock import Clock, SystemClock
from common.clock_watch import ClockWatch
from common.telemetry import Metrics, NoMetrics
from health import probes
from health.readiness import Part, Readiness
from models.access import AccessSettings, read_access
from models.device import FieldLimits
from models.errors import ConfigurationError
from models.hub import HubEndpoint
from push import ledger
from push.call_notes import LedgerNotes
from push.delivery import Delivery, TimeLimits
from push.fan_out import FanOutTools, Sender
from push.hub.client import HubClient
from push.hub.sas import SasTokenSource
from push.hub.wire import MAX_IDLE_SECONDS, HubWire, Timeouts
from push.ledger import Ledger
from push.trigger import IncomingCallHandler
from registrar import rate, store
from registrar.access import Access, KeyAccess
from registrar.rate import ChangeLimit
from registrar.routes import Limits, Registrar
from registrar.store import DeviceStore
from settings import Settings

_KEPT_MILLISECONDS = int(MAX_IDLE_SECONDS * 1_000)


class _Part[Built](cached_property[Built]):
    """A cached property that is built by one thread at a time; a failure is raised and not kept."""

    def __get__(self, app: "App | None", owner: type | None = None) -> Built:  # type: ignore[override]
        if app is None:
            return self  # type: ignore[return-value]
        with app.lock:
            return super().__get__(app, owner)


class App:
    """The app's parts, each built when it is first used. Safe to share between threads.

    A part that cannot be built (a setting is missing) raises a ConfigurationError at each use.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
        sender: Callable[["App"], Sender] | None = None,
        database: Callable[[Settings], MongoClient[mongodb.Document]] | None = None,
    ) -> None:
        """Take where the settings are read from, on first use, and what to use in place of the app's parts.

        Args:
            environment: such as `os.environ`.
            clock: the machine's, if left out.
            jitter: random numbers, at least 0 and less than 1, for back-offs.
            sender: makes what sends pushes to single devices.
            database: makes the client of the database.
        """
        self._environment = environment
        self.lock = threading.RLock()
        self.clock = clock or SystemClock()
        self.jitter = jitter
        self._make_sender = sender
        self._make_database = database or mongo_client

    @_Part
    def settings(self) -> Settings:
        """The settings."""
        return Settings.from_mapping(self._environment)

    @_Part
    def registrar(self) -> Registrar:
        """What the HTTP functions call."""
        settings = self.settings
        # First: a mistake in the access settings is reported whether or not the database can be used.
        access = self._authenticator()
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
        changes = ChangeLimit(
            self.collection(rate.COLLECTION_NAME), self.timeouts, settings.registrations_per_minute
        )
        return Registrar(self.device_store, access, changes, self.clock, limits)

    @_Part
    def access(self) -> AccessSettings:
        """How the registrar's callers are authenticated; a mistake is in its `errors`."""
        return read_access(self._environment)

    def _authenticator(self) -> Access:
        if self.access.errors:
            listed = "; ".join(f"{bad.field}: {bad.detail}" for bad in self.access.errors)
            raise ConfigurationError(f"Settings to correct: {listed}", errors=self.access.errors)
        oidc = self.access.oidc
        if oidc is None:
            return KeyAccess()
        # Imported only where it is used: the mode `key` needs neither HTTP nor cryptography.
        import requests  # noqa: PLC0415

        from registrar.jwks import JwksKeys  # noqa: PLC0415
        from registrar.oidc import OidcAccess  # noqa: PLC0415

        keys = JwksKeys(oidc.issuer, requests.Session(), self.clock.monotonic)
        return OidcAccess(oidc, keys)

    @_Part
    def incoming_call_handler(self) -> IncomingCallHandler:
        """What the Event Grid function calls."""
        notes = LedgerNotes(self.collection(ledger.COLLECTION_NAME))
        return IncomingCallHandler(self.delivery, self.time_limits, self.clock, self.metrics, notes)

    @_Part
    def time_limits(self) -> TimeLimits:
        """How long the parts of a delivery may take."""
        settings = self.settings
        return TimeLimits(
            ring=timedelta(seconds=settings.call_ring_seconds),
            invocation_seconds=settings.invocation_seconds,
            database_seconds=settings.mongodb_operation_seconds,
        )

    @_Part
    def delivery(self) -> Delivery:
        """Rings the devices of a callee."""
        tools = FanOutTools(self.sender, self.pool, self.clock, self.jitter)
        return Delivery(self.device_store, self.ledger, tools, self.time_limits)

    @_Part
    def pool(self) -> Executor:
        """The threads that send to the hub for callees with several devices."""
        return ThreadPoolExecutor(self.settings.maximum_concurrent_sends, thread_name_prefix="direct-send")

    @_Part
    def readiness(self) -> Readiness:
        """Whether all that the app needs is there."""
        parts = (
            Part("settings", self._build_all),
            Part("database", lambda: probes.read_nothing(self.collection(store.COLLECTION_NAME))),
            Part("hub", lambda: self.hub_client.problem(probes.HUB_SECONDS)),
        )
        return Readiness(parts, self.clock.monotonic, self.clock_watch)

    def _build_all(self) -> None:
        _ = self.registrar, self.incoming_call_handler

    @_Part
    def clock_watch(self) -> ClockWatch:
        """Compares this instance's clock with the hub's."""
        return ClockWatch()

    @property
    def timeouts(self) -> mongodb.Timeouts:
        """How long a piece of work with the database may take."""
        settings = self.settings
        return mongodb.Timeouts(settings.mongodb_operation_seconds, settings.mongodb_server_selection_seconds)

    def collection(self, name: str) -> Collection[mongodb.Document]:
        """A collection of the app's database."""
        return self.mongo_client[self.settings.database_name][name]

    @_Part
    def ledger(self) -> Ledger:
        """Which devices each event has rung."""
        # Longer than one send; with the defaults shorter than Event Grid's first redelivery after 10 s.
        lease = timedelta(seconds=self.sender.longest_send_seconds + 2)
        return Ledger(self.collection(ledger.COLLECTION_NAME), self.timeouts, lease)

    @_Part
    def metrics(self) -> Metrics:
        """Where metrics go."""
        connection_string = self.settings.application_insights
        if connection_string is None:
            return NoMetrics()
        # Imported only where it is used: it takes longer to import than all the rest.
        from common.metrics_export import ApplicationInsightsMetrics  # noqa: PLC0415

        return ApplicationInsightsMetrics(connection_string.get_secret_value())

    @_Part
    def device_store(self) -> DeviceStore:
        """The registrations."""
        return DeviceStore(self.collection(store.COLLECTION_NAME), self.timeouts)

    @_Part
    def sender(self) -> Sender:
        """Sends pushes to single devices."""
        return self._make_sender(self) if self._make_sender else self.hub_client

    @_Part
    def hub_client(self) -> HubClient:
        """The client of the notification hub."""
        settings = self.settings
        keys = filter(None, (settings.hub_connection, settings.hub_connection_secondary))
        tokens = [SasTokenSource(key, settings.hub_name, time.time) for key in keys]
        endpoint = HubEndpoint(settings.messages_url, settings.hub_api_version)
        return HubClient(endpoint, self.hub_wire, tokens, time.time, self.clock_watch)

    @_Part
    def hub_wire(self) -> HubWire:
        """The connections to the notification hub."""
        timeouts = Timeouts(self.settings.hub_connect_seconds, self.settings.hub_read_seconds)
        return HubWire(timeouts, self.clock.monotonic)

    @_Part
    def mongo_client(self) -> MongoClient[mongodb.Document]:
        """The client of the database."""
        # At DEBUG pymongo logs whole commands, device tokens included.
        logging.getLogger("pymongo").setLevel(logging.INFO)
        return self._make_database(self.settings)

    def close(self) -> None:
        """Stop and close what has been built; the app cannot be used after that."""
        built = self.__dict__
        if pool := built.get("pool"):
            pool.shutdown()
        for name in ("hub_wire", "mongo_client", "metrics"):
            if part := built.get(name):
                part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
