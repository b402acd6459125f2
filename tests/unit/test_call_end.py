"""CallEnded and CallParticipantAdded in every documented shape, and what is refused."""

import base64
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.samples import (
    CALL_ENDED,
    CALLER,
    PARTICIPANT_ADDED,
    call_ended_data,
    cloud_event,
    event_grid_event,
    incoming_call_data,
    participant_added_data,
)
from models.call import parse_incoming_call
from models.call_end import CallEnd, parse_call_end
from models.call_keys import call_keys
from models.errors import InvalidEventError
from models.event import parse_event

CALLEE = "8:acs:resource_Alice"
CALL = incoming_call_data(CALLEE)
CORRELATION_ID: str = CALL["correlationId"]


def end_of(event: dict[str, Any]) -> CallEnd:
    return parse_call_end(parse_event(json.dumps(event)))


def ring_keys() -> tuple[str, ...]:
    return parse_incoming_call(parse_event(json.dumps(event_grid_event(CALL)))).keys


def server_call_id(url: str) -> str:
    return base64.b64encode(url.encode()).decode().rstrip("=")


# Shapes of the documentation, of the REST specification and of the example of 2021.
ENDED: dict[str, dict[str, Any]] = {
    "documentation": call_ended_data(CALL),
    "specification": {
        "startedBy": {"communicationIdentifier": {"rawId": CALLER}},
        "serverCallId": CALL["serverCallId"],
        "group": {"id": "35d8e4c9-3cb0-4d9e-a4a5-fb6fd6c4a6e6"},
        "isTwoParty": None,
        "correlationId": CORRELATION_ID,
        "isRoomsCall": False,
        "reason": {"code": 0, "subcode": 540000, "phrase": "hung up"},
        "callDurationInSeconds": 59,
    },
    "2021": {"serverCallId": CALL["serverCallId"], "startedBy": {"rawId": CALLER}, "durationOfCall": 59.2},
    "capitals": {"correlationId": CORRELATION_ID.upper()},
    "correlation id alone": {"correlationId": CORRELATION_ID},
}
JOINED: dict[str, dict[str, Any]] = {
    "documentation": participant_added_data(CALL, CALLEE),
    "directly": {"correlationId": CORRELATION_ID, "user": {"rawId": CALLEE, "kind": "communicationUser"}},
    "small letters": {
        "correlationId": CORRELATION_ID,
        "user": {"communicationidentifier": {"rawId": CALLEE}, "role": "attendee"},
    },
    "without a raw id": {
        "serverCallId": CALL["serverCallId"],
        "user": {"communicationIdentifier": {"communicationUser": {"id": CALLEE}}},
        "userAgent": "Teams/1.0",
    },
}


class TestShapes:
    @pytest.mark.parametrize("schema", [event_grid_event, cloud_event])
    @pytest.mark.parametrize("name", ENDED)
    def test_ended(self, schema: Any, name: str) -> None:
        """Each names the call that rang."""
        end = end_of(schema(ENDED[name], kind=CALL_ENDED))
        assert end.joined is None
        assert set(end.keys) & set(ring_keys())

    @pytest.mark.parametrize("schema", [event_grid_event, cloud_event])
    @pytest.mark.parametrize("name", JOINED)
    def test_joined(self, schema: Any, name: str) -> None:
        """Each names the callee, whose MRI is compared without case."""
        end = end_of(schema(JOINED[name], kind=PARTICIPANT_ADDED))
        assert end.joined is not None
        assert end.joined.mri == CALLEE.lower()
        assert set(end.keys) & set(ring_keys())

    def test_a_bot_joins(self) -> None:
        """It owns no device; its event is understood, though it has no raw id."""
        bot = {"kind": "microsoftTeamsApp", "microsoftTeamsApp": {"appId": "BOT", "cloud": "dod"}}
        data = {"correlationId": CORRELATION_ID, "user": {"communicationIdentifier": bot}}
        end = end_of(event_grid_event(data, kind=PARTICIPANT_ADDED))
        assert end.joined is not None
        assert (end.joined.mri, end.joined.can_own_devices) == ("28:dod:bot", False)

    @pytest.mark.parametrize(
        "data", [None, 7, "text", [], {}, {"correlationId": ""}, {"correlationId": None}]
    )
    def test_no_call(self, data: object) -> None:
        """An end that names no call is refused."""
        with pytest.raises(InvalidEventError, match=r"correlationId|JSON object|data"):
            end_of({**event_grid_event({}, kind=CALL_ENDED), "data": data})

    @pytest.mark.parametrize(
        "user", [None, {}, {"communicationIdentifier": None}, {"rawId": ""}, "8:acs:x", 4]
    )
    def test_no_identity(self, user: object) -> None:
        """A join that does not say who joined is refused."""
        data = {"correlationId": CORRELATION_ID, "user": user}
        with pytest.raises(InvalidEventError, match="participant"):
            end_of(event_grid_event(data, kind=PARTICIPANT_ADDED))

    @given(
        data=st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["user", "correlationId", "serverCallId", "communicationIdentifier", "rawId"]
                    ),
                    inner,
                    max_size=3,
                )
            ),
        ),
        kind=st.sampled_from([CALL_ENDED, PARTICIPANT_ADDED]),
    )
    def test_anything(self, data: Any, kind: str) -> None:
        """Any data is read or refused by this app's own error."""
        event = {**event_grid_event({}, kind=kind), "data": copy.deepcopy(data)}
        try:
            end = end_of(event)
        except InvalidEventError:
            return
        assert end.keys


class TestKeys:
    def test_correlation_id(self) -> None:
        """Letter case does not count: Swift writes UUIDs in capitals."""
        assert call_keys("ABC-def", None) == call_keys("abc-DEF", None)

    def test_server_call_id(self) -> None:
        """The URL's query differs from event to event; its path counts with its case."""
        base = "https://Conv-1.conv.skype.com/conv/AbC"
        same = call_keys(None, server_call_id(f"{base}?i=10&e=637"))
        assert call_keys(None, server_call_id("https://conv-1.CONV.skype.com/conv/AbC?i=1")) == same
        assert call_keys(None, server_call_id("https://conv-1.conv.skype.com/conv/abc")) != same

    @pytest.mark.parametrize("value", ["no base64!", "YWJj", "////", "\ud83d", "=" * 5])
    def test_no_url(self, value: str) -> None:
        """One that is no URL names the call all the same."""
        (key,) = call_keys(None, value)
        assert call_keys(None, value) == (key,)

    @given(st.text(max_size=60))
    def test_any_text(self, value: str) -> None:
        """No text raises."""
        assert len(call_keys(value, value)) in {0, 2}
