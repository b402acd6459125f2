"""A browser of the Chromium family, headless, driven by Playwright: for the tests of the page and its
picture.

`python -m local.page.chromium` downloads Playwright's own where none is installed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "microsoft-edge-stable",
)
"""Of executables on the path."""

VARIABLE = "CHROMIUM"
"""Environment variable with the path of another executable."""

HOW_TO_INSTALL = "install Chromium, Chrome or Edge, or run: python -m playwright install chromium"

_DOWNLOAD_SECONDS = 300

_ON_MACOS = (
    "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Chromium.app/Contents/MacOS/Chromium",
    "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
_ON_WINDOWS = (
    "Google/Chrome/Application/chrome.exe",
    "Chromium/Application/chrome.exe",
    "Microsoft/Edge/Application/msedge.exe",
)
_FOLDERS_ON_WINDOWS = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
"""Environment variables."""

# A browser contacts its vendor's hosts in the background; no request may leave this machine.
_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--disable-gpu",
)


def installed_browser(environment: Mapping[str, str], platform: str) -> str | None:
    """The executable of an installed browser; `platform` as in `sys.platform`."""
    path = environment.get("PATH")
    named = (shutil.which(name, path=path) for name in (environment.get(VARIABLE), *NAMES) if name)
    places = (str(place) for place in _places(environment, platform) if place.is_file())
    return next((found for found in (*named, *places) if found), None)


def find_browser(playwright: Playwright) -> str | None:
    """The executable of an installed browser, or of the one that Playwright has downloaded."""
    downloaded = playwright.chromium.executable_path
    return installed_browser(os.environ, sys.platform) or (downloaded if Path(downloaded).is_file() else None)


def launch(playwright: Playwright, executable: str) -> Browser:
    """Start it headless."""
    # Chromium does not start its sandbox as root.
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=executable, args=[*_QUIET, *as_root])


def _places(environment: Mapping[str, str], platform: str) -> Iterator[Path]:
    """Where installers put browsers that are not on the path."""
    if platform == "darwin":
        for folder in (Path(environment.get("HOME", "/"), "Applications"), Path("/Applications")):
            yield from (folder / name for name in _ON_MACOS)
    if platform == "win32":
        programs = [environment[name] for name in _FOLDERS_ON_WINDOWS if environment.get(name)]
        yield from (Path(folder, name) for folder in programs for name in _ON_WINDOWS)


def _download() -> bool:
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> int:
    """See to it that there is a browser; without one the tests of the page are skipped, which is no error."""
    with sync_playwright() as playwright:
        found = find_browser(playwright)
    if found is None:
        print("No Chromium, Chrome or Edge is installed: trying to download Chromium ...", flush=True)
        if not _download():
            print(f"Chromium could not be downloaded: {HOW_TO_INSTALL}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
