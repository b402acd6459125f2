"""An incomplete configuration, an issuer that is away, a database that is away."""

import time
from collections.abc import Callable, Iterator

import pytest
import requests

from local.samples import event_grid_event, incoming_call_data, phones
from local.stack import Host, Stack
from tests.end_to_end.callers import FUNCTIONS, bearer, call, problem
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import Documents, another_host, new_user
from tests.oidc_issuer import ADMIN_ROLE, AUDIENCE, OidcIssuer, SigningKey

NOWHERE = "mongodb://127.0.0.1:1/?directConnection=true"
PATIENCE = 15.0

COMPLETE = {"RegistrarAccess": "oidc", "OidcIssuer": "https://issuer.test/t", "OidcAudience": AUDIENCE}


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with OidcIssuer() as running:
        yield running


def rings(stack: Stack, host: Host) -> None:
    """A call for a user who registered elsewhere rings through this host."""
    user, phone = new_user(), phones()[0]
    assert stack.host.add_device_token(phone.registration(user)).status_code == 201
    event = event_grid_event(incoming_call_data(user))
    assert host.deliver(event).status_code == 202
    assert stack.hub.summary().calls[event["data"]["correlationId"]] == {phone.device_token: 1}


def answers(send: Callable[[], requests.Response], status: int) -> requests.Response:
    """The first answer with that status."""
    deadline = time.monotonic() + PATIENCE
    while (response := send()).status_code != status and time.monotonic() < deadline:
        time.sleep(0.2)
    assert response.status_code == status, response.text
    return response


class TestHalfAConfiguration:
    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"OidcAudience": ""}, ["OidcAudience"]),
            ({"OidcIssuer": " "}, ["OidcIssuer"]),
            ({"OidcIssuer": "", "OidcAudience": ""}, ["OidcIssuer", "OidcAudience"]),
            ({"RegistrarAccess": "oicd"}, ["RegistrarAccess"]),
            ({"RegistrarAccess": "OIDC", "OidcAudience": ""}, ["OidcAudience"]),
        ],
    )
    def test_refused(
        self, stack: Stack, registrations: Documents, changes: dict[str, str], named: list[str]
    ) -> None:
        """The host asks for the key, no device is registered, the log names the mistake, and calls ring."""
        log, user = HostLog(), new_user()
        with another_host(stack, log, {**COMPLETE, **changes}) as host:
            for function in FUNCTIONS:
                assert call(host, function, user, {}).status_code == 401
                assert call(host, function, user, bearer("unread")).status_code == 401
                mark = log.mark()
                key = {"x-functions-key": host.keys.functions[function]}
                response = call(host, function, user, key)
                found = problem(response, 503, "misconfigured")
                assert int(response.headers["Retry-After"]) > 0
                line = log.entry(mark, event="request_failed", function=function)
                assert line.level == "ERROR"
                assert all(name in line.fields["detail"] for name in named)
                # Which setting is wrong is for the operator alone.
                assert all(name not in str(found) for name in COMPLETE)
            rings(stack, host)
        assert registrations.find_one({"acsMri": user}) is None


class TestIssuerAway:
    def test_down_and_back(self, stack: Stack, issuer: OidcIssuer) -> None:
        """Down: 503 with Retry-After and a line in the log; calls ring. Back: 201, without a restart."""
        log, user = HostLog(), new_user()
        token = issuer.token(acsMri=user)
        issuer.stop()
        with another_host(stack, log, issuer.settings()) as host:
            response = call(host, "AddDeviceToken", user, bearer(token))
            problem(response, 503, "issuer_unavailable")
            assert int(response.headers["Retry-After"]) > 0
            assert log.entry(event="request_failed").fields["code"] == "issuer_unavailable"
            problem(call(host, "AddDeviceToken", user, {}), 401, "unauthenticated")
            rings(stack, host)
            issuer.start()
            answers(lambda: call(host, "AddDeviceToken", user, bearer(token)), 201)
            self._storm_and_rotation(host, issuer, user)

    def _storm_and_rotation(self, host: Host, issuer: OidcIssuer, user: str) -> None:
        """A storm of made-up key ids costs a handful of fetches; a rotation is followed."""
        before = issuer.fetches
        forger, old = SigningKey.new("made-up"), issuer.token(acsMri=user)
        for number in range(100):
            token = forger.sign(issuer.claims(acsMri=user), kid=f"made-up-{number}")
            problem(call(host, "AddDeviceToken", user, bearer(token)), 401, "unauthenticated")
        assert issuer.fetches <= before + 8
        issuer.rotate("key-2", "ES256")
        answers(lambda: call(host, "AddDeviceToken", user, bearer(issuer.token(acsMri=user))), 201)
        problem(call(host, "AddDeviceToken", user, bearer(old)), 401, "unauthenticated")


class TestDatabaseAway:
    def test_refusals_need_no_database(self, stack: Stack, issuer: OidcIssuer) -> None:
        """Callers without the right are refused at once, as ever; only the others hear of the database."""
        log, user = HostLog(), new_user()
        own = {**issuer.settings(), "MongoDbConnectionString": NOWHERE}
        with another_host(stack, log, own) as host:
            call(host, "GetDeviceRegistrations", user, bearer(issuer.token()))  # the first is slow
            for function in FUNCTIONS:
                began = time.monotonic()
                problem(call(host, function, user, {}), 401, "unauthenticated")
                problem(call(host, function, user, bearer("rubbish")), 401, "unauthenticated")
                another = bearer(issuer.token(acsMri=new_user()))
                problem(call(host, function, user, another), 403, "forbidden")
                assert time.monotonic() - began < 1.5
            for claims in ({"acsMri": user}, {"roles": [ADMIN_ROLE]}):
                response = call(host, "AddDeviceToken", user, bearer(issuer.token(**claims)))
                problem(response, 503, "database_unavailable")
                assert int(response.headers["Retry-After"]) > 0

    def test_no_key(self, stack: Stack) -> None:
        """In the mode `key` the host refuses requests without a key."""
        with another_host(stack, HostLog(), {"MongoDbConnectionString": NOWHERE}) as host:
            for function in FUNCTIONS:
                assert call(host, function, new_user(), {}).status_code == 401
            key = {"x-functions-key": host.keys.functions["GetDeviceRegistrations"]}
            response = call(host, "GetDeviceRegistrations", new_user(), key)
            problem(response, 503, "database_unavailable")
