"""Writes down which options the commands of the Azure CLI have that this project's documents name.

`python -m tools.az_commands` in an environment with azure-cli: 'make az-commands' makes one. It is 1 GB, so
the tests have the result only, `tests/unit/az_commands.json`.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[1] / "tests" / "unit" / "az_commands.json"


def options_of(command: str) -> dict[str, Any] | None:
    """The options of a command, which are required, and which values are allowed; None: no such command."""
    core: Any = import_module("azure.cli.core")
    cli = core.get_default_cli()
    loaded: list[argparse.ArgumentParser] = []

    class Parser(cli.parser_cls):  # type: ignore[misc, name-defined]
        def parse_args(self, *_: object, **__: object) -> None:
            """Stop where azure-cli has loaded the command."""
            loaded.append(self)
            sys.exit()

    cli.parser_cls = Parser
    with suppress(SystemExit):
        cli.invoke(command.split())
    parsers = [found for parser in loaded for name, found in _leaves(parser) if name == command]
    if not parsers:
        return None
    actions = [action for action in _actions(parsers[0]) if action.option_strings]
    chosen = {
        str(name): action.choices for action in actions for name in action.option_strings if action.choices
    }
    return {
        "options": sorted(str(name) for action in actions for name in action.option_strings),
        "required": sorted(sorted(map(str, action.option_strings)) for action in actions if action.required),
        "choices": {name: sorted(map(str, choices or ())) for name, choices in chosen.items()},
    }


def _leaves(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command below a parser."""
    below: list[Any] = [action.choices for action in _actions(parser) if not action.option_strings]
    commands = [pair for choices in below if isinstance(choices, dict) for pair in choices.items()]
    if not commands:
        yield name, parser
    for word, found in commands:
        yield from _leaves(found, f"{name} {word}".strip())


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no public way to list them


def main() -> None:
    """Write the table anew for the commands that it has, and for those that are named as arguments."""
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {"commands": {}}
    wanted = sorted({*table["commands"], *sys.argv[1:]})
    found = {command: options_of(command) for command in wanted}
    if unknown := [command for command, options in found.items() if options is None]:
        sys.exit(f"azure-cli has no such command: {', '.join(unknown)}")
    version = import_module("azure.cli.core").__version__
    written = {"azure-cli": version, "commands": found}
    TABLE.write_text(json.dumps(written, indent=1) + "\n")
    print(f"{TABLE}: {len(found)} commands of azure-cli {version}")


if __name__ == "__main__":
    main()
