"""Runs a command: prints its report, for a person or as JSON, and ends with its exit code."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import typer

from doctor.checks.findings import ExitCode
from doctor.probes.azure_cli import AzureCliError
from doctor.probes.database_connection import DatabaseTroubleError
from doctor.probes.settings_source import UsageError
from doctor.terminal import Terminal
from models.errors import ServiceError


class Report(Protocol):
    """The answer of one command."""

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with."""
        ...

    def as_json(self) -> dict[str, Any]:
        """For a script; `command` and `exitCode` are added to it."""
        ...

    def show(self, terminal: Terminal) -> None:
        """For a person."""
        ...


def run(command: str, work: Callable[[], Report], *, as_json: bool) -> None:
    """Do the work, print its report and exit; known failures become a message with what to do.

    Args:
        command: its name.
        work: makes the report.
        as_json: print JSON.
    """
    try:
        report = work()
    except (UsageError, ServiceError) as error:
        _fail(command, ExitCode.USAGE, str(error), "", as_json=as_json)
    except AzureCliError as error:
        unanswered = error.unanswered
        remedy = " ".join((unanswered.remedy, *unanswered.commands))
        _fail(command, ExitCode.CANNOT_TELL, f"{unanswered.detail.capitalize()}.", remedy, as_json=as_json)
    except DatabaseTroubleError as error:
        _fail(command, ExitCode.CANNOT_TELL, str(error), error.remedy, as_json=as_json)
    else:
        if as_json:
            _print_json({"command": command, "exitCode": int(report.exit_code), **report.as_json()})
        else:
            report.show(Terminal())
        raise typer.Exit(report.exit_code)


def _fail(command: str, code: ExitCode, detail: str, remedy: str, *, as_json: bool) -> None:
    if as_json:
        error = {"detail": detail, "remedy": remedy}
        _print_json({"command": command, "exitCode": int(code), "error": error})
    else:
        typer.echo(f"{detail} {remedy}".strip(), err=True)
    raise typer.Exit(code)


def _print_json(document: Mapping[str, Any]) -> None:
    # ASCII, so that no console or pipe has to know other characters.
    typer.echo(json.dumps(document, indent=2))
