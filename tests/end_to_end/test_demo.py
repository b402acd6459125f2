"""`python -m local.demo`."""

import re
import subprocess
import sys
from collections.abc import Iterator
from types import TracebackType

import pytest
import requests

import local.demo
from local.hub.faults import Fault
from local.samples import CALLEE
from local.stack import ALL_NOTIFICATIONS, APP_DIRECTORY, Host, Stack, StackOptions
from tests.end_to_end.processes import linux_only, marked_environment, marked_processes

END = (
    "Every phone rang exactly once per call, those that did not answer stopped, and the missed call is shown."
)


@linux_only
def test_output() -> None:
    """Exit 0; every phone rang once a call, the others stopped; no secret is shown; no process remains."""
    environment, mark = marked_environment()
    demo = subprocess.run(
        [sys.executable, "-m", "local.demo"],
        cwd=APP_DIRECTORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    shown = demo.stdout
    assert demo.returncode == 0, shown + demo.stderr
    assert "Traceback" not in demo.stderr
    for phone, platform in (("iPhone", "apple"), ("Android phone", "fcmv1"), ("Windows PC", "windows")):
        assert re.search(
            rf"201 {phone} registered as {platform} for calls at the hub default until \S+Z", shown
        )
    assert re.search(r"201 iPhone registered as apple for alerts at the hub alerts until", shown)
    assert shown.count("rings once") == 6
    assert shown.count("shows a missed call once") == 3
    # Two devices of each call: the iPhone gets no stop push.
    assert shown.count("stops ringing once") == 4
    for step in (
        "A call in the Event Grid schema",
        "The user answers on the iPhone",
        "A call in CloudEvents 1.0",
        "The caller hangs up",
        "204 ReportCall: answered, answered after",
        "202 CallEnded, answered after",
    ):
        assert step in shown
    for detail in ('"eventId": 107', '"eventId": "107"', "apns-push-type: voip", "x-wns-type: wns/raw"):
        assert shown.count(detail) >= 2, detail
    for detail in (
        '"eventId": "110"',
        '"reason": "answered"',
        "apns-push-type: alert",
        "x-wns-type: wns/toast",
    ):
        assert detail in shown
    assert END in shown
    secrets = (CALLEE, "APA91b", "?token=", "H4sI", "shrToken", "SharedAccess", "sig=")
    assert not [secret for secret in secrets if secret in shown + demo.stderr]
    # No run of hexadecimal digits as long as a device token; a fingerprint has 16.
    assert not re.search(r"[0-9A-Fa-f]{17}", shown)
    assert marked_processes(mark) == []


class SharedStack:
    """Takes the place of `Stack` and gives a host of the running one with the demo's settings."""

    def __init__(self, stack: Stack, host: Host) -> None:
        self._stack = stack
        self.host = host
        self.hub = stack.hub
        self.alerts_hub = stack.alerts_hub

    def __call__(self, _options: StackOptions) -> "SharedStack":
        return self

    def __enter__(self) -> "SharedStack":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for info in self.host.get_device_registrations(CALLEE).json().get("deviceInfos", ()):
            self.host.delete_device_registration(CALLEE, info["deviceUUID"])
        self.hub.clear_faults()


@pytest.fixture(scope="module")
def demo_host(stack: Stack) -> Iterator[Host]:
    """A host with the demo's settings over the session's database and hub."""
    host = stack.start_host(settings=ALL_NOTIFICATIONS)
    yield host
    host.close()


@pytest.fixture
def shared_stack(stack: Stack, demo_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo uses the session's stack."""
    monkeypatch.setattr(local.demo, "Stack", SharedStack(stack, demo_host))


@pytest.mark.usefixtures("shared_stack")
def test_shared_stack(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo succeeds on the shared stack, so the failures below are caused by the faults."""
    assert local.demo.main() == 0
    assert END in capsys.readouterr().out


@pytest.mark.usefixtures("shared_stack")
def test_a_phone_that_does_not_ring(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    """A phone that the hub refuses: exit 1, and a line that names the phone."""
    stack.hub.add_fault(Fault(kind="status", status=400, times=1))
    assert local.demo.main() == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert re.search(r"The demo failed. The (iPhone|Android phone|Windows PC) rings 0 times, not once", shown)
    assert "Every phone rang" not in shown


@pytest.mark.usefixtures("shared_stack")
def test_a_phone_that_rings_twice(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    """A push whose answer is lost is sent again: the phone rings twice, and the demo fails."""
    stack.hub.add_fault(Fault(kind="accept_then_drop", times=1))
    assert local.demo.main() == 1
    assert "rings 2 times" in " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("shared_stack")
def test_no_answer(stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A host that cannot be reached: exit 1, and the line does not quote the webhook's key."""

    def unreachable(_host: Host, *_events: object, **_options: object) -> requests.Response:
        raise requests.ConnectionError(f"Max retries exceeded with url: {stack.host.webhook_url}")

    monkeypatch.setattr(Host, "deliver", unreachable)
    assert local.demo.main() == 1
    shown = "".join(capsys.readouterr().out.split())
    assert "Thedemofailed." in shown
    assert "ConnectionError" in shown
    assert not [key for key in stack.keys.system.values() if key in shown]
