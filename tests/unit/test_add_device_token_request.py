"""The body of AddDeviceToken: what is taken, and one error that names everything that is wrong."""

import json
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.device import AddDeviceTokenRequest, Platform
from models.errors import InvalidRequestError
from models.validation import parse_json
from tests.fakes import ALICE, TEAMS_USER

TOKEN = "do-not-quote-this-device-token"
MARKER = "do-not-quote"
MISSING: Any = object()


def body(**changes: object) -> dict[str, Any]:
    """A good body, with some members changed; those of the device are changed in the device."""
    device: dict[str, Any] = {"deviceUUID": "phone", "deviceToken": TOKEN, "platform": "apple"}
    whole: dict[str, Any] = {"acsMri": ALICE, "deviceInfos": [device]}
    for name, value in changes.items():
        target = device if name in device else whole
        if value is MISSING:
            del target[name]
        else:
            target[name] = value
    return whole


def parse(value: object) -> AddDeviceTokenRequest:
    return parse_json(AddDeviceTokenRequest, json.dumps(value).encode())


def refused(raw: bytes) -> InvalidRequestError:
    """The error, after a look at everything that a log or an answer could show of it."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_json(AddDeviceTokenRequest, raw)
    assert MARKER not in everything_shown(caught.value)
    return caught.value


def everything_shown(error: BaseException) -> str:
    """Message, fields, representation and the stack trace as the Functions worker logs it."""
    fields = getattr(error, "errors", ())
    return "\n".join([str(error), repr(error), repr(fields), *traceback.format_exception(error)])


def bad_fields(value: object) -> dict[str, str]:
    return {bad.field: bad.detail for bad in refused(json.dumps(value).encode()).errors}


class TestGood:
    def test_smallest_request(self) -> None:
        """A user and one device are enough; the app need not ask for a life time."""
        request = parse(body())
        device = request.device
        assert (request.acs_mri, request.ttl_seconds) == (ALICE, None)
        assert (device.device_uuid, device.device_token, device.platform) == ("phone", TOKEN, Platform.APPLE)

    @pytest.mark.parametrize(
        ("name", "platform"),
        [
            ("apple", Platform.APPLE),
            ("Apple", Platform.APPLE),
            ("android", Platform.FCM_V1),
            ("ANDROID", Platform.FCM_V1),
            ("gcm", Platform.FCM_V1),
            ("fcmv1", Platform.FCM_V1),
            ("FcmV1", Platform.FCM_V1),
            ("windows", Platform.WINDOWS),
            ("WINDOWS", Platform.WINDOWS),
        ],
    )
    def test_platforms(self, name: str, platform: Platform) -> None:
        """Every accepted name, in any case, comes to the hub's format."""
        assert parse(body(platform=name)).device.platform is platform

    @pytest.mark.parametrize("ttl", [300, 301, 86_400, 15_552_000])
    def test_time_to_live(self, ttl: int) -> None:
        """A life time from five minutes to half a year is taken as it is."""
        assert parse(body(ttlSeconds=ttl)).ttl_seconds == ttl

    def test_teams_time_to_live(self) -> None:
        """A Teams user's registration may live a day."""
        assert parse(body(acsMri=TEAMS_USER, ttlSeconds=86_400)).ttl_seconds == 86_400

    def test_unknown_members(self) -> None:
        """Members that nobody here knows are tolerated, in the request and in the device."""
        value = body(surprise=[{"deep": None}])
        value["deviceInfos"][0]["surprise"] = 1
        assert parse(value).device.device_token == TOKEN

    @pytest.mark.parametrize(
        ("field", "limit"), [("acsMri", 512), ("deviceUUID", 256), ("deviceToken", 4_096)]
    )
    def test_exact_limits(self, field: str, limit: int) -> None:
        """The longest value is taken, one character more is refused, counted in characters."""
        for character in ("a", "ü", "📱"):
            longest = (ALICE + ":").ljust(limit, character)
            parse(body(**{field: longest}))
            path = field if field == "acsMri" else f"deviceInfos[0].{field}"
            assert list(bad_fields(body(**{field: longest + character}))) == [path]

    @pytest.mark.parametrize("token", [" ", "a b", "\n", "é", "📱", '"}'])
    def test_opaque_token(self, token: str) -> None:
        """Nothing but type, emptiness and length of a device token is looked at."""
        assert parse(body(deviceToken=token)).device.device_token == token

    def test_repr_hides_the_token(self) -> None:
        """The request can be written down without its device token."""
        assert TOKEN not in repr(parse(body()))


class TestBad:
    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b" ",
            b"do-not-quote",
            b'{"deviceToken": "do-not-quote"',
            b'{"acsMri": "do-not-quote\xff"}',
            '{"acsMri": "do-not-quote"}'.encode("utf-16"),
            b"[" * 100_000,
            b'{"do-not-quote":' * 100_000,
            b'{"acsMri": "\\ud800"}',
            b"[]",
            b'["do-not-quote"]',
            b'"do-not-quote"',
            b"1",
            b"true",
            b"null",
        ],
    )
    def test_no_json_object(self, raw: bytes) -> None:
        """A body that is no JSON object is one error, about the body."""
        error = refused(raw)
        assert [bad.field for bad in error.errors] == ["body"]
        assert "body" in str(error)

    @pytest.mark.parametrize("field", ["acsMri", "deviceInfos"])
    @pytest.mark.parametrize("value", [MISSING, None, 1, 1.5, True, {}, {"a": "do-not-quote"}, ""])
    def test_member_of_the_wrong_kind(self, field: str, value: object) -> None:
        """A missing, null or mistyped member is named, alone."""
        assert list(bad_fields(body(**{field: value}))) == [field]

    @pytest.mark.parametrize("field", ["deviceUUID", "deviceToken", "platform"])
    @pytest.mark.parametrize("value", [MISSING, None, 1, 1.5, True, {}, ["do-not-quote"], ""])
    def test_member_of_the_device_of_the_wrong_kind(self, field: str, value: object) -> None:
        """So is one of the device, with its path."""
        assert list(bad_fields(body(**{field: value}))) == [f"deviceInfos[0].{field}"]

    def test_number_of_devices(self) -> None:
        """Exactly one device: none and two are refused."""
        device = body()["deviceInfos"][0]
        for devices in ([], [device, device]):
            assert list(bad_fields(body(deviceInfos=devices))) == ["deviceInfos"]

    @pytest.mark.parametrize("device", [None, 1, "do-not-quote", ["do-not-quote"]])
    def test_device_that_is_no_object(self, device: object) -> None:
        """A device that is no object is named by its place."""
        assert list(bad_fields(body(deviceInfos=[device]))) == ["deviceInfos[0]"]

    @pytest.mark.parametrize(
        "name", ["baidu", "adm", "windowsphone", "none", "apns", "ios", "do-not-quote", " apple", "ﬁ", "\x00"]
    )
    def test_unknown_platform(self, name: str) -> None:
        """A platform without calls is refused with the list of those that have them."""
        detail = bad_fields(body(platform=name))["deviceInfos[0].platform"]
        assert detail == "must be one of: apple, android, gcm, fcmv1, windows"

    @pytest.mark.parametrize(
        "ttl",
        [299, 0, -1, 15_552_001, 10**30, 300.0, 86_400.5, True, False, "86400", "do-not-quote", None, [], {}],
    )
    def test_time_to_live(self, ttl: object) -> None:
        """Outside the range, or no whole number: refused with the range."""
        detail = bad_fields(body(ttlSeconds=ttl))["ttlSeconds"]
        assert "300" in detail
        assert "15552000" in detail

    def test_teams_time_to_live(self) -> None:
        """The range that a Teams user hears ends with a day."""
        detail = bad_fields(body(acsMri=TEAMS_USER, ttlSeconds=86_401))["ttlSeconds"]
        assert "86400" in detail
        assert "15552000" not in detail

    @pytest.mark.parametrize(
        "mri",
        ["8:teamsvisitor:x", "4:+14255550123", "28:orgid:x", "alice", "8:acs:", "8:ACS:x", "do-not-quote"],
    )
    def test_user_that_owns_no_device(self, mri: str) -> None:
        """A phone number, a visitor, an app or no MRI at all cannot own a device; the answer says who can."""
        detail = bad_fields(body(acsMri=mri))["acsMri"]
        assert "8:acs:" in detail
        assert "8:orgid:" in detail

    def test_all_at_once(self) -> None:
        """One error names every bad field, the life time among them."""
        value = body(acsMri="", deviceUUID=MISSING, deviceToken=7, platform="do-not-quote", ttlSeconds=1)
        error = refused(json.dumps(value).encode())
        wanted = [
            "acsMri",
            "deviceInfos[0].deviceUUID",
            "deviceInfos[0].deviceToken",
            "deviceInfos[0].platform",
            "ttlSeconds",
        ]
        assert sorted(bad.field for bad in error.errors) == sorted(wanted)
        assert all(name in str(error) for name in wanted)
        assert all(bad.detail for bad in error.errors)

    def test_answer(self) -> None:
        """It is the sender's fault, and trying again does not help."""
        error = refused(b"")
        assert (error.http_status, error.code) == (400, "invalid_request")


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([TOKEN, ALICE, TEAMS_USER, "apple", "8:acs:" + MARKER]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["deviceUUID", "deviceToken", "platform", MARKER]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
BODIES = st.dictionaries(
    st.sampled_from(["acsMri", "deviceInfos", "ttlSeconds", MARKER]), ODD, max_size=4
) | st.builds(
    lambda changes: body(**changes),
    st.dictionaries(
        st.sampled_from(["acsMri", "deviceInfos", "ttlSeconds", "deviceUUID", "deviceToken", "platform"]), ODD
    ),
)


def parses_or_says_why(raw: bytes) -> bool:
    """True if it parses, or is refused for reasons that quote nothing; anything else is raised."""
    try:
        parse_json(AddDeviceTokenRequest, raw)
    except InvalidRequestError as error:
        return bool(error.errors) and MARKER not in everything_shown(error)
    return True


@given(st.binary())
def test_any_bytes(raw: bytes) -> None:
    """Whatever bytes arrive, they parse or are refused without being quoted; nothing else happens."""
    assert parses_or_says_why(raw)


@given(BODIES | ODD)
def test_any_json(value: object) -> None:
    """Whatever JSON arrives, it parses or is refused without being quoted; nothing else happens."""
    assert parses_or_says_why(json.dumps(value).encode())


@given(BODIES, st.integers(min_value=0, max_value=300))
def test_any_cut_json(value: object, length: int) -> None:
    """A body that breaks off parses or is refused without being quoted; nothing else happens."""
    assert parses_or_says_why(json.dumps(value).encode()[:length])
