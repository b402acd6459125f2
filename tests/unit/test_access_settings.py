"""The settings of access and limits, and what a mistake in them stops."""

import pytest

from app import App
from models.access import SETTING_NAMES, AccessSettings, OidcSettings, read_access
from models.errors import ConfigurationError
from settings import Settings, setting_names

NEEDED = {
    "ANHHubConnectionString": "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=S;SharedAccessKey=k=",
    "ANHHubName": "Ring",
    "MongoDbConnectionString": "mongodb://127.0.0.1:1/",
    "DbName": "calling",
}
OIDC = {"RegistrarAccess": "oidc", "OidcIssuer": "https://issuer.test/t", "OidcAudience": "api://registrar"}

VAULT_REFERENCE = "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/oidc/)"


def settings(**changes: str) -> Settings:
    return Settings.from_mapping({**NEEDED, **changes})


def mistakes(environment: dict[str, str]) -> list[str]:
    """The settings that are reported, after a check that the host then asks for a key."""
    found = read_access(environment)
    assert not found.is_anonymous_to_the_host
    assert found.oidc is None
    return [bad.field for bad in found.errors]


class TestKeyMode:
    @pytest.mark.parametrize(
        "environment",
        [
            {},
            {"RegistrarAccess": ""},
            {"RegistrarAccess": "key"},
            {"RegistrarAccess": " Key\n"},
            {"registraraccess": "KEY"},
            {"RegistrarAccess": "key", "OidcIssuer": "not read", "OidcAudience": "not read"},
            {"OidcIssuer": "https://issuer.test", "OidcAudience": "api"},
        ],
    )
    def test_key(self, environment: dict[str, str]) -> None:
        """The mode `key` is the default; it needs no issuer and does not read one."""
        assert read_access(environment) == AccessSettings()
        assert not read_access(environment).is_anonymous_to_the_host


class TestOidcMode:
    def test_defaults(self) -> None:
        """The user is in the claim `acsMri`, and no role is an administrator's."""
        found = read_access(OIDC)
        assert found == AccessSettings(
            OidcSettings("https://issuer.test/t", "api://registrar", "acsMri", None)
        )
        assert found.is_anonymous_to_the_host

    def test_everything_set(self) -> None:
        """Claim and role are settings."""
        found = read_access({**OIDC, "OidcUserClaim": "oid", "OidcAdminRole": "phones"}).oidc
        assert found is not None
        assert (found.user_claim, found.admin_role) == ("oid", "phones")

    @pytest.mark.parametrize("role", ["", " ", "\n"])
    def test_empty_role(self, role: str) -> None:
        """An empty role is no role."""
        found = read_access({**OIDC, "OidcAdminRole": role}).oidc
        assert found is not None
        assert found.admin_role is None

    @pytest.mark.parametrize(
        "environment",
        [
            {**OIDC, "RegistrarAccess": "OIDC"},
            {**OIDC, "RegistrarAccess": " Oidc\n"},
            {name.upper(): value for name, value in OIDC.items()},
            {name.lower(): value for name, value in OIDC.items()},
            {f"{name[0].lower()}{name[1:]}": f" {value} " for name, value in OIDC.items()},
            {**{name.upper(): "key" for name in OIDC}, **OIDC},
            {**OIDC, **{name.upper(): "key" for name in OIDC}},
            {**dict.fromkeys(OIDC, " "), **{name.upper(): value for name, value in OIDC.items()}},
        ],
    )
    def test_any_letter_case(self, environment: dict[str, str]) -> None:
        """Names and mode are read in any letter case; the exact name wins where a name is there twice."""
        assert read_access(environment) == read_access(OIDC)


class TestMistakes:
    @pytest.mark.parametrize("mode", ["none", "anonymous", "oicd", "function", "0", "key oidc"])
    def test_unknown_mode(self, mode: str) -> None:
        """An unknown mode is reported alone: what else it would need is not known."""
        assert mistakes({"RegistrarAccess": mode}) == ["RegistrarAccess"]
        assert mistakes({**OIDC, "RegistrarAccess": mode}) == ["RegistrarAccess"]

    def test_everything_missing(self) -> None:
        """All missing settings are reported together."""
        assert mistakes({"RegistrarAccess": "oidc"}) == ["OidcIssuer", "OidcAudience"]

    @pytest.mark.parametrize("name", ["OidcIssuer", "OidcAudience"])
    @pytest.mark.parametrize("value", [None, "", "  "])
    def test_one_missing(self, name: str, value: str | None) -> None:
        """So is a single one; the host then keeps asking for the key."""
        environment = {each: text for each, text in OIDC.items() if each != name}
        if value is not None:
            environment[name] = value
        assert mistakes(environment) == [name]

    @pytest.mark.parametrize(
        "issuer",
        [
            "http://issuer.test", "issuer.test", "ftp://issuer.test", "https://", "do-not-quote",
            "https://user:do-not-quote@issuer.test/t", "https://issuer.test/t?p=do-not-quote",
            "https://issuer.test/t#do-not-quote",
        ],
    )  # fmt: skip
    def test_no_issuer(self, issuer: str) -> None:
        """An issuer whose keys could be replaced on their way, or whose URL is more than OpenID Connect
        allows, is refused, without quoting it."""
        environment = {**OIDC, "OidcIssuer": issuer}
        assert mistakes(environment) == ["OidcIssuer"]
        assert "do-not-quote" not in repr(read_access(environment))

    @pytest.mark.parametrize("name", SETTING_NAMES)
    def test_key_vault_reference(self, name: str) -> None:
        """A reference that Azure has not resolved is told as that, and serves as no audience, claim or
        role."""
        environment = {**OIDC, name: VAULT_REFERENCE}
        assert mistakes(environment) == [name]
        (bad,) = read_access(environment).errors
        assert "Key Vault reference is unresolved" in bad.detail
        assert "contoso" not in bad.detail

    @pytest.mark.parametrize("name", ["OidcIssuer", "OidcAudience"])
    def test_on_the_connection_strings_blade(self, name: str) -> None:
        """A setting that was entered where Azure puts a prefix before its name is told as that."""
        environment = {each: text for each, text in OIDC.items() if each != name}
        environment[f"CUSTOMCONNSTR_{name}"] = OIDC[name]
        assert mistakes(environment) == [name]
        (bad,) = read_access(environment).errors
        assert f"CUSTOMCONNSTR_{name}" in bad.detail

    def test_calls_still_ring(self) -> None:
        """A mistake stops the registrar, not the handler of incoming calls."""
        with App({**NEEDED, "RegistrarAccess": "oidc"}) as app:
            with pytest.raises(ConfigurationError) as caught:
                _ = app.registrar
            assert caught.value.http_status == 503
            assert [bad.field for bad in caught.value.errors] == ["OidcIssuer", "OidcAudience"]
            assert all(bad.field in caught.value.detail for bad in caught.value.errors)
            assert app.event_handler

    def test_reported_before_the_database(self) -> None:
        """A mistake is reported even where the database's settings are wrong too."""
        with App({"RegistrarAccess": "oicd", **NEEDED, "MongoDbConnectionString": "mongodb://["}) as app:
            with pytest.raises(ConfigurationError) as caught:
                _ = app.registrar
            assert [bad.field for bad in caught.value.errors] == ["RegistrarAccess"]

    @pytest.mark.parametrize("part", ["registrar", "reports"])
    def test_reported_with_the_others(self, part: str) -> None:
        """Sign-in, limits and database are reported in one go."""
        wrong = {"RegistrarAccess": "oidc", "OidcIssuer": "x", "MaxBodyBytes": "many", "DbName": ""}
        with App({**NEEDED, **wrong}) as app:
            with pytest.raises(ConfigurationError) as caught:
                getattr(app, part)
            named = {bad.field for bad in caught.value.errors}
        assert named == {"OidcIssuer", "OidcAudience", "MaxBodyBytes", "DbName"}


def test_every_setting_is_listed() -> None:
    """The access settings are among the settings of the app."""
    assert set(SETTING_NAMES) <= set(setting_names())


class TestLimits:
    @pytest.mark.parametrize(
        ("name", "attribute", "usual", "least", "most"),
        [
            ("MaxDevicesPerUser", "max_devices_per_user", 20, 1, 1_000),
            ("RegistrationsPerMinute", "registrations_per_minute", 60, 0, 100_000),
            ("MaxBodyBytes", "max_body_bytes", 65_536, 1_024, 1_048_576),
            ("MaxMriLength", "max_mri_length", 512, 16, 4_096),
            ("MaxDeviceUuidLength", "max_device_uuid_length", 256, 16, 4_096),
            ("MaxDeviceTokenLength", "max_device_token_length", 4_096, 64, 16_384),
        ],
    )
    def test_range(self, name: str, attribute: str, usual: int, least: int, most: int) -> None:
        """Each limit has a default and a range, outside of which it is named."""
        assert getattr(settings().registrar, attribute) == usual
        for value in (least, most):
            assert getattr(settings(**{name: str(value)}).registrar, attribute) == value
        for wrong in (least - 1, most + 1, "many"):
            with pytest.raises(ConfigurationError) as caught:
                settings(**{name: str(wrong)}).check_registrar()
            assert [bad.field for bad in caught.value.errors] == [name]
