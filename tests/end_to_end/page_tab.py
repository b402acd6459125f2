"""The page in a browser, as its tests use it."""

import re
from dataclasses import dataclass
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from local.samples import Phone, event_grid_event, incoming_call_data
from local.stack import Host, Stack

OPEN_ALL = "all => all.forEach((one) => { one.open = true; })"


@dataclass
class Site:
    """A stack with its page."""

    stack: Stack
    url: str

    @property
    def host(self) -> Host:
        """The app."""
        return self.stack.host

    def register(self, user: str, *devices: Phone) -> None:
        """Register phones from outside the page."""
        for device in devices:
            assert self.host.add_device_token(device.registration(user)).status_code == 201

    def call(self, user: str, name: str = "Ada Lovelace") -> int:
        """Place a call from outside the page; returns the webhook's status."""
        data = incoming_call_data(user, display_name=name)
        return self.host.deliver(event_grid_event(data)).status_code

    def rings(self, device: Phone) -> int:
        """How often a phone has rung."""
        pushes = [one for one in self.stack.hub.pushes() if one.device_handle == device.device_token]
        return sum('"eventId":107' in one.body.replace(" ", "").replace('"107"', "107") for one in pushes)


@dataclass
class Tab:
    """One open page, with its errors and its requests."""

    page: Page
    errors: list[str]
    requested: list[str]

    def load(self, url: str) -> None:
        """Open the page and wait until it is live."""
        self.page.goto(url)
        expect(self.page.get_by_text("Live", exact=True)).to_be_visible()

    def phone(self, device: Phone) -> Locator:
        """The card of a phone."""
        return self.page.locator(f"article.phone[data-device='{device.device_uuid}']")

    def call(self, name: str) -> Locator:
        """The row of a call, by the caller's name."""
        return self.page.locator("li.call").filter(has=self.page.get_by_text(name, exact=True))

    def open_call(self, name: str) -> Locator:
        """The row of a call with its timeline."""
        row = self.call(name)
        row.locator("summary").first.click()
        expect(row.locator(".step").first).to_be_visible()
        return row

    def step(self, call: Locator, text: str) -> Locator:
        """A step of an open call."""
        return call.locator(".step").filter(has_text=re.compile(text))

    def place_call(self, user: str, name: str, **fields: str) -> None:
        """Place a call with the form; `fields` by their labels' first word."""
        form = self.page.locator("#call-form")
        form.get_by_label("Callee").fill(user)
        form.get_by_label("Caller").fill(name)
        form.get_by_label("Began").fill(fields.get("began", "0"))
        form.get_by_label("Event schema").select_option(fields.get("schema", "eventGrid"))
        form.get_by_role("button", name="Place the call").click()

    def switch(self, name: str, how_many: str = "next send") -> None:
        """Press a switch of the hub and wait until it is on."""
        self.page.get_by_label("How many sends").select_option(how_many)
        self.hub_switch(name).click()
        expect(self.hub_switch(name)).to_have_attribute("aria-pressed", "true")

    def hub_switch(self, name: str) -> Locator:
        """A switch of the hub."""
        return self.page.locator("#hub-form").get_by_role("button", name=name)

    def barriers(self) -> list[str]:
        """What axe finds wrong for people with disabilities."""
        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


def open_tab(browser: Browser, url: str, **context: Any) -> Tab:
    """A tab of its own, which the caller closes with its context."""
    # Rendering animations without a graphics card takes most of a core.
    page = browser.new_context(**{"reduced_motion": "reduce", **context}).new_page()
    tab = Tab(page, [], [])
    page.on("console", lambda message: tab.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: tab.errors.append(str(error)))
    page.on("request", lambda request: tab.requested.append(request.url))
    tab.load(url)
    return tab


def answer(phone: Locator) -> Locator:
    """The Answer button, which exists only while the phone rings."""
    return phone.get_by_role("button", name="Answer")


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the control has the focus."""
    for _ in range(120):
        if target.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the control cannot be reached with Tab")
