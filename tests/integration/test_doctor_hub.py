"""The doctor and the hub: every way in which the hub can refuse; no request rings a phone."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from doctor.checks.clock_checks import check_clock
from doctor.checks.findings import Check, Status
from doctor.checks.hub_checks import HubAnswer, HubFindings, HubName, check_hub
from doctor.probes.hub_probe import NO_FORMAT, HubProbe
from local.hub.config import DEVELOPMENT_HUB
from local.hub.running_hub import RunningHub
from models.hub import DEFAULT_HUB, HubSettingNames
from push.hub.answers import NoAnswer, meaning_of
from push.hub.wire import HubWire, Timeouts
from settings import Settings
from tests.answering_server import Asked, Reply, answering
from tests.proxies import TunnelProxy

PASS, FAIL, CANNOT_TELL = Status.PASS, Status.FAIL, Status.CANNOT_TELL
FULL = DEVELOPMENT_HUB.connection_string()


@pytest.fixture
def hub() -> Iterator[RunningHub]:
    """The simulator."""
    with RunningHub() as running:
        yield running


def settings_for(url: str, connection: str = FULL, name: str = "calls", **more: str) -> Settings:
    values = {
        "ANHHubConnectionString": connection,
        "ANHHubName": name,
        "MongoDbConnectionString": "mongodb://127.0.0.1/",
        "DbName": "calling",
        **({"ANHHubUrl": f"{url}/{name}/messages/"} if url else {}),
    }
    return Settings.from_mapping(values | more)


def checks(settings: Settings, hub: str = DEFAULT_HUB) -> Mapping[str, Check]:
    """What the doctor says of a hub, by name."""
    timeouts = Timeouts(settings.calls.hub_connect_timeout_seconds, settings.calls.hub_read_timeout_seconds)
    with HubWire(timeouts, time.monotonic) as wire:
        found = HubProbe(settings, wire, hub=hub).ask()
    made = check_hub(found)
    if isinstance(found.first, HubAnswer):
        made.append(check_clock("clock", found.first.clock_ahead_seconds))
    assert all(check.remedy for check in made if check.status is FAIL)
    return {check.name: check for check in made}


def statuses(settings: Settings) -> dict[str, Status]:
    return {name: check.status for name, check in checks(settings).items() if name != "clock"}


class TestSimulator:
    def test_well(self, hub: RunningHub) -> None:
        """A good configuration passes; the Send right is not known for certain, and does not count."""
        found = checks(settings_for(hub.url))
        assert {name: check.status for name, check in found.items()} == {
            "reachable": PASS, "exists": PASS, "key": PASS, "Send right": CANNOT_TELL, "clock": PASS,
        }  # fmt: skip
        assert not found["Send right"].counts

    def test_rings_no_phone(self, hub: RunningHub) -> None:
        """Nothing that the doctor asks is taken by the hub, and none of it lacks `direct`."""
        checks(settings_for(hub.url, ANHHubConnectionStringSecondary=FULL))
        attempts = hub.simulator.attempts()
        assert len(attempts) == 4
        assert hub.simulator.summary().accepted == 0
        assert not any("direct" in (attempt.reason or "") for attempt in attempts)

    def test_wrong_name(self, hub: RunningHub) -> None:
        """A hub that is not there: 404."""
        assert statuses(settings_for(hub.url, name="cals"))["exists"] is FAIL

    def test_regenerated_key(self, hub: RunningHub) -> None:
        """A key that was regenerated: 401, with what else it may be."""
        found = checks(settings_for(hub.url, FULL + "x"))
        assert (found["key"].status, found["exists"].status) == (FAIL, CANNOT_TELL)
        assert "ANHHubName" in found["key"].remedy
        (command,) = found["key"].commands
        assert command.startswith(
            "az notification-hub authorization-rule list-keys --namespace-name localhub "
        )
        assert "--name DefaultFullSharedAccessSignature --query primaryConnectionString" in command

    def test_unknown_policy(self, hub: RunningHub) -> None:
        """A policy that the hub does not know: 401."""
        assert statuses(settings_for(hub.url, FULL.replace("DefaultFull", "Gone")))["key"] is FAIL

    def test_listen_only(self, hub: RunningHub) -> None:
        """A policy without Send: 403; the key itself is fine."""
        listen = DEVELOPMENT_HUB.connection_string("DefaultListenSharedAccessSignature")
        found = statuses(settings_for(hub.url, listen))
        assert (found["key"], found["Send right"]) == (PASS, FAIL)

    @pytest.mark.parametrize(("key", "status"), [("", PASS), ("x", FAIL)])
    def test_secondary_key(self, hub: RunningHub, key: str, status: Status) -> None:
        """The secondary key is tried as well, before it is needed."""
        found = statuses(settings_for(hub.url, ANHHubConnectionStringSecondary=FULL + key))
        assert found["secondary key"] is status
        assert found["key"] is PASS

    def test_down(self, hub: RunningHub) -> None:
        """A hub that refuses connections."""
        settings = settings_for(hub.url)
        hub.stop()
        found = statuses(settings)
        assert found["reachable"] is FAIL
        assert found["key"] is CANNOT_TELL

    def test_slow(self, hub: RunningHub) -> None:
        """A hub that does not answer within the time that the app gives it."""
        hub.simulator.set_latency(30)
        found = checks(settings_for(hub.url, HubReadTimeoutSeconds="0.1"))["reachable"]
        assert found.status is FAIL
        assert "in time" in found.detail


class TestNamedHub:
    """A hub beside the default one."""

    def settings(self, hub: RunningHub, **change: str) -> Settings:
        """A default hub that is not there, and the simulator as the hub `sandbox`."""
        own = {"ConnectionString": FULL, "HubName": "calls", "Url": hub.messages_url} | change
        named = {f"ANHHub__sandbox__{name}": value for name, value in own.items()}
        return settings_for("http://127.0.0.1:9", name="absent", **named)

    def test_well(self, hub: RunningHub) -> None:
        """It is asked with its own settings, and its checks are told apart."""
        found = checks(self.settings(hub), "sandbox")
        assert {found[name].status for name in ("reachable", "exists", "key")} == {PASS}
        assert {check.area for name, check in found.items() if name != "clock"} == {"hub sandbox"}

    @pytest.mark.parametrize(
        ("change", "question", "setting"),
        [
            ({"HubName": "cals"}, "exists", "ANHHub__sandbox__HubName"),
            ({"ConnectionString": FULL + "x"}, "key", "ANHHub__sandbox__HubName"),
            (
                {"ConnectionStringSecondary": FULL + "x"},
                "secondary key",
                "ANHHub__sandbox__ConnectionStringSecondary",
            ),
        ],
    )
    def test_wrong(
        self,
        hub: RunningHub,
        change: dict[str, str],
        question: str,
        setting: str,
    ) -> None:
        """What is wrong is said with the hub's own settings."""
        if "HubName" in change:
            change = {**change, "Url": f"{hub.url}/{change['HubName']}/messages/"}
        found = checks(self.settings(hub, **change), "sandbox")[question]
        assert found.status is FAIL
        assert setting in found.remedy

    def test_a_secondary_key_that_is_none(self, hub: RunningHub) -> None:
        """It is a matter of the settings' checks; the hub is asked all the same."""
        found = checks(settings_for(hub.url, ANHHubConnectionStringSecondary="rubbish"))
        assert found["key"].status is PASS
        assert "secondary key" not in found


class TestDoubles:
    """Answers that the simulator does not give."""

    @pytest.mark.parametrize("hub", [DEFAULT_HUB, "sandbox"])
    @pytest.mark.parametrize("reason", list(NoAnswer))
    def test_no_answer(self, reason: NoAnswer, hub: str) -> None:
        """Why there is no answer is said as the app's log says it, with what to do."""
        named = HubName("contoso", "calls", "SendOnly", hub)
        reachable, *others = check_hub(HubFindings(named, reason))
        assert (reachable.status, reachable.detail) == (FAIL, meaning_of(reason).reason)
        settings = HubSettingNames.of(hub)
        assert ("{" in reachable.remedy) is False
        assert (settings.connection_string in reachable.remedy) is (reason is NoAnswer.NAME_NOT_FOUND)
        assert {check.status for check in others} == {CANNOT_TELL}

    def test_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The proxies of the environment count for the doctor as they do for the app."""
        with TunnelProxy(b"407 Proxy Authentication Required") as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
            found = checks(settings_for(""))["reachable"]
        assert proxy.asked[0].startswith(b"CONNECT localhub.servicebus.windows.net:443")
        assert found.status is FAIL
        assert "HTTPS_PROXY" in found.detail

    def test_missing_claim(self) -> None:
        """The live service's 401 for a missing right is not taken for a wrong key."""
        body = b"<Error><Code>401</Code><Detail>Send claim is required for this operation.</Detail></Error>"
        with answering(lambda _: Reply(401, body)) as url:
            found = statuses(settings_for(url))
        assert (found["key"], found["Send right"]) == (PASS, FAIL)

    def test_taken(self) -> None:
        """A service that accepts the request has shown that everything is right."""
        with answering(lambda _: Reply(201)) as url:
            found = statuses(settings_for(url))
        assert set(found.values()) == {PASS}

    def test_format_first(self) -> None:
        """Where the format is judged before the key, a forged key looks the same: nothing is claimed."""
        with answering(lambda _: Reply(400)) as url:
            found = statuses(settings_for(url))
        assert (found["exists"], found["key"]) == (CANNOT_TELL, CANNOT_TELL)

    def test_key_of_the_hub(self) -> None:
        """Where a made-up hub's key is unknown, its 401 shows that ours is there."""

        def answer(asked: Asked) -> Reply:
            return Reply(400 if asked.path.startswith("/calls/") else 401)

        with answering(answer) as url:
            assert statuses(settings_for(url))["exists"] is PASS

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(429),
            Reply(403, headers={"Retry-After": "3"}),
            Reply(503),
            Reply(307, headers={"Location": "/"}),
        ],
        ids=["429", "403 with Retry-After", "503", "redirect"],
    )
    def test_unwell(self, reply: Reply) -> None:
        """Throttled, failing or redirected: said as such, and nothing is said of the key."""
        with answering(lambda _: reply) as url:
            found = statuses(settings_for(url))
        assert (found["reachable"], found["key"], found["Send right"]) == (FAIL, CANNOT_TELL, CANNOT_TELL)

    def test_what_is_asked(self) -> None:
        """Every request names no format and no device of any platform."""
        asked: list[Asked] = []

        def answer(request: Asked) -> Reply:
            asked.append(request)
            return Reply(400)

        with answering(answer) as url:
            checks(settings_for(url))
        assert {request.headers["servicebusnotification-format"] for request in asked} == {NO_FORMAT}
        assert all("?direct&" in request.path for request in asked)


class TestClock:
    @pytest.mark.parametrize(("minutes", "words"), [(3, "behind"), (-3, "ahead")])
    def test_skew(self, minutes: int, words: str) -> None:
        """A hub that lives at another time shows by its Date header."""
        date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
        with answering(lambda _: Reply(400, headers={"Date": date})) as url:
            found = checks(settings_for(url))["clock"]
        assert found.status is FAIL
        assert words in found.detail

    @pytest.mark.parametrize("headers", [{}, {"Date": "soon"}], ids=["no Date", "no date"])
    def test_no_date(self, headers: dict[str, str]) -> None:
        """Without a usable Date the clock is not known, which does not count."""
        with answering(lambda _: Reply(400, headers=headers)) as url:
            found = checks(settings_for(url))["clock"]
        assert (found.status, found.counts) == (CANNOT_TELL, False)
