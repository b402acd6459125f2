"""`call`: what became of one call."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import requests
import typer

from common.mongodb import Document
from doctor.call_output import call_as_json, show_call
from doctor.checks.call_summaries import CallSummary, summarize_call
from doctor.checks.database_content import EMPTY_REMEDY, DatabaseContent
from doctor.checks.findings import ExitCode, exit_code
from doctor.checks.identifiers import pasted
from doctor.options import AppOption, GroupOption, JsonOption, SettingsOption
from doctor.probes.app_settings import SettingsSource, load_settings
from doctor.probes.database_connection import connected
from doctor.probes.records import Records
from doctor.probes.telemetry_probe import TelemetryProbe
from doctor.report import Report, run
from doctor.terminal import Terminal
from doctor.usable import usable_settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: 'call 0d9b4a5e-... --settings local.settings.json'.")
    def call(
        name: Annotated[str, typer.Argument(metavar="ID", help="The correlation id, or the event's id.")],
        *,
        settings: SettingsOption = None,
        app: AppOption = None,
        resource_group: GroupOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Show what became of a call of the last day, device by device.

        The hub is asked for the fate of each push that it took, where its tier tells.
        """

        def work() -> Report:
            known = usable_settings(load_settings(SettingsSource(settings, app, resource_group), os.environ))
            with connected(known) as client:
                records = Records(client, known.database.name)
                calls, content = calls_named(records, pasted(name)), records.content()
            with requests.Session() as session:
                ask = TelemetryProbe(known, session).ask
                return CallReport(pasted(name), [each.with_telemetry(ask) for each in calls], content)

        run("call", work, as_json=as_json)


def calls_named(records: Records, name: str) -> list[CallSummary]:
    """The events of a call, by its correlation id or an event's id."""
    return summaries(records, records.calls(name))


def summaries(records: Records, documents: Sequence[Document]) -> list[CallSummary]:
    """The events of some documents of the ledger, with their devices' names."""
    devices = [document.get("devices") for document in documents]
    ids = [name for each in devices if isinstance(each, dict) for name in each]
    registrations = records.devices_named(ids)
    now = datetime.now(UTC)
    return [summarize_call(document, registrations, now) for document in documents]


@dataclass(frozen=True, slots=True)
class CallReport:
    """The answer of `call`."""

    name: str
    calls: Sequence[CallSummary]
    content: DatabaseContent

    @property
    def exit_code(self) -> ExitCode:
        """Not known where the ledger has no such call."""
        if not self.calls:
            return ExitCode.CANNOT_TELL
        return exit_code(call.status for call in self.calls)

    def as_json(self) -> dict[str, Any]:
        """`events`, each with its devices."""
        return {"id": self.name, "events": [call_as_json(call) for call in self.calls]}

    def show(self, terminal: Terminal) -> None:
        """Each event."""
        for call in self.calls:
            show_call(terminal, call)
        if not self.calls:
            terminal.text(
                "The ledger has no such call or event; it keeps a day. Either the event never arrived (see "
                "the Event Grid subscription's metrics and dead letters), or it could not be read, or the "
                "database was down (look in the log for incoming_call lines with the result failed)."
            )
            terminal.text(f"In the database: {self.content}.")
            terminal.remedy(EMPTY_REMEDY if self.content.is_empty else "")
