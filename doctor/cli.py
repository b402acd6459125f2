"""The command line: options in, a report and an exit code out."""

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from app import App
from common.clock import SystemClock
from doctor.commands.call import tell
from doctor.commands.check import run_checks
from doctor.commands.ring import NOTHING_TO_RING, WARNING, ring, synthetic_call
from doctor.commands.user import DeviceState, device_views
from doctor.configuration import UsageError, read_settings
from doctor.database import DatabaseTroubleError, connected
from doctor.findings import ExitCode, Status
from doctor.records import Records
from doctor.reports import CallReport, CheckReport, Report, RingReport, UserReport
from doctor.settings_checks import check_settings
from models.errors import ServiceError
from models.identity import Identity
from settings import Settings

app = typer.Typer(
    help="Finds out why a phone does not ring. Exit codes: 0 all well; 1 something is wrong; 2 the command "
    "line or the settings; 3 nothing is known to be wrong, but something could not be looked at.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SettingsOption = Annotated[
    str | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="local.settings.json, or what 'az functionapp config appsettings list' prints; - for standard "
        "input. Without it: the environment.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for scripts, on standard output.")]
MriArgument = Annotated[str, typer.Argument(metavar="MRI", help="The user, such as 8:acs:…")]


@app.command()
def check(
    *,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
    create_indexes: Annotated[
        bool, typer.Option("--create-indexes", help="Make the indexes that the app makes on first use.")
    ] = False,
) -> None:
    """Look at settings, hub, clocks, database and sign-in; rings nobody and changes nothing."""

    def work() -> Report:
        values = read_settings(settings, os.environ)
        return CheckReport(*run_checks(values, create_indexes=create_indexes))

    _run("check", work, as_json=as_json)


@app.command()
def user(mri: MriArgument, *, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Show a user's registered devices; tokens as fingerprints only."""

    def work() -> Report:
        _check_owner(mri)
        known = _usable(read_settings(settings, os.environ))
        with connected(known) as client:
            documents = Records(client, known.database_name).registrations_of(mri)
        return UserReport(mri, device_views(documents, datetime.now(UTC)))

    _run("user", work, as_json=as_json)


@app.command()
def call(
    name: Annotated[str, typer.Argument(metavar="ID", help="The correlation id, or the event's id.")],
    *,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what became of a call of the last day, device by device."""

    def work() -> Report:
        known = _usable(read_settings(settings, os.environ))
        with connected(known) as client:
            return _call_report(Records(client, known.database_name), name)

    _run("call", work, as_json=as_json)


@app.command(name="ring")
def ring_command(
    mri: MriArgument,
    *,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Make a test call to one's own devices, through the app's own code, and follow it to the end.

    Every device gets a real push whose call does not exist.
    """

    def work() -> Report:
        _check_owner(mri)
        values = read_settings(settings, os.environ)
        return _ring_report(mri, values, _usable(values), yes=yes)

    _run("ring", work, as_json=as_json)


def _ring_report(mri: str, values: Mapping[str, str], settings: Settings, *, yes: bool) -> Report:
    with connected(settings) as client:
        records = Records(client, settings.database_name)
        views = device_views(records.registrations_of(mri), datetime.now(UTC))
        rings = sum(view.state is DeviceState.RINGS for view in views)
        if rings == 0:
            return RingReport(mri, NOTHING_TO_RING, (), rings)
        if not yes:
            _confirm(rings)
        # A test call is none that the app's metrics should count.
        counted = "APPLICATIONINSIGHTS_CONNECTION_STRING"
        handler = App({k: v for k, v in values.items() if k.upper() != counted}).incoming_call_handler
        made = synthetic_call(mri, datetime.now(UTC))
        outcome = ring(handler, made, SystemClock(), lambda text: typer.echo(text, err=True))
        stories = _call_report(records, made.call_id).stories
    return RingReport(mri, outcome, stories, rings)


def _call_report(records: Records, name: str) -> CallReport:
    documents = records.calls(name)
    ids = [registration_id for document in documents for registration_id in document["devices"]]
    registrations = records.devices_named(ids)
    now = datetime.now(UTC)
    return CallReport(name, [tell(document, registrations, now) for document in documents])


def _confirm(devices: int) -> None:
    typer.echo(WARNING, err=True)
    try:
        agreed = typer.confirm(f"Push to {devices} device{'' if devices == 1 else 's'} now?", err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        raise UsageError("Nothing was sent: say yes, or give --yes.")


def _check_owner(mri: str) -> None:
    identity = Identity.parse(mri)
    if not identity.can_own_devices:
        raise UsageError(f"This is no user who can have devices, but: {identity.kind.value}.")


def _usable(values: Mapping[str, str]) -> Settings:
    settings, checks = check_settings(values)
    if settings is None:
        wrong = "; ".join(f"{c.name}: {c.detail}" for c in checks if c.status is Status.FAIL)
        raise UsageError(f"Settings to correct: {wrong}.")
    return settings


def _run(command: str, work: Callable[[], Report], *, as_json: bool) -> None:
    try:
        report = work()
    except (UsageError, ServiceError) as error:
        _fail(command, ExitCode.USAGE, str(error), "", as_json=as_json)
    except DatabaseTroubleError as error:
        _fail(command, ExitCode.CANNOT_TELL, str(error), error.remedy, as_json=as_json)
    else:
        if as_json:
            _print_json({"command": command, "exitCode": int(report.exit_code), **report.as_json()})
        else:
            report.show(_console())
        raise typer.Exit(report.exit_code)


def _fail(command: str, code: ExitCode, detail: str, remedy: str, *, as_json: bool) -> None:
    if as_json:
        error = {"detail": detail, "remedy": remedy}
        _print_json({"command": command, "exitCode": int(code), "error": error})
    else:
        typer.echo(f"{detail} {remedy}".strip(), err=True)
    raise typer.Exit(code)


def _print_json(document: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def _console() -> Console:
    console = Console(highlight=False)
    # Piped into a file there is no width to fit into.
    return console if console.is_terminal else Console(width=140, highlight=False)
