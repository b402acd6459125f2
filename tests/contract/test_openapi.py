"""docs/openapi.yaml says what the code does: routes, fields, limits, answers and error codes."""

import inspect
import json
import re
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Any

import azure.functions as func
import jsonschema_rs
import pytest
import schemathesis
import yaml

from common.clock_watch import ClockWatch
from common.http import problem_response
from health.readiness import Part, Readiness
from health.routes import health_blueprint, live, ready
from models import errors
from models.device_token import DeviceTokenError, parse_device_token
from models.identity import MAXIMUM_TTL_SECONDS, MINIMUM_TTL_SECONDS, OWNER_PREFIXES, Identity
from models.platform import PLATFORM_NAMES, Platform
from models.report import DeviceState, ReportEffect
from models.requests import (
    AddDeviceTokenRequest,
    DeviceInfo,
    DeviceQuery,
    FieldRules,
    ReportCallRequest,
    UserQuery,
)
from models.validation import parse_json
from registrar.access import Access, Caller, KeyAccess
from registrar.registrations import Limits, Registrar
from registrar.reports import Reports
from registrar.routes import registrar_blueprint, reports_blueprint
from settings import RegistrarSettings
from tests.fakes import ALICE, FakeClock
from tests.memory_store import device_store, no_rate_limit
from tests.subscriptions import AUTH, ENDPOINT, P256DH, subscription, subscription_text

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.yaml"

ALWAYS = {400, 401, 403, 503}
ANSWERS = {
    "AddDeviceToken": ALWAYS | {201, 413, 429},
    "GetDeviceRegistrations": ALWAYS | {200, 404},
    "DeleteDeviceRegistration": ALWAYS | {200, 404, 429},
    "DeleteUserRegistrations": ALWAYS | {200, 429},
    "ReportCall": ALWAYS | {204, 404, 413, 429},
}
HEALTH_ANSWERS = {
    "HealthLive": {200},
    "HealthLiveHead": {200},
    "HealthReady": {200, 503},
    "HealthReadyHead": {200, 503},
}
QUERIES = {
    "AddDeviceToken": None,
    "GetDeviceRegistrations": UserQuery,
    "DeleteDeviceRegistration": DeviceQuery,
    "DeleteUserRegistrations": UserQuery,
    "ReportCall": None,
}


@cache
def document() -> dict[str, Any]:
    found = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """By name: method, path and operation."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference points to, or the node itself."""
    if "$ref" not in node:
        return node
    found: Any = document()
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found


def schema(name: str) -> dict[str, Any]:
    return resolved({"$ref": f"#/components/schemas/{name}"})


def valid(name: str, value: object) -> bool:
    """Whether a value fits a named schema."""
    whole = {"$ref": f"#/components/schemas/{name}", "components": document()["components"]}
    return jsonschema_rs.Draft202012Validator(whole).is_valid(value)


def names_of(model: type[Any], *, required: bool = False) -> set[str]:
    return {
        info.alias or name for name, info in model.model_fields.items() if info.is_required() or not required
    }


def registrar(access: Access, devices: int = 1) -> Registrar:
    limits = Limits(86_400, devices_per_user=devices, body_bytes=10_000)
    return Registrar(device_store(), access, no_rate_limit(), FakeClock(), limits)


def reports() -> Reports:
    return Reports(
        lambda _: ReportEffect.NOTED,
        KeyAccess(),
        no_rate_limit(),
        FakeClock(),
        Limits(86_400, 1, body_bytes=10_000),
    )


def readiness(*parts: Part, is_right: bool = True) -> Readiness:
    """The readiness of these parts: with a right clock and hub, or a clock an hour off and a failing hub."""
    clock_watch = ClockWatch()
    if not is_right:
        clock_watch.compare(formatdate(0, usegmt=True), 3_600, 3_600)
    hub = Part("sandbox", lambda: None if is_right else "away")
    return Readiness(parts, FakeClock().monotonic, clock_watch, lambda: "identity", [hub])


def answered(response: func.HttpResponse) -> dict[str, Any]:
    found = json.loads(response.get_body())
    assert isinstance(found, dict)
    return found


def test_valid() -> None:
    """It is a valid OpenAPI document with the project's licence and a local server."""
    loaded = schemathesis.openapi.from_dict(document())
    loaded.config.seed = 1
    assert document()["openapi"].startswith("3.1.")
    assert len(list(loaded.get_all_operations())) == len(ANSWERS) + len(HEALTH_ANSWERS)
    assert document()["info"]["license"]["identifier"] == "MIT"
    assert [server["url"] for server in document()["servers"]][1] == "http://127.0.0.1:7071/api"


class TestRequests:
    def test_functions(self) -> None:
        """Every HTTP function is there with its name, route and methods, and no other."""
        app = func.FunctionApp()
        app.register_functions(registrar_blueprint(lambda: registrar(KeyAccess())))
        app.register_functions(reports_blueprint(reports))
        app.register_functions(health_blueprint(readiness))
        served = set()
        for each in app.get_functions():
            trigger = each.get_trigger()
            assert trigger is not None
            binding = json.loads(json.dumps(trigger.get_dict_repr(), default=str))
            for method in binding["methods"]:
                verb = str(method).rpartition(".")[2].upper()
                name = f"{each.get_function_name()}{'Head' if verb == 'HEAD' else ''}"
                served.add((name, verb, f"/{binding['route']}"))
        assert served == {(name, method, path) for name, (method, path, _) in operations().items()}

    def test_body(self) -> None:
        """The body's members are those of the model; the same ones are required."""
        for name, model in (
            ("AddDeviceTokenRequest", AddDeviceTokenRequest),
            ("DeviceInfo", DeviceInfo),
            ("ReportCallRequest", ReportCallRequest),
        ):
            assert set(schema(name)["properties"]) == names_of(model)
            assert set(schema(name)["required"]) == names_of(model, required=True)
        devices = schema("AddDeviceTokenRequest")["properties"]["deviceInfos"]
        assert (devices["minItems"], devices["maxItems"]) == (1, 1)

    def test_examples(self) -> None:
        """The examples fit the schema, and the app takes them."""
        for operation, name, model in (
            ("AddDeviceToken", "AddDeviceTokenRequest", AddDeviceTokenRequest),
            ("ReportCall", "ReportCallRequest", ReportCallRequest),
        ):
            examples = operations()[operation][2]["requestBody"]["content"]["application/json"]["examples"]
            assert examples
            for example in examples.values():
                assert valid(name, example["value"])
                assert parse_json(model, json.dumps(example["value"]).encode())
        for name, status, answer in (
            ("AddDeviceToken", "201", "Registered"),
            ("GetDeviceRegistrations", "200", "Registrations"),
        ):
            content = operations()[name][2]["responses"][status]["content"]["application/json"]
            assert all(valid(answer, example["value"]) for example in content["examples"].values())

    @pytest.mark.parametrize("name", QUERIES)
    def test_query(self, name: str) -> None:
        """The parameters of the query are those of the model."""
        model, (_, _, operation) = QUERIES[name], operations()[name]
        parameters = [resolved(each) for each in operation.get("parameters", [])]
        assert {each["name"] for each in parameters} == (names_of(model) if model else set())
        assert all(each["required"] and each["in"] == "query" for each in parameters)
        assert ("requestBody" in operation) == (model is None)

    def test_limits(self) -> None:
        """Lengths, times to live, platforms and the body size are the code's defaults."""
        limits, defaults = FieldRules(), RegistrarSettings()
        for name, field, setting in (
            ("AcsMri", limits.acs_mri, defaults.max_mri_length),
            ("DeviceUUID", limits.device_uuid, defaults.max_device_uuid_length),
            ("DeviceToken", limits.device_token, defaults.max_device_token_length),
        ):
            assert schema(name)["maxLength"] == field == setting
        assert schema("CallId")["maxLength"] == limits.call_id
        assert schema("DeviceState")["enum"] == list(DeviceState)
        life = schema("AddDeviceTokenRequest")["properties"]["ttlSeconds"]
        assert (life["minimum"], life["maximum"]) == (MINIMUM_TTL_SECONDS, MAXIMUM_TTL_SECONDS)
        assert schema("DeviceInfo")["properties"]["platform"]["enum"] == list(PLATFORM_NAMES)
        assert schema("Platform")["enum"] == [platform.value for platform in Platform]
        too_large = document()["components"]["responses"]["TooLarge"]["description"]
        assert f"{defaults.max_body_bytes:,}" in too_large

    @pytest.mark.parametrize(
        ("name", "token"),
        [
            ("apple", "ab" * 32),
            ("apple", "AB" * 100),
            ("apple", "ab" * 31),
            ("apple", "ab" * 32 + "a"),
            ("apple", "lta7XUEogdMARvW/VhY+rd9qpKvleYe8zEtcIyCduww="),
            ("android", "dQw4:APA91b-_"),
            ("gcm", "a b"),
            ("fcmv1", "é"),
            ("windows", "https://db5p.notify.windows.com/?token=a%2fb"),
            ("windows", "https://notify.windows.com.evil.test/"),
            ("windows", "http://db5p.notify.windows.com/"),
            ("windows", "https://evil.test\\@notify.windows.com/"),
            ("browser", subscription_text()),
            ("web", subscription_text()),
            ("web", "https://fcm.googleapis.com/fcm/send/x"),
        ],
    )
    def test_device_token(self, name: str, token: str) -> None:
        """The schema and the code agree on a platform's tokens."""
        try:
            accepted = bool(parse_device_token(PLATFORM_NAMES[name], token))
        except DeviceTokenError:
            accepted = False
        assert valid("DeviceInfo", {"deviceUUID": "x", "deviceToken": token, "platform": name}) is accepted

    @pytest.mark.parametrize(
        ("sent", "accepted"),
        [
            (subscription(), True),
            (subscription(p256dh=P256DH + "=", auth=AUTH + "=="), True),
            (subscription("http://fcm.googleapis.com/"), False),
            (subscription(p256dh=AUTH), False),
            (subscription(auth=P256DH), False),
            ({"endpoint": ENDPOINT}, False),
        ],
    )
    def test_subscription(self, sent: dict[str, Any], accepted: bool) -> None:
        """So they do on a browser's subscription, the rules for its host apart."""
        assert valid("PushSubscription", sent) is accepted
        token = json.dumps(sent)
        assert valid("DeviceInfo", {"deviceUUID": "x", "deviceToken": token, "platform": "web"})
        if not accepted:
            with pytest.raises(DeviceTokenError):
                parse_device_token(Platform.BROWSER, token)

    @pytest.mark.parametrize(
        "mri", ["8:acs:", "8:orgid", "4:+1425", "28:orgid:x", "8:teamsvisitor:x", " 8:acs:x", "x", ""]
    )
    def test_users(self, mri: str) -> None:
        """The pattern has the prefixes of the users who can own devices, and no other."""
        pattern = re.compile(schema("AcsMri")["pattern"])
        assert all(pattern.search(f"{prefix}x") for prefix in OWNER_PREFIXES)
        assert not pattern.search(mri) or not Identity.parse(mri).can_own_devices

    def test_security(self) -> None:
        """The registrar takes a function key or a bearer token; the health functions take neither."""
        schemes = document()["components"]["securitySchemes"]
        assert schemes["functionKey"]["name"] == "x-functions-key"
        assert (schemes["bearerToken"]["type"], schemes["bearerToken"]["scheme"]) == ("http", "bearer")
        assert document()["security"] == [{"functionKey": []}, {"bearerToken": []}]
        assert all("security" not in operations()[name][2] for name in ANSWERS)
        assert all(operations()[name][2]["security"] == [] for name in HEALTH_ANSWERS)


class TestAnswers:
    @pytest.mark.parametrize("name", ANSWERS)
    def test_statuses(self, name: str) -> None:
        """Every function's answers are listed; an error is a problem document, but for the host's 401."""
        _, _, operation = operations()[name]
        assert {int(status) for status in operation["responses"]} == ANSWERS[name]
        for status, listed in operation["responses"].items():
            answer = resolved(listed)
            assert ("Retry-After" in answer.get("headers", {})) == (status in {"429", "503"})
            if status == "401":
                # A client that is generated from the document must not parse a body that may be missing.
                assert "content" not in answer
                continue
            if status == "204":
                assert "content" not in answer
                continue
            (mime_type,) = answer["content"]
            assert mime_type == ("application/json" if int(status) < 300 else "application/problem+json")

    @pytest.mark.parametrize("name", HEALTH_ANSWERS)
    def test_health_statuses(self, name: str) -> None:
        """So are those of the health functions; an answer to HEAD has no body."""
        _, _, operation = operations()[name]
        assert {int(status) for status in operation["responses"]} == HEALTH_ANSWERS[name]
        assert all(
            ("content" in resolved(answer)) != name.endswith("Head")
            for answer in operation["responses"].values()
        )

    def test_no_anonymous_object(self) -> None:
        """Every object has a name, so that generated clients have one for it too."""

        def objects(node: Any, *, is_named: bool) -> int:
            if isinstance(node, list):
                return sum(objects(each, is_named=False) for each in node)
            if not isinstance(node, dict):
                return 0
            found = not is_named and node.get("type") == "object"
            return found + sum(
                objects(each, is_named=False) for name, each in node.items() if name != "examples"
            )

        schemas = document()["components"]["schemas"]
        assert sum(objects(each, is_named=True) for each in schemas.values()) == 0
        others = {name: each for name, each in document().items() if name != "components"}
        assert objects([others, document()["components"]["responses"]], is_named=False) == 0

    def test_error_codes(self) -> None:
        """The codes and statuses are those of every error that is answered over HTTP."""
        answered_over_http = [
            kind
            for _, kind in inspect.getmembers(errors, inspect.isclass)
            if issubclass(kind, errors.ServiceError)
            and kind.http_status != 500
            # Which mistake it is, is for the log alone.
            and (kind is errors.ConfigurationError or not issubclass(kind, errors.ConfigurationError))
        ]
        assert schema("ErrorCode")["enum"] == sorted(kind.code for kind in answered_over_http)
        statuses = sorted({kind.http_status for kind in answered_over_http})
        assert schema("Problem")["properties"]["status"]["enum"] == statuses

    def test_problem_document(self) -> None:
        """A problem document has the listed members, and always the required ones."""
        bare = answered(problem_response(errors.ForbiddenError("no")))
        whole = answered(
            problem_response(
                errors.InvalidRequestError("no", errors=[errors.FieldError("acsMri", "is wrong")])
            )
        )
        assert set(bare) == set(schema("Problem")["required"])
        assert set(whole) == set(schema("Problem")["properties"])
        assert valid("Problem", bare)
        assert valid("Problem", whole)

    def test_health(self) -> None:
        """The health functions' answers fit their schemas."""
        failing = Part("database", lambda: "away")
        assert valid("LiveStatus", answered(live()))
        for is_right in (True, False):
            works, fails = readiness(is_right=is_right), readiness(failing, is_right=is_right)
            assert valid("ReadyStatus", answered(ready(works)))
            assert valid("NotReadyProblem", answered(ready(fails)))
        assert set(answered(ready(works))) == set(schema("ReadyStatus")["properties"])
        assert set(answered(ready(fails))) == set(schema("NotReadyProblem")["properties"])

    def test_members(self) -> None:
        """The members of every success are the listed ones."""
        service, clock = registrar(KeyAccess()), 0
        bodies = []
        for clock in range(2):
            device = {"deviceUUID": f"d{clock}", "deviceToken": f"{clock:064}", "platform": "apple"}
            raw = json.dumps({"acsMri": ALICE, "deviceInfos": [device]}).encode()
            bodies.append(answered(service.add_device_token(func.HttpRequest("POST", "/", body=raw))))
        assert set(bodies[0]) == set(schema("Registered")["required"])
        assert set(bodies[1]) == set(schema("Registered")["properties"])
        query = {"acsMri": ALICE, "deviceUUID": bodies[1]["deviceUUID"]}
        request = func.HttpRequest("GET", "/", params=query, body=b"")
        found = answered(service.get_device_registrations(request))
        assert set(found) == set(schema("Registrations")["properties"])
        listed = schema("Registration")
        assert set(found["deviceInfos"][0]) == set(listed["properties"])
        assert set(listed["required"]) == set(listed["properties"]) - {"deviceToken"}
        assert set(answered(service.delete_user_registrations(request))) == set(
            schema("DeletedUser")["properties"]
        )
        again = json.dumps({"acsMri": ALICE, "deviceInfos": [device]}).encode()
        service.add_device_token(func.HttpRequest("POST", "/", body=again))
        deleted = answered(service.delete_device_registration(request))
        assert set(deleted) == set(schema("DeletedDevice")["properties"])

    def test_challenge(self) -> None:
        """A 401 of the app carries the listed challenge."""

        class Refusing:
            """Authenticates no caller."""

            def authenticate(self, headers: object) -> Caller:  # noqa: ARG002
                """Always an error."""
                raise errors.UnauthenticatedError("no", token_was_sent=False)

        with pytest.raises(errors.UnauthenticatedError) as caught:
            registrar(Refusing()).get_device_registrations(func.HttpRequest("GET", "/", body=b""))
        listed = document()["components"]["responses"]["Unauthenticated"]["headers"]
        assert set(caught.value.headers) == set(listed)
