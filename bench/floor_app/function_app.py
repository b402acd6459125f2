"""The floor: a find, a write, a keep-alive `session.post` and a write, with the app's libraries; no more.

There is nothing in it that makes a push right: the body is a constant of the usual length, the SAS token is
made once, nothing is validated, bounded in time as a whole, retried or logged.
"""

import json
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import azure.functions as func
import requests
from pymongo import MongoClient
from pymongo.collection import Collection
from requests.adapters import HTTPAdapter

from bench.wire import sas_token, setting

app = func.FunctionApp()

_CONNECTIONS = 64
_BODY = json.dumps(
    {"aps": {}, "data": {"eventId": 107, "callId": str(uuid.uuid4()), "cp": "A" * 500}}
).encode()
_building = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Clients:
    devices: Collection[dict[str, Any]]
    ledger: Collection[dict[str, Any]]
    session: requests.Session
    url: str
    headers: dict[str, str]


@cache
def _build() -> _Clients:
    client: MongoClient[dict[str, Any]] = MongoClient(setting("MongoDbConnectionString"))
    database = client[setting("DbName")]
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS))
    headers = {
        "Authorization": sas_token(setting("ANHHubConnectionString"), setting("ANHHubName"), 86_400),
        "Content-Type": "application/json;charset=utf-8",
        "ServiceBusNotification-Format": "apple",
        "ServiceBusNotification-Apns-Push-Type": "voip",
    }
    url = f"{setting('ANHHubUrl')}?direct&api-version=2020-06"
    return _Clients(database["DeviceRegistrations"], database["FloorLedger"], session, url, headers)


@app.function_name("IncomingCallEventHandler")
@app.event_grid_trigger(arg_name="event")
def incoming_call_event_handler(event: str) -> None:
    """Ring the callee's first device."""
    with _building:
        clients = _build()
    given = json.loads(event)
    callee = given["data"]["to"]["rawId"]
    devices = list(clients.devices.find({"acsMri": callee, "expiresAt": {"$gt": datetime.now(UTC)}}))
    clients.ledger.insert_one({"_id": given["id"], "seen": datetime.now(UTC)})
    headers = {**clients.headers, "ServiceBusNotification-DeviceHandle": devices[0]["deviceToken"]}
    answer = clients.session.post(clients.url, data=_BODY, headers=headers, timeout=(2, 5))
    clients.ledger.update_one({"_id": given["id"]}, {"$set": {"status": answer.status_code}})
