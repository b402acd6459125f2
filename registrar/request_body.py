"""The body of a request to the registrar."""

import azure.functions as func

from models.errors import FieldError, InvalidRequestError, RequestTooLargeError
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
