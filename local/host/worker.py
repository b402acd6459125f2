"""Drives the real Python worker library (`azure-functions-runtime`) as the Functions host does.

In Azure, the host talks over gRPC to a proxy that makes exactly these calls. Binding conversion, indexing and
the thread pool (`PYTHON_THREADPOOL_THREAD_COUNT`) are therefore the same as in Azure. The library keeps its
state in module globals: a process can load one function app.
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, Self
from uuid import uuid4

import azure_functions_runtime as runtime

from local.host import protos

HTTP_TRIGGER = "httpTrigger"
EVENT_GRID_TRIGGER = "eventGridTrigger"
TIMER_TRIGGER = "timerTrigger"

_TRACE_PARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class StartupError(Exception):
    """The function app cannot be loaded; `stack` is the worker's traceback, or empty."""

    def __init__(self, message: str, stack: str = "") -> None:
        super().__init__(message)
        self.stack = stack


class InvocationFailed(Exception):  # noqa: N818 - an outcome of the function
    """The function raised: `message` is `Type: text`, `stack` the traceback with its causes."""

    def __init__(self, message: str, stack: str) -> None:
        super().__init__(message)
        self.message = message
        self.stack = stack


@dataclass(frozen=True, slots=True)
class LoadedFunction:
    """One function of the app; `trigger` is its raw trigger binding: `type`, `name`, `route`, `methods`, …"""

    name: str
    function_id: str
    trigger: Mapping[str, Any]

    @property
    def trigger_type(self) -> str:
        """`httpTrigger`, `eventGridTrigger`, …"""
        return str(self.trigger["type"])


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A request as the host passes it to the worker.

    `url` is absolute, header names are lower-cased, `query` and `route` are decoded, `body` is `None` if
    there is none.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    route: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The function's answer; `headers` in its order, with cookies as `Set-Cookie`."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class FunctionWorker:
    """The worker with one function app loaded; `start` makes it, `stop` ends it."""

    def __init__(self, functions: tuple[LoadedFunction, ...]) -> None:
        self.functions = functions

    @classmethod
    async def start(cls, app_directory: Path) -> Self:
        """Import and index the app; raises StartupError.

        The directory becomes the working directory and the first entry of `sys.path`, as in Azure.
        """
        directory = app_directory.resolve()
        if not directory.is_dir():
            raise StartupError(f"the app directory {directory} does not exist")
        sys.path.insert(0, str(directory))
        os.chdir(directory)
        runtime.start_threadpool_executor()
        _check((await runtime.worker_init_request(_init_request(directory))).result)
        indexed = await runtime.functions_metadata_request(_request())
        _check(indexed.result)
        if not indexed.function_metadata_results:
            raise StartupError(f"no functions found in {directory}")
        return cls(tuple([await _load(one) for one in indexed.function_metadata_results]))

    async def invoke_http(self, function: LoadedFunction, call: HttpCall) -> HttpAnswer:
        """Run an HTTP function; raises InvocationFailed."""
        request = protos.RpcHttp(
            method=call.method,
            url=call.url,
            headers=call.headers,
            query=call.query,
            params=call.route,
            body=protos.TypedData(bytes=call.body),
        )
        trace_parent = call.headers.get("traceparent", "")
        return _answer(await self._invoke(function, protos.TypedData(http=request), trace_parent))

    async def invoke_event_grid(
        self, function: LoadedFunction, event: Mapping[str, Any], trace_parent: str = ""
    ) -> None:
        """Run an Event Grid function for one event, of either schema; raises InvocationFailed.

        `trace_parent`: of the request that delivered it.
        """
        # Compact and unescaped, as the host writes its JSON (`JObject.ToString(Formatting.None)`).
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        await self._invoke(function, protos.TypedData(json=text), trace_parent)

    async def invoke_timer(self, function: LoadedFunction, info: str) -> None:
        """Run a timer function; `info` is the extension's `TimerInfo` as JSON. Raises InvocationFailed."""
        await self._invoke(function, protos.TypedData(json=info))

    def stop(self, grace: float) -> bool:
        """End the thread pool; `False` if an invocation still runs after `grace` seconds."""
        # The library's call waits without a limit, so it runs on a thread that can be abandoned.
        stopping = Thread(target=runtime.stop_threadpool_executor, name="stop-thread-pool", daemon=True)
        stopping.start()
        stopping.join(grace)
        return not stopping.is_alive()

    async def _invoke(
        self, function: LoadedFunction, data: protos.TypedData, trace_parent: str = ""
    ) -> protos.TypedData | None:
        invocation = SimpleNamespace(
            invocation_id=str(uuid4()),
            function_id=function.function_id,
            input_data=[protos.ParameterBinding(name=function.trigger["name"], data=data)],
            trigger_metadata={},
            # As in Azure, where the host has a span for each invocation.
            trace_context=SimpleNamespace(
                trace_parent=_trace_parent(trace_parent), trace_state="", attributes={}
            ),
            retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=protos.RpcException()),
        )
        response = await runtime.invocation_request(_request(invocation_request=invocation))
        ended: protos.InvocationResponse = response
        if ended.result.status != protos.StatusResult.Success:
            raised = ended.result.exception or protos.RpcException(message="the worker gave no reason")
            raise InvocationFailed(raised.message, raised.stack_trace)
        return ended.return_value


def _trace_parent(of_request: str) -> str:
    """The host's span of an invocation, in the form of W3C's Trace Context.

    It belongs to the trace of the request that caused it; a request without a valid one begins a new trace.
    """
    given = _TRACE_PARENT.fullmatch(of_request)
    return f"00-{given[1] if given else uuid4().hex}-{uuid4().hex[:16]}-01"


def _request(**verbs: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(
        request=SimpleNamespace(**verbs), properties={"host": "127.0.0.1", "protos": protos}
    )


def _init_request(directory: Path) -> SimpleNamespace:
    return _request(
        worker_init_request=SimpleNamespace(capabilities={}, function_app_directory=str(directory))
    )


async def _load(indexed: protos.RpcFunctionMetadata) -> LoadedFunction:
    load = SimpleNamespace(function_id=indexed.function_id)
    _check((await runtime.function_load_request(_request(function_load_request=load))).result)
    bindings = [json.loads(raw) for raw in indexed.raw_bindings]
    trigger = next((one for one in bindings if one["type"].lower().endswith("trigger")), None)
    if trigger is None:
        raise StartupError(f"the function {indexed.name} has no trigger")
    return LoadedFunction(name=indexed.name, function_id=indexed.function_id, trigger=trigger)


def _check(result: protos.StatusResult) -> None:
    if result.status != protos.StatusResult.Success:
        raised = result.exception or protos.RpcException(message="the worker gave no reason")
        raise StartupError(raised.message, raised.stack_trace)


def _answer(returned: protos.TypedData | None) -> HttpAnswer:
    """An HTTP function returns a response, or text, which the host sends as 200."""
    if returned is None or returned.http is None:
        text = (returned and returned.string) or ""
        return HttpAnswer(200, (("Content-Type", "text/plain; charset=utf-8"),), text.encode())
    http = returned.http
    cookies = tuple(("Set-Cookie", _cookie(one)) for one in http.cookies or ())
    if not re.fullmatch(r"[1-5]\d\d", http.status_code):
        raise InvocationFailed(f"the function answered with status {http.status_code!r}", "")
    return HttpAnswer(int(http.status_code), tuple(http.headers.items()) + cookies, http.body.bytes or b"")


def _cookie(cookie: protos.RpcHttpCookie) -> str:
    """The value of a `Set-Cookie` header (RFC 6265)."""
    jar: SimpleCookie = SimpleCookie({cookie.name: cookie.value})
    morsel = jar[cookie.name]
    for attribute, wrapped in (
        ("domain", cookie.domain),
        ("path", cookie.path),
        ("secure", cookie.secure),
        ("httponly", cookie.http_only),
    ):
        if wrapped is not None and wrapped.value:
            morsel[attribute] = wrapped.value
    if cookie.max_age is not None:
        morsel["max-age"] = int(cookie.max_age.value)
    if cookie.expires is not None:
        moment = datetime.fromtimestamp(cookie.expires.value.seconds, UTC)
        morsel["expires"] = moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
    if cookie.same_site:
        morsel["samesite"] = cookie.same_site.name.removeprefix("Explicit")
    return morsel.OutputString()
