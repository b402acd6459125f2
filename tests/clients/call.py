"""Calls the registrar through the client that `openapi-python-client` generates, and prints what it answered.

Not a part of the test run's own environment: `tests/end_to_end/test_generated_clients.py` starts it.
"""

import json
import os
import sys
from typing import Any

from device_registrar_client import AuthenticatedClient, Client
from device_registrar_client.api.calls import report_call
from device_registrar_client.api.health import health_live, health_ready
from device_registrar_client.api.registrar import (
    add_device_token,
    delete_device_registration,
    delete_user_registrations,
    get_device_registrations,
)
from device_registrar_client.models import AddDeviceTokenRequest, ReportCallRequest

URL, KEY, MRI = (os.environ[name] for name in ("REGISTRAR_URL", "REGISTRAR_KEY", "REGISTRAR_MRI"))
TOKEN = "96d6bb5d412881d30046f5bf5616beaddf6aa4abe57987bccc4b5c23209dbb0c"


def request(token: str, purpose: str | None = None) -> AddDeviceTokenRequest:
    device = {
        "deviceUUID": "phone",
        "deviceToken": token,
        "platform": "apple",
        "purpose": purpose,
        "hub": None,
    }
    return AddDeviceTokenRequest.from_dict({"acsMri": MRI, "deviceInfos": [device], "ttlSeconds": None})


def report(call_id: str) -> ReportCallRequest:
    return ReportCallRequest.from_dict(
        {"acsMri": MRI, "deviceUUID": "phone", "callId": call_id, "state": "ringing"}
    )


def outcome(response: Any) -> dict[str, Any]:
    """Status and parsed body."""
    parsed = response.parsed
    return {"status": int(response.status_code), "body": parsed.to_dict() if parsed is not None else None}


def main() -> None:
    client = AuthenticatedClient(base_url=URL, token=KEY, prefix="", auth_header_name="x-functions-key")
    anonymous = Client(base_url=URL)
    answers = {
        "live": health_live.sync_detailed(client=anonymous),
        "ready": health_ready.sync_detailed(client=anonymous),
        "without a key": add_device_token.sync_detailed(client=anonymous, body=request(TOKEN)),
        "bad token": add_device_token.sync_detailed(client=client, body=request("null")),
        "added": add_device_token.sync_detailed(client=client, body=request(TOKEN)),
        "alerts": add_device_token.sync_detailed(client=client, body=request(TOKEN[::-1], "alerts")),
        "found": get_device_registrations.sync_detailed(client=client, acs_mri=MRI),
        "reported": report_call.sync_detailed(client=client, body=report(os.environ["RUNG_CALL"])),
        "no such call": report_call.sync_detailed(client=client, body=report("no-call")),
        "deleted": delete_device_registration.sync_detailed(client=client, acs_mri=MRI, device_uuid="phone"),
        "not found": get_device_registrations.sync_detailed(client=client, acs_mri=MRI),
        "wiped": delete_user_registrations.sync_detailed(client=client, acs_mri=MRI),
    }
    sys.stdout.write(json.dumps({name: outcome(answer) for name, answer in answers.items()}))


main()
