"""Reports of phones: the order of checks, what each caller hears, and the audit lines."""

import json
from collections.abc import Mapping

import azure.functions as func
import pytest

from common.telemetry import fingerprint
from models.errors import DatabaseUnavailableError, TooManyReportsError, UnauthenticatedError
from models.identity import Identity
from models.report import CallReport, DeviceState, ReportEffect
from registrar.access import Caller, Right
from registrar.rate import RateLimit
from registrar.registrations import Limits
from registrar.reports import Reports
from registrar.routes import reports_blueprint
from tests.fakes import ALICE, BOB, FakeClock, Invocation, app_log
from tests.memory_store import WORK, new_collection, no_rate_limit

CALL_ID = "0F6B3A5E-4D6C-4E0E-9A43-5A1C1D1B8F11"
BODY_BYTES = 1_024


class As:
    """Every request comes from the same caller."""

    def __init__(self, caller: Caller | None) -> None:
        self._caller = caller

    def authenticate(self, headers: Mapping[str, str]) -> Caller:  # noqa: ARG002
        """The caller; UnauthenticatedError if there is none."""
        if self._caller is None:
            raise UnauthenticatedError("no token")
        return self._caller


BACKEND = As(Caller(Right.FUNCTION_KEY))
ADMINISTRATOR = As(Caller(Right.ADMIN_ROLE))
AS_ALICE = As(Caller(Right.OWN_USER, Identity.parse(ALICE)))
AS_BOB = As(Caller(Right.OWN_USER, Identity.parse(BOB)))
AS_NO_USER = As(Caller(Right.OWN_USER))
NO_CALLER = As(None)


class Calls:
    """Remembers what was reported."""

    def __init__(self, effect: ReportEffect = ReportEffect.NOTED, *, error: Exception | None = None) -> None:
        self.reports: list[CallReport] = []
        self._effect = effect
        self._error = error

    def reported(self, report: CallReport) -> ReportEffect:
        """What every report changes."""
        self.reports.append(report)
        if self._error is not None:
            raise self._error
        return self._effect


def body(**changes: object) -> bytes:
    whole = {"acsMri": ALICE, "deviceUUID": "phone", "callId": CALL_ID, "state": "answered", **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def report(
    calls: Calls, access: As = BACKEND, raw: bytes | None = None, limit: RateLimit | None = None
) -> func.HttpResponse:
    """The answer of the function."""
    limits = Limits(86_400, 20, BODY_BYTES)
    reports = Reports(calls.reported, access, limit or no_rate_limit(), FakeClock(), limits)
    app = func.FunctionApp()
    app.register_functions(reports_blueprint(lambda: reports))
    (function,) = app.get_functions()
    request = func.HttpRequest("POST", "/", body=body() if raw is None else raw)
    response = function.get_user_function()(request, Invocation())
    assert isinstance(response, func.HttpResponse)
    return response


def code(response: func.HttpResponse) -> str:
    return str(json.loads(response.get_body())["code"])


class TestAnswers:
    @pytest.mark.parametrize("state", DeviceState)
    @pytest.mark.parametrize("access", [BACKEND, ADMINISTRATOR, AS_ALICE])
    def test_written_down(self, access: As, state: DeviceState) -> None:
        """A backend, an administrator and the user may report; the answer has no body."""
        response = report(calls := Calls(), access, body(state=state.value.upper(), acsMri=ALICE.upper()))
        assert (response.status_code, response.get_body()) == (204, b"")
        assert response.headers["Cache-Control"] == "no-store"
        assert calls.reports == [CallReport(Identity.parse(ALICE), "phone", CALL_ID, state)]

    def test_names_in_any_case(self) -> None:
        """As in the registrar, with a byte order mark."""
        sent = {"ACSMRI": ALICE, "deviceuuid": "phone", "CallID": CALL_ID, "State": "ringing"}
        raw = b"\xef\xbb\xbf" + json.dumps(sent).encode()
        assert report(Calls(), raw=raw).status_code == 204

    def test_no_such_call(self) -> None:
        """404 with a code; no audit line."""
        with app_log() as log:
            response = report(Calls(ReportEffect.NO_SUCH_CALL))
        assert (response.status_code, code(response)) == (404, "call_not_found")
        assert log.text == ""

    @pytest.mark.parametrize(("access", "status"), [(AS_BOB, 403), (AS_NO_USER, 403), (NO_CALLER, 401)])
    def test_refused_before_anything_is_asked(self, access: As, status: int) -> None:
        """A caller without the right is neither counted nor told whether there is such a call."""
        collection = new_collection()
        counted = RateLimit(collection, WORK, 1, TooManyReportsError)
        calls = Calls()
        assert report(calls, access, limit=counted).status_code == status
        assert calls.reports == []
        assert list(collection.find()) == []

    def test_too_often(self) -> None:
        """429 with `Retry-After`, before the call is looked for."""
        limit = RateLimit(new_collection(), WORK, 1, TooManyReportsError)
        calls = Calls()
        assert report(calls, limit=limit).status_code == 204
        response = report(calls, limit=limit)
        assert (response.status_code, code(response)) == (429, "too_many_reports")
        assert 1 <= int(response.headers["Retry-After"]) <= 60
        assert len(calls.reports) == 1

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"acsMri": ...}, "acsMri"),
            ({"acsMri": "4:+14255550123"}, "acsMri"),
            ({"deviceUUID": ""}, "deviceUUID"),
            ({"deviceUUID": "x" * 257}, "deviceUUID"),
            ({"callId": ...}, "callId"),
            ({"callId": None}, "callId"),
            ({"callId": 7}, "callId"),
            ({"callId": ""}, "callId"),
            ({"callId": "x" * 257}, "callId"),
            ({"callId": f"{CALL_ID}\n"}, "callId"),
            ({"callId": f"{CALL_ID}\u200b"}, "callId"),
            ({"state": ...}, "state"),
            ({"state": "busy"}, "state"),
            ({"state": ["answered"]}, "state"),
        ],
    )
    def test_bad_field(self, changes: dict[str, object], field: str) -> None:
        """400 names the field; nothing is reported."""
        response = report(calls := Calls(), raw=body(**changes))
        assert response.status_code == 400
        assert [bad["field"] for bad in json.loads(response.get_body())["errors"]] == [field]
        assert calls.reports == []

    @pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"7", body()[:-1]])
    def test_no_report(self, raw: bytes) -> None:
        """A body that is no JSON object is a 400."""
        calls = Calls()
        assert report(calls, raw=raw).status_code == 400
        assert calls.reports == []

    def test_all_fields(self) -> None:
        """One answer names all bad fields; a misspelled one is named, a value never."""
        raw = json.dumps({"acsMri": "secret", "deviceUUID": "", "callID2": "secret", "state": "secret"})
        response = report(Calls(), raw=raw.encode())
        errors = json.loads(response.get_body())["errors"]
        assert [bad["field"] for bad in errors] == ["acsMri", "deviceUUID", "callId", "state"]
        assert "callID2" in errors[2]["detail"]
        assert "secret" not in response.get_body().decode()

    def test_too_large(self) -> None:
        """A body beyond the limit is refused; one at the limit is read."""
        fits = body().ljust(BODY_BYTES)
        assert report(Calls(), raw=fits).status_code == 204
        assert report(Calls(), raw=fits + b" ").status_code == 413

    def test_database_away(self) -> None:
        """503 with `Retry-After`, and a line that quotes nothing."""
        with app_log() as log:
            response = report(Calls(error=DatabaseUnavailableError("away")))
        assert (response.status_code, code(response)) == (503, "database_unavailable")
        assert "Retry-After" in response.headers
        (line,) = log.events("request_failed")
        assert (line["function"], line["code"]) == ("ReportCall", "database_unavailable")
        assert ALICE not in log.text


class TestAudit:
    @pytest.mark.parametrize("state", [DeviceState.ANSWERED, DeviceState.DECLINED])
    @pytest.mark.parametrize(("access", "right"), [(BACKEND, "function_key"), (AS_ALICE, "own_user")])
    def test_ring_ended(self, access: As, right: str, state: DeviceState) -> None:
        """What stops other devices leaves a line: by which right, for which user, of which device."""
        with app_log() as log:
            report(Calls(ReportEffect.RING_ENDED), access, body(state=state.value))
        assert log.events("registrar_audit") == [
            {
                "event": "registrar_audit",
                "level": "INFO",
                "action": "ring_ended",
                "right": right,
                "user": fingerprint(ALICE),
                "device": fingerprint("phone"),
                "state": state.value,
            }
        ]

    @pytest.mark.parametrize("state", DeviceState)
    def test_nothing_ended(self, state: DeviceState) -> None:
        """Other reports leave none, nor does one that only repeats what is known."""
        with app_log() as log:
            report(Calls(), raw=body(state=state.value))
        assert log.text == ""
