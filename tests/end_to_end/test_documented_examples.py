"""The examples of the documents, run against the stack: curl, JSON, and the code for backends.

A block ```sh holds commands that are run as they are; the comment `# 201` after a request is its status.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from local.host.keys import EVENT_GRID_SYSTEM_KEY
from local.stack import Host, Stack
from tests.documents import ROOT, Block, Document, document, documents
from tests.end_to_end.test_generated_clients import CLIENTS, NODE_TOOLS, needs_node_tools

SECONDS = 60
RUN_BY_HAND = {
    "docs/costs.md": "asks a price list of Azure",
    "local/hub/README.md": "asks the simulator; tests/contract/test_hub_process.py reads its body",
}
"""Documents whose curl commands are not run against the app."""

pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("bash")), reason="curl and bash are not installed"
)


def shell_blocks() -> list[tuple[Document, Block]]:
    return [(page, block) for page in documents() for block in page.blocks if block.language == "sh"]


def environment(host: Host) -> dict[str, str]:
    """What the examples take from the environment."""
    return {
        **os.environ,
        "APP": host.url,
        "KEY": str(host.keys.host),
        "EVENT_GRID_KEY": host.keys.system[EVENT_GRID_SYSTEM_KEY],
        "NO_PROXY": "127.0.0.1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }


def run(command: list[str], folder: Path, variables: Mapping[str, str]) -> str:
    """Standard output of a command that succeeds."""
    done = subprocess.run(
        command, cwd=folder, env=dict(variables), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("page", "block"), shell_blocks(), ids=[f"{page.name}:{block.line}" for page, block in shell_blocks()]
)
def test_curl(host: Host, page: Document, block: Block) -> None:
    """Each request gets the status that the document says."""
    expected = re.findall(r"# (\d{3})$", block.code, re.MULTILINE)
    assert len(expected) == len(re.findall(r"\bcurl\b", block.code)), (
        f"{page.name}: a request without its status"
    )
    answered = run(["bash", "-euo", "pipefail", "-c", block.code], ROOT, environment(host))
    assert re.findall(r"HTTP/1\.1 (\d{3}) ", answered) == expected


def test_every_curl_is_run() -> None:
    """Each block with curl is marked as one to run, or is on a page whose commands are not for the app."""
    left_out = {
        page.name
        for page in documents()
        for block in page.blocks
        if re.search(r"^\s*curl ", block.code, re.MULTILINE) and block.language != "sh"
    }
    assert left_out == RUN_BY_HAND.keys()


def test_json(host: Host) -> None:
    """Each registration and each report in JSON is accepted. The stack has one hub."""
    registrations = 0
    for page in documents():
        for block in page.blocks:
            if block.language != "json":
                continue
            value = json.loads(block.code)
            if "deviceInfos" in value:
                registrations += 1
                value["deviceInfos"][0].pop("hub", None)
                answer = host.add_device_token(value)
                assert answer.status_code == 201, (page.name, block.line, answer.text)
            elif "state" in value:
                # No such call has rung here; a malformed report would be 400.
                answer = host.call("POST", "report_call", function="ReportCall", json=value)
                assert answer.status_code == 404, (page.name, block.line, answer.text)
    assert registrations


def code(language: str) -> str:
    """The example for backends in a language."""
    (block,) = [block for block in document("docs/backends.md").blocks if block.language == language]
    return block.code


DEVICE = {"deviceUUID": "desk", "deviceToken": "token-of-an-android-phone", "platform": "android"}


class TestBackends:
    def _check(self, stack: Stack, user: str, answered: str) -> None:
        """A device was registered and deleted, the user's registrations were deleted, and nothing is left."""
        first, second = answered.split()
        assert first.endswith("Z")
        assert second.endswith("Z")
        assert stack.host.get_device_registrations(user).status_code == 404

    def test_python(self, stack: Stack, user: str, tmp_path: Path) -> None:
        """The functions do what the page says; deleting what is gone is no error."""
        (tmp_path / "backend.py").write_text(code("python"))
        calls = f"""
import backend
user, device = {user!r}, {DEVICE!r}
print(backend.register(user, device))
backend.delete_device(user, "desk")
backend.delete_device(user, "desk")
print(backend.register(user, device))
backend.delete_user(user)
"""
        variables = {**environment(stack.host), "PYTHONPATH": str(tmp_path)}
        self._check(stack, user, run([sys.executable, "-c", calls], tmp_path, variables))

    @needs_node_tools
    def test_typescript(self, stack: Stack, user: str, tmp_path: Path) -> None:
        """The same; it compiles in the strictest mode."""
        (tmp_path / "backend.ts").write_text(code("typescript"))
        (tmp_path / "package.json").write_text('{"type": "module"}')
        (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
        variables = environment(stack.host)
        compiler = [str(NODE_TOOLS / "tsc"), "--strict", "--target", "es2022", "--module", "nodenext"]
        libraries = ["--lib", "es2022,dom,dom.iterable", "--types", "node"]
        run([*compiler, *libraries, "backend.ts"], tmp_path, variables)
        (tmp_path / "calls.mjs").write_text(
            f"""
import {{ register, deleteDevice, deleteUser }} from "./backend.js";
const [user, device] = {json.dumps([user, DEVICE])};
console.log(await register(user, device));
await deleteDevice(user, "desk");
await deleteDevice(user, "desk");
console.log(await register(user, device));
await deleteUser(user);
"""
        )
        self._check(stack, user, run(["node", "calls.mjs"], tmp_path, variables))
