"""The stand-ins for Azure's identity endpoint and for a MongoDB that takes its tokens."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import bson
import pytest
import requests
from pymongo import MongoClient
from pymongo.auth_oidc import OIDCCallback, OIDCCallbackContext, OIDCCallbackResult
from pymongo.errors import OperationFailure

from local.database import EmbeddedDatabase
from tests.faults import CLIENT_ID, DATABASE_RESOURCE, IdentityEndpoint, OidcProxy, mongo_uri, port_of

Document = dict[str, Any]
QUESTION = {"api-version": "2019-08-01", "resource": DATABASE_RESOURCE, "client_id": CLIENT_ID}


@pytest.fixture(scope="module")
def database() -> Iterator[EmbeddedDatabase]:
    """A database in memory."""
    with EmbeddedDatabase() as running:
        yield running


@pytest.fixture
def endpoint() -> Iterator[IdentityEndpoint]:
    """Knows one identity."""
    with IdentityEndpoint(CLIENT_ID) as running:
        yield running


@pytest.fixture
def protected(database: EmbeddedDatabase, endpoint: IdentityEndpoint) -> Iterator[OidcProxy]:
    """The database, behind a sign-in."""
    with OidcProxy(port_of(database.uri), endpoint) as running:
        yield running


def ask(endpoint: IdentityEndpoint, question: dict[str, str], header: str | None = None) -> requests.Response:
    """Ask the endpoint as an app does."""
    variables = endpoint.environment()
    headers = {"X-IDENTITY-HEADER": variables["IDENTITY_HEADER"] if header is None else header}
    return requests.get(variables["IDENTITY_ENDPOINT"], question, headers=headers, timeout=10)


class TestIdentityEndpoint:
    def test_token(self, endpoint: IdentityEndpoint) -> None:
        """It answers as Microsoft's reference says: the end as Unix time, in a string."""
        answer = ask(endpoint, QUESTION)
        assert answer.status_code == 200
        document = answer.json()
        assert document["resource"] == DATABASE_RESOURCE
        assert document["token_type"] == "Bearer"
        assert 3_000 < int(document["expires_on"]) - time.time() < 3_700
        issued = endpoint.token(document["access_token"])
        assert issued
        assert issued.client_id == CLIENT_ID

    @pytest.mark.parametrize(
        ("question", "header", "status"),
        [
            (QUESTION, "", 401),
            (QUESTION, "wrong", 401),
            ({**QUESTION, "api-version": "2017-09-01"}, None, 400),
            ({**QUESTION, "resource": ""}, None, 400),
            ({**QUESTION, "client_id": "another"}, None, 400),
        ],
    )
    def test_refusal(
        self, endpoint: IdentityEndpoint, question: dict[str, str], header: str | None, status: int
    ) -> None:
        """A question that Azure would refuse gets no token."""
        answer = ask(endpoint, question, header)
        assert answer.status_code == status
        assert "access_token" not in answer.text
        assert endpoint.issued == []


class Tokens(OIDCCallback):
    """Hands out what the test says."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def fetch(self, context: OIDCCallbackContext) -> OIDCCallbackResult:  # noqa: ARG002
        """A token."""
        return OIDCCallbackResult(self._token())


def signed_in(protected: OidcProxy, token: Callable[[], str]) -> MongoClient[Document]:
    """A client of pymongo alone, without any code of the app."""
    return MongoClient(
        protected.uri(),
        authMechanismProperties={"OIDC_CALLBACK": Tokens(token)},
        serverSelectionTimeoutMS=5_000,
    )


def code_of(client: MongoClient[Document]) -> int | None:
    """With which code a command is refused; None if it works."""
    try:
        client["test"]["things"].find_one({})
    except OperationFailure as error:
        return error.code
    return None


class TestOidcProxy:
    def test_sign_in(self, protected: OidcProxy, endpoint: IdentityEndpoint) -> None:
        """A good token signs in, by the first message of a connection and by a message of its own."""
        token = endpoint.hand_out(CLIENT_ID)
        with signed_in(protected, lambda: token) as client:
            assert code_of(client) is None
            client["test"]["things"].replace_one({"_id": 1}, {"text": "x"}, upsert=True)
            assert client["test"]["things"].find_one({"_id": 1}) == {"_id": 1, "text": "x"}
        assert set(protected.sign_ins) == {token}
        assert protected.refusals == []

    def test_no_sign_in(self, protected: OidcProxy) -> None:
        """Without one, only a client's first message is answered."""
        with MongoClient[Document](mongo_uri(protected.port), serverSelectionTimeoutMS=5_000) as client:
            assert code_of(client) == 13
        assert protected.sign_ins == []

    @pytest.mark.parametrize("token", ["made up", "", "another resource", "another identity", "ended"])
    def test_bad_token(self, protected: OidcProxy, endpoint: IdentityEndpoint, token: str) -> None:
        """A token that the endpoint has not made, or not for this database, is refused."""
        if token == "another resource":
            token = endpoint.hand_out(CLIENT_ID, "https://vault.azure.net")
        elif token == "another identity":
            token = endpoint.hand_out("0c5fd6f1-0000-4000-8000-0000000000cc")
        elif token == "ended":
            endpoint.lifetime_seconds = -1.0
            token = endpoint.hand_out(CLIENT_ID)
        with signed_in(protected, lambda: token) as client:
            assert code_of(client) == 18
        assert set(protected.refusals) == {18}

    @pytest.mark.parametrize("renewed", [True, False])
    def test_ends(self, protected: OidcProxy, endpoint: IdentityEndpoint, *, renewed: bool) -> None:
        """A connection whose token is good no longer gets 391, and 18 for the same token again."""
        tokens = [endpoint.hand_out(CLIENT_ID)]
        with signed_in(protected, lambda: tokens[-1]) as client:
            assert code_of(client) is None
            protected.revoke_tokens()
            if renewed:
                tokens.append(endpoint.hand_out(CLIENT_ID))
            assert code_of(client) == (None if renewed else 18)
        assert protected.refusals[0] == 391

    def test_user_removed(self, protected: OidcProxy, endpoint: IdentityEndpoint) -> None:
        """An identity that is a user no more is refused, with any token, until it is one again."""
        with signed_in(protected, lambda: endpoint.hand_out(CLIENT_ID)) as client:
            assert code_of(client) is None
            protected.remove_user(CLIENT_ID)
            assert [code_of(client), code_of(client)] == [18, 18]
            protected.add_user(CLIENT_ID)
            assert code_of(client) is None

    def test_unknown_mechanism(self, protected: OidcProxy, endpoint: IdentityEndpoint) -> None:
        """A database that takes passwords alone knows no such mechanism."""
        protected.knows_mechanism = False
        with signed_in(protected, lambda: endpoint.hand_out(CLIENT_ID)) as client:
            assert code_of(client) == 334

    def test_where_to_get_a_token(self, protected: OidcProxy) -> None:
        """A sign-in without a token is told the issuer, and is not done."""
        with MongoClient[Document](mongo_uri(protected.port), serverSelectionTimeoutMS=5_000) as client:
            start = {"saslStart": 1, "mechanism": "MONGODB-OIDC", "payload": bson.encode({})}
            answer = client["$external"].command(start)
        assert answer["done"] is False
        assert bson.decode(answer["payload"])["issuer"].startswith("https://")
