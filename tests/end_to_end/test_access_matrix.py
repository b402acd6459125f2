"""Every row of mode, caller, target and function, over HTTP, with tokens of a real issuer."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.samples import event_grid_event, incoming_call_data
from local.stack import Host, Stack
from tests.end_to_end.callers import FUNCTIONS, bearer, call, device_token, problem
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import Documents, another_host, new_user
from tests.oidc_issuer import ADMIN_ROLE, AUDIENCE, OidcIssuer, SigningKey, forged

CHALLENGE = 'Bearer realm="registrar"'
INVALID = f'{CHALLENGE}, error="invalid_token"'


@pytest.fixture(scope="module")
def issuer() -> Iterator[OidcIssuer]:
    with OidcIssuer() as running:
        yield running


@pytest.fixture(scope="module")
def own_log() -> HostLog:
    """What the hosts of these tests write."""
    return HostLog()


@pytest.fixture(scope="module")
def signed_in(stack: Stack, issuer: OidcIssuer, own_log: HostLog) -> Iterator[Host]:
    """A host that wants a bearer token."""
    with another_host(stack, own_log, issuer.settings(), log_level="DEBUG") as running:
        yield running


@pytest.fixture(scope="module")
def teams(stack: Stack, issuer: OidcIssuer, own_log: HostLog) -> Iterator[Host]:
    """A host whose callers are Teams users."""
    with another_host(stack, own_log, issuer.settings(OidcUserClaim="oid")) as running:
        yield running


@dataclass(frozen=True)
class Target:
    """A user, and whether they have a registered device."""

    acs_mri: str
    is_registered: bool


def target(host: Host, *, is_registered: bool) -> Target:
    """A new user, registered by a backend or not."""
    acs_mri = new_user()
    if is_registered:
        key = {"x-functions-key": host.keys.functions["AddDeviceToken"]}
        assert call(host, "AddDeviceToken", acs_mri, key).status_code == 201
    return Target(acs_mri, is_registered)


def target_of(signed_in: Host, issuer: OidcIssuer, *, is_registered: bool) -> Target:
    """A new user who has or has not registered a device."""
    acs_mri = new_user()
    if is_registered:
        token = issuer.token(acsMri=acs_mri)
        assert call(signed_in, "AddDeviceToken", acs_mri, bearer(token)).status_code == 201
    return Target(acs_mri, is_registered)


def stored(registrations: Documents, acs_mri: str) -> list[dict[str, Any]]:
    return list(registrations.find({"acsMri": acs_mri}))


def succeeds(function: str, owner: Target) -> int:
    """The status for a caller with the right."""
    if function == "AddDeviceToken":
        return 201
    if function == "DeleteUserRegistrations":
        return 200
    if function == "ReportCall":
        return 404  # no call has rung
    return 200 if owner.is_registered else 404


EVERY_FUNCTION = pytest.mark.parametrize("function", FUNCTIONS)
REGISTERED_OR_NOT = pytest.mark.parametrize("is_registered", [True, False])


class TestKeyMode:
    @EVERY_FUNCTION
    @REGISTERED_OR_NOT
    @pytest.mark.parametrize("key", [None, "", "wrong", "ü", "bearer"])
    def test_no_key(
        self, host: Host, issuer: OidcIssuer, registrations: Documents, function: str, key: str | None,
        *, is_registered: bool,
    ) -> None:  # fmt: skip
        """Without the function's key the host refuses every request; a bearer token does not help."""
        owner = target(host, is_registered=is_registered)
        before = stored(registrations, owner.acs_mri)
        headers = {} if key is None else {"x-functions-key": key.encode().decode("latin-1")}
        if key == "bearer":
            headers = bearer(issuer.token(roles=[ADMIN_ROLE]))
        assert call(host, function, owner.acs_mri, headers).status_code == 401
        assert stored(registrations, owner.acs_mri) == before

    @EVERY_FUNCTION
    @REGISTERED_OR_NOT
    def test_function_key(self, host: Host, function: str, *, is_registered: bool) -> None:
        """A backend acts for every user and gets device tokens."""
        owner = target(host, is_registered=is_registered)
        response = call(host, function, owner.acs_mri, {"x-functions-key": host.keys.functions[function]})
        assert response.status_code == succeeds(function, owner)
        if function == "GetDeviceRegistrations" and is_registered:
            assert response.json()["deviceInfos"][0]["deviceToken"] == device_token(owner.acs_mri)

    def test_key_of_another_function(self, host: Host) -> None:
        """A function's key opens that function alone."""
        key = {"x-functions-key": host.keys.functions["AddDeviceToken"]}
        assert call(host, "GetDeviceRegistrations", new_user(), key).status_code == 401


class TestOidcMode:
    @EVERY_FUNCTION
    @REGISTERED_OR_NOT
    @pytest.mark.parametrize("key", [False, True])
    def test_no_token(
        self, host: Host, signed_in: Host, registrations: Documents, function: str,
        *, is_registered: bool, key: bool,
    ) -> None:  # fmt: skip
        """Without a token there is a 401 with a challenge, and a function key is none."""
        owner = target(host, is_registered=is_registered)
        before = stored(registrations, owner.acs_mri)
        headers = {"x-functions-key": host.keys.functions[function]} if key else {}
        response = call(signed_in, function, owner.acs_mri, headers)
        problem(response, 401, "unauthenticated")
        assert response.headers["WWW-Authenticate"] == CHALLENGE
        assert stored(registrations, owner.acs_mri) == before

    @EVERY_FUNCTION
    @REGISTERED_OR_NOT
    def test_invalid_token(
        self, host: Host, signed_in: Host, issuer: OidcIssuer, registrations: Documents, function: str,
        *, is_registered: bool,
    ) -> None:  # fmt: skip
        """So it is with an invalid token, with any claims."""
        owner = target(host, is_registered=is_registered)
        before = stored(registrations, owner.acs_mri)
        claims = issuer.claims(acsMri=owner.acs_mri, roles=[ADMIN_ROLE])
        answers = set()
        for token in (
            SigningKey.new("key-1").sign(claims),
            SigningKey.new("made-up").sign(claims),
            forged({"alg": "none"}, claims),
            issuer.token(acsMri=owner.acs_mri, exp=1),
            issuer.token(acsMri=owner.acs_mri, aud="api://elsewhere"),
            issuer.token(acsMri=owner.acs_mri, iss="https://elsewhere.test"),
            "rubbish",
        ):
            response = call(signed_in, function, owner.acs_mri, bearer(token))
            problem(response, 401, "unauthenticated")
            assert response.headers["WWW-Authenticate"] == INVALID
            assert token not in response.text
            answers.add(response.text)
        assert len(answers) > 3
        assert stored(registrations, owner.acs_mri) == before

    @EVERY_FUNCTION
    @REGISTERED_OR_NOT
    def test_own_user(
        self, host: Host, signed_in: Host, issuer: OidcIssuer, function: str, *, is_registered: bool
    ) -> None:
        """A user may do everything for themselves, and never sees a device token."""
        owner = target(host, is_registered=is_registered)
        response = call(signed_in, function, owner.acs_mri, bearer(issuer.token(acsMri=owner.acs_mri)))
        assert response.status_code == succeeds(function, owner)
        assert device_token(owner.acs_mri) not in response.text
        if function == "GetDeviceRegistrations" and is_registered:
            assert set(response.json()["deviceInfos"][0]) == {
                "deviceUUID",
                "platform",
                "purpose",
                "hub",
                "expiresAt",
            }

    @EVERY_FUNCTION
    @pytest.mark.parametrize(
        "who", ["another user", "no claim", "claim of a phone number", "other role", "role in another case"]
    )
    def test_stranger(
        self, signed_in: Host, issuer: OidcIssuer, registrations: Documents, function: str, who: str
    ) -> None:
        """Every other caller gets one and the same answer for registered and unregistered users."""
        claims: dict[str, dict[str, Any]] = {
            "another user": {"acsMri": new_user()},
            "no claim": {},
            "claim of a phone number": {"acsMri": "4:+14255550123"},
            "other role": {"roles": ["Registrar.Reader"]},
            "role in another case": {"roles": [ADMIN_ROLE.upper()]},
        }
        token = issuer.token(**claims[who])
        answers = []
        for is_registered in (True, False):
            owner = target_of(signed_in, issuer, is_registered=is_registered)
            before = stored(registrations, owner.acs_mri)
            response = call(signed_in, function, owner.acs_mri, bearer(token))
            problem(response, 403, "forbidden")
            assert stored(registrations, owner.acs_mri) == before
            answers.append((response.content, {**response.headers, "Date": ""}))
        assert answers[0] == answers[1]

    @EVERY_FUNCTION
    @REGISTERED_OR_NOT
    def test_administrator(
        self, host: Host, signed_in: Host, issuer: OidcIssuer, function: str, *, is_registered: bool
    ) -> None:
        """The role acts for every user, as a backend does."""
        owner = target(host, is_registered=is_registered)
        response = call(signed_in, function, owner.acs_mri, bearer(issuer.token(roles=["x", ADMIN_ROLE])))
        assert response.status_code == succeeds(function, owner)
        if function == "GetDeviceRegistrations" and is_registered:
            assert response.json()["deviceInfos"][0]["deviceToken"] == device_token(owner.acs_mri)

    def test_nothing_secret_in_the_log(self, signed_in: Host, issuer: OidcIssuer, own_log: HostLog) -> None:
        """Tokens, device tokens and users are in no line of all that went before, at DEBUG."""
        user = new_user()
        token = issuer.token(acsMri=user)
        assert call(signed_in, "AddDeviceToken", user, bearer(token)).status_code == 201
        call(signed_in, "GetDeviceRegistrations", new_user(), bearer(token))
        own_log.wait_until(lambda: len(executed(own_log)) > 40, "end of the calls")
        text = "\n".join(own_log.lines())
        for secret in (token, token.split(".")[1], "secret-device-token", user, "8:acs:", "Bearer ey"):
            assert secret not in text


def executed(log: HostLog) -> list[str]:
    return [line for line in log.lines() if "Executed 'Functions." in line]


class TestTeamsUsers:
    @EVERY_FUNCTION
    @REGISTERED_OR_NOT
    def test_own_user(
        self, host: Host, teams: Host, issuer: OidcIssuer, function: str, *, is_registered: bool
    ) -> None:
        """With the claim `oid` the caller is the Teams user of that object id."""
        acs_mri = new_user("8:orgid:")
        owner = Target(acs_mri, is_registered)
        if is_registered:
            key = {"x-functions-key": host.keys.functions["AddDeviceToken"]}
            assert call(host, "AddDeviceToken", acs_mri, key).status_code == 201
        token = issuer.token(oid=acs_mri.removeprefix("8:orgid:"))
        assert call(teams, function, acs_mri, bearer(token)).status_code == succeeds(function, owner)

    @EVERY_FUNCTION
    def test_another_user(self, teams: Host, issuer: OidcIssuer, function: str) -> None:
        """No other user, with any `acsMri`, and no ACS user with the same id."""
        user = new_user()
        for claims in ({"oid": "another", "acsMri": user}, {"acsMri": user}, {"oid": user}):
            problem(call(teams, function, user, bearer(issuer.token(**claims))), 403, "forbidden")

    def test_life(self, teams: Host, issuer: OidcIssuer) -> None:
        """A token's audience may be one of several, and the registration is a Teams user's."""
        token = issuer.token(oid="user", aud=["https://graph.test", AUDIENCE])
        assert call(teams, "AddDeviceToken", "8:orgid:user", bearer(token)).status_code == 201


class TestCalls:
    def test_ring_in_either_mode(self, stack: Stack, signed_in: Host, issuer: OidcIssuer) -> None:
        """A phone that its user registered rings; Event Grid needs its own key and no token."""
        user = new_user()
        call(signed_in, "AddDeviceToken", user, bearer(issuer.token(acsMri=user)))
        event = event_grid_event(incoming_call_data(user))
        assert signed_in.deliver(event).status_code == 202
        rung = stack.hub.summary().calls[event["data"]["correlationId"]]
        assert rung == {device_token(user): 1}

    def test_forged_event(self, signed_in: Host, issuer: OidcIssuer) -> None:
        """Neither a bearer token nor a function key is accepted by the webhook."""
        url = signed_in.webhook_url.partition("&code=")[0]
        event = [event_grid_event(incoming_call_data())]
        for headers in (
            {},
            bearer(issuer.token(roles=[ADMIN_ROLE])),
            {"x-functions-key": signed_in.keys.functions["AddDeviceToken"]},
        ):
            route = url.partition("/runtime/")[2]
            response = signed_in.call(
                "POST",
                f"../runtime/{route}",
                headers={**headers, "aeg-event-type": "Notification"},
                json=event,
            )
            assert response.status_code == 401, json.dumps(dict(response.headers))
