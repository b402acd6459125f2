"""The host's own routes under `/admin`, for the holder of the master key.

Source: "Manually run a non HTTP-triggered function", Microsoft Learn. Here only a timer function can be run:
the others have their routes.
"""

import json

from aiohttp import web

from local.host.access import presented_key, refused, wrong_key
from local.host.background import Background
from local.host.keys import KeyRing
from local.host.timers import Timers

ADMIN_PATH = "/admin/"
STATUS_PATH = "/admin/host/status"
_FUNCTIONS_PATH = "/admin/functions/"


def invoke_path(function: str) -> str:
    """Where a timer function is run now."""
    return _FUNCTIONS_PATH + function


class Admin:
    """Status of the host, and timer functions run now."""

    def __init__(self, timers: Timers, background: Background, keys: KeyRing) -> None:
        self._timers = timers
        self._background = background
        self._keys = keys

    async def answer(self, request: web.Request) -> web.Response:
        """A request whose path begins with ADMIN_PATH, in any case."""
        key = presented_key(request)
        if not self._keys.opens_admin(key):
            return wrong_key("an admin route", key, self._keys, "the master key")
        path = request.rel_url.path.rstrip("/").lower()
        if path == STATUS_PATH and request.method == "GET":
            return web.json_response({"id": "local", "state": "Running", "version": "4.0-local"})
        if path.startswith(_FUNCTIONS_PATH) and request.method == "POST":
            return await self._run(request, path.removeprefix(_FUNCTIONS_PATH))
        return refused("an admin route", 404, f"there is GET {STATUS_PATH} and POST {invoke_path('NAME')}")

    async def _run(self, request: web.Request, wanted: str) -> web.Response:
        """202 at once, as from the host: that the function fails is in its log."""
        name = next((each for each in self._timers.names if each.lower() == wanted), None)
        if name is None:
            known = ", ".join(self._timers.names) or "none"
            return refused(_FUNCTIONS_PATH, 404, f"it is no timer function; there is {known}")
        if not _is_object(await request.read()):
            return refused(_FUNCTIONS_PATH, 400, 'the body is not a JSON object: send {} or {"input": ""}')
        self._background.start(self._timers.invoke_now(name))
        return web.Response(status=202)


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False
