"""The hubs of the settings: built once, on first use, and each with failures of its own."""

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app import App
from common.metrics import Metric, Metrics
from models.errors import ConfigurationError
from models.push import HUB_NOT_USABLE, DeviceResult, Outcome, OutcomeKind
from push.event_log import EventLine, EventResult
from push.hub.hubs import Hub, Hubs
from tests.fakes import app_log

HOST = "contoso.servicebus.windows.net"
CONNECTION = f"Endpoint=sb://{HOST}/;SharedAccessKeyName=Send;SharedAccessKey=key"


class Maker:
    """Builds hubs that are nothing but names, and fails for some."""

    def __init__(self, *wrong: str) -> None:
        self.built: list[str] = []
        self.closed: list[str] = []
        self._wrong = wrong

    def make(self, name: str) -> Hub:
        if name in self._wrong:
            raise ConfigurationError(f"{name} is wrong")
        self.built.append(name)
        wire = SimpleNamespace(close=lambda: self.closed.append(name))
        return Hub(cast("Any", None), cast("Any", f"sender of {name}"), cast("Any", wire))

    def hubs(self, *names: str) -> Hubs:
        return Hubs(names, self.make, threading.RLock())


class TestHubs:
    def test_once(self) -> None:
        """Each is built when it is first asked for, and kept."""
        maker = Maker()
        hubs = maker.hubs("default", "a", "b")
        assert maker.built == []
        senders = [hubs.sender(name) for name in ("a", "a", "default")]
        assert list(map(str, senders)) == ["sender of a", "sender of a", "sender of default"]
        assert maker.built == ["a", "default"]
        hubs.close()
        assert maker.closed == ["a", "default"]

    def test_wrong_settings(self) -> None:
        """Every push over it ends as misconfigured; one line at CRITICAL, however many there are."""
        hubs = Maker("a").hubs("default", "a")
        with app_log() as log:
            outcomes = [hubs.sender("a") for _ in range(3)]
        assert outcomes[0] == Outcome(OutcomeKind.MISCONFIGURED, "a is wrong", code=HUB_NOT_USABLE)
        assert len(set(map(id, outcomes))) == 1
        (line,) = log.events("misconfigured")
        assert (line["level"], line["hub"], line["remedy"]) == ("CRITICAL", "a", "a is wrong")
        assert str(hubs.sender("default")) == "sender of default"
        with pytest.raises(ConfigurationError):
            hubs.named("a")

    def test_taken_away(self) -> None:
        """So do those over a hub that has no settings; the line names those that are there."""
        hubs = Maker().hubs("default", "b")
        with app_log() as log:
            outcomes = [hubs.sender("gone") for _ in range(3)]
        assert all(
            isinstance(outcome, Outcome) and outcome.kind is OutcomeKind.MISCONFIGURED for outcome in outcomes
        )
        (line,) = log.events("misconfigured")
        assert "default, b" in line["remedy"]
        assert "gone" in line["remedy"]

    def test_built_from_two_sides(self) -> None:
        """A hub is built by a thread that builds the app, and by one that does not: no deadlock."""
        settings = {"ANHHubConnectionString": CONNECTION, "ANHHubName": "calls"}
        more = {"ANHHub__a__ConnectionString": CONNECTION, "ANHHub__a__HubName": "second"}
        for _ in range(20):
            with App(settings | more) as app:
                senders = _senders_from_two_sides(app)
            assert len(senders) == 2
            assert senders[0] is senders[1]


def _senders_from_two_sides(app: App) -> list[object]:
    hubs, start = app.hubs, threading.Barrier(2)
    found: list[object] = []

    def under_the_lock() -> None:
        with app.lock:
            start.wait(20)
            found.append(hubs.sender("a"))

    def from_outside() -> None:
        start.wait(20)
        found.append(hubs.sender("a"))

    # Daemons: a deadlock fails the test, and does not keep it from ending.
    threads = [threading.Thread(target=work, daemon=True) for work in (under_the_lock, from_outside)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return found


def test_metric() -> None:
    """The metric of pushes says over which hub each went."""
    recorded: list[tuple[Metric, dict[str, str]]] = []

    class Recorder(Metrics):
        def record(self, metric: Metric, value: float = 1, **attributes: str) -> None:  # noqa: ARG002
            recorded.append((metric, attributes))

    outcome = Outcome(OutcomeKind.ACCEPTED, "queued")
    results = [DeviceResult(outcome, 1, 5, platform="apple", hub=hub) for hub in ("default", "sandbox")]
    EventLine(result=EventResult.DELIVERED, results=results).measure(Recorder(None), 1.0)
    pushes = [attributes for metric, attributes in recorded if metric is Metric.PUSHES]
    assert pushes == [
        {"outcome": "accepted", "platform": "apple", "hub": hub} for hub in ("default", "sandbox")
    ]
