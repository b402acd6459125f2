"""Access keys of requests, and the log line that says why a request was refused.

The Functions host answers 401, 404 and 400 without a reason, and so does this one: the reason is logged. The
line quotes nothing of the request, which may contain a key.
"""

import logging

from aiohttp import web

from local.host.keys import KeyRing

_log = logging.getLogger("local.host")


def presented_key(request: web.Request) -> str:
    """The header's key, even if it is empty, else the query's; the first one if it is repeated."""
    in_query = (value for name, value in request.query.items() if name.lower() == "code")
    return request.headers.get("x-functions-key", next(in_query, ""))


def refused(what: str, status: int, reason: str) -> web.Response:
    """An answer without a body. `what` was requested: a route, as it is declared."""
    _log.warning("%s: answered %s, because %s", what, status, reason)
    return web.Response(status=status)


def wrong_key(what: str, key: str, keys: KeyRing, needed: str) -> web.Response:
    """401; the log says which key the request had, and which it needs."""
    sent = keys.kind_of(key) if key else "no key (header x-functions-key or query parameter code)"
    return refused(what, 401, f"the request has {sent}; it needs {needed}")
