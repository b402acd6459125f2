"""The registrar's HTTP functions: HTTP ⇄ models. Knows no pymongo.

Names, routes and fields are those of Microsoft's C# sample, so that its apps work unchanged.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import azure.functions as func

from common import telemetry
from common.clock import Clock
from common.http import json_response, problem_response
from models.device import (
    AddDeviceTokenRequest,
    DeviceQuery,
    DeviceRegistration,
    FieldLimits,
    UserQuery,
    rfc3339,
)
from models.errors import (
    ConfigurationError,
    RegistrationNotFoundError,
    RequestTooLargeError,
    ServiceError,
)
from models.identity import Identity
from models.validation import parse_json, parse_query
from registrar.access import Access
from registrar.rate import ChangeLimit


class DeviceBook(Protocol):
    """All that the registrar wants to know of the store."""

    def register(
        self, registration: DeviceRegistration, now: datetime, maximum_devices: int
    ) -> Sequence[str]:
        """Add, refresh or move a device token; the UUIDs of the devices that gave way to it."""
        ...

    def devices_of(self, acs_mri: str, now: datetime) -> Sequence[DeviceRegistration]:
        """The unexpired devices of a user."""
        ...

    def delete(self, acs_mri: str, device_uuid: str, now: datetime) -> None:
        """Forget a device; RegistrationNotFoundError if the user has no such unexpired one."""
        ...

    def delete_all(self, acs_mri: str) -> int:
        """Forget every device of a user; how many there were."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What a registration may be, and how much of it."""

    default_ttl_seconds: int
    """Life of a registration whose app asks for none."""
    devices_per_user: int
    body_bytes: int
    fields: FieldLimits = field(default_factory=FieldLimits)


class Registrar:
    """Adds, looks up and deletes device registrations.

    In every function the order is: who is calling, what does it want, may it, is it not too often; and only
    then the devices are looked at. So what a stranger hears depends on nothing that is stored.
    """

    def __init__(
        self, store: DeviceBook, access: Access, changes: ChangeLimit, clock: Clock, limits: Limits
    ) -> None:
        """Take ready collaborators."""
        self._store = store
        self._access = access
        self._changes = changes
        self._clock = clock
        self._limits = limits

    def add_device_token(self, request: func.HttpRequest) -> func.HttpResponse:
        """201 with when the registration ends, for a new and for a refreshed one."""
        caller = self._access.authenticate(request.headers)
        wanted = parse_json(AddDeviceTokenRequest, self._body(request), self._limits.fields)
        caller.check_may_act_for(wanted.acs_mri)
        now = self._clock.now()
        self._changes.count_change(wanted.acs_mri, now)
        registration = self._registration(wanted, now)
        displaced = self._store.register(registration, now, self._limits.devices_per_user)
        body: dict[str, object] = {
            "acsMri": registration.acs_mri,
            "deviceUUID": registration.device_uuid,
            "platform": registration.platform.value,
            "expiresAt": rfc3339(registration.expires_at),
        }
        if displaced:
            body["displacedDeviceUUIDs"] = displaced
        return json_response(201, body)

    def get_device_registrations(self, request: func.HttpRequest) -> func.HttpResponse:
        """200 with the user's unexpired devices, 404 if there is none."""
        caller = self._access.authenticate(request.headers)
        wanted = parse_query(UserQuery, request.params, self._limits.fields)
        caller.check_may_act_for(wanted.acs_mri)
        devices = self._store.devices_of(wanted.acs_mri, self._clock.now())
        if not devices:
            raise RegistrationNotFoundError("The user has no unexpired registration.")
        infos = [_info(device, with_token=caller.sees_device_tokens) for device in devices]
        return json_response(200, {"acsMri": wanted.acs_mri, "deviceInfos": infos})

    def delete_device_registration(self, request: func.HttpRequest) -> func.HttpResponse:
        """200 if the device was forgotten, 404 if the user has no such unexpired one."""
        caller = self._access.authenticate(request.headers)
        wanted = parse_query(DeviceQuery, request.params, self._limits.fields)
        caller.check_may_act_for(wanted.acs_mri)
        now = self._clock.now()
        self._changes.count_change(wanted.acs_mri, now)
        self._store.delete(wanted.acs_mri, wanted.device_uuid, now)
        return json_response(200, {"acsMri": wanted.acs_mri, "deviceUUID": wanted.device_uuid})

    def delete_user_registrations(self, request: func.HttpRequest) -> func.HttpResponse:
        """200 with how many registrations the user had; for an identity that was revoked."""
        caller = self._access.authenticate(request.headers)
        wanted = parse_query(UserQuery, request.params, self._limits.fields)
        caller.check_may_act_for(wanted.acs_mri)
        self._changes.count_change(wanted.acs_mri, self._clock.now())
        deleted = self._store.delete_all(wanted.acs_mri)
        return json_response(200, {"acsMri": wanted.acs_mri, "deleted": deleted})

    def _body(self, request: func.HttpRequest) -> bytes:
        body: bytes = request.get_body()
        if len(body) > self._limits.body_bytes:
            raise RequestTooLargeError(f"The body may have at most {self._limits.body_bytes} bytes.")
        return body

    def _registration(self, wanted: AddDeviceTokenRequest, now: datetime) -> DeviceRegistration:
        identity = Identity.parse(wanted.acs_mri)
        life = identity.time_to_live_seconds(wanted.ttl_seconds, self._limits.default_ttl_seconds)
        return DeviceRegistration(
            acs_mri=wanted.acs_mri,
            device_uuid=wanted.device.device_uuid,
            device_token=wanted.device.device_token,
            platform=wanted.device.platform,
            expires_at=now.replace(microsecond=0) + timedelta(seconds=life),
        )


def _info(device: DeviceRegistration, *, with_token: bool) -> dict[str, str]:
    info = {
        "deviceUUID": device.device_uuid,
        "platform": device.platform.value,
        "expiresAt": rfc3339(device.expires_at),
    }
    return {**info, "deviceToken": device.device_token} if with_token else info


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

    @blueprint.function_name("DeleteUserRegistrations")
    @blueprint.route(route="delete_user_registrations", methods=["DELETE"])
    def delete_user_registrations(req: func.HttpRequest) -> func.HttpResponse:
        return answer("DeleteUserRegistrations", lambda: registrar().delete_user_registrations(req))

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
