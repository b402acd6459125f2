"""The pinned requirements: what is deployed carries hashes, and is what development and the tests run."""

import re
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
    @pytest.mark.parametrize("name", ["app.txt", "dev.txt", "bench.txt", "policy.txt", "constraints.txt"])
    def test_exact(self, name: str) -> None:
        """Every requirement names one version."""
        assert [pin for pin in versions(FOLDER / name).values() if not re.fullmatch(r"==[^,*]+", pin)] == []

    @pytest.mark.parametrize("name", ["app.txt", "dev.txt", "bench.txt"])
    def test_locked(self, name: str) -> None:
        """Every requirement is locked in the version that it names."""
        locked = versions(FOLDER / "constraints.txt")
        assert {name: locked.get(name) for name in versions(FOLDER / name)} == versions(FOLDER / name)
