"""`check`: looks at everything that can be wrong with a configuration."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import requests
import typer

from doctor.checks.azure import Deployment
from doctor.checks.clock_checks import check_clock
from doctor.checks.database_checks import check_database, check_trouble
from doctor.checks.deployment_checks import answered, check_deployment
from doctor.checks.findings import Check, ExitCode, Status, exit_code_of
from doctor.checks.hub_checks import HubAnswer, check_hub
from doctor.checks.manual_checks import places_to_look
from doctor.checks.oidc_checks import check_oidc
from doctor.checks.settings_checks import check_settings
from doctor.options import AppOption, GroupOption, JsonOption, SettingsOption
from doctor.probes.app_settings import AppSettings, SettingsSource, load_settings
from doctor.probes.database_connection import DatabaseTroubleError, connected
from doctor.probes.database_probe import DatabaseProbe
from doctor.probes.deployment_probe import AzureHub
from doctor.probes.hub_probe import HubProbe
from doctor.probes.oidc_probe import OidcProbe
from doctor.report import Report, run
from doctor.terminal import Terminal
from models.access import OidcSettings, read_access
from models.hub import DEFAULT_HUB
from push.hub.wire import HubWire, Timeouts
from settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: 'check --settings local.settings.json'; 'az functionapp config appsettings list -g "
        "GROUP -n APP | call-push-doctor check --settings -'."
    )
    def check(  # noqa: PLR0913 - one for each option
        *,
        settings: SettingsOption = None,
        app: AppOption = None,
        resource_group: GroupOption = None,
        as_json: JsonOption = False,
        create_indexes: Annotated[
            bool,
            typer.Option(
                "--create-indexes",
                help="Make the indexes that the app makes on first use; minutes on a large collection.",
            ),
        ] = False,
        everything: Annotated[
            bool, typer.Option("--all", help="Show every check, also those that pass.")
        ] = False,
    ) -> None:
        """Look at settings, hub, clocks, database and sign-in; rings no phone.

        It writes one document into the registrations and deletes it again.
        """

        def work() -> Report:
            loaded = load_settings(SettingsSource(settings, app, resource_group), os.environ)
            return CheckReport(run_checks(loaded, create_indexes=create_indexes), show_all=everything)

        run("check", work, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Checks:
    """All that was looked at."""

    checks: Sequence[Check]
    usable: bool
    """False if the settings cannot be used, so that nothing else was looked at."""

    @property
    def exit_code(self) -> ExitCode:
        """What follows from the checks."""
        return exit_code_of(self.checks) if self.usable else ExitCode.USAGE


def run_checks(loaded: AppSettings, *, create_indexes: bool = False) -> Checks:
    """Look at everything; with settings that cannot be used, at the settings and at Azure alone.

    Args:
        loaded: the settings.
        create_indexes: make the indexes that the app makes on first use.
    """
    settings, checks = check_settings(loaded.values, loaded.unresolved)
    deployment = _deployment(loaded, settings)
    if deployment is not None:
        checks += check_deployment(deployment)
    if settings is None:
        return Checks(checks, usable=False)
    for hub in settings.hub_names:
        if not settings.hub_mistakes(hub):
            checks += _hub(settings, hub)
    checks += _database(settings, create_indexes=create_indexes)
    checks += _sign_in(read_access(loaded.values).oidc)
    known = frozenset[str]() if deployment is None else answered(deployment)
    return Checks([*checks, *places_to_look(known)], usable=True)


def _deployment(loaded: AppSettings, settings: Settings | None) -> Deployment | None:
    if loaded.deployment is None:
        return None
    named = {} if settings is None else {name: _azure_hub(settings, name) for name in settings.named_hubs}
    usable = {name: hub for name, hub in named.items() if hub is not None}
    default = None if settings is None else _azure_hub(settings, DEFAULT_HUB)
    return loaded.deployment.ask(default, datetime.now(UTC), usable)


def _azure_hub(settings: Settings, name: str) -> AzureHub | None:
    """Where a hub is; None where its settings are wrong."""
    if settings.hub_mistakes(name):
        return None
    hub = settings.hub_named(name)
    return AzureHub(hub.connection_string.host.partition(".")[0], hub.name)


def _hub(settings: Settings, hub: str) -> list[Check]:
    timeouts = Timeouts(settings.calls.hub_connect_timeout_seconds, settings.calls.hub_read_timeout_seconds)
    with HubWire(timeouts, time.monotonic) as wire:
        found = HubProbe(settings, wire, hub=hub).ask()
    checks = check_hub(found)
    if isinstance(found.first, HubAnswer) and hub == DEFAULT_HUB:
        checks.append(check_clock("the hub's clock", found.first.clock_ahead_seconds))
    return checks


def _database(settings: Settings, *, create_indexes: bool) -> list[Check]:
    uri = settings.database.connection_string
    try:
        with connected(settings) as client:
            facts = DatabaseProbe(client, settings.database.name, uri).ask(create_indexes=create_indexes)
    except DatabaseTroubleError as error:
        return check_trouble(error.cause, str(error))
    return [*check_database(facts), check_clock("the database's clock", facts.clock_ahead_seconds)]


def _sign_in(oidc: OidcSettings | None) -> list[Check]:
    """Nothing where function keys are used, and where the settings' checks have found a mistake."""
    if oidc is None:
        return []
    with requests.Session() as session:
        return check_oidc(oidc, OidcProbe(oidc, session).ask())


_VERDICTS = {
    ExitCode.OK: "Nothing is wrong, as far as can be seen from here.",
    ExitCode.FAILED: "Something is wrong: see what failed.",
    ExitCode.USAGE: "Correct the settings first; nothing else was looked at.",
    ExitCode.CANNOT_TELL: "Nothing is known to be wrong, but not everything could be looked at.",
}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The answer of `check`."""

    found: Checks
    show_all: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """What follows from the checks."""
        return self.found.exit_code

    def as_json(self) -> dict[str, Any]:
        """Every check, whether or not it passed."""
        return {
            "checks": [
                {
                    "area": check.area,
                    "name": check.name,
                    "status": check.status.value,
                    "detail": check.detail,
                    "remedy": check.remedy,
                    "commands": list(check.commands),
                    "counts": check.counts,
                }
                for check in self.found.checks
            ]
        }

    def show(self, terminal: Terminal) -> None:
        """What failed first, then what is not known and counts, notes, and the rest in two lines."""
        failed, unknown, notes, passed = (
            [check for check in self.found.checks if check.status is status]
            for status in (Status.FAIL, Status.CANNOT_TELL, Status.NOTE, Status.PASS)
        )
        elsewhere = [check for check in unknown if not check.counts]
        for check in [*failed, *(check for check in unknown if check.counts), *notes]:
            _show(terminal, check)
        if self.show_all:
            for check in [*elsewhere, *passed]:
                _show(terminal, check)
        else:
            _show_rest(terminal, elsewhere, passed)
        counts = f"{len(failed)} failed, {len(unknown)} not known, {len(passed)} passed"
        terminal.text(f"{_VERDICTS[self.exit_code]} ({counts})")


def _show_rest(terminal: Terminal, elsewhere: Sequence[Check], passed: Sequence[Check]) -> None:
    if elsewhere:
        names = ", ".join(check.name for check in elsewhere)
        terminal.text(f"Not known from here: {names}. --all says where to look; --app asks Azure.")
    if passed:
        terminal.text(f"{len(passed)} checks pass; --all shows them.")


def _show(terminal: Terminal, check: Check) -> None:
    terminal.heading(check.status, f"{check.area}: {check.name}")
    terminal.text(check.detail, 2)
    if check.status is not Status.PASS:
        terminal.remedy(check.remedy, check.commands, indent=2)
        terminal.gap()
