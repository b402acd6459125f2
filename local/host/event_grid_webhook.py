"""The webhook of the Event Grid extension: handshakes and deliveries.

The behaviour follows the extension's sources (`HttpRequestProcessor` and `EventGridExtensionConfigProvider`
in Azure/azure-sdk-for-net).
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from local.host.access import presented_key, refused, wrong_key
from local.host.invocation_log import logged
from local.host.keys import EVENT_GRID_SYSTEM_KEY, KeyRing
from local.host.worker import (
    EVENT_GRID_TRIGGER,
    FunctionWorker,
    InvocationFailed,
    LoadedFunction,
)

# The origins that the extension allows; it answers any other with the first, the public cloud's.
_EVENT_GRID_ORIGINS = (
    "eventgrid.azure.net",
    "eventgrid.azure.us",
    "eventgrid.azure.eaglex.ic.gov",
    "eventgrid.azure.microsoft.scloud",
    "eventgrid.azure.cn",
)


WEBHOOK_PATH = "/runtime/webhooks/EventGrid"


class EventGridWebhook:
    """The Event Grid extension's endpoint, for both schemas.

    The header `aeg-event-type` alone, in any case, decides what a request is. Event Grid sends it with
    CloudEvents too, so a CloudEvents delivery without it is 400. The content type is not read. Two answers
    differ from the extension's: a body that is not JSON objects is 400 (there an exception, 500), and the
    validation answer has the type `application/json` (there `text/plain`).
    """

    def __init__(self, worker: FunctionWorker, keys: KeyRing) -> None:
        self._worker = worker
        self._keys = keys
        self.functions = {one.name: one for one in worker.functions if one.trigger_type == EVENT_GRID_TRIGGER}

    async def handle(self, request: web.Request) -> web.Response:
        """Check the key, find the function by `functionName`, and act."""
        key = presented_key(request)
        if not self._keys.opens_webhook(key, EVENT_GRID_SYSTEM_KEY):
            needed = f"the system key {EVENT_GRID_SYSTEM_KEY} or the master key"
            return wrong_key(WEBHOOK_PATH, key, self._keys, needed)
        name = request.query.get("functionName", "")
        if name not in self.functions:
            known = ", ".join(self.functions)
            refused(
                WEBHOOK_PATH, 404, f"functionName is not an Event Grid function; there is {known or 'none'}"
            )
            return web.Response(status=404, text=f"cannot find function: '{name}'")
        if request.method == "OPTIONS":
            return _allowed(request.headers.get("WebHook-Request-Origin", ""))
        return await self._act(request, self.functions[name])

    async def _act(self, request: web.Request, function: LoadedFunction) -> web.Response:
        match request.headers.get("aeg-event-type", "").lower():
            case "subscriptionvalidation":
                return _validated(await _events(request))
            case "notification":
                events = await _events(request)
                if events is None:
                    return refused(WEBHOOK_PATH, 400, "the body is not a JSON object or an array of objects")
                return await self._deliver(function, events, request.headers.get("traceparent", ""))
            case "unsubscribe":
                return web.Response(status=202)
            case _:
                return refused(
                    WEBHOOK_PATH,
                    400,
                    "the header aeg-event-type is missing or unknown: "
                    "Notification, SubscriptionValidation or Unsubscribe",
                )

    async def _deliver(
        self, function: LoadedFunction, events: Sequence[Mapping[str, Any]], trace_parent: str
    ) -> web.Response:
        """One invocation per event, concurrently; one failure fails the whole batch when all have ended."""
        if all(await asyncio.gather(*(self._deliver_one(function, event, trace_parent) for event in events))):
            return web.Response(status=202)
        return web.Response(status=500, text=f"Exception while executing function: Functions.{function.name}")

    async def _deliver_one(
        self, function: LoadedFunction, event: Mapping[str, Any], trace_parent: str
    ) -> bool:
        try:
            await logged(function, self._worker.invoke_event_grid(function, event, trace_parent))
        except InvocationFailed:
            return False
        return True


async def _events(request: web.Request) -> list[dict[str, Any]] | None:
    """The events of a delivery: an array of objects, or one object (CloudEvents); else `None`."""
    try:
        parsed = json.loads(await request.read())
    except (ValueError, RecursionError):
        return None
    events = parsed if isinstance(parsed, list) else [parsed]
    return events if all(isinstance(event, dict) for event in events) else None


def _validated(events: Sequence[Mapping[str, Any]] | None) -> web.Response:
    """The handshake of the Event Grid schema: answer with the code of the first event."""
    try:
        data = (events or [])[0]["data"]
        # In a CloudEvent the data is JSON within JSON.
        code = (json.loads(data) if isinstance(data, str) else data)["validationCode"]
    except (LookupError, TypeError, ValueError):
        return refused(WEBHOOK_PATH, 400, "the first event has no data.validationCode")
    return web.json_response({"validationResponse": str(code)})


def _allowed(origin: str) -> web.Response:
    """The handshake of CloudEvents; the extension sends no `WebHook-Allowed-Rate`."""
    allowed = origin if origin in _EVENT_GRID_ORIGINS else _EVENT_GRID_ORIGINS[0]
    return web.Response(headers={"WebHook-Allowed-Origin": allowed})
