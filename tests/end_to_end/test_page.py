"""The page of `python -m local` in a headless browser, over the whole stack."""

import re
import time
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from local.hub.faults import Fault
from local.hub.records import PlatformOutcome
from local.page.chromium import HOW_TO_INSTALL, find_browser, launch
from local.page.host_lines import HostLines
from local.page.running_page import PageError, RunningPage
from local.samples import Phone, phones
from local.stack import ALERTS_HUB, ALL_NOTIFICATIONS, Stack, StackOptions
from tests.end_to_end.page_tab import OPEN_ALL, Site, Tab, answer, open_tab, tab_to

expect.set_options(timeout=15_000)

MARKUP = "<img src=/nothing onerror=\"document.title='caught'\"><b>Ada</b>"


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """The driver of the browser, started before the stack."""
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """One browser for all tests."""
    path = find_browser(playwright)
    assert path is not None, f"the page's tests need a browser: {HOW_TO_INSTALL}"
    running = launch(playwright, path)
    yield running
    running.close()


@pytest.fixture(scope="module")
def running_site(browser: Browser) -> Iterator[Site]:
    """One stack for all tests of the page; it needs the browser, so that no stack starts without one."""
    assert browser.is_connected()
    lines = HostLines()
    options = StackOptions(on_line=lines, settings=ALL_NOTIFICATIONS, more_hubs=(ALERTS_HUB,), spans=True)
    with Stack(options) as stack, RunningPage(stack, lines) as served:
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


@pytest.fixture(scope="module")
def shared_tab(browser: Browser, running_site: Site) -> Tab:
    """One tab, reloaded for each test: making a tab takes longer than most tests."""
    permissions = ["clipboard-read", "clipboard-write", "notifications"]
    return open_tab(browser, running_site.url, permissions=permissions)


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


@pytest.fixture
def android() -> Phone:
    """A new phone."""
    return phones()[1]


class TestPhones:
    def test_registered_and_deleted_outside_the_page(
        self, site: Site, tab: Tab, user: str, iphone: Phone
    ) -> None:
        """A phone that registers outside the page appears, and disappears when it is deleted there."""
        site.register(user, iphone)
        card = tab.phone(iphone)
        expect(card.get_by_role("heading", name="iPhone")).to_be_visible()
        expect(card).to_contain_text("Waiting for a call")
        assert site.host.delete_device_registration(user, iphone.device_uuid).status_code == 200
        expect(card).to_have_count(0)

    def test_removed_by_its_button(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """Remove deletes the phone through the real API, and the keyboard focus moves to the heading."""
        site.register(user, iphone)
        tab.phone(iphone).get_by_text("Details").click()
        tab.phone(iphone).get_by_role("button", name="Remove").click()
        expect(tab.phone(iphone)).to_have_count(0)
        assert site.host.get_device_registrations(user).status_code == 404
        expect(tab.page.get_by_role("heading", name="Phones")).to_be_focused()

    def test_one_of_each(self, site: Site, tab: Tab, user: str) -> None:
        """The form registers an iPhone, an Android phone and a Windows PC, with the given time to live."""
        tab.page.get_by_label("User: a name, or an MRI").fill(user)
        tab.page.get_by_label("Time to live").fill("600")
        tab.page.get_by_role("button", name="Register", exact=True).click()
        expect(tab.page.get_by_text(re.compile("^3 . 201"))).to_be_visible()
        known = site.host.get_device_registrations(user).json()["deviceInfos"]
        kinds = sorted((device["platform"], device["purpose"]) for device in known)
        assert kinds == [("apple", "alerts"), ("apple", "calls"), ("fcmv1", "calls"), ("windows", "calls")]
        for device in known:
            expect(tab.page.locator(f"[data-device='{device['deviceUUID']}']")).to_be_visible()

    def test_uninstalled(self, site: Site, tab: Tab, user: str, iphone: Phone, android: Phone) -> None:
        """A phone whose app is uninstalled is silent; installed again, it rings with its new token."""
        site.register(user, iphone, android)
        card = tab.phone(android)
        card.get_by_text("Details").click()
        card.get_by_role("button", name="Uninstall").click()
        expect(card).to_contain_text("The app is not on this phone any more")
        tab.place_call(user, "Silent Call")
        expect(answer(tab.phone(iphone))).to_be_visible()
        expect(tab.call("Silent Call").locator(".call-rang")).to_have_text("1/2 rang")
        row = tab.open_call("Silent Call")
        expect(tab.step(row, "Ring → .* Android phone")).to_contain_text("the platform: ExpiredChannel")
        card.get_by_role("button", name="Install again").click()
        expect(card).not_to_contain_text("not on this phone")
        tab.place_call(user, "Heard Call")
        expect(answer(card)).to_be_visible()

    def test_dead_devices_are_forgotten(self, site: Site, tab: Tab, user: str, android: Phone) -> None:
        """After a push that the platform refused, the app's sweep of the feedback forgets the phone."""
        site.register(user, android)
        site.stack.hub.set_outcome(android.device_token, PlatformOutcome.EXPIRED_CHANNEL)
        expect(tab.phone(android)).to_contain_text("not on this phone")
        site.call(user, "Feedback Caller")
        tab.page.get_by_role("button", name="Forget dead devices").click()
        expect(tab.page.get_by_text("ForgetDeadDevices runs.")).to_be_visible()
        expect(tab.phone(android)).to_have_count(0)
        assert site.host.get_device_registrations(user).status_code == 404

    def test_refusals_look_like_errors(self, tab: Tab) -> None:
        """The API's refusal of a registration is shown below the form, field by field, as an error."""
        tab.page.get_by_label("User: a name, or an MRI").fill("4:+15551234567")
        tab.page.get_by_label("Platform").select_option("apple")
        tab.page.get_by_role("button", name="Register", exact=True).click()
        output = tab.page.locator("#register-form output")
        expect(output).to_contain_text(re.compile(r"400 .*acsMri"))
        expect(output).to_have_attribute("data-tone", "bad")

    def test_nicknames(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A user's name stands for the MRI in the forms, and the MRI can be copied."""
        site.register(user, iphone)
        card = tab.phone(iphone)
        name = (
            card.get_by_role("heading").inner_text().removesuffix("\N{RIGHT SINGLE QUOTATION MARK}s iPhone")
        )
        tab.place_call(name.lower(), "By Nickname")
        expect(answer(card)).to_be_visible()
        card.get_by_text("Details").click()
        card.get_by_role("button", name="Copy the MRI").click()
        expect(card.get_by_role("button", name="Copy the MRI")).to_have_text("Copied")
        assert tab.page.evaluate("navigator.clipboard.readText()") == user


class TestRinging:
    def test_one_answers_and_the_others_stop(self, site: Site, tab: Tab, user: str) -> None:
        """All phones ring for a call from outside the page; one answers, and the app stops the others."""
        devices = phones()
        site.register(user, *devices)
        assert site.call(user) == 202
        cards = [tab.phone(device) for device in devices]
        for card in cards:
            expect(answer(card)).to_be_visible()
            expect(card).to_contain_text("Ada Lovelace")
            expect(card.get_by_role("timer")).to_have_text(re.compile(r"^[1-6]?\d s$"))
        answer(cards[0]).click()
        expect(cards[0]).to_contain_text("In the call")
        for card in cards[1:]:
            expect(card).to_contain_text("Answered on another phone")
        expect(tab.call("Ada Lovelace").first).to_contain_text("answered")
        cards[0].get_by_role("button", name="Hang up").click()
        expect(cards[0]).to_contain_text("Call ended")

    def test_one_declines_and_the_others_stop(
        self, site: Site, tab: Tab, user: str, iphone: Phone, android: Phone
    ) -> None:
        """Declining on one phone declines the call for the callee."""
        site.register(user, iphone, android)
        tab.place_call(user, "Unwanted Caller")
        answer(tab.phone(iphone)).wait_for()
        tab.phone(iphone).get_by_role("button", name="Decline").click()
        expect(tab.phone(iphone)).to_contain_text("Call declined")
        expect(tab.phone(android)).to_contain_text(re.compile("Declined on another phone|The caller hung up"))
        expect(tab.call("Unwanted Caller")).to_contain_text("declined")

    def test_caller_hangs_up(self, site: Site, tab: Tab, user: str, iphone: Phone, android: Phone) -> None:
        """The caller hangs up: CallEnded stops the phones, and the missed call is shown."""
        site.register(user, iphone, android)
        tab.place_call(user, "Missed Caller")
        expect(answer(tab.phone(android))).to_be_visible()
        tab.page.locator("#hang-up").click()
        for device in (iphone, android):
            expect(tab.phone(device)).to_contain_text("The caller hung up")
        expect(tab.phone(android).locator(".banner")).to_have_text("Missed callMissed Caller")
        row = tab.open_call("Missed Caller")
        expect(row.locator(".badge")).to_have_text("missed")
        for text in (
            "CallEnded delivered",
            "Stop ringing → .* Android phone",
            "Missed call → .* Android phone",
        ):
            expect(tab.step(row, text)).to_be_visible()

    def test_only_reports(self, site: Site, tab: Tab, user: str, iphone: Phone, android: Phone) -> None:
        """Without events of the call, the report of the phone that answers stops the other one."""
        site.register(user, iphone, android)
        events = tab.page.get_by_label("Calls publish events")
        events.uncheck()
        tab.place_call(user, "Reported Caller")
        answer(tab.phone(iphone)).click()
        expect(tab.phone(android)).to_contain_text("Answered on another phone")
        row = tab.open_call("Reported Caller")
        expect(tab.step(row, "iPhone reports answered answered 204")).to_be_visible()
        expect(tab.step(row, "CallParticipantAdded")).to_have_count(0)
        events.check()

    def test_expiry(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A phone stops ringing when its push has expired."""
        site.register(user, iphone)
        tab.place_call(user, "Late Caller", began="56")
        expect(answer(tab.phone(iphone))).to_be_visible()
        expect(answer(tab.phone(iphone))).to_have_count(0)
        expect(tab.phone(iphone)).to_contain_text("Missed call")
        expect(tab.step(tab.open_call("Late Caller"), "iPhone reports missed")).to_be_visible()

    def test_late_event(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A late event rings no phone, and the row says so."""
        site.register(user, iphone)
        tab.place_call(user, "Too Late", began="3600", schema="cloudEvents")
        row = tab.open_call("Too Late")
        expect(row.locator(".badge")).to_have_text("too late")
        row.get_by_text("Log line").click()
        expect(row).to_contain_text("late_seconds")
        expect(tab.phone(iphone)).to_contain_text("Waiting for a call")

    def test_title_and_icon(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """The title and the icon of the tab say that a phone rings."""
        site.register(user, iphone)
        expect(tab.page).to_have_title("See it ring")
        site.call(user)
        expect(tab.page).to_have_title("(1) Ringing · See it ring")
        expect(tab.page.locator("#icon")).to_have_attribute("href", "/icon-ringing.svg")
        expect(tab.page.get_by_role("link", name="1 phone is ringing")).to_be_visible()
        tab.phone(iphone).get_by_role("button", name="Decline").click()
        expect(tab.page).to_have_title("See it ring")
        expect(tab.page.locator("#icon")).to_have_attribute("href", "/icon.svg")

    def test_screen_reader(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """The start and the end of ringing are announced to screen readers, once."""
        site.register(user, iphone)
        site.call(user, "Ada Byron")
        announcer = tab.page.locator("#announcer[role=alert]")
        expect(announcer).to_have_text(re.compile("iPhone is ringing: Ada Byron.$"))
        tab.phone(iphone).get_by_role("button", name="Decline").click()
        expect(announcer).to_have_text(re.compile("iPhone: call declined.$"))

    def test_two_tabs(self, browser: Browser, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """An action in one tab is shown in the other."""
        second = open_tab(browser, site.url)
        site.register(user, iphone)
        site.call(user)
        expect(answer(second.phone(iphone))).to_be_visible()
        answer(tab.phone(iphone)).click()
        expect(second.phone(iphone)).to_contain_text("In the call")
        second.page.context.close()
        assert second.errors == []

    def test_markup_is_text(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A caller's name with markup is shown as text."""
        site.register(user, iphone)
        tab.place_call(user, MARKUP)
        expect(tab.phone(iphone).locator(".caller")).to_have_text(MARKUP)
        expect(tab.page.locator("li.call .call-caller").first).to_have_text(MARKUP)
        expect(tab.page.locator("img")).to_have_count(0)
        expect(tab.page).to_have_title("(1) Ringing · See it ring")


class TestBrowser:
    def notifications(self, tab: Tab) -> list[list[str]]:
        """Title, body and tag of what the service worker shows."""
        shown: list[list[str]] = tab.page.evaluate(NOTIFICATIONS)
        return shown

    def expect_notification(self, tab: Tab, title: str, body: str) -> str:
        """Wait for the only notification to be this one; returns its tag."""
        deadline = time.monotonic() + 15
        shown: list[list[str]] = []
        while len(shown) != 1 or shown[0][:2] != [title, body]:
            assert time.monotonic() < deadline, shown
            tab.page.wait_for_timeout(50)
            shown = self.notifications(tab)
        return shown[0][2]

    def test_rings_stops_and_misses(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """This browser registers; its service worker shows the ring, and one notification a call replaces
        it."""
        tab.page.get_by_label("User: a name, or an MRI").fill(user)
        tab.page.get_by_role("button", name="This browser").click()
        expect(tab.page.get_by_text("201 · this browser is registered")).to_be_visible()
        card = tab.page.locator("article.phone[data-platform=browser]").filter(has_text="This very browser")
        expect(card).to_be_visible()
        site.register(user, iphone)
        tab.place_call(user, "Browser Caller")
        expect(answer(card)).to_be_visible()
        ring = self.expect_notification(tab, "Browser Caller", "Incoming call")
        answer(tab.phone(iphone)).click()
        assert self.expect_notification(tab, "Answered on another phone", "") == ring
        expect(card).to_contain_text("Answered on another phone")
        tab.phone(iphone).get_by_role("button", name="Hang up").click()
        tab.page.evaluate(CLOSE_ALL)
        tab.place_call(user, "Missed In Browser")
        self.expect_notification(tab, "Missed In Browser", "Incoming call")
        tab.page.locator("#hang-up").click()
        self.expect_notification(tab, "Missed call", "Missed In Browser")
        tab.load(site.url)
        tab.page.evaluate(CLOSE_ALL)
        expect(card).to_be_visible()
        assert self.notifications(tab) == []

    def test_no_permission(self, browser: Browser, site: Site, user: str) -> None:
        """A browser that allows no notifications is not registered, and the page says why."""
        refusing = open_tab(browser, site.url, permissions=[])
        refusing.page.evaluate("Notification.requestPermission = async () => 'denied'")
        refusing.page.get_by_label("User: a name, or an MRI").fill(user)
        refusing.page.get_by_role("button", name="This browser").click()
        expect(refusing.page.locator("#register-form output")).to_contain_text("does not allow")
        assert site.host.get_device_registrations(user).status_code == 404
        refusing.page.context.close()


class TestStory:
    def test_row(self, site: Site, tab: Tab, user: str) -> None:
        """A row: who calls whom, what came of it, how many of the phones rang, and in what time."""
        site.register(user, *phones())
        tab.place_call(user, "Three Phones")
        row = tab.call("Three Phones")
        expect(row.locator(".call-rang")).to_have_text("3/3 rang")
        expect(row.locator(".badge")).to_have_text("ringing")
        expect(row.locator(".call-ms")).to_have_text(re.compile(r"^[\d.]+ m?s$"))
        expect(row.locator(".call-time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))

    def test_exact_push(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """Headers and body of a push are shown, but neither token nor context in full."""
        site.register(user, iphone)
        site.call(user, "Exact Push")
        (push,) = [one for one in site.stack.hub.pushes() if one.device_handle == iphone.device_token]
        row = tab.open_call("Exact Push")
        row.get_by_text(f"Push {push.sequence}", exact=True).click()
        headers = row.locator(".push-headers")
        expect(headers).to_contain_text(f"apns-expiration: {push.headers['apns-expiration']}")
        expect(headers).to_contain_text("apns-push-type: voip")
        expect(headers).to_contain_text(re.compile(r"devicehandle: sha256:[0-9a-f]{16}\b"))
        expect(row.locator(".push-body")).to_contain_text('"displayName": "Exact Push"')
        expect(row.locator(".push-body")).to_contain_text(re.compile(r'"cp": "H4sI.{8}… \(\d+ characters\)"'))
        expect(row.locator(".push")).to_contain_text(push.tracking_id)
        assert iphone.device_token not in tab.page.content()
        assert not any(key in tab.page.content() for key in site.stack.keys.functions.values())

    def test_work_of_the_app(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """The steps show delivery, lease, look-up, push, the app's line and the phone's report."""
        site.register(user, iphone)
        tab.place_call(user, "Whole Story")
        row = tab.open_call("Whole Story")
        for text in (
            "IncomingCall delivered answered 202",
            "Lease taken in the ledger",
            "Callee's devices looked up",
            "Ring → .* iPhone",
            "Result: delivered; 1 of 1 pushes",
            "iPhone reports ringing answered 204",
        ):
            expect(tab.step(row, text).first).to_be_visible()

    def test_failing_once(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """The hub fails once: the row shows both tries with the wait between them, and the phone rings
        once."""
        site.register(user, iphone)
        tab.switch("Failing")
        tab.place_call(user, "Failing Once")
        tries = tab.step(tab.open_call("Failing Once"), "Ring →").locator(".try")
        expect(tries).to_have_count(2)
        expect(tries.first).to_have_text(re.compile(r"^503 [\d.]+ ms"))
        expect(tries.last).to_have_text(re.compile(r"^[\d.]+ m?s later201 [\d.]+ ms$"))
        assert site.rings(iphone) == 1
        expect(tab.hub_switch("Failing")).to_have_attribute("aria-pressed", "false")
        expect(tab.page.get_by_text("No faults.")).to_be_visible()

    def test_throttled(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """The hub throttles: the app waits for Retry-After, and the phone rings once."""
        site.register(user, iphone)
        tab.page.get_by_label("Seconds").fill("1")
        tab.switch("Throttled")
        expect(tab.page.get_by_text("Next send: 429, Retry-After 1 s.")).to_be_visible()
        tab.place_call(user, "Throttled Once")
        tries = tab.step(tab.open_call("Throttled Once"), "Ring →").locator(".try")
        expect(tries.last).to_have_text(re.compile(r"^\d+\.\d s later201"))
        assert site.rings(iphone) == 1

    def test_slow(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """While the hub is slow, the page shows a delivery without an answer."""
        site.register(user, iphone)
        tab.page.get_by_label("Seconds").fill("2.5")
        tab.switch("Slow")
        tab.place_call(user, "Slow Hub")
        row = tab.open_call("Slow Hub")
        expect(tab.step(row, "IncomingCall delivered no answer yet")).to_be_visible()
        expect(tab.step(row, "IncomingCall delivered answered 202")).to_be_visible()

    def test_lost_answer(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A lost answer rings the phone twice, and the row shows why."""
        site.register(user, iphone)
        tab.switch("Answer lost")
        tab.place_call(user, "Lost Answer")
        step = tab.step(tab.open_call("Lost Answer"), "Ring →")
        expect(step).to_contain_text("rang 2 times")
        expect(step.locator(".try").first).to_contain_text("accepted, answer lost")

    def test_switch_off(self, tab: Tab) -> None:
        """A second press of a switch removes the faults."""
        tab.switch("Failing", "all sends")
        expect(tab.page.get_by_text("All sends: 503.")).to_be_visible()
        tab.hub_switch("Failing").click()
        expect(tab.page.get_by_text("No faults.")).to_be_visible()

    def test_fault_added_outside_the_page(self, site: Site, tab: Tab) -> None:
        """A fault that was added through the control API is shown."""
        site.stack.hub.add_fault(Fault(kind="black_hole", times=2))
        expect(tab.page.get_by_text("Next 2 sends: black hole.")).to_be_visible()

    def test_redelivery(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A redelivered event is acknowledged as a duplicate, and the phone has rung once."""
        site.register(user, iphone)
        tab.place_call(user, "Twice Delivered")
        row = tab.open_call("Twice Delivered")
        row.get_by_role("button", name="Redeliver").click()
        expect(tab.step(row, "IncomingCall redelivered answered 202")).to_be_visible()
        expect(tab.step(row, "Result: duplicate")).to_be_visible()
        assert site.rings(iphone) == 1

    def test_redelivery_that_is_due(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A failed event is due again in 10 s; a call that is cleared is not."""
        site.register(user, iphone)
        tab.page.get_by_label("Seconds").fill("30")
        tab.switch("Throttled", "all sends")
        tab.place_call(user, "Due Again")
        row = tab.open_call("Due Again")
        expect(row.locator(".badge")).to_have_text("incomplete")
        due = tab.step(row, "IncomingCall is due again")
        expect(due).to_contain_text(re.compile(r"in \d"))
        tab.page.get_by_role("button", name="Clear").click()
        expect(tab.page.get_by_text("No call yet.")).to_be_visible()

    def test_call_placed_outside_the_page(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """A call that was placed outside the page has its row and its steps too."""
        site.register(user, iphone)
        site.call(user, "From Outside")
        row = tab.open_call("From Outside")
        expect(row).to_contain_text("not placed here")
        expect(row.locator(".call-rang")).to_have_text("1/1 rang")
        expect(tab.step(row, "Lease taken in the ledger")).to_be_visible()

    def test_filter_and_copy(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """The filter looks through everything of a call; a call can be copied as JSON."""
        site.register(user, iphone)
        for name in ("First Caller", "Second Caller"):
            tab.place_call(user, name)
            expect(tab.call(name)).to_be_visible()
        tab.page.get_by_label("Filter the calls").fill("second")
        expect(tab.call("First Caller")).to_have_count(0)
        tab.open_call("Second Caller").get_by_role("button", name="Copy this call as JSON").click()
        expect(tab.page.get_by_text("Copied")).to_be_visible()
        assert '"caller": "Second Caller"' in tab.page.evaluate("navigator.clipboard.readText()")
        tab.page.get_by_label("Filter the calls").fill("nothing like it")
        expect(tab.page.get_by_text("No call matches the filter.")).to_be_visible()

    def test_pause(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """While paused the page stays as it is; afterwards it shows what has happened."""
        tab.page.get_by_role("button", name="Pause").click()
        site.register(user, iphone)
        site.call(user, "During Pause")
        tab.page.wait_for_timeout(1_500)
        expect(tab.phone(iphone)).to_have_count(0)
        tab.page.get_by_role("button", name="Go on").click()
        expect(tab.call("During Pause")).to_be_visible()
        expect(tab.phone(iphone)).to_be_visible()


class TestAccessibility:
    @pytest.mark.parametrize("width", [360, 820, 1440])
    def test_width(self, browser: Browser, site: Site, user: str, width: int) -> None:
        """At no width anything overflows to the side, not even an open push; on a phone's the phones are
        first."""
        site.register(user, *phones())
        narrow = open_tab(browser, site.url, viewport={"width": width, "height": 740})
        narrow.place_call(user, "x" * 200)
        expect(answer(narrow.page.locator("article.phone")).first).to_be_visible()
        row = narrow.open_call("x" * 200)
        expect(row.get_by_text("Log line")).to_be_visible()
        narrow.page.locator("details").evaluate_all(OPEN_ALL)
        expect(row.locator(".push-body").first).to_be_visible()
        assert narrow.page.evaluate("document.documentElement.scrollWidth") <= width
        tops = [
            narrow.page.locator(place).bounding_box() for place in ("#phones", ".controls", ".calls-section")
        ]
        if width < 800:
            heights = [box["y"] for box in tops if box]
            assert heights == sorted(heights)
        narrow.page.context.close()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_axe(self, browser: Browser, site: Site, user: str, scheme: str) -> None:
        """Axe finds no barrier: empty, ringing with everything open, missed, and with errors."""
        shown = open_tab(browser, site.url, color_scheme=scheme)
        assert shown.barriers() == []
        site.register(user, *phones())
        shown.switch("Failing")
        shown.place_call(user, "Axe Caller")
        expect(answer(shown.page.locator("article.phone")).first).to_be_visible()
        shown.open_call("Axe Caller")
        expect(shown.call("Axe Caller").get_by_text("Log line")).to_be_visible()
        shown.page.locator("details").evaluate_all(OPEN_ALL)
        expect(shown.page.locator(".push-body").first).to_be_visible()
        assert shown.barriers() == []
        shown.page.locator("#hang-up").click()
        expect(shown.page.locator(".banner").first).to_be_visible()
        shown.page.get_by_label("User: a name, or an MRI").fill("4:+1")
        shown.page.get_by_role("button", name="Register", exact=True).click()
        expect(shown.page.locator("output[data-tone=bad]")).to_be_visible()
        assert shown.barriers() == []
        shown.page.context.close()

    def test_keyboard_alone(self, site: Site, tab: Tab, user: str) -> None:
        """A phone is registered, called and answered, and the call's story read, with the keyboard only."""
        page = tab.page
        tab_to(page, page.get_by_label("User: a name, or an MRI"))
        page.keyboard.press("Control+A")
        page.keyboard.type(user)
        tab_to(page, page.get_by_label("Platform"))
        page.keyboard.type("Android")
        tab_to(page, page.get_by_role("button", name="Register", exact=True))
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
        card = page.locator(f"[data-device='{device['deviceUUID']}']")
        expect(answer(card)).to_be_visible()
        tab_to(page, answer(card))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        expect(card).to_contain_text("In the call")
        expect(card.get_by_role("heading").first).to_be_focused()
        row = page.locator("li.call").first
        tab_to(page, row.locator("summary").first)
        page.keyboard.press("Enter")
        expect(row.locator(".step").first).to_be_visible()

    def test_focus_stays(self, site: Site, tab: Tab, user: str, iphone: Phone, android: Phone) -> None:
        """A change of another card keeps the focus, an open call and an open push."""
        site.register(user, iphone)
        site.call(user, "Focused Caller")
        row = tab.open_call("Focused Caller")
        row.get_by_text(re.compile(r"^Push \d+$")).click()
        expect(row.locator(".push-body")).to_be_visible()
        answer(tab.phone(iphone)).focus()
        site.register(user, android)
        expect(tab.phone(android)).to_be_visible()
        expect(answer(tab.phone(iphone))).to_be_focused()
        expect(row.locator(".push-body")).to_be_visible()

    def test_reduced_motion(self, site: Site, tab: Tab, user: str, iphone: Phone) -> None:
        """With reduced motion there is no animation, and a ringing phone is still marked."""
        site.register(user, iphone)
        site.call(user)
        card = tab.phone(iphone)
        expect(card).to_have_attribute("data-state", "ringing")
        screen, avatar = card.locator(".screen"), card.locator(".avatar")
        for moving in (screen, avatar):
            expect(moving).to_have_css("animation-name", "none")
        tab.page.emulate_media(reduced_motion="no-preference")
        expect(screen).to_have_css("animation-name", "shake")
        expect(avatar).to_have_css("animation-name", "pulse")


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


NOTIFICATIONS = """() => navigator.serviceWorker.ready
  .then((registration) => registration.getNotifications())
  .then((all) => all.map(({ title, body, tag }) => [title, body, tag]))"""

CLOSE_ALL = """() => navigator.serviceWorker.ready
  .then((registration) => registration.getNotifications())
  .then((all) => all.forEach((one) => one.close()))"""
