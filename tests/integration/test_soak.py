"""A short soak, and the rules of its report."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from local.server_thread import ServerThread
from local.soak.counts import NoticeCount, PhoneCount, count_missed, count_phones, count_stops
from local.soak.hub_proxy import HubProxy
from local.soak.phones import Call, Ending, Phone, ending_of
from local.soak.plan import HUB_FAULTS, Plan
from local.soak.report import Deliveries, Report
from local.soak.run import soak
from local.soak.worker_log import WorkerLog
from local.tcp_proxy import Direction
from models.platform import Platform
from tests.rig import eventually

CALL = Call("callee", {"id": "event"}, (Phone("token", "phone", Platform.FCM_V1),))
DELIVERIES = Deliveries(
    calls=1, duplicates=0, deliveries=1, reports=0, raised=0, unacknowledged=0, answer_ms=(1.0, 2.0)
)
NOTICES = NoticeCount(wanted=10, told=9, twice=0, though_answered=0, unexpected=0)
BODY_BYTES = 24
PHONES = PhoneCount(Counter({1: 2}), by_unseen_answers=0, by_unrecorded_results=0, unexplained=0)


def test_every_phone_rings_once() -> None:
    """Some hundred calls with faults of the hub and duplicates: every phone rings as it must."""
    lines: list[str] = []
    report = soak(Plan(events=400, seed=7, network_faults=False), lines.append)
    shown = "\n".join([*lines, *report.lines()])
    assert report.passed, shown
    assert report.hub_results.keys() > {"201", "503"}, shown
    assert report.deliveries.duplicates, shown
    assert report.deliveries.deliveries >= report.plan.events + report.deliveries.duplicates, shown
    assert report.endings == {Ending.ANSWERED: 80, Ending.DECLINED: 80, Ending.ENDED: 40, None: 200}, shown
    assert report.stops.told > 100, shown
    assert report.missed.told > 20, shown


def test_every_phone_rings_once_over_a_failing_network() -> None:
    """The same with faults of the connections to hub and database."""
    lines: list[str] = []
    report = soak(Plan(events=500, seed=11), lines.append)
    shown = "\n".join([*lines, *report.lines()])
    assert report.passed, shown
    assert report.network_faults, shown


def test_shares_of_the_faults() -> None:
    """The probabilities, tried one after the other, give the planned rate and the shares of the table."""
    missed, hits = 1.0, []
    for fault in Plan(fault_rate=0.05).hub_faults():
        hits.append(missed * fault.probability)
        missed *= 1 - fault.probability
    whole = sum(share for _, share in HUB_FAULTS)
    assert abs(sum(hits) - 0.05) < 1e-9
    assert all(
        abs(hit - 0.05 * share / whole) < 1e-9 for hit, (_, share) in zip(hits, HUB_FAULTS, strict=True)
    )


@pytest.mark.parametrize(
    ("rings", "seen", "unrecorded", "expected"),
    [
        pytest.param(0, 0, 0, (0, 0, 0), id="silent"),
        pytest.param(1, 1, 0, (0, 0, 0), id="once"),
        pytest.param(1, 0, 0, (0, 0, 0), id="once, and no answer"),
        pytest.param(2, 1, 0, (1, 0, 0), id="again after a lost answer"),
        pytest.param(3, 1, 0, (2, 0, 0), id="again after two lost answers"),
        pytest.param(2, 2, 0, (0, 0, 1), id="again after an answer"),
        pytest.param(2, 2, 1, (0, 1, 0), id="again after a result that was not recorded"),
        pytest.param(3, 2, 1, (1, 1, 0), id="both causes"),
        pytest.param(4, 3, 1, (1, 1, 1), id="more than both causes"),
    ],
)
def test_explained_rings(rings: int, seen: int, unrecorded: int, expected: tuple[int, int, int]) -> None:
    """An additional ring needs an answer that no worker has read, or a result that was not recorded."""
    counted = count_phones([CALL], {"token": rings}, {"token": seen}, {"event": unrecorded})
    found = (counted.by_unseen_answers, counted.by_unrecorded_results, counted.unexplained)
    assert (found, counted.silent) == (expected, rings == 0)


def test_unrecorded_results() -> None:
    """The lines of the workers that say so are counted by event; others are not."""
    log = WorkerLog()
    for event in ("ledger_not_written", "ledger_written_late", "lease_lost", "incoming_call"):
        log(
            "stdout", f'2026-01-31 12:00:00 WARNING  acs_call_push: {{"event": "{event}", "event_id": "one"}}'
        )
    log("stderr", "Traceback {")
    assert log.unrecorded == {"one": 3}


def test_passed() -> None:
    """A silent phone, an unexplained ring, an unacknowledged event, a missing call or a wrong stop fails the
    run."""
    plan = Plan(events=1)
    assert Report(plan, DELIVERIES, PHONES, NOTICES, NOTICES).passed
    assert not Report(plan, DELIVERIES, replace(PHONES, rang=Counter({0: 1, 1: 1})), NOTICES, NOTICES).passed
    assert not Report(plan, DELIVERIES, replace(PHONES, unexplained=1), NOTICES, NOTICES).passed
    assert not Report(plan, replace(DELIVERIES, unacknowledged=1), PHONES, NOTICES, NOTICES).passed
    assert not Report(plan, replace(DELIVERIES, calls=0), PHONES, NOTICES, NOTICES).passed
    assert not Report(plan, DELIVERIES, PHONES, replace(NOTICES, twice=1), NOTICES).passed
    assert not Report(plan, DELIVERIES, PHONES, NOTICES, replace(NOTICES, twice=1)).passed


@pytest.mark.parametrize("change", [{"twice": 1}, {"though_answered": 1}, {"unexpected": 1}, {"told": 7}])
def test_wrong_notices(change: dict[str, int]) -> None:
    """One too many is wrong; so is a run in which many are missing."""
    assert NOTICES.is_right
    assert not replace(NOTICES, **change).is_right


def call_with(ending: Ending | None) -> Call:
    """To an Android phone, a PC and an iPhone."""
    platforms = (Platform.FCM_V1, Platform.WINDOWS, Platform.APPLE)
    phones = tuple(Phone(platform.value, platform.value, platform) for platform in platforms)
    return replace(CALL, phones=phones, ending=ending)


ONE_EACH = {"fcmv1": 1, "windows": 1, "apple": 0}


@pytest.mark.parametrize(
    ("ending", "stops", "expected"),
    [
        (Ending.ENDED, ONE_EACH, (2, 2, 0, 0, 0)),
        (Ending.ENDED, {}, (2, 0, 0, 0, 0)),
        (Ending.ENDED, ONE_EACH | {"windows": 2}, (2, 2, 1, 0, 0)),
        (Ending.ENDED, ONE_EACH | {"apple": 1}, (2, 2, 0, 0, 1)),
        (Ending.ANSWERED, {"windows": 1}, (1, 1, 0, 0, 0)),
        (Ending.ANSWERED, ONE_EACH, (1, 1, 0, 1, 0)),
        (Ending.DECLINED, ONE_EACH, (1, 1, 0, 1, 0)),
        (None, {}, (0, 0, 0, 0, 0)),
        (None, ONE_EACH, (0, 0, 0, 0, 2)),
    ],
)
def test_counted_stops(ending: Ending | None, stops: dict[str, int], expected: tuple[int, ...]) -> None:
    """Wanted, told, told twice, told although answered there, told although nothing has ended."""
    found = count_stops([call_with(ending)], stops)
    assert (found.wanted, found.told, found.twice, found.though_answered, found.unexpected) == expected


@pytest.mark.parametrize(
    ("ending", "shown", "expected"),
    [
        (Ending.ENDED, ONE_EACH, (2, 2, 0, 0, 0)),
        (Ending.ENDED, {}, (2, 0, 0, 0, 0)),
        (Ending.ENDED, ONE_EACH | {"fcmv1": 2, "apple": 1}, (2, 2, 1, 0, 1)),
        (Ending.ANSWERED, ONE_EACH, (0, 0, 0, 2, 0)),
        (Ending.DECLINED, {"windows": 1}, (0, 0, 0, 1, 0)),
        (None, ONE_EACH, (0, 0, 0, 0, 2)),
    ],
)
def test_counted_missed_calls(
    ending: Ending | None, shown: dict[str, int], expected: tuple[int, ...]
) -> None:
    """A missed call is one that the caller ended; the same counts as of stops."""
    found = count_missed([call_with(ending)], shown)
    assert (found.wanted, found.told, found.twice, found.though_answered, found.unexpected) == expected


def test_endings() -> None:
    """Every fifth call is answered, every fifth declined, every tenth ended by the caller."""
    assert Counter(map(ending_of, range(100))) == {
        Ending.ANSWERED: 20,
        Ending.DECLINED: 20,
        Ending.ENDED: 10,
        None: 50,
    }


class TestHubProxy:
    """Counts the answers 201 to rings that reach a client."""

    @pytest.fixture
    @staticmethod
    def proxy() -> Iterator[HubProxy]:
        """In front of a server that answers every request with 201 or, for the handle `no`, with 503."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(BODY_BYTES)
                    status = b"503" if b"Handle: no" in head else b"201"
                    writer.write(b"HTTP/1.1 " + status + b" -\r\ncontent-length: 3\r\n\r\nxyz")
                    await writer.drain()
            writer.close()

        async def serve(listening: Callable[[int], None], stopping: asyncio.Event) -> None:
            async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
                listening(server.sockets[0].getsockname()[1])
                await stopping.wait()
                server.close_clients()

        server = ServerThread("answers", serve)
        try:
            with HubProxy(server.start()) as running:
                yield running
        finally:
            server.stop()

    @staticmethod
    def send(connection: socket.socket, handle: str, event_id: int = 107) -> None:
        body = f'{{"data":{{"eventId":{event_id}}}}}'
        assert len(body) == BODY_BYTES
        head = (
            f"POST / HTTP/1.1\r\nServiceBusNotification-DeviceHandle: {handle}\r\nContent-Length: {len(body)}"
        )
        connection.sendall(f"{head}\r\n\r\n{body}".encode())

    @pytest.fixture
    @staticmethod
    def connection(proxy: HubProxy) -> Iterator[socket.socket]:
        """A client's connection."""
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as opened:
            yield opened

    def test_counts_201_by_device(self, proxy: HubProxy, connection: socket.socket) -> None:
        """Each 201 is counted for the device of its request; other answers are not counted."""
        for handle in ("a", "no", "b", "a"):
            self.send(connection, handle)
            assert connection.recv(1_000).endswith(b"xyz")
        eventually(lambda: proxy.seen_201 == {"a": 2, "b": 1})

    def test_stops_are_not_counted(self, proxy: HubProxy, connection: socket.socket) -> None:
        """The answer to a stop is none to a ring."""
        for handle, event_id in (("a", 110), ("b", 107)):
            self.send(connection, handle, event_id)
            assert connection.recv(1_000).endswith(b"xyz")
        eventually(lambda: proxy.seen_201["b"] == 1)
        assert proxy.seen_201["a"] == 0

    def test_lost_answer(self, proxy: HubProxy, connection: socket.socket) -> None:
        """An answer that is lost on the way is not counted."""
        proxy.lose_next_answer()
        self.send(connection, "a")
        assert connection.recv(1_000) == b""
        assert proxy.seen_201 == {}

    @pytest.mark.parametrize(
        ("handles", "counted"), [(("a", "b"), {"a": 1, "b": 0}), (("a", "no"), {"a": 1})]
    )
    def test_client_that_closes_after_the_answer(
        self, proxy: HubProxy, handles: tuple[str, ...], counted: dict[str, int]
    ) -> None:
        """It may have timed out: a last answer 201 is not counted, an earlier one on the connection is."""
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
            for handle in handles:
                self.send(connection, handle)
                assert connection.recv(1_000).endswith(b"xyz")
        eventually(lambda: proxy.open == 0)
        assert proxy.seen_201 == counted

    def test_client_that_gave_up(self, proxy: HubProxy, connection: socket.socket) -> None:
        """An answer for a client that has closed its connection is not counted."""
        proxy.freeze_existing(Direction.TO_CLIENT)
        self.send(connection, "a")
        connection.shutdown(socket.SHUT_WR)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as second:
            # After a whole exchange the proxy knows the end of the first connection.
            self.send(second, "b")
            assert second.recv(1_000).endswith(b"xyz")
        proxy.thaw()
        assert connection.recv(1_000).endswith(b"xyz")
        assert proxy.seen_201["a"] == 0
