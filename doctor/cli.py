"""The command line: puts the commands together."""

import typer

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
for command in (check, calls, call, user, ring):
    command.register(app)


def main(program: str | None = None) -> None:
    """Run the command line; `program` is its name in help texts, by default the script's."""
    tolerate_any_character()
    app(prog_name=program)
