"""The settings: complete, well formed, and consistent."""

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from urllib.parse import urlsplit

from doctor.checks.azure import Unanswered
from doctor.checks.findings import Area, Check
from models import known_causes, telemetry_settings
from models.access import AccessSettings, read_access
from models.errors import FieldError
from models.hub import DEFAULT_HUB, NAMED_HUB_PREFIX, HubSettingNames
from models.known_causes import cause_of_connection_string
from settings import (
    NEEDED_FOR_RINGING,
    NOT_NEEDED_FOR_RINGING,
    READ_AT_INDEXING,
    Settings,
    is_setting,
    setting_names,
)

AREA = Area("settings")

KNOWN_API_VERSIONS = frozenset({"2015-01", "2015-04", "2016-07", "2020-06"})
"""Those that public pages and SDKs of Notification Hubs use."""

_SIMILARITY = 0.9
"""Of names, from which one is taken for a misspelled other."""

_SAMPLE = "see local.settings.sample.json"


def check_settings(
    values: Mapping[str, str], unresolved: Mapping[str, Unanswered] = MappingProxyType({})
) -> tuple[Settings | None, list[Check]]:
    """The settings, None where they cannot be used, and the checks on them.

    Args:
        values: the settings by name.
        unresolved: why a Key Vault reference among them could not be resolved.
    """
    settings = Settings.from_mapping(values)
    lesser = settings.mistakes(*NOT_NEEDED_FOR_RINGING, *READ_AT_INDEXING)
    mistakes = (*lesser, *settings.named_hub_mistakes)
    others = [_wrong(bad, unresolved) for bad in mistakes]
    others += [*_sign_in(read_access(values), unresolved), *_telemetry(values), *_misspelled(values)]
    if needed := settings.mistakes(*NEEDED_FOR_RINGING):
        return None, [*(_wrong(bad, unresolved) for bad in needed), *others]
    checks = [AREA.passed("complete", "every setting that ringing needs is there and well formed"), *others]
    return settings, [
        *checks,
        *_connection_string(settings),
        *(_same_hub(settings, hub) for hub in settings.hub_names if not settings.hub_mistakes(hub)),
        _api_version(settings),
    ]


def _wrong(mistake: FieldError, unresolved: Mapping[str, Unanswered], remedy: str | None = None) -> Check:
    """A failed check; `remedy` is for a mistake that has none of its own."""
    name, detail = mistake.field, mistake.detail
    why = next((each for setting, each in unresolved.items() if setting.lower() == name.lower()), None)
    if why is not None:
        detail = f"it is a Key Vault reference that cannot be resolved from here: {why.detail}"
        return AREA.failed(name, detail, why.remedy, *why.commands)
    for cause in (known_causes.KEY_VAULT_REFERENCE, known_causes.CONNECTION_STRINGS_BLADE):
        if detail.startswith(cause.problem):
            return AREA.failed(name, detail.removesuffix(f" {cause.remedy}").removesuffix("."), cause.remedy)
    if name.lower().startswith(NAMED_HUB_PREFIX.lower()):
        return AREA.failed(name, detail, f"Correct {name}, or remove the hub's settings: see docs/hubs.md.")
    return AREA.failed(name, detail, remedy or f"Set {name}: {_SAMPLE}.")


def _connection_string(settings: Settings) -> list[Check]:
    cause = cause_of_connection_string(settings.database.connection_string)
    return [] if cause is None else [AREA.failed("MongoDbConnectionString", cause.problem, cause.remedy)]


def _same_hub(settings: Settings, hub: str) -> Check:
    read, names = settings.hub_named(hub), HubSettingNames.of(hub)
    named = urlsplit(read.messages_url).path.rstrip("/").rpartition("/")[0].strip("/")
    question = "one hub" if hub == DEFAULT_HUB else f"one hub {hub}"
    if named.lower() == read.name.lower():
        return AREA.passed(question, f"{names.hub_name} and the URL for messages name the same hub")
    return AREA.failed(
        question,
        f"{names.url} names another hub than {names.hub_name}, so its SAS token is made for the wrong one",
        f"Leave {names.url} out: it follows from the connection string and the hub's name.",
    )


def _api_version(settings: Settings) -> Check:
    if settings.hub.api_version in KNOWN_API_VERSIONS:
        return AREA.passed("ANHHubApiVersion", f"{settings.hub.api_version} is a known version")
    return AREA.unknown(
        "ANHHubApiVersion",
        "no public page names this version; the hub may refuse every push with 400",
        "Leave ANHHubApiVersion out: 2020-06 is what Microsoft's SDKs send.",
    )


def _telemetry(values: Mapping[str, str]) -> list[Check]:
    """Nothing where telemetry is off."""
    if not telemetry_settings.is_wanted(values):
        return []
    name = telemetry_settings.CONNECTION_STRING
    given = next((value for each, value in values.items() if each.upper() == name), "")
    mistake = telemetry_settings.mistake_in(given)
    if mistake is None:
        return [AREA.passed(name, "well formed")]
    remedy = (
        "Copy it again: portal, Application Insights, Overview. Until then no traces and metrics are sent."
    )
    return [AREA.failed(name, f"{mistake}; the worker is told to send telemetry", remedy)]


def _misspelled(values: Mapping[str, str]) -> list[Check]:
    """A note for each name that is nearly that of a setting."""
    known = {name.lower(): name for name in setting_names()}
    checks = []
    for name in sorted(values):
        near = get_close_matches(name.lower().replace("_", ""), known, n=1, cutoff=_SIMILARITY)
        if near and not is_setting(name):
            meant = known[near[0]]
            detail = f"the app reads no setting of this name; there is {meant}"
            checks.append(AREA.note(name, detail, f"Rename it if {meant} is meant: {_SAMPLE}."))
    return checks


def _sign_in(access: AccessSettings, unresolved: Mapping[str, Unanswered]) -> list[Check]:
    if access.errors:
        remedy = "Set RegistrarAccess to oidc with OidcIssuer and OidcAudience, or to key with neither."
        return [_wrong(bad, unresolved, remedy) for bad in access.errors]
    mode = (
        "function keys, which the host checks" if access.oidc is None else "bearer tokens of the OIDC issuer"
    )
    return [AREA.passed("RegistrarAccess", f"the registrar's callers show {mode}")]
