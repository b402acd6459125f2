"""The registrar over HTTP: requests of apps written for the C# sample, and malformed ones."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from local.stack import Host, Stack
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import Documents, another_host, new_user

ADD, GET, DELETE = "add_device_token", "get_device_registrations", "delete_device_registration"
FUNCTION_OF = {
    ADD: "AddDeviceToken",
    GET: "GetDeviceRegistrations",
    DELETE: "DeleteDeviceRegistration",
}
METHOD_OF = {ADD: "POST", GET: "GET", DELETE: "DELETE"}
ACCEPTED_PLATFORMS = ("apple", "android", "gcm", "fcmv1", "windows", "browser", "web")

DAY = 86_400
LONGEST = 15_552_000
LEFT_OUT = object()


def new_token(platform: str = "apple") -> str:
    text = uuid.uuid4().hex * 2
    if platform.lower() == "windows":
        return f"https://a.notify.windows.com/?token={text}"
    return text if platform.lower() == "apple" else f"{text[:22]}:APA91b{text}"


def registration(
    acs_mri: str, device_uuid: str = "phone-1", token: str = "", platform: str = "apple", **more: object
) -> dict[str, Any]:
    info = {"deviceUUID": device_uuid, "deviceToken": token or new_token(platform), "platform": platform}
    return {"acsMri": acs_mri, "deviceInfos": [info], **more}


def tokens_of(host: Host, acs_mri: str) -> dict[str, str]:
    """Device UUID → device token, as the registrar answers it."""
    response = host.get_device_registrations(acs_mri)
    if response.status_code == 404:
        return {}
    assert response.status_code == 200, response.text
    return {info["deviceUUID"]: info["deviceToken"] for info in response.json()["deviceInfos"]}


def everything(registrations: Documents) -> list[dict[str, Any]]:
    return list(registrations.find().sort("_id"))


def problem(response: requests.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer, with what every one of them must have (RFC 9457)."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"].split(";")[0] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["type"] == "about:blank"
    assert document["title"]
    assert document["detail"]
    return document


def seconds_until(moment: str) -> float:
    return (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()


class TestWhatTheSamplesAppsSend:
    @pytest.mark.parametrize(
        ("sent", "answered"),
        [
            ("apple", "apple"),
            ("Apple", "apple"),
            ("gcm", "fcmv1"),
            ("android", "fcmv1"),
            ("Android", "fcmv1"),
            ("FCMv1", "fcmv1"),
            ("windows", "windows"),
            ("WINDOWS", "windows"),
        ],
    )
    def test_platforms(
        self, host: Host, registrations: Documents, user: str, sent: str, answered: str
    ) -> None:
        """A device is registered under the hub's name for its platform, one document a token."""
        token = new_token(sent)
        response = host.add_device_token(registration(user, "phone-1", token, sent))
        assert response.status_code == 201
        assert response.headers["Content-Type"].split(";")[0] == "application/json"
        ends = response.json()["expiresAt"]
        assert response.json() == {
            "acsMri": user,
            "deviceUUID": "phone-1",
            "platform": answered,
            "purpose": "calls",
            "hub": "default",
            "expiresAt": ends,
        }
        (info,) = host.get_device_registrations(user).json()["deviceInfos"]
        assert info == {
            "deviceUUID": "phone-1",
            "deviceToken": token,
            "platform": answered,
            "purpose": "calls",
            "hub": "default",
            "expiresAt": ends,
        }
        (document,) = registrations.find({"acsMri": user})
        assert document.keys() == {
            "_id",
            "acsMri",
            "deviceUUID",
            "deviceToken",
            "platform",
            "purpose",
            "hub",
            "expiresAt",
            "updatedAt",
        }
        assert document["expiresAt"] == datetime.fromisoformat(ends)
        assert token not in document["_id"]

    @pytest.mark.parametrize(
        "content_type",
        [None, "application/json", "application/json; charset=utf-8", "text/plain", "text/json"],
    )
    def test_content_type(self, host: Host, user: str, content_type: str | None) -> None:
        """The content type makes no difference, nor does its absence."""
        headers = {"Content-Type": content_type} if content_type else {}
        body = json.dumps(registration(user)).encode()
        response = host.call("POST", ADD, function="AddDeviceToken", data=body, headers=headers)
        assert (response.status_code, "Content-Type" in response.request.headers) == (
            201,
            content_type is not None,
        )

    def test_extra_members(self, host: Host, user: str) -> None:
        """Unknown members are ignored everywhere."""
        body = registration(user, appVersion="1.2.3", locale=None)
        body["deviceInfos"][0] |= {"model": {"name": "iPhone"}, "tags": ["a"]}
        assert host.add_device_token(body).status_code == 201

    def test_unregister(self, host: Host, registrations: Documents, user: str) -> None:
        """A deleted device is gone, the user's other one stays, and deleting it again is a 404."""
        host.add_device_token(registration(user, "phone-1"))
        host.add_device_token(registration(user, "phone-2"))
        response = host.delete_device_registration(user, "phone-1")
        assert (response.status_code, response.json()) == (200, {"acsMri": user, "deviceUUID": "phone-1"})
        assert tokens_of(host, user).keys() == {"phone-2"}
        assert registrations.count_documents({"acsMri": user}) == 1
        assert problem(host.delete_device_registration(user, "phone-1"), 404)["code"] == (
            "registration_not_found"
        )

    def test_no_store(self, host: Host, user: str) -> None:
        """Answers must not be cached."""
        host.add_device_token(registration(user))
        assert host.get_device_registrations(user).headers["Cache-Control"] == "no-store"


class TestKeys:
    @pytest.mark.parametrize("route", FUNCTION_OF)
    def test_key_in_the_query(self, host: Host, route: str, user: str) -> None:
        """The function's key is accepted as `?code=` and as a header."""
        host.add_device_token(registration(user))
        query = {
            "code": host.keys.functions[FUNCTION_OF[route]],
            "acsMri": user,
            "deviceUUID": "phone-1",
        }
        body = registration(user) if route == ADD else None
        response = host.call(METHOD_OF[route], route, params=query, json=body)
        assert response.status_code == (201 if route == ADD else 200)

    @pytest.mark.parametrize("route", FUNCTION_OF)
    @pytest.mark.parametrize("key", ["missing", "empty", "wrong", "another function's", "the webhook's"])
    def test_without_the_key(
        self, host: Host, registrations: Documents, user: str, route: str, key: str
    ) -> None:
        """Without the function's own key every function answers 401 and changes nothing."""
        host.add_device_token(registration(user))
        before = everything(registrations)
        others = next(name for name in FUNCTION_OF.values() if name != FUNCTION_OF[route])
        sent = {
            "empty": "",
            "wrong": "x" * 43,
            "another function's": host.keys.functions[others],
            "the webhook's": next(iter(host.keys.system.values())),
        }
        query = {"acsMri": user, "deviceUUID": "phone-1"}
        headers = {"x-functions-key": sent[key]} if key in sent else {}
        response = host.call(
            METHOD_OF[route], route, headers=headers, params=query, json=registration(user, "phone-2")
        )
        assert response.status_code == 401
        assert everything(registrations) == before

    def test_header_beats_query(self, host: Host, user: str) -> None:
        """A wrong key in the header is refused although the query has a right one."""
        response = host.call(
            "GET",
            GET,
            headers={"x-functions-key": "wrong"},
            params={"acsMri": user, "code": host.keys.functions["GetDeviceRegistrations"]},
        )
        assert response.status_code == 401

    @pytest.mark.parametrize("route", FUNCTION_OF)
    def test_wrong_method(self, host: Host, registrations: Documents, user: str, route: str) -> None:
        """Another method than the route's is a 404 even with the key, and changes nothing."""
        host.add_device_token(registration(user))
        before = everything(registrations)
        query = {"acsMri": user, "deviceUUID": "phone-1"}
        for method in {"GET", "POST", "DELETE", "PUT", "PATCH"} - {METHOD_OF[route]}:
            response = host.call(
                method, route, function=FUNCTION_OF[route], params=query, json=registration(user)
            )
            assert response.status_code == 404, method
        assert everything(registrations) == before


WRONG_FIELDS = [
    (("acsMri",), LEFT_OUT, "acsMri"),
    (("acsMri",), None, "acsMri"),
    (("acsMri",), 8, "acsMri"),
    (("acsMri",), ["8:acs:a_b"], "acsMri"),
    (("acsMri",), "", "acsMri"),
    (("acsMri",), "8:acs:" + "a" * 507, "acsMri"),
    (("acsMri",), "grace@example.com", "acsMri"),
    (("acsMri",), "8:acs:", "acsMri"),
    (("acsMri",), "8:teamsvisitor:1b5cc06b", "acsMri"),
    (("acsMri",), "4:+14255550123", "acsMri"),
    (("acsMri",), "28:orgid:1b5cc06b", "acsMri"),
    (("deviceInfos",), LEFT_OUT, "deviceInfos"),
    (("deviceInfos",), None, "deviceInfos"),
    (("deviceInfos",), {"0": {}}, "deviceInfos"),
    (("deviceInfos",), "phone-1", "deviceInfos"),
    (("deviceInfos",), [], "deviceInfos"),
    (
        ("deviceInfos",),
        [registration("8:acs:a_b", f"phone-{n}")["deviceInfos"][0] for n in (1, 2)],
        "deviceInfos",
    ),
    (("deviceInfos",), [None], "deviceInfos[0]"),
    (("deviceInfos",), ["phone-1"], "deviceInfos[0]"),
    *[
        (("deviceInfos", 0, name), value, f"deviceInfos[0].{name}")
        for name, limit in (("deviceUUID", 256), ("deviceToken", 4_096))
        for value in (LEFT_OUT, None, 5, ["x"], "", "x" * (limit + 1))
    ],
    *[
        (("deviceInfos", 0, "platform"), value, "deviceInfos[0].platform")
        for value in (LEFT_OUT, None, 5, "", "baidu", "adm", "windowsphone", "none", "ios", " apple")
    ],
    *[
        (("ttlSeconds",), value, "ttlSeconds")
        for value in (True, "3600", 3600.5, 0, -1, 299, LONGEST + 1, 10**30, [3600])
    ],
]


def _label(value: object) -> str:
    return "left out" if value is LEFT_OUT else repr(value)[:30]


class TestBadInput:
    @pytest.fixture(autouse=True)
    def unchanged(self, host: Host, registrations: Documents, user: str) -> Iterator[None]:
        """The user has a device; after the test the database is what it was."""
        host.add_device_token(registration(user))
        before = everything(registrations)
        yield
        assert everything(registrations) == before

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"purpose": "ring"}, "purpose"),
            ({"purpose": "alerts", "platform": "android"}, "purpose"),
            ({"hub": "sandbox"}, "hub"),
            ({"hub": 5}, "hub"),
        ],
    )
    def test_optional_members(self, host: Host, user: str, change: dict[str, object], field: str) -> None:
        """A purpose or hub that cannot be is named; a hub of the settings is named to the app."""
        body = registration(user, token=new_token(str(change.get("platform", "apple"))))
        body["deviceInfos"][0].update(change)
        response = host.add_device_token(body)
        assert self.bad_fields(response) == [f"deviceInfos[0].{field}"]
        assert ("must be one of: default" in response.text) is (field == "hub")

    def post(self, host: Host, body: bytes) -> requests.Response:
        return host.call("POST", ADD, function="AddDeviceToken", data=body)

    def bad_fields(self, response: requests.Response) -> list[str]:
        document = problem(response, 400)
        assert document["code"] == "invalid_request"
        assert all(error["detail"] for error in document["errors"])
        return sorted({error["field"] for error in document["errors"]})

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"   ",
            b"{",
            b"not JSON",
            b"\xff\xfe\x00",
            b"[]",
            b"[1]",
            b"null",
            b"5",
            b'"text"',
            b"[" * 5_000,
            b'{"acsMri": "8:acs:\xff"}',
            b'{"acsMri": "8:acs:a\\ud800"}',
        ],
        ids=lambda body: repr(body[:20]),
    )
    def test_no_object(self, host: Host, body: bytes) -> None:
        """A body that is no JSON object is one error about the body."""
        assert self.bad_fields(self.post(host, body)) == ["body"]

    @pytest.mark.parametrize(
        ("path", "value", "named"), WRONG_FIELDS, ids=[f"{f}={_label(v)}" for _, v, f in WRONG_FIELDS]
    )
    def test_one_bad_field(
        self, host: Host, user: str, path: tuple[str | int, ...], value: object, named: str
    ) -> None:
        """Each bad field is named with its path, alone; no device token is quoted."""
        token = new_token()
        body: Any = registration(user, "phone-1", token)
        inner = body
        for step in path[:-1]:
            inner = inner[step]
        if value is LEFT_OUT:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
        response = host.add_device_token(body)
        assert self.bad_fields(response) == [named]
        assert token not in response.text

    def test_all_at_once(self, host: Host) -> None:
        """One answer names every bad field."""
        body = {
            "acsMri": "4:+14255550123",
            "deviceInfos": [{"deviceUUID": "", "deviceToken": 5, "platform": "baidu"}],
            "ttlSeconds": "soon",
        }
        assert self.bad_fields(host.add_device_token(body)) == [
            "acsMri",
            "deviceInfos[0].deviceToken",
            "deviceInfos[0].deviceUUID",
            "deviceInfos[0].platform",
            "ttlSeconds",
        ]

    def test_platform_list(self, host: Host, user: str) -> None:
        """The answer to an unknown platform lists the accepted ones."""
        response = host.add_device_token(registration(user, platform="baidu"))
        (error,) = problem(response, 400)["errors"]
        assert all(name in error["detail"] for name in ACCEPTED_PLATFORMS)

    @pytest.mark.parametrize(("prefix", "longest"), [("8:acs:", LONGEST), ("8:orgid:", DAY)])
    def test_range_of_the_time_to_live(self, host: Host, prefix: str, longest: int) -> None:
        """A time to live outside the user's range is refused with that range; it is never clamped."""
        user = new_user(prefix)
        for seconds in (299, longest + 1):
            response = host.add_device_token(registration(user, ttlSeconds=seconds))
            (error,) = problem(response, 400)["errors"]
            assert error["field"] == "ttlSeconds"
            assert "300" in error["detail"]
            assert str(longest) in error["detail"]

    @pytest.mark.parametrize(
        "place", ["acsMri", "platform", "deviceToken", "ttlSeconds", "whole body", "torn"]
    )
    def test_a_device_token_is_never_echoed(self, host: Host, user: str, place: str) -> None:
        """A device token in the wrong place, overlong or in broken JSON does not come back in the answer."""
        token = new_token()
        body: Any = registration(user, "phone-1", token)
        if place == "platform":
            body["deviceInfos"][0]["platform"] = token
        elif place == "deviceToken":
            body["deviceInfos"][0]["deviceToken"] = token * 100
        elif place == "whole body":
            body = token
        else:
            body[place] = token
        text = json.dumps(body)
        response = self.post(host, (text[:-5] if place == "torn" else text).encode())
        assert self.bad_fields(response)
        assert token not in response.text
        assert token not in str(response.headers)

    @pytest.mark.parametrize(
        ("route", "query", "named"),
        [
            (GET, {}, ["acsMri"]),
            (GET, {"acsMri": ""}, ["acsMri"]),
            (GET, {"acsMri": "4:+14255550123"}, ["acsMri"]),
            (GET, {"acsMri": "8:acs:" + "a" * 507}, ["acsMri"]),
            (DELETE, {}, ["acsMri", "deviceUUID"]),
            (DELETE, {"acsMri": "8:acs:a_b"}, ["deviceUUID"]),
            (DELETE, {"acsMri": "8:acs:a_b", "deviceUUID": "x" * 257}, ["deviceUUID"]),
            (DELETE, {"acsMri": "nobody", "deviceUUID": ""}, ["acsMri", "deviceUUID"]),
        ],
    )
    def test_queries(self, host: Host, route: str, query: dict[str, str], named: list[str]) -> None:
        """Bad and missing parameters of a query are named together."""
        response = host.call(METHOD_OF[route], route, function=FUNCTION_OF[route], params=query)
        assert self.bad_fields(response) == named

    def test_not_found(self, host: Host, user: str) -> None:
        """A user without devices, and a device that the user does not have, are 404 problem documents."""
        for response in (
            host.get_device_registrations(new_user()),
            host.delete_device_registration(user, "phone-2"),
            host.delete_device_registration(new_user(), "phone-1"),
        ):
            assert problem(response, 404)["code"] == "registration_not_found"


class TestDotNetClients:
    """Apps written for the C# sample are .NET clients."""

    def add(self, host: Host, data: Any, **headers: str) -> requests.Response:
        return host.call("POST", ADD, function="AddDeviceToken", data=data, headers=headers)

    def test_names_in_any_letter_case(self, host: Host, user: str) -> None:
        """Members and query parameters are read in any letter case."""
        device = {"DeviceUUID": "phone-1", "DEVICETOKEN": new_token(), "Platform": "apple"}
        assert host.add_device_token({"AcsMri": user, "deviceinfos": [device]}).status_code == 201
        query = {"ACSMRI": user}
        assert host.call("GET", GET, function=FUNCTION_OF[GET], params=query).status_code == 200
        query = {"AcsMri": user, "deviceUuid": "phone-1"}
        assert host.call("DELETE", DELETE, function=FUNCTION_OF[DELETE], params=query).status_code == 200

    def test_byte_order_mark(self, host: Host, user: str) -> None:
        """A UTF-8 byte order mark before the body is ignored."""
        assert self.add(host, json.dumps(registration(user)).encode("utf-8-sig")).status_code == 201

    def test_null(self, host: Host, user: str) -> None:
        """`ttlSeconds: null` means that no value is given."""
        assert host.add_device_token(registration(user, ttlSeconds=None)).status_code == 201

    def test_chunked_body(self, host: Host, user: str) -> None:
        """The host passes no chunked body on; the answer says what to send instead."""
        response = self.add(host, iter([json.dumps(registration(user)).encode()]))
        assert response.request.headers["Transfer-Encoding"] == "chunked"
        (error,) = problem(response, 400)["errors"]
        assert error["field"] == "body"
        assert "Content-Length" in error["detail"]

    def test_empty_body(self, host: Host) -> None:
        """A body with a `Content-Length` of 0 is simply empty."""
        (error,) = problem(self.add(host, b"", **{"Content-Length": "0"}), 400)["errors"]
        assert (error["field"], error["detail"]) == ("body", "is empty; send a JSON object")

    def test_misspelled_member(self, host: Host, user: str) -> None:
        """The answer names the misspelled member beside the missing one."""
        body = registration(user)
        body["deviceInfos"][0]["deviceUuids"] = body["deviceInfos"][0].pop("deviceUUID")
        (error,) = problem(host.add_device_token(body), 400)["errors"]
        assert error == {"field": "deviceInfos[0].deviceUUID", "detail": "is missing; you sent deviceUuids"}


class TestOneDocumentADeviceToken:
    def test_refresh(self, host: Host, registrations: Documents, user: str) -> None:
        """The same registration again answers 201 and extends its life; there is still one document."""
        body = registration(user)
        assert host.add_device_token({**body, "ttlSeconds": 300}).status_code == 201
        response = host.add_device_token({**body, "ttlSeconds": 3_600})
        assert response.status_code == 201
        (document,) = registrations.find({"acsMri": user})
        assert document["expiresAt"] == datetime.fromisoformat(response.json()["expiresAt"])
        assert 3_590 < seconds_until(response.json()["expiresAt"]) <= 3_600

    def test_another_user_on_the_same_phone(self, host: Host, registrations: Documents, user: str) -> None:
        """A token that another user registers moves to them: the first user's calls no longer ring there."""
        second, token = new_user(), new_token()
        host.add_device_token(registration(user, "phone-1", token))
        host.add_device_token(registration(second, "phone-1", token))
        assert tokens_of(host, user) == {}
        assert tokens_of(host, second) == {"phone-1": token}
        assert registrations.count_documents({"deviceToken": token}) == 1

    def test_rotated_token(self, host: Host, registrations: Documents, user: str) -> None:
        """A new token of the same device replaces the old one; the user's other device keeps its own."""
        old, new, other = new_token(), new_token(), new_token()
        host.add_device_token(registration(user, "phone-1", old))
        host.add_device_token(registration(user, "phone-2", other))
        host.add_device_token(registration(user, "phone-1", new))
        assert tokens_of(host, user) == {"phone-1": new, "phone-2": other}
        assert registrations.count_documents({"acsMri": user}) == 2

    def test_same_device_uuid_of_two_users(self, host: Host, user: str) -> None:
        """Two users may give their devices the same UUID."""
        second, tokens = new_user(), (new_token(), new_token())
        host.add_device_token(registration(user, "phone-1", tokens[0]))
        host.add_device_token(registration(second, "phone-1", tokens[1]))
        host.delete_device_registration(second, "phone-1")
        assert tokens_of(host, user) == {"phone-1": tokens[0]}

    def test_changed_platform(self, host: Host, registrations: Documents, user: str) -> None:
        """A device that registers on another platform is kept on that one only."""
        for platform in ("apple", "android"):
            host.add_device_token(registration(user, "phone-1", new_token(platform), platform))
        assert [document["platform"] for document in registrations.find({"acsMri": user})] == ["fcmv1"]


class TestTimeToLive:
    @pytest.mark.parametrize(
        ("prefix", "asked", "granted"),
        [
            ("8:acs:", 300, 300),
            ("8:acs:", LONGEST, LONGEST),
            ("8:acs:", None, DAY),
            ("8:spool:", None, DAY),
            ("8:gcch-acs:", 7 * DAY, 7 * DAY),
            ("8:orgid:", None, DAY),
            ("8:dod:", DAY, DAY),
        ],
    )
    def test_answered(self, host: Host, prefix: str, asked: int | None, granted: int) -> None:
        """The registration lives as long as requested, or a day; the answer says until when."""
        body = registration(new_user(prefix))
        response = host.add_device_token(body if asked is None else {**body, "ttlSeconds": asked})
        assert response.status_code == 201
        assert response.json()["expiresAt"].endswith("Z")
        assert granted - 10 < seconds_until(response.json()["expiresAt"]) <= granted

    def test_expired_registrations_do_not_exist(
        self, host: Host, registrations: Documents, user: str
    ) -> None:
        """An expired registration is not found, swept or not; an unexpired one of the same user is."""
        host.add_device_token(registration(user, "old"))
        host.add_device_token(registration(user, "young"))
        ended = datetime.now(UTC) - timedelta(seconds=1)
        registrations.update_one({"acsMri": user, "deviceUUID": "old"}, {"$set": {"expiresAt": ended}})
        assert tokens_of(host, user).keys() == {"young"}
        problem(host.delete_device_registration(user, "old"), 404)
        registrations.update_one({"acsMri": user, "deviceUUID": "young"}, {"$set": {"expiresAt": ended}})
        problem(host.get_device_registrations(user), 404)
        registrations.delete_many({"acsMri": user})

    def test_the_database_has_a_ttl_index(self, host: Host, registrations: Documents, user: str) -> None:
        """The database deletes expired documents, and users are found by an index."""
        host.add_device_token(registration(user))
        indexes = {name: index for name, index in registrations.index_information().items() if name != "_id_"}
        keys = {index["key"][0][0]: index.get("expireAfterSeconds") for index in indexes.values()}
        assert keys == {"acsMri": None, "hub": None, "expiresAt": 0}


@pytest.fixture(scope="module")
def week_host(stack: Stack) -> Iterator[Host]:
    """A host with a default time to live of a week."""
    with another_host(stack, HostLog(), {"DefaultTtlSeconds": str(7 * DAY)}) as running:
        yield running


class TestDefaultTimeToLive:
    @pytest.mark.parametrize(
        ("prefix", "granted"), [("8:acs:", 7 * DAY), ("8:orgid:", DAY), ("8:gcch:", DAY), ("8:dod:", DAY)]
    )
    def test_comes_from_the_settings(self, week_host: Host, prefix: str, granted: int) -> None:
        """The default is a setting; a Teams user's is never more than a day."""
        response = week_host.add_device_token(registration(new_user(prefix)))
        assert response.status_code == 201
        assert granted - 10 < seconds_until(response.json()["expiresAt"]) <= granted

    def test_requested_value_wins(self, week_host: Host, user: str) -> None:
        """A requested time to live is used whatever the default is."""
        response = week_host.add_device_token(registration(user, ttlSeconds=600))
        assert 590 < seconds_until(response.json()["expiresAt"]) <= 600
