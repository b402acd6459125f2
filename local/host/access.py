"""The access key of a request."""

from aiohttp import web


def presented_key(request: web.Request) -> str:
    """The header's key, even if it is empty, else the query's; the first one if it is repeated."""
    in_query = (value for name, value in request.query.items() if name.lower() == "code")
    return request.headers.get("x-functions-key", next(in_query, ""))
