"""Answers HTTP requests as the Azure Functions host does, for the functions of one worker.

The behaviour follows the sources of Azure/azure-functions-host (routing, keys,
`GrpcMessageConversionExtensions`). A docstring says where it differs on purpose.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from local.host.access import presented_key, refused, wrong_key
from local.host.admin import ADMIN_PATH, Admin, invoke_path
from local.host.background import Background
from local.host.event_grid_webhook import WEBHOOK_PATH, EventGridWebhook
from local.host.http_route import HttpRoute
from local.host.invocation_log import logged
from local.host.keys import KeyRing
from local.host.timers import Timers
from local.host.worker import (
    EVENT_GRID_TRIGGER,
    HTTP_TRIGGER,
    TIMER_TRIGGER,
    FunctionWorker,
    HttpAnswer,
    HttpCall,
    InvocationFailed,
    LoadedFunction,
)

BODY_LIMIT_VARIABLE = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
DEFAULT_BODY_LIMIT = 104_857_600
"""The host's default limit for a request body in bytes, 100 MB."""

_log = logging.getLogger("local.host")


class FunctionsHost:
    """Routes requests to functions. An HTTP function without a key gets a random one."""

    def __init__(
        self,
        worker: FunctionWorker,
        keys: KeyRing,
        route_prefix: str = "api",
        body_limit: int = DEFAULT_BODY_LIMIT,
    ) -> None:
        """`body_limit`: bytes."""
        self.body_limit = body_limit
        http = [one for one in worker.functions if one.trigger_type == HTTP_TRIGGER]
        self.keys = keys.completed(one.name for one in http)
        self._worker = worker
        self._webhook = EventGridWebhook(worker, self.keys)
        self.background = Background()
        self.timers = Timers(worker.functions, self._run_timer, self.background, os.environ)
        self._admin = Admin(self.timers, self.background, self.keys)
        # A literal route takes precedence over one with parameters.
        self._routes = sorted(
            (HttpRoute.of(one, route_prefix) for one in http), key=lambda route: route.path.count("{")
        )
        for one in worker.functions:
            if one.trigger_type not in {HTTP_TRIGGER, EVENT_GRID_TRIGGER, TIMER_TRIGGER}:
                _log.warning("The function %s is not served: %s", one.name, one.trigger_type)

    def listing(self, url: str) -> dict[str, dict[str, Any]]:
        """`{function: {"trigger", "methods", "url"}}`, without keys; `["*"]` means every method."""
        listed: dict[str, dict[str, Any]] = {}
        for route in self._routes:
            methods = sorted(route.methods) or ["*"]
            listed[route.function.name] = {
                "trigger": HTTP_TRIGGER,
                "methods": methods,
                "url": url + route.path,
            }
        for name in self._webhook.functions:
            webhook = f"{url}{WEBHOOK_PATH}?functionName={name}"
            listed[name] = {"trigger": EVENT_GRID_TRIGGER, "methods": ["OPTIONS", "POST"], "url": webhook}
        for name in self.timers.names:
            listed[name] = {"trigger": TIMER_TRIGGER, "methods": ["POST"], "url": url + invoke_path(name)}
        return listed

    async def handle(self, request: web.Request) -> web.Response:
        """Any request: the webhook, then the functions, then the host's own pages; a wrong method is 404."""
        if (request.content_length or 0) > self.body_limit:
            return refused("a request", 413, f"its body is larger than {self.body_limit} bytes")
        path = request.rel_url.raw_path.rstrip("/").lower()
        if path == WEBHOOK_PATH.lower():
            return await self._webhook.handle(request)
        for route in self._routes:
            parameters = route.match(request.method, request.rel_url.raw_path)
            if parameters is not None:
                return await self._call(request, route, parameters)
        if path == "" and request.method == "GET":
            return web.Response(text="The development host for Azure Functions is running.\n")
        if f"{path}/".startswith(ADMIN_PATH):
            return await self._admin.answer(request)
        return self._not_found(request)

    def _not_found(self, request: web.Request) -> web.Response:
        for route in self._routes:
            if any(route.match(method, request.rel_url.raw_path) is not None for method in route.methods):
                return refused(route.path, 404, f"it is served for {', '.join(sorted(route.methods))} only")
        return refused("a request", 404, "no function has its route")

    async def _call(
        self, request: web.Request, route: HttpRoute, parameters: Mapping[str, str]
    ) -> web.Response:
        key = presented_key(request)
        if not self._may_call(route, key):
            own = f"the key of {route.function.name}, the host key or the master key"
            needed = own if route.auth_level == "function" else "the master key"
            return wrong_key(route.path, key, self.keys, needed)
        call = HttpCall(
            method=request.method,
            url=f"{request.scheme}://{request.host}{request.raw_path}",
            headers=_joined(request.headers.items(), lower=True),
            # The host drops names without a value: `?a=` does not reach the worker.
            query={name: value for name, value in _joined(request.query.items()).items() if value},
            route=parameters,
            body=await _body(request),
        )
        try:
            return _response(await logged(route.function, self._worker.invoke_http(route.function, call)))
        except InvocationFailed:
            return web.Response(status=500)

    async def _run_timer(self, function: LoadedFunction, info: str) -> None:
        await logged(function, self._worker.invoke_timer(function, info))

    def _may_call(self, route: HttpRoute, key: str) -> bool:
        match route.auth_level:
            case "anonymous":
                return True
            case "function":
                return self.keys.opens_function(key, route.function.name)
            case _:
                return self.keys.opens_admin(key)


def body_limit(environment: Mapping[str, str]) -> int:
    """The limit for a request body in bytes; as in the host, the default if the setting is not a number."""
    try:
        return int(environment.get(BODY_LIMIT_VARIABLE, ""))
    except ValueError:
        return DEFAULT_BODY_LIMIT


def create_app(host: FunctionsHost) -> web.Application:
    """The host as an aiohttp application."""
    app = web.Application(client_max_size=host.body_limit)
    app.router.add_route("*", "/{path:.*}", host.handle)
    return app


def _joined(pairs: Iterable[tuple[str, str]], *, lower: bool = False) -> dict[str, str]:
    """Repeated names, in any case, are joined as ASP.NET's `StringValues.ToString()` does: "a,b"."""
    spelled: dict[str, str] = {}
    joined: dict[str, str] = {}
    for name, value in pairs:
        key = spelled.setdefault(name.lower(), name.lower() if lower else name)
        joined[key] = f"{joined[key]},{value}" if key in joined else value
    return joined


async def _body(request: web.Request) -> bytes | None:
    """The host passes on a body that has a Content-Length only: a chunked one arrives empty."""
    return await request.read() if request.content_length else None


def _response(answer: HttpAnswer) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    response.headers.popall("Content-Type", None)
    for name, value in answer.headers:
        # aiohttp sets these itself.
        if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
            response.headers.add(name, value)
    return response
