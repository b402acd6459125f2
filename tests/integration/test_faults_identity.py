"""An identity endpoint that is away, slow or refuses, and a database that refuses the app's identity."""

import threading
from collections.abc import Callable

import pytest

from common.access_tokens import CALLS_ARE_LOST_AFTER_SECONDS
from push.grace import GRACE_SECONDS
from tests.faults import CLIENT_ID, IdentityEndpoint, OidcProxy
from tests.integration.conftest import SHORT
from tests.integration.fault_rows import FaultRow
from tests.integration.signed_in import SignedIn, no_secret, signed_in
from tests.rig import at_once

__all__ = ["no_secret", "signed_in"]

NO_TOKEN = FaultRow(
    "a cold start, and the identity endpoint is away, silent, or answers without a token",
    (500, 202),
    (0, 1),
    tries=0,
)
LATE = FaultRow("a cold start, and the identity endpoint takes 4 s")
THROTTLED = FaultRow("a cold start, and the identity endpoint answers 429 with `Retry-After: 2` once")
KEPT = FaultRow("the identity endpoint is away, and the app's token lives")
ENDED = FaultRow("the database takes the app's token no longer (391, or 18 on a new connection)")
SAME = FaultRow(
    "the same, and the identity endpoint has no other token",
    (500, 202),
    (0, 1),
    tries=0,
)
REFUSED = FaultRow(
    "the app's identity is no user of the database, or that knows no such sign-in, for less than two minutes",
    (500, 202),
    (0, 1),
    tries=0,
)
REFUSED_FOR_GOOD = FaultRow("the same, for longer", (202, 202), (0, 0), tries=0)
ROWS = (NO_TOKEN, LATE, THROTTLED, KEPT, ENDED, SAME, REFUSED, REFUSED_FOR_GOOD)

LIMIT = 1.0
"""Seconds for a piece of work with the database, where a test measures how long it takes."""
GENEROUS = 4.0
"""Seconds beyond a limit, for a busy machine."""
QUICK = {"MongoDbOperationTimeoutSeconds": str(LIMIT), "MongoDbClientId": CLIENT_ID}
PATIENT = {"InvocationTimeoutSeconds": "20", "MongoDbClientId": CLIENT_ID}

Fault = Callable[[IdentityEndpoint], object]


def _answers(status: int, body: object = None, retry_after: str | None = None) -> Fault:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return lambda endpoint: endpoint.answer(status, body, headers)


TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln"
NO_TOKEN_FAULTS: dict[str, tuple[Fault, str]] = {
    "away": (IdentityEndpoint.stop, "no HTTP answer (ServiceRequestError)"),
    "silent": (IdentityEndpoint.hang, "there is no answer after"),
    "drips": (lambda endpoint: endpoint.drip(0.3), "there is no answer after"),
    "unknown identity": (lambda endpoint: endpoint.identities.clear(), "HTTP 400"),
    "refuses": (_answers(403, {"message": "not allowed"}), "HTTP 403"),
    "throttles": (_answers(429, retry_after="20"), "HTTP 429"),
    "fails": (_answers(500, b"<html>no JSON</html>"), "HTTP 500"),
    "no token": (_answers(200, {"resource": "x"}), "HTTP 200 without a token"),
    "cut short": (_answers(200, f'{{"access_token": "{TOKEN}'.encode()), "HTTP 200 without a token"),
    "a list": (_answers(200, [TOKEN]), "HTTP 200 without a token"),
    "no time": (_answers(200, {"access_token": TOKEN, "expires_on": "soon"}), "HTTP 200 without a token"),
}
"""By name: what the endpoint does, and what the log line says of it."""


def restore(endpoint: IdentityEndpoint) -> None:
    """Have it know the identity and hand out tokens again."""
    endpoint.restore()
    endpoint.identities.add(CLIENT_ID)
    endpoint.start()


class TestNoToken:
    @pytest.mark.parametrize("name", NO_TOKEN_FAULTS)
    def test_cold_start(self, signed_in: SignedIn, name: str) -> None:
        """As a database that is away: tried again, then raised, and the redelivery rings. One warning."""
        fault, answer = NO_TOKEN_FAULTS[name]
        with signed_in.app({**SHORT, "MongoDbClientId": CLIENT_ID}) as app:
            fault(signed_in.endpoint)
            call = signed_in.new_call(app)
            answered = call.deliver()
            assert answered.error == "database_unavailable"
            assert answered.seconds < float(SHORT["InvocationTimeoutSeconds"]) + GENEROUS
            restore(signed_in.endpoint)
            signed_in.clock.turn(25)  # beyond `Retry-After`
            call.deliver()
            call.check(NO_TOKEN)
        (line,) = signed_in.log.events("no_database_token")
        assert line["level"] == "WARNING"
        assert line["identity"] == f"client id {CLIENT_ID}"
        assert line["setting"] == "MongoDbClientId"
        assert line["answer"].startswith(answer)
        assert "Identity" in line["remedy"]

    def test_lasting(self, signed_in: SignedIn) -> None:
        """Where redeliveries find no token either, calls are lost, and a line is critical."""
        with signed_in.app({**SHORT, "MongoDbClientId": CLIENT_ID}) as app:
            signed_in.endpoint.identities.clear()
            call = signed_in.new_call(app)
            for _ in range(2):
                assert call.deliver().error == "database_unavailable"
                signed_in.clock.turn(CALLS_ARE_LOST_AFTER_SECONDS)
            restore(signed_in.endpoint)
        lines = signed_in.log.events("no_database_token")
        assert [line["level"] for line in lines] == ["WARNING", "CRITICAL"]

    @pytest.mark.parametrize("name", NO_TOKEN_FAULTS)
    def test_time_limit(self, signed_in: SignedIn, name: str) -> None:
        """Sixty-four pieces of work at a cold start end in their own time, each of them."""
        with signed_in.app(QUICK) as app:
            NO_TOKEN_FAULTS[name][0](signed_in.endpoint)
            outcomes = at_once(signed_in.look_up, [app] * 64)
            restore(signed_in.endpoint)
        assert {each.code for each in outcomes} == {"database_unavailable"}
        # Not "cannot be reached": each thread is told that it is the token that is missing.
        assert [each.reason for each in outcomes if "no token for the identity" not in each.reason] == []
        assert max(each.seconds for each in outcomes) < LIMIT + GENEROUS

    def test_late(self, signed_in: SignedIn) -> None:
        """An endpoint that takes longer than a piece of work may is waited for, by the next try."""
        with signed_in.app(PATIENT) as app:
            signed_in.endpoint.be_slow(4)
            call = signed_in.new_call(app)
            call.deliver()
            assert len(signed_in.endpoint.requests) == 1
            call.deliver()
            call.check(LATE)

    def test_throttled(self, signed_in: SignedIn) -> None:
        """`Retry-After` is waited for, where the time allows it."""
        with signed_in.app(PATIENT) as app:
            signed_in.endpoint.answer(429, headers={"Retry-After": "2"})
            call = signed_in.new_call(app)
            timer = threading.Timer(1, signed_in.endpoint.restore)
            timer.start()
            call.deliver()
            timer.join()
            assert len(signed_in.endpoint.requests) == 2
            call.deliver()
            call.check(THROTTLED)

    def test_kept(self, signed_in: SignedIn) -> None:
        """As long as the token lives, the endpoint is not needed, for new connections neither."""
        with signed_in.app() as app:
            signed_in.look_up(app)
            signed_in.endpoint.stop()
            signed_in.database.close_existing()
            call = signed_in.new_call(app)
            call.deliver()
            call.deliver()
            call.check(KEPT)
            signed_in.endpoint.start()


class TestEndedToken:
    @pytest.mark.parametrize(("new_connection", "refusals"), [(False, [391]), (True, [18, 18])])
    def test_renewed(self, signed_in: SignedIn, *, new_connection: bool, refusals: list[int]) -> None:
        """It is renewed once, the work is repeated, and no call is lost."""
        with signed_in.app() as app:
            signed_in.look_up(app)
            signed_in.database.revoke_tokens()
            if new_connection:
                signed_in.database.close_existing()
            call = signed_in.new_call(app)
            call.deliver()
            # The driver shows a token with the first message of a connection, and once more by itself.
            assert signed_in.database.refusals == refusals
            call.deliver()
            call.check(ENDED)
        assert len(signed_in.endpoint.issued) == len(signed_in.endpoint.requests) == 2
        assert signed_in.log.events("no_database_token") == []

    def test_no_other(self, signed_in: SignedIn) -> None:
        """Where Azure hands out the refused token again, the database does not see it again."""
        signed_in.endpoint.keeps_tokens = True
        with signed_in.app(SHORT) as app:
            signed_in.look_up(app)
            signed_in.database.revoke_tokens()
            signed_in.database.sign_ins.clear()
            call = signed_in.new_call(app)
            assert call.deliver().error == "database_unavailable"
            assert signed_in.database.sign_ins == []
            signed_in.endpoint.keeps_tokens = False
            signed_in.clock.turn(1)
            call.deliver()
            call.check(SAME)
        (line,) = signed_in.log.events("no_database_token")
        assert "once more" in line["answer"]

    def test_silent_endpoint(self, signed_in: SignedIn) -> None:
        """Where Azure hands out no new token, work ends in its own time, whether it was under way or
        begins."""
        with signed_in.app(QUICK) as app:
            assert signed_in.look_up(app).code == ""
            signed_in.endpoint.hang()
            signed_in.database.revoke_tokens()
            outcomes = [signed_in.look_up(app), *at_once(signed_in.look_up, [app] * 64)]
            signed_in.endpoint.restore()
        assert {each.code for each in outcomes} == {"database_unavailable"}
        assert max(each.seconds for each in outcomes) < LIMIT + GENEROUS


def no_user(database: OidcProxy) -> None:
    """The identity is not in the cluster."""
    database.remove_user(CLIENT_ID)


def no_mechanism(database: OidcProxy) -> None:
    """The cluster takes passwords only."""
    database.knows_mechanism = False


def repair(database: OidcProxy) -> None:
    """The identity may sign in."""
    database.knows_mechanism = True
    database.add_user(CLIENT_ID)


def test_user_for_a_while_not(signed_in: SignedIn) -> None:
    """Connections that were open meanwhile sign in again, once the identity is a user of the database
    again."""
    with signed_in.app({"MongoDbClientId": CLIENT_ID}) as app:
        assert {each.code for each in at_once(signed_in.look_up, [app] * 8)} == {""}
        no_user(signed_in.database)
        assert {each.code for each in at_once(signed_in.look_up, [app] * 8)} == {"misconfigured"}
        repair(signed_in.database)
        assert {each.code for each in at_once(signed_in.look_up, [app] * 8)} == {""}
        call = signed_in.new_call(app)
        assert call.deliver().status == 202


@pytest.mark.parametrize("refuse", [no_user, no_mechanism])
class TestRefusedIdentity:
    @pytest.mark.parametrize("was_signed_in", [False, True])
    def test_raised(
        self, signed_in: SignedIn, refuse: Callable[[OidcProxy], None], *, was_signed_in: bool
    ) -> None:
        """Raised with a line at CRITICAL. Once the database takes the identity it rings, although Azure hands
        out the same token."""
        signed_in.endpoint.keeps_tokens = True
        with signed_in.app({"MongoDbClientId": CLIENT_ID}) as app:
            if was_signed_in:
                signed_in.look_up(app)
                signed_in.database.close_existing()
            refuse(signed_in.database)
            call = signed_in.new_call(app)
            assert call.deliver().error == "misconfigured"
            repair(signed_in.database)
            call.deliver()
            call.check(REFUSED)
        assert len(signed_in.endpoint.issued) == 1
        (line,) = signed_in.log.events("misconfigured")
        assert line["level"] == "CRITICAL"
        assert "user of the cluster" in line["remedy"]
        assert "MicrosoftEntraID" in line["remedy"]

    def test_acknowledged(self, signed_in: SignedIn, refuse: Callable[[OidcProxy], None]) -> None:
        """After two minutes without a success the event is acknowledged."""
        with signed_in.app({"MongoDbClientId": CLIENT_ID}) as app:
            refuse(signed_in.database)
            assert signed_in.new_call(app).deliver().status == 500
            signed_in.clock.turn(GRACE_SECONDS)
            call = signed_in.new_call(app)
            call.deliver()
            call.deliver()
            call.check(REFUSED_FOR_GOOD)

    def test_every_thread(self, signed_in: SignedIn, refuse: Callable[[OidcProxy], None]) -> None:
        """A refused sign-in makes the driver forget the server; work that meets only that says why, too."""
        with signed_in.app(QUICK) as app:
            refuse(signed_in.database)
            outcomes = at_once(signed_in.look_up, [app] * 64)
        assert {each.code for each in outcomes} == {"misconfigured"}
        assert max(each.seconds for each in outcomes) < LIMIT + GENEROUS
