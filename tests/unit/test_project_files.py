"""The files for GitHub and for editors name commands, files and versions that exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.version import VERSION

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PYTHON = (ROOT / ".python-version").read_text().strip()


def targets() -> set[str]:
    """Of the Makefile."""
    rules = re.findall(r"^([^\s:=#][^:=]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    names = {name for rule in rules for name in rule.split()}
    return {name.replace("$(STAMP)", ".venv/.installed") for name in names}


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    """Every step of every job."""
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        yield from job["steps"]


def commands() -> Iterator[str]:
    """What the workflows, the tasks of the editor and the container run."""
    for workflow in WORKFLOWS:
        yield from (step["run"] for step in steps(workflow) if "run" in step)
    for task in json.loads((ROOT / ".vscode" / "tasks.json").read_text())["tasks"]:
        yield task["command"]
    yield json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())["postCreateCommand"]
    for hook in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]:
        yield hook["entry"]


def test_make_targets_exist() -> None:
    """Each `make TARGET` is one of the Makefile's."""
    named = {name for command in commands() for name in re.findall(r"\bmake ([\w./-]+)", command)}
    assert {"check", "test", "demo", ".venv/.installed"} <= named
    assert named - targets() == set()


def test_files_exist() -> None:
    """Each file of the project that a command names is there."""
    text = " ".join(commands())
    named = set(re.findall(r"(?<![\w/])((?:tests|infra|\.ci|requirements|\.github)/[\w./*-]+)", text))
    assert len(named) > 5
    assert [name for name in named if not list(ROOT.glob(name))] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_bounded(workflow: Path) -> None:
    """A workflow may only read the repository, each job ends in time, and Azure's Python is used."""
    document = yaml.safe_load(workflow.read_text())
    assert document["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 60 for job in document["jobs"].values())
    versions = {
        str(step["with"]["python-version"])
        for step in steps(workflow)
        if "setup-python" in step.get("uses", "")
    }
    assert PYTHON in versions


def test_the_container_has_the_python_of_azure() -> None:
    """So does the container for development."""
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["image"].endswith(f":{PYTHON}")


def test_editor_files() -> None:
    """They are JSON, and debug modules that exist."""
    for path in (ROOT / ".vscode").iterdir():
        json.loads(path.read_text())
    launch = json.loads((ROOT / ".vscode" / "launch.json").read_text())
    ours = {each["module"] for each in launch["configurations"] if "module" in each} - {"pytest"}
    for module in ours:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()
    labels = {task["label"] for task in json.loads((ROOT / ".vscode" / "tasks.json").read_text())["tasks"]}
    assert {each["preLaunchTask"] for each in launch["configurations"] if "preLaunchTask" in each} <= labels


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_forms_ask_for_no_secrets(form: Path) -> None:
    """A form that asks for logs or for what was seen on Azure says what to leave out."""
    text = form.read_text()
    document = yaml.safe_load(text)
    if form.name != "config.yml":
        assert document["name"]
        assert document["description"]
    if form.stem in ("bug", "ran-on-azure"):
        assert "Leave out" in text
        assert "keys" in text


def test_dependabot_knows_every_lock() -> None:
    """Every folder with pinned packages is looked after."""
    document = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())
    folders = {
        folder
        for update in document["updates"]
        for folder in update.get("directories", [update.get("directory")])
    }
    locks = [
        *ROOT.glob("*/*/package-lock.json"),
        *ROOT.glob("requirements/*.txt"),
        *ROOT.glob("requirements.txt"),
    ]
    assert {f"/{path.parent.relative_to(ROOT)}".replace("/.", "/") for path in locks} <= folders


class TestVersion:
    """The release is stated in `common/version.py`."""

    def test_the_same_everywhere(self) -> None:
        """Files that cannot read it there agree with it."""
        openapi = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
        assert openapi["info"]["version"] == VERSION
        azd = yaml.safe_load((ROOT / "azure.yaml").read_text())
        assert azd["metadata"]["template"] == f"acs-call-push@{VERSION}"
