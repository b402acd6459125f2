"""Options and arguments that several commands have."""

from typing import Annotated

import typer

SettingsOption = Annotated[
    str | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="local.settings.json, or the output of 'az functionapp config appsettings list'; - reads it "
        "from standard input. Default: the environment.",
    ),
]
AppOption = Annotated[
    str | None,
    typer.Option(
        "--app", metavar="NAME", help="A function app in Azure; its settings and state come from 'az'."
    ),
]
GroupOption = Annotated[
    str | None, typer.Option("--resource-group", "-g", metavar="GROUP", help="The app's resource group.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
MriArgument = Annotated[str, typer.Argument(metavar="MRI", help="The user, such as 8:acs:...")]
