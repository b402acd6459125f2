"""The installed Chromium, headless, driven by Playwright: for the tests of the page and its picture."""

import os
import shutil

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VARIABLE = "CHROMIUM"
"""Environment variable with the path of another executable."""

# A browser contacts its vendor's hosts in the background; no request may leave this machine.
_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--disable-gpu",
)


def find_chromium() -> str | None:
    """The path of the executable; `None` if none is installed."""
    candidates = (os.environ.get(VARIABLE), *NAMES)
    return next((path for name in candidates if name and (path := shutil.which(name))), None)


def launch(playwright: Playwright, executable: str) -> Browser:
    """Start it headless."""
    # Chromium does not start its sandbox as root.
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=executable, args=[*_QUIET, *as_root])
