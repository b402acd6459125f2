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
from requests.adapters import HTTPAdapter

import mongodb
from clock import SystemClock
from models.errors import ConfigurationError
from push import ledger
from push.delivery import Delivery, TimeLimits
from push.fan_out import FanOutTools
from push.hub import HubClient, HubEndpoint
from push.ledger import Ledger
from push.sas import SasTokenSource
from push.trigger import IncomingCallHandler
from registrar import store
from registrar.routes import Registrar
from registrar.store import DeviceStore
from settings import Settings
from telemetry import Metrics, NoMetrics

_MOST_CONNECTIONS = 1_024
"""More than the threads of one worker process; they are opened as they are needed."""


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

    def _once[Client](self, build: Callable[[], Client]) -> Client:
        with self._lock:
            return build()

    @cached_property
    def _settings(self) -> Settings:
        return Settings.from_mapping(self._environment)

    @cached_property
    def _registrar(self) -> Registrar:
        return Registrar(self._device_store, self._clock, self._settings.default_ttl_seconds)

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
        return IncomingCallHandler(delivery, limits, self._clock, self._metrics)

    @cached_property
    def _ledger(self) -> Ledger:
        collection = self._mongo_client[self._settings.database_name][ledger.COLLECTION_NAME]
        # Longer than one send; with the defaults shorter than Event Grid's first redelivery after 10 s.
        lease = timedelta(seconds=self._hub_client.longest_send_seconds + 2)
        settings = self._settings
        return Ledger(
            collection, settings.mongodb_operation_seconds, lease, settings.mongodb_server_selection_seconds
        )

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
        collection = self._mongo_client[self._settings.database_name][store.COLLECTION_NAME]
        settings = self._settings
        return DeviceStore(
            collection, settings.mongodb_operation_seconds, settings.mongodb_server_selection_seconds
        )

    @cached_property
    def _hub_client(self) -> HubClient:
        settings = self._settings
        tokens = SasTokenSource(settings.hub_connection, settings.hub_name, time.time)
        endpoint = HubEndpoint(
            settings.messages_url,
            settings.hub_api_version,
            settings.hub_connect_seconds,
            settings.hub_read_seconds,
        )
        return HubClient(hub_session(), endpoint, tokens, time.time)

    @cached_property
    def _mongo_client(self) -> MongoClient[mongodb.Document]:
        # At DEBUG pymongo logs whole commands, device tokens included.
        logging.getLogger("pymongo").setLevel(logging.INFO)
        return mongo_client(self._settings)


def hub_session() -> requests.Session:
    """A session that keeps every connection to the hub alive that was ever needed at once."""
    session = requests.Session()
    # Sends run on our pool's threads and, for callees with one device, on the worker's as well. A connection
    # beyond the limit is closed after one send; the next one would have to shake hands again.
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=_MOST_CONNECTIONS)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


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
            appname="acs-call-push",
        )
    except (mongo_errors.PyMongoError, ValueError, TypeError):
        raise ConfigurationError(
            "MongoDbConnectionString cannot be used: compare it with what the database's portal shows."
        ) from None
