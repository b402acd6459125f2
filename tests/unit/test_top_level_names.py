"""No installed package has the name of one of the app's modules.

Of two modules of one name, the order of the import path decides which is imported: the host's own decision.
"""

import sys
import sysconfig
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in ROOT.glob("*.py"))
PACKAGES = ("common", "health", "models", "push", "registrar")
NAMES = (*MODULES, *PACKAGES)
INSTALLED = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


def test_names() -> None:
    """The names that are checked are those of the deployed app."""
    assert {"app", "function_app", "settings"} <= set(NAMES)
    assert all((ROOT / name / "__init__.py").exists() for name in PACKAGES)


def test_an_installed_package_is_found() -> None:
    """The check itself finds what is installed."""
    assert PathFinder.find_spec("pydantic", INSTALLED) is not None
    assert "pydantic" in packages_distributions()


@pytest.mark.parametrize("name", NAMES)
def test_not_shadowed(name: str) -> None:
    """Neither an installed package nor the standard library has the name."""
    assert PathFinder.find_spec(name, INSTALLED) is None
    assert name not in packages_distributions()
    assert name not in sys.stdlib_module_names
