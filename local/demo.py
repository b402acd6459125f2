"""`python -m local.demo`: three phones register, two calls arrive, and the pushes of each phone are shown."""

import json
import sys
import time
from typing import Any

import requests
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.telemetry import fingerprint
from local.hub.records import ReceivedPush
from local.process import ChildError
from local.samples import CALLEE, Phone, cloud_event, event_grid_event, incoming_call_data, phones
from local.stack import Stack, StackOptions

_SECRET_KEYS = frozenset({"cp", "recipientId", "callerId"})


class DemoError(Exception):
    """The app did not answer as expected; the message says how."""


def _expect(response: requests.Response, status: int, what: str) -> None:
    if response.status_code != status:
        raise DemoError(f"{what}: expected {status}, got {response.status_code}: {response.text[:500]}")


def _register(console: Console, stack: Stack) -> tuple[Phone, ...]:
    devices = phones()
    for phone in devices:
        response = stack.host.add_device_token(phone.registration(CALLEE))
        _expect(response, 201, f"Registering the {phone.name}")
        answer = response.json()
        console.print(
            f"  [green]201[/] {phone.name} registered as {answer['platform']} until {answer['expiresAt']}"
            f" (token sha256:{fingerprint(phone.device_token)})"
        )
    return devices


def _subscribe(console: Console, stack: Stack) -> None:
    validation = {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "id": "1"}
    response = stack.host.deliver(
        {**validation, "data": {"validationCode": "demo-code"}}, kind="SubscriptionValidation"
    )
    _expect(response, 200, "Validating the Event Grid subscription")
    if response.json() != {"validationResponse": "demo-code"}:
        raise DemoError(f"Validating the Event Grid subscription: answered {response.text[:200]}")
    console.print("  [green]200[/] Event Grid subscription validated")
    response = stack.host.shake_hands("eventgrid.azure.net")
    _expect(response, 200, "Validating the CloudEvents subscription")
    console.print(f"  [green]200[/] CloudEvents origin {response.headers['WebHook-Allowed-Origin']} allowed")


def _call(
    console: Console, stack: Stack, devices: tuple[Phone, ...], event: dict[str, Any], schema: str
) -> None:
    call_id = event["data"]["correlationId"]
    before = time.perf_counter()
    response = stack.host.deliver(event)
    took = (time.perf_counter() - before) * 1_000
    _expect(response, 202, f"Delivering the call ({schema})")
    console.print(f"\n[bold]A call in {schema}[/], acknowledged with 202 after {took:.0f} ms")
    pushes = [push for push in stack.hub.pushes() if push.call_id == call_id]
    table = Table("phone", "format", "headers", "body", show_lines=True)
    for phone in devices:
        rung = [push for push in pushes if push.device_handle == phone.device_token]
        if len(rung) != 1:
            raise DemoError(f"The {phone.name} rang {len(rung)} times for the call ({schema}), not once.")
        table.add_row(f"{phone.name}\nrang once", rung[0].format, _headers(rung[0]), _masked(rung[0].body))
    console.print(table)
    if len(pushes) != len(devices):
        raise DemoError(f"The hub accepted {len(pushes)} pushes for {len(devices)} phones ({schema}).")


def _headers(push: ReceivedPush) -> str:
    shown = ("apns-", "x-wns-", "content-type", "servicebusnotification-apns-")
    wanted = {name: value for name, value in push.headers.items() if name.lower().startswith(shown)}
    return "\n".join(f"{name}: {value}" for name, value in wanted.items())


def _masked(body: str) -> str:
    """The body as indented JSON, with secrets and personal data as fingerprints."""

    def mask(value: Any, key: str = "") -> Any:  # noqa: ANN401 - any JSON
        if isinstance(value, dict):
            return {name: mask(inner, name) for name, inner in value.items()}
        return f"sha256:{fingerprint(value)}" if key in _SECRET_KEYS else value

    return json.dumps(mask(json.loads(body)), indent=1, ensure_ascii=False)


def main() -> int:
    """Run the demo; 0 only if every phone rang exactly once per call."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        with Stack(StackOptions(tell=console.print)) as stack:
            console.print("\n[bold]Three devices register[/]")
            devices = _register(console, stack)
            console.print("\n[bold]Event Grid subscribes[/]")
            _subscribe(console, stack)
            _call(console, stack, devices, event_grid_event(incoming_call_data()), "the Event Grid schema")
            _call(console, stack, devices, cloud_event(incoming_call_data()), "CloudEvents 1.0")
            console.print("\n[bold green]Every phone rang exactly once per call.[/]")
    except (DemoError, ChildError) as error:
        console.print(f"[bold red]The demo failed.[/] {escape(str(error))}")
        return 1
    except requests.RequestException as error:
        # Its message quotes the URL, and the webhook's URL contains the key.
        console.print(f"[bold red]The demo failed.[/] No answer on loopback: {type(error).__name__}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
