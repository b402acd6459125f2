"""The registrar behind its guards: what is asked first, and what nobody but a backend gets to see."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import azure.functions as func
import pytest
from pymongo.errors import AutoReconnect

from models.device import FieldLimits
from models.errors import TooManyChangesError, UnauthenticatedError
from registrar.access import Access, Caller, KeyAccess, Right
from registrar.rate import ChangeLimit
from registrar.routes import Limits, Registrar, answer
from tests.fakes import ALICE, BOB, NOW, FakeClock, app_log, registration
from tests.memory_store import WORK, FailingCollection, device_store, new_collection

TOKEN = "do-not-quote-this-device-token"


class As:
    """Everybody is this caller."""

    def __init__(self, caller: Caller | None) -> None:
        self._caller = caller

    def authenticate(self, headers: Mapping[str, str]) -> Caller:  # noqa: ARG002
        """The caller; UnauthenticatedError where there is none."""
        if self._caller is None:
            raise UnauthenticatedError("who are you")
        return self._caller


class Untouchable:
    """A database that nobody may ask anything; it stands for the store and for the count of changes."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked the database to {name}")


class Counted(ChangeLimit):
    """A limit on changes that remembers whose were counted."""

    def __init__(self, limit: int = 1_000) -> None:
        super().__init__(new_collection(), WORK, limit)
        self.users: list[str] = []
        self._limit = limit

    def count_change(self, acs_mri: str, now: datetime) -> None:  # noqa: ARG002
        """Count one."""
        self.users.append(acs_mri)
        if len(self.users) > self._limit:
            raise TooManyChangesError("too often", retry_after_seconds=7)


LIMITS = Limits(86_400, devices_per_user=2, body_bytes=1_024, fields=FieldLimits(32, 16, 64))
BACKEND = As(Caller(Right.FUNCTION_KEY))
HERSELF = As(Caller(Right.OWN_USER, ALICE))
SOMEBODY_ELSE = As(Caller(Right.OWN_USER, BOB))
NOBODY = As(None)

type Work = Callable[[Registrar, str], func.HttpResponse]


def body(user: str, **changes: object) -> bytes:
    device = {"deviceUUID": "phone", "deviceToken": TOKEN, "platform": "apple", **changes}
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
    @pytest.mark.parametrize(("access", "status"), [(SOMEBODY_ELSE, 403), (NOBODY, 401)])
    def test_refused_before_the_database(self, work: Work, access: Access, status: int) -> None:
        """Who may not is told so before the database is asked anything, the count of changes included."""
        untouchable = Untouchable()
        assert work(registrar(access, untouchable, untouchable), ALICE).status_code == status

    @EVERY_FUNCTION
    def test_bad_request_before_the_database(self, work: Work) -> None:
        """So is who sends nonsense."""
        untouchable = Untouchable()
        assert work(registrar(BACKEND, untouchable, untouchable), "4:+14255550123").status_code == 400

    @EVERY_FUNCTION
    def test_stranger_learns_nothing(self, work: Work) -> None:
        """The whole answer to a stranger is the same for a registered and for an unregistered user."""
        store = device_store()
        without = work(registrar(SOMEBODY_ELSE, store), ALICE)
        store.register(registration(), NOW)
        with_device = work(registrar(SOMEBODY_ELSE, store), ALICE)
        assert without.get_body() == with_device.get_body()
        assert dict(without.headers) == dict(with_device.headers)

    @pytest.mark.parametrize("work", [add, delete, delete_all])
    def test_too_often_before_the_store(self, work: Work) -> None:
        """Who changes too often is told when to come back, before the devices are looked at."""
        response = work(registrar(HERSELF, Untouchable(), Counted(limit=0)), ALICE)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
        assert read(response)["code"] == "too_many_changes"

    def test_lookups_are_not_counted(self) -> None:
        """To look devices up changes nothing."""
        changes = Counted()
        get(registrar(BACKEND, changes=changes), ALICE)
        assert changes.users == []

    def test_strangers_do_not_use_up_a_user(self) -> None:
        """What is refused does not count as the user's change."""
        changes = Counted()
        for work in (add, delete, delete_all):
            work(registrar(SOMEBODY_ELSE, changes=changes), ALICE)
        assert changes.users == []


class TestAnswers:
    def test_tokens_are_for_backends(self) -> None:
        """A user who looks himself up gets his devices without their tokens; a backend gets them."""
        store = device_store()
        add(registrar(HERSELF, store), ALICE)
        mine = get(registrar(HERSELF, store), ALICE)
        assert TOKEN.encode() not in mine.get_body()
        (device,) = read(mine)["deviceInfos"]
        assert set(device) == {"deviceUUID", "platform", "expiresAt"}
        (device,) = read(get(registrar(BACKEND, store), ALICE))["deviceInfos"]
        assert device["deviceToken"] == TOKEN

    def test_given_way(self) -> None:
        """The answer names the devices that gave way, and has no such member where none did."""
        store = device_store()
        service = Registrar(store, HERSELF, Counted(), clock := FakeClock(), LIMITS)
        answers = []
        for name in ("one", "two", "three"):
            raw = body(ALICE, deviceUUID=name, deviceToken=name)
            answers.append(read(add(service, ALICE, raw)))
            clock.sleep(1)
        assert ["displacedDeviceUUIDs" in each for each in answers] == [False, False, True]
        assert answers[2]["displacedDeviceUUIDs"] == ["one"]

    def test_all_deleted(self) -> None:
        """The answer says how many there were, again and again."""
        store = device_store()
        add(registrar(HERSELF, store), ALICE)
        for count in (1, 0, 0):
            response = delete_all(registrar(HERSELF, store), ALICE)
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
            text = "ü" * length if name != "acsMri" else "8:acs:".ljust(length, "x")
            return body(text) if name == "acsMri" else body(ALICE, **{name: text})

        assert add(registrar(BACKEND), ALICE, sent(longest)).status_code == 201
        response = add(registrar(BACKEND), ALICE, sent(longest + 1))
        assert response.status_code == 400
        (bad,) = read(response)["errors"]
        assert bad["field"] == field
        assert str(longest) in bad["detail"]

    def test_query_too_long(self) -> None:
        """So it is in a query."""
        assert get(registrar(BACKEND), "8:acs:".ljust(33, "x")).status_code == 400

    @EVERY_FUNCTION
    def test_nothing_is_logged_of_a_refusal(self, work: Work) -> None:
        """Neither a refused caller nor a failing database has anything of a request written down."""
        collection = FailingCollection(new_collection())
        collection.error = AutoReconnect("away")
        store = device_store(collection)
        with app_log() as log:
            work(registrar(SOMEBODY_ELSE, store), ALICE)
            work(registrar(NOBODY, store), ALICE)
            work(registrar(KeyAccess(), store), ALICE)
        assert TOKEN not in log.text
        assert ALICE not in log.text
        assert [line["code"] for line in log.events("request_failed")] == ["database_unavailable"]
