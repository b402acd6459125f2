"""Telemetry and feedback of the simulator, in the form of the service."""

import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pytest
import requests

from local.hub.config import Tier
from local.hub.control_client import ControlClient
from local.hub.records import PlatformOutcome
from local.hub.running_hub import RunningHub
from local.hub.simulator import Simulator
from tests.contract.hub_requests import (
    AUDIENCE,
    CHANNEL,
    ENDPOINT,
    FCM_HANDLE,
    HANDLE,
    HUB,
    Send,
    apple,
    browser,
    fcm,
    sas,
    windows,
)

DAY = 86_400.0
NEVER = 9_999_999_999
NAMES = {"c": "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"}


@dataclass
class Clock:
    """Unix seconds, turned by the test."""

    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(clock: Clock) -> Iterator[RunningHub]:
    with RunningHub(Simulator(HUB, clock=clock)) as hub:
        yield hub


def token(key_name: str = "send only", key: str = "c2VuZA==") -> str:
    return sas(AUDIENCE, key_name, key, NEVER)


def read(
    hub: RunningHub, path: str, authorization: str | None = None, version: str = "2016-07"
) -> requests.Response:
    """A request as the SDKs send it."""
    return requests.get(
        f"{hub.url}{path}",
        params={"api-version": version},
        headers={"Authorization": authorization or token()},
        timeout=5,
    )


def sent(hub: RunningHub, send: Send) -> str:
    """Send and return the notification's id."""
    answer = send.with_headers(Authorization=token()).to(hub.url)
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"].rpartition("/")[2].partition("?")[0]


def outcomes(details: str) -> dict[str, dict[str, int]]:
    """`{"ApnsOutcomeCounts": {"Success": 1}}`."""
    root = ET.fromstring(details)  # noqa: S314 - our own simulator's
    assert root.tag == f"{{{NAMES['c']}}}NotificationDetails"
    return {
        counts.tag.partition("}")[2]: {
            str(each.findtext("c:Name", None, NAMES)): int(each.findtext("c:Count", "0", NAMES))
            for each in counts.findall("c:Outcome", NAMES)
        }
        for counts in root
        if counts.tag.endswith("OutcomeCounts")
    }


class TestTelemetry:
    @pytest.mark.parametrize(
        ("send", "counts"),
        [
            (apple(), "ApnsOutcomeCounts"),
            (fcm(), "FcmV1OutcomeCounts"),
            (windows(), "WnsOutcomeCounts"),
            (browser(), "BrowserOutcomeCounts"),
        ],
        ids=["apple", "fcmv1", "windows", "browser"],
    )
    def test_success(self, hub: RunningHub, send: Send, counts: str) -> None:
        """A push that the platform took has one outcome under the platform's name."""
        answer = read(hub, f"/ring/messages/{sent(hub, send)}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/xml;charset=utf-8"
        assert outcomes(answer.text) == {counts: {"Success": 1}}

    def test_details(self, hub: RunningHub) -> None:
        """State, times, target and the whole body, as from the service."""
        notification = sent(hub, apple())
        root = ET.fromstring(read(hub, f"/ring/messages/{notification}").text)  # noqa: S314
        told = {child.tag.partition("}")[2]: child.text for child in root}
        assert told["NotificationId"] == notification
        assert (told["State"], told["TargetPlatforms"]) == ("Completed", "apple")
        assert told["EnqueueTime"] == "2026-09-21T14:13:20.000000Z"
        assert told["NotificationBody"] == apple().body.decode()
        assert str(told["Location"]).startswith("https://contoso-ns.servicebus.windows.net/Ring/messages/")

    def test_dead_device(self, hub: RunningHub) -> None:
        """The push is accepted, and its outcome says that the app is gone; later ones may succeed again."""
        with ControlClient(hub.url) as control:
            control.set_outcome(HANDLE, PlatformOutcome.EXPIRED_CHANNEL)
            dead = sent(hub, apple())
            other = sent(hub, windows())
            control.set_outcome(HANDLE, PlatformOutcome.SUCCESS)
            back = sent(hub, apple())
            assert [push.outcome for push in control.pushes()] == ["ExpiredChannel", "Success", "Success"]
            assert control.outcomes() == []
        assert outcomes(read(hub, f"/ring/messages/{dead}").text) == {
            "ApnsOutcomeCounts": {"ExpiredChannel": 1}
        }
        for notification in (other, back):
            (counts,) = outcomes(read(hub, f"/ring/messages/{notification}").text).values()
            assert counts == {"Success": 1}

    def test_dead_android_phone(self, hub: RunningHub) -> None:
        """For a dead FCM token the service has been seen to tell no outcome at all."""
        hub.simulator.set_outcome(FCM_HANDLE, PlatformOutcome.EXPIRED_CHANNEL)
        assert outcomes(read(hub, f"/ring/messages/{sent(hub, fcm())}").text) == {}

    def test_not_known_yet(self, hub: RunningHub, clock: Clock) -> None:
        """Until the delay has passed it is a 404, like an id that does not exist."""
        with ControlClient(hub.url) as control:
            control.set_telemetry_delay(600)
        path = f"/ring/messages/{sent(hub, apple())}"
        assert read(hub, path).status_code == 404
        clock.now += 599
        assert read(hub, path).status_code == 404
        clock.now += 1
        assert read(hub, path).status_code == 200
        assert read(hub, f"/ring/messages/{uuid.uuid4()}").status_code == 404

    def test_of_another_hub(self, clock: Clock) -> None:
        """A notification is known to its own hub alone."""
        other = replace(HUB, hub_name="Other")
        with RunningHub(Simulator(HUB, other, clock=clock)) as hub:
            notification = sent(hub, apple())
            audience = "https://contoso-ns.servicebus.windows.net/other"
            authorization = sas(audience, "send only", "c2VuZA==", NEVER)
            assert read(hub, f"/other/messages/{notification}", authorization).status_code == 404


@pytest.mark.parametrize("path", ["/ring/messages/1", "/ring/feedbackcontainer"])
class TestRefusals:
    def test_access(self, hub: RunningHub, path: str) -> None:
        """The token is checked as for a push."""
        assert read(hub, path, token(key="bm8=")).status_code == 401
        assert read(hub, path, token("listen", "bGlzdGVu")).status_code == 403
        answer = read(hub, path.replace("ring", "none"))
        assert answer.status_code == 404
        assert "no such notification hub" in answer.text
        assert read(hub, path, version="2099-01").status_code == 400

    @pytest.mark.parametrize("tier", [Tier.FREE, Tier.BASIC])
    def test_tier(self, hub: RunningHub, path: str, tier: Tier) -> None:
        """Without the tier Standard it is a 403 that says so."""
        hub.simulator.hubs.set_tier("Ring", tier)
        answer = read(hub, path)
        assert (answer.status_code, "Standard" in answer.text) == (403, True)

    def test_is_no_attempt_to_send(self, hub: RunningHub, path: str) -> None:
        """Reads are not counted."""
        read(hub, path)
        assert hub.simulator.attempts() == []


def documents(blob: bytes) -> list[Mapping[str, str]]:
    """The feedback in a blob: XML documents in a row, each declaring UTF-16, in UTF-8."""
    text = blob.decode("utf-8")
    parts = text.split('<?xml version="1.0" encoding="utf-16"?>')
    assert parts[0] == ""
    roots = [ET.fromstring(part) for part in parts[1:]]  # noqa: S314 - our own simulator's
    assert {root.tag for root in roots} <= {f"{{{NAMES['c']}}}PnsFeedback"}
    return [{child.tag.partition("}")[2]: str(child.text) for child in root} for root in roots]


class TestFeedback:
    @staticmethod
    def container(hub: RunningHub) -> str:
        answer = read(hub, "/ring/feedbackcontainer", version="2020-06")
        assert answer.status_code == 200
        return answer.text

    @staticmethod
    def listed(url: str, **more: str) -> ET.Element:
        answer = requests.get(url, {"restype": "container", "comp": "list", **more}, timeout=5)
        assert answer.status_code == 200, answer.text
        return ET.fromstring(answer.text)  # noqa: S314 - our own simulator's

    @staticmethod
    def blob_url(url: str, name: str) -> str:
        path, _, query = url.partition("?")
        return f"{path}/{name}?{query}"

    def test_container(self, hub: RunningHub) -> None:
        """The URL is on the simulator's address and has a signature for reading and listing."""
        url = self.container(hub)
        assert url.startswith(f"{hub.url}/simulator-blobs/ring?")
        assert {"sv", "sr", "sig", "se", "sp"} == set(re.findall(r"[?&](\w+)=", url))
        assert [each.tag for each in self.listed(url)] == ["Blobs", "NextMarker"]

    def test_dead_devices(self, hub: RunningHub, clock: Clock) -> None:
        """Each failed push is named with its handle, platform and notification, in a blob of its day."""
        gone = {HANDLE: PlatformOutcome.EXPIRED_CHANNEL, CHANNEL: PlatformOutcome.BAD_CHANNEL}
        for handle, outcome in gone.items():
            hub.simulator.set_outcome(handle, outcome)
        first = sent(hub, apple())
        sent(hub, browser())
        clock.now += DAY
        second = sent(hub, windows())
        url = self.container(hub)
        found = self.listed(url).findall("Blobs/Blob")
        assert [blob.findtext("Name") for blob in found] == ["09212026", "09222026"]
        contents = []
        for blob in found:
            answer = requests.get(self.blob_url(url, str(blob.findtext("Name"))), timeout=5)
            assert str(len(answer.content)) == blob.findtext("Properties/Content-Length")
            assert answer.headers["Last-Modified"] == blob.findtext("Properties/Last-Modified")
            contents.append(documents(answer.content))
        assert contents == [
            [
                {
                    "FeedbackTime": "2026-09-21T14:13:20.000000Z",
                    "NotificationSystemError": "ExpiredChannel",
                    "Platform": "apple",
                    "PnsHandle": HANDLE,
                    "NotificationId": first,
                }
            ],
            [
                {
                    "FeedbackTime": "2026-09-22T14:13:20.000000Z",
                    "NotificationSystemError": "BadChannel",
                    "Platform": "windows",
                    "PnsHandle": CHANNEL,
                    "NotificationId": second,
                }
            ],
        ]

    def test_grows(self, hub: RunningHub) -> None:
        """A blob grows at its end, gets another ETag, and can be read from an offset."""
        hub.simulator.set_outcome(ENDPOINT, PlatformOutcome.WRONG_TOKEN)
        sent(hub, browser())
        url = self.container(hub)
        blob = self.blob_url(url, "09212026")
        before = requests.get(blob, timeout=5)
        hub.simulator.forget()
        sent(hub, browser())
        after = requests.get(blob, timeout=5)
        assert after.content.startswith(before.content)
        assert len(documents(after.content)) == 2
        assert after.headers["ETag"] != before.headers["ETag"]
        size = len(before.content)
        rest = requests.get(blob, headers={"Range": f"bytes={size}-"}, timeout=5)
        assert (rest.status_code, rest.content) == (206, after.content[size:])
        assert rest.headers["Content-Range"] == f"bytes {size}-{len(after.content) - 1}/{len(after.content)}"
        part = requests.get(blob, headers={"x-ms-range": "bytes=0-4"}, timeout=5)
        assert part.content == after.content[:5]
        beyond = requests.get(blob, headers={"Range": f"bytes={len(after.content)}-"}, timeout=5)
        assert beyond.status_code == 416

    def test_pages(self, hub: RunningHub, clock: Clock) -> None:
        """A long list is read page by page."""
        hub.simulator.set_outcome(HANDLE, PlatformOutcome.EXPIRED_CHANNEL)
        for _ in range(3):
            sent(hub, apple())
            clock.now += DAY
        url = self.container(hub)
        first = self.listed(url, maxresults="2")
        assert [name.text for name in first.findall("Blobs/Blob/Name")] == ["09212026", "09222026"]
        second = self.listed(url, maxresults="2", marker=str(first.findtext("NextMarker")))
        assert [name.text for name in second.findall("Blobs/Blob/Name")] == ["09232026"]
        assert not second.findtext("NextMarker")

    def test_signature(self, hub: RunningHub, clock: Clock) -> None:
        """Without it, with another hub's, and after a day, nothing can be read."""
        hub.simulator.set_outcome(HANDLE, PlatformOutcome.EXPIRED_CHANNEL)
        sent(hub, apple())
        url = self.container(hub)
        blob = self.blob_url(url, "09212026")
        assert requests.get(blob, timeout=5).status_code == 200
        for wrong in (blob.partition("?")[0], blob.replace("/ring/", "/other/")):
            assert requests.get(wrong, timeout=5).status_code == 403
        forged = re.sub(r"se=[^&]+", "se=2099-01-01T00%3A00%3A00Z", blob)
        assert requests.get(forged, timeout=5).status_code == 403
        clock.now += DAY
        assert requests.get(blob, timeout=5).status_code == 403

    def test_what_does_not_exist(self, hub: RunningHub) -> None:
        """Another blob is a 404, another operation a 400 or 405."""
        url = self.container(hub)
        assert requests.get(self.blob_url(url, "01012026"), timeout=5).status_code == 404
        assert requests.get(url, timeout=5).status_code == 400
        assert requests.put(url, timeout=5).status_code == 405
        listing = {"restype": "container", "comp": "list", "maxresults": "0"}
        assert requests.get(url, listing, timeout=5).status_code == 400

    def test_delay(self, hub: RunningHub, clock: Clock) -> None:
        """The feedback knows of a push as late as the telemetry."""
        hub.simulator.set_telemetry_delay(60)
        hub.simulator.set_outcome(HANDLE, PlatformOutcome.EXPIRED_CHANNEL)
        sent(hub, apple())
        url = self.container(hub)
        assert self.listed(url).findall("Blobs/Blob") == []
        clock.now += 60
        assert len(self.listed(url).findall("Blobs/Blob")) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("outcomes", '{"deviceHandle": "a", "outcome": "Uninstalled"}'),
        ("outcomes", '{"deviceHandle": "", "outcome": "Success"}'),
        ("hubs", '{"hub": "Ring", "tier": "premium"}'),
        ("telemetry", '{"delaySeconds": -1}'),
    ],
)
def test_control_api_refuses(hub: RunningHub, path: str, body: str) -> None:
    """A wrong value is a 400 that says what is wrong."""
    answer = requests.put(f"{hub.url}/simulator/{path}", body, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["error"]
