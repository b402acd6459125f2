"""`python -m local`: the app on port 7071 with all that it needs, until Ctrl-C."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from local.page import running_page
from local.page.host_lines import HostLines
from local.page.running_page import PageError, RunningPage
from local.process import ChildError
from local.samples import CALLEE, phones
from local.stack import Stack, StackOptions

DEFAULT_PORT = 7071
"""The one that `func start` takes."""


def _curl_lines(stack: Stack, page: RunningPage) -> str:
    host, phone = stack.host, phones()[0]
    keys = stack.keys.functions
    query = f"acsMri={CALLEE}&deviceUUID={phone.device_uuid}"
    body = str(phone.registration(CALLEE)).replace("'", '"')
    return f"""
See it ring in a browser: {page.url}/

The app listens on {host.url}; the hub simulator on {stack.hub_url}. Ctrl-C stops everything.

Register an iPhone:
  curl -i -X POST '{host.url}/api/add_device_token' \\
    -H 'x-functions-key: {keys["AddDeviceToken"]}' -H 'Content-Type: application/json' \\
    -d '{body}'

Look the user's devices up:
  curl -i '{host.url}/api/get_device_registrations?acsMri={CALLEE}' \\
    -H 'x-functions-key: {keys["GetDeviceRegistrations"]}'

Place a call (writes an IncomingCall event and delivers it as Event Grid does):
  {sys.executable} -m local.event '{CALLEE}' | curl -i -X POST '{host.webhook_url}' \\
    -H 'aeg-event-type: Notification' -H 'Content-Type: application/json' -d @-

See what the phones received:
  curl -s '{stack.hub_url}/simulator/pushes'

Have the hub fail twice, or answer late:
  curl -i -X POST '{stack.hub_url}/simulator/faults' -d '{{"kind": "status", "status": 503, "times": 2}}'
  curl -i -X PUT '{stack.hub_url}/simulator/latency' -d '{{"delay_seconds": 2}}'

Delete the iPhone:
  curl -i -X DELETE '{host.url}/api/delete_device_registration?{query}' \\
    -H 'x-functions-key: {keys["DeleteDeviceRegistration"]}'
"""


def main() -> int:
    """Run the stack until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="of the Functions host; 0 takes a free one"
    )
    parser.add_argument(
        "--page-port",
        type=int,
        help=f"of the page; {running_page.DEFAULT_PORT} or a free one if left out, 0 takes a free one",
    )
    parser.add_argument("--storage", type=Path, help="keep the database's files here; thrown away otherwise")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    arguments = parser.parse_args()
    # Who leaves the app's port open does not want a fixed one for the page either.
    page_port = 0 if arguments.page_port is None and arguments.port == 0 else arguments.page_port
    stop, lines = threading.Event(), HostLines()

    def take_line(stream: str, line: str) -> None:
        lines(stream, line)
        if stream == "stderr":
            print(line, file=sys.stderr)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    options = StackOptions(
        port=arguments.port,
        storage=arguments.storage,
        log_level=arguments.log_level,
        on_line=take_line,
        tell=lambda text: print(text, flush=True),
    )
    try:
        with Stack(options) as stack, RunningPage(stack, lines, port=page_port) as page:
            print(_curl_lines(stack, page), flush=True)
            stop.wait()
    except (ChildError, PageError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
