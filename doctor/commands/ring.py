"""`ring`: a test call to the operator's own devices."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from common.clock import SystemClock
from doctor.call_output import call_as_json, show_call
from doctor.checks.call_summaries import CallSummary
from doctor.checks.findings import ExitCode, exit_code
from doctor.commands.call import calls_named
from doctor.commands.user import devices_of
from doctor.options import AppOption, GroupOption, JsonOption, MriArgument, SettingsOption
from doctor.probes.app_settings import SettingsSource, load_settings
from doctor.probes.database_connection import connected, developer_tokens
from doctor.probes.records import Records
from doctor.probes.settings_source import UsageError
from doctor.report import Report, run
from doctor.synthetic_call import NOTHING_TO_RING, WARNING, Deliveries, deliver, synthetic_call
from doctor.terminal import Terminal
from doctor.usable import device_owner, usable_settings
from models.identity import Identity
from settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: 'ring 8:acs:0000-1111_2222-3333 --settings local.settings.json'.")
    def ring(  # noqa: PLR0913 - one for each option
        mri: MriArgument,
        *,
        settings: SettingsOption = None,
        app: AppOption = None,
        resource_group: GroupOption = None,
        as_json: JsonOption = False,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    ) -> None:
        """Make a test call to your own devices, through the app's own code, and follow it to its end.

        Every device gets a real push for a call that does not exist.
        """

        def work() -> Report:
            owner = device_owner(mri)
            loaded = load_settings(SettingsSource(settings, app, resource_group), os.environ)
            return _ring(owner, loaded.values, usable_settings(loaded), yes=yes)

        run("ring", work, as_json=as_json)


def _ring(owner: Identity, values: Mapping[str, str], settings: Settings, *, yes: bool) -> Report:
    tokens = developer_tokens(settings)
    with connected(settings, tokens) as client:
        records = Records(client, settings.database.name)
        devices = sum(device.is_rung for device in devices_of(records, owner))
        if devices == 0:
            return RingReport(owner.mri, NOTHING_TO_RING, (), devices)
        if not yes:
            _confirm(devices)
        # Imported only here: no other command needs the app itself.
        from app import App  # noqa: PLC0415

        # The worker sets up telemetry, and there is none here.
        telemetry = "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"
        call = synthetic_call(owner.mri, datetime.now(UTC))
        environment = {name: value for name, value in values.items() if name.upper() != telemetry}
        with App(environment, database_tokens=tokens) as app:
            deliveries = deliver(
                app.event_handler, call, SystemClock(), lambda text: typer.echo(text, err=True)
            )
        calls = calls_named(records, call.call_id)
    return RingReport(owner.mri, deliveries, calls, devices)


def _confirm(devices: int) -> None:
    typer.echo(WARNING, err=True)
    try:
        agreed = typer.confirm(f"Push to {devices} device{'' if devices == 1 else 's'} now?", err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        raise UsageError("Nothing was sent: answer y, or give --yes.")


@dataclass(frozen=True, slots=True)
class RingReport:
    """The answer of `ring`."""

    acs_mri: str
    deliveries: Deliveries
    calls: Sequence[CallSummary]
    devices: int
    """How many should have rung."""

    @property
    def exit_code(self) -> ExitCode:
        """OK only if the hub accepted the push to every device."""
        complete = bool(self.calls) and all(len(call.devices) >= self.devices for call in self.calls)
        return exit_code(call.status for call in self.calls) if complete else ExitCode.FAILED

    def as_json(self) -> dict[str, Any]:
        """`events` as for `call`, and how the deliveries went."""
        return {
            "acsMri": self.acs_mri,
            "deliveries": self.deliveries.count,
            "error": self.deliveries.error,
            "logLine": self.deliveries.last_line,
            "registeredDevices": self.devices,
            "events": [call_as_json(call) for call in self.calls],
        }

    def show(self, terminal: Terminal) -> None:
        """The event, and what the app logged of it."""
        for call in self.calls:
            show_call(terminal, call)
        line = self.deliveries.last_line
        logged = ", ".join(f"{name} {line[name]}" for name in ("result", "code", "detail") if name in line)
        terminal.text(f"Deliveries: {self.deliveries.count}. The app's log line: {logged or 'none'}.")
        if self.deliveries.error is not None:
            terminal.text(self.deliveries.error)
