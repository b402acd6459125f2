"""The settings of access and limits, and what becomes of half of them."""

import pytest

from app import App
from models.access import OidcSettings
from models.errors import ConfigurationError
from settings import Settings, setting_names

NEEDED = {
    "ANHHubConnectionString": "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=S;SharedAccessKey=k=",
    "ANHHubName": "Ring",
    "MongoDbConnectionString": "mongodb://127.0.0.1:1/",
    "DbName": "calling",
}
OIDC = {"RegistrarAccess": "oidc", "OidcIssuer": "https://issuer.test/t", "OidcAudience": "api://registrar"}


def settings(**changes: str) -> Settings:
    return Settings.from_mapping({**NEEDED, **changes})


def listed(**changes: str) -> list[str]:
    """Which settings are named as wrong when the registrar is wanted."""
    with pytest.raises(ConfigurationError) as caught:
        settings(**changes).oidc()
    assert caught.value.http_status == 503
    assert all(bad.field in caught.value.detail for bad in caught.value.errors)
    return [bad.field for bad in caught.value.errors]


class TestModes:
    def test_default(self) -> None:
        """Who sets nothing has function keys, and needs no issuer."""
        assert settings().oidc() is None
        assert settings(RegistrarAccess="key", OidcIssuer="not looked at").oidc() is None

    def test_oidc(self) -> None:
        """What `oidc` needs, and what it takes where nothing else is said."""
        assert settings(**OIDC).oidc() == OidcSettings(
            "https://issuer.test/t", "api://registrar", "acsMri", "Registrar.Admin"
        )
        more = settings(**OIDC, OidcUserClaim="oid", OidcAdminRole="phones").oidc()
        assert more is not None
        assert (more.user_claim, more.admin_role) == ("oid", "phones")

    @pytest.mark.parametrize("mode", ["Key", "KEY", "none", "anonymous", "oicd", "function", "0"])
    def test_misspelled(self, mode: str) -> None:
        """A mode that is none is named alone: nobody can tell what else it would need."""
        assert listed(RegistrarAccess=mode) == ["RegistrarAccess"]
        assert listed(**{**OIDC, "RegistrarAccess": mode}) == ["RegistrarAccess"]

    def test_everything_missing(self) -> None:
        """Everything that `oidc` lacks is named at once."""
        assert listed(RegistrarAccess="oidc") == ["OidcIssuer", "OidcAudience"]
        assert listed(RegistrarAccess="OIDC") == ["RegistrarAccess", "OidcIssuer", "OidcAudience"]

    @pytest.mark.parametrize("name", ["OidcIssuer", "OidcAudience"])
    def test_half(self, name: str) -> None:
        """So is a single missing part."""
        assert listed(**{**OIDC, name: ""}) == [name]

    @pytest.mark.parametrize("issuer", ["http://issuer.test", "issuer.test", "ftp://issuer.test", "https://"])
    def test_issuer_in_the_clear(self, issuer: str) -> None:
        """An issuer whose keys could be tampered with on the way is refused."""
        assert listed(**{**OIDC, "OidcIssuer": issuer}) == ["OidcIssuer"]

    def test_calls_ring_all_the_same(self) -> None:
        """Half a configuration stops the registrar, not the handler of incoming calls."""
        clients = App({**NEEDED, "RegistrarAccess": "oidc"})
        with pytest.raises(ConfigurationError):
            _ = clients.registrar
        assert clients.incoming_call_handler
        clients.close()

    @pytest.mark.parametrize(
        "changes",
        [
            {**OIDC, "RegistrarAccess": " oidc"},
            {"registraraccess": "oidc", "OidcIssuer": "https://issuer.test", "OidcAudience": "api"},
            {"RegistrarAccess": "oidc", "OIDCISSUER": "https://issuer.test", "OidcAudience": "api"},
            {**OIDC, "REGISTRARACCESS": "key"},
        ],
    )
    def test_host_and_app_disagree(self, changes: dict[str, str]) -> None:
        """Where the host would ask for a key and the app for a token, or neither, nothing is served."""
        with pytest.raises(ConfigurationError):
            _ = App({**NEEDED, **changes}).registrar


class TestLimits:
    @pytest.mark.parametrize(
        ("name", "attribute", "usual", "least", "most"),
        [
            ("MaxDevicesPerUser", "maximum_devices_per_user", 20, 1, 1_000),
            ("RegistrationsPerMinute", "registrations_per_minute", 60, 0, 100_000),
            ("MaxBodyBytes", "maximum_body_bytes", 65_536, 1_024, 1_048_576),
            ("MaxMriLength", "maximum_mri_length", 512, 16, 4_096),
            ("MaxDeviceUuidLength", "maximum_device_uuid_length", 256, 16, 4_096),
            ("MaxDeviceTokenLength", "maximum_device_token_length", 4_096, 64, 16_384),
        ],
    )
    def test_range(self, name: str, attribute: str, usual: int, least: int, most: int) -> None:
        """Each limit has a default and a range, outside of which it is named."""
        assert getattr(settings(), attribute) == usual
        for value in (least, most):
            assert getattr(settings(**{name: str(value)}), attribute) == value
        for wrong in (least - 1, most + 1, "many"):
            with pytest.raises(ConfigurationError) as caught:
                settings(**{name: str(wrong)})
            assert [bad.field for bad in caught.value.errors] == [name]

    def test_secondary_key(self) -> None:
        """The secondary connection string is for the same namespace, and no secret shows."""
        second = NEEDED["ANHHubConnectionString"].replace("=k=", "=do-not-quote=")
        read = settings(ANHHubConnectionStringSecondary=second)
        assert read.hub_connection_secondary is not None
        assert read.hub_connection_secondary.key == "do-not-quote="
        assert "do-not-quote" not in repr(read)
        for wrong in (second.replace("contoso", "other"), "do-not-quote"):
            with pytest.raises(ConfigurationError) as caught:
                settings(ANHHubConnectionStringSecondary=wrong)
            assert [bad.field for bad in caught.value.errors] == ["ANHHubConnectionStringSecondary"]
            assert "do-not-quote" not in str(caught.value)

    def test_every_setting_is_known(self) -> None:
        """All settings of access and limits are settings of the app."""
        names = {"RegistrarAccess", "OidcIssuer", "OidcAudience", "OidcUserClaim", "OidcAdminRole"}
        assert names <= set(setting_names())
