"""What `make run` prints once everything runs (pure)."""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.hub.records import PlatformOutcome
from local.samples import CALLEE, phones
from local.stack import APP_DIRECTORY, DATABASE_NAME, Host, Stack


def function_list(functions: Mapping[str, Mapping[str, Any]]) -> str:
    """The functions with their routes, in the form of `func start`."""
    lines = ["Functions:", ""]
    for name, function in functions.items():
        is_http = function["trigger"] == "httpTrigger"
        what = f"[{','.join(function['methods'])}] {function['url']}" if is_http else function["trigger"]
        lines += [f"        {name}: {what}", ""]
    return "\n".join(lines)


def run_text(stack: Stack, page_url: str, settings_file: Path) -> str:
    """Addresses, the host key, and commands that can be pasted into a shell in any folder."""
    host = stack.host
    return f"""
{function_list(host.functions)}
Page       {page_url}/
Host key   {stack.keys.host}   (for every function; the same at the next start)
Hub        {stack.hub_url}   (simulator; control API under /simulator/){_more_hubs(stack)}
Database   {stack.database.uri}   (database {DATABASE_NAME!r})
Settings   {settings_file}   (while this runs)
{_commands(stack, host, settings_file)}
Ctrl-C stops everything.
"""


def _commands(stack: Stack, host: Host, settings_file: Path) -> str:
    phone = phones()[0]
    key = f"-H 'x-functions-key: {stack.keys.host}'"
    body = json.dumps(phone.registration(CALLEE))
    gone = json.dumps({"deviceHandle": phone.device_token, "outcome": PlatformOutcome.EXPIRED_CHANNEL})
    query = f"acsMri={CALLEE}&deviceUUID={phone.device_uuid}"
    python = f"cd {shlex.quote(str(APP_DIRECTORY))} && {shlex.quote(sys.executable)} -m"
    return f"""
Register an iPhone:
  curl -i '{host.url}/api/add_device_token' {key} \\
    -H 'Content-Type: application/json' -d '{body}'

Look up the user's devices:
  curl -i '{host.url}/api/get_device_registrations?acsMri={CALLEE}' {key}

Place a call (make an IncomingCall event and deliver it as Event Grid does):
  ({python} local.event '{CALLEE}') | curl -i '{host.webhook_url}' \\
    -H 'aeg-event-type: Notification' -H 'Content-Type: application/json' -d @-

Show the pushes that the hub accepted:
  curl -s '{stack.hub_url}/simulator/pushes'

Let the hub fail twice, and delay its answers:
  curl -i '{stack.hub_url}/simulator/faults' -d '{{"kind": "status", "status": 503, "times": 2}}'
  curl -i -X PUT '{stack.hub_url}/simulator/latency' -d '{{"delaySeconds": 2}}'

Examine settings, hub and database with the doctor:
  ({python} doctor check --settings {shlex.quote(str(settings_file))})

Uninstall the app on the iPhone (its next push fails, and the hub's feedback names it):
  curl -i -X PUT '{stack.hub_url}/simulator/outcomes' -d '{gone}'
{_timers(host)}
Delete the iPhone:
  curl -i -X DELETE '{host.url}/api/delete_device_registration?{query}' {key}
"""


def _more_hubs(stack: Stack) -> str:
    return "".join(
        f'\n           {name}: a hub of its own, for registrations with "hub": "{name}"'
        for name in stack.options.more_hubs
    )


def _timers(host: Host) -> str:
    """How to run each timer function now; empty if there is none."""
    options = f"-H 'x-functions-key: {host.keys.master}' -H 'Content-Type: application/json' -d '{{}}'"
    timers = [(name, one["url"]) for name, one in host.functions.items() if one["trigger"] == "timerTrigger"]
    return "".join(f"\nRun {name} now:\n  curl -i '{url}' {options}\n" for name, url in timers)
