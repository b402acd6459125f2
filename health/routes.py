"""The health functions, which need no key: `GET /api/health/live` and `GET /api/health/ready`.

Their answers name the first part that fails and no more. The log and the doctor give the reason.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.functions as func

from common.http import json_response, problem_response
from common.version import VERSION
from models.errors import NotReadyError

if TYPE_CHECKING:
    from health.readiness import Readiness


def live() -> func.HttpResponse:
    """200 as soon as the worker runs functions; nothing else is checked."""
    return json_response(200, {"status": "live", "version": VERSION})


def ready(readiness: "Readiness") -> func.HttpResponse:
    """200 if every part works; else 503 with a problem document whose `part` is the first that fails.

    `databaseSignIn` says in which way the app signs in to the database, where its settings tell.
    `clockAheadSeconds` is there only if this instance's clock is off, and `failingHubs` only if a named hub
    does not work; neither is a reason to fail.
    """
    state = readiness.state()
    more: dict[str, object] = {}
    if state.database_sign_in is not None:
        more["databaseSignIn"] = state.database_sign_in
    if state.clock_off_by_seconds is not None:
        more["clockAheadSeconds"] = state.clock_off_by_seconds
    if state.failing_hubs:
        more["failingHubs"] = list(state.failing_hubs)
    if state.failing is None:
        return json_response(200, {"status": "ready", "version": VERSION, **more})
    error = NotReadyError(f"The service cannot do its work now: {state.failing}.")
    return problem_response(error, part=state.failing, version=VERSION, **more)


def health_blueprint(readiness: "Callable[[], Readiness]") -> func.Blueprint:
    """The health functions; `readiness` is called at the first request."""
    blueprint = func.Blueprint()  # type: ignore[no-untyped-call]

    @blueprint.function_name("HealthLive")
    @blueprint.route(route="health/live", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
    def health_live(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the binding's signature
        return live()

    @blueprint.function_name("HealthReady")
    @blueprint.route(route="health/ready", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
    def health_ready(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
        return ready(readiness())

    return blueprint
