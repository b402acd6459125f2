"""The health functions: `GET /api/health/live` and `GET /api/health/ready`, open to everybody.

They say no more than a stranger may know: the name of the first part that fails. The log and the doctor say
why.
"""

import json
from collections.abc import Callable, Mapping

import azure.functions as func

from health.readiness import Readiness

RETRY_AFTER_SECONDS = 5


def live() -> func.HttpResponse:
    """200 as soon as the worker runs functions at all; nothing else is looked at."""
    return _answer(200, {"status": "live"})


def ready(readiness: Readiness) -> func.HttpResponse:
    """200 if every part works, else 503 with a problem document (RFC 9457) whose `part` names the first."""
    failing = readiness.state().failing
    if failing is None:
        return _answer(200, {"status": "ready"})
    problem = {
        "type": "about:blank",
        "title": "Not ready",
        "status": 503,
        "detail": f"The service cannot do its work now: {failing}.",
        "code": "not_ready",
        "part": failing,
    }
    return _answer(503, problem, "application/problem+json", {"Retry-After": str(RETRY_AFTER_SECONDS)})


def _answer(
    status: int,
    body: Mapping[str, object],
    mimetype: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> func.HttpResponse:
    return func.HttpResponse(
        json.dumps(body, separators=(",", ":")),
        status_code=status,
        mimetype=mimetype,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def health_blueprint(readiness: Callable[[], Readiness]) -> func.Blueprint:
    """The health functions, over a readiness that is built on first use."""
    blueprint = func.Blueprint()  # type: ignore[no-untyped-call]

    @blueprint.function_name("HealthLive")
    @blueprint.route(route="health/live", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
    def health_live(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the binding's signature
        return live()

    @blueprint.function_name("HealthReady")
    @blueprint.route(route="health/ready", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
    def health_ready(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
        return ready(readiness())

    return blueprint
