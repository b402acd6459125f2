"""What the registrar's HTTP functions do: from HTTP to models and back. Knows no pymongo.

Names, routes and fields are those of Microsoft's C# sample, so its apps work unchanged.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import azure.functions as func

from common.clock import Clock
from common.http import json_response
from models.device import DeviceRegistration, Purpose, rfc3339
from models.errors import FieldError, InvalidRequestError, RegistrationNotFoundError
from models.requests import AddDeviceTokenRequest, DeviceQuery, FieldRules, UserQuery
from models.validation import invalid_request, parse_json, parse_query
from registrar.access import Access
from registrar.audit import Audit
from registrar.rate import RateLimit
from registrar.request_body import read_body
from registrar.store import DeviceStore


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may hold, and how many devices a user may have."""

    default_ttl_seconds: int
    """Time to live of a registration whose app asks for none."""
    devices_per_user: int
    body_bytes: int
    fields: FieldRules = field(default_factory=FieldRules)


class Registrar:
    """Adds, looks up and deletes device registrations.

    Every function authenticates the caller, validates the request, authorises it and counts the change before
    it reads any device. So the answer to a caller without the right does not depend on what is stored.
    """

    def __init__(
        self, store: DeviceStore, access: Access, changes: RateLimit, clock: Clock, limits: Limits
    ) -> None:
        """Take ready collaborators."""
        self._store = store
        self._access = access
        self._changes = changes
        self._clock = clock
        self._limits = limits

    def add_device_token(self, request: func.HttpRequest) -> func.HttpResponse:
        """201 with the end of the registration, for a new and for a refreshed one."""
        caller = self._access.authenticate(request.headers)
        wanted = parse_json(
            AddDeviceTokenRequest, read_body(request, self._limits.body_bytes), self._limits.fields
        )
        caller.check_may_act_for(wanted.owner)
        now = self._clock.now()
        self._changes.count(wanted.owner, now)
        registration = self._registration(wanted, now)
        if registration.purpose is Purpose.ALERTS and self._store.rings(registration, now):
            raise _token_for_calls()
        result = self._store.register(registration, now, self._limits.devices_per_user)
        audit = Audit(caller.right, wanted.owner)
        audit.registered(registration, is_new=result.is_new, moved_from=result.moved_from)
        for device_uuid in result.removed:
            audit.removed(device_uuid)
        body: dict[str, object] = {
            "acsMri": registration.acs_mri,
            "deviceUUID": registration.device_uuid,
            "platform": registration.platform.value,
            "purpose": registration.purpose.value,
            "hub": registration.hub,
            "expiresAt": rfc3339(registration.expires_at),
        }
        if result.removed:
            body["displacedDeviceUUIDs"] = result.removed
        return json_response(201, body)

    def get_device_registrations(self, request: func.HttpRequest) -> func.HttpResponse:
        """200 with the user's unexpired devices; 404 if there are none."""
        caller = self._access.authenticate(request.headers)
        wanted = parse_query(UserQuery, request.params, self._limits.fields)
        caller.check_may_act_for(wanted.owner)
        devices = self._store.devices_of(wanted.owner, self._clock.now())
        if not devices:
            raise RegistrationNotFoundError("The user has no unexpired registration.")
        if caller.sees_device_tokens:
            Audit(caller.right, wanted.owner).tokens_read(len(devices))
        infos = [_info(device, with_token=caller.sees_device_tokens) for device in devices]
        return json_response(200, {"acsMri": wanted.owner.mri, "deviceInfos": infos})

    def delete_device_registration(self, request: func.HttpRequest) -> func.HttpResponse:
        """200 if the device was deleted; 404 if the user has no such unexpired device."""
        caller = self._access.authenticate(request.headers)
        wanted = parse_query(DeviceQuery, request.params, self._limits.fields)
        caller.check_may_act_for(wanted.owner)
        now = self._clock.now()
        self._changes.count(wanted.owner, now)
        self._store.delete(wanted.owner, wanted.device_uuid, now)
        Audit(caller.right, wanted.owner).deleted(wanted.device_uuid)
        return json_response(200, {"acsMri": wanted.owner.mri, "deviceUUID": wanted.device_uuid})

    def delete_user_registrations(self, request: func.HttpRequest) -> func.HttpResponse:
        """200 with the number of deleted registrations; to be called when an identity is revoked."""
        caller = self._access.authenticate(request.headers)
        wanted = parse_query(UserQuery, request.params, self._limits.fields)
        caller.check_may_act_for(wanted.owner)
        self._changes.count(wanted.owner, self._clock.now())
        deleted = self._store.delete_all(wanted.owner)
        Audit(caller.right, wanted.owner).wiped(deleted)
        return json_response(200, {"acsMri": wanted.owner.mri, "deleted": deleted})

    def _registration(self, wanted: AddDeviceTokenRequest, now: datetime) -> DeviceRegistration:
        life = wanted.owner.time_to_live_seconds(wanted.ttl_seconds, self._limits.default_ttl_seconds)
        return DeviceRegistration(
            owner=wanted.owner,
            device_uuid=wanted.device.device_uuid,
            device_token=wanted.device.device_token,
            platform=wanted.device.platform,
            purpose=wanted.device.purpose,
            hub=wanted.device.hub,
            expires_at=now.replace(microsecond=0) + timedelta(seconds=life),
        )


def _token_for_calls() -> InvalidRequestError:
    """The error for an iPhone's token for calls that is sent as its token for alerts."""
    detail = (
        "is this device's token for calls, and would not ring any more; an iPhone has another token for "
        "alerts, which application(_:didRegisterForRemoteNotificationsWithDeviceToken:) hands out"
    )
    return invalid_request([FieldError("deviceInfos[0].deviceToken", detail)])


def _info(device: DeviceRegistration, *, with_token: bool) -> dict[str, str]:
    info = {
        "deviceUUID": device.device_uuid,
        "platform": device.platform.value,
        "purpose": device.purpose.value,
        "hub": device.hub,
        "expiresAt": rfc3339(device.expires_at),
    }
    return {**info, "deviceToken": device.device_token} if with_token else info
