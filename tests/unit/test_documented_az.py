"""Every `az` command of the documents and of the code parses: it exists, with its options, required ones too.

`az_commands.json` beside this file has the options of azure-cli's own commands; `make az-commands` writes it.
"""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.documents import ROOT, Document, documents

CALLS = {"az.get", "az.run", "self._azure.ask", "azure.ask"}
"""Functions that run `az` with the words of a command."""
TABLE = Path(__file__).with_name("az_commands.json")
EVERYWHERE = {"--output", "-o", "--query", "--subscription", "--help", "--only-show-errors"}

# Commands of extensions, which azure-cli loads from the network, with the options that the documents may use;
# from the extensions' pages on Microsoft Learn.
OF_EXTENSIONS = {
    "communication show": {"--name", "-n", "--resource-group", "-g"},
    "notification-hub namespace update": {"--resource-group", "-g", "--namespace-name", "--name", "--sku"},
    "notification-hub credential": set[str](),
}
NOT_FOR_THE_TABLE = {
    "login": "its options depend on how one signs in",
    "bicep install": "has no options here",
}


def commands(page: Document) -> Iterator[str]:
    """Every `az …` of a page: lines of blocks, `$(az …)` in them, code spans."""
    for block in page.blocks:
        if block.language in ("", "sh", "bash"):
            text = block.code.replace("\\\n", " ")
            yield from re.findall(r"^\s*(az [a-z].*?)(?:\s#.*)?$", text, re.MULTILINE)
            yield from re.findall(r"\$\((az [^()]*)\)", text)
            yield from re.findall(r"&& (az [^&|\n]*)", text)
    yield from (span for span in page.spans if span.startswith("az ") and "`" not in span)


@cache
def table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(TABLE.read_text())["commands"]
    return found


def split(command: str) -> tuple[str, dict[str, str]]:
    """The command's name, and its options with their values; `…` stays as it is."""
    words = shlex.split(command)[1:]
    words = list(takewhile(lambda word: word not in ("|", "&&", ";"), words))
    name = " ".join(takewhile(lambda word: re.fullmatch(r"[a-z][a-z0-9-]*", word), words))
    rest = words[len(name.split()) :]
    options: dict[str, str] = {}
    for place, word in enumerate(rest):
        if re.match(r"--?[a-z]", word):
            option, _, value = word.partition("=")
            following = rest[place + 1] if place + 1 < len(rest) else ""
            options[option] = value or following
    return name, options


def problems(command: str) -> list[str]:
    """What azure-cli would object to."""
    name, options = split(command)
    if name in NOT_FOR_THE_TABLE:
        return []
    if name in OF_EXTENSIONS:
        return [f"{name} has no {option}" for option in options.keys() - OF_EXTENSIONS[name] - EVERYWHERE]
    if name not in table():
        # A group of commands, named as such, is fine without options.
        is_group = not options and any(each.startswith(f"{name} ") for each in [*table(), *OF_EXTENSIONS])
        return (
            [] if is_group else [f"no command '{name}' in {TABLE.name}: 'make az-commands NAMES=\"{name}\"'"]
        )
    known = table()[name]
    found = [f"{name} has no {option}" for option in options.keys() - set(known["options"])]
    if options and "…" not in command:
        found += [
            f"{name} needs {' or '.join(names)}"
            for names in known["required"]
            if not options.keys() & set(names)
        ]
    for option, value in options.items():
        choices = known["choices"].get(option)
        if choices and not value.isupper() and value.lower() not in map(str.lower, choices):
            found.append(f"{name} {option} is one of {', '.join(choices)}")
    return found


@pytest.mark.parametrize("page", documents(), ids=lambda page: page.name)
def test_parses(page: Document) -> None:
    """As azure-cli parses it."""
    assert {command: found for command in commands(page) if (found := problems(command))} == {}


def word_of(argument: ast.expr) -> str:
    if isinstance(argument, ast.Constant):
        return str(argument.value)
    return "…" if isinstance(argument, ast.Starred) else "VALUE"


def run_by_code() -> Iterator[str]:
    """Every command that a hook or the doctor runs; VALUE stands for a variable, `…` for several words."""
    for path in [*(ROOT / "infra" / "scripts").glob("*.py"), *(ROOT / "doctor").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS):
                continue
            words = [word_of(each) for each in node.args]
            if re.fullmatch("[a-z-]+", words[0]):
                yield shlex.join(["az", *words])


def test_code() -> None:
    """What the hooks and the doctor run parses as well."""
    found = {command: problems(command) for command in run_by_code()}
    assert len(found) > 10
    assert {command: objections for command, objections in found.items() if objections} == {}


def test_nothing_unused() -> None:
    """Neither table has a command that neither a document nor the code names."""
    named = {split(command)[0] for page in documents() for command in commands(page)}
    named |= {split(command)[0] for command in run_by_code()}
    assert {*table(), *OF_EXTENSIONS} - named == set()


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("az deployment sub create --name NAME", "deployment sub create needs --location or -l"),
        ("az deployment sub create --location REGION --colour red", "deployment sub create has no --colour"),
        (
            "az deployment sub create --location REGION --output yml",
            "deployment sub create --output is one of",
        ),
        ("az deployment sub make --name NAME", "no command 'deployment sub make'"),
        ("az communication show --colour red", "communication show has no --colour"),
    ],
)
def test_objections(command: str, problem: str) -> None:
    """A wrong command is found."""
    (found,) = problems(command)
    assert found.startswith(problem)
