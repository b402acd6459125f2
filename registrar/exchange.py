"""What the registrar's HTTP functions have in common: the body of a request, and the answer to an error."""

import logging
from collections.abc import Callable

import azure.functions as func

from common import telemetry
from common.http import problem_response
from models.errors import (
    ConfigurationError,
    FieldError,
    InvalidRequestError,
    RequestTooLargeError,
    ServiceError,
)
from models.validation import WHOLE_BODY


def read_body(request: func.HttpRequest, maximum_bytes: int) -> bytes:
    """The body of a request.

    Raises:
        RequestTooLargeError, InvalidRequestError: it is too large, or empty.
    """
    body: bytes = request.get_body()
    if len(body) > maximum_bytes:
        raise RequestTooLargeError(f"The body may have at most {maximum_bytes} bytes.")
    if not body:
        raise _empty_body(request.headers.get("content-length"))
    return body


def _empty_body(content_length: str | None) -> InvalidRequestError:
    """The error for a request without a body, or with one that the host has not passed on."""
    detail = "is empty; send a JSON object"
    if content_length is None:
        # The Functions host passes a Python function no chunked body. .NET's PostAsJsonAsync sends one.
        detail = (
            "arrived empty and without a Content-Length: the Functions host passes no chunked body on; send "
            "the body with a Content-Length"
        )
    return InvalidRequestError(f"The body {detail}.", errors=[FieldError(WHOLE_BODY, detail)])


def answer(function: str, work: Callable[[], func.HttpResponse]) -> func.HttpResponse:
    """The answer of `work`; a ServiceError becomes a problem document and, from 500 on, a log line."""
    try:
        return work()
    except ServiceError as error:
        if error.http_status >= 500:
            level = logging.ERROR if isinstance(error, ConfigurationError) else logging.WARNING
            telemetry.log(level, "request_failed", function=function, code=error.code, detail=error.detail)
        return problem_response(_public(error))


def _public(error: ServiceError) -> ServiceError:
    """The error without what only the log may say: which setting is wrong."""
    if isinstance(error, ConfigurationError):
        return ConfigurationError("An operator has to correct the service's settings; its log says which.")
    return error
