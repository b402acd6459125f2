"""JSON answers, and problem documents as in RFC 9457."""

import json
from collections.abc import Mapping

import azure.functions as func

from models.errors import ServiceError

JSON_MIME_TYPE = "application/json"
PROBLEM_MIME_TYPE = "application/problem+json"

# Device tokens must not stay in a cache between app and client.
_NO_STORE = {"Cache-Control": "no-store"}


def json_response(status: int, body: Mapping[str, object]) -> func.HttpResponse:
    """An answer with a JSON body."""
    return func.HttpResponse(_json(body), status_code=status, mimetype=JSON_MIME_TYPE, headers=_NO_STORE)


def empty_response() -> func.HttpResponse:
    """204."""
    return func.HttpResponse(status_code=204, headers=_NO_STORE)


def problem_response(error: ServiceError, **extensions: object) -> func.HttpResponse:
    """An error as a problem document.

    Its members are `type`, `title`, `status`, `detail`, `code` (stable, for programs) and, where fields are
    wrong, `errors`: a list of `{"field", "detail"}`.

    Args:
        error: gives status, members and headers.
        extensions: further members.
    """
    body: dict[str, object] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.http_status,
        "detail": error.detail,
        "code": error.code,
        **extensions,
    }
    if error.errors:
        body["errors"] = [{"field": bad.field, "detail": bad.detail} for bad in error.errors]
    return func.HttpResponse(
        _json(body),
        status_code=error.http_status,
        mimetype=PROBLEM_MIME_TYPE,
        headers={**_NO_STORE, **error.headers},
    )


def _json(body: Mapping[str, object]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
