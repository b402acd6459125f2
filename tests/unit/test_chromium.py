"""Where the tests of the page look for a browser."""

from pathlib import Path

import pytest

from local.page.chromium import NAMES, VARIABLE, installed_browser


def executable(file: Path) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o755)
    return str(file)


@pytest.mark.parametrize("name", NAMES)
def test_on_the_path(tmp_path: Path, name: str) -> None:
    """Chromium, Chrome and Edge are found on the path, on every system."""
    browser = executable(tmp_path / name)
    for platform in ("linux", "darwin", "win32"):
        assert installed_browser({"PATH": str(tmp_path)}, platform) == browser


@pytest.mark.parametrize(
    "place",
    [
        "Google Chrome.app/Contents/MacOS/Google Chrome",
        "Chromium.app/Contents/MacOS/Chromium",
        "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    ],
)
def test_on_macos(tmp_path: Path, place: str) -> None:
    """On macOS a browser is an application, for all users or for one."""
    browser = executable(tmp_path / "Applications" / place)
    assert installed_browser({"PATH": "", "HOME": str(tmp_path)}, "darwin") == browser
    assert installed_browser({"PATH": "", "HOME": str(tmp_path)}, "linux") is None


@pytest.mark.parametrize("folder", ["PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"])
@pytest.mark.parametrize(
    "place", ["Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe"]
)
def test_on_windows(tmp_path: Path, folder: str, place: str) -> None:
    """On Windows a browser is in a folder for programs, for all users or for one."""
    browser = executable(tmp_path / place)
    assert installed_browser({"PATH": "", folder: str(tmp_path)}, "win32") == browser


def test_named_by_the_variable(tmp_path: Path) -> None:
    """The environment variable comes first."""
    chosen = executable(tmp_path / "chosen" / "browser")
    executable(tmp_path / NAMES[0])
    assert installed_browser({"PATH": str(tmp_path), VARIABLE: chosen}, "linux") == chosen


def test_none(tmp_path: Path) -> None:
    """Without a browser there is none."""
    assert installed_browser({"PATH": str(tmp_path)}, "linux") is None
