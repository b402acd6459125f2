"""The look-up of the hub's name: it ends with the time for connecting, however long the resolver waits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults import DnsMode

ROOT = Path(__file__).parents[2]
UNSHARE = ["unshare", "--map-root-user", "--net", "--mount"]


def exchange(mode: DnsMode) -> dict[str, Any]:
    """How an exchange ends whose name server behaves like this."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("tests may not make namespaces on this machine")
    command = [*UNSHARE, sys.executable, "-m", "tests.faults.exchange_with_dns", mode.value]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    assert ["contoso.servicebus.windows.net", "A"] in found["queries"]
    return found


def test_unknown_name() -> None:
    """A name that the name server does not know."""
    assert exchange(DnsMode.NXDOMAIN)["reply"] == "NoAnswer.NAME_NOT_FOUND"


def test_silent_name_server() -> None:
    """Neither the exchange nor closing its connection waits for the resolver, which takes ten seconds."""
    found = exchange(DnsMode.SILENCE)
    assert found["reply"] == "NoAnswer.NO_CONNECTION"
    assert found["seconds"] < 5
