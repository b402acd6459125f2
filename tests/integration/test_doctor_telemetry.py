"""`doctor call` asks each hub what became of the pushes that it took."""

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from doctor.call_output import call_as_json, show_call
from doctor.checks.call_summaries import CallSummary, summarize_call
from doctor.checks.findings import Status
from doctor.checks.telemetry import MAXIMUM_BYTES, PlatformWord, Telemetry
from doctor.probes.telemetry_probe import TelemetryProbe
from doctor.terminal import Terminal
from local.hub.config import DEVELOPMENT_HUB
from settings import Settings
from tests.answering_server import Asked, Reply, answering
from tests.unit.test_doctor_call import ACCEPTED, REFUSED, document
from tests.unit.test_doctor_telemetry import SECRET
from tests.unit.test_doctor_telemetry import document as details

KEY = "another-key-for-tests"


class Hub:
    """A hub that answers as it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.reply = Reply(200, details(("Success", 1)))

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        return self.reply


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def probe(hub: Hub) -> Iterator[TelemetryProbe]:
    with answering(hub.answer) as url, requests.Session() as session:
        connection = (
            f"Endpoint=sb://sandboxns.servicebus.windows.net/;SharedAccessKeyName=K;SharedAccessKey={KEY}"
        )
        values = {
            "ANHHubConnectionString": DEVELOPMENT_HUB.connection_string(),
            "ANHHubName": "calls",
            "ANHHubUrl": f"{url}/calls/messages/",
            "MongoDbConnectionString": "mongodb://127.0.0.1/",
            "DbName": "calling",
            "HubReadTimeoutSeconds": "1",
            "ANHHub__sandbox__ConnectionString": connection,
            "ANHHub__sandbox__HubName": "debug",
            "ANHHub__sandbox__Url": f"{url}/debug/messages/",
            "ANHHub__wrong__HubName": "wrong",
        }
        session.trust_env = False
        yield TelemetryProbe(Settings.from_mapping(values), session, lambda: 1_000.0)


class TestProbe:
    @pytest.mark.parametrize(("name", "path"), [("default", "calls"), ("sandbox", "debug")])
    def test_asks_the_hub(self, hub: Hub, probe: TelemetryProbe, name: str, path: str) -> None:
        """Each hub is asked at its own address with its own token."""
        assert probe.ask(name, "1-2-3").word is PlatformWord.ACCEPTED
        (asked,) = hub.asked
        assert urlsplit(asked.path).path == f"/{path}/messages/1-2-3"
        assert parse_qs(urlsplit(asked.path).query) == {"api-version": ["2016-07"]}
        assert f"%2f{path}&" in asked.headers["authorization"].lower()

    @pytest.mark.parametrize("name", ["gone", "wrong"])
    def test_no_hub(self, hub: Hub, probe: TelemetryProbe, name: str) -> None:
        """A hub without usable settings is not asked."""
        assert probe.ask(name, "1").word is PlatformWord.NOT_TOLD
        assert hub.asked == []

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(302, headers={"Location": "http://127.0.0.1:9/"}),
            Reply(200, b"x" * (MAXIMUM_BYTES + 1)),
            Reply(200, b"x", {"Content-Encoding": "gzip"}),
        ],
        ids=["redirect", "too long", "no gzip"],
    )
    def test_strange(self, hub: Hub, probe: TelemetryProbe, reply: Reply) -> None:
        """No redirect is followed, and no answer is read without end."""
        hub.reply = reply
        assert probe.ask("default", "1").word is PlatformWord.NOT_TOLD
        assert len(hub.asked) == 1

    def test_down(self) -> None:
        """A hub that is not there."""
        values = {
            "ANHHubConnectionString": DEVELOPMENT_HUB.connection_string(),
            "ANHHubName": "calls",
            "ANHHubUrl": "http://127.0.0.1:9/calls/messages/",
        }
        with requests.Session() as session:
            session.trust_env = False
            found = TelemetryProbe(Settings.from_mapping(values), session).ask("default", "1")
        assert (found.word, found.status) == (PlatformWord.NOT_TOLD, Status.CANNOT_TELL)


NOW = datetime.now(UTC)


def summary(*records: dict[str, object], **changes: object) -> CallSummary:
    devices = {f"{number}" * 64: record for number, record in enumerate(records)}
    return summarize_call(document(devices=devices, **changes), {}, NOW)


def told(word: PlatformWord, detail: str = "said") -> Telemetry:
    return Telemetry(word, detail, "do this")


class TestSummary:
    def test_asked(self) -> None:
        """Only for pushes that a hub took and gave an id."""
        asked: list[tuple[str, str]] = []

        def ask(hub: str, notification_id: str) -> Telemetry:
            asked.append((hub, notification_id))
            return told(PlatformWord.ACCEPTED)

        call = summary(
            {**ACCEPTED, "notificationId": "1", "hub": "sandbox"},
            {**ACCEPTED, "notificationId": "2"},
            {**REFUSED, "notificationId": "3"},
            ACCEPTED,
        ).with_telemetry(ask)
        assert asked == [("sandbox", "1"), ("default", "2")]
        assert [device.telemetry is not None for device in call.devices] == [True, True, False, False]
        assert call.hubs_without_telemetry == ["default"]

    @pytest.mark.parametrize(
        ("word", "has_reported", "status"),
        [
            (PlatformWord.ACCEPTED, False, Status.PASS),
            (PlatformWord.REFUSED, False, Status.FAIL),
            (PlatformWord.REFUSED, True, Status.PASS),
            (PlatformWord.NO_WORD, False, Status.PASS),
            (PlatformWord.NOT_YET, False, Status.PASS),
            (PlatformWord.NOT_TOLD, False, Status.PASS),
        ],
    )
    def test_verdict(self, word: PlatformWord, status: Status, *, has_reported: bool) -> None:
        """A platform that refused the push says why the phone was silent, unless the phone says it rang."""
        reports = {"reports": {"key": {"ringing": NOW}}} if has_reported else {}
        call = summary({**ACCEPTED, "notificationId": "1", "device": "key"}, **reports)
        call = call.with_telemetry(lambda *_: told(word))
        assert (call.devices[0].verdict, call.status) == (status, status)

    def test_shown(self, capsys: pytest.CaptureFixture[str]) -> None:
        """From the hub to the phone, device by device; one line for a hub that gives no ids."""
        moment = document()["firstSeenAt"].replace(tzinfo=UTC)
        reports = {"key": {"answered": moment.replace(second=4), "ringing": moment.replace(second=1)}}
        call = summary(
            {**ACCEPTED, "notificationId": "1-2-3", "device": "key", "hub": "sandbox"},
            ACCEPTED,
            reports=reports,
        ).with_telemetry(lambda *_: told(PlatformWord.REFUSED, "refused: WrongToken"))
        show_call(Terminal(), call)
        shown = " ".join(capsys.readouterr().out.split())
        assert "hub sandbox: accepted: queued by the hub" in shown
        assert "platform: refused: WrongToken -> do this" in shown
        assert "phone: rang 1.0 s after the event, answered 4.0 s after the event (reported)" in shown
        assert "notification 1-2-3" in shown
        assert "phone: no report" in shown
        assert shown.count("gives pushes no id") == 1
        assert shown.isascii()
        first, second = call_as_json(call)["devices"]
        assert first["platformOutcome"]["state"] == "refused"
        assert list(first["reports"]) == ["answered", "ringing"]
        assert (first["hub"], second["hub"]) == ("sandbox", "default")
        assert second["platformOutcome"] is None

    def test_secret(self, hub: Hub, probe: TelemetryProbe, capsys: pytest.CaptureFixture[str]) -> None:
        """The body of the push, which the hub's answer holds, is not shown."""
        call = summary({**ACCEPTED, "notificationId": "1"}).with_telemetry(probe.ask)
        assert hub.asked
        show_call(Terminal(), call)
        assert SECRET not in capsys.readouterr().out + repr(call) + str(call_as_json(call))
