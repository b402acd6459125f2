"""The look-up of the hub's name: it ends with the time for connecting, however long the resolver waits."""

from typing import Any

import pytest

from tests.faults import DnsMode
from tests.faults.namespaces import run_in_namespaces

pytestmark = pytest.mark.parametrize("way", ["alone", "loop"])


def exchange(mode: DnsMode, way: str) -> dict[str, Any]:
    """How an exchange ends whose name server behaves like this."""
    found = run_in_namespaces("tests.faults.exchange_with_dns", mode.value, way)
    assert ["contoso.servicebus.windows.net", "A"] in found["queries"]
    return found


def test_unknown_name(way: str) -> None:
    """A name that the name server does not know."""
    assert exchange(DnsMode.NXDOMAIN, way)["reply"] == "NoAnswer.NAME_NOT_FOUND"


def test_silent_name_server(way: str) -> None:
    """Neither the exchange nor closing its connection waits for the resolver, which takes ten seconds."""
    found = exchange(DnsMode.SILENCE, way)
    assert found["reply"] == "NoAnswer.NO_CONNECTION"
    assert found["seconds"] < 5
