"""Several hubs in one simulator: each with its own name, keys and tier."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from local.hub.config import DEVELOPMENT_HUB, AccessRule, HubConfig, Tier, development_hub
from local.hub.control_client import ControlClient, ControlError
from local.hub.faults import Fault
from local.hub.running_hub import RunningHub
from local.hub.simulator import Simulator
from tests.contract.hub_requests import HUB, Send, apple, sas

ALERTS = HubConfig(
    namespace="Fabrikam-NS",
    hub_name="Alerts",
    rules={"send": AccessRule(key="YWxlcnRz", rights=frozenset({"Send"}))},
    tier=Tier.BASIC,
)


@pytest.fixture
def hub() -> Iterator[RunningHub]:
    with RunningHub(Simulator(HUB, ALERTS)) as hub:
        yield hub


def through_alerts(
    key: str = "YWxlcnRz", audience: str = "fabrikam-ns.servicebus.windows.net/alerts"
) -> Send:
    token = sas(f"https://{audience}", "send", key, 9_999_999_999)
    return replace(apple(), path="/alerts/messages/").with_headers(Authorization=token)


def test_each_has_its_name_and_key(hub: RunningHub) -> None:
    """A push is recorded with the hub that it went through."""
    assert apple().to(hub.url).status_code == 201
    assert through_alerts().to(hub.url).status_code == 201
    assert [push.hub for push in hub.simulator.pushes()] == ["Ring", "Alerts"]
    assert [attempt.hub for attempt in hub.simulator.attempts()] == ["Ring", "Alerts"]


@pytest.mark.parametrize(
    "send",
    [
        through_alerts(key="c2VuZA=="),
        through_alerts(audience="contoso-ns.servicebus.windows.net/ring"),
        replace(apple(), path="/alerts/messages/"),
    ],
    ids=["the other's key", "the other's audience", "the other's token"],
)
def test_one_does_not_take_what_is_for_the_other(hub: RunningHub, send: Send) -> None:
    """Keys and audiences of one hub are wrong for the other."""
    assert send.to(hub.url).status_code == 401
    assert hub.simulator.pushes() == []


def test_fault_of_one(hub: RunningHub) -> None:
    """A fault can be one hub's alone."""
    with ControlClient(hub.url) as control:
        control.add_fault(Fault(kind="status", status=503, hub="alerts"))
        assert apple().to(hub.url).status_code == 201
        assert through_alerts().to(hub.url).status_code == 503


def test_tiers(hub: RunningHub) -> None:
    """Only the tier Standard tells a notification's id; a tier can be changed."""
    assert "Location" in apple().to(hub.url).headers
    assert "Location" not in through_alerts().to(hub.url).headers
    with ControlClient(hub.url) as control:
        assert {each.hub: each.tier for each in control.hubs()} == {"Ring": "standard", "Alerts": "basic"}
        control.set_tier("Alerts", Tier.STANDARD)
        control.set_tier("ring", Tier.FREE)
        assert {each.hub: each.tier for each in control.hubs()} == {"Ring": "free", "Alerts": "standard"}
        with pytest.raises(ControlError, match=r"400: .*no such hub"):
            control.set_tier("none", Tier.FREE)
    assert "Location" not in apple().to(hub.url).headers
    assert "Location" in through_alerts().to(hub.url).headers


def test_names_are_different() -> None:
    """Names are compared without case."""
    with pytest.raises(ValueError, match="same name"):
        Simulator(HUB, replace(HUB, hub_name="RING"))


@pytest.mark.parametrize("name", ["", "a/b", "simulator", "Simulator-Blobs", "a b"])
def test_names_are_parts_of_a_path(name: str) -> None:
    """A name that no request could reach is refused."""
    with pytest.raises(ValueError, match="name"):
        Simulator(replace(HUB, hub_name=name))


def test_development_hubs_have_keys_of_their_own() -> None:
    """Another development hub is in the same namespace, with other keys."""
    alerts = development_hub("Alerts")
    assert (alerts.hub_name, alerts.host) == ("Alerts", DEVELOPMENT_HUB.host)
    keys = {rule.key for hub in (alerts, DEVELOPMENT_HUB) for rule in hub.rules.values()}
    assert len(keys) == 2 * len(alerts.rules)
