"""The app's identity over an endpoint of Azure that does not answer: the library's own time-outs are
minutes."""

import socket
from collections.abc import Iterator

import pytest

from common.access_tokens import AccessTokens
from common.clock import SystemClock
from common.entra_id import tokens_of_managed_identity
from common.token_error import TokenError
from models.database_sign_in import SignInIdentity
from tests.fakes import AppLog, app_log
from tests.faults import CLIENT_ID, IdentityEndpoint

IDENTITY = SignInIdentity("https://ossrdbms-aad.database.windows.net/.default", CLIENT_ID, "MongoDbClientId")


@pytest.fixture
def log() -> Iterator[AppLog]:
    with app_log() as lines:
        yield lines


@pytest.fixture
def tokens() -> AccessTokens:
    return tokens_of_managed_identity(IDENTITY, SystemClock())


def test_no_answer(monkeypatch: pytest.MonkeyPatch, log: AppLog, tokens: AccessTokens) -> None:
    """A request without an answer ends within 8 s, so that the next one can be made while the call rings."""
    with IdentityEndpoint(CLIENT_ID) as endpoint:
        for name, value in endpoint.environment().items():
            monkeypatch.setenv(name, value)
        endpoint.hang()
        with pytest.raises(TokenError):
            tokens.prepare(8)
        (line,) = log.events("no_database_token")
        assert line["answer"].startswith("no HTTP answer")
        assert len(endpoint.requests) == 1
        endpoint.restore()
        SystemClock().sleep(0.3)  # the pause after a failure
        tokens.prepare(8)


def test_no_connection(monkeypatch: pytest.MonkeyPatch, log: AppLog, tokens: AccessTokens) -> None:
    """An endpoint that accepts no connection is given up sooner than one that does not answer."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{busy.getsockname()[1]}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        # The queue holds one connection; the next one waits.
        with socket.create_connection(busy.getsockname()), pytest.raises(TokenError):
            tokens.prepare(4.5)
    (line,) = log.events("no_database_token")
    assert line["answer"].startswith("no HTTP answer")
