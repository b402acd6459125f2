"""What aiohttp's server may write about a request that is no HTTP."""

import logging

from aiohttp.http_exceptions import HttpProcessingError


class _QuotesNoRequest(logging.Filter):
    """Leaves out the parser's exception: it quotes the request line or header, and a key in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg = f"{record.msg}: {type(error).__name__}"
            record.exc_info = None
        return True


def keep_requests_out_of_the_log() -> None:
    """From now on a request that cannot be parsed is logged by the kind of its fault alone."""
    logging.getLogger("aiohttp.server").addFilter(_QuotesNoRequest())
