"""`python -m local.demo`: three devices register; one call is answered, one is missed; each push is shown."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import requests
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.telemetry import fingerprint
from local import samples
from local.demo_pushes import pushes_of, shown_body, shown_headers
from local.page.pushes import PushKind
from local.process import ChildError
from local.samples import CALLEE, Phone
from local.stack import ALERTS_HUB, ALL_NOTIFICATIONS, Stack, StackOptions

_NAMES = {
    PushKind.RING: "rings",
    PushKind.STOP: "stops ringing",
    PushKind.MISSED: "shows a missed call",
}


class DemoError(Exception):
    """The app did not answer as expected; the message says how."""


class Demo:
    """The steps of the demo, each on a running stack."""

    def __init__(self, console: Console, stack: Stack) -> None:
        self._console = console
        self._stack = stack
        self._iphone, self._android, self._windows = samples.phones()

    @property
    def _devices(self) -> Sequence[Phone]:
        return self._iphone, self._android, self._windows

    def register(self) -> None:
        """Register the devices, the iPhone with its two tokens."""
        self._heading("Three devices register")
        for phone in self._devices:
            bodies = (phone.registration(CALLEE), phone.alerts_registration(CALLEE, self._stack.alerts_hub))
            for body in filter(None, bodies):
                answer = self._expect(
                    self._stack.host.add_device_token(body), 201, f"Registering the {phone.name}"
                )
                token = body["deviceInfos"][0]["deviceToken"]
                self._console.print(
                    f"  [green]201[/] {phone.name} registered as {answer['platform']} "
                    f"for {answer['purpose']} at the hub {answer['hub']} until {answer['expiresAt']} "
                    f"(token sha256:{fingerprint(token)})"
                )

    def subscribe(self) -> None:
        """Validate the subscription, as Event Grid does in either schema."""
        self._heading("Event Grid subscribes")
        host = self._stack.host
        validation = {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "id": "1"}
        event = {**validation, "data": {"validationCode": "demo-code"}}
        answer = self._expect(
            host.deliver(event, kind="SubscriptionValidation"), 200, "Validating the Event Grid subscription"
        )
        if answer != {"validationResponse": "demo-code"}:
            raise DemoError(f"Validating the Event Grid subscription: answered {str(answer)[:200]}")
        self._console.print("  [green]200[/] Event Grid subscription validated")
        response = host.shake_hands("eventgrid.azure.net")
        self._expect(response, 200, "Validating the CloudEvents subscription")
        self._console.print(
            f"  [green]200[/] CloudEvents origin {response.headers['WebHook-Allowed-Origin']} allowed"
        )

    def answered_call(self) -> None:
        """A call in the Event Grid schema; the user answers on the iPhone."""
        call = samples.incoming_call_data()
        self._call(samples.event_grid_event(call), call, "the Event Grid schema")
        self._heading("The user answers on the iPhone")
        report = {"acsMri": CALLEE, "deviceUUID": self._iphone.device_uuid, "callId": call["correlationId"]}
        before = time.perf_counter()
        self._expect(
            self._stack.host.report_call({**report, "state": "answered"}), 204, "Reporting the answer"
        )
        self._took("204", "ReportCall: answered", before)
        self._console.print(
            "  No stop push goes to an iPhone: iOS kills an app that gets a VoIP push and reports no call. "
            "It hears of the end from the call itself."
        )
        self._check(call, PushKind.STOP, (self._android, self._windows))

    def missed_call(self) -> None:
        """A call as CloudEvents; the caller hangs up."""
        call = samples.incoming_call_data(display_name="Katherine Johnson")
        self._call(samples.cloud_event(call), call, "CloudEvents 1.0")
        self._heading("The caller hangs up")
        ended = samples.cloud_event(samples.call_ended_data(call), kind=samples.CALL_ENDED)
        before = time.perf_counter()
        self._expect(self._stack.host.deliver(ended), 202, "Delivering CallEnded")
        # An event that the end may have overtaken is waited for.
        self._took("202", "CallEnded", before)
        self._check(call, PushKind.STOP, (self._android, self._windows))
        self._check(call, PushKind.MISSED, self._devices)

    def _call(self, event: Mapping[str, Any], call: Mapping[str, Any], schema: str) -> None:
        self._heading(f"A call in {schema}")
        before = time.perf_counter()
        self._expect(self._stack.host.deliver(event), 202, f"Delivering the call ({schema})")
        self._took("202", "IncomingCall", before)
        self._check(call, PushKind.RING, self._devices)

    def _check(self, call: Mapping[str, Any], kind: PushKind, wanted: Sequence[Phone]) -> None:
        """Show the call's pushes of one kind: exactly one for each wanted device, and none for the others."""
        table = Table("device", "format", "headers", "body", show_lines=True)
        for phone in self._devices:
            pushes = pushes_of(self._stack.hub.pushes(), call["correlationId"], phone, kind)
            if len(pushes) != (phone in wanted):
                times = f"{len(pushes)} {'time' if len(pushes) == 1 else 'times'}"
                expected = "once" if phone in wanted else "never"
                raise DemoError(f"The {phone.name} {_NAMES[kind]} {times}, not {expected}.")
            for push in pushes:
                name = f"{phone.name}\n{_NAMES[kind]} once"
                table.add_row(name, push.format, escape(shown_headers(push)), escape(shown_body(push)))
        self._console.print(table)

    def _expect(self, response: requests.Response, status: int, what: str) -> Any:  # noqa: ANN401 - any JSON
        if response.status_code != status:
            raise DemoError(f"{what}: expected {status}, got {response.status_code}: {response.text[:500]}")
        return response.json() if "json" in response.headers.get("Content-Type", "") else None

    def _heading(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/]")

    def _took(self, status: str, what: str, before: float) -> None:
        took = (time.perf_counter() - before) * 1_000
        self._console.print(f"  [green]{status}[/] {what}, answered after {took:.0f} ms")


def main() -> int:
    """Run the demo; 0 only if every device got exactly the pushes that it should get."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        options = StackOptions(settings=ALL_NOTIFICATIONS, more_hubs=(ALERTS_HUB,), tell=console.print)
        with Stack(options) as stack:
            demo = Demo(console, stack)
            demo.register()
            demo.subscribe()
            demo.answered_call()
            demo.missed_call()
            console.print(
                "\n[bold green]Every phone rang exactly once per call, those that did not answer stopped, "
                "and the missed call is shown.[/]"
            )
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
