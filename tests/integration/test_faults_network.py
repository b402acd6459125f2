"""Faults of the network between the app and the hub."""

from collections.abc import Iterator

import pytest

from local.database import EmbeddedDatabase
from local.hub.running_hub import RunningHub
from tests.end_to_end.hosts import new_user
from tests.faults import FrontEndProxy, TcpProxy
from tests.integration.conftest import SHORT
from tests.integration.fault_rows import FaultRow, Played
from tests.rig import Instance, call_to

KEPT = 6

VANISHED = FaultRow(
    "six kept connections to the hub vanish silently (no FIN, no RST); new ones work", tries=2
)
RESET = FaultRow("the kept connections to the hub are reset; new ones work")
FRONT_END = FaultRow(
    "one front end of the hub answers 401, 403, 404, 408 or 503 to every request on a kept connection",
    tries=2,
)
ROWS = (VANISHED, RESET, FRONT_END)


def through(proxy: TcpProxy, hub: RunningHub) -> dict[str, str]:
    """Settings that lead to the hub through a proxy."""
    return {**SHORT, "ANHHubUrl": f"http://127.0.0.1:{proxy.port}/{hub.hub_name}/messages/"}


def open_connections(app: Instance, proxy: TcpProxy, count: int = KEPT) -> None:
    """Have the app keep so many connections to the hub."""
    app.register(user := new_user(), count)
    app.hub.simulator.set_latency(0.2)
    assert app.deliver(call_to(user)).status == 202
    app.hub.simulator.set_latency(0)
    assert proxy.open == proxy.opened == count


class TestKeptConnections:
    @pytest.fixture
    @staticmethod
    def proxy(hub: RunningHub) -> Iterator[FrontEndProxy]:
        with FrontEndProxy(hub.port) as running:
            yield running

    @pytest.fixture
    @staticmethod
    def app(hub: RunningHub, proxy: FrontEndProxy, database: EmbeddedDatabase) -> Iterator[Instance]:
        """An instance that keeps six connections to the hub."""
        with Instance(hub, database.uri, through(proxy, hub), jitter=lambda: 0.5) as running:
            open_connections(running, proxy)
            yield running

    def test_vanish(self, app: Instance, proxy: FrontEndProxy) -> None:
        """One try notices; the second one goes over a new connection, and no other old one is used again."""
        devices = app.register(user := new_user())
        proxy.freeze_existing()
        call = Played(app, call_to(user), devices)
        call.deliver()
        assert proxy.opened == KEPT + 1
        call.deliver()
        call.check(VANISHED)
        again = Played(app, call_to(user), devices)
        again.deliver()
        assert (again.sends, proxy.opened) == ([1], KEPT + 1)

    def test_vanish_for_several_devices(self, app: Instance, proxy: FrontEndProxy) -> None:
        """However many devices a call has, each rings with its second try."""
        devices = app.register(user := new_user(), 3)
        proxy.freeze_existing()
        call = Played(app, call_to(user), devices)
        call.deliver()
        call.deliver()
        call.check(VANISHED)

    def test_reset(self, app: Instance, proxy: FrontEndProxy) -> None:
        """They are found to have ended before they are used."""
        devices = app.register(user := new_user())
        proxy.reset_existing()
        call = Played(app, call_to(user), devices)
        call.deliver()
        call.deliver()
        call.check(RESET)

    @pytest.mark.parametrize("status", [401, 403, 404, 408, 503])
    def test_front_end_that_fails(self, app: Instance, proxy: FrontEndProxy, status: int) -> None:
        """The second try goes to another front end; no later call meets the one that fails."""
        devices = app.register(user := new_user())
        proxy.answer_existing(status)
        call = Played(app, call_to(user), devices)
        call.deliver()
        call.deliver()
        call.check(FRONT_END)
        # As many devices as there were connections, so that any connection that is left is used.
        app.hub.simulator.set_latency(0.2)
        later = Played(app, call_to(other := new_user()), app.register(other, KEPT))
        later.deliver()
        assert (later.statuses, later.sends, proxy.failed) == ([202], [1], 1)
