"""The app over a database that takes tokens instead of passwords: which identity signs in, how often a token
is asked for, and what traffic notices of its end."""

import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults import CLIENT_ID, TokenRequest
from tests.integration.signed_in import OTHER_ID, SignedIn, no_secret, signed_in
from tests.rig import Instance, at_once, call_to, new_user

__all__ = ["no_secret", "signed_in"]

ROOT = Path(__file__).parents[2]
RESOURCE = "api://another-cluster"


def register_and_ring(app: Instance) -> None:
    """A phone is registered and rings, through one and the same instance."""
    (device,) = app.register(callee := new_user())
    assert app.deliver(call_to(callee)).status == 202
    assert app.rings(device) == 1


class TestWhichIdentity:
    @pytest.mark.parametrize(
        ("user", "settings", "client_id"),
        [
            (CLIENT_ID, {"MongoDbClientId": OTHER_ID}, CLIENT_ID),
            (None, {"MongoDbClientId": OTHER_ID, "AZURE_CLIENT_ID": CLIENT_ID}, OTHER_ID),
            (None, {"AZURE_CLIENT_ID": OTHER_ID}, OTHER_ID),
            (None, {}, None),
        ],
    )
    def test_precedence(
        self, signed_in: SignedIn, user: str | None, settings: dict[str, str], client_id: str | None
    ) -> None:
        """One token is asked for, of the right identity, for registrations and rings."""
        with signed_in.app(settings, uri=signed_in.database.uri(user)) as app:
            register_and_ring(app)
        assert signed_in.endpoint.requests == [TokenRequest(client_id, signed_in.database.resource)]
        assert signed_in.database.refusals == []

    def test_another_resource(self, signed_in: SignedIn) -> None:
        """TOKEN_RESOURCE decides what the token is for."""
        signed_in.database.resource = RESOURCE
        properties = "ENVIRONMENT:azure,TOKEN_RESOURCE:api%3A%2F%2Fanother-cluster"
        uri = f"{signed_in.database.uri()}&authMechanismProperties={properties}"
        with signed_in.app(uri=uri) as app:
            register_and_ring(app)
        assert signed_in.endpoint.requests == [TokenRequest(None, RESOURCE)]

    def test_another_environment(
        self, signed_in: SignedIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Tokens of other environments are the driver's own business; one of them is for tests."""
        (tmp_path / "token").write_text(signed_in.endpoint.hand_out(CLIENT_ID))
        monkeypatch.setenv("OIDC_TOKEN_FILE", str(tmp_path / "token"))
        uri = f"{signed_in.database.uri()}&authMechanismProperties=ENVIRONMENT:test"
        with signed_in.app({"MongoDbClientId": OTHER_ID}, uri=uri) as app:
            register_and_ring(app)
        assert signed_in.endpoint.requests == []


class TestColdStart:
    def test_sixty_four_calls(self, signed_in: SignedIn) -> None:
        """However many calls come at once, one token is asked for, and every phone rings."""
        callees = [new_user() for _ in range(64)]
        devices = [signed_in.near.register(callee)[0] for callee in callees]
        signed_in.endpoint.be_slow(0.3)
        with signed_in.app() as app:
            answers = at_once(lambda callee: app.deliver(call_to(callee)), callees)
        assert Counter(answer.status for answer in answers) == {202: 64}
        assert {signed_in.near.rings(device) for device in devices} == {1}
        assert len(signed_in.endpoint.requests) == 1
        assert len(set(signed_in.database.sign_ins)) == 1
        assert signed_in.database.refusals == []

    def test_only_where_it_is_used(self) -> None:
        """With a password in the connection string azure-identity is not imported."""
        program = (
            "import sys; from app import App; "
            "app = App({'MongoDbConnectionString': 'mongodb://u:p@127.0.0.1:1/', 'DbName': 'd'}); "
            "app.device_store; app.close(); "
            "sys.exit(any(name.startswith(('msal', 'azure.identity')) for name in sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=60)
        assert done.returncode == 0


def traffic(signed_in: SignedIn, app: Instance, seconds: float) -> int:
    """Calls of sixteen callers side by side, each acknowledged and rung once; how many there were."""
    ends = time.monotonic() + seconds

    def calls(_: int) -> int:
        (device,) = signed_in.near.register(callee := new_user())
        count = 0
        while time.monotonic() < ends:
            assert app.deliver(call_to(callee)).status == 202
            count += 1
            assert signed_in.near.rings(device) == count
        return count

    return sum(at_once(calls, list(range(16))))


class TestTraffic:
    def test_short_lived_tokens(self, signed_in: SignedIn) -> None:
        """Tokens that end after two seconds are followed by others, and no call notices."""
        signed_in.endpoint.lifetime_seconds = 2.0
        with signed_in.app() as app:
            assert traffic(signed_in, app, 7.0) > 16
        assert len(signed_in.endpoint.issued) >= 3
        assert 391 in signed_in.database.refusals
        assert signed_in.log.events("no_database_token") == []

    def test_revoked_token(self, signed_in: SignedIn) -> None:
        """A token that is revoked while all use it is renewed once."""
        timer = threading.Timer(1.0, signed_in.database.revoke_tokens)
        timer.start()
        with signed_in.app() as app:
            traffic(signed_in, app, 3.0)
        timer.join()
        assert len(signed_in.endpoint.requests) == 2
        assert 391 in signed_in.database.refusals
        assert signed_in.log.events("no_database_token") == []


class TestReadiness:
    def test_ready(self, signed_in: SignedIn) -> None:
        """The database takes the identity; it is told in which way the app signs in."""
        with signed_in.app() as app:
            state = app.app.readiness.state()
        assert (state.failing, state.database_sign_in) == (None, "identity")

    def test_refused(self, signed_in: SignedIn) -> None:
        """The reason is in the log."""
        signed_in.database.remove_user(None)
        with signed_in.app() as app:
            assert app.app.readiness.state().failing == "database"
        (line,) = signed_in.log.events("not_ready")
        assert "user of the cluster" in line["reason"]

    def test_no_token(self, signed_in: SignedIn) -> None:
        """The same where Azure hands out no token; nothing names the identity but no_database_token."""
        signed_in.endpoint.answer(400)
        with signed_in.app({"MongoDbClientId": CLIENT_ID}) as app:
            assert app.app.readiness.state().failing == "database"
        (line,) = signed_in.log.events("not_ready")
        assert "no token for the identity" in line["reason"]
        assert CLIENT_ID not in line["reason"]
