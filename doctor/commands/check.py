"""`check`: everything that can go wrong with a configuration, looked at in one go."""

from collections.abc import Mapping

import requests

from doctor.clock_checks import check_clock
from doctor.database import DatabaseTroubleError, connected
from doctor.database_checks import check_database, check_trouble
from doctor.database_probe import DatabaseProbe
from doctor.findings import Check, ExitCode, exit_code_of
from doctor.hub_checks import check_hub
from doctor.hub_probe import HubAnswer, HubProbe
from doctor.manual_checks import places_to_look
from doctor.oidc_checks import check_oidc
from doctor.oidc_probe import OidcProbe
from doctor.settings_checks import check_settings
from models.access import OidcSettings, read_access
from settings import Settings


def run_checks(values: Mapping[str, str], *, create_indexes: bool = False) -> tuple[list[Check], ExitCode]:
    """Look at everything; settings that cannot be used end it at once.

    Args:
        values: the settings by name.
        create_indexes: make the indexes that the app makes on first use.
    """
    settings, checks = check_settings(values)
    if settings is None:
        return checks, ExitCode.USAGE
    with requests.Session() as session:
        checks += _hub(settings, session)
        checks += _database(settings, create_indexes=create_indexes)
        checks += _sign_in(read_access(values).oidc, session)
    checks += places_to_look()
    return checks, exit_code_of(checks)


def _hub(settings: Settings, session: requests.Session) -> list[Check]:
    found = HubProbe(settings, session).ask()
    checks = check_hub(found)
    if isinstance(found.first, HubAnswer):
        checks.append(check_clock("the hub's clock", found.first.clock_ahead_seconds))
    return checks


def _database(settings: Settings, *, create_indexes: bool) -> list[Check]:
    uri = settings.mongodb_uri.get_secret_value()
    try:
        with connected(settings) as client:
            facts = DatabaseProbe(client, settings.database_name, uri).ask(create_indexes=create_indexes)
    except DatabaseTroubleError as error:
        return check_trouble(error)
    return [*check_database(facts), check_clock("the database's clock", facts.clock_ahead_seconds)]


def _sign_in(oidc: OidcSettings | None, session: requests.Session) -> list[Check]:
    """Nothing where function keys are used, and where the settings' checks have found a mistake."""
    return [] if oidc is None else check_oidc(oidc, OidcProbe(oidc, session).ask())
