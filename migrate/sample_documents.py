"""The sample's `DeviceTokensColl`: one document a user -> the devices that can be taken over, and the rest.

A document: `_id` the user's MRI, `deviceInfos` a list of `{deviceUUID, deviceToken, platform}`. It has no
times: neither when a device was registered nor until when. Of two entries the later one counts, because the
sample appends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from common.telemetry import fingerprint
from models.device import DeviceRegistration
from models.identity import Identity
from models.requests import AddDeviceTokenRequest, FieldRules, Mistake

COLLECTION_NAME = "DeviceTokensColl"


class Reason(StrEnum):
    """Why a device is not taken over."""

    MALFORMED = "malformed"
    NO_OWNER = "no_owner"
    UNKNOWN_PLATFORM = "unknown_platform"
    EMPTY_TOKEN = "empty_token"
    INVALID_TOKEN = "invalid_token"
    TOO_LONG = "too_long"
    SAME_DEVICE_TWICE = "same_device_twice"
    SAME_TOKEN_TWICE = "same_token_twice"
    SHARED_TOKEN = "shared_token"
    TOO_MANY_DEVICES = "too_many_devices"
    TOKEN_REGISTERED_SINCE = "token_registered_since"
    DEVICE_REGISTERED_SINCE = "device_registered_since"


EXPLANATIONS = {
    Reason.MALFORMED: "the entry is not of the sample's form",
    Reason.NO_OWNER: "the user's id is not one that the registrar takes",
    Reason.UNKNOWN_PLATFORM: "no Calling SDK takes pushes on that platform",
    Reason.EMPTY_TOKEN: "the device token is missing or empty",
    Reason.INVALID_TOKEN: "the device token is not one that its platform issues, so no push could reach it",
    Reason.TOO_LONG: "a field is longer than the registrar allows",
    Reason.SAME_DEVICE_TWICE: "a later entry of the user has the same device UUID",
    Reason.SAME_TOKEN_TWICE: "a later entry of the user has the same device token",
    Reason.SHARED_TOKEN: "a user whose document comes later has the same device token",
    Reason.TOO_MANY_DEVICES: "the user has more devices than the registrar keeps; the first ones are left "
    "out",
    Reason.TOKEN_REGISTERED_SINCE: "an app has registered that token with this registrar since",
    Reason.DEVICE_REGISTERED_SINCE: "the device has registered another token with this registrar since",
}

REPAIRED_BY_THE_APPS = frozenset({Reason.TOKEN_REGISTERED_SINCE, Reason.DEVICE_REGISTERED_SINCE})
"""The phone is registered here already."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A device that is not taken over; user and device by their fingerprints."""

    user: str
    device: str | None
    """None if it cannot be read."""
    reason: Reason


@dataclass(frozen=True, slots=True)
class Rules:
    """How a document is read, and how long what is taken over lives."""

    ttl_seconds: int
    """Shortened where the user's kind allows less."""
    maximum_devices: int
    """That the registrar keeps of one user."""
    limits: FieldRules = field(default_factory=FieldRules)

    def life_seconds(self, acs_mri: str) -> int:
        """How long a registration of that user lives."""
        return Identity.parse(acs_mri).time_to_live_seconds(None, self.ttl_seconds)


@dataclass(slots=True)
class UserDocument:
    """What one document comes to."""

    found: list[DeviceRegistration] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """How many devices the document lists."""
        return len(self.found) + len(self.skipped)


def read_document(document: Mapping[str, Any], rules: Rules, now: datetime) -> UserDocument:
    """Sort a document's devices into those that can be taken over and those that cannot.

    Args:
        document: as MongoDB returns it.
        rules: what can be taken over, and for how long.
        now: the current time, UTC.
    """
    mri = document.get("_id")
    user = mri if isinstance(mri, str) else ""
    entries = document.get("deviceInfos")
    result = UserDocument()
    if not isinstance(entries, list):
        result.skipped.append(Skipped(fingerprint(user), None, Reason.MALFORMED))
        return result
    for entry in entries:
        parsed = _parse(user, entry, rules, now)
        if isinstance(parsed, Reason):
            device = entry.get("deviceUUID") if isinstance(entry, Mapping) else None
            name = fingerprint(device) if isinstance(device, str) else None
            result.skipped.append(Skipped(fingerprint(user), name, parsed))
        else:
            result.found.append(parsed)
    _keep_latest(result, rules.maximum_devices)
    return result


def skipped(registration: DeviceRegistration, reason: Reason) -> Skipped:
    """What could have been taken over and, after all, is not."""
    return Skipped(fingerprint(registration.acs_mri), fingerprint(registration.device_uuid), reason)


def _keep_latest(document: UserDocument, maximum_devices: int) -> None:
    devices: set[str] = set()
    tokens: set[str] = set()
    kept: list[DeviceRegistration] = []
    for found in reversed(document.found):
        if found.device_uuid in devices:
            document.skipped.append(skipped(found, Reason.SAME_DEVICE_TWICE))
        elif found.registration_id in tokens:
            document.skipped.append(skipped(found, Reason.SAME_TOKEN_TWICE))
        elif len(kept) == maximum_devices:
            document.skipped.append(skipped(found, Reason.TOO_MANY_DEVICES))
        else:
            devices.add(found.device_uuid)
            tokens.add(found.registration_id)
            kept.append(found)
    document.found = kept[::-1]


def _parse(user: str, entry: object, rules: Rules, now: datetime) -> DeviceRegistration | Reason:
    """The device as the registrar would take it from an app, or why it would refuse it."""
    try:
        request = AddDeviceTokenRequest.model_validate(
            {"acsMri": user, "deviceInfos": [entry]}, context=rules.limits
        )
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        # The first one is the user's, where that is wrong too.
        return _reason(details[0]["loc"], details[0]["type"])
    return DeviceRegistration(
        owner=request.owner,
        device_uuid=request.device.device_uuid,
        device_token=request.device.device_token,
        platform=request.device.platform,
        expires_at=now.replace(microsecond=0) + timedelta(seconds=rules.life_seconds(user)),
    )


_EMPTY = frozenset({"missing", Mistake.EMPTY, Mistake.NOT_TEXT})


def _reason(location: Sequence[str | int], kind: str) -> Reason:
    if kind == Mistake.TOO_LONG:
        return Reason.TOO_LONG
    match location[-1]:
        case "acsMri":
            return Reason.NO_OWNER
        case "platform":
            return Reason.UNKNOWN_PLATFORM
        case "deviceToken":
            return Reason.EMPTY_TOKEN if kind in _EMPTY else Reason.INVALID_TOKEN
    return Reason.MALFORMED
