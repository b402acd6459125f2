"""Clients generated from docs/openapi.yaml, for Python and for TypeScript, run against the stack."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from common.version import VERSION
from local.samples import event_grid_event, incoming_call_data
from local.stack import Host

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "openapi.yaml"
CLIENTS = ROOT / "tests" / "clients"
PYTHON_TOOLS = ROOT / ".venv-clients" / "bin"
NODE_TOOLS = CLIENTS / "node_modules" / ".bin"
SECONDS = 60

needs_python_tools = pytest.mark.skipif(
    not PYTHON_TOOLS.is_dir(), reason="the generator for Python is not installed: 'make test' installs it"
)
needs_node_tools = pytest.mark.skipif(
    not NODE_TOOLS.is_dir(),
    reason="the generator for TypeScript is not installed: 'make test' does it with npm",
)


def run(*command: str | Path, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Standard output of a command that succeeds."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def settings(host: Host, user: str) -> dict[str, str]:
    """What the client is told; a call has rung for the user."""
    call = event_grid_event(incoming_call_data(user))
    assert host.deliver(call).status_code == 202
    return {
        "REGISTRAR_URL": f"{host.url}/api",
        "REGISTRAR_KEY": str(host.keys.host),
        "REGISTRAR_MRI": user,
        "RUNG_CALL": call["data"]["correlationId"],
    }


def check(answers: dict[str, Any], user: str) -> None:
    """The answers as the client parsed them."""
    assert {name: answer["status"] for name, answer in answers.items()} == {
        "live": 200,
        "ready": 200,
        "without a key": 401,
        "bad token": 400,
        "added": 201,
        "alerts": 201,
        "found": 200,
        "reported": 204,
        "no such call": 404,
        "deleted": 200,
        "not found": 404,
        "wiped": 200,
    }
    bodies = {name: answer["body"] for name, answer in answers.items()}
    assert bodies["live"] == {"status": "live", "version": VERSION}
    assert bodies["ready"] == {"status": "ready", "version": VERSION, "databaseSignIn": "none"}
    # The host's 401 has no body: a client that parses one breaks.
    assert bodies["without a key"] is None
    assert [bad["field"] for bad in bodies["bad token"]["errors"]] == ["deviceInfos[0].deviceToken"]
    assert (bodies["added"]["acsMri"], bodies["added"]["platform"]) == (user, "apple")
    assert (bodies["alerts"]["purpose"], bodies["alerts"]["hub"]) == ("alerts", "default")
    found = [(device["deviceUUID"], device["purpose"]) for device in bodies["found"]["deviceInfos"]]
    assert found == [("phone", "alerts"), ("phone", "calls")]
    assert bodies["reported"] is None
    assert bodies["no such call"]["code"] == "call_not_found"
    assert bodies["deleted"] == {"acsMri": user, "deviceUUID": "phone"}
    assert bodies["not found"]["code"] == "registration_not_found"
    assert bodies["wiped"] == {"acsMri": user, "deleted": 0}


@needs_python_tools
def test_python(host: Host, user: str, tmp_path: Path) -> None:
    """The client for Python is generated without a warning, and parses every answer."""
    environment = {"PATH": f"{PYTHON_TOOLS}{os.pathsep}{os.environ['PATH']}"}
    client = tmp_path / "client"
    run(
        PYTHON_TOOLS / "openapi-python-client",
        *("generate", "--fail-on-warning", "--path", DOCUMENT, "--output-path", client),
        folder=tmp_path,
        environment=environment,
    )
    answered = run(
        PYTHON_TOOLS / "python",
        CLIENTS / "call.py",
        folder=tmp_path,
        environment={**settings(host, user), "PYTHONPATH": str(client), "NO_PROXY": "127.0.0.1"},
    )
    check(json.loads(answered), user)


@needs_node_tools
def test_typescript(host: Host, user: str, tmp_path: Path) -> None:
    """The client for TypeScript compiles in the strictest mode, and understands every answer."""
    (tmp_path / "call.ts").write_text((CLIENTS / "call.ts").read_text())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    run(NODE_TOOLS / "openapi-typescript", DOCUMENT, "--output", "schema.d.ts", folder=tmp_path)
    run(
        NODE_TOOLS / "tsc",
        *("--strict", "--exactOptionalPropertyTypes", "--target", "es2022", "--module", "nodenext"),
        *("--lib", "es2022,dom,dom.iterable", "--types", "node", "call.ts"),
        folder=tmp_path,
    )
    check(json.loads(run("node", "call.js", folder=tmp_path, environment=settings(host, user))), user)
