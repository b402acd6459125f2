"""Exchanges side by side in one thread: none waits for another, and connections outlive the loop."""

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler

import pytest

from push.hub.answers import Answer, NoAnswer
from push.hub.connection import Request
from push.hub.exchange_loop import ExchangeLoop
from push.hub.wire import Exchange, HubWire, Timeouts
from tests.scripted_hub import PATIENCE, ScriptedHub

AMPLE = 4 * PATIENCE
HANGS, LOST, SECOND = b"hangs", b"is lost", b"second"


@pytest.fixture
def hub(trusted_hub: ScriptedHub) -> ScriptedHub:
    """It speaks TLS."""
    return trusted_hub


@pytest.fixture
def wire() -> Iterator[HubWire]:
    with HubWire(Timeouts(PATIENCE, PATIENCE), time.monotonic) as running:
        yield running


@pytest.fixture
def loop() -> Iterator[ExchangeLoop]:
    with closing(ExchangeLoop()) as running:
        yield running


def begin(wire: HubWire, hub: ScriptedHub, body: bytes = b"{}", time_left: float = AMPLE) -> Exchange:
    begun = wire.begin(Request(hub.messages_url, {}, body), time_left)
    assert isinstance(begun, Exchange)
    return begun


def run(loop: ExchangeLoop, count: int) -> list[tuple[Exchange, Answer | NoAnswer]]:
    """Those that end first, that many at least."""
    ended: list[tuple[Exchange, Answer | NoAnswer]] = []
    deadline = time.monotonic() + PATIENCE
    while len(ended) < count:
        assert time.monotonic() < deadline
        ended += loop.wait(1.0)
    return ended


def statuses(ended: list[tuple[Exchange, Answer | NoAnswer]]) -> list[int]:
    return [reply.status for _, reply in ended if isinstance(reply, Answer)]


def test_all_are_under_way_at_once(hub: ScriptedHub, wire: HubWire, loop: ExchangeLoop) -> None:
    """The hub answers none before it has all."""
    together = threading.Barrier(20)
    hub.script.before_answering = lambda: together.wait(PATIENCE)
    bodies = {begin(wire, hub, str(number).encode()): number for number in range(20)}
    for exchange in bodies:
        loop.start(exchange)
    ended = run(loop, 20)
    assert statuses(ended) == [201] * 20
    assert {exchange for exchange, _ in ended} == set(bodies)
    assert sorted(int(seen.body) for seen in hub.script.requests) == list(range(20))


def test_none_waits_for_another(hub: ScriptedHub, wire: HubWire, loop: ExchangeLoop) -> None:
    """One that hangs and one that is lost touch nothing else; each has the reply that it would have alone."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        body = hub.script.requests[-1].body
        if body == HANGS:
            hub.script.released.wait(PATIENCE)
        elif body != LOST:
            handler.wfile.write(hub.script.answer())

    hub.script.behave = behave
    hanging = begin(wire, hub, HANGS, time_left=0.5)
    loop.start(hanging)
    lost, good = begin(wire, hub, LOST), begin(wire, hub)
    for exchange in (lost, good):
        while len(hub.script.requests) < 1:  # `behave` looks at the last request
            loop.wait(0.01)
        loop.start(exchange)
        ((ended, reply),) = run(loop, 1)
        assert ended is exchange
        assert reply is NoAnswer.CONNECTION_LOST if exchange is lost else isinstance(reply, Answer)
    assert run(loop, 1) == [(hanging, NoAnswer.TIMED_OUT)]


def test_one_more_while_others_are_under_way(hub: ScriptedHub, wire: HubWire, loop: ExchangeLoop) -> None:
    """It is sent at once."""
    second_is_there = threading.Event()

    def answer() -> None:
        if hub.script.requests[-1].body == SECOND:
            second_is_there.set()
        assert second_is_there.wait(PATIENCE)

    hub.script.before_answering = answer
    loop.start(begin(wire, hub))
    while not hub.script.requests:
        assert loop.wait(0.01) == []
    loop.start(begin(wire, hub, SECOND))
    assert statuses(run(loop, 2)) == [201, 201]


def test_wait_ends(hub: ScriptedHub, wire: HubWire, loop: ExchangeLoop) -> None:
    """After the seconds that it is given."""
    hub.script.before_answering = lambda: hub.script.released.wait(PATIENCE)
    loop.start(begin(wire, hub))
    while not hub.script.requests:
        assert loop.wait(0.01) == []
    assert loop.wait(0.01) == []
    hub.script.released.set()
    assert statuses(run(loop, 1)) == [201]


def test_connections_outlive_loops(hub: ScriptedHub, wire: HubWire) -> None:
    """They serve later exchanges, whether alone or in another loop."""
    together = threading.Barrier(3)
    hub.script.before_answering = lambda: together.wait(PATIENCE)
    for _ in range(2):
        with closing(ExchangeLoop()) as loop:
            for _ in range(3):
                loop.start(begin(wire, hub))
            assert statuses(run(loop, 3)) == [201] * 3
    hub.script.before_answering = lambda: None
    assert isinstance(begin(wire, hub).perform(), Answer)
    assert hub.script.connections == 3


def test_two_hubs(hub: ScriptedHub, scripted_hub: ScriptedHub, wire: HubWire, loop: ExchangeLoop) -> None:
    """A loop serves the devices of every hub, each over its own connections."""
    with HubWire(Timeouts(PATIENCE, PATIENCE), time.monotonic) as other:
        for each_wire, each_hub in ((wire, hub), (other, scripted_hub)):
            loop.start(begin(each_wire, each_hub, str(each_hub.port).encode()))
        assert statuses(run(loop, 2)) == [201, 201]
    for each_hub in (hub, scripted_hub):
        assert [seen.body for seen in each_hub.script.requests] == [str(each_hub.port).encode()]


def test_is_idle(hub: ScriptedHub, wire: HubWire, loop: ExchangeLoop) -> None:
    """While nothing is under way; kept connections are the wire's."""
    seen = [loop.is_idle]
    loop.start(begin(wire, hub))
    seen.append(loop.is_idle)
    assert statuses(run(loop, 1)) == [201]
    assert [*seen, loop.is_idle] == [True, False, True]


def test_a_connection_that_the_hub_leaves_open(hub: ScriptedHub, wire: HubWire, loop: ExchangeLoop) -> None:
    """It says that it closes it, and does not, nor answers TLS's request to: the loop holds the socket."""
    hub.script.say(b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    loop.start(begin(wire, hub))
    assert statuses(run(loop, 1)) == [201]
    assert not loop.is_idle


def test_closed_loops_leave_nothing(hub: ScriptedHub, wire: HubWire) -> None:
    """Without the garbage collector's help."""
    loop = ExchangeLoop()
    loop.start(begin(wire, hub))
    assert statuses(run(loop, 1)) == [201]
    left = weakref.ref(loop)
    loop.close()
    del loop
    assert left() is None


def test_close(hub: ScriptedHub, wire: HubWire) -> None:
    """Also while an exchange is under way, which then can be neither answered nor repeated."""
    hub.script.before_answering = lambda: hub.script.released.wait(PATIENCE)
    loop = ExchangeLoop()
    loop.start(begin(wire, hub))
    while not hub.script.requests:
        loop.wait(0.01)
    loop.close()
    hub.script.released.set()
    assert len(hub.script.requests) == 1
