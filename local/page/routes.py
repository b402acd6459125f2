"""The page's HTTP side: its files, the stream of snapshots, and the orders that it may give."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from local.page.app_client import AppAnswer
from local.page.commands import (
    AnswerCall,
    BadCommandError,
    Order,
    PlaceCall,
    Redeliver,
    RegisterPhone,
    RemovePhone,
    SetHubMode,
    parse_order,
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


def create_app(switchboard: PageController, watcher: Watcher) -> web.Application:
    """The page as an aiohttp application."""
    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(add_headers)
    app.add_routes(
        [
            web.get("/", _file(_FILES / "index.html")),
            *(web.get(f"/{path.name}", _file(path)) for path in sorted(_FILES.iterdir())),
            web.get("/live", _live(watcher)),
            web.post("/phones", _order(RegisterPhone, _answered(switchboard.register))),
            web.post("/phones/removal", _order(RemovePhone, _answered(switchboard.remove))),
            web.post("/calls", _order(PlaceCall, _placed(switchboard))),
            web.post("/redeliveries", _order(Redeliver, _redelivered(switchboard))),
            web.post("/answers", _order(AnswerCall, _answer(switchboard))),
            web.post("/hub", _order(SetHubMode, _disturbed(switchboard))),
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
    """Server-sent events (WHATWG HTML, 9.2); a comment now and then finds out who has gone."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        await response.prepare(request)
        try:
            async for snapshot in watcher.snapshots(HEARTBEAT_SECONDS):
                await response.write(
                    b": still here\n\n" if snapshot is None else f"data: {snapshot}\n\n".encode()
                )
        except ConnectionError:
            pass  # the page was closed
        return response

    return stream


def _order[Kind: Order](
    kind: type[Kind], carry_out: Callable[[Kind], Awaitable[dict[str, object]]]
) -> _Handler:
    """Parse, carry out, answer JSON; 400 says what is wrong with the order."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return web.json_response(await carry_out(parse_order(kind, await request.read())))
        except BadCommandError as error:
            return web.json_response({"problem": str(error)}, status=400)

    return handle


def _answered[Kind: Order](
    ask: Callable[[Kind], Awaitable[AppAnswer]],
) -> Callable[[Kind], Awaitable[dict[str, object]]]:
    """What the app said, as data: its refusals are not this backend's."""

    async def carry_out(order: Kind) -> dict[str, object]:
        answer = await ask(order)
        return {"status": answer.status, "body": answer.body, "problem": answer.problem}

    return carry_out


def _placed(switchboard: PageController) -> Callable[[PlaceCall], Awaitable[dict[str, object]]]:
    async def carry_out(order: PlaceCall) -> dict[str, object]:
        call = switchboard.place(order)
        return {"eventId": call.event_id, "callId": call.call_id}

    return carry_out


def _redelivered(switchboard: PageController) -> Callable[[Redeliver], Awaitable[dict[str, object]]]:
    async def carry_out(order: Redeliver) -> dict[str, object]:
        call = switchboard.redeliver(order)
        return {"eventId": call.event_id, "callId": call.call_id}

    return carry_out


def _answer(switchboard: PageController) -> Callable[[AnswerCall], Awaitable[dict[str, object]]]:
    async def carry_out(order: AnswerCall) -> dict[str, object]:
        switchboard.answer(order)
        return {"answer": order.answer}

    return carry_out


def _disturbed(switchboard: PageController) -> Callable[[SetHubMode], Awaitable[dict[str, object]]]:
    async def carry_out(order: SetHubMode) -> dict[str, object]:
        await switchboard.disturb(order)
        return {"mode": order.mode}

    return carry_out
