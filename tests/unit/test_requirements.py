"""The pinned requirements: what is deployed carries hashes, and is what development and the tests run."""

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DEPLOYED = ROOT / "requirements.txt"
FOLDER = ROOT / "requirements"


def requirements(path: Path) -> dict[str, Requirement]:
    """The requirements of a file, without options and hashes, by name."""
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    lines = (re.split(r"\s--hash=|\s#", line)[0].strip() for line in text.splitlines())
    parsed = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {canonicalize_name(each.name): each for each in parsed}


def versions(path: Path) -> dict[str, str]:
    """The version that a file pins, by name."""
    return {name: str(each.specifier) for name, each in requirements(path).items()}


class TestDeployed:
    def test_hashes(self) -> None:
        """Every deployed package has hashes: pip checks either all of them or none."""
        entries = re.sub(r"\\\n", " ", DEPLOYED.read_text()).splitlines()
        pinned = [entry for entry in entries if "==" in entry]
        assert len(pinned) > 20
        assert [entry.split()[0] for entry in pinned if "--hash=sha256:" not in entry] == []

    def test_complete(self) -> None:
        """Everything that the app is said to need is deployed, in the version that is named."""
        deployed = versions(DEPLOYED)
        assert {name: deployed.get(name) for name in versions(FOLDER / "app.txt")} == versions(
            FOLDER / "app.txt"
        )

    def test_tests_run_what_is_deployed(self) -> None:
        """Deployment and development pin one version of each package."""
        developed = versions(FOLDER / "constraints.txt")
        assert {name: developed.get(name) for name in versions(DEPLOYED)} == versions(DEPLOYED)

    def test_nothing_for_development(self) -> None:
        """No package that serves development alone is deployed."""
        only_development = versions(FOLDER / "dev.txt").keys() - versions(FOLDER / "app.txt").keys()
        assert {"pytest", "secantusdb", "typer"} <= only_development
        assert only_development & versions(DEPLOYED).keys() == set()


class TestPins:
    @pytest.mark.parametrize(
        "name", ["app.txt", "dev.txt", "bench.txt", "policy.txt", "clients.txt", "constraints.txt"]
    )
    def test_exact(self, name: str) -> None:
        """Every requirement names one version."""
        assert [pin for pin in versions(FOLDER / name).values() if not re.fullmatch(r"==[^,*]+", pin)] == []

    @pytest.mark.parametrize("name", ["app.txt", "dev.txt", "bench.txt"])
    def test_locked(self, name: str) -> None:
        """Every requirement is locked in the version that it names."""
        locked = versions(FOLDER / "constraints.txt")
        assert {name: locked.get(name) for name in versions(FOLDER / name)} == versions(FOLDER / name)


class TestOperators:
    """What the doctor and the migration need, and `pyproject.toml` installs with them."""

    def test_locked(self) -> None:
        """The same versions as everywhere."""
        locked = versions(FOLDER / "constraints.txt")
        needed = versions(FOLDER / "operator.txt")
        assert {name: locked.get(name) for name in needed} == needed

    def test_complete(self) -> None:
        """Every package that the commands import, and the app's code with them, is named."""
        distributions = packages_distributions()
        named = versions(FOLDER / "operator.txt").keys()
        ours = {path.name for path in ROOT.iterdir()} | {path.stem for path in ROOT.glob("*.py")}
        imported = {name.partition(".")[0] for name in modules_imported_by("doctor.cli", "migrate.cli")}
        for module in imported - ours - set(sys.stdlib_module_names):
            found = {canonicalize_name(each) for each in distributions.get(module, ())}
            if found & versions(FOLDER / "dev.txt").keys() | found & versions(FOLDER / "app.txt").keys():
                assert found & named, module

    def test_nothing_for_development(self) -> None:
        """Importing the commands loads nothing of the tests or of local development."""
        loaded = modules_imported_by("doctor.cli", "migrate.cli")
        assert {
            name for name in loaded if name.partition(".")[0] in {"local", "tests", "bench", "tools"}
        } == set()

    def test_no_functions_host(self) -> None:
        """The commands start without the library of the Functions host; only `ring` loads the app."""
        loaded = modules_imported_by("doctor.cli", "migrate.cli")
        assert {
            name for name in loaded if name.partition(".")[0] in {"azure", "app", "function_app"}
        } == set()

    def test_commands(self) -> None:
        """The commands that `pyproject.toml` names exist."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert set(project["scripts"]) == {"call-push-doctor", "call-push-migrate"}
        for target in project["scripts"].values():
            module, _, name = target.partition(":")
            assert callable(getattr(import_module(module), name))

    def test_packages(self) -> None:
        """Every package of ours that the commands load is installed with them."""
        tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
        patterns = tool["packages"]["find"]["include"]
        loaded = modules_imported_by("doctor.cli", "migrate.cli", "app")
        tops = {name.partition(".")[0] for name in loaded}
        for top in tops & {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}:
            assert any(fnmatch(top, pattern) for pattern in patterns), top
        assert tops & {path.stem for path in ROOT.glob("*.py")} <= set(tool["py-modules"])


@cache
def modules_imported_by(*modules: str) -> frozenset[str]:
    """Every module that importing some loads, found in a process of its own."""
    code = f"import sys\n{'\n'.join(f'import {name}' for name in modules)}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return frozenset(done.stdout.split())
