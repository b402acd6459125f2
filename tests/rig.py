"""The app in this very process, over a hub simulator and a database, as the function's entry sees it."""

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient, monitoring

from app import App, mongo_client
from common.clock import Clock
from common.metrics import Metrics
from common.tracing import Tracer
from local.hub.running_hub import RunningHub
from local.samples import event_grid_event, incoming_call_data
from models.device import DeviceRegistration
from models.errors import ServiceError
from models.hub import DEFAULT_HUB
from models.identity import Identity
from models.platform import Platform
from models.push import Outcome, Push
from push.fan_out import Sender
from push.side_by_side import Work
from push.trigger import EventHandler, handle_event
from tests.fakes import AppLog
from tests.fakes import registration as registered

TIMEOUT = 20.0
"""Upper limit, in seconds, of a wait that a test does not measure."""

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What Event Grid hears of one delivery, and how long that took."""

    status: int
    seconds: float
    error: str | None = None


def settings_for(hub: RunningHub, uri: str, database_name: str, more: Mapping[str, object]) -> dict[str, str]:
    """The app's settings over a simulator and a database."""
    values = {
        "ANHHubConnectionString": hub.connection_string,
        "ANHHubName": hub.hub_name,
        "ANHHubUrl": hub.messages_url,
        "MongoDbConnectionString": uri,
        "DbName": database_name,
    }
    return {**values, **{name: str(value) for name, value in more.items()}}


class Watched:
    """The client of the hub, with what a test does before and after each send, or instead of it."""

    def __init__(self, real: Sender) -> None:
        self.real = real
        self.before: list[Callable[[], object]] = []
        self.after: list[Callable[[], object]] = []
        self.instead: Callable[[Push, str, float], Outcome | None] | None = None
        """Where it gives no outcome, the push is sent."""
        self.tokens: list[str] = []
        """The device's token of each send, in order."""

    def sending(
        self, push: Push, device_token: str, time_left: float, *, fresh_connection: bool = False
    ) -> Work[Outcome]:
        """The sending, with what was asked for before and after it."""
        self.tokens.append(device_token)
        for act in self.before:
            act()
        outcome = self.instead(push, device_token, time_left) if self.instead else None
        if outcome is None:
            outcome = yield from self.real.sending(
                push, device_token, time_left, fresh_connection=fresh_connection
            )
        for act in self.after:
            act()
        return outcome


PHONES = (Platform.APPLE, Platform.FCM_V1, Platform.WINDOWS)


def new_token(platform: Platform = Platform.APPLE) -> str:
    """A device token that the platform could have issued."""
    text = uuid.uuid4().hex * 2
    match platform:
        case Platform.FCM_V1:
            return f"{text[:22]}:APA91b{text}"
        case Platform.WINDOWS:
            return f"https://db5p.notify.windows.com/?token={text}"
        case _:
            return text


class Instance:
    """One instance of the app; `with Instance(hub, database.uri, {"HubReadTimeoutSeconds": 0.5}) as app`."""

    def __init__(
        self,
        hub: RunningHub,
        uri: str,
        settings: Mapping[str, object] | None = None,
        *,
        database_name: str | None = None,
        jitter: Callable[[], float] = random.random,
        listener: monitoring.CommandListener | None = None,
        clock: Clock | None = None,
        observer_uri: str | None = None,
        tracer: Tracer | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Take what the instance runs over.

        Args:
            hub: takes the pushes.
            uri: the connection string of the app's database.
            settings: more of them.
            database_name: instances with the same one share their data.
            jitter: decides how long back-offs are.
            listener: is told the app's commands to the database.
            clock: the app's.
            observer_uri: how the test reaches the database, where `uri` leads through a fault.
            tracer: the app's.
            metrics: the app's.
        """
        self.hub = hub
        self.sends_of: dict[str, Watched] = {}
        """By the hub's name."""
        self.database_name = database_name or f"test-{uuid.uuid4().hex[:12]}"
        self.app = App(
            settings_for(hub, uri, self.database_name, settings or {}),
            clock=clock,
            jitter=jitter,
            sender=self._watched,
            tracer=tracer,
            metrics=metrics,
            database=None if listener is None else lambda of, *_: mongo_client(of, [listener]),
        )
        self.uri = observer_uri or uri
        """How the test reaches the database."""

    def __enter__(self) -> Self:
        self.watcher: MongoClient[dict[str, Any]] = MongoClient(
            self.uri, tz_aware=True, serverSelectionTimeoutMS=5_000
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.app.close()
        self.watcher.close()

    def _watched(self, hub: str, real: Sender) -> Watched:
        watched = self.sends_of[hub] = Watched(real)
        return watched

    @property
    def sends(self) -> Watched:
        """The sends over the default hub."""
        self.app.hubs.sender(DEFAULT_HUB)
        return self.sends_of[DEFAULT_HUB]

    @property
    def handler(self) -> EventHandler:
        """What the function calls."""
        return self.app.event_handler

    def register(self, acs_mri: str, count: int = 1, *, first: int = 0) -> list[DeviceRegistration]:
        """So many new devices of a user, one platform after the other; `first` is the number of the first."""
        now = self.app.clock.now()
        devices = []
        for number in range(first, first + count):
            platform = PHONES[number % len(PHONES)]
            device = replace(
                registered(acs_mri, f"device-{number}", new_token(platform), platform),
                expires_at=now.replace(year=now.year + 1, day=1, microsecond=0),
            )
            self.app.device_store.register(device, now)
            devices.append(device)
        return devices

    def deliver(self, event: Event) -> Answer:
        """One invocation of the function: 202 if it returns, 500 if it raises."""
        started = time.monotonic()
        error = None
        try:
            handle_event(json.dumps(event), lambda: self.handler, self.app.settings_grace)
        except ServiceError as raised:
            error = raised.code
        return Answer(500 if error else 202, time.monotonic() - started, error)

    def ledger(self, event: Event) -> dict[str, Any] | None:
        """The ledger's document of an event."""
        return self.watcher[self.database_name]["CallLedger"].find_one({"eventId": event["id"]})

    def registrations(self, acs_mri: str) -> list[dict[str, Any]]:
        """The documents of a user's devices."""
        return list(self.watcher[self.database_name]["DeviceRegistrations"].find({"acsMri": acs_mri}))

    def devices_of(self, acs_mri: str, *platforms: Platform) -> Sequence[DeviceRegistration]:
        """A user's devices, of all platforms or of some."""
        devices = self.app.device_store.devices_of(Identity.parse(acs_mri), self.app.clock.now())
        return [device for device in devices if not platforms or device.platform in platforms]

    def rings(self, device: DeviceRegistration) -> int:
        """How often a device was rung."""
        return self.hub.simulator.summary().handles.get(device.device_token, 0)

    def attempts(self, device: DeviceRegistration) -> int:
        """How many requests for a device the hub has seen."""
        return sum(self.hub.simulator.summary().attempts.get(device.device_token, {}).values())


def call_to(acs_mri: str, *, time: datetime | None = None) -> dict[str, Any]:
    """An event of a new call."""
    return event_grid_event(incoming_call_data(acs_mri), time=time)


def new_user() -> str:
    """The MRI of a user whom no other test knows."""
    return f"8:acs:{uuid.uuid4()}_{uuid.uuid4()}"


def at_once[Item, Result](work: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    """`work` for every item, all side by side; the results in the items' order."""
    with ThreadPoolExecutor(max(1, len(items))) as pool:
        return list(pool.map(work, items))


def line_of(log: AppLog, event: Event) -> dict[str, Any]:
    """The last structured line of an event."""
    return [line for line in log.events("incoming_call") if line.get("event_id") == event["id"]][-1]


def eventually(condition: Callable[[], bool], timeout: float = TIMEOUT) -> None:
    """Wait for a condition; TimeoutError if it does not come true."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not reached within {timeout} s")
        time.sleep(0.02)


class Commands(monitoring.CommandListener):
    """Counts the commands that go to MongoDB; hand it to a client as an event listener."""

    def __init__(self) -> None:
        self.names: list[tuple[str, str]] = []
        """Command and collection, in order."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Note one."""
        self.names.append((event.command_name, str(event.command.get(event.command_name))))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Of no interest."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Of no interest."""


class FailPoint:
    """Disturbs the app's connections to the database and no others; `with FailPoint(uri, ["find"], …)`."""

    def __init__(self, uri: str, commands: list[str], *, mode: object = "alwaysOn", **data: object) -> None:
        """`data`: such as `blockConnection` with `blockTimeMS`, `closeConnection`, `errorCode`."""
        self._uri = uri
        self._order: dict[str, object] = {
            "configureFailPoint": "failCommand",
            "mode": mode,
            "data": {"failCommands": commands, "appName": "acs-call-push", **data},
        }

    def __enter__(self) -> Self:
        self._configure(self._order)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._configure({"configureFailPoint": "failCommand", "mode": "off"})

    def _configure(self, order: dict[str, object]) -> None:
        client: MongoClient[dict[str, Any]] = MongoClient(self._uri, serverSelectionTimeoutMS=5_000)
        with client:
            client.admin.command(order)
