"""The command line: puts the commands together."""

from typing import Annotated

import typer

from common.version import VERSION
from doctor.commands import call, calls, check, ring, user
from doctor.terminal import tolerate_any_character

EXIT_CODES = (
    "Exit codes: 0 all is well; 1 something is wrong; 2 the command line or the settings are wrong; "
    "3 nothing is known to be wrong, but something could not be looked at."
)

app = typer.Typer(
    help=f"Finds out why a phone does not ring. {EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(value: bool) -> None:  # noqa: FBT001 - the signature is typer's
    if value:
        typer.echo(f"call-push-doctor {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


for command in (check, calls, call, user, ring):
    command.register(app)


def main(program: str | None = None) -> None:
    """Run the command line; `program` is its name in help texts, by default the script's."""
    tolerate_any_character()
    app(prog_name=program)
