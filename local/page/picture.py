"""`python -m local.page.picture FILE`: takes a picture of the page while three phones ring."""

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from local.page.chromium import NAMES, find_chromium, launch
from local.page.host_lines import HostLines
from local.page.running_page import RunningPage
from local.stack import Stack, StackOptions

WIDTH, HEIGHT = 1440, 930


def take_picture(browser: Browser, url: str, file: Path, *, width: int = WIDTH, height: int = HEIGHT) -> None:
    """Register phones and place a call, with the hands of a user, and save what is then to be seen."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    page.goto(url)
    page.get_by_role("button", name="Register", exact=True).click()
    phones = page.locator("article.phone")
    expect(phones).to_have_count(3)
    _switch_on(page, "Failing")
    page.get_by_role("button", name="Place the call").click()
    expect(page.locator("article.phone[data-state=ringing]")).to_have_count(3)
    page.get_by_role("button", name="Redeliver the last event").click()
    expect(page.get_by_text("duplicate", exact=True)).to_be_visible()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.screenshot(path=file, animations="disabled")


def _switch_on(page: Page, name: str) -> None:
    switch = page.get_by_role("button", name=name)
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "true")


def main() -> int:
    """Start a stack for the picture alone."""
    parser = argparse.ArgumentParser(prog="python -m local.page.picture", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--height", type=int, default=HEIGHT)
    arguments = parser.parse_args()
    executable = find_chromium()
    if executable is None:
        print(f"There is no Chromium: none of {', '.join(NAMES)} is on the path.", file=sys.stderr)
        return 1
    lines = HostLines()
    with (
        Stack(StackOptions(on_line=lines)) as stack,
        RunningPage(stack, lines) as served,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright, executable)
        take_picture(browser, served.url, arguments.file, width=arguments.width, height=arguments.height)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
