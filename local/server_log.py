"""Keeps malformed requests out of aiohttp's log."""

import logging

from aiohttp.http_exceptions import HttpProcessingError


class _HideRequest(logging.Filter):
    """Drops the parser's exception: it quotes the request line or a header, which may contain a key."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg = f"{record.msg}: {type(error).__name__}"
            record.exc_info = None
        return True


def keep_requests_out_of_the_log() -> None:
    """Log only the type of the error of a malformed request from now on."""
    logging.getLogger("aiohttp.server").addFilter(_HideRequest())
