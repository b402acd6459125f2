"""What every invocation on the development host has: a key that was presented, and its lines in the log."""

import logging
import time
from collections.abc import Awaitable
from uuid import uuid4

from aiohttp import web

from local.host.worker import (
    InvocationFailed,
    LoadedFunction,
)

_log = logging.getLogger("local.host")


async def logged[Result](function: LoadedFunction, invocation: Awaitable[Result]) -> Result:
    """Log the beginning and the end of one invocation, with its exception, as the Functions host does."""
    invocation_id, began = uuid4(), time.monotonic()
    _log.info("Executing 'Functions.%s' (Id=%s)", function.name, invocation_id)

    def ended(how: str) -> str:
        milliseconds = round((time.monotonic() - began) * 1000)
        return f"Executed 'Functions.{function.name}' ({how}, Id={invocation_id}, Duration={milliseconds}ms)"

    try:
        result = await invocation
    except InvocationFailed as error:
        _log.error("%s\n%s\n%s", ended("Failed"), error.message, error.stack)
        raise
    _log.info("%s", ended("Succeeded"))
    return result


def presented_key(request: web.Request) -> str:
    """The header's key if there is such a header, even an empty one, else the query's; always the first."""
    in_query = (value for name, value in request.query.items() if name.lower() == "code")
    return request.headers.get("x-functions-key", next(in_query, ""))
