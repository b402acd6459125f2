"""Finds the processes that a test has started."""

import os
import sys
import uuid
from pathlib import Path

import pytest

MARK = "END_TO_END_TEST"

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="descendants are found in /proc, which only Linux has"
)


def marked_environment() -> tuple[dict[str, str], str]:
    """An environment that every descendant inherits, and a mark in it to find them by."""
    mark = f"{MARK}={uuid.uuid4()}"
    name, _, value = mark.partition("=")
    return {**os.environ, name: value}, mark


def marked_processes(mark: str) -> list[str]:
    """The command lines of the running processes with that mark in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it has ended, or it belongs to another user
    return found
