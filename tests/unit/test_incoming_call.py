"""The IncomingCall event, in both schemas: one value out, or one error."""

import json
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.call import INCOMING_CALL_EVENT_TYPE, IncomingCall, parse_incoming_call
from models.errors import InvalidEventError
from models.event import parse_event
from models.identity import IdentityKind
from tests.fakes import ALICE, BOB

MARKER = "do-not-quote"
MISSING: Any = object()
WHEN = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)

DATA: dict[str, Any] = {
    "to": {"kind": "communicationUser", "rawId": ALICE, "communicationUser": {"id": ALICE}},
    "from": {"kind": "communicationUser", "rawId": BOB, "communicationUser": {"id": BOB}},
    "serverCallId": "aHR0cHM6",
    "callerDisplayName": "Zoë 📱",
    "incomingCallContext": f"{MARKER}.context.",
    "correlationId": "d0c5a8f5-5b4c-4b1c-8d3f-0b4c4d8b1c1d",
}


def merged(value: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in {**value, **changes}.items() if each is not MISSING}


def event_grid(data: object = None, **changes: object) -> str:
    """An event in the Event Grid schema."""
    event = {
        "id": "event-1",
        "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Communication/x",
        "subject": "/caller/x/recipient/y",
        "data": DATA if data is None else data,
        "eventType": INCOMING_CALL_EVENT_TYPE,
        "dataVersion": "1.0",
        "metadataVersion": "1",
        "eventTime": "2026-01-31T12:00:00Z",
    }
    return json.dumps(merged(event, changes))


def cloud_event(data: object = None, **changes: object) -> str:
    """The same as CloudEvents 1.0."""
    event = {
        "id": "event-1",
        "source": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Communication/x",
        "subject": "/caller/x/recipient/y",
        "data": DATA if data is None else data,
        "type": INCOMING_CALL_EVENT_TYPE,
        "time": "2026-01-31T12:00:00Z",
        "specversion": "1.0",
    }
    return json.dumps(merged(event, changes))


def parse(text: str) -> IncomingCall:
    return parse_incoming_call(parse_event(text))


def call(**changes: object) -> IncomingCall:
    """The call of an event whose data has been changed."""
    return parse(event_grid(merged(DATA, changes)))


def refused(text: str) -> str:
    with pytest.raises(InvalidEventError) as caught:
        parse(text)
    shown = "".join([repr(caught.value), *traceback.format_exception(caught.value)])
    assert MARKER not in shown
    return str(caught.value)


class TestBothSchemas:
    @pytest.mark.parametrize("event", [event_grid, cloud_event])
    def test_whole_event(self, event: Any) -> None:
        """Both schemas come to the same value."""
        assert parse(event()) == parse(cloud_event())
        found = parse(event())
        assert found.event_id == "event-1"
        assert found.event_source.endswith("/Microsoft.Communication/x")
        assert found.event_time == WHEN
        assert (found.callee.mri, found.callee.kind) == (ALICE, IdentityKind.ACS_USER)
        assert found.recipient_id == DATA["to"]["rawId"]
        assert found.caller_mri == BOB
        assert found.caller_display_name == "Zoë 📱"
        assert found.correlation_id == DATA["correlationId"]
        assert found.incoming_call_context == DATA["incomingCallContext"]

    @pytest.mark.parametrize("event", [event_grid, cloud_event])
    def test_smallest_event(self, event: Any) -> None:
        """A callee is all that the data needs; what is not said is absent."""
        found = parse(event({"to": {"rawId": ALICE}}))
        absent = (found.caller_mri, found.caller_display_name, found.correlation_id)
        assert absent == (None, None, None)
        assert found.incoming_call_context is None

    def test_other_event_type(self) -> None:
        """The envelope of another event type is read without a look at its data."""
        envelope = parse_event(event_grid({}, eventType="Microsoft.EventGrid.SubscriptionDeletedEvent"))
        assert envelope.event_type == "Microsoft.EventGrid.SubscriptionDeletedEvent"
        assert envelope.event_id == "event-1"

    def test_unknown_properties(self) -> None:
        """Unknown properties are tolerated at every level, and so are new kinds."""
        party = {"kind": "SomethingNew", "rawId": ALICE, "somethingNew": {"id": 1}}
        data = {**DATA, "to": party, "customContext": {"voipHeaders": {"a": "b"}}, "new": [1, {"x": None}]}
        assert parse(cloud_event(data, traceparent="00-00-00", new=1)).callee.mri == ALICE
        assert parse(event_grid(data, new=None)).callee.mri == ALICE

    def test_on_behalf_of_inside_the_custom_context(self) -> None:
        """SPEC's own CloudEvents example has `onBehalfOfCallee` inside `customContext`: no harm done."""
        data = {**DATA, "customContext": {"sipHeaders": {}, "onBehalfOfCallee": {"rawId": BOB}}}
        assert parse(cloud_event(data)).callee.mri == ALICE

    def test_repr_hides_people_and_secrets(self) -> None:
        """Neither the call's nor the envelope's representation shows the context or a name."""
        shown = repr(parse(event_grid())) + repr(parse_event(event_grid()))
        assert MARKER not in shown
        assert "Zoë" not in shown


class TestEnvelope:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            MARKER,
            '{"id": "do-not-quote"',
            "[" * 100_000,
            '{"id": ' * 100_000,
            "9" * 5_000,
            '{"id": "x", "eventType": "y", "eventTime": ' + "9" * 5_000 + "}",
            '{"id": "do-not-quote\n"}',
        ],
    )
    def test_no_json(self, text: str) -> None:
        """What is no JSON, or nested or long beyond reason, cannot be understood."""
        assert "not JSON" in refused(text)

    @pytest.mark.parametrize("text", ["[]", '["do-not-quote"]', '"do-not-quote"', "1", "true", "null", "NaN"])
    def test_no_object(self, text: str) -> None:
        """JSON that is no object cannot be understood either."""
        refused(text)

    @pytest.mark.parametrize("value", [MISSING, None, "", 1, True, [MARKER], {}, "\ud800"])
    def test_bad_id_or_type(self, value: object) -> None:
        """An event without a proper id or type is refused, and the message names which."""
        assert "id" in refused(event_grid(id=value))
        assert "type" in refused(cloud_event(type=value)).lower()
        assert "type" in refused(event_grid(eventType=value)).lower()

    @pytest.mark.parametrize("data", ["null", '"do-not-quote"', "1", "true", "[]", '[{"to": {}}]'])
    def test_bad_data(self, data: str) -> None:
        """The data must be there, and an object."""
        for event in (event_grid(), cloud_event()):
            assert "data" in refused(event.replace('"data": {', f'"data": {data}, "x": {{'))
            assert "data" in refused(event.replace('"data": {', '"x": {'))

    @pytest.mark.parametrize("name", ["id", "topic", "eventType"])
    def test_long_names(self, name: str) -> None:
        """An id, a source or a type over 1 kB is refused: it would be stored and logged whole."""
        parse_event(event_grid(**{name: "ü" * 512}))
        assert "malformed" in refused(event_grid(**{name: "ü" * 512 + "x"}))

    def test_missing_source(self) -> None:
        """An event without a topic or source still rings."""
        assert parse(event_grid(topic=MISSING)).event_source == ""


class TestTime:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-01-31T12:00:00Z", WHEN),
            ("2026-01-31T12:00:00z", WHEN),
            ("2026-01-31T12:00:00.5Z", WHEN + timedelta(milliseconds=500)),
            ("2026-01-31T12:00:00.1234567Z", WHEN + timedelta(microseconds=123_456)),
            ("2026-01-31T12:00:00.000000001Z", WHEN),
            ("2026-01-31T14:00:00+02:00", WHEN),
            ("2026-01-31T06:30:00-05:30", WHEN),
            ("2026-01-31T12:00:00+00:00", WHEN),
            ("2026-01-31 12:00:00Z", WHEN),
            ("2026-01-31T12:00:00", WHEN),
            ("2026-01-31T12:00:00.1234567", WHEN + timedelta(microseconds=123_456)),
        ],
    )
    def test_forms(self, text: str, moment: datetime) -> None:
        """Any number of fractional digits and any offset; without an offset the time is UTC."""
        for found in (parse(event_grid(eventTime=text)), parse(cloud_event(time=text))):
            assert found.event_time == moment
            assert found.event_time.tzinfo is UTC

    @pytest.mark.parametrize("value", [MISSING, None])
    def test_none(self, value: object) -> None:
        """An event need not say when it happened."""
        assert parse(event_grid(eventTime=value)).event_time is None

    @pytest.mark.parametrize(
        "value",
        [
            "",
            MARKER,
            "yesterday",
            "12:00:00Z",
            "2026-13-31T12:00:00Z",
            "2026-01-31T25:00:00Z",
            "2026-01-31T12:00:00+99:00",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            1_769_860_800,
            20_260_131,
            1.5,
            True,
            [],
            {"do-not-quote": 1},
        ],
    )
    def test_malformed(self, value: object) -> None:
        """A time that cannot be read counts as missing: the phone has to ring."""
        assert parse(event_grid(eventTime=value)).event_time is None
        assert parse(cloud_event(time=value)).event_time is None


class TestEnd:
    RING = timedelta(seconds=60)

    def ends_at(self, event_time: datetime | None, first_seen: datetime) -> datetime:
        text = None if event_time is None else event_time.isoformat()
        return parse(event_grid(eventTime=text)).ends_at(self.RING, first_seen)

    def test_after_the_event(self) -> None:
        """The ring time counts from the event's time, however late it arrives."""
        for late in (0, 5, 59, 61, 86_400):
            assert self.ends_at(WHEN, WHEN + timedelta(seconds=late)) == WHEN + self.RING

    def test_without_a_time(self) -> None:
        """Without an event time it counts from when the event was first seen."""
        assert self.ends_at(None, WHEN) == WHEN + self.RING

    def test_in_the_future(self) -> None:
        """An event time in the future counts as now: no call rings longer than the ring time."""
        assert self.ends_at(WHEN + timedelta(hours=1), WHEN) == WHEN + self.RING


EXTENSION_USER = {"userId": "user", "tenantId": "tenant", "resourceId": "resource", "cloud": "public"}


class TestCallee:
    @pytest.mark.parametrize(
        ("party", "mri"),
        [
            ({"rawId": ALICE}, ALICE),
            ({"rawId": ALICE, "communicationUser": {"id": BOB}}, ALICE),
            ({"rawId": "", "communicationUser": {"id": BOB}}, BOB),
            ({"rawId": None, "communicationUser": {"id": BOB}}, BOB),
            ({"communicationUser": {"id": BOB}, "microsoftTeamsUser": {"userId": "t"}}, BOB),
            ({"communicationUser": {}, "microsoftTeamsUser": {"userId": "t"}}, "8:orgid:t"),
            ({"kind": "microsoftTeamsUser", "microsoftTeamsUser": {"userId": "t"}}, "8:orgid:t"),
            ({"microsoftTeamsUser": {"userId": "t", "cloud": "public"}}, "8:orgid:t"),
            ({"microsoftTeamsUser": {"userId": "t", "cloud": "Public"}}, "8:orgid:t"),
            ({"microsoftTeamsUser": {"userId": "t", "cloud": None, "isAnonymous": None}}, "8:orgid:t"),
            ({"microsoftTeamsUser": {"userId": "t", "cloud": "dod", "isAnonymous": False}}, "8:dod:t"),
            ({"microsoftTeamsUser": {"userId": "t", "cloud": "gcch"}}, "8:gcch:t"),
            ({"microsoftTeamsUser": {"userId": "t", "isAnonymous": True}}, "8:teamsvisitor:t"),
            ({"phoneNumber": {"value": "+14255550123"}}, "4:+14255550123"),
            ({"teamsExtensionUser": EXTENSION_USER}, "8:acs:resource_tenant_user"),
            ({"teamsExtensionUser": {**EXTENSION_USER, "cloud": "dod"}}, "8:dod-acs:resource_tenant_user"),
            ({"teamsExtensionUser": {**EXTENSION_USER, "cloud": "GCCH"}}, "8:gcch-acs:resource_tenant_user"),
        ],
    )
    def test_found(self, party: dict[str, Any], mri: str) -> None:
        """The raw id, else the Communication Services user, else the Teams user of a known cloud."""
        found = call(to=party, **{"from": party})
        assert (found.callee.mri, found.caller_mri) == (mri, mri)

    @pytest.mark.parametrize(
        "party",
        [
            MISSING,
            None,
            MARKER,
            [],
            {},
            {"kind": "communicationUser"},
            {"rawId": ""},
            {"rawId": 1, "communicationUser": MARKER, "microsoftTeamsUser": [MARKER]},
            {"communicationUser": {"id": 1}},
            {"microsoftTeamsUser": {"userId": ""}},
            {"microsoftTeamsUser": {"userId": MARKER, "cloud": "moon"}},
            {"microsoftTeamsApp": {"appId": MARKER}},
            {"teamsExtensionUser": {**EXTENSION_USER, "cloud": "moon"}},
            {"teamsExtensionUser": {**EXTENSION_USER, "tenantId": None}},
            {"teamsExtensionUser": MARKER},
        ],
    )
    def test_no_identity(self, party: object) -> None:
        """Without a callee the event is refused; a caller who cannot be told is left out."""
        assert "callee" in refused(event_grid(merged(DATA, {"to": party})))
        assert call(**{"from": party}).caller_mri is None

    def test_callee_that_owns_no_device(self) -> None:
        """A phone number is a callee too; what becomes of it is decided elsewhere."""
        found = call(to={"kind": "phoneNumber", "rawId": "4:+14255550123"})
        assert found.callee.kind is IdentityKind.PHONE_NUMBER


class TestOptionalProperties:
    @pytest.mark.parametrize("value", [None, 1, 1.5, True, [], {}, [MARKER], "", 10**4_000])
    def test_wrong_type(self, value: object) -> None:
        """A property of the wrong type is left out, and the phone rings."""
        found = call(
            callerDisplayName=value, correlationId=value, incomingCallContext=value, **{"from": value}
        )
        assert (found.caller_display_name, found.correlation_id, found.caller_mri) == (None, None, None)
        assert found.incoming_call_context is None

    def test_wrong_type_inside_the_callee(self) -> None:
        """What is malformed beside a good id does not spoil it."""
        party = {
            "rawId": ALICE,
            "kind": 7,
            "communicationUser": 7,
            "phoneNumber": [],
            "microsoftTeamsUser": {"userId": {}, "isAnonymous": "perhaps", "cloud": 1},
        }
        assert call(to=party).callee.mri == ALICE

    def test_lone_surrogates(self) -> None:
        """Half an emoji, which JSON can carry and UTF-8 cannot, is replaced; a whole one stays."""
        found = call(callerDisplayName="a\ud83d b\udcf1", correlationId="\ud83d\udcf1")
        assert found.caller_display_name == "a\ufffd b\ufffd"
        assert found.correlation_id == "📱"

    @pytest.mark.parametrize("name", ["id", "topic", "eventType"])
    def test_half_a_character_in_a_name(self, name: str) -> None:
        """An event's id, source and type are hashed and stored as they are, so they have to be whole."""
        with pytest.raises(InvalidEventError, match="malformed"):
            parse_event(event_grid(**{name: "a\ud83d"}))

    def test_deep_nesting(self) -> None:
        """Nesting that JSON itself still takes does not matter in a property that is not read."""
        deep: dict[str, Any] = {}
        for _ in range(300):
            deep = {"a": [deep]}
        found = call(callerDisplayName=deep, new=deep, to={"rawId": ALICE, "communicationUser": deep})
        assert (found.callee.mri, found.caller_display_name) == (ALICE, None)


# Surrogates too: JSON can carry them.
TEXT = st.text(st.characters(), max_size=20) | st.sampled_from([ALICE, "public", "2026-01-31T12:00:00Z"])
NAMES = st.sampled_from(
    [
        "id",
        "rawId",
        "to",
        "from",
        "data",
        "time",
        "eventTime",
        "type",
        "eventType",
        "source",
        "topic",
        "cloud",
        "communicationUser",
        "value",
        "x",
        "microsoftTeamsUser",
        "phoneNumber",
        "userId",
        "isAnonymous",
        "callerDisplayName",
        "incomingCallContext",
        "correlationId",
    ]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | TEXT, inner, max_size=5),
    max_leaves=12,
)


def understood(text: str) -> bool:
    """Whether it is a call that can be sent on; anything but the one error is raised."""
    try:
        found = parse(text)
    except InvalidEventError:
        return False
    texts = (found.callee.mri, found.caller_mri, found.caller_display_name, found.correlation_id)
    return all(text is None or text.encode() for text in texts)


@given(st.text(st.characters()))
def test_any_text(text: str) -> None:
    """Whatever text arrives as an event is understood or refused; nothing else happens."""
    assert understood(text) in {True, False}


@given(ANY_JSON)
def test_any_json(value: object) -> None:
    """Whatever JSON arrives as an event is understood or refused; nothing else happens."""
    assert understood(json.dumps(value)) in {True, False}


@given(ANY_JSON, st.dictionaries(NAMES, ANY_JSON, max_size=3))
def test_any_data(data: object, extra: dict[str, Any]) -> None:
    """Whatever the data of a good event holds, it is understood or refused; nothing else happens."""
    assert understood(event_grid(data if data is not None else [])) in {True, False}
    assert understood(event_grid({**DATA, **extra, "to": {"rawId": ALICE}}))
