"""`python -m local.page.picture FOLDER`: takes pictures of the page for the README, one in light and one in
dark."""

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from local.page.chromium import HOW_TO_INSTALL, find_browser, launch
from local.page.host_lines import HostLines
from local.page.running_page import RunningPage
from local.stack import ALERTS_HUB, ALL_NOTIFICATIONS, Stack, StackOptions

WIDTH, HEIGHT = 1440, 900


def take_pictures(browser: Browser, url: str, files: dict[str, Path], width: int, height: int) -> None:
    """A call that is missed, and one that rings and is opened; `files` by colour scheme."""
    page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
    page.goto(url)
    page.get_by_role("button", name="Register", exact=True).click()
    expect(page.locator("article.phone")).to_have_count(3)
    _place_call(page, "Katherine Johnson")
    page.locator("#hang-up").click()
    expect(page.locator(".banner").first).to_be_visible()
    failing = page.get_by_role("button", name="Failing")
    failing.click()
    expect(failing).to_have_attribute("aria-pressed", "true")
    _place_call(page, "Grace Hopper")
    call = page.locator("li.call").first
    call.locator("summary").click()
    expect(call.get_by_text("reports ringing")).to_have_count(3)
    expect(call.get_by_text("Log line")).to_be_visible()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    for scheme, file in files.items():
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.screenshot(path=file, animations="disabled")


def _place_call(page: Page, caller: str) -> None:
    page.get_by_label("Caller").fill(caller)
    page.get_by_role("button", name="Place the call").click()
    expect(page.locator("article.phone[data-state=ringing]")).to_have_count(3)


def main() -> int:
    """Start a stack for the pictures alone."""
    parser = argparse.ArgumentParser(prog="python -m local.page.picture", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--height", type=int, default=HEIGHT)
    arguments = parser.parse_args()
    files = {
        "light": arguments.folder / "see-it-ring.png",
        "dark": arguments.folder / "see-it-ring-dark.png",
    }
    lines = HostLines()
    with sync_playwright() as playwright:
        executable = find_browser(playwright)
        if executable is None:
            print(f"A picture needs a browser: {HOW_TO_INSTALL}.", file=sys.stderr)
            return 1
        options = StackOptions(on_line=lines, settings=ALL_NOTIFICATIONS, more_hubs=(ALERTS_HUB,), spans=True)
        with Stack(options) as stack, RunningPage(stack, lines) as served:
            browser = launch(playwright, executable)
            take_pictures(browser, served.url, files, arguments.width, arguments.height)
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
