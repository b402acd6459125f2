"""`calls`: the calls of the last day."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from doctor.call_output import call_as_json, show_call_line
from doctor.checks.call_summaries import CallState, CallSummary
from doctor.checks.database_content import EMPTY_REMEDY, DatabaseContent
from doctor.checks.findings import ExitCode, exit_code
from doctor.commands.call import summaries
from doctor.options import AppOption, GroupOption, JsonOption, SettingsOption
from doctor.probes.app_settings import SettingsSource, load_settings
from doctor.probes.database_connection import connected
from doctor.probes.records import Records
from doctor.probes.settings_source import UsageError
from doctor.report import Report, run
from doctor.terminal import Terminal
from doctor.usable import device_owner, usable_settings

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Result(StrEnum):
    """Which calls to list."""

    ALL = "all"
    RUNG = "rung"
    """The hub accepted the push to every device."""
    NOT_RUNG = "not-rung"
    """No device got a push that the hub accepted."""
    IN_PART = "in-part"

    def includes(self, call: CallSummary) -> bool:
        """Whether a call belongs to it."""
        match self:
            case Result.ALL:
                return True
            case Result.RUNG:
                return call.state is CallState.RUNG
            case Result.IN_PART:
                return call.state is CallState.RUNG_IN_PART
        return call.state not in {CallState.RUNG, CallState.RUNG_IN_PART, CallState.IN_PROGRESS}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Examples: 'calls --since 1h'; 'calls --result not-rung --app APP -g GROUP'.")
    def calls(  # noqa: PLR0913 - one for each option
        *,
        user: Annotated[
            str | None,
            typer.Option("--user", metavar="MRI", help="Only calls that were sent to this user's devices."),
        ] = None,
        since: Annotated[str, typer.Option("--since", metavar="TIME", help="Such as 30m or 1h.")] = "1d",
        result: Annotated[Result, typer.Option("--result", help="Which calls.")] = Result.ALL,
        limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 50,
        settings: SettingsOption = None,
        app: AppOption = None,
        resource_group: GroupOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """List the calls of the last day, the newest first."""

        def work() -> Report:
            now = datetime.now(UTC)
            begin = now - _duration(since)
            owner = None if user is None else device_owner(user)
            known = usable_settings(load_settings(SettingsSource(settings, app, resource_group), os.environ))
            with connected(known) as client:
                records = Records(client, known.database.name)
                documents = records.recent_calls(begin, owner)
                listed = [each for each in summaries(records, documents) if result.includes(each)]
                return CallsReport(listed[:limit], len(listed), records.content())

        run("calls", work, as_json=as_json)


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,6})\s*([smhd])", text.strip().lower())
    if found is None:
        raise UsageError("--since takes a number and s, m, h or d, such as 30m.")
    return timedelta(**{_UNITS[found.group(2)]: int(found.group(1))})


@dataclass(frozen=True, slots=True)
class CallsReport:
    """The answer of `calls`."""

    calls: Sequence[CallSummary]
    found: int
    """How many there are, listed or not."""
    content: DatabaseContent

    @property
    def exit_code(self) -> ExitCode:
        """The worst of the calls; not known where the database is empty."""
        return (
            ExitCode.CANNOT_TELL if self.content.is_empty else exit_code(call.status for call in self.calls)
        )

    def as_json(self) -> dict[str, Any]:
        """`events` as for `call`, and how many there are."""
        return {
            "found": self.found,
            "registrations": self.content.registrations,
            "events": [call_as_json(call) for call in self.calls],
        }

    def show(self, terminal: Terminal) -> None:
        """Two lines a call."""
        for call in self.calls:
            show_call_line(terminal, call)
        if self.found > len(self.calls):
            terminal.text(f"{len(self.calls)} of {self.found} calls; --limit shows more.")
        elif self.calls:
            terminal.text(f"{self.found} call{'' if self.found == 1 else 's'}. 'call ID' shows each device.")
        else:
            terminal.text(f"No such call. In the database: {self.content}.")
            terminal.remedy(EMPTY_REMEDY if self.content.is_empty else "")
