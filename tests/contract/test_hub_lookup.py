"""The look-up of the hub's name: it ends with the time for connecting, however long the resolver waits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
UNSHARE = ["unshare", "--map-root-user", "--net", "--mount"]


def exchange(name_server: str) -> dict[str, Any]:
    """How an exchange ends whose name server behaves like this."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no test make namespaces")
    command = [*UNSHARE, sys.executable, "-m", "tests.name_server", name_server]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    assert found["asked"]
    return found


def test_unknown_name() -> None:
    """A name that the name server does not know."""
    assert exchange("unknown")["reply"] == "NoAnswer.NAME_NOT_FOUND"


def test_silent_name_server() -> None:
    """Neither the exchange nor closing its connection waits for the resolver, which takes ten seconds."""
    found = exchange("silent")
    assert found["reply"] == "NoAnswer.NO_CONNECTION"
    assert found["seconds"] < 5
