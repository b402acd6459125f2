"""The body of AddDeviceToken: what is accepted, and the one error that lists everything that is wrong."""

import json
import traceback
import uuid
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.device import Purpose
from models.errors import InvalidRequestError
from models.platform import Platform
from models.requests import AddDeviceTokenRequest, DeviceQuery, FieldRules
from models.validation import parse_json, parse_query
from tests.fakes import ALICE, TEAMS_USER
from tests.subscriptions import subscription, subscription_text

TOKEN = "do-not-quote-this-device-token"
"""For Android, whose tokens may be any printable text."""
HEX = "ab" * 32
MARKER = "do-not-quote"
MISSING: Any = object()
NO_TEXTS: list[Any] = [None, 1, 1.5, True, {}, [], {"a": "do-not-quote"}]


def body(**changes: object) -> dict[str, Any]:
    """A valid body with some members changed, those of the device in the device."""
    device: dict[str, Any] = {"deviceUUID": "phone", "deviceToken": TOKEN, "platform": "android"}
    whole: dict[str, Any] = {"acsMri": ALICE, "deviceInfos": [device]}
    for name, value in changes.items():
        target = device if name in {*device, "purpose", "hub"} else whole
        if value is MISSING:
            del target[name]
        else:
            target[name] = value
    return whole


def parse(value: object) -> AddDeviceTokenRequest:
    return parse_json(AddDeviceTokenRequest, json.dumps(value).encode())


def refused(raw: bytes) -> InvalidRequestError:
    """The error, after a check that nothing that can be logged or answered quotes what was sent."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_json(AddDeviceTokenRequest, raw)
    assert MARKER not in everything_shown(caught.value)
    return caught.value


def everything_shown(error: BaseException) -> str:
    """Message, fields, representation, and the stack trace that the Functions worker logs."""
    fields = getattr(error, "errors", ())
    return "\n".join([str(error), repr(error), repr(fields), *traceback.format_exception(error)])


def bad_fields(value: object) -> dict[str, str]:
    return {bad.field: bad.detail for bad in refused(json.dumps(value).encode()).errors}


class TestAccepted:
    def test_smallest_request(self) -> None:
        """A user and one device are enough."""
        request = parse(body())
        device = request.device
        assert (request.owner.mri, request.ttl_seconds) == (ALICE, None)
        assert (device.device_uuid, device.device_token, device.platform) == ("phone", TOKEN, Platform.FCM_V1)

    @pytest.mark.parametrize(
        ("name", "token", "platform"),
        [
            ("apple", HEX, Platform.APPLE),
            ("Apple", HEX, Platform.APPLE),
            ("android", TOKEN, Platform.FCM_V1),
            ("ANDROID", TOKEN, Platform.FCM_V1),
            ("gcm", TOKEN, Platform.FCM_V1),
            ("fcmv1", TOKEN, Platform.FCM_V1),
            ("FcmV1", TOKEN, Platform.FCM_V1),
            ("windows", "https://a.notify.windows.com/?token=b", Platform.WINDOWS),
            ("WINDOWS", "https://a.notify.windows.com/?token=b", Platform.WINDOWS),
        ],
    )
    def test_platforms(self, name: str, token: str, platform: Platform) -> None:
        """Every accepted name, in any letter case, stands for the hub's format."""
        assert parse(body(platform=name, deviceToken=token)).device.platform is platform

    @pytest.mark.parametrize(
        ("sent", "purpose"),
        [
            (MISSING, Purpose.CALLS), (None, Purpose.CALLS), ("calls", Purpose.CALLS),
            ("alerts", Purpose.ALERTS), ("ALERTS", Purpose.ALERTS),
        ],
    )  # fmt: skip
    def test_purpose(self, sent: object, purpose: Purpose) -> None:
        """A token is for calls unless the app says that it is for alerts."""
        changes = {} if sent is MISSING else {"purpose": sent}
        assert parse(body(platform="apple", deviceToken=HEX, **changes)).device.purpose is purpose

    @pytest.mark.parametrize("platform", ["android", "windows", "web"])
    def test_purpose_of_others(self, platform: str) -> None:
        """On the other platforms one registration serves both."""
        token = {"windows": "https://a.notify.windows.com/?token=b", "web": subscription_text()}
        request = parse(body(platform=platform, deviceToken=token.get(platform, TOKEN), purpose="calls"))
        assert request.device.purpose is Purpose.CALLS

    @pytest.mark.parametrize("sent", [MISSING, None, "default", "DEFAULT"])
    def test_hub(self, sent: object) -> None:
        """The hub is the default one unless the app names another."""
        assert parse(body(**({} if sent is MISSING else {"hub": sent}))).device.hub == "default"

    def test_named_hub(self) -> None:
        """A named hub, in any letter case."""
        raw = json.dumps(body(hub="SandBox")).encode()
        rules = FieldRules(hubs=("default", "sandbox"))
        assert parse_json(AddDeviceTokenRequest, raw, rules).device.hub == "sandbox"

    @pytest.mark.parametrize("ttl", [300, 301, 86_400, 15_552_000])
    def test_time_to_live(self, ttl: int) -> None:
        """A time to live from five minutes to 180 days is accepted."""
        assert parse(body(ttlSeconds=ttl)).ttl_seconds == ttl

    @pytest.mark.parametrize("ttl", [300.0, 86_400.0, 15_552_000.0])
    def test_whole_number_in_decimals(self, ttl: float) -> None:
        """JSON has one kind of number, and some clients write a whole one with `.0`."""
        assert parse(body(ttlSeconds=ttl)).ttl_seconds == int(ttl)

    def test_teams_time_to_live(self) -> None:
        """A Teams user's registration may live for a day."""
        assert parse(body(acsMri=TEAMS_USER, ttlSeconds=86_400)).ttl_seconds == 86_400

    def test_null_time_to_live(self) -> None:
        """null means "not given": generated clients send it for a value that is not set."""
        assert parse(body(ttlSeconds=None)).ttl_seconds is None

    def test_unknown_members(self) -> None:
        """Unknown members are ignored, in the request and in the device."""
        value = body(surprise=[{"deep": None}])
        value["deviceInfos"][0]["surprise"] = 1
        assert parse(value).device.device_token == TOKEN

    @pytest.mark.parametrize(
        ("field", "limit"), [("acsMri", 512), ("deviceUUID", 256), ("deviceToken", 4_096)]
    )
    def test_exact_limits(self, field: str, limit: int) -> None:
        """The longest value is accepted; one character more is refused. Characters are counted, not bytes."""
        for character in ("a",) if field == "deviceToken" else ("a", "ü", "📱"):
            longest = (ALICE + ":").ljust(limit, character)
            parse(body(**{field: longest}))
            path = field if field == "acsMri" else f"deviceInfos[0].{field}"
            assert bad_fields(body(**{field: longest + character})) == {
                path: f"must have at most {limit} characters"
            }

    def test_repr_hides_the_token(self) -> None:
        """The representation of a request holds no device token."""
        assert TOKEN not in repr(parse(body()))

    def test_byte_order_mark(self) -> None:
        """A UTF-8 byte order mark before the body is ignored."""
        raw = json.dumps(body()).encode("utf-8-sig")
        assert parse_json(AddDeviceTokenRequest, raw) == parse(body())


def renamed(value: object, how: Any) -> object:
    """The same JSON with every member's name changed."""
    if isinstance(value, dict):
        return {how(name): renamed(each, how) for name, each in value.items()}
    return [renamed(each, how) for each in value] if isinstance(value, list) else value


class TestNames:
    @pytest.mark.parametrize(
        "how", [str.upper, str.lower, str.title, lambda name: name[0].upper() + name[1:]]
    )
    def test_any_letter_case(self, how: Any) -> None:
        """Members' names are read in any letter case, as .NET does."""
        assert parse(renamed(body(ttlSeconds=300), how)) == parse(body(ttlSeconds=300))

    @pytest.mark.parametrize("order", [1, -1])
    def test_exact_name_wins(self, order: int) -> None:
        """Where a member is there twice, the exact name counts, wherever it stands."""
        members = [("ACSMRI", MARKER), ("acsMri", ALICE), ("acsmri", MARKER)][::order]
        request = parse({**dict(members), "deviceInfos": body()["deviceInfos"]})
        assert request.owner.mri == ALICE

    @pytest.mark.parametrize(
        ("wrong", "right"),
        [
            ("deviceUuids", "deviceUUID"),
            ("deviceId", "deviceUUID"),
            ("device_token", "deviceToken"),
            ("platfrom", "platform"),
        ],
    )
    def test_misspelled_member_of_the_device(self, wrong: str, right: str) -> None:
        """A similar unknown name is pointed out beside the missing one."""
        value = body()
        device = value["deviceInfos"][0]
        device[wrong] = device.pop(right)
        assert bad_fields(value) == {f"deviceInfos[0].{right}": f"is missing; you sent {wrong}"}

    def test_misspelled_member_of_the_body(self) -> None:
        """So is one of the body."""
        value = body(acs_mri=ALICE, acsMri=MISSING)
        value["deviceInfo"] = value.pop("deviceInfos")
        assert bad_fields(value) == {
            "acsMri": "is missing; you sent acs_mri",
            "deviceInfos": "is missing; you sent deviceInfo",
        }

    @pytest.mark.parametrize(
        "name", ["deviceToken ", "deviceToken\n", "device-do-not-quote", "d" * 41, "", "ü"]
    )
    def test_what_is_no_name_is_not_shown(self, name: str) -> None:
        """Only what looks like a name is shown."""
        value = body(deviceToken=MISSING)
        value["deviceInfos"][0][name] = TOKEN
        assert bad_fields(value) == {"deviceInfos[0].deviceToken": "is missing"}

    def test_known_names_are_not_similar(self) -> None:
        """No known name is taken for a misspelling of another."""
        names = ["deviceUUID", "deviceToken", "platform"]
        for present in [*combinations(names, 2), *combinations(names, 1)]:
            value = body(**dict.fromkeys(set(names) - set(present), MISSING))
            assert set(bad_fields(value).values()) == {"is missing"}


class TestRefused:
    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b" ",
            b"do-not-quote",
            b'{"deviceToken": "do-not-quote"',
            b'{"acsMri": "do-not-quote\xff"}',
            '{"acsMri": "do-not-quote"}'.encode("utf-16"),
            b"\xef\xbb\xbf",
            b"[" * 100_000,
            b'{"do-not-quote":' * 100_000,
            b'{"acsMri": "\\ud800"}',
        ],
    )
    def test_no_json(self, raw: bytes) -> None:
        """A body that is no JSON is one error about the body."""
        error = refused(raw)
        assert [(bad.field, bad.detail) for bad in error.errors] == [("body", "must be JSON in UTF-8")]
        assert "body" in str(error)

    @pytest.mark.parametrize("raw", [b"[]", b'["do-not-quote"]', b'"do-not-quote"', b"1", b"true", b"null"])
    def test_no_object(self, raw: bytes) -> None:
        """So is JSON that is no object."""
        assert [(bad.field, bad.detail) for bad in refused(raw).errors] == [("body", "must be a JSON object")]

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (MISSING, "is missing"),
            ("", "must not be empty"),
            *((value, "must be text") for value in NO_TEXTS),
        ],
    )
    @pytest.mark.parametrize("field", ["acsMri", "deviceUUID", "deviceToken"])
    def test_text(self, field: str, value: object, said: str) -> None:
        """A missing, empty or mistyped member is named, alone, with its path."""
        path = field if field == "acsMri" else f"deviceInfos[0].{field}"
        assert bad_fields(body(**{field: value})) == {path: said}

    @pytest.mark.parametrize("devices", [None, 1, "", {}, {"0": {}}, [], [{}, {}], ["do-not-quote"] * 3])
    def test_number_of_devices(self, devices: object) -> None:
        """Exactly one device is accepted."""
        assert bad_fields(body(deviceInfos=devices)) == {
            "deviceInfos": "must be a list of exactly one device"
        }

    @pytest.mark.parametrize("device", [None, 1, "do-not-quote", ["do-not-quote"]])
    def test_device_that_is_no_object(self, device: object) -> None:
        """A device that is no object is named by its place."""
        assert bad_fields(body(deviceInfos=[device])) == {"deviceInfos[0]": "must be a JSON object"}

    @pytest.mark.parametrize(
        "name",
        ["baidu", "adm", "windowsphone", "none", "apns", "ios", "do-not-quote", " apple", "ﬁ", "\x00", "",
         None, 1, True, {}, ["apple"]],
    )  # fmt: skip
    def test_unknown_platform(self, name: object) -> None:
        """A platform without calls is refused with the list of the accepted names."""
        assert bad_fields(body(platform=name)) == {
            "deviceInfos[0].platform": "must be one of: apple, android, gcm, fcmv1, windows, browser, web"
        }

    @pytest.mark.parametrize("purpose", ["", "ring", "calls ", 7, ["alerts"], True])
    def test_unknown_purpose(self, purpose: object) -> None:
        """Any other purpose is refused with the list of the two."""
        found = bad_fields(body(platform="apple", deviceToken=HEX, purpose=purpose))
        assert found == {"deviceInfos[0].purpose": "must be one of: calls, alerts"}

    @pytest.mark.parametrize("platform", ["android", "gcm", "windows", "web"])
    def test_alerts_on_another_platform(self, platform: str) -> None:
        """Only an iPhone has a token for alerts."""
        token = {"windows": "https://a.notify.windows.com/?token=b", "web": subscription_text()}
        found = bad_fields(body(platform=platform, deviceToken=token.get(platform, TOKEN), purpose="alerts"))
        assert list(found) == ["deviceInfos[0].purpose"]
        assert "only an iPhone" in found["deviceInfos[0].purpose"]

    def test_alerts_on_an_unknown_platform(self) -> None:
        """The platform alone is wrong."""
        assert list(bad_fields(body(platform="ios", purpose="alerts"))) == ["deviceInfos[0].platform"]

    @pytest.mark.parametrize("hub", ["", "sandbox", "default ", MARKER, 7, ["default"], {}])
    def test_unknown_hub(self, hub: object) -> None:
        """A hub that the settings do not name is refused with the list of the known ones."""
        assert bad_fields(body(hub=hub)) == {"deviceInfos[0].hub": "must be one of: default"}

    @pytest.mark.parametrize(
        ("platform", "token", "said"),
        [
            ("apple", TOKEN, "hexadecimal"),
            ("apple", "{length = 32, bytes = 0x965b251c 6cb1926d ... 376eab7c }", "hexadecimal"),
            ("apple", HEX[:-1], "64"),
            ("fcmv1", "do-not-quote this", "ASCII"),
            ("windows", "https://do-not-quote.test/", "notify.windows.com"),
            ("apple", "(null)", "placeholder"),
            ("gcm", "BLACKLISTED", "placeholder"),
            ("browser", "https://do-not-quote.test/", "JSON.stringify"),
            ("web", subscription_text("http://do-not-quote.test/"), "endpoint"),
            ("web", subscription_text(p256dh=MARKER, auth=MARKER), "keys.auth"),
        ],
    )
    def test_token_of_another_shape(self, platform: str, token: str, said: str) -> None:
        """A token that can never ring is refused with what is expected."""
        found = bad_fields(body(platform=platform, deviceToken=token))
        assert list(found) == ["deviceInfos[0].deviceToken"]
        assert said in found["deviceInfos[0].deviceToken"]

    def test_subscription_as_an_object(self) -> None:
        """A page that forgets to make text of its subscription is told how."""
        found = bad_fields(body(platform="web", deviceToken=subscription(MARKER)))
        assert found == {"deviceInfos[0].deviceToken": "must be text: send JSON.stringify(subscription)"}

    def test_browser_of_a_teams_user(self) -> None:
        """The web Calling SDK takes no push for a Teams user."""
        (said,) = bad_fields(body(acsMri=TEAMS_USER, platform="web", deviceToken=subscription_text())).items()
        assert said[0] == "deviceInfos[0].platform"
        assert "Teams user" in said[1]

    def test_token_is_stored_in_one_spelling(self) -> None:
        """An old spelling of an Apple token is taken without brackets and spaces."""
        spelled = f"<{HEX[:8]} {HEX[8:]}>"
        assert parse(body(platform="apple", deviceToken=spelled)).device.device_token == HEX

    def test_token_of_an_unknown_platform(self) -> None:
        """Nothing is said of a token's shape where the platform is wrong."""
        assert list(bad_fields(body(platform="ios", deviceToken="a b"))) == ["deviceInfos[0].platform"]

    @pytest.mark.parametrize(
        "ttl",
        [
            299,
            0,
            -1,
            15_552_001,
            10**30,
            299.0,
            86_400.5,
            1e300,
            True,
            False,
            "86400",
            "do-not-quote",
            [],
            {},
        ],
    )
    def test_time_to_live(self, ttl: object) -> None:
        """A value that is out of range or no whole number is refused with the range."""
        assert bad_fields(body(ttlSeconds=ttl)) == {
            "ttlSeconds": "must be a whole number of seconds from 300 to 15552000 for this user, "
            "or be left out"
        }

    @pytest.mark.parametrize(
        "device_uuid",
        ["null", "(null)", "NULL", "undefined", "unknown", "[object Object]", f"{uuid.UUID(int=0)}"],
    )
    def test_device_uuid_that_others_send_as_well(self, device_uuid: str) -> None:
        """Two phones of a user would be one device, of which only the last one rings."""
        assert "placeholder" in bad_fields(body(deviceUUID=device_uuid))["deviceInfos[0].deviceUUID"]
        query = {"acsMri": ALICE, "deviceUUID": device_uuid}
        assert parse_query(DeviceQuery, query).device_uuid == device_uuid, "it can still be deleted"

    def test_teams_time_to_live(self) -> None:
        """A Teams user's range ends at a day."""
        detail = bad_fields(body(acsMri=TEAMS_USER, ttlSeconds=86_401))["ttlSeconds"]
        assert "86400" in detail
        assert "15552000" not in detail

    @pytest.mark.parametrize(
        "mri",
        ["8:teamsvisitor:x", "4:+14255550123", "28:orgid:x", "alice", "8:acs:", "8:acs", "do-not-quote"],
    )
    def test_user_that_owns_no_device(self, mri: str) -> None:
        """An MRI that cannot own a device is refused with the prefixes that can."""
        detail = bad_fields(body(acsMri=mri))["acsMri"]
        assert "8:acs:" in detail
        assert "8:orgid:" in detail

    def test_all_at_once(self) -> None:
        """One error lists every bad field, the time to live among them."""
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

    def test_error(self) -> None:
        """It is a 400."""
        error = refused(b"")
        assert (error.http_status, error.code) == (400, "invalid_request")


ENDS = [" ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2003"]
INVISIBLE = [
    "\0", "\x1b", "\x7f", "\x85", "\u00ad", "\u034f", "\u115f", "\u180e", "\u200b", "\u200d", "\u200e",
    "\u202e", "\u2028", "\u2060", "\u2066", "\u2800", "\u3164", "\ufe0f", "\ufeff", "\uffa0", "\U000e0001",
    "\U000e0101",
]  # fmt: skip


class TestIdentifiers:
    """An MRI or device UUID that looks like another one would ring on no phone, or on two."""

    @pytest.mark.parametrize("field", ["acsMri", "deviceUUID"])
    @pytest.mark.parametrize("space", ENDS, ids=ascii)
    def test_white_space_at_an_end(self, field: str, space: str) -> None:
        """White space at an end is refused."""
        for text in (f"{ALICE}{space}", f"{space}{ALICE}"):
            assert list(bad_fields(body(**{field: text})).values()) == [
                "must not begin or end with white space"
            ]

    @pytest.mark.parametrize("field", ["acsMri", "deviceUUID"])
    @pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
    def test_invisible_character(self, field: str, character: str) -> None:
        """Control characters and characters that are drawn as nothing are refused everywhere."""
        for text in (f"{ALICE}{character}", f"{character}{ALICE}", f"{ALICE}{character}x"):
            assert list(bad_fields(body(**{field: text}))) in ([field], [f"deviceInfos[0].{field}"])

    @pytest.mark.parametrize("text", ["Grace's phone", "ü", "📱", "a\u0301", "{DE-305D54}", "電話"])
    def test_visible_characters(self, text: str) -> None:
        """A device UUID may hold spaces inside, and letters and symbols of every kind."""
        assert parse(body(deviceUUID=text)).device.device_uuid == text

    @pytest.mark.parametrize("mri", [ALICE.upper(), "8:ORGID:AABBCCDD-0011-2233-4455-66778899AABB"])
    def test_letter_case_of_an_mri(self, mri: str) -> None:
        """An MRI is read in any letter case."""
        owner = parse(body(acsMri=mri)).owner
        assert (owner.mri, owner.as_received) == (mri.lower(), mri)


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
            st.sampled_from(["deviceUUID", "deviceToken", "platform", "DEVICEUUID", MARKER]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
BODIES = st.dictionaries(
    st.sampled_from(["acsMri", "deviceInfos", "ttlSeconds", "acs_mri", MARKER]), ODD, max_size=4
) | st.builds(
    lambda changes: body(**changes),
    st.dictionaries(
        st.sampled_from(["acsMri", "deviceInfos", "ttlSeconds", "deviceUUID", "deviceToken", "platform"]), ODD
    ),
)

OUR_MESSAGES = (
    "is missing", "must ", "is a placeholder", "is a token of ", "has quotes",
    "is the description of an object", "names no Communication Services or Teams user",
)  # fmt: skip


def parses_or_says_why(raw: bytes) -> bool:
    """True if it parses, or is refused by our own messages that quote nothing; anything else is raised."""
    try:
        parse_json(AddDeviceTokenRequest, raw)
    except InvalidRequestError as error:
        details = [bad.detail for bad in error.errors]
        ours = all(detail.startswith(OUR_MESSAGES) for detail in details)
        return bool(details) and ours and MARKER not in everything_shown(error)
    return True


@given(st.binary())
def test_any_bytes(raw: bytes) -> None:
    """Any bytes parse or are refused without being quoted."""
    assert parses_or_says_why(raw)


@given(BODIES | ODD)
def test_any_json(value: object) -> None:
    """Any JSON parses or is refused without being quoted."""
    assert parses_or_says_why(json.dumps(value).encode())


@given(BODIES, st.integers(min_value=0, max_value=300))
def test_any_cut_json(value: object, length: int) -> None:
    """A truncated body parses or is refused without being quoted."""
    assert parses_or_says_why(json.dumps(value).encode()[:length])
