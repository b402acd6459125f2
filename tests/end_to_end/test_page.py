"""The page of `python -m local` in headless Chromium, over the whole stack."""

import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, Playwright, expect, sync_playwright

from local.hub.faults import Fault
from local.page.chromium import NAMES, find_chromium, launch
from local.page.host_lines import HostLines
from local.page.running_page import PageError, RunningPage
from local.samples import Phone, event_grid_event, incoming_call_data, phones
from local.stack import Host, Stack, StackOptions

expect.set_options(timeout=15_000)

MARKUP = "<img src=/nothing onerror=\"document.title='caught'\"><b>Ada</b>"


@pytest.fixture(scope="module")
def chromium() -> str:
    """The path of Chromium. Without one the tests fail in CI and are skipped elsewhere."""
    path = find_chromium()
    if path is None:
        reason = (
            f"Chromium is not installed (none of {', '.join(NAMES)}); on Debian: apt-get install chromium"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="module")
def playwright(chromium: str) -> Iterator[Playwright]:
    """The driver of the browser, started before the stack."""
    assert chromium
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    """One browser for all tests."""
    running = launch(playwright, chromium)
    yield running
    running.close()


@dataclass
class Site:
    """A stack with its page."""

    stack: Stack
    url: str

    @property
    def host(self) -> Host:
        """The app."""
        return self.stack.host

    def register(self, user: str, phone: Phone) -> None:
        """Register a phone from outside the page."""
        assert self.host.add_device_token(phone.registration(user)).status_code == 201

    def call(self, user: str, name: str = "Ada Lovelace") -> int:
        """Place a call from outside the page; returns the webhook's status."""
        data = incoming_call_data(user, display_name=name)
        return self.host.deliver(event_grid_event(data)).status_code


@pytest.fixture(scope="module")
def running_site(browser: Browser) -> Iterator[Site]:
    """One stack for all tests of the page; it needs the browser, so that no stack starts without one."""
    assert browser.is_connected()
    lines = HostLines()
    with Stack(StackOptions(on_line=lines)) as stack, RunningPage(stack, lines) as served:
        yield Site(stack, served.url)


@pytest.fixture
def user() -> str:
    """The MRI of a new user."""
    return f"8:acs:{uuid.uuid4()}_{uuid.uuid4()}"


@pytest.fixture
def site(running_site: Site, user: str) -> Iterator[Site]:
    """The site; afterwards the hub has no faults and the user's phones are deleted."""
    yield running_site
    running_site.stack.hub.clear_faults()
    running_site.stack.hub.set_latency(0)
    running_site.host.call(
        "DELETE",
        "delete_user_registrations",
        function="DeleteUserRegistrations",
        params={"acsMri": user},
    )


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

    def phone(self, device_uuid: str) -> Locator:
        """The card of a phone."""
        return self.page.locator(f"article.phone[data-device='{device_uuid}']")

    def event(self, name: str) -> Locator:
        """The card of a call, by the caller's name."""
        return self.page.locator("article.event").filter(has=self.page.get_by_role("heading", name=name))

    def place_call(self, user: str, name: str, **fields: str) -> None:
        """Place a call with the form; `fields` by their labels' first word."""
        form = self.page.locator("#call-form")
        form.get_by_label("Callee").fill(user)
        form.get_by_label("Caller").fill(name)
        form.get_by_label("Began").fill(fields.get("began", "0"))
        form.get_by_label("Event schema").select_option(fields.get("schema", "eventGrid"))
        form.get_by_role("button", name="Place the call").click()

    def switch(self, name: str, how_many: str = "the next") -> None:
        """Press a switch of the hub and wait until it is on."""
        self.page.get_by_label("How many sends").select_option(how_many)
        self.hub_switch(name).click()
        expect(self.hub_switch(name)).to_have_attribute("aria-pressed", "true")

    def hub_switch(self, name: str) -> Locator:
        """A switch of the hub."""
        return self.page.locator("#hub-form").get_by_role("button", name=name)


def open_tab(browser: Browser, url: str, **context: Any) -> Tab:
    # Rendering animations without a graphics card takes most of a core.
    page = browser.new_context(**{"reduced_motion": "reduce", **context}).new_page()
    tab = Tab(page, [], [])
    page.on("console", lambda message: tab.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: tab.errors.append(str(error)))
    page.on("request", lambda request: tab.requested.append(request.url))
    tab.load(url)
    return tab


@pytest.fixture(scope="module")
def shared_tab(browser: Browser, running_site: Site) -> Tab:
    """One tab, reloaded for each test: making a tab takes longer than most tests."""
    return open_tab(browser, running_site.url)


@pytest.fixture
def tab(shared_tab: Tab, site: Site) -> Iterator[Tab]:
    """An open page. The test fails if it logs an error or sends a request to another host."""
    shared_tab.errors.clear()
    shared_tab.requested.clear()
    shared_tab.page.emulate_media(reduced_motion="reduce")
    shared_tab.load(site.url)
    yield shared_tab
    assert shared_tab.errors == []
    assert {urlsplit(url).netloc for url in shared_tab.requested} == {urlsplit(site.url).netloc}


@pytest.fixture
def iphone() -> Phone:
    """A new phone."""
    return phones()[0]


def ringing(phone: Locator) -> Locator:
    """The Accept button, which exists only while the phone rings."""
    return phone.get_by_role("button", name="Accept")


class TestPhones:
    def test_registered_and_deleted_outside_the_page(
        self, site: Site, tab: Tab, user: str, iphone: Phone
    ) -> None:
        """A phone that registers outside the page appears, and disappears when it is deleted there."""
        site.register(user, iphone)
        card = tab.phone(iphone.device_uuid)
        expect(card).to_be_visible()
        expect(card.get_by_role("heading", name="iPhone")).to_be_visible()
        expect(card).to_contain_text("Waiting for a call")
        assert site.host.delete_device_registration(user, iphone.device_uuid).status_code == 200
        expect(card).to_have_count(0)

    def test_removed_by_its_button(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """Remove deletes the phone through the real API, and the keyboard focus moves to the heading."""
        site.register(user, iphone)
        tab.phone(iphone.device_uuid).get_by_role("button", name="Remove").click()
        expect(tab.phone(iphone.device_uuid)).to_have_count(0)
        assert site.host.get_device_registrations(user).status_code == 404
        expect(tab.page.get_by_role("heading", name="Phones")).to_be_focused()

    def test_one_of_each(self, site: Site, tab: Tab, user: str) -> None:
        """The form registers an iPhone, an Android phone and a Windows PC, with the given time to live."""
        tab.page.get_by_label("User (MRI)").fill(user)
        tab.page.get_by_label("Time to live").fill("600")
        tab.page.get_by_role("button", name="Register", exact=True).click()
        expect(tab.page.get_by_text(re.compile("^3 . 201"))).to_be_visible()
        known = site.host.get_device_registrations(user).json()["deviceInfos"]
        assert sorted(device["platform"] for device in known) == ["apple", "fcmv1", "windows"]
        for device in known:
            expect(tab.phone(device["deviceUUID"])).to_be_visible()

    def test_refusals_are_shown(self, tab: Tab) -> None:
        """The API's refusal of a registration is shown below the form, field by field."""
        tab.page.get_by_label("User (MRI)").fill("4:+15551234567")
        tab.page.get_by_label("Platform").select_option("apple")
        tab.page.get_by_role("button", name="Register", exact=True).click()
        expect(tab.page.locator("#register-form output")).to_contain_text(re.compile(r"400 .*acsMri"))


class TestRinging:
    def test_accept(self, site: Site, tab: Tab, user: str) -> None:
        """All phones ring for a call from outside the page; accepting on one ends it on the others."""
        devices = phones()
        for phone in devices:
            site.register(user, phone)
        assert site.call(user) == 202
        cards = [tab.phone(phone.device_uuid) for phone in devices]
        for card in cards:
            expect(ringing(card)).to_be_visible()
            expect(card).to_contain_text("Ada Lovelace")
            expect(card.get_by_role("timer")).to_have_text(re.compile(r"^[1-6]?\d s$"))
        ringing(cards[0]).click()
        expect(cards[0]).to_contain_text("In the call")
        for card in cards[1:]:
            expect(card).to_contain_text("answered on another phone")
        cards[0].get_by_role("button", name="Hang up").click()
        expect(cards[0]).to_contain_text("Call ended")

    def test_decline(self, site: Site, tab: Tab, user: str) -> None:
        """Declining ends ringing on one phone; the other goes on."""
        one, other = phones()[:2]
        for phone in (one, other):
            site.register(user, phone)
        site.call(user)
        tab.phone(one.device_uuid).get_by_role("button", name="Decline").click()
        expect(tab.phone(one.device_uuid)).to_contain_text("Call declined")
        expect(ringing(tab.phone(other.device_uuid))).to_be_visible()

    def test_expiry(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A phone stops ringing when its push has expired."""
        site.register(user, iphone)
        card = tab.phone(iphone.device_uuid)
        tab.place_call(user, "Late Caller", began="56")
        expect(ringing(card)).to_be_visible()
        expect(ringing(card)).to_have_count(0)
        expect(card).to_contain_text("missed: the push has expired")

    def test_late_event(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A late event rings no phone, and the app's log line says so."""
        site.register(user, iphone)
        tab.place_call(user, "Too Late", began="3600", schema="cloudEvents")
        expect(tab.event("Too Late")).to_contain_text("late_seconds")
        expect(tab.event("Too Late").get_by_text("missed", exact=True)).to_be_visible()
        expect(tab.phone(iphone.device_uuid)).to_contain_text("Waiting for a call")

    def test_screen_reader(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """The start and the end of ringing are announced to screen readers, once."""
        site.register(user, iphone)
        site.call(user, "Ada Byron")
        announcer = tab.page.locator("#announcer[role=alert]")
        expect(announcer).to_have_text("iPhone is ringing: Ada Byron.")
        tab.phone(iphone.device_uuid).get_by_role("button", name="Decline").click()
        expect(announcer).to_have_text("iPhone: declined.")

    def test_two_tabs(self, browser: Browser, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """An action in one tab is shown in the other."""
        second = open_tab(browser, site.url)
        site.register(user, iphone)
        site.call(user)
        expect(ringing(second.phone(iphone.device_uuid))).to_be_visible()
        ringing(tab.phone(iphone.device_uuid)).click()
        expect(second.phone(iphone.device_uuid)).to_contain_text("In the call")
        second.page.context.close()
        assert second.errors == []

    def test_markup_is_text(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A caller's name with markup is shown as text."""
        site.register(user, iphone)
        tab.place_call(user, MARKUP)
        card = tab.phone(iphone.device_uuid)
        expect(card.locator(".caller")).to_have_text(MARKUP)
        expect(tab.page.locator("article.event h3").first).to_have_text(MARKUP)
        expect(tab.page.locator("img")).to_have_count(0)
        expect(tab.page).to_have_title("See it ring")


class TestPush:
    def test_exact_push(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """Headers, body, ages, expiry and answers are shown, but neither token nor context in full."""
        site.register(user, iphone)
        site.call(user, "Exact Push")
        (push,) = [one for one in site.stack.hub.pushes() if one.device_handle == iphone.device_token]
        ring = tab.phone(iphone.device_uuid).locator(".ring")
        expect(ring).to_contain_text("201 (1 attempt)")
        expect(ring).to_contain_text("rung once")
        for name in ("Push age", "Expires in"):
            expect(ring.locator("div", has_text=name).last).to_have_text(re.compile(r"[\d.]+ s$"))
        ring.get_by_text("Push and answers").click()
        headers = ring.locator(".push-headers")
        expect(headers).to_contain_text(f"apns-expiration: {push.headers['apns-expiration']}")
        expect(headers).to_contain_text("apns-push-type: voip")
        expect(headers).to_contain_text(re.compile(r"devicehandle: sha256:[0-9a-f]{16}\b"))
        expect(ring.locator(".push-body")).to_contain_text('"displayName": "Exact Push"')
        expect(ring.locator(".push-body")).to_contain_text(
            re.compile(r'"cp": "H4sI.{8}… \(\d+ characters\)"')
        )
        expect(ring.locator(".attempts")).to_contain_text(push.tracking_id)
        assert iphone.device_token not in tab.page.content()
        assert not any(key in tab.page.content() for key in site.stack.keys.functions.values())

    def test_failing_once(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """The hub fails once: the app retries, and the phone rings once."""
        site.register(user, iphone)
        tab.switch("Failing")
        tab.place_call(user, "Failing Once")
        ring = tab.phone(iphone.device_uuid).locator(".ring")
        expect(ring).to_contain_text("503, 201 (2 attempts)")
        expect(ring).to_contain_text("rung once")
        expect(tab.event("Failing Once").locator("div", has_text="retried").last).to_have_text("retried1")
        expect(tab.hub_switch("Failing")).to_have_attribute("aria-pressed", "false")
        expect(tab.page.get_by_text("The hub has no faults.")).to_be_visible()

    def test_throttled(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """The hub throttles: the app waits for Retry-After, and the phone rings once."""
        site.register(user, iphone)
        tab.page.get_by_label("Seconds").fill("1")
        tab.switch("Throttled")
        expect(tab.page.get_by_text("Next send: 429, Retry-After 1 s.")).to_be_visible()
        tab.place_call(user, "Throttled Once")
        ring = tab.phone(iphone.device_uuid).locator(".ring")
        expect(ring).to_contain_text("429, 201 (2 attempts)")
        expect(ring).to_contain_text("rung once")

    def test_slow(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """While the hub is slow, the page shows a delivery without an answer."""
        site.register(user, iphone)
        tab.page.get_by_label("Seconds").fill("2.5")
        tab.switch("Slow")
        tab.place_call(user, "Slow Hub")
        expect(tab.event("Slow Hub")).to_contain_text("no answer yet")
        expect(tab.event("Slow Hub")).to_contain_text(re.compile(r"→ 202 after \d{4} ms"))

    def test_lost_answer(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A lost answer rings the phone twice, and the page shows why."""
        site.register(user, iphone)
        tab.switch("Answer lost")
        tab.place_call(user, "Lost Answer")
        ring = tab.phone(iphone.device_uuid).locator(".ring")
        expect(ring).to_contain_text("accepted, answer lost, 201 (2 attempts)")
        expect(ring).to_contain_text("rung 2 times")

    def test_switch_off(self, tab: Tab) -> None:
        """A second press of a switch removes the faults."""
        tab.switch("Failing", "all")
        expect(tab.page.get_by_text("All sends: 503.")).to_be_visible()
        tab.hub_switch("Failing").click()
        expect(tab.page.get_by_text("The hub has no faults.")).to_be_visible()

    def test_fault_added_outside_the_page(self, site: Site, tab: Tab) -> None:
        """A fault that was added through the control API is shown."""
        site.stack.hub.add_fault(Fault(kind="black_hole", times=2))
        expect(tab.page.get_by_text("Next 2 sends: black hole.")).to_be_visible()

    def test_redelivery(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A redelivered event is acknowledged as a duplicate, and the phone has rung once."""
        site.register(user, iphone)
        tab.place_call(user, "Twice Delivered")
        event = tab.event("Twice Delivered")
        expect(event).to_contain_text("delivered")
        tab.page.get_by_role("button", name="Redeliver the last event").click()
        expect(event.get_by_text("duplicate", exact=True)).to_be_visible()
        event.get_by_role("button", name="Redeliver").click()
        expect(event.get_by_text("duplicate", exact=True)).to_have_count(2)
        expect(event.locator(".deliveries li")).to_have_count(3)
        expect(tab.phone(iphone.device_uuid).locator(".ring")).to_contain_text("rung once")
        rung = [one for one in site.stack.hub.pushes() if one.device_handle == iphone.device_token]
        assert len(rung) == 1

    def test_call_placed_outside_the_page(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """The log line of a call that was placed outside the page is shown."""
        site.register(user, iphone)
        site.call(user)
        newest = tab.page.locator("article.event").first
        expect(newest.get_by_role("heading", name="A call not placed here")).to_be_visible()
        expect(newest.get_by_text("delivered", exact=True)).to_be_visible()


class TestAccessibility:
    @pytest.mark.parametrize("width", [360, 820])
    def test_narrow(self, browser: Browser, site: Site, user: str, width: int) -> None:
        """On a narrow screen nothing overflows to the side, not even an open push."""
        for phone in phones():
            site.register(user, phone)
        narrow = open_tab(browser, site.url, viewport={"width": width, "height": 740})
        narrow.place_call(user, "x" * 200)
        expect(ringing(narrow.page.locator("article.phone")).first).to_be_visible()
        narrow.page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
        expect(narrow.page.locator("article.event .line").first).to_be_visible()
        assert narrow.page.evaluate("document.documentElement.scrollWidth") <= width
        narrow.page.context.close()

    def test_keyboard_alone(self, site: Site, tab: Tab, user: str) -> None:
        """A phone is registered, called and answered with the keyboard only."""
        page = tab.page
        tab_to(page, page.get_by_label("User (MRI)"))
        page.keyboard.press("Control+A")
        page.keyboard.type(user)
        tab_to(page, page.get_by_label("Platform"))
        page.keyboard.type("Android")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_text("201 · registered")).to_be_visible()
        (device,) = site.host.get_device_registrations(user).json()["deviceInfos"]
        assert device["platform"] == "fcmv1"
        tab_to(page, page.get_by_label("Callee"))
        page.keyboard.press("Control+A")
        page.keyboard.type(user)
        page.keyboard.press("Escape")
        tab_to(page, page.get_by_role("button", name="Place the call"))
        page.keyboard.press("Space")
        card = tab.phone(device["deviceUUID"])
        expect(ringing(card)).to_be_visible()
        tab_to(page, ringing(card))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        expect(card).to_contain_text("In the call")
        expect(card.get_by_role("heading").first).to_be_focused()

    def test_focus_stays(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A change of another card keeps the focus and an open push."""
        site.register(user, iphone)
        site.call(user)
        card = tab.phone(iphone.device_uuid)
        card.get_by_text("Push and answers").click()
        ringing(card).focus()
        other = phones()[1]
        site.register(user, other)
        expect(tab.phone(other.device_uuid)).to_be_visible()
        expect(ringing(card)).to_be_focused()
        expect(card.locator(".push-body")).to_be_visible()

    def test_everything_has_a_name(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """Every control has an accessible name; a phone's buttons name the phone."""
        site.register(user, iphone)
        site.call(user)
        expect(ringing(tab.phone(iphone.device_uuid))).to_have_accessible_name(
            "Accept on the iPhone: Ada Lovelace"
        )
        for control in tab.page.locator("input, select, button").all():
            expect(control).to_have_accessible_name(re.compile(r"\w"))

    def test_reduced_motion(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """With reduced motion there is no animation, and a ringing phone is still marked."""
        site.register(user, iphone)
        site.call(user)
        card = tab.phone(iphone.device_uuid)
        expect(card).to_have_attribute("data-state", "ringing")
        screen, avatar = card.locator(".screen"), card.locator(".avatar")
        for moving in (screen, avatar):
            expect(moving).to_have_css("animation-name", "none")
        tab.page.emulate_media(reduced_motion="no-preference")
        expect(screen).to_have_css("animation-name", "shake")
        expect(avatar).to_have_css("animation-name", "pulse")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_contrast(self, browser: Browser, site: Site, user: str, iphone: Phone, scheme: str) -> None:
        """Every text has a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3), in both colour schemes."""
        site.register(user, iphone)
        site.call(user)
        shown = open_tab(browser, site.url, color_scheme=scheme)
        shown.page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
        expect(ringing(shown.phone(iphone.device_uuid))).to_be_visible()
        assert shown.page.evaluate(POOR_CONTRAST) == []
        shown.page.context.close()


class TestPort:
    def test_port_in_use(self, site: Site) -> None:
        """An explicit port that is in use is an error that names it."""
        taken = urlsplit(site.url).port
        with (
            pytest.raises(PageError, match=rf"port {taken}: "),
            RunningPage(site.stack, HostLines(), port=taken),
        ):
            pass

    def test_default_port_in_use(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without an explicit port, a second page takes a free one."""
        monkeypatch.setattr("local.page.running_page.DEFAULT_PORT", urlsplit(site.url).port)
        with RunningPage(site.stack, HostLines(), port=None) as second:
            assert second.url != site.url
            assert requests.get(second.url, timeout=5).status_code == 200


class TestIsolation:
    def test_inline_script_is_blocked(self, site: Site, browser: Browser) -> None:
        """The policy blocks a script that is written into the page, and one in an attribute."""
        attacked = open_tab(browser, site.url)
        attacked.page.evaluate(INJECT)
        blocked = attacked.page.evaluate("Promise.race([window.violated, new Promise(() => {})])")
        assert blocked in {"script-src-elem", "script-src-attr", "script-src", "require-trusted-types-for"}
        assert attacked.page.evaluate("window.injected") is None
        attacked.page.context.close()

    def test_other_origin_in_the_same_browser(self, browser: Browser, site: Site) -> None:
        """Another site in the same browser can neither send commands nor read anything."""
        attacker = browser.new_context().new_page()
        attacker.goto(site.host.url)
        outcome = attacker.evaluate(ATTACK, site.url)
        assert outcome == {"read": "TypeError", "json": "TypeError", "blind": "TypeError"}
        attacker.context.close()
        for path in ("/calls", "/hub"):
            answer = requests.post(
                site.url + path, json={"mode": "failing"}, headers={"Origin": site.host.url}, timeout=5
            )
            assert answer.status_code == 403
        assert site.stack.hub.faults() == []


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the control has the focus."""
    for _ in range(80):
        if target.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the control cannot be reached with Tab")


INJECT = """() => {
  window.violated = new Promise((resolve) =>
    document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective)));
  const script = document.createElement("script");
  try {
    script.append("window.injected = true");
    document.body.append(script);
    document.body.setAttribute("onclick", "window.injected = true");
    document.body.click();
  } catch {
    // Trusted Types refuse even to make it.
  }
}"""

ATTACK = """async (url) => {
  const body = JSON.stringify({ mode: "failing" });
  const json = { "Content-Type": "application/json" };
  const attempt = (path, options) =>
    fetch(url + path, options).then((response) => response.type, (error) => error.name);
  return {
    read: await attempt("/live", {}),
    json: await attempt("/hub", { method: "POST", headers: json, body }),
    blind: await attempt("/hub", { method: "POST", mode: "no-cors", body }),
  };
}"""

POOR_CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([red, green, blue]) => [red, green, blue]
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility() || node.closest(":disabled")) continue;
    const both = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const [bright, dark] = both.sort((a, b) => b - a);
    const ratio = (bright + 0.05) / (dark + 0.05);
    if (ratio < 4.5) poor.push(`${node.tagName}.${node.className}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
