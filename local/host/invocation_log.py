"""The log lines of an invocation."""

import logging
import time
from collections.abc import Awaitable
from uuid import uuid4

from local.host.worker import InvocationFailed, LoadedFunction

_log = logging.getLogger("local.host")


async def logged[Result](function: LoadedFunction, invocation: Awaitable[Result]) -> Result:
    """Log the start and the end of one invocation, with its exception, as the Functions host does."""
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
