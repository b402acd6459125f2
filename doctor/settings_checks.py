"""The settings: all there, well formed, and of a piece (pure)."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from doctor.findings import Area, Check
from models.access import AccessSettings, read_access
from models.errors import ConfigurationError
from settings import Settings, setting_names

AREA = Area("settings")

VAULT_REFERENCE = "@microsoft.keyvault("
KNOWN_API_VERSIONS = frozenset({"2015-01", "2015-04", "2016-07", "2020-06"})
"""Those that public pages and SDKs of Notification Hubs use."""

_SAMPLE = "see local.settings.sample.json"


def check_settings(values: Mapping[str, str]) -> tuple[Settings | None, list[Check]]:
    """The settings, None where they cannot be used, and what is to be said about them."""
    vault = _vault_references(values)
    if vault:
        return None, vault
    try:
        settings = Settings.from_mapping(values)
    except ConfigurationError as error:
        wrong = [AREA.failed(bad.field, bad.detail, f"Set {bad.field}: {_SAMPLE}.") for bad in error.errors]
        return None, wrong
    checks = [AREA.passed("complete", "every setting that is needed is there and well formed")]
    return settings, [*checks, _same_hub(settings), _api_version(settings), *_sign_in(read_access(values))]


def _vault_references(values: Mapping[str, str]) -> list[Check]:
    ours = {name.lower() for name in setting_names()}
    return [
        AREA.failed(
            name,
            "is a Key Vault reference, which only Azure resolves",
            "Give the value itself, by --settings - so that it stays off the disk. In the portal, the "
            "setting's 'Source' column says whether Azure could resolve it.",
        )
        for name, value in values.items()
        if name.lower() in ours and value.strip().lower().startswith(VAULT_REFERENCE)
    ]


def _same_hub(settings: Settings) -> Check:
    named = urlsplit(settings.messages_url).path.rstrip("/").rpartition("/")[0].strip("/")
    if named.lower() == settings.hub_name.lower():
        return AREA.passed("one hub", "ANHHubName and the URL for messages name the same hub")
    return AREA.failed(
        "one hub",
        "ANHHubUrl names another hub than ANHHubName, so its SAS token is made out to the wrong one",
        "Leave ANHHubUrl out: it follows from the connection string and the hub's name.",
    )


def _api_version(settings: Settings) -> Check:
    if settings.hub_api_version in KNOWN_API_VERSIONS:
        return AREA.passed("ANHHubApiVersion", f"{settings.hub_api_version} is a known version")
    return AREA.unknown(
        "ANHHubApiVersion",
        "no public page names this version; the hub may refuse every push with 400",
        "Leave ANHHubApiVersion out: 2020-06 is what Microsoft's SDKs send.",
    )


def _sign_in(access: AccessSettings) -> list[Check]:
    if access.errors:
        remedy = "Set RegistrarAccess to oidc with OidcIssuer and OidcAudience, or to key with neither."
        return [AREA.failed(bad.field, bad.detail, remedy) for bad in access.errors]
    mode = (
        "function keys, which the host checks" if access.oidc is None else "bearer tokens of the OIDC issuer"
    )
    return [AREA.passed("RegistrarAccess", f"the registrar's callers show {mode}")]
