"""The registrar's HTTP functions: HTTP ⇄ models. Knows no pymongo.

Names, routes and fields are those of Microsoft's C# sample, so that its apps work unchanged.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import azure.functions as func

import telemetry
from clock import Clock
from models.device import (
    AddDeviceTokenRequest,
    DeviceQuery,
    DeviceRegistration,
    UserQuery,
    rfc3339,
)
from models.errors import ConfigurationError, RegistrationNotFoundError, ServiceError
from models.identity import Identity
from models.validation import parse_json, parse_query
from registrar.problem import json_response, problem_response


class DeviceBook(Protocol):
    """All that the registrar wants to know of the store."""

    def register(self, registration: DeviceRegistration, now: datetime) -> None:
        """Add, refresh or move a device token."""
        ...

    def devices_of(self, acs_mri: str, now: datetime) -> Sequence[DeviceRegistration]:
        """The unexpired devices of a user."""
        ...

    def delete(self, acs_mri: str, device_uuid: str, now: datetime) -> None:
        """Forget a device; RegistrationNotFoundError if the user has no such unexpired one."""
        ...


class Registrar:
    """Adds, looks up and deletes device registrations."""

    def __init__(self, store: DeviceBook, clock: Clock, default_ttl_seconds: int) -> None:
        """Take the store, and the life of a registration whose app asks for none."""
        self._store = store
        self._clock = clock
        self._default_ttl_seconds = default_ttl_seconds

    def add_device_token(self, request: func.HttpRequest) -> func.HttpResponse:
        """201 with when the registration ends, for a new and for a refreshed one."""
        wanted = parse_json(AddDeviceTokenRequest, request.get_body())
        now = self._clock.now()
        life = Identity.parse(wanted.acs_mri).time_to_live_seconds(
            wanted.ttl_seconds, self._default_ttl_seconds
        )
        registration = DeviceRegistration(
            acs_mri=wanted.acs_mri,
            device_uuid=wanted.device.device_uuid,
            device_token=wanted.device.device_token,
            platform=wanted.device.platform,
            expires_at=now.replace(microsecond=0) + timedelta(seconds=life),
        )
        self._store.register(registration, now)
        body = {
            "acsMri": registration.acs_mri,
            "deviceUUID": registration.device_uuid,
            "platform": registration.platform.value,
            "expiresAt": rfc3339(registration.expires_at),
        }
        return json_response(201, body)

    def get_device_registrations(self, request: func.HttpRequest) -> func.HttpResponse:
        """200 with the user's unexpired devices, 404 if there is none."""
        wanted = parse_query(UserQuery, request.params)
        devices = self._store.devices_of(wanted.acs_mri, self._clock.now())
        if not devices:
            raise RegistrationNotFoundError("The user has no unexpired registration.")
        infos = [
            {
                "deviceUUID": device.device_uuid,
                "deviceToken": device.device_token,
                "platform": device.platform.value,
                "expiresAt": rfc3339(device.expires_at),
            }
            for device in devices
        ]
        return json_response(200, {"acsMri": wanted.acs_mri, "deviceInfos": infos})

    def delete_device_registration(self, request: func.HttpRequest) -> func.HttpResponse:
        """200 if the device was forgotten, 404 if the user has no such unexpired one."""
        wanted = parse_query(DeviceQuery, request.params)
        self._store.delete(wanted.acs_mri, wanted.device_uuid, self._clock.now())
        return json_response(200, {"acsMri": wanted.acs_mri, "deviceUUID": wanted.device_uuid})


def registrar_blueprint(registrar: Callable[[], Registrar]) -> func.Blueprint:
    """The HTTP functions, over a registrar that is built on first use.

    Args:
        registrar: may raise a ServiceError, which is answered like any other.
    """
    blueprint = func.Blueprint()  # type: ignore[no-untyped-call]

    @blueprint.function_name("AddDeviceToken")
    @blueprint.route(route="add_device_token", methods=["POST"])
    def add_device_token(req: func.HttpRequest) -> func.HttpResponse:
        return answer("AddDeviceToken", lambda: registrar().add_device_token(req))

    @blueprint.function_name("GetDeviceRegistrations")
    @blueprint.route(route="get_device_registrations", methods=["GET"])
    def get_device_registrations(req: func.HttpRequest) -> func.HttpResponse:
        return answer("GetDeviceRegistrations", lambda: registrar().get_device_registrations(req))

    @blueprint.function_name("DeleteDeviceRegistration")
    @blueprint.route(route="delete_device_registration", methods=["DELETE"])
    def delete_device_registration(req: func.HttpRequest) -> func.HttpResponse:
        return answer("DeleteDeviceRegistration", lambda: registrar().delete_device_registration(req))

    return blueprint


def answer(function: str, work: Callable[[], func.HttpResponse]) -> func.HttpResponse:
    """Do `work`; an error of ours becomes a problem document and, where an operator has to know, a line."""
    try:
        return work()
    except ServiceError as error:
        if error.http_status >= 500:
            level = logging.ERROR if isinstance(error, ConfigurationError) else logging.WARNING
            telemetry.log(level, "request_failed", function=function, code=error.code, detail=error.detail)
        return problem_response(_public(error))


def _public(error: ServiceError) -> ServiceError:
    """What a caller may hear: which setting is wrong is for the operator's log alone."""
    if isinstance(error, ConfigurationError):
        return ConfigurationError("An operator has to correct the service's settings; its log says which.")
    return error
