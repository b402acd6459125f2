"""Starts what the app needs on loopback: embedded MongoDB, hub simulator, Functions hosts."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from local.database import EmbeddedDatabase
from local.host.keys import EVENT_GRID_SYSTEM_KEY, KEYS_VARIABLE, KeyRing
from local.hub.config import DEVELOPMENT_HUB, development_hub
from local.hub.control_client import ControlClient
from local.process import Child, OnLine, python_module
from models.hub import DEFAULT_HUB, HubSettingNames
from settings import is_setting

FUNCTIONS = (
    "AddDeviceToken",
    "GetDeviceRegistrations",
    "DeleteDeviceRegistration",
    "DeleteUserRegistrations",
    "ReportCall",
    "IncomingCallEventHandler",
)
ALL_NOTIFICATIONS = {"StopRinging": "fcmv1,windows,browser", "VisibleNotifications": "missed,fallback"}
"""Settings that switch on all that a phone gets beside rings."""
ALERTS_HUB = "alerts"
"""Visible notifications usually need a hub of their own."""
APP_DIRECTORY = Path(__file__).resolve().parent.parent
DATABASE_NAME = "calling"
THREADS = 64
BODY_LIMIT_BYTES = 2_097_152
"""As in Azure: above the largest event, since Event Grid does not retry after a 413."""
SIMULATOR_OPTIONS = ("--json", "--namespace", DEVELOPMENT_HUB.namespace)
TELEMETRY_PREFIXES = ("APPLICATIONINSIGHTS_", "PYTHON_APPLICATIONINSIGHTS_", "OTEL_")
"""Of settings that the worker reads."""
START_TIMEOUT_SECONDS = 60.0
REQUEST_TIMEOUT_SECONDS = 40.0
"""Longer than Event Grid's 30 s, so that a slow answer is received and not a time-out here."""


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Options of a stack; the defaults suit a test."""

    port: int = 0
    """Port of the first host; 0 takes a free one."""
    hosts: int = 1
    """Number of Functions hosts, each a worker process."""
    keys: KeyRing | None = None
    """Access keys; `None` for random ones."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Additional app settings; they override those of the database and the hub."""
    storage: Path | None = None
    """Directory of the database; `None` for a temporary one."""
    log_level: str = "INFO"
    more_hubs: tuple[str, ...] = ()
    """Names of hubs beside the default one, at the simulator too."""
    host_module: str = "local.host"
    """What `python -m` runs as a Functions host; tests wrap `local.host`."""
    spans: bool = False
    """The hosts write a line for each span of the app; see `local.host.span_lines`."""
    test_commands: bool = False
    """Allow fail points in the database."""
    on_line: OnLine | None = None
    """Called with every line of a host's output."""
    tell: Callable[[str], None] = lambda _: None
    """Called with progress messages."""


class Host:
    """A running Functions host and a client for it."""

    def __init__(self, child: Child, ready: Mapping[str, Any], keys: KeyRing) -> None:
        """`ready`: the host's ready line."""
        self.child = child
        self.url = str(ready["url"])
        self.functions: Mapping[str, Mapping[str, Any]] = ready["functions"]
        """`trigger`, `methods` and `url` by function name."""
        self.keys = keys
        self._session = requests.Session()
        self._session.trust_env = False

    def call(
        self,
        method: str,
        route: str,
        *,
        function: str | None = None,
        headers: Mapping[str, str] | None = None,
        **content: Any,  # noqa: ANN401 - passed on to requests
    ) -> requests.Response:
        """Call an HTTP function, with the key of `function` if it is given."""
        key = {"x-functions-key": self.keys.functions[function]} if function else {}
        url = f"{self.url}/api/{route}"
        return self._session.request(
            method, url, headers={**key, **(headers or {})}, timeout=REQUEST_TIMEOUT_SECONDS, **content
        )

    def add_device_token(self, body: Mapping[str, Any]) -> requests.Response:
        """Register a device."""
        return self.call("POST", "add_device_token", function="AddDeviceToken", json=body)

    def get_device_registrations(self, acs_mri: str) -> requests.Response:
        """Look up a user's devices."""
        return self.call(
            "GET", "get_device_registrations", function="GetDeviceRegistrations", params={"acsMri": acs_mri}
        )

    def delete_device_registration(self, acs_mri: str, device_uuid: str) -> requests.Response:
        """Delete a device."""
        return self.call(
            "DELETE",
            "delete_device_registration",
            function="DeleteDeviceRegistration",
            params={"acsMri": acs_mri, "deviceUUID": device_uuid},
        )

    def report_call(self, body: Mapping[str, Any]) -> requests.Response:
        """Report how a call stands on a device."""
        return self.call("POST", "report_call", function="ReportCall", json=body)

    def run_now(self, timer: str) -> requests.Response:
        """Run a timer function, which goes on after the answer."""
        return self._session.post(
            str(self.functions[timer]["url"]),
            json={},
            headers={"x-functions-key": self.keys.master},
            timeout=REQUEST_TIMEOUT_SECONDS,
        )

    @property
    def webhook_url(self) -> str:
        """The URL for Event Grid, with the system key."""
        key = self.keys.system[EVENT_GRID_SYSTEM_KEY]
        return f"{self.url}/runtime/webhooks/EventGrid?functionName=IncomingCallEventHandler&code={key}"

    def deliver(self, *events: Mapping[str, Any], kind: str = "Notification") -> requests.Response:
        """Deliver events in one batch, as Event Grid does."""
        return self._session.post(
            self.webhook_url,
            json=list(events),
            headers={"aeg-event-type": kind},
            timeout=REQUEST_TIMEOUT_SECONDS,
        )

    def shake_hands(self, origin: str) -> requests.Response:
        """The handshake of a CloudEvents subscription."""
        return self._session.options(
            self.webhook_url, headers={"WebHook-Request-Origin": origin}, timeout=REQUEST_TIMEOUT_SECONDS
        )

    def close(self) -> None:
        """Stop it."""
        self._session.close()
        self.child.stop()


class Stack:
    """Starts everything on entering the `with` block and stops it on leaving."""

    def __init__(self, options: StackOptions | None = None) -> None:
        self.options = options or StackOptions()
        self.keys = self.options.keys or KeyRing.generate(FUNCTIONS, [EVENT_GRID_SYSTEM_KEY])
        self.hosts: list[Host] = []
        self._exit = ExitStack()

    @property
    def alerts_hub(self) -> str:
        """The hub that reaches an iPhone's second token."""
        return ALERTS_HUB if ALERTS_HUB in self.options.more_hubs else DEFAULT_HUB

    @property
    def host(self) -> Host:
        """The first host."""
        return self.hosts[0]

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            tell = self.options.tell
            tell("Starting the hub simulator ...")
            names = (DEVELOPMENT_HUB.hub_name, *self.options.more_hubs)
            simulator = python_module(
                "local.hub", *SIMULATOR_OPTIONS, *(f"--hub-name={name}" for name in names)
            )
            hub = starting.enter_context(Child.spawn("hub", simulator, directory=APP_DIRECTORY))
            tell("Starting the embedded MongoDB ...")
            self.database = starting.enter_context(
                EmbeddedDatabase(self.options.storage, test_commands=self.options.test_commands)
            )
            self.hub_url = str(hub.wait_for_ready(START_TIMEOUT_SECONDS)["url"])
            self.hub = starting.enter_context(ControlClient(self.hub_url))
            tell("Starting the Functions host with the real Python worker ...")
            for number in range(self.options.hosts):
                host = self.start_host(self.options.port if number == 0 else 0)
                self.hosts.append(host)
                starting.callback(host.close)
            self._exit = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.options.tell("Stopping everything ...")
        self._exit.close()
        self.hosts.clear()

    def start_host(self, port: int = 0, settings: Mapping[str, str] | None = None) -> Host:
        """Start another host over the same database and hub; the caller closes it.

        `settings` override those of the options.
        """
        command = python_module(
            self.options.host_module, "--port", str(port), "--log-level", self.options.log_level
        )
        if self.options.spans:
            command.append("--spans")
        child = Child.spawn(
            "host",
            command,
            environment={**self._environment(), **(settings or {})},
            directory=APP_DIRECTORY,
            on_line=self.options.on_line,
        )
        try:
            return Host(child, child.wait_for_ready(START_TIMEOUT_SECONDS), self.keys)
        except BaseException:
            child.stop()
            raise

    @property
    def settings(self) -> dict[str, str]:
        """The app's settings."""
        return {
            "ANHHubConnectionString": DEVELOPMENT_HUB.connection_string(),
            "ANHHubName": DEVELOPMENT_HUB.hub_name,
            **self.hub_urls(self.hub_url),
            "MongoDbConnectionString": self.database.uri,
            "DbName": DATABASE_NAME,
            **self._more_hubs(),
            **self.options.settings,
        }

    def hub_urls(self, simulator: str) -> dict[str, str]:
        """The settings that say where each hub is, for the simulator at this URL or a proxy before it."""
        default = {"ANHHubUrl": f"{simulator}/{DEVELOPMENT_HUB.hub_name}/messages/"}
        more = {
            HubSettingNames.of(name).url: f"{simulator}/{name}/messages/" for name in self.options.more_hubs
        }
        return default | more

    def _more_hubs(self) -> dict[str, str]:
        values: dict[str, str] = {}
        for name in self.options.more_hubs:
            names = HubSettingNames.of(name)
            values[names.connection_string] = development_hub(name).connection_string()
            values[names.hub_name] = name
        return values

    def _environment(self) -> dict[str, str]:
        """The app's settings, without those in the developer's own environment, nor any of telemetry."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not is_setting(name) and not name.upper().startswith(TELEMETRY_PREFIXES)
        }
        return {
            **kept,
            # A developer's proxy must not stand between processes of one machine.
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "PYTHON_THREADPOOL_THREAD_COUNT": str(THREADS),
            "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(BODY_LIMIT_BYTES),
            KEYS_VARIABLE: self.keys.to_json(),
            **self.settings,
        }
