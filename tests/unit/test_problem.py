"""The registrar's answers: JSON, and problem documents as of RFC 9457."""

import json
from typing import Any

import azure.functions as func
import pytest

from common.http import json_response, problem_response
from models.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    FieldError,
    InvalidRequestError,
    RegistrationNotFoundError,
    ServiceError,
)


def document(response: func.HttpResponse) -> dict[str, Any]:
    body = json.loads(response.get_body())
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (InvalidRequestError("Say it again."), 400, "invalid_request", None),
        (RegistrationNotFoundError("Say it again."), 404, "registration_not_found", None),
        (DatabaseUnavailableError("Say it again."), 503, "database_unavailable", "5"),
        (ConfigurationError("Say it again."), 503, "misconfigured", "60"),
        (ServiceError("Say it again."), 500, "internal_error", None),
    ],
)
def test_problem(error: ServiceError, status: int, code: str, retry_after: str | None) -> None:
    """Status, title, detail and a stable code; `Retry-After` where trying again makes sense."""
    response = problem_response(error)
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert document(response) == {
        "type": "about:blank",
        "title": error.title,
        "status": status,
        "detail": "Say it again.",
        "code": code,
    }
    assert response.headers.get("Retry-After") == retry_after
    assert response.headers["Cache-Control"] == "no-store"


def test_bad_fields() -> None:
    """Where fields are to blame, all of them are listed."""
    errors = [FieldError("acsMri", "is missing"), FieldError("deviceInfos[0].platform", "must be Zoë's")]
    assert document(problem_response(InvalidRequestError("No.", errors=errors)))["errors"] == [
        {"field": "acsMri", "detail": "is missing"},
        {"field": "deviceInfos[0].platform", "detail": "must be Zoë's"},
    ]


def test_json() -> None:
    """A good answer is UTF-8 JSON that no cache keeps."""
    response = json_response(201, {"acsMri": "8:acs:Zoë"})
    assert (response.status_code, response.mimetype) == (201, "application/json")
    assert response.get_body() == '{"acsMri":"8:acs:Zoë"}'.encode()
    assert response.headers["Cache-Control"] == "no-store"
