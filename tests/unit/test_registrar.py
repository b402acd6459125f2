"""The registrar's functions, over a device store in memory."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest
from pymongo.errors import AutoReconnect

from models.errors import ConfigurationError
from models.identity import Identity
from models.platform import Platform
from models.requests import FieldRules
from registrar.access import KeyAccess
from registrar.registrations import Limits, Registrar
from registrar.routes import registrar_blueprint
from registrar.store import DeviceStore
from tests.fakes import ALICE, BOB, NOW, TEAMS_USER, FakeClock, Invocation, app_log, registration
from tests.memory_store import FailingCollection, device_store, new_collection, no_rate_limit
from tests.subscriptions import subscription

DEFAULT_TTL = 86_400
TOKEN = "d0" * 32
"""Must be quoted nowhere."""
TOKENS = {"windows": "https://a.notify.windows.com/?token=b", "fcmv1": "d0:APA91bd0"}
"""For platforms on which `TOKEN` is none."""


class Service:
    """The function app's HTTP side: the functions as the worker finds them."""

    def __init__(self, registrar: Callable[[], Registrar]) -> None:
        app = func.FunctionApp()
        app.register_functions(registrar_blueprint(registrar))
        self.functions = {each.get_function_name(): each for each in app.get_functions()}

    def call(self, name: str, *, body: bytes = b"", **params: str) -> tuple[int, dict[str, Any]]:
        """Status and body of an answer."""
        response = self.respond(name, body=body, params=params)
        answer = json.loads(response.get_body())
        assert isinstance(answer, dict)
        return response.status_code, answer

    def respond(
        self,
        name: str,
        *,
        body: bytes = b"",
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> func.HttpResponse:
        """The whole answer."""
        function = self.functions[name].get_user_function()
        response = function(
            func.HttpRequest("", "/", headers=headers, params=params, body=body), Invocation()
        )
        assert isinstance(response, func.HttpResponse)
        return response

    def add(self, **changes: object) -> tuple[int, dict[str, Any]]:
        """The answer to AddDeviceToken."""
        return self.call("AddDeviceToken", body=add_body(**changes))

    def get(self, user: str = ALICE) -> tuple[int, dict[str, Any]]:
        """The answer to GetDeviceRegistrations."""
        return self.call("GetDeviceRegistrations", acsMri=user)

    def delete(self, user: str = ALICE, device: str = "phone") -> tuple[int, dict[str, Any]]:
        """The answer to DeleteDeviceRegistration."""
        return self.call("DeleteDeviceRegistration", acsMri=user, deviceUUID=device)


def add_body(**changes: object) -> bytes:
    device: dict[str, object] = {"deviceUUID": "phone", "deviceToken": TOKEN, "platform": "apple"}
    whole: dict[str, object] = {"acsMri": ALICE, "deviceInfos": [device]}
    for name, value in changes.items():
        (device if name in {*device, "hub", "purpose"} else whole)[name] = value
    return json.dumps(whole).encode()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW + timedelta(microseconds=987_654))


@pytest.fixture
def collection() -> FailingCollection:
    return FailingCollection(new_collection())


@pytest.fixture
def store(collection: FailingCollection) -> DeviceStore:
    return device_store(collection)


@pytest.fixture
def service(store: DeviceStore, clock: FakeClock) -> Service:
    return Service(lambda: registrar(store, clock, DEFAULT_TTL))


def registrar(store: DeviceStore, clock: FakeClock, default_ttl_seconds: int) -> Registrar:
    """A registrar in the mode `key`, with two hubs and without a limit on changes."""
    limits = Limits(default_ttl_seconds, 20, 65_536, FieldRules(hubs=("default", "sandbox")))
    return Registrar(store, KeyAccess(), no_rate_limit(), clock, limits)


EVERY_FUNCTION = pytest.mark.parametrize(
    ("name", "body", "params"),
    [
        ("AddDeviceToken", add_body(), {}),
        ("GetDeviceRegistrations", b"", {"acsMri": ALICE}),
        ("DeleteDeviceRegistration", b"", {"acsMri": ALICE, "deviceUUID": "phone"}),
        ("DeleteUserRegistrations", b"", {"acsMri": ALICE}),
    ],
)


class TestWiring:
    @pytest.mark.parametrize(
        ("name", "route", "method"),
        [
            ("AddDeviceToken", "add_device_token", "POST"),
            ("GetDeviceRegistrations", "get_device_registrations", "GET"),
            ("DeleteDeviceRegistration", "delete_device_registration", "DELETE"),
            ("DeleteUserRegistrations", "delete_user_registrations", "DELETE"),
        ],
    )
    def test_routes(self, service: Service, name: str, route: str, method: str) -> None:
        """Names, routes and methods are those of Microsoft's sample, and a key is needed."""
        assert len(service.functions) == 4
        trigger = service.functions[name].get_trigger()
        assert trigger is not None
        binding = json.loads(json.dumps(trigger.get_dict_repr(), default=str))
        assert (binding["route"], [str(each).upper() for each in binding["methods"]]) == (route, [method])
        assert "ANONYMOUS" not in str(binding.get("authLevel")).upper()

    def test_registrar_is_built_on_use(self) -> None:
        """Indexing the functions builds no registrar."""

        def fail() -> Registrar:
            raise AssertionError("built too early")

        assert len(Service(fail).functions) == 4


class TestAdd:
    def test_new_and_refreshed(self, service: Service, clock: FakeClock) -> None:
        """201 for a new and for a refreshed registration, with its expiry; the token is not echoed."""
        expected = {
            "acsMri": ALICE, "deviceUUID": "phone", "platform": "apple", "purpose": "calls", "hub": "default",
        }  # fmt: skip
        assert service.add() == (201, {**expected, "expiresAt": "2100-02-01T12:00:00Z"})
        clock.sleep(60)
        assert service.add() == (201, {**expected, "expiresAt": "2100-02-01T12:01:00Z"})

    def test_whole_seconds(self, service: Service, store: DeviceStore) -> None:
        """A registration expires at the very second that the app was told."""
        service.add()
        (found,) = store.devices_of(Identity.parse(ALICE), NOW)
        assert found.expires_at == NOW + timedelta(seconds=DEFAULT_TTL)

    @pytest.mark.parametrize(
        ("sent", "answered"), [("Android", "fcmv1"), ("gcm", "fcmv1"), ("Windows", "windows")]
    )
    def test_platform(self, service: Service, sent: str, answered: str) -> None:
        """The platform is answered as the hub's format."""
        token = TOKENS.get(answered, TOKEN)
        assert service.add(platform=sent, deviceToken=token)[1]["platform"] == answered
        assert service.get()[1]["deviceInfos"][0]["platform"] == answered

    def test_requested_time_to_live(self, service: Service, clock: FakeClock) -> None:
        """A registration lives as long as the app asks."""
        assert service.add(ttlSeconds=300)[1]["expiresAt"] == "2100-01-31T12:05:00Z"
        clock.sleep(299)
        assert service.get()[0] == 200
        clock.sleep(1)
        assert service.get()[0] == 404

    def test_default_time_to_live(self, store: DeviceStore, clock: FakeClock) -> None:
        """Otherwise for the default, up to the maximum of the user's kind; null counts as left out."""
        service = Service(lambda: registrar(store, clock, 15_552_000))
        assert service.add()[1]["expiresAt"] == "2100-07-30T12:00:00Z"
        assert service.add(ttlSeconds=None)[1]["expiresAt"] == "2100-07-30T12:00:00Z"
        assert service.add(acsMri=TEAMS_USER)[1]["expiresAt"] == "2100-02-01T12:00:00Z"

    def test_bad_request(self, service: Service) -> None:
        """A bad body is a problem document that names every field and quotes none."""
        status, problem = service.add(acsMri="", platform="baidu", ttlSeconds=1)
        assert (status, problem["code"], problem["status"]) == (400, "invalid_request", 400)
        fields = [bad["field"] for bad in problem["errors"]]
        assert sorted(fields) == ["acsMri", "deviceInfos[0].platform", "ttlSeconds"]
        assert TOKEN not in json.dumps(problem)
        assert service.get()[0] == 404

    @pytest.mark.parametrize("body", [b" ", b"{", b"[]", b"null", b"\xff"])
    def test_no_json(self, service: Service, body: bytes) -> None:
        """A body that is no JSON object is a 400."""
        response = service.respond("AddDeviceToken", body=body)
        assert (response.status_code, response.mimetype) == (400, "application/problem+json")

    @pytest.mark.parametrize(
        ("headers", "says_why"),
        [({"transfer-encoding": "chunked"}, True), ({}, True), ({"content-length": "0"}, False)],
    )
    def test_empty_body(self, service: Service, headers: dict[str, str], *, says_why: bool) -> None:
        """The host passes no chunked body on: an empty one without a Content-Length is told so."""
        response = service.respond("AddDeviceToken", headers=headers)
        problem = json.loads(response.get_body())
        assert response.status_code == 400
        assert [bad["field"] for bad in problem["errors"]] == ["body"]
        assert ("Content-Length" in problem["errors"][0]["detail"]) is says_why
        assert ("Content-Length" in problem["detail"]) is says_why

    def test_two_tokens(self, service: Service, clock: FakeClock) -> None:
        """An iPhone registers a token for calls and one for alerts; each replaces its own kind only."""
        service.add(deviceToken="aa" * 32)
        status, answer = service.add(deviceToken="bb" * 32, purpose="alerts")
        assert (status, answer["purpose"]) == (201, "alerts")
        clock.sleep(1)
        service.add(deviceToken="cc" * 32, purpose="Alerts")
        service.add(deviceToken="dd" * 32)
        infos = service.get()[1]["deviceInfos"]
        assert [(info["deviceUUID"], info["purpose"], info["deviceToken"]) for info in infos] == [
            ("phone", "alerts", "cc" * 32),
            ("phone", "calls", "dd" * 32),
        ]

    def test_one_token_for_both_purposes(self, service: Service, clock: FakeClock) -> None:
        """The token that rings an iPhone is refused as its token for alerts, in any letter case: registered
        so, it would ring no more."""
        service.add(deviceToken="aa" * 32)
        for token in ("aa" * 32, "AA" * 32):
            status, problem = service.add(deviceToken=token, purpose="alerts")
            assert (status, problem["code"]) == (400, "invalid_request")
            (bad,) = problem["errors"]
            assert bad["field"] == "deviceInfos[0].deviceToken"
            assert "calls" in bad["detail"]
            assert token not in str(problem)
        assert [info["purpose"] for info in service.get()[1]["deviceInfos"]] == ["calls"]
        assert service.add(acsMri=BOB, deviceToken="aa" * 32, purpose="alerts")[0] == 201
        service.add(deviceToken="bb" * 32, ttlSeconds=300)
        clock.sleep(300)
        assert service.add(deviceToken="bb" * 32, purpose="alerts")[0] == 201

    @pytest.mark.parametrize("first", ["calls", "alerts"])
    def test_tokens_that_were_mixed_up(self, service: Service, clock: FakeClock, first: str) -> None:
        """An app that has had its two tokens the wrong way round is right after it has registered them
        again."""
        pushkit, ordinary = "aa" * 32, "bb" * 32
        service.add(deviceToken=ordinary)
        service.add(deviceToken=pushkit, purpose="alerts")
        for _ in range(2):
            for purpose in (first, "alerts" if first == "calls" else "calls"):
                clock.sleep(1)
                service.add(deviceToken=pushkit if purpose == "calls" else ordinary, purpose=purpose)
        infos = service.get()[1]["deviceInfos"]
        assert {info["purpose"]: info["deviceToken"] for info in infos} == {
            "calls": pushkit,
            "alerts": ordinary,
        }

    def test_hub(self, service: Service) -> None:
        """A device is registered with a hub of the settings, and moves to the one that it names last."""
        for sent, answered in (("Sandbox", "sandbox"), (None, "default"), ("sandbox", "sandbox")):
            assert service.add(hub=sent)[1]["hub"] == answered
            (info,) = service.get()[1]["deviceInfos"]
            assert info["hub"] == answered

    def test_browser(self, service: Service) -> None:
        """A subscription is stored and not echoed; with new keys it is the same device token."""
        renewed = subscription(auth="A" * 22)
        for sent in (subscription(), renewed):
            status, answer = service.add(platform="web", deviceToken=json.dumps(sent))
            assert (status, answer["platform"]) == (201, "browser")
            assert "deviceToken" not in answer
        # Another user signs in on the browser.
        service.add(acsMri=BOB, platform="web", deviceToken=json.dumps(renewed))
        assert service.get()[0] == 404
        (info,) = service.get(BOB)[1]["deviceInfos"]
        assert json.loads(info["deviceToken"]) == {
            name: value for name, value in renewed.items() if name != "expirationTime"
        }

    def test_unknown_hub(self, service: Service) -> None:
        """400 names the known ones; the other is not quoted."""
        status, problem = service.add(hub="production")
        assert status == 400
        assert problem["errors"] == [
            {"field": "deviceInfos[0].hub", "detail": "must be one of: default, sandbox"}
        ]

    def test_sign_in_on_the_same_phone(self, service: Service) -> None:
        """A token belongs to the user who registered it last; the other user's calls no longer ring there."""
        service.add()
        service.add(acsMri=BOB)
        assert (service.get(ALICE)[0], service.get(BOB)[0]) == (404, 200)

    def test_letter_case_of_the_user(self, service: Service) -> None:
        """An MRI is stored and answered in lower case, and found in any."""
        status, answer = service.add(acsMri=ALICE.upper())
        assert (status, answer["acsMri"]) == (201, ALICE)
        for spelling in (ALICE, ALICE.upper(), ALICE.title()):
            assert service.get(spelling)[1]["acsMri"] == ALICE
        assert service.delete(ALICE.title()) == (200, {"acsMri": ALICE, "deviceUUID": "phone"})


class TestGet:
    def test_devices(self, service: Service, store: DeviceStore) -> None:
        """All unexpired devices, with token, format and expiry."""
        store.register(registration(device_uuid="b", device_token="t-b", platform=Platform.FCM_V1), NOW)
        store.register(registration(device_uuid="a", device_token="t-a"), NOW)
        store.register(registration(device_uuid="c", device_token="t-c", expires_at=NOW), NOW)
        common = {"purpose": "calls", "hub": "default", "expiresAt": "2100-02-01T12:00:00Z"}
        assert service.get() == (
            200,
            {
                "acsMri": ALICE,
                "deviceInfos": [
                    {"deviceUUID": "a", "deviceToken": "t-a", "platform": "apple", **common},
                    {"deviceUUID": "b", "deviceToken": "t-b", "platform": "fcmv1", **common},
                ],
            },
        )

    def test_none(self, service: Service) -> None:
        """A user without an unexpired device is a 404."""
        assert service.get()[0] == 404
        assert service.get()[1]["code"] == "registration_not_found"

    def test_bad_query(self, service: Service) -> None:
        """A missing or impossible user is a 400."""
        assert service.call("GetDeviceRegistrations")[0] == 400
        assert service.get("4:+14255550123")[0] == 400


class TestDelete:
    def test_both_tokens(self, service: Service) -> None:
        """Both of an iPhone's tokens go; another device stays."""
        service.add(deviceToken="aa" * 32)
        service.add(deviceToken="bb" * 32, purpose="alerts")
        service.add(deviceToken="cc" * 32, deviceUUID="other")
        assert service.delete()[0] == 200
        assert [info["deviceUUID"] for info in service.get()[1]["deviceInfos"]] == ["other"]

    def test_device(self, service: Service) -> None:
        """200 with what was deleted; other devices stay."""
        service.add()
        service.add(deviceUUID="tablet", deviceToken="ef" * 32)
        assert service.delete() == (200, {"acsMri": ALICE, "deviceUUID": "phone"})
        assert [device["deviceUUID"] for device in service.get()[1]["deviceInfos"]] == ["tablet"]

    def test_unknown(self, service: Service, clock: FakeClock) -> None:
        """404 for an unknown device, another user's, one deleted before and one that has expired."""
        service.add()
        assert service.delete(device="other")[0] == 404
        assert service.delete(user=BOB)[0] == 404
        clock.sleep(DEFAULT_TTL)
        assert service.delete()[0] == 404
        service.add()
        assert [service.delete()[0], service.delete()[0]] == [200, 404]

    def test_bad_query(self, service: Service) -> None:
        """All missing parameters are named together."""
        status, problem = service.call("DeleteDeviceRegistration")
        assert (status, [bad["field"] for bad in problem["errors"]]) == (400, ["acsMri", "deviceUUID"])


class TestFailures:
    @EVERY_FUNCTION
    def test_database(
        self,
        service: Service,
        collection: FailingCollection,
        name: str,
        body: bytes,
        params: dict[str, str],
    ) -> None:
        """A failing database is a 503 with `Retry-After`, never "no devices"."""
        collection.error = AutoReconnect("connection closed")
        with app_log() as log:
            response = service.respond(name, body=body, params=params)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert json.loads(response.get_body())["code"] == "database_unavailable"
        (line,) = log.events("request_failed")
        assert (line["level"], line["function"], line["code"]) == ("WARNING", name, "database_unavailable")
        assert not any(secret in log.text for secret in (TOKEN, ALICE))
        assert log.events("registrar_audit") == []

    @EVERY_FUNCTION
    def test_configuration(self, name: str, body: bytes, params: dict[str, str]) -> None:
        """Which setting is wrong is said in the log and not to the caller."""

        def misconfigured() -> Registrar:
            raise ConfigurationError("Settings to correct: DbName: is missing")

        with app_log() as log:
            response = Service(misconfigured).respond(name, body=body, params=params)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "60")
        assert b"misconfigured" in response.get_body()
        assert b"DbName" not in response.get_body()
        (line,) = log.events("request_failed")
        assert (line["level"], line["code"]) == ("ERROR", "misconfigured")
        assert "DbName" in line["detail"]

    def test_bad_requests_are_not_logged(self, service: Service) -> None:
        """A request that is refused leaves no line."""
        with app_log() as log:
            service.add(platform="baidu")
            service.get()
        assert log.text == ""

    def test_unexpected_exception(self, service: Service, collection: FailingCollection) -> None:
        """Any other exception is a bug and reaches the worker unchanged."""
        collection.error = RuntimeError("a bug")
        with pytest.raises(RuntimeError, match="a bug"):
            service.get()
