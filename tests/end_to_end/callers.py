"""Calls of the registrar with a key, with a bearer token, or without either."""

from collections.abc import Mapping
from typing import Any

import requests

from local.stack import Host

FUNCTIONS = {
    "AddDeviceToken": ("POST", "add_device_token"),
    "GetDeviceRegistrations": ("GET", "get_device_registrations"),
    "DeleteDeviceRegistration": ("DELETE", "delete_device_registration"),
    "DeleteUserRegistrations": ("DELETE", "delete_user_registrations"),
    "ReportCall": ("POST", "report_call"),
}

DEVICE = "phone-1"


def device_token(acs_mri: str) -> str:
    """A token per user that can be searched for in a log."""
    return f"secret-device-token-{acs_mri[-12:]}"


def call(
    host: Host, function: str, acs_mri: str, headers: Mapping[str, str], device_uuid: str = DEVICE
) -> requests.Response:
    """Call a function for a user; a report is of a call that has not rung."""
    method, route = FUNCTIONS[function]
    if function == "ReportCall":
        report = {"acsMri": acs_mri, "deviceUUID": device_uuid, "callId": "no-call", "state": "answered"}
        return host.call(method, route, headers=headers, json=report)
    if function == "AddDeviceToken":
        device = {"deviceUUID": device_uuid, "deviceToken": device_token(acs_mri), "platform": "android"}
        body: dict[str, Any] = {"acsMri": acs_mri, "deviceInfos": [device]}
        return host.call(method, route, headers=headers, json=body)
    params = {"acsMri": acs_mri, "deviceUUID": device_uuid}
    return host.call(method, route, headers=headers, params=params)


def bearer(token: str) -> dict[str, str]:
    """The header with a bearer token."""
    return {"Authorization": f"Bearer {token}"}


def problem(response: requests.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer (RFC 9457), checked for status and code."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"].split(";")[0] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert (document["status"], document["code"]) == (status, code)
    return document
