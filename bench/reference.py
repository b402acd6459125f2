"""The reference way: the algorithm of Microsoft's C# sample, in Python.

A new database client for every event, one document a user, a SAS token for every event, a new HTTP connection
for every device, one device after the other. Three departures: the `ServiceBusNotification-Type` header is
left out, since the hub simulator refuses headers that the service does not document; the call context is not
logged; and the database client is closed, after the pushes. The C# driver shares connections between clients
of the same settings; pymongo does not.
"""

import base64
import json
import logging
from typing import Any

import requests
from pymongo import MongoClient

from bench.wire import sas_token, setting

COLLECTION_NAME = "DeviceTokensColl"
API_VERSION = "2015-01"

_log = logging.getLogger(__name__)


def ring(event: str) -> None:
    """Push an incoming call to every device of the callee."""
    url = f"{setting('ANHHubUrl')}?direct&api-version={API_VERSION}"
    given: dict[str, Any] = json.loads(event)
    callee: str = given["data"]["to"]["rawId"]
    client: MongoClient[dict[str, Any]] = MongoClient(setting("MongoDbConnectionString"))
    with client:
        users = list(client[setting("DbName")][COLLECTION_NAME].find({"_id": callee}))
        if len(users) != 1:
            _log.warning("No user registration info found")
            return
        token = sas_token(setting("ANHHubConnectionString"), setting("ANHHubName"))
        push = _push(given["data"])
        _log.info("CallId is: %s", push["data"]["callId"])
        for device in users[0]["deviceInfos"]:
            _send(url, token, device, push)


def _push(data: dict[str, Any]) -> dict[str, Any]:
    middle = data["incomingCallContext"].split(".")[1]
    context = json.loads(base64.b64decode(middle + "=" * (-len(middle) % 4)))
    info = {
        "eventId": 107,
        "cp": context["cc"],
        "callId": data["correlationId"],
        "recipientId": data["to"]["rawId"],
        "callerId": data["from"]["rawId"],
        "displayName": data["callerDisplayName"],
        "videoCall": "false",
    }
    return {"aps": {}, "data": info}


def _send(url: str, token: str, device: dict[str, str], push: dict[str, Any]) -> None:
    headers = {
        "Accept": "application/json",
        "Authorization": token,
        "Content-Type": "application/json; charset=utf-8",
        "ServiceBusNotification-Format": device["platform"],
        "ServiceBusNotification-DeviceHandle": device["deviceToken"],
    }
    if device["platform"] == "apple":
        headers["ServiceBusNotification-Apns-Push-Type"] = "voip"
    # `requests.post` makes a session, and so a connection, of its own.
    answer = requests.post(url, data=json.dumps(push), headers=headers, timeout=100)
    if answer.ok:
        _log.info("Successfully sent ANH push")
    else:
        _log.critical("Failed to send ANH push")
