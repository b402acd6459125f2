"""The registrar's order of checks, what each caller sees, and the audit lines."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import azure.functions as func
import pytest
from pymongo.errors import AutoReconnect

from common.telemetry import fingerprint
from models.errors import TooManyChangesError, UnauthenticatedError
from models.identity import Identity
from models.requests import FieldRules
from registrar.access import Access, Caller, KeyAccess, Right
from registrar.rate import RateLimit
from registrar.registrations import Limits, Registrar
from registrar.routes import answer
from tests.fakes import ALICE, BOB, NOW, FakeClock, app_log, registration
from tests.memory_store import WORK, FailingCollection, device_store, new_collection

TOKEN = "do-not-quote-this-device-token"


class As:
    """Every request comes from the same caller."""

    def __init__(self, caller: Caller | None) -> None:
        self._caller = caller

    def authenticate(self, headers: Mapping[str, str]) -> Caller:  # noqa: ARG002
        """The caller; UnauthenticatedError if there is none."""
        if self._caller is None:
            raise UnauthenticatedError("no token")
        return self._caller


class Untouchable:
    """Fails where the database is asked; stands for the store and for the count of changes."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked the database to {name}")


class Counted(RateLimit):
    """A limit on changes that remembers whose were counted."""

    def __init__(self, limit: int = 1_000) -> None:
        super().__init__(new_collection(), WORK, limit)
        self.users: list[str] = []
        self._limit = limit

    def count(self, owner: Identity, now: datetime) -> None:  # noqa: ARG002
        """Count one."""
        self.users.append(owner.mri)
        if len(self.users) > self._limit:
            raise TooManyChangesError("too often", retry_after_seconds=7)


LIMITS = Limits(86_400, devices_per_user=2, body_bytes=1_024, fields=FieldRules(32, 16, 64))
BACKEND = As(Caller(Right.FUNCTION_KEY))
ADMINISTRATOR = As(Caller(Right.ADMIN_ROLE))
AS_ALICE = As(Caller(Right.OWN_USER, Identity.parse(ALICE)))
AS_BOB = As(Caller(Right.OWN_USER, Identity.parse(BOB)))
NO_CALLER = As(None)

type Work = Callable[[Registrar, str], func.HttpResponse]


def body(user: str, **changes: object) -> bytes:
    device = {"deviceUUID": "phone", "deviceToken": TOKEN, "platform": "android", **changes}
    return json.dumps({"acsMri": user, "deviceInfos": [device]}).encode()


def add(registrar: Registrar, user: str, raw: bytes | None = None) -> func.HttpResponse:
    request = func.HttpRequest("POST", "/", body=body(user) if raw is None else raw)
    return answer("AddDeviceToken", lambda: registrar.add_device_token(request))


def get(registrar: Registrar, user: str) -> func.HttpResponse:
    request = func.HttpRequest("GET", "/", params={"acsMri": user}, body=b"")
    return answer("GetDeviceRegistrations", lambda: registrar.get_device_registrations(request))


def delete(registrar: Registrar, user: str) -> func.HttpResponse:
    request = func.HttpRequest("DELETE", "/", params={"acsMri": user, "deviceUUID": "phone"}, body=b"")
    return answer("DeleteDeviceRegistration", lambda: registrar.delete_device_registration(request))


def delete_all(registrar: Registrar, user: str) -> func.HttpResponse:
    request = func.HttpRequest("DELETE", "/", params={"acsMri": user}, body=b"")
    return answer("DeleteUserRegistrations", lambda: registrar.delete_user_registrations(request))


EVERY_FUNCTION = pytest.mark.parametrize("work", [add, get, delete, delete_all])


def registrar(access: Access, store: Any = None, changes: Any = None) -> Registrar:
    return Registrar(store or device_store(), access, changes or Counted(), FakeClock(), LIMITS)


def read(response: func.HttpResponse) -> dict[str, Any]:
    found = json.loads(response.get_body())
    assert isinstance(found, dict)
    return found


class TestOrder:
    @EVERY_FUNCTION
    @pytest.mark.parametrize(("access", "status"), [(AS_BOB, 403), (NO_CALLER, 401)])
    def test_refused_before_the_database(self, work: Work, access: Access, status: int) -> None:
        """A caller without the right is refused before the database is asked anything."""
        untouchable = Untouchable()
        assert work(registrar(access, untouchable, untouchable), ALICE).status_code == status

    @EVERY_FUNCTION
    def test_bad_request_before_the_database(self, work: Work) -> None:
        """So is a malformed request."""
        untouchable = Untouchable()
        assert work(registrar(BACKEND, untouchable, untouchable), "4:+14255550123").status_code == 400

    @EVERY_FUNCTION
    def test_refusal_reveals_nothing(self, work: Work) -> None:
        """The whole refusal is the same for a registered and for an unregistered user."""
        store = device_store()
        without = work(registrar(AS_BOB, store), ALICE)
        store.register(registration(), NOW)
        with_device = work(registrar(AS_BOB, store), ALICE)
        assert without.get_body() == with_device.get_body()
        assert dict(without.headers) == dict(with_device.headers)

    @pytest.mark.parametrize("work", [add, delete, delete_all])
    def test_too_often_before_the_store(self, work: Work) -> None:
        """Too many changes are refused, with `Retry-After`, before the devices are read."""
        response = work(registrar(AS_ALICE, Untouchable(), Counted(limit=0)), ALICE)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
        assert read(response)["code"] == "too_many_changes"

    def test_lookups_are_not_counted(self) -> None:
        """A look-up is no change."""
        changes = Counted()
        get(registrar(BACKEND, changes=changes), ALICE)
        assert changes.users == []

    def test_refusals_are_not_counted(self) -> None:
        """A refused request does not count as the user's change."""
        changes = Counted()
        for work in (add, delete, delete_all):
            work(registrar(AS_BOB, changes=changes), ALICE)
        assert changes.users == []

    @EVERY_FUNCTION
    def test_letter_case_of_the_caller(self, work: Work) -> None:
        """A token's claim and the request may spell the user in different letter case."""
        store = device_store()
        store.register(registration(), NOW)
        in_capitals = As(Caller(Right.OWN_USER, Identity.parse(ALICE.upper())))
        assert work(registrar(in_capitals, store), ALICE).status_code in {200, 201}
        store.register(registration(), NOW)
        assert work(registrar(AS_ALICE, store), ALICE.upper()).status_code in {200, 201}


class TestAnswers:
    def test_tokens_are_for_backends(self) -> None:
        """A user gets their devices without tokens; a backend gets them."""
        store = device_store()
        add(registrar(AS_ALICE, store), ALICE)
        mine = get(registrar(AS_ALICE, store), ALICE)
        assert TOKEN.encode() not in mine.get_body()
        (device,) = read(mine)["deviceInfos"]
        assert set(device) == {"deviceUUID", "platform", "purpose", "hub", "expiresAt"}
        (device,) = read(get(registrar(BACKEND, store), ALICE))["deviceInfos"]
        assert device["deviceToken"] == TOKEN

    def test_removed_devices(self) -> None:
        """The answer names the devices that were removed because there were too many."""
        service = Registrar(device_store(), AS_ALICE, Counted(), clock := FakeClock(), LIMITS)
        answers = []
        for name in ("one", "two", "three"):
            raw = body(ALICE, deviceUUID=name, deviceToken=name)
            answers.append(read(add(service, ALICE, raw)))
            clock.sleep(1)
        assert ["displacedDeviceUUIDs" in each for each in answers] == [False, False, True]
        assert answers[2]["displacedDeviceUUIDs"] == ["one"]

    def test_all_deleted(self) -> None:
        """The answer says how many registrations were deleted."""
        store = device_store()
        add(registrar(AS_ALICE, store), ALICE)
        for count in (1, 0, 0):
            response = delete_all(registrar(AS_ALICE, store), ALICE)
            assert (response.status_code, read(response)) == (200, {"acsMri": ALICE, "deleted": count})

    def test_body_too_large(self) -> None:
        """A body beyond the limit is refused unread; one at the limit is read."""
        service = registrar(BACKEND)
        fits = body(ALICE).ljust(1_024)
        assert add(service, ALICE, fits).status_code == 201
        response = add(service, ALICE, fits + b" ")
        assert (response.status_code, read(response)["code"]) == (413, "request_too_large")
        assert "1024" in read(response)["detail"]

    @pytest.mark.parametrize(
        ("field", "longest"),
        [("acsMri", 32), ("deviceInfos[0].deviceUUID", 16), ("deviceInfos[0].deviceToken", 64)],
    )
    def test_field_too_long(self, field: str, longest: int) -> None:
        """Each length is a setting; the answer names the field and the limit."""
        name = field.rpartition(".")[2]

        def sent(length: int) -> bytes:
            text = "x" * length if name != "acsMri" else "8:acs:".ljust(length, "x")
            return body(text) if name == "acsMri" else body(ALICE, **{name: text})

        assert add(registrar(BACKEND), ALICE, sent(longest)).status_code == 201
        response = add(registrar(BACKEND), ALICE, sent(longest + 1))
        assert response.status_code == 400
        (bad,) = read(response)["errors"]
        assert bad["field"] == field
        assert str(longest) in bad["detail"]

    def test_query_too_long(self) -> None:
        """The lengths hold for queries too."""
        assert get(registrar(BACKEND), "8:acs:".ljust(33, "x")).status_code == 400

    @EVERY_FUNCTION
    def test_refusals_and_failures_quote_nothing(self, work: Work) -> None:
        """Neither a refusal nor a failing database writes anything of the request to the log."""
        collection = FailingCollection(new_collection())
        collection.error = AutoReconnect("away")
        store = device_store(collection)
        with app_log() as log:
            work(registrar(AS_BOB, store), ALICE)
            work(registrar(NO_CALLER, store), ALICE)
            work(registrar(KeyAccess(), store), ALICE)
        assert TOKEN not in log.text
        assert ALICE not in log.text
        assert [line["code"] for line in log.events("request_failed")] == ["database_unavailable"]
        assert log.events("registrar_audit") == []


class TestAudit:
    @pytest.fixture
    def store(self) -> Any:
        return device_store()

    def lines(self, store: Any, access: Access, work: Work, user: str, *more: bytes) -> list[dict[str, Any]]:
        """The audit lines of one request, without `event`; checks that they reveal nothing."""
        with app_log() as log:
            assert work(registrar(access, store), user, *more).status_code in {200, 201}
        assert not any(secret in log.text for secret in (TOKEN, ALICE, BOB, "phone"))
        return [
            {name: value for name, value in line.items() if name != "event"}
            for line in log.events("registrar_audit")
        ]

    def test_added_and_refreshed(self, store: Any) -> None:
        """A new token and a refreshed one leave a line each."""
        registered = registration(device_token=TOKEN).registration_id
        common = {
            "right": "own_user",
            "user": fingerprint(ALICE),
            "device": fingerprint("phone"),
            "platform": "fcmv1",
            "purpose": "calls",
            "hub": "default",
            "level": "INFO",
        }
        (added,) = self.lines(store, AS_ALICE, add, ALICE)
        assert added.pop("registration") != registered[:16]
        assert added == {**common, "action": "added"}
        (refreshed,) = self.lines(store, AS_ALICE, add, ALICE)
        refreshed.pop("registration")
        assert refreshed == {**common, "action": "refreshed"}

    def test_moved(self, store: Any) -> None:
        """A token that leaves another user is a WARNING that names both by fingerprint."""
        self.lines(store, AS_ALICE, add, ALICE)
        (line,) = self.lines(store, AS_BOB, add, BOB)
        assert (line["action"], line["level"]) == ("moved", "WARNING")
        assert (line["user"], line["moved_from"]) == (fingerprint(BOB), fingerprint(ALICE))

    def test_removed(self, store: Any) -> None:
        """A device that was removed because there were too many has a line of its own."""
        for number, name in enumerate(("one", "two", "three")):
            store.register(
                registration(device_uuid=name, device_token=name), NOW.replace(year=2099, second=number)
            )
        lines = self.lines(store, AS_ALICE, add, ALICE)
        assert [line["action"] for line in lines] == ["added", "removed", "removed"]
        assert {line["device"] for line in lines[1:]} == {fingerprint("one"), fingerprint("two")}

    def test_deleted(self, store: Any) -> None:
        """So has a deleted device."""
        self.lines(store, AS_ALICE, add, ALICE)
        (line,) = self.lines(store, BACKEND, delete, ALICE)
        assert line == {
            "action": "deleted",
            "right": "function_key",
            "user": fingerprint(ALICE),
            "device": fingerprint("phone"),
            "level": "INFO",
        }

    def test_wiped(self, store: Any) -> None:
        """So has the deletion of all devices, with their number."""
        self.lines(store, AS_ALICE, add, ALICE)
        (line,) = self.lines(store, ADMINISTRATOR, delete_all, ALICE)
        assert (line["action"], line["right"], line["registrations"]) == ("wiped", "admin_role", 1)

    @pytest.mark.parametrize(("access", "right"), [(BACKEND, "function_key"), (ADMINISTRATOR, "admin_role")])
    def test_tokens_read(self, store: Any, access: Access, right: str) -> None:
        """A look-up that answers device tokens leaves a line."""
        self.lines(store, AS_ALICE, add, ALICE)
        (line,) = self.lines(store, access, get, ALICE)
        assert (line["action"], line["right"], line["devices"]) == ("tokens_read", right, 1)

    def test_own_look_up(self, store: Any) -> None:
        """A user's look-up of their own devices, without tokens, leaves none."""
        self.lines(store, AS_ALICE, add, ALICE)
        assert self.lines(store, AS_ALICE, get, ALICE) == []

    def test_letter_case(self, store: Any) -> None:
        """The fingerprint of a user is that of their MRI in lower case."""
        (line,) = self.lines(store, BACKEND, add, ALICE.upper())
        assert line["user"] == fingerprint(ALICE)
