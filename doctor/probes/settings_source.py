"""Reads the settings: from the environment, or from a file in one of the forms in which people have them."""

import codecs
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import json5

STANDARD_INPUT = "-"

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Windows PowerShell writes UTF-16 where output is redirected into a file, and a UTF-8 mark into a pipe."""


class UsageError(Exception):
    """The operator has to give something else; the message says what, and quotes no setting."""


def read_settings(source: str | None, environment: Mapping[str, str]) -> Mapping[str, str]:
    """The settings by name.

    Args:
        source: a file, or `-` for standard input: a `local.settings.json` (comments and trailing commas as
            Visual Studio Code leaves them), or what `az functionapp config appsettings list` prints as JSON,
            as a table or as tab-separated values. None for `environment`. A file stands alone: nothing of the
            environment is mixed in.
        environment: such as `os.environ`.

    Raises:
        UsageError: the file cannot be used.
    """
    if source is None:
        return environment
    name = "standard input" if source == STANDARD_INPUT else source
    try:
        content = sys.stdin.buffer.read() if source == STANDARD_INPUT else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}.") from None
    encoding = next((e for mark, e in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not UTF-8 text.") from None
    if not text.strip():
        raise UsageError(f"{name} is empty. If a command was to write it, see whether it failed.")
    return parse_settings(text, name)


def parse_settings(text: str, name: str) -> Mapping[str, str]:
    """The settings in a text.

    Args:
        text: as in a file.
        name: of where it comes from, for messages.

    Raises:
        UsageError: it is in none of the known forms; nothing of it is quoted.
    """
    table = _azure_cli_table(text)
    if table is not None:
        return table
    document = _json(text, name)
    if isinstance(document, dict) and document.get("IsEncrypted"):
        raise UsageError(f"{name} is encrypted; run 'func settings decrypt' first.")
    if isinstance(document, dict):
        values = document.get("Values", document.get("properties"))
        if isinstance(values, dict):
            return texts(values)
    if isinstance(document, list) and all(isinstance(each, dict) and "name" in each for each in document):
        return texts({each["name"]: each.get("value") for each in document})
    raise UsageError(
        f"{name} is neither a local.settings.json, with its 'Values', nor the output of 'az functionapp "
        "config appsettings list'. Add --output json to that command."
    )


def _json(text: str, name: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        # Slow, but it takes the comments and trailing commas that editors allow in settings files.
        return json5.loads(text)
    except (ValueError, RecursionError):
        raise UsageError(
            f"{name} is not JSON. If it comes from 'az', add --output json to the command."
        ) from None


def texts(values: Mapping[str, object]) -> Mapping[str, str]:
    """The values as the environment would have them; those that are null are left out."""
    return {
        str(name): value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
        if value is not None
    }


_TSV_LINE = re.compile(r"(?P<name>[^\s{}\[\]\"]+)\t(?:True|False|None)?\t(?P<value>[^\t]*)")
_TABLE_HEAD = re.compile(r"Name\s+SlotSetting\s+Value\s*")


def _azure_cli_table(text: str) -> Mapping[str, str] | None:
    """What `az` prints where its default output is `table` or `tsv`; None if the text is neither."""
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if _TABLE_HEAD.fullmatch(lines[0]) and len(lines) > 1 and set(lines[1]) <= {"-", " "}:
        value_at = lines[0].index("Value")
        names = (line.split(maxsplit=1)[0] for line in lines[2:])
        return {name: line[value_at:].strip() for name, line in zip(names, lines[2:], strict=True)}
    matches = [_TSV_LINE.fullmatch(line) for line in lines]
    if all(matches):
        return {match["name"]: match["value"].strip() for match in matches if match}
    return None
