"""Two Python clients that only send: ours, and the public `notificationhubs-rest-python`."""

import importlib
import os
import socket
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app import App
from bench.remote import Stopwatch, Usage
from local.hub.config import DEVELOPMENT_HUB
from local.samples import CALLEE, CALLER, call_context_cp
from models.platform import Platform
from models.push import Outcome, OutcomeKind, PushNotificationInfo
from push.hub.exchange_loop import ExchangeLoop
from push.hub.payload import build_push
from push.side_by_side import SideBySide, Work, perform

_MOST_AT_ONCE = 64
_TIME_LEFT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Sends:
    """An order: push `count` times, `concurrency` at a time."""

    count: int
    concurrency: int


class Sender:
    """Sends one call's push again and again; its body is serialised anew for every send."""

    def __init__(self, send: Callable[[str], None]) -> None:
        """`send` pushes to the device token that it is given, or raises."""
        self._send = send
        self._pool = ThreadPoolExecutor(_MOST_AT_ONCE)

    def answer(self, order: Sends) -> Usage:
        """Send, on as many threads as there are to be sends at once."""
        tokens = [uuid.uuid4().hex * 2 for _ in range(order.count)]
        shares = [tokens[start :: order.concurrency] for start in range(order.concurrency)]
        watch = Stopwatch()
        list(self._pool.map(self._send_all, shares))
        return watch.usage()

    def _send_all(self, tokens: list[str]) -> None:
        for token in tokens:
            self._send(token)


def call_values() -> dict[str, str]:
    """What the push says."""
    call_id = str(uuid.uuid4())
    return {
        "cp": call_context_cp(call_id),
        "callId": call_id,
        "recipientId": CALLEE,
        "callerId": CALLER,
        "displayName": "Grace Hopper",
    }


class OurSender:
    """The app's hub client, as `app.py` puts it together from the environment's settings."""

    def __init__(self) -> None:
        """Build it."""
        app = App(os.environ)
        values = call_values()
        self._client = app.hubs.default.client
        self._app = app
        self._info = PushNotificationInfo(
            values["cp"], values["callId"], values["recipientId"], values["callerId"], values["displayName"]
        )

    def answer(self, order: Sends) -> Usage:
        """Send, as the app does it to one device, or to as many as are to be sent to at once."""
        tokens = [uuid.uuid4().hex * 2 for _ in range(order.count)]
        sends = SideBySide(self._app.pools, order.concurrency, ExchangeLoop)
        watch = Stopwatch()
        if order.concurrency == 1:
            outcomes = [perform(self._sending(token)) for token in tokens]
        else:
            done, _ = wait(sends.start(self._sending, tokens))
            outcomes = [future.result() for future in done]
        usage = watch.usage()
        sends.close()
        for outcome in outcomes:
            if outcome.kind is not OutcomeKind.ACCEPTED:
                raise RuntimeError(f"the hub answered: {outcome.reason}")
        return usage

    def _sending(self, token: str) -> Work[Outcome]:
        now = datetime.now(UTC)
        push = build_push(Platform.APPLE, self._info, now, now + timedelta(seconds=60))
        return (yield from self._client.sending(push, token, _TIME_LEFT_SECONDS))


def public_python_sender(port: int) -> Sender:
    """`notificationhubs-rest-python`, whose namespace's host name leads to the hub.

    It knows no other address than `https://` and the host of the connection string, so the resolver is told,
    in this process only, that this host is 127.0.0.1 and its port 443 the hub's. Its public method for
    Apple takes no headers, without which the push would be none that the hub accepts; the method behind it
    does, and is what is called.
    """
    _resolve(DEVELOPMENT_HUB.host, port)
    # Installed by `make bench` only; imported by name, since it has no types.
    module: Any = importlib.import_module("notificationhubs_rest_python.NotificationHub")
    client = module.AzureNotificationHub(DEVELOPMENT_HUB.connection_string(), DEVELOPMENT_HUB.hub_name)
    send_notification = client._AzureNotificationHub__send_notification  # noqa: SLF001
    values = call_values()

    def send(token: str) -> None:
        data = {"eventId": 107, **values, "videoCall": "false"}
        notification = module.AzureNotification("apple", {"aps": {}, "data": data})
        notification.headers = _apple_headers()
        send_notification(
            notification, is_direct=True, tag_or_tag_expression="", device_handle=token
        )  # raises on any answer but 201

    return Sender(send)


def _apple_headers() -> dict[str, str]:
    ends_at = datetime.now(UTC) + timedelta(seconds=60)
    return {
        "Content-type": "application/json;charset=utf-8",
        "apns-push-type": "voip",
        "ServiceBusNotification-Apns-Push-Type": "voip",
        "apns-priority": "10",
        "apns-expiration": str(int(ends_at.timestamp())),
        "ServiceBusNotification-Apns-Expiry": ends_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "TrackingId": str(uuid.uuid4()),
    }


def _resolve(host: str, port: int) -> None:
    """Have this process find `host` on this machine, whatever port it asks for."""
    original = socket.getaddrinfo

    def getaddrinfo(name: Any, service: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        if name == host:
            return original("127.0.0.1", port, *rest, **more)
        return original(name, service, *rest, **more)

    socket.getaddrinfo = getaddrinfo  # type: ignore[assignment] # its overloads cannot be written down here
