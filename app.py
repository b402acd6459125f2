"""Builds what lives as long as the process: one part each, on first use.

Imported with this module is what every incoming call needs, since a cold start keeps a phone from ringing for
as long as its imports take. What only some calls or other functions need is imported by the part that needs
it.
"""

import logging
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Self

from pymongo import MongoClient, monitoring
from pymongo.collection import Collection

from common import mongodb, telemetry
from common.clock import Clock, SystemClock
from common.clock_watch import ClockWatch
from common.metrics import Metrics
from common.mongodb_spans import WorkSpans
from common.tracing import Tracer
from models import telemetry_settings
from models.access import AccessSettings, read_access
from models.errors import ConfigurationError, TooManyChangesError, TooManyReportsError
from models.hub import DEFAULT_HUB, HubEndpoint
from models.known_causes import Cause
from models.notifications import NotificationOptions
from push import ledger
from push.call_end import CallEnds, EndTools
from push.call_end_event import CallEndHandler
from push.call_states import CallStates
from push.delivery import Delivery, DeliveryTools, TimeLimits
from push.fan_out import FanOutTools, Sender
from push.gone_devices import GoneDevices
from push.grace import Grace
from push.hub.client import HubClient
from push.hub.exchange_loop import ExchangeLoop
from push.hub.hubs import Hub, Hubs
from push.hub.sas import SasTokenSource
from push.hub.traced_sender import TracedSender
from push.hub.wire import HubWire, Timeouts
from push.incoming_call import IncomingCallHandler, IncomingCallTools
from push.ledger import Ledger
from push.notices import Notices, NoticeTools
from push.service_watch import ServiceWatch
from push.side_by_side import Pools, SideBySide
from push.trigger import EventHandler, EventTools
from push.waits import BoundedWaits
from registrar import store
from registrar.store import DeviceStore
from settings import (
    DEFAULT_MAXIMUM_PERCENT,
    DEFAULT_SCHEDULE,
    NONE,
    NOT_NEEDED_FOR_RINGING,
    DatabaseSettings,
    HubSettings,
    Settings,
    settings_error,
)

if TYPE_CHECKING:
    from common.access_tokens import AccessTokens
    from health.readiness import Readiness
    from models.database_sign_in import SignInWay
    from models.report import CallReport, ReportEffect
    from push.dead_devices import DeadDevices
    from registrar.access import Access
    from registrar.dead_registrations import DeadRegistrations
    from registrar.rate import RateLimit
    from registrar.registrations import Limits, Registrar
    from registrar.reports import Reports

PROBE_SECONDS = 1.5
"""For the readiness of the hub: a name look-up, a TLS handshake and a short answer."""

NO_TELEMETRY = (
    "The Functions worker could not set up telemetry, so there are no traces and no metrics: copy "
    "APPLICATIONINSIGHTS_CONNECTION_STRING again, and see the worker's line 'Error initializing Azure "
    "monitor distro' in the log stream. Calls ring all the same."
)

MongoClientMaker = Callable[[DatabaseSettings, "AccessTokens | None"], MongoClient[mongodb.Document]]


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

    def __init__(  # noqa: PLR0913 - one for each part that can be replaced
        self,
        environment: Mapping[str, str],
        *,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
        sender: Callable[[str, Sender], Sender] | None = None,
        database: MongoClientMaker | None = None,
        database_tokens: "AccessTokens | None" = None,
        tracer: Tracer | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Take where the settings are read from, on first use, and what to use in place of the app's parts.

        Args:
            environment: such as `os.environ`.
            clock: the machine's, if left out.
            jitter: random numbers, at least 0 and less than 1, for back-offs.
            sender: puts something before what sends to the devices of a hub, given the hub's name.
            database: makes the client of the database.
            database_tokens: by which to sign in to a database that asks for a token, in place of those of the
                app's managed identity.
            tracer, metrics: those of the process, if left out.
        """
        self._environment = environment
        self.lock = threading.RLock()
        self.clock = clock or SystemClock()
        self.jitter = jitter
        self._wrap_sender = sender
        self._make_client = database
        self._database_tokens = database_tokens
        self._tracer = tracer
        self._metrics = metrics
        self.settings_grace = Grace(self.clock.monotonic)
        self._clocks_unasked = threading.Lock()  # taken by the first look, never released

    @_Part
    def settings(self) -> Settings:
        """The settings."""
        return Settings.from_mapping(self._environment)

    @_Part
    def access(self) -> AccessSettings:
        """How the registrar's callers are authenticated; a mistake is in its `errors`."""
        return read_access(self._environment)

    # --- the registrar ---

    @_Part
    def registrar(self) -> "Registrar":
        """What the HTTP functions call."""
        from registrar.registrations import Registrar

        self.settings.check_registrar(self.access.errors)
        rate_limit = self._rate_limit(TooManyChangesError)
        return Registrar(self.device_store, self.authenticator, rate_limit, self.clock, self._limits())

    @_Part
    def reports(self) -> "Reports":
        """What the function for reports calls."""
        from registrar.reports import Reports

        self.settings.check_registrar(self.access.errors)
        rate_limit = self._rate_limit(TooManyReportsError)
        return Reports(self._reported, self.authenticator, rate_limit, self.clock, self._limits())

    def _reported(self, report: "CallReport") -> "ReportEffect":
        # Built at the first report: with a mistake in a setting that it needs, strangers are still refused.
        return self.call_ends.reported(report)

    def _limits(self) -> "Limits":
        from models.requests import FieldRules
        from registrar.registrations import Limits

        settings = self.settings.registrar
        return Limits(
            default_ttl_seconds=settings.default_ttl_seconds,
            devices_per_user=settings.max_devices_per_user,
            body_bytes=settings.max_body_bytes,
            fields=FieldRules(
                acs_mri=settings.max_mri_length,
                device_uuid=settings.max_device_uuid_length,
                device_token=settings.max_device_token_length,
                hubs=self.settings.hub_names,
            ),
        )

    def _rate_limit(self, error: type[TooManyChangesError | TooManyReportsError]) -> "RateLimit":
        from registrar import rate

        per_minute = self.settings.registrar.registrations_per_minute
        return rate.RateLimit(self.collection(rate.COLLECTION_NAME), self.work, per_minute, error)

    @_Part
    def authenticator(self) -> "Access":
        """Authenticates the registrar's callers."""
        from registrar.access import KeyAccess

        if self.access.errors:
            raise settings_error(self.access.errors)
        oidc = self.access.oidc
        if oidc is None:
            return KeyAccess()
        # The mode `key` needs neither HTTP nor cryptography.
        import requests

        from registrar.jwks import JwksKeys
        from registrar.oidc import OidcAccess

        keys = JwksKeys(oidc.issuer, requests.Session(), self.clock.monotonic)
        return OidcAccess(oidc, keys)

    # --- incoming calls ---

    @_Part
    def event_handler(self) -> EventHandler:
        """What the Event Grid function calls."""
        self.settings.check_ringing()
        calls = IncomingCallHandler(
            IncomingCallTools(self.delivery, self.call_ends, self.ledger, self.clock), self.time_limits
        )
        ends = CallEndHandler(self.call_ends, self.clock, self.time_limits, self.service_watch.database)
        tools = EventTools(
            calls,
            ends,
            self.clock,
            self.metrics,
            self.service_watch.database,
            self.tracer,
            self._compare_clocks,
        )
        handler = EventHandler(tools)
        self._tell_of_settings()
        return handler

    def _tell_of_settings(self) -> None:
        """Log, once a process, what is wrong with settings that ringing does not need."""
        mistakes = (
            *self.settings.mistakes(*NOT_NEEDED_FOR_RINGING),
            *self.settings.lesser_named_hub_mistakes,
            *self.access.errors,
        )
        if mistakes:
            remedy = f"{settings_error(mistakes).detail}. Calls ring all the same."
            telemetry.log(logging.CRITICAL, "misconfigured", code=ConfigurationError.code, remedy=remedy)
        self._tell_of_hubs()
        if self._lacks_telemetry():
            telemetry.log(
                logging.CRITICAL, "misconfigured", code=ConfigurationError.code, remedy=NO_TELEMETRY
            )
        for old, new in self.settings.renamed.items():
            telemetry.log(logging.WARNING, "setting_renamed", setting=old, remedy=f"Rename it to {new}.")

    def _tell_of_hubs(self) -> None:
        """Have what is wrong with named hubs logged when the process starts, not at a call."""
        for name in self.settings.named_hubs:
            self.hubs.sender(name)

    def _lacks_telemetry(self) -> bool:
        """The Functions worker was told to set up telemetry, and has not: it only logs why, and goes on."""
        return not self.tracer.is_recording and telemetry_settings.is_wanted(self._environment)

    @_Part
    def time_limits(self) -> TimeLimits:
        """How long the parts of a delivery may take."""
        return TimeLimits(
            ring_time=timedelta(seconds=self.settings.calls.call_ring_seconds),
            invocation_seconds=self.settings.calls.invocation_timeout_seconds,
            database_seconds=self.settings.database.operation_timeout_seconds,
            send_seconds=self.settings.calls.longest_send_seconds,
        )

    @_Part
    def service_watch(self) -> ServiceWatch:
        """What this process has lately met of the database and the hubs."""
        return ServiceWatch(self.clock.monotonic)

    @_Part
    def delivery(self) -> Delivery:
        """Rings the devices of a callee."""
        tools = DeliveryTools(self.device_store, self.ledger, self.call_ends, self.sending)
        return Delivery(tools, self.time_limits, self.service_watch)

    @_Part
    def sending(self) -> FanOutTools:
        """What sends pushes side by side."""
        return FanOutTools(self.hubs, self.sends, self.clock, self.jitter)

    @_Part
    def call_ends(self) -> CallEnds:
        """Draws the conclusions from ends, answers and reports of calls."""
        states = CallStates(self.collection(ledger.COLLECTION_NAME), self.work)
        waits = BoundedWaits(self.clock, self._threads() // 4)
        gone_devices = GoneDevices(self.device_store, self.service_watch, self.clock)
        notices = Notices(
            NoticeTools(states, self.sending, self.service_watch, gone_devices, self.metrics, waits)
        )
        tools = EndTools(states, self.device_store, notices, waits, self.clock, self.metrics)
        return CallEnds(tools, self._notification_options(), self.time_limits.ring_time)

    def _notification_options(self) -> NotificationOptions:
        try:
            return self.settings.notifications.options
        except ConfigurationError:
            return NotificationOptions()  # said by _tell_of_settings

    def _threads(self) -> int:
        """How many events this process handles at once: the worker's own setting."""
        given = self._environment.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
        return int(given) if given.isascii() and given.isdigit() else (os.cpu_count() or 1) + 4

    @_Part
    def sends(self) -> SideBySide:
        """Sends to the devices of callees with several of them."""
        return SideBySide(self.pools, self.settings.calls.max_concurrent_sends, ExchangeLoop)

    @_Part
    def pools(self) -> Pools:
        """The threads for that."""
        most = self.settings.calls.max_concurrent_sends
        return Pools(
            ThreadPoolExecutor(most, thread_name_prefix="direct-send"),
            ThreadPoolExecutor(most, thread_name_prefix="direct-send-connection"),
        )

    @_Part
    def ledger(self) -> Ledger:
        """Which devices each event has rung."""
        lease = timedelta(seconds=self.settings.calls.lease_seconds)
        return Ledger(self.collection(ledger.COLLECTION_NAME), self.work, lease)

    # --- dead devices ---

    @_Part
    def feedback_schedule(self) -> str | None:
        """When dead devices are forgotten, as NCRONTAB; None for never. Asked while functions are indexed."""
        try:
            schedule = self.settings.feedback_schedule.feedback_schedule
        except ConfigurationError as error:
            remedy = f"{error.detail}. Until then {DEFAULT_SCHEDULE} counts."
            telemetry.log(logging.CRITICAL, "misconfigured", code=error.code, remedy=remedy)
            return DEFAULT_SCHEDULE
        return None if schedule.lower() == NONE else schedule

    @_Part
    def dead_devices(self) -> "DeadDevices":
        """Forgets devices that platforms call dead."""
        import requests

        from push import feedback_marks
        from push.dead_devices import DeadDevices, SweepTools
        from push.hub.feedback_container import FeedbackContainer

        # At DEBUG urllib3 logs URLs, the container's signature included.
        logging.getLogger("urllib3").setLevel(logging.INFO)
        tools = SweepTools(
            {name: partial(self.hubs.client, name) for name in self.hubs.names},
            self.dead_registrations,
            feedback_marks.FeedbackMarks(self.collection(feedback_marks.COLLECTION_NAME), self.work),
            lambda url, until: FeedbackContainer(url, requests.Session(), self.clock.monotonic, until),
            self.clock,
        )
        return DeadDevices(tools, self._maximum_percent())

    @_Part
    def dead_registrations(self) -> "DeadRegistrations":
        """The registrations, as feedback concerns them."""
        from registrar.dead_registrations import DeadRegistrations

        return DeadRegistrations(self.collection(store.COLLECTION_NAME), self.work)

    def _maximum_percent(self) -> int:
        try:
            return self.settings.feedback_limit.feedback_maximum_percent
        except ConfigurationError as error:
            telemetry.log(logging.CRITICAL, "misconfigured", code=error.code, remedy=error.detail)
            return DEFAULT_MAXIMUM_PERCENT

    # --- what the app says of itself ---

    @_Part
    def metrics(self) -> Metrics:
        """Counts and measures, where the Functions worker has set up telemetry."""
        return self._metrics or Metrics.of_process()

    @_Part
    def tracer(self) -> Tracer:
        """Begins spans, where the Functions worker has set up telemetry."""
        return self._tracer or Tracer.of_process()

    # --- the hubs ---

    @_Part
    def hubs(self) -> Hubs:
        """The notification hubs, each built on first use."""
        return Hubs(self.settings.hub_names, self._make_hub, self.lock)

    def _make_hub(self, name: str) -> Hub:
        settings = self.settings.hub_named(name)
        calls = self.settings.calls
        endpoint = HubEndpoint(settings.messages_url, settings.api_version, name)
        timeouts = Timeouts(calls.hub_connect_timeout_seconds, calls.hub_read_timeout_seconds)
        wire = HubWire(timeouts, self.clock.monotonic)
        client = HubClient(endpoint, wire, self._tokens(name, settings), self._unix_time, self.clock_watch)
        sender: Sender = client
        if self.tracer.is_recording:
            sender = TracedSender(client, self.tracer, endpoint)
        if self._wrap_sender:
            sender = self._wrap_sender(name, sender)
        return Hub(client, sender, wire)

    def _tokens(self, name: str, settings: HubSettings) -> list[SasTokenSource]:
        """Of the hub's key and, if it has a usable one, of its secondary key."""
        keys = [settings.connection_string]
        if second := self.settings.usable_secondary_key(name):
            keys.append(second)
        return [SasTokenSource(key, settings.name, self._unix_time) for key in keys]

    def _unix_time(self) -> float:
        return self.clock.now().timestamp()

    # --- the database ---

    @_Part
    def device_store(self) -> DeviceStore:
        """The registrations."""
        return DeviceStore(self.collection(store.COLLECTION_NAME), self.work)

    @_Part
    def work(self) -> mongodb.Work:
        """Bounds and repeats work with the database."""
        settings = self.settings.database
        timeouts = mongodb.Timeouts(
            settings.operation_timeout_seconds, settings.server_selection_timeout_seconds
        )
        return mongodb.Work(timeouts, self.clock, self.work_spans, self.database_tokens)

    @_Part
    def work_spans(self) -> WorkSpans:
        """Begins a span for each piece of work with the database."""
        return WorkSpans(self.tracer, self.settings.database.connection_string)

    def collection(self, name: str) -> Collection[mongodb.Document]:
        """A collection of the app's database."""
        return mongodb.collection(self.mongo_client, self.settings.database.name, name)

    @_Part
    def mongo_client(self) -> MongoClient[mongodb.Document]:
        """The client of the database."""
        # At DEBUG pymongo logs whole commands, device tokens included.
        logging.getLogger("pymongo").setLevel(logging.INFO)
        tokens = self.database_tokens
        if tokens:
            tokens.begin()  # while names are looked up and TLS begins
        if self._make_client:
            return self._make_client(self.settings.database, tokens)
        return mongo_client(self.settings.database, self.work_spans.listeners, tokens)

    @_Part
    def database_tokens(self) -> "AccessTokens | None":
        """The tokens by which the app signs in to the database; None if its connection string asks for
        none."""
        identity = self.settings.database_identity
        if identity is None:
            return None
        from common import entra_id

        return self._database_tokens or entra_id.tokens_of_managed_identity(identity, self.clock)

    # --- health ---

    @_Part
    def readiness(self) -> "Readiness":
        """Whether everything that the app needs works."""
        from health.readiness import Part, Readiness

        parts = (
            Part("settings", self._build_all),
            Part("database", lambda: self.work.probe(self.collection(store.COLLECTION_NAME))),
            Part("hub", partial(self._problem_of_hub, DEFAULT_HUB)),
        )
        named_hubs = [Part(name, partial(self._problem_of_hub, name)) for name in self.settings.named_hubs]
        return Readiness(parts, self.clock.monotonic, self.clock_watch, self._database_sign_in, named_hubs)

    def _database_sign_in(self) -> "SignInWay":
        from models.database_sign_in import sign_in_way

        return sign_in_way(self.settings.database.connection_string)

    def _problem_of_hub(self, name: str) -> str | None:
        return self.hubs.named(name).client.problem(PROBE_SECONDS)

    def _build_all(self) -> None:
        _ = self.registrar, self.reports, self.event_handler

    @_Part
    def clock_watch(self) -> ClockWatch:
        """Compares this instance's clock with the hub's."""
        return ClockWatch()

    def _compare_clocks(self) -> None:
        """Ask the hub for its time, once a process, unless an answer of it has shown it."""
        if not self.clock_watch.has_compared and self._clocks_unasked.acquire(blocking=False):
            self.hubs.default.client.problem(PROBE_SECONDS)

    def close(self) -> None:
        """Stop and close what has been built; the app cannot be used after that."""
        built = self.__dict__
        if pools := built.get("pools"):
            # In this order: the threads of calls hand work over to the others.
            pools.calls.shutdown()
            pools.connections.shutdown()
        for name in ("sends", "hubs", "mongo_client"):
            if part := built.get(name):
                part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def mongo_client(
    settings: DatabaseSettings,
    listeners: Sequence[monitoring.CommandListener] = (),
    tokens: "AccessTokens | None" = None,
) -> MongoClient[mongodb.Document]:
    """The client that the settings ask for.

    Args:
        settings: how it reaches the database.
        listeners: are told of each command.
        tokens: by which it signs in, where its connection string asks for that.

    Raises:
        ConfigurationError: the connection string cannot be used; it is not quoted.
    """
    timeouts = mongodb.Timeouts(settings.operation_timeout_seconds, settings.server_selection_timeout_seconds)
    uri = settings.connection_string
    client = mongodb.make_client(uri, timeouts, listeners=listeners, tokens=tokens)
    if isinstance(client, Cause):
        raise mongodb.error_of(client)
    return client
