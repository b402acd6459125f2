"""How a connection string signs in: which identity, with a token for what, and in which way."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.auth_oidc import OIDCCallback, OIDCCallbackContext, OIDCCallbackResult
from pymongo.errors import ConfigurationError
from pymongo.uri_parser import parse_uri

from models.database_sign_in import SignInWay, TokenSignIn, sign_in_way, token_sign_in
from models.known_causes import PASSWORD_BESIDE_TOKEN, cause_of_connection_string
from settings import Settings

URI = "MongoDbConnectionString"
DEFAULT_SCOPE = "https://ossrdbms-aad.database.windows.net/.default"
CLIENT_ID = "0c5fd6f1-0000-4000-8000-0000000000aa"
OTHER_ID = "0c5fd6f1-0000-4000-8000-0000000000bb"
AZURE = (
    "mongodb+srv://cluster.global.mongocluster.cosmos.azure.com/"
    "?tls=true&authMechanism=MONGODB-OIDC&retrywrites=false&maxIdleTimeMS=120000"
)


class Unused(OIDCCallback):
    """Hands out nothing."""

    def fetch(self, context: OIDCCallbackContext) -> OIDCCallbackResult:
        raise AssertionError(context)


def oidc(properties: str, user: str = "") -> str:
    suffix = f"&authMechanismProperties={properties}" if properties else ""
    return f"mongodb://{user}h.example:27017/?authMechanism=MONGODB-OIDC{suffix}"


class TestTokenSignIn:
    @pytest.mark.parametrize(
        ("uri", "client_id", "scope"),
        [
            (AZURE, None, DEFAULT_SCOPE),
            (oidc("", f"{CLIENT_ID}@"), CLIENT_ID, DEFAULT_SCOPE),
            (oidc("ENVIRONMENT:azure"), None, DEFAULT_SCOPE),
            (oidc("ENVIRONMENT:azure,TOKEN_RESOURCE:api%3A%2F%2Fcluster"), None, "api://cluster/.default"),
            (oidc("TOKEN_RESOURCE:api%3A%2F%2Fa"), None, "api://a/.default"),
            (oidc("TOKEN_RESOURCE:https://a.b/"), None, "https://a.b//.default"),
            (oidc("TOKEN_RESOURCE:https://a.b/.default"), None, "https://a.b/.default"),
            (oidc("TOKEN_RESOURCE%3Aapi%3A%2F%2Fa%2CENVIRONMENT%3Aazure"), None, "api://a/.default"),
            (oidc("", "app%40contoso@"), "app@contoso", DEFAULT_SCOPE),
            ("mongodb://h/?AUTHMECHANISM=MONGODB-OIDC", None, DEFAULT_SCOPE),
            ("mongodb://h/db?x=1;authMechanism=MONGODB-OIDC", None, DEFAULT_SCOPE),
        ],
    )
    def test_of_this_app(self, uri: str, client_id: str | None, scope: str) -> None:
        """User name and resource decide which identity gets a token, and for what."""
        assert token_sign_in(uri) == TokenSignIn(client_id, scope)
        assert sign_in_way(uri) is SignInWay.IDENTITY

    @pytest.mark.parametrize("environment", ["gcp", "k8s", "test", "aws"])
    def test_of_the_driver(self, environment: str) -> None:
        """The driver gets the tokens of other environments by itself."""
        uri = oidc(f"ENVIRONMENT:{environment},TOKEN_RESOURCE:x")
        assert token_sign_in(uri) is None
        assert sign_in_way(uri) is SignInWay.IDENTITY

    @pytest.mark.parametrize(
        ("uri", "way"),
        [
            ("mongodb://h/", SignInWay.NONE),
            ("mongodb://h", SignInWay.NONE),
            ("mongodb://user@h/", SignInWay.NONE),
            ("mongodb://user:p%40ss@h/?tls=true", SignInWay.PASSWORD),
            ("mongodb+srv://user:authMechanism=MONGODB-OIDC@h/", SignInWay.PASSWORD),
            ("mongodb://user:p@h/?authMechanism=SCRAM-SHA-256", SignInWay.PASSWORD),
            ("mongodb://h/?authMechanism=MONGODB-X509&tls=true", SignInWay.CERTIFICATE),
        ],
    )
    def test_other_ways(self, uri: str, way: SignInWay) -> None:
        """With any other string there is no token to get."""
        assert token_sign_in(uri) is None
        assert sign_in_way(uri) is way

    @given(st.text("aZ0-._~/:@% +é", min_size=1, max_size=20))
    def test_agrees_with_the_driver(self, resource: str) -> None:
        """The resource is the one that the driver reads in the same string."""
        uri = oidc(f"ENVIRONMENT:azure,TOKEN_RESOURCE:{quote(resource, safe='')}")
        properties = parse_uri(uri)["options"]["authMechanismProperties"]
        found = token_sign_in(uri)
        assert found is not None
        assert found.scope.removesuffix("/.default") == properties["TOKEN_RESOURCE"].removesuffix("/.default")

    @given(st.text(min_size=1, max_size=20))
    def test_any_user_name(self, name: str) -> None:
        """Any percent-encoded user name is read back."""
        try:
            encoded = quote(name, safe="")
        except UnicodeEncodeError:
            return
        found = token_sign_in(oidc("", f"{encoded}@"))
        assert found is not None
        assert found.client_id == name


class TestPassword:
    def test_beside_a_token(self) -> None:
        """It is a mistake of its own, which the driver refuses."""
        uri = oidc("", "user:secret@")
        assert cause_of_connection_string(uri) is PASSWORD_BESIDE_TOKEN
        with pytest.raises(ConfigurationError):
            MongoClient(uri, authMechanismProperties={"OIDC_CALLBACK": Unused()}, connect=False)

    @pytest.mark.parametrize("user", [f"{CLIENT_ID}@", f"{CLIENT_ID}:@"])
    def test_none(self, user: str) -> None:
        """A user name without a password is fine, for the driver too."""
        uri = oidc("", user)
        assert cause_of_connection_string(uri) is None
        with MongoClient[dict[str, object]](
            uri, authMechanismProperties={"OIDC_CALLBACK": Unused()}, connect=False
        ):
            pass


class TestIdentity:
    @pytest.mark.parametrize(
        ("user", "values", "client_id", "setting"),
        [
            (f"{CLIENT_ID}@", {"MongoDbClientId": "b", "AZURE_CLIENT_ID": "c"}, CLIENT_ID, URI),
            ("", {"MongoDbClientId": OTHER_ID, "AZURE_CLIENT_ID": "c"}, OTHER_ID, "MongoDbClientId"),
            ("", {"mongodbclientid": OTHER_ID}, OTHER_ID, "MongoDbClientId"),
            ("", {"MongoDbClientId": "", "AZURE_CLIENT_ID": OTHER_ID}, OTHER_ID, "AZURE_CLIENT_ID"),
            ("", {}, None, None),
        ],
    )
    def test_precedence(
        self, user: str, values: dict[str, str], client_id: str | None, setting: str | None
    ) -> None:
        """The connection string goes first, then the app's own setting, then Azure's."""
        settings = {"MongoDbConnectionString": oidc("", user), "DbName": "calling", **values}
        identity = Settings.from_mapping(settings).database_identity
        assert identity is not None
        assert (identity.client_id, identity.setting, identity.scope) == (client_id, setting, DEFAULT_SCOPE)
        assert (client_id or "system-assigned") in str(identity)

    def test_none(self) -> None:
        """Without a token in the connection string, no identity is looked for."""
        values = {"MongoDbConnectionString": "mongodb://h/", "DbName": "calling", "AZURE_CLIENT_ID": "c"}
        assert Settings.from_mapping(values).database_identity is None
