"""Access keys of requests, and the log line that says why a request was refused.

The Functions host answers 401, 404 and 400 without a reason, and so does this one: the reason is logged.
"""

import logging

from aiohttp import web

from local.host.keys import KeyRing

_log = logging.getLogger("local.host")
_SHOWN_PATH = 200


def presented_key(request: web.Request) -> str:
    """The header's key, even if it is empty, else the query's; the first one if it is repeated."""
    in_query = (value for name, value in request.query.items() if name.lower() == "code")
    return request.headers.get("x-functions-key", next(in_query, ""))


def refused(request: web.Request, status: int, reason: str) -> web.Response:
    """An answer without a body. The log line has the path but not the query, which may contain a key."""
    path = request.rel_url.raw_path[:_SHOWN_PATH]
    _log.warning("%s %s answered %s: %s", request.method, path, status, reason)
    return web.Response(status=status)


def wrong_key(request: web.Request, keys: KeyRing, needed: str) -> web.Response:
    """401; the log says which key the request had, without quoting it, and which it needs."""
    presented = presented_key(request)
    sent = keys.kind_of(presented) if presented else "no key (header x-functions-key or query parameter code)"
    return refused(request, 401, f"the request has {sent}; it needs {needed}")
