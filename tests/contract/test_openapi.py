"""docs/openapi.yaml says what the code does: routes, fields, limits, answers and error codes."""

import inspect
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
import schemathesis
import yaml

from common.http import problem_response
from models import errors
from models.device import (
    PLATFORM_NAMES,
    AddDeviceTokenRequest,
    DeviceInfo,
    DeviceQuery,
    FieldLimits,
    Platform,
)
from models.device import UserQuery as UserOnly
from models.identity import MAXIMUM_TTL_SECONDS, MINIMUM_TTL_SECONDS, OWNER_PREFIXES, Identity
from registrar.access import Access, Caller, KeyAccess, Right
from registrar.routes import Limits, Registrar, registrar_blueprint
from settings import RegistrarSettings
from tests.fakes import ALICE, FakeClock
from tests.memory_store import device_store, no_change_limit

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.yaml"

ALWAYS = {400, 401, 403, 503}
ANSWERS = {
    "AddDeviceToken": ALWAYS | {201, 413, 429},
    "GetDeviceRegistrations": ALWAYS | {200, 404},
    "DeleteDeviceRegistration": ALWAYS | {200, 404, 429},
    "DeleteUserRegistrations": ALWAYS | {200, 429},
}
QUERIES = {
    "AddDeviceToken": None,
    "GetDeviceRegistrations": UserOnly,
    "DeleteDeviceRegistration": DeviceQuery,
    "DeleteUserRegistrations": UserOnly,
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


def names_of(model: type[Any], *, required: bool = False) -> set[str]:
    return {
        info.alias or name for name, info in model.model_fields.items() if info.is_required() or not required
    }


def registrar(access: Access, devices: int = 1) -> Registrar:
    limits = Limits(86_400, devices_per_user=devices, body_bytes=10_000)
    return Registrar(device_store(), access, no_change_limit(), FakeClock(), limits)


def answered(response: func.HttpResponse) -> dict[str, Any]:
    found = json.loads(response.get_body())
    assert isinstance(found, dict)
    return found


def test_valid() -> None:
    """It is a valid OpenAPI document."""
    loaded = schemathesis.openapi.from_dict(document())
    loaded.config.seed = 1
    assert document()["openapi"].startswith("3.1.")
    assert len(list(loaded.get_all_operations())) == len(ANSWERS)


class TestRequests:
    def test_functions(self) -> None:
        """Every HTTP function is there, with its name, route and method; and no other."""
        app = func.FunctionApp()
        app.register_functions(registrar_blueprint(lambda: registrar(KeyAccess())))
        served = {}
        for each in app.get_functions():
            trigger = each.get_trigger()
            assert trigger is not None
            binding = json.loads(json.dumps(trigger.get_dict_repr(), default=str))
            (method,) = binding["methods"]
            served[each.get_function_name()] = (
                str(method).rpartition(".")[2].upper(),
                f"/{binding['route']}",
            )
        assert served == {name: (method, path) for name, (method, path, _) in operations().items()}

    def test_body(self) -> None:
        """The body's members are those of the model; the same ones are required."""
        for name, model in (("AddDeviceTokenRequest", AddDeviceTokenRequest), ("DeviceInfo", DeviceInfo)):
            assert set(schema(name)["properties"]) == names_of(model)
            assert set(schema(name)["required"]) == names_of(model, required=True)
        devices = schema("AddDeviceTokenRequest")["properties"]["deviceInfos"]
        assert (devices["minItems"], devices["maxItems"]) == (1, 1)

    @pytest.mark.parametrize("name", QUERIES)
    def test_query(self, name: str) -> None:
        """So are the parameters of the query."""
        model, (_, _, operation) = QUERIES[name], operations()[name]
        parameters = [resolved(each) for each in operation.get("parameters", [])]
        assert {each["name"] for each in parameters} == (names_of(model) if model else set())
        assert all(each["required"] and each["in"] == "query" for each in parameters)
        assert ("requestBody" in operation) == (model is None)

    def test_limits(self) -> None:
        """Lengths, life times, platforms and the body size are the code's defaults."""
        limits, defaults = FieldLimits(), RegistrarSettings.model_fields
        for name, field, setting in (
            ("AcsMri", limits.acs_mri, "max_mri_length"),
            ("DeviceUUID", limits.device_uuid, "max_device_uuid_length"),
            ("DeviceToken", limits.device_token, "max_device_token_length"),
        ):
            assert schema(name)["maxLength"] == field == defaults[setting].default
        life = schema("AddDeviceTokenRequest")["properties"]["ttlSeconds"]
        assert (life["minimum"], life["maximum"]) == (MINIMUM_TTL_SECONDS, MAXIMUM_TTL_SECONDS)
        assert schema("DeviceInfo")["properties"]["platform"]["enum"] == list(PLATFORM_NAMES)
        assert schema("Platform")["enum"] == [platform.value for platform in Platform]
        too_large = document()["components"]["responses"]["TooLarge"]["description"]
        assert f"{defaults['max_body_bytes'].default:,}" in too_large

    @pytest.mark.parametrize(
        "mri",
        ["8:acs:", "8:orgid", "4:+1425", "28:orgid:x", "8:teamsvisitor:x", "8:ACS:x", " 8:acs:x", "x", ""],
    )
    def test_users(self, mri: str) -> None:
        """Who can own a device by the pattern can by the code, and nobody else."""
        pattern = re.compile(schema("AcsMri")["pattern"])
        assert all(pattern.search(f"{prefix}\n") for prefix in OWNER_PREFIXES)
        assert not pattern.search(mri)
        assert not Identity.parse(mri).can_own_devices

    def test_security(self) -> None:
        """Every function takes a function key or a bearer token, as the mode wants."""
        schemes = document()["components"]["securitySchemes"]
        assert schemes["functionKey"]["name"] == "x-functions-key"
        assert (schemes["bearerToken"]["type"], schemes["bearerToken"]["scheme"]) == ("http", "bearer")
        assert document()["security"] == [{"functionKey": []}, {"bearerToken": []}]
        assert all("security" not in operation for _, _, operation in operations().values())


class TestAnswers:
    @pytest.mark.parametrize("name", ANSWERS)
    def test_statuses(self, name: str) -> None:
        """Every function's answers are listed; what is no success is a problem document."""
        _, _, operation = operations()[name]
        assert {int(status) for status in operation["responses"]} == ANSWERS[name]
        for status, answer in operation["responses"].items():
            (mime_type,) = resolved(answer)["content"]
            assert mime_type == ("application/json" if int(status) < 300 else "application/problem+json")
            assert ("Retry-After" in resolved(answer).get("headers", {})) == (status in {"429", "503"})

    def test_error_codes(self) -> None:
        """The codes and statuses are those of every error that a caller can hear of."""
        heard = [
            kind
            for _, kind in inspect.getmembers(errors, inspect.isclass)
            # The others are for Event Grid.
            if issubclass(kind, errors.ServiceError) and kind.http_status != 500
        ]
        properties = schema("Problem")["properties"]
        assert properties["code"]["enum"] == sorted({kind.code for kind in heard})
        assert properties["status"]["enum"] == sorted({kind.http_status for kind in heard})

    def test_problem_document(self) -> None:
        """A problem document has the members that are listed, and those that are required always."""
        bare = answered(problem_response(errors.ForbiddenError("no")))
        whole = answered(
            problem_response(
                errors.InvalidRequestError("no", errors=[errors.FieldError("acsMri", "is wrong")])
            )
        )
        assert set(bare) == set(schema("Problem")["required"])
        assert set(whole) == set(schema("Problem")["properties"])
        assert set(whole["errors"][0]) == set(
            schema("Problem")["properties"]["errors"]["items"]["properties"]
        )
        assert bare["type"] == schema("Problem")["properties"]["type"]["const"]

    def test_members(self) -> None:
        """The members of every success are those that are listed."""
        service, clock = registrar(KeyAccess()), 0
        bodies = []
        for clock in range(2):
            device = {"deviceUUID": f"d{clock}", "deviceToken": f"t{clock}", "platform": "apple"}
            raw = json.dumps({"acsMri": ALICE, "deviceInfos": [device]}).encode()
            bodies.append(answered(service.add_device_token(func.HttpRequest("POST", "/", body=raw))))
        assert set(bodies[0]) == set(schema("Registered")["required"])
        assert set(bodies[1]) == set(schema("Registered")["properties"])
        query = {"acsMri": ALICE, "deviceUUID": bodies[1]["deviceUUID"]}
        request = func.HttpRequest("GET", "/", params=query, body=b"")
        found = answered(service.get_device_registrations(request))
        assert set(found) == set(schema("Registrations")["properties"])
        listed = schema("Registrations")["properties"]["deviceInfos"]["items"]
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
        """A 401 of the app carries the challenge that is listed."""

        class Nobody:
            """Refuses everybody."""

            def authenticate(self, headers: object) -> Caller:  # noqa: ARG002
                """Never."""
                raise errors.UnauthenticatedError("no", token_was_sent=False)

        assert Caller(Right.OWN_USER).sees_device_tokens is False
        with pytest.raises(errors.UnauthenticatedError) as caught:
            registrar(Nobody()).get_device_registrations(func.HttpRequest("GET", "/", body=b""))
        listed = document()["components"]["responses"]["Unauthenticated"]["headers"]
        assert set(caught.value.headers) == set(listed)
