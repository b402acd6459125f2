"""Where the settings come from: the environment, or a file that somebody exported."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

STANDARD_INPUT = "-"


class UsageError(Exception):
    """The operator has to give something else; the message says what and quotes nothing."""


def read_settings(source: str | None, environment: Mapping[str, str]) -> Mapping[str, str]:
    """The settings by name.

    Args:
        source: a file, or `-` for standard input, in the form of `local.settings.json` or of
            `az functionapp config appsettings list`; None for `environment`. A file stands alone: nothing of
            the environment is mixed in.
        environment: such as `os.environ`.

    Raises:
        UsageError: the file cannot be used.
    """
    if source is None:
        return environment
    try:
        text = sys.stdin.read() if source == STANDARD_INPUT else Path(source).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{source} is not UTF-8 text.") from None
    return _values(text, source)


def _values(text: str, source: str) -> Mapping[str, str]:
    try:
        document = json.loads(text)
    except ValueError:
        raise UsageError(f"{source} is not JSON.") from None
    if isinstance(document, dict) and document.get("IsEncrypted"):
        raise UsageError(f"{source} is encrypted; run 'func settings decrypt' first.")
    if isinstance(document, dict) and isinstance(document.get("Values"), dict):
        return _texts(document["Values"])
    if isinstance(document, list) and all(isinstance(each, dict) and "name" in each for each in document):
        return _texts({each["name"]: each.get("value") for each in document})
    raise UsageError(
        f"{source} is neither a local.settings.json, with its 'Values', nor the list that "
        "'az functionapp config appsettings list' prints."
    )


def _texts(values: Mapping[str, object]) -> Mapping[str, str]:
    return {
        str(name): value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
        if value is not None
    }
