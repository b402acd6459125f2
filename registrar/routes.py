"""The registrar's HTTP functions: names, methods and routes, and the answer to an error.

What they do is imported at the first request: most processes only ring.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.functions as func

from common import telemetry
from common.http import problem_response
from common.invocation import continued
from common.tracing import NOT_TRACED, Tracer
from models.errors import ConfigurationError, ServiceError

if TYPE_CHECKING:
    from registrar.registrations import Registrar
    from registrar.reports import Reports


def registrar_blueprint(
    registrar: "Callable[[], Registrar]", tracer: Callable[[], Tracer] = lambda: NOT_TRACED
) -> func.Blueprint:
    """The HTTP functions.

    Args:
        registrar: builds the registrar at the first request; a ServiceError from it is answered like any
            other.
        tracer: lets spans and log lines continue the trace of the invocation.
    """
    blueprint = func.Blueprint()  # type: ignore[no-untyped-call]

    @blueprint.function_name("AddDeviceToken")
    @blueprint.route(route="add_device_token", methods=["POST"])
    def add_device_token(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        with continued(tracer(), context):
            return answer("AddDeviceToken", lambda: registrar().add_device_token(req))

    @blueprint.function_name("GetDeviceRegistrations")
    @blueprint.route(route="get_device_registrations", methods=["GET"])
    def get_device_registrations(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        with continued(tracer(), context):
            return answer("GetDeviceRegistrations", lambda: registrar().get_device_registrations(req))

    @blueprint.function_name("DeleteDeviceRegistration")
    @blueprint.route(route="delete_device_registration", methods=["DELETE"])
    def delete_device_registration(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        with continued(tracer(), context):
            return answer("DeleteDeviceRegistration", lambda: registrar().delete_device_registration(req))

    @blueprint.function_name("DeleteUserRegistrations")
    @blueprint.route(route="delete_user_registrations", methods=["DELETE"])
    def delete_user_registrations(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        with continued(tracer(), context):
            return answer("DeleteUserRegistrations", lambda: registrar().delete_user_registrations(req))

    return blueprint


def reports_blueprint(
    reports: "Callable[[], Reports]", tracer: Callable[[], Tracer] = lambda: NOT_TRACED
) -> func.Blueprint:
    """The function.

    Args:
        reports: called at each request; a ServiceError from it is answered like any other.
        tracer: lets spans and log lines continue the trace of the invocation.
    """
    blueprint = func.Blueprint()  # type: ignore[no-untyped-call]

    @blueprint.function_name("ReportCall")
    @blueprint.route(route="report_call", methods=["POST"])
    def report_call(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        with continued(tracer(), context):
            return answer("ReportCall", lambda: reports().report_call(req))

    return blueprint


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
