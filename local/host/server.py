"""The HTTP side of the Azure Functions host, on loopback, over the real Python worker.

`python -m local.host --app-directory .` What it answers follows the sources of Azure/azure-functions-host
(routing, keys, `GrpcMessageConversionExtensions`) and of the Event Grid extension (`HttpRequestProcessor` and
`EventGridExtensionConfigProvider` in Azure/azure-sdk-for-net). Where it knowingly differs, a docstring says
so.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TextIO
from urllib.parse import unquote

from aiohttp import web

from local.host.event_grid import EventGridWebhook
from local.host.invocations import logged, presented_key
from local.host.keys import KeyRing, KeyRingError
from local.host.worker import (
    EVENT_GRID_TRIGGER,
    HTTP_TRIGGER,
    FunctionWorker,
    HttpAnswer,
    HttpCall,
    InvocationFailed,
    LoadedFunction,
    StartupError,
)
from local.server_log import keep_requests_out_of_the_log

LOOPBACK = "127.0.0.1"
KEYS_VARIABLE = "LOCAL_HOST_KEYS"
WEBHOOK_PATH = "/runtime/webhooks/EventGrid"
STATUS_PATH = "/admin/host/status"
MAX_BODY_BYTES = 104_857_600
"""The host's default limit for a request body, 100 MB (`FUNCTIONS_REQUEST_BODY_SIZE_LIMIT`)."""

MAX_HEADER_BYTES = 32_768
"""What the host's server takes (Kestrel's `MaxRequestHeadersTotalSize`)."""

STOP_GRACE = 5.0
"""Seconds that running invocations get when the host is stopped."""

_log = logging.getLogger("local.host")


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """Where one HTTP function answers; `methods` is empty for all of them, as when the trigger names none."""

    function: LoadedFunction
    path: str
    methods: frozenset[str]
    auth_level: str

    @classmethod
    def of(cls, function: LoadedFunction, prefix: str) -> Self:
        """Read the raw trigger binding: `route`, `methods`, `authLevel`; raises StartupError."""
        trigger = function.trigger
        route = str(trigger.get("route") or function.name).strip("/")
        if any(mark in route for mark in ("{*", ":", "?")):
            raise StartupError(f"the route {route!r} has more than plain {{parameters}}: not served locally")
        return cls(
            function=function,
            path="/" + "/".join(part for part in (prefix.strip("/"), route) if part),
            methods=frozenset(str(method).upper() for method in trigger.get("methods") or ()),
            auth_level=str(trigger.get("authLevel") or "function").lower(),
        )

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The route parameters if this request is the function's, else `None`; in any letter case."""
        expected, given = self.path.strip("/").split("/"), path.strip("/").split("/")
        if len(expected) != len(given) or (self.methods and method not in self.methods):
            return None
        parameters: dict[str, str] = {}
        for part, raw in zip(expected, given, strict=True):
            value = unquote(raw)
            if part.startswith("{") and part.endswith("}") and value:
                parameters[part[1:-1]] = value
            elif part.lower() != value.lower():
                return None
        return parameters


class FunctionsHost:
    """Answers the requests for the functions of one worker; an HTTP function without a key gets one."""

    def __init__(self, worker: FunctionWorker, keys: KeyRing, route_prefix: str = "api") -> None:
        http = [one for one in worker.functions if one.trigger_type == HTTP_TRIGGER]
        self.keys = keys.completed(one.name for one in http)
        self._worker = worker
        self._webhook = EventGridWebhook(worker, self.keys)
        # A literal route wins over one with parameters.
        self._routes = sorted(
            (HttpRoute.of(one, route_prefix) for one in http), key=lambda route: route.path.count("{")
        )
        for one in worker.functions:
            if one.trigger_type not in {HTTP_TRIGGER, EVENT_GRID_TRIGGER}:
                _log.warning("The function %s is not served: %s", one.name, one.trigger_type)

    def listing(self, url: str) -> dict[str, dict[str, Any]]:
        """`{function: {"trigger", "methods", "url"}}`, without keys; `["*"]` stands for any method."""
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
        return listed

    async def handle(self, request: web.Request) -> web.Response:
        """Any request: the webhook, the functions, then the host's own pages; a wrong method is a 404."""
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return web.Response(status=413)
        path = request.rel_url.raw_path.rstrip("/").lower()
        if path == WEBHOOK_PATH.lower():
            return await self._webhook.handle(request)
        for route in self._routes:
            parameters = route.match(request.method, request.rel_url.raw_path)
            if parameters is not None:
                return await self._call(request, route, parameters)
        return self._own_page(request, path)

    async def _call(
        self, request: web.Request, route: HttpRoute, parameters: Mapping[str, str]
    ) -> web.Response:
        if not self._may_call(route, presented_key(request)):
            return web.Response(status=401)
        call = HttpCall(
            method=request.method,
            url=f"{request.scheme}://{request.host}{request.raw_path}",
            headers=_joined(request.headers.items(), lower=True),
            # The host leaves out what has no value: `?a=` reaches the worker like nothing.
            query={name: value for name, value in _joined(request.query.items()).items() if value},
            route=parameters,
            body=await _body(request),
        )
        try:
            return _response(await logged(route.function, self._worker.invoke_http(route.function, call)))
        except InvocationFailed:
            return web.Response(status=500)

    def _may_call(self, route: HttpRoute, key: str) -> bool:
        match route.auth_level:
            case "anonymous":
                return True
            case "function":
                return self.keys.opens_function(key, route.function.name)
            case _:
                return self.keys.opens_admin(key)

    def _own_page(self, request: web.Request, path: str) -> web.Response:
        """The start page, open to all, and a cut-down status document, for the master key."""
        if path not in {"", STATUS_PATH} or request.method != "GET":
            return web.Response(status=404)
        if path == "":
            return web.Response(text="The development host for Azure Functions is running.\n")
        if not self.keys.opens_admin(presented_key(request)):
            return web.Response(status=401)
        return web.json_response({"id": "local", "state": "Running", "version": "4.0-local"})


def create_app(
    host: FunctionsHost,
    *,
    extra_routes: Iterable[web.AbstractRouteDef] = (),
    sub_apps: Mapping[str, web.Application] | None = None,
) -> web.Application:
    """The host as an aiohttp application; `extra_routes` and `sub_apps` (by path prefix) go before it."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.add_routes(extra_routes)
    for prefix, sub_app in (sub_apps or {}).items():
        app.add_subapp(prefix, sub_app)
    app.router.add_route("*", "/{path:.*}", host.handle)
    return app


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What the command line says; port 0 takes a free one, `show_keys` lists the keys in the log."""

    app_directory: Path
    port: int = 0
    show_keys: bool = False


async def serve(
    options: HostOptions,
    keys: KeyRing,
    *,
    ready_to: TextIO,
    extra_routes: Iterable[web.AbstractRouteDef] = (),
    sub_apps: Mapping[str, web.Application] | None = None,
) -> bool:
    """Load the app, listen, write the ready line to `ready_to`, and serve until SIGTERM or SIGINT.

    Returns whether every invocation ended within STOP_GRACE; raises StartupError.
    """
    prefix = _route_prefix(options.app_directory)
    worker = await FunctionWorker.start(options.app_directory)
    host = FunctionsHost(worker, keys, prefix)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    app = create_app(host, extra_routes=extra_routes, sub_apps=sub_apps)
    runner = web.AppRunner(
        app,
        access_log=None,  # it would show `?code=`
        auto_decompress=False,  # the host passes a compressed body on as it came
        max_field_size=MAX_HEADER_BYTES,
        shutdown_timeout=STOP_GRACE / 2,  # aiohttp waits twice: for the handlers, then for the connections
    )
    await runner.setup()
    try:
        url = await _listen(runner, options.port)
        if options.show_keys:
            _log.info("The keys, as %s takes them: %s", KEYS_VARIABLE, host.keys.to_json())
        ready = {"ready": True, "url": url, "functions": host.listing(url)}
        print(json.dumps(ready), file=ready_to, flush=True)
        await stopped.wait()
        _log.info("Stopping")
    finally:
        await runner.cleanup()
    return worker.stop(grace=1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 1 if the app cannot be served."""
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=parsed.log_level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    keep_requests_out_of_the_log()
    options = HostOptions(parsed.app_directory, parsed.port, parsed.show_keys)
    out = sys.stdout
    # Whatever the app prints belongs to the log: stdout is for the ready line alone.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            keys = KeyRing.from_json(os.environ.get(KEYS_VARIABLE, "{}"))
            all_ended = asyncio.run(serve(options, keys, ready_to=out))
        except (StartupError, KeyRingError, OSError) as error:
            print(f"{getattr(error, 'stack', '')}The host did not start: {error}", file=sys.stderr)
            return 1
    if not all_ended:
        _log.error("Some invocations were still running and are abandoned")
        logging.shutdown()
        # The interpreter itself would wait for the pool's threads, without limit.
        os._exit(1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.host", description="Serve a Functions app on loopback."
    )
    parser.add_argument("--app-directory", type=Path, default=Path(), help="where function_app.py is")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    parser.add_argument("--show-keys", action="store_true", help="list the access keys on stderr")
    return parser


async def _listen(runner: web.AppRunner, port: int) -> str:
    await web.TCPSite(runner, LOOPBACK, port).start()
    return f"http://{LOOPBACK}:{runner.addresses[0][1]}"


def _route_prefix(app_directory: Path) -> str:
    """`extensions.http.routePrefix` of the app's host.json; `api` where it says nothing."""
    try:
        settings = json.loads((app_directory / "host.json").read_text(encoding="utf-8"))
        return str(settings.get("extensions", {}).get("http", {}).get("routePrefix", "api"))
    except FileNotFoundError:
        return "api"
    except (ValueError, AttributeError) as error:
        raise StartupError(f"host.json cannot be read: {error}") from error


def _joined(pairs: Iterable[tuple[str, str]], *, lower: bool = False) -> dict[str, str]:
    """Names that repeat, in any letter case, become one, with ASP.NET's `StringValues.ToString()`: "a,b"."""
    spelled: dict[str, str] = {}
    joined: dict[str, str] = {}
    for name, value in pairs:
        key = spelled.setdefault(name.lower(), name.lower() if lower else name)
        joined[key] = f"{joined[key]},{value}" if key in joined else value
    return joined


async def _body(request: web.Request) -> bytes | None:
    """The host passes a body on only where a Content-Length announces it: a chunked one arrives empty."""
    return await request.read() if request.content_length else None


def _response(answer: HttpAnswer) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    response.headers.popall("Content-Type", None)
    for name, value in answer.headers:
        # The server frames the body itself.
        if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
            response.headers.add(name, value)
    return response
