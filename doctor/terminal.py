"""Writes reports for people: text is wrapped to the width, ids and command lines are never broken.

Everything written here is ASCII apart from data: a Windows console, or a pipe there, may know no other
characters.
"""

import shutil
import sys
import textwrap
from collections.abc import Sequence

import typer

from doctor.checks.findings import Status

_WIDTH_OF_A_PIPE = 100
_WIDEST = 120

COLOURS = {Status.PASS: "green", Status.FAIL: "red", Status.CANNOT_TELL: "yellow", Status.NOTE: "cyan"}


def tolerate_any_character() -> None:
    """Have standard output and error replace what their encoding lacks; by default Python raises there."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")


class Terminal:
    """Standard output."""

    def __init__(self) -> None:
        """Take the width of the terminal, or a usual one where standard output is none."""
        columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH_OF_A_PIPE
        self._width = min(columns, _WIDEST)

    def heading(self, status: Status, text: str, indent: int = 0) -> None:
        """A line that begins with a status."""
        mark = typer.style(f"{status.value.upper():<11}", COLOURS[status], bold=status is Status.FAIL)
        typer.echo(f"{' ' * indent}{mark} {text}")

    def text(self, text: str, indent: int = 0) -> None:
        """Text, wrapped between words."""
        prefix = " " * indent
        typer.echo(
            textwrap.fill(
                text,
                max(self._width, indent + 40),
                initial_indent=prefix,
                subsequent_indent=prefix,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )

    def exact(self, text: str, indent: int = 0) -> None:
        """A command line or an id, in one piece however long it is."""
        typer.echo(" " * indent + text)

    def remedy(self, text: str, commands: Sequence[str] = (), indent: int = 0) -> None:
        """What to do, and the commands to paste."""
        if text:
            self.text(f"-> {text}", indent)
        for command in commands:
            self.exact(command, indent + 3)

    def gap(self) -> None:
        """An empty line."""
        typer.echo()
