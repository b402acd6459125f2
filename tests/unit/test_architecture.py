"""Imports do nothing, deployed code imports only what is required, and only the app is deployed.

Which module may import which is held by import-linter's contracts in `pyproject.toml`.
"""

import ast
import subprocess
import sys
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("common", "models", "registrar", "push", "health")
TOP_LEVEL = sorted(path.stem for path in ROOT.glob("*.py"))
OUR_OWN = {*TOP_LEVEL, *PACKAGES, "local", "doctor", "migrate", "tools", "tests", "bench"}

# What each import comes with; `requirements/app.txt` has to name it.
INSTALLED = {
    "azure.functions": "azure-functions",
    "azure.identity": "azure-identity",
    "opentelemetry": "opentelemetry-api",
    "pydantic": "pydantic",
    "pydantic_core": "pydantic",
    "dns": "dnspython",
    "pymongo": "pymongo",
    "bson": "pymongo",
    "requests": "requests",
    "certifi": "certifi",
    "defusedxml": "defusedxml",
    "pycurl": "pycurl",
    "jwt": "PyJWT[crypto]",
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file it does so."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            assert node.module is not None
            # `from push import ledger` imports push.ledger.
            submodules = {f"{node.module}.{name.name}" for name in node.names}
            ours = {name for name in submodules if (ROOT / (name.replace(".", "/") + ".py")).exists()}
            found |= ours or {node.module}
    return {name for name in found if name.split(".")[0] not in sys.stdlib_module_names}


def covered(name: str, allowed: set[str]) -> bool:
    return any(name == each or name.startswith(each + ".") for each in allowed)


def deployed_files() -> list[Path]:
    return [*ROOT.glob("*.py"), *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]


class TestImports:
    def test_deployed_imports_are_required(self) -> None:
        """Whatever a deployed module imports of others is in requirements/app.txt."""
        lines = (ROOT / "requirements" / "app.txt").read_text().splitlines()
        required = {line.partition("==")[0] for line in lines if "==" in line}
        for path in deployed_files():
            others = {name for name in imports(path) if name.split(".")[0] not in OUR_OWN - {"azure"}}
            for name in others:
                distributions = {value for key, value in INSTALLED.items() if covered(name, {key})}
                assert distributions, f"{path.name} imports {name}"
                assert distributions <= required, f"{path.name} imports {name}"


# Imports every deployed module where reading our settings, listing the environment, touching the network,
# starting a process or writing a file raises. What others do when they are imported is not ours to judge, so
# they are imported first.
PROBE = """
import os, sys
sys.dont_write_bytecode = True
import azure.functions, certifi, defusedxml.ElementTree, pycurl, pydantic, pymongo, requests
modules, names = sys.argv[1].split(","), set(sys.argv[2].split(","))

class Guarded(dict):
    def refuse(self, *_):
        raise AssertionError("the environment was listed")
    __iter__ = __len__ = keys = values = copy = __or__ = __ror__ = refuse
    def items(self):
        # Only the wiring lists it: it needs the access settings, whose names may be in any letter case.
        if "function_app" not in sys.modules:
            self.refuse()
        return super().items()
    def check(self, name):
        if name in names:
            raise AssertionError("read the setting " + name)
    def __getitem__(self, name):
        self.check(name)
        return super().__getitem__(name)
    def get(self, name, default=None):
        self.check(name)
        return super().get(name, default)
    def __contains__(self, name):
        self.check(name)
        return super().__contains__(name)

os.environ = Guarded({name: "must not be read" for name in names} | dict(os.environ))

def watch(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.fork", "os.posix_spawn", "os.remove")):
        raise AssertionError(event)
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        raise AssertionError("wrote " + str(arguments[0]))
    if event == "_thread.start_new_thread":
        raise AssertionError("started a thread")

sys.addaudithook(watch)
import importlib
for module in sorted(modules, key=lambda name: name == "function_app"):
    importlib.import_module(module)
root = os.path.abspath(".")
for module in list(sys.modules.values()):
    path = getattr(module, "__file__", None) or ""
    if path.startswith(root + os.sep) and "site-packages" not in path:
        print(os.path.relpath(path, root))
"""


def names_of_settings() -> set[str]:
    """All spellings of all settings, from the source: this test does not import what it is about."""
    tree = ast.parse((ROOT / "settings.py").read_text())
    texts = [each.value for each in ast.walk(tree) if isinstance(each, ast.Constant)]
    return {text for text in texts if isinstance(text, str) and text.replace("_", "").isalnum()}


@cache
def imported_by(*modules: str) -> frozenset[str]:
    """The project's files that importing the modules loads, found in a process of its own."""
    command = [sys.executable, "-W", "error", "-c", PROBE, ",".join(modules), ",".join(names_of_settings())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    return frozenset(done.stdout.split())


class TestImporting:
    def test_settings_are_found(self) -> None:
        """The guard knows the settings that it guards."""
        assert {"ANHHubConnectionString", "ANH_Hub_Name", "DbName", "CallRingSeconds"} <= names_of_settings()

    def test_does_nothing(self) -> None:
        """Importing any deployed module opens no socket, writes nothing and reads no setting."""
        paths = [path.relative_to(ROOT).with_suffix("") for path in deployed_files()]
        modules = sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)
        assert "function_app.py" in imported_by(*modules)

    def test_nothing_for_development(self) -> None:
        """The app loads nothing of local/, tests/ or bench/."""
        strangers = [
            path
            for path in imported_by("function_app")
            if path.startswith(("local", "tools", "tests", "bench"))
        ]
        assert strangers == []


def ignored(path: str) -> bool:
    """Whether .funcignore, of which only the plainest patterns are used, leaves a file out."""
    *folders, _ = parts = Path(path).parts
    for line in (ROOT / ".funcignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        assert not pattern.startswith("!")
        assert "/" not in pattern.rstrip("/")
        candidates = folders if pattern.endswith("/") else parts
        if any(fnmatch(part, pattern.rstrip("/")) for part in candidates):
            return True
    return False


class TestDeployment:
    @pytest.mark.parametrize(
        "path",
        [
            "local/hub/server.py", "local/__main__.py", "tests/fakes.py", "tests/unit/x.py", "bench/x.py",
            ".local-data/keys.json",
            "docs/decisions/x.md", "infra/main.bicep", ".git/config", ".gitignore", ".ci/run",
            ".venv/bin/python", ".venv-policy/bin/python", ".venv-clients/bin/python",
            "models/__pycache__/call.cpython-313.pyc", ".mypy_cache/x", ".ruff_cache/x", ".hypothesis/x",
            ".github/workflows/ci.yml", ".devcontainer/devcontainer.json", ".vscode/tasks.json",
            ".editorconfig", ".pre-commit-config.yaml", "LICENSE", "SECURITY.md",
            "CODE_OF_CONDUCT.md", "CONTRIBUTING.md",
            "infra/scripts/.venv-hooks/bin/python", ".venv-hooks/bin/python",
            "Makefile", "README.md", "pyproject.toml", "requirements/dev.txt", "local.settings.json",
            "local.settings.sample.json", "requirements/policy.txt", "requirements/constraints-policy.txt",
        ],
    )  # fmt: skip
    def test_left_out(self, path: str) -> None:
        """What serves development, and settings with secrets, are not uploaded."""
        assert ignored(path)

    def test_what_the_app_imports_is_uploaded(self) -> None:
        """Everything that the function app loads is uploaded, and what the platform reads beside it."""
        needed = [*imported_by("function_app"), "host.json", "requirements.txt"]
        needed += ["function_app.py"]
        assert [path for path in needed if ignored(path)] == []
        assert [path for path in needed if not (ROOT / path).exists()] == []

    def test_nothing_else_is_uploaded(self) -> None:
        """Every folder is either part of the app or left out."""
        folders = [path.name for path in ROOT.iterdir() if path.is_dir()]
        assert {name for name in folders if not ignored(f"{name}/x")} <= set(PACKAGES)
