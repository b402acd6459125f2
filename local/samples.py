"""Events, phones and users in the form of real ones, for the demo and the tests."""

import base64
import gzip
import json
import os
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

CALLEE = "8:acs:1b5cc06b-f352-4571-b1e6-d9b259b7c776_00000017-1f0a-5b2e-8a5d-084822001234"
CALLER = "8:acs:1b5cc06b-f352-4571-b1e6-d9b259b7c776_00000017-1f0a-5b2e-8a5d-084822005678"

INCOMING_CALL = "Microsoft.Communication.IncomingCall"
CALL_ENDED = "Microsoft.Communication.CallEnded"
PARTICIPANT_ADDED = "Microsoft.Communication.CallParticipantAdded"
SOURCE = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/calling"
    "/providers/Microsoft.Communication/communicationServices/contoso"
)


@dataclass(frozen=True, slots=True)
class Phone:
    """A simulated device."""

    name: str
    device_uuid: str
    device_token: str = field(repr=False)
    platform: str
    alerts_token: str | None = field(default=None, repr=False)
    """The iPhone's second token, for visible notifications."""

    def registration(self, acs_mri: str, **more: object) -> dict[str, Any]:
        """The body of `POST /api/add_device_token`."""
        info = {"deviceUUID": self.device_uuid, "deviceToken": self.device_token, "platform": self.platform}
        return {"acsMri": acs_mri, "deviceInfos": [info], **more}

    def alerts_registration(self, acs_mri: str, hub: str, **more: object) -> dict[str, Any] | None:
        """The body for the second token, if the device has one; `hub` reaches it."""
        if self.alerts_token is None:
            return None
        token = {"deviceToken": self.alerts_token, "purpose": "alerts", "hub": hub}
        info = {"deviceUUID": self.device_uuid, "platform": self.platform, **token}
        return {"acsMri": acs_mri, "deviceInfos": [info], **more}


def phones() -> tuple[Phone, ...]:
    """An iPhone, an Android phone and a Windows PC, with random tokens in the form of their platforms."""
    return (
        Phone("iPhone", str(uuid.uuid4()).upper(), uuid.uuid4().hex * 2, "apple", uuid.uuid4().hex * 2),
        Phone(
            "Android phone",
            str(uuid.uuid4()),
            f"{uuid.uuid4().hex[:22]}:APA91b{uuid.uuid4().hex * 4}",
            "android",
        ),
        Phone(
            "Windows PC",
            str(uuid.uuid4()),
            f"https://wns2-par02p.notify.windows.com/?token={uuid.uuid4().hex * 4}",
            "windows",
        ),
    )


USUAL_CONTEXT, LONGEST_CONTEXT = 900, 2_488
"""Characters of a call context: about the usual, and the most in recordings of Microsoft's JavaScript SDK."""


def call_context_cp(call_id: str, characters: int = USUAL_CONTEXT) -> str:
    """The push's `cp`: base64 of gzip JSON, of at least so many characters and of at most 30 more."""
    secret = {"callId": call_id, "conversationId": str(uuid.uuid4()), "endpoints": ["conv-euwe-01"] * 4}
    lacking = characters - len(_compressed(secret | {"token": ""}))
    # What is random is as long in the end as it was: gzip takes off what base64 puts on.
    return _compressed(secret | {"token": _random(max(0, lacking - 16))})


def _compressed(value: object) -> str:
    return base64.b64encode(gzip.compress(json.dumps(value).encode())).decode()


def _random(characters: int) -> str:
    return base64.b64encode(os.urandom(characters)).decode()[:characters]


def incoming_call_context(cp: str) -> str:
    """The event's `incomingCallContext` with `cp` in it, unsigned like the real one."""
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    claims = json.dumps({"cc": cp, "shrToken": f"share-{uuid.uuid4()}"})
    return f"{header}.{base64.b64encode(claims.encode()).decode().rstrip('=')}."


def incoming_call_data(
    callee: str = CALLEE,
    *,
    call_id: str | None = None,
    display_name: str = "Grace Hopper",
    context_characters: int = USUAL_CONTEXT,
) -> dict[str, Any]:
    """The `data` of an IncomingCall event."""
    call_id = call_id or str(uuid.uuid4())
    return {
        "to": {"kind": "communicationUser", "rawId": callee, "communicationUser": {"id": callee}},
        "from": {"kind": "communicationUser", "rawId": CALLER, "communicationUser": {"id": CALLER}},
        "serverCallId": base64.b64encode(f"https://conv-euwe-01.conv.skype.com/{call_id}".encode()).decode(),
        "callerDisplayName": display_name,
        "customContext": {"sipHeaders": {}, "voipHeaders": {}},
        "incomingCallContext": incoming_call_context(call_context_cp(call_id, context_characters)),
        "correlationId": call_id,
    }


def call_ended_data(call: dict[str, Any]) -> dict[str, Any]:
    """The `data` of the CallEnded event of a call, as Microsoft's documentation shows it."""
    return {
        "durationOfCall": 12.5,
        "endedBy": {"kind": "communicationUser", "rawId": CALLER, "communicationUser": {"id": CALLER}},
        **_of_call(call),
    }


def participant_added_data(call: dict[str, Any], joined: str) -> dict[str, Any]:
    """The `data` of the CallParticipantAdded event of a call."""
    identity = {"kind": "communicationUser", "rawId": joined, "communicationUser": {"id": joined}}
    return {
        "user": {"communicationIdentifier": identity, "role": None},
        "displayName": "Ada",
        "participantId": str(uuid.uuid4()),
        "endpointType": "acs-mobile-app",
        **_of_call(call),
    }


def _of_call(call: dict[str, Any]) -> dict[str, Any]:
    return {
        "startedBy": {"communicationIdentifier": {"rawId": CALLER}},
        "serverCallId": call["serverCallId"],
        "group": {"id": None},
        "room": None,
        "isTwoParty": True,
        "correlationId": call["correlationId"],
        "isRoomsCall": False,
    }


def event_grid_event(
    data: dict[str, Any], *, time: datetime | None = None, kind: str = INCOMING_CALL
) -> dict[str, Any]:
    """`data` in the Event Grid schema."""
    return {
        "id": str(uuid.uuid4()),
        "topic": SOURCE,
        "subject": f"call/startingCall/caller/{CALLER}/recipient/{CALLEE}",
        "data": data,
        "eventType": kind,
        "dataVersion": "1.0",
        "metadataVersion": "1",
        "eventTime": event_time(time),
    }


def cloud_event(
    data: dict[str, Any], *, time: datetime | None = None, kind: str = INCOMING_CALL
) -> dict[str, Any]:
    """`data` as CloudEvents 1.0."""
    return {
        "id": str(uuid.uuid4()),
        "source": SOURCE,
        "subject": f"call/startingCall/caller/{CALLER}/recipient/{CALLEE}",
        "data": data,
        "type": kind,
        "specversion": "1.0",
        "time": event_time(time),
    }


def event_time(time: datetime | None = None) -> str:
    """`time`, by default now, with seven fractional digits as Event Grid writes it."""
    return (time or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
