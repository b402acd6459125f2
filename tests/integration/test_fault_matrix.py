"""Every answer of the hub, on the first try, on all tries and for one device of three; then a redelivery.

`ROWS` is the table. docs/reliability.md shows it, and a test holds the two together.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

import pytest

from local.database import EmbeddedDatabase
from local.hub.faults import Fault
from local.hub.running_hub import RunningHub
from local.hub.simulator import Simulator
from local.stack import Stack
from models.device import DeviceRegistration
from push.retry import MOST_LOST_IN_A_DELIVERY, MOST_MISCONFIGURED
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import new_user, register_phones
from tests.fakes import AppLog, app_log
from tests.rig import Answer, Instance, at_once, call_to, eventually, line_of

RELIABILITY = Path(__file__).parents[2] / "docs" / "reliability.md"

CONNECT_SECONDS = 0.5
READ_SECONDS = 1.0
"""A new connection is waited for as long as both together."""
INVOCATION_SECONDS = 8
NEARLY_ONE = 0.95
"""The jitter: tries at 0, 0.2, 0.6, 1.3, 2.9 and 4.8 s; the next would come after the deadline."""
MOST_TRIES = 6
SILENT_TRIES = 3
"""Without an answer tries end by their time-outs: they start at 0, 1 to 1.5 and 4.5 to 5 s."""
LOST_TRIES = MOST_LOST_IN_A_DELIVERY

SCENARIOS = ("first try", "all tries", "one of three")


@dataclass(frozen=True, slots=True)
class Row:
    """One way in which the hub may behave, and all that follows for a device."""

    name: str
    fault: dict[str, Any] | None
    outcome: str
    """What the ledger says of the device after `all tries`."""
    tries: int
    """Requests when the fault strikes every try."""
    tries_after_first: int
    """Requests when it strikes the first try alone."""
    rings: int = 0
    """Rings when the fault strikes every try."""
    rings_after_first: int = 1
    """Rings when it strikes the first try alone."""
    status: int = 202
    """What Event Grid hears when it strikes every try."""
    status_after_first: int = 202

    @property
    def settled(self) -> bool:
        """Whether the event is done with after `all tries`, so that a redelivery sends nothing."""
        return self.status == 202

    @property
    def result(self) -> str:
        """The result of the event's line when the fault strikes every try."""
        if self.status == 500:
            return "incomplete"
        return {"accepted": "delivered", "gone": "skipped"}.get(self.outcome, "given_up")

    @property
    def result_beside_others(self) -> str:
        """The same where two other devices have rung."""
        return "incomplete" if self.status == 500 else "delivered"


def _answer(status: int, retry_after: str | None = None) -> dict[str, Any]:
    return {"kind": "status", "status": status, "retry_after": retry_after}


def _final(name: str, fault: dict[str, Any], outcome: str) -> Row:
    """One try, whatever comes of it."""
    return Row(name, fault, outcome, tries=1, tries_after_first=1, rings_after_first=0)


def _refused(status: int) -> Row:
    """Tried a few times over new connections, and raised while it may be the fault of one moment."""
    tries = MOST_MISCONFIGURED
    return Row(str(status), _answer(status), "misconfigured", tries=tries, tries_after_first=2, status=500)


def _transient(name: str, fault: dict[str, Any], tries: int = MOST_TRIES, **more: int) -> Row:
    """Tried again, and raised if it stays."""
    return Row(name, fault, "transient", tries=tries, tries_after_first=2, status=500, **more)


ROWS = (
    Row("201", None, "accepted", tries=1, tries_after_first=1, rings=1),
    _final("400", _answer(400), "rejected"),
    _refused(401),
    _refused(403),
    Row("403, Retry-After: 3", _answer(403, "3"), "throttled", tries=2, tries_after_first=2, status=500),
    _refused(404),
    _transient("408", _answer(408)),
    _final("410", _answer(410), "gone"),
    _final("413", _answer(413), "rejected"),
    Row("429, Retry-After: 3", _answer(429, "3"), "throttled", tries=2, tries_after_first=2, status=500),
    Row(
        "429, Retry-After: 60",
        _answer(429, "60"),
        "throttled",
        tries=1,
        tries_after_first=1,
        rings_after_first=0,
        status=500,
        status_after_first=500,
    ),
    Row(
        "429",
        _answer(429),
        "throttled",
        tries=1,
        tries_after_first=1,
        rings_after_first=0,
        status=500,
        status_after_first=500,
    ),
    _transient("500", _answer(500)),
    _transient("502", _answer(502)),
    _transient("503", _answer(503)),
    _transient("503, Retry-After: 0", _answer(503, "0")),
    _transient("504", _answer(504)),
    _transient("no answer", {"kind": "black_hole"}, tries=SILENT_TRIES),
    _transient(
        "accepted, no answer",
        {"kind": "accept_then_black_hole"},
        tries=SILENT_TRIES,
        rings=SILENT_TRIES,
        rings_after_first=2,
    ),
    Row("slow", {"kind": "slow", "delay_seconds": 0.3}, "accepted", tries=1, tries_after_first=1, rings=1),
    _transient(
        "slower than the read time-out",
        {"kind": "slow", "delay_seconds": 2.0},
        tries=SILENT_TRIES,
        rings=SILENT_TRIES,
        rings_after_first=2,
    ),
    _transient("dropped", {"kind": "drop"}, tries=LOST_TRIES),
    _transient(
        "accepted, dropped",
        {"kind": "accept_then_drop"},
        tries=LOST_TRIES,
        rings=LOST_TRIES,
        rings_after_first=2,
    ),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What could be seen from outside after one delivery."""

    answer: Answer
    line: dict[str, Any]
    document: dict[str, Any]
    tries: list[int]
    rings: list[int]


@dataclass(frozen=True, slots=True)
class Case:
    """One row under one scenario; the first device is the one that the fault strikes."""

    row: Row
    scenario: str
    event: dict[str, Any]
    devices: list[DeviceRegistration]

    @property
    def times(self) -> int | None:
        """How often the fault strikes."""
        return 1 if self.scenario == "first try" else None


class Matrix:
    """All cases, side by side: their faulty deliveries, then, with a healthy hub, their redeliveries."""

    def __init__(self, app: Instance, log: AppLog) -> None:
        self._app = app
        self._log = log
        self._cases = [self._case(row, scenario) for row in ROWS for scenario in SCENARIOS]
        self.first = self._deliver_all()
        app.hub.simulator.clear_faults()
        self.second = self._deliver_all()

    def _case(self, row: Row, scenario: str) -> Case:
        user = new_user()
        devices = self._app.register(user, 3 if scenario == "one of three" else 1)
        case = Case(row, scenario, call_to(user), devices)
        if row.fault is not None:
            fault = {key: value for key, value in row.fault.items() if value is not None}
            token = devices[0].device_token
            self._app.hub.simulator.add_fault(Fault(**fault, device_handle=token, times=case.times))
        return case

    def _deliver_all(self) -> dict[tuple[str, str], Seen]:
        answers = at_once(self._app.deliver, [case.event for case in self._cases])
        self._wait_for_late_rings()
        return {
            (case.row.name, case.scenario): self._seen(case, answer)
            for case, answer in zip(self._cases, answers, strict=True)
        }

    def _wait_for_late_rings(self) -> None:
        """A request whose sender has given up waiting may still ring its phone."""
        slow = [case for case in self._cases if case.row.name == "slower than the read time-out"]
        rings = {"first try": 2}
        eventually(
            lambda: all(
                self._app.rings(case.devices[0]) >= rings.get(case.scenario, SILENT_TRIES) for case in slow
            )
        )

    def _seen(self, case: Case, answer: Answer) -> Seen:
        document = self._app.ledger(case.event)
        assert document is not None
        return Seen(
            answer,
            line_of(self._log, case.event),
            document,
            [self._app.attempts(device) for device in case.devices],
            [self._app.rings(device) for device in case.devices],
        )

    def device_in(self, case: Seen, row: str, scenario: str) -> dict[str, Any]:
        """What the ledger says of the struck device."""
        found = next(one for one in self._cases if (one.row.name, one.scenario) == (row, scenario))
        device: dict[str, Any] = case.document["devices"][found.devices[0].registration_id]
        return device

    def is_marked_gone(self, row: str, scenario: str) -> bool:
        """Whether the struck device, which must still be registered, is marked as gone."""
        found = next(one for one in self._cases if (one.row.name, one.scenario) == (row, scenario))
        known = {document["_id"]: document for document in self._app.registrations(found.devices[0].acs_mri)}
        return "goneAt" in known[found.devices[0].registration_id]


@pytest.fixture(scope="module")
def matrix(database: EmbeddedDatabase) -> Iterator[Matrix]:
    """Played once for all tests."""
    settings = {
        "HubConnectTimeoutSeconds": CONNECT_SECONDS,
        "HubReadTimeoutSeconds": READ_SECONDS,
        "InvocationTimeoutSeconds": INVOCATION_SECONDS,
        "MaxConcurrentSends": 256,
    }
    with (
        RunningHub(Simulator()) as hub,
        app_log() as log,
        Instance(hub, database.uri, settings, jitter=lambda: NEARLY_ONE) as app,
    ):
        yield Matrix(app, log)


def named(row: Row) -> str:
    return row.name


@pytest.mark.parametrize("row", ROWS, ids=named)
class TestFirstTry:
    """The fault strikes the first try alone."""

    def test_delivery(self, matrix: Matrix, row: Row) -> None:
        """A fault that may pass is tried again at once; any other answer ends the tries."""
        seen = matrix.first[row.name, "first try"]
        assert seen.answer.status == row.status_after_first
        assert seen.tries == [row.tries_after_first]
        assert seen.rings == [row.rings_after_first]
        assert seen.document["finished"] == (row.status_after_first == 202)

    def test_redelivery(self, matrix: Matrix, row: Row) -> None:
        """A redelivery is acknowledged, and rings only if nothing was accepted and that can be mended."""
        before, after = matrix.first[row.name, "first try"], matrix.second[row.name, "first try"]
        rung = int(row.status_after_first == 500)
        assert after.answer.status == 202
        assert after.rings == [before.rings[0] + rung]
        assert after.tries == [before.tries[0] + rung]


@pytest.mark.parametrize("row", ROWS, ids=named)
class TestAllTries:
    """The fault strikes every try until the redelivery."""

    def test_delivery(self, matrix: Matrix, row: Row) -> None:
        """It is given up after a known number of tries, and raised where a redelivery may still ring."""
        seen = matrix.first[row.name, "all tries"]
        assert seen.answer.status == row.status
        assert seen.tries == [row.tries]
        assert seen.rings == [row.rings]
        assert seen.answer.seconds < INVOCATION_SECONDS

    def test_ledger(self, matrix: Matrix, row: Row) -> None:
        """The ledger says what became of the device, after how many tries, and whether the event is done."""
        seen = matrix.first[row.name, "all tries"]
        device = matrix.device_in(seen, row.name, "all tries")
        assert (device["outcome"], device["attempts"]) == (row.outcome, row.tries)
        assert seen.document["finished"] == row.settled

    def test_line(self, matrix: Matrix, row: Row) -> None:
        """The event's line counts the device where it belongs."""
        line = matrix.first[row.name, "all tries"].line
        accepted, gone = int(row.outcome == "accepted"), int(row.outcome == "gone")
        counts = {"devices": 1, "accepted": accepted, "gone": gone, "failed": 1 - accepted - gone}
        assert {name: line[name] for name in counts} == counts
        assert (line["result"], line["retried"]) == (row.result, row.tries - 1)

    def test_redelivery(self, matrix: Matrix, row: Row) -> None:
        """Once the hub is well, a redelivery rings what was left over, and nothing else."""
        before, after = matrix.first[row.name, "all tries"], matrix.second[row.name, "all tries"]
        rung = int(not row.settled)
        assert after.answer.status == 202
        assert after.rings == [before.rings[0] + rung]
        assert after.tries == [before.tries[0] + rung]
        assert after.line["result"] == ("duplicate" if row.settled else "delivered")
        assert after.document["finished"] is True


@pytest.mark.parametrize("row", ROWS, ids=named)
class TestOneOfThree:
    """The fault strikes every try of one device of three."""

    def test_delivery(self, matrix: Matrix, row: Row) -> None:
        """The other two are tried once and ring once."""
        seen = matrix.first[row.name, "one of three"]
        assert seen.answer.status == row.status
        assert seen.tries == [row.tries, 1, 1]
        assert seen.rings == [row.rings, 1, 1]
        assert seen.line["result"] == row.result_beside_others

    def test_redelivery(self, matrix: Matrix, row: Row) -> None:
        """A redelivery is for the one device alone."""
        before, after = matrix.first[row.name, "one of three"], matrix.second[row.name, "one of three"]
        rung = int(not row.settled)
        assert after.answer.status == 202
        assert after.rings == [before.rings[0] + rung, 1, 1]
        assert after.tries == [before.tries[0] + rung, 1, 1]


def test_only_a_gone_device_is_marked(matrix: Matrix) -> None:
    """No answer costs a device its registration at once, and no answer but 410 marks it."""
    assert {row.name for row in ROWS if matrix.is_marked_gone(row.name, "all tries")} == {"410"}


def test_misconfiguration_is_critical(matrix: Matrix) -> None:
    """Wrong credentials, a missing right or a missing hub leave one critical line that says what to check."""
    lines = matrix._log.events("misconfigured")
    expected = {401: "ANHHubConnectionString", 403: "Send", 404: "ANHHubName"}
    assert {line["status"] for line in lines} == set(expected)
    # One for each event whose every try was refused, alone and as one of three.
    assert len(lines) == 2 * len(expected)
    assert all(line["level"] == "CRITICAL" and expected[line["status"]] in line["remedy"] for line in lines)


# --- through the webhook ------------------------------------------------------------------------------------

THROUGH_THE_WEBHOOK = ("201", "401", "410", "503", "no answer", "dropped")


@pytest.mark.parametrize("row", [row for row in ROWS if row.name in THROUGH_THE_WEBHOOK], ids=named)
def test_through_the_webhook(workers: Stack, host_log: HostLog, row: Row) -> None:
    """What Event Grid hears over HTTP, and the line that the worker writes, are those of the matrix."""
    user = new_user()
    struck, *others = register_phones(workers.host, user)
    if row.fault is not None:
        fault = {key: value for key, value in row.fault.items() if value is not None}
        workers.hub.add_fault(Fault(**fault, device_handle=struck.device_token))
    event, mark = call_to(user), host_log.mark()
    assert workers.host.deliver(event).status_code == row.status
    rings = workers.hub.summary().handles
    assert [rings.get(phone.device_token, 0) for phone in (struck, *others)] == [row.rings, 1, 1]
    assert (
        host_log.entry(mark, event="incoming_call", event_id=event["id"]).fields["result"]
        == row.result_beside_others
    )
    workers.hub.clear_faults()
    assert workers.hosts[1].deliver(event).status_code == 202
    rings = workers.hub.summary().handles
    expected = row.rings + int(not row.settled)
    assert [rings.get(phone.device_token, 0) for phone in (struck, *others)] == [expected, 1, 1]


# --- in the documentation -----------------------------------------------------------------------------------


def published_line(row: Row) -> str:
    """The row of the published matrix."""
    tries = f"{row.tries}" if row.tries < MOST_TRIES else "until the time is up"
    raised = "raise" if row.status == 500 else "acknowledge"
    again = "rings it" if not row.settled else "sends nothing"
    cells = [row.name, row.outcome, str(row.tries_after_first), str(row.rings_after_first)]
    return f"| {' | '.join([*cells, tries, str(row.rings), raised, again])} |"


def test_documentation_shows_the_matrix() -> None:
    """docs/reliability.md has this table, row by row."""
    lines = RELIABILITY.read_text().splitlines()
    table = dropwhile(lambda line: not line.startswith("| the hub | is |"), lines)
    published = list(takewhile(lambda line: line.startswith("|"), table))
    assert published[2:] == [published_line(row) for row in ROWS]
