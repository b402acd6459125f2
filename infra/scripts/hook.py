"""What the hooks of azd share: their environment, and how they speak and stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import python_version  # noqa: F401
from command_line import CommandError, StopError


def say(text: str) -> None:
    """Print a line at once: azd shows it while the hook still runs."""
    print(text, flush=True)


def warn(text: str) -> None:
    """Print a line that must not be overlooked."""
    print(f"WARNING: {text}", file=sys.stderr, flush=True)


def needed(name: str, remedy: str) -> str:
    """A value of azd's environment.

    Raises:
        StopError: it is missing or empty; the message holds `remedy`.
    """
    value = os.environ.get(name, "")
    if not value:
        message = f"{name} is not set. {remedy}"
        raise StopError(message)
    return value


def chosen(name: str, default: str = "") -> str:
    """A value of azd's environment that need not be there."""
    return os.environ.get(name) or default


def is_true(name: str, *, default: bool) -> bool:
    """A value of azd's environment that is true or false, spelt as azd accepts it."""
    return chosen(name, str(default)).lower() in ("1", "t", "true")


def main(hook: Callable[[], None]) -> None:
    """Run a hook; end with 1 and a message where it cannot go on."""
    try:
        hook()
    except StopError as stop:
        sys.exit(f"ERROR: {stop}")
    except CommandError as error:
        sys.exit(f"ERROR: az or azd failed: {error}")
