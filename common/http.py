"""Answers of the registrar: JSON, and problem documents as of RFC 9457."""

import json
from collections.abc import Mapping

import azure.functions as func

from models.errors import ServiceError

JSON_MIME_TYPE = "application/json"
PROBLEM_MIME_TYPE = "application/problem+json"


def json_response(status: int, body: Mapping[str, object]) -> func.HttpResponse:
    """Answer `body` as JSON."""
    return func.HttpResponse(_json(body), status_code=status, mimetype=JSON_MIME_TYPE, headers=_no_store())


def problem_response(error: ServiceError) -> func.HttpResponse:
    """Answer `error` as a problem document.

    Its members: `type`, `title`, `status`, `detail`, `code` (stable, for programs) and, where fields are to
    blame, `errors`, a list of `{"field", "detail"}`.
    """
    body: dict[str, object] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.http_status,
        "detail": error.detail,
        "code": error.code,
    }
    if error.errors:
        body["errors"] = [{"field": bad.field, "detail": bad.detail} for bad in error.errors]
    return func.HttpResponse(
        _json(body),
        status_code=error.http_status,
        mimetype=PROBLEM_MIME_TYPE,
        headers={**_no_store(), **error.headers},
    )


def _json(body: Mapping[str, object]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _no_store() -> dict[str, str]:
    # Device tokens shall not stay in a cache on the way.
    return {"Cache-Control": "no-store"}
