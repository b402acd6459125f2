"""The page's HTTP interface: its files, the stream of snapshots, and its commands."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from local.page.app_client import AppAnswer
from local.page.commands import (
    ActOnCall,
    BadCommandError,
    ClearCalls,
    Command,
    ForgetDeadDevices,
    HangUp,
    PlaceCall,
    Redeliver,
    RegisterBrowser,
    RegisterPhone,
    RemovePhone,
    SetHubMode,
    SetOptions,
    UninstallApp,
    parse_command,
)
from local.page.controller import PageController
from local.page.guard import add_headers, guard
from local.page.watcher import Watcher

HEARTBEAT_SECONDS = 15.0
MAX_BODY_BYTES = 65_536

_FILES = Path(__file__).parent / "static"
_CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def create_app(controller: PageController, watcher: Watcher) -> web.Application:
    """The page as an aiohttp application."""
    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(add_headers)
    app.add_routes(
        [
            web.get("/", _file(_FILES / "index.html")),
            *(web.get(f"/{path.name}", _file(path)) for path in sorted(_FILES.iterdir())),
            web.get("/live", _live(watcher)),
            web.get(r"/pushes/{sequence:\d{1,9}}", _push(watcher)),
            web.post("/phones", _command(RegisterPhone, _answered(controller.register))),
            web.post("/phones/browser", _command(RegisterBrowser, _answered(controller.register_browser))),
            web.post("/phones/removal", _command(RemovePhone, _answered(controller.remove))),
            web.post("/phones/uninstallation", _command(UninstallApp, _uninstalled(controller))),
            web.post("/feedback", _command(ForgetDeadDevices, _answered(controller.forget_dead_devices))),
            web.post("/calls", _command(PlaceCall, _placed(controller))),
            web.post("/calls/end", _command(HangUp, _done(controller.calls.hang_up))),
            web.post("/calls/clear", _command(ClearCalls, _done(controller.calls.clear))),
            web.post("/redeliveries", _command(Redeliver, _done(controller.calls.redeliver))),
            web.post("/actions", _command(ActOnCall, _done(controller.calls.act))),
            web.post("/options", _command(SetOptions, _done(controller.set_options))),
            web.post("/hub", _command(SetHubMode, _hub_mode_set(controller))),
        ]
    )
    return app


type _Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _file(path: Path) -> _Handler:
    content = path.read_bytes()

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=_CONTENT_TYPES[path.suffix], charset="utf-8")

    return serve


def _live(watcher: Watcher) -> _Handler:
    """Server-sent events (WHATWG HTML, 9.2); a regular comment detects closed connections."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        await response.prepare(request)
        try:
            async for snapshot in watcher.snapshots(HEARTBEAT_SECONDS):
                await response.write(
                    b": heartbeat\n\n" if snapshot is None else f"data: {snapshot}\n\n".encode()
                )
        except ConnectionError:
            pass  # the page was closed
        return response

    return stream


def _push(watcher: Watcher) -> _Handler:
    """One push with its secrets masked; 404 if it is not kept any more."""

    async def serve(request: web.Request) -> web.Response:
        push = watcher.push(int(request.match_info["sequence"]))
        if push is None:
            return web.json_response({"problem": "The push is not kept any more."}, status=404)
        return web.json_response(text=push.model_dump_json(by_alias=True))

    return serve


def _command[Kind: Command](
    kind: type[Kind], carry_out: Callable[[Kind], Awaitable[dict[str, object]]]
) -> _Handler:
    """Parse, carry out, answer JSON; 400 says what is wrong with the command."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return web.json_response(await carry_out(parse_command(kind, await request.read())))
        except BadCommandError as error:
            return web.json_response({"problem": str(error)}, status=400)

    return handle


def _answered[Kind: Command](
    ask: Callable[[Kind], Awaitable[AppAnswer]],
) -> Callable[[Kind], Awaitable[dict[str, object]]]:
    """The app's answer as data: its refusals are not this backend's."""

    async def carry_out(command: Kind) -> dict[str, object]:
        answer = await ask(command)
        return {"status": answer.status, "body": answer.body, "problem": answer.problem}

    return carry_out


def _placed(controller: PageController) -> Callable[[PlaceCall], Awaitable[dict[str, object]]]:
    async def carry_out(command: PlaceCall) -> dict[str, object]:
        call = controller.calls.place(command)
        return {"eventId": call.incoming_call.id, "callId": call.call_id}

    return carry_out


def _done[Kind: Command](
    act: Callable[[Kind], object],
) -> Callable[[Kind], Awaitable[dict[str, object]]]:
    """What follows is in the next snapshot."""

    async def carry_out(command: Kind) -> dict[str, object]:
        act(command)
        return {}

    return carry_out


def _uninstalled(controller: PageController) -> Callable[[UninstallApp], Awaitable[dict[str, object]]]:
    async def carry_out(command: UninstallApp) -> dict[str, object]:
        await controller.uninstall(command)
        return {}

    return carry_out


def _hub_mode_set(controller: PageController) -> Callable[[SetHubMode], Awaitable[dict[str, object]]]:
    async def carry_out(command: SetHubMode) -> dict[str, object]:
        await controller.set_hub_mode(command)
        return {"mode": command.mode}

    return carry_out
