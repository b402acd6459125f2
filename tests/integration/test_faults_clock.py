"""An instance whose clock is wrong: nothing is corrected, and one line says so."""

import pytest

from local.database import EmbeddedDatabase
from local.hub.running_hub import RunningHub
from tests.end_to_end.hosts import new_user
from tests.fakes import AppLog, ShiftedClock
from tests.integration.conftest import SHORT
from tests.integration.fault_rows import FaultRow, Played
from tests.rig import Instance, call_to

AHEAD = FaultRow("the instance's clock is 61 s ahead", (202, 202), (0, 0), tries=0)
BEHIND = FaultRow("the instance's clock is 61 s behind")
HOUR_BEHIND = FaultRow("the instance's clock is two hours behind", (500, 500), (0, 0), tries=4)
ROWS = (AHEAD, BEHIND, HOUR_BEHIND)


@pytest.mark.parametrize(
    ("wrong_by", "row"), [(61, AHEAD), (-61, BEHIND), (-7_200, HOUR_BEHIND)], ids=lambda value: str(value)[:5]
)
def test_wrong_clock(
    hub: RunningHub, database: EmbeddedDatabase, log: AppLog, wrong_by: float, row: FaultRow
) -> None:
    """However many calls come, one CRITICAL line; the readiness document says so and does not fail."""
    with Instance(hub, database.uri, SHORT, jitter=lambda: 0.1, clock=ShiftedClock(wrong_by)) as app:
        for _ in range(2):
            call = Played(app, call_to(user := new_user()), app.register(user))
            call.deliver()
            call.deliver()
            call.check(row)
        (line,) = log.events("clock_off")
        state = app.app.readiness.state()
    assert (line["level"], round(line["ahead_seconds"])) == ("CRITICAL", pytest.approx(wrong_by, abs=2))
    assert len(log.events("clock_off")) == 1
    assert state.failing is None
    assert state.clock_off_by_seconds == pytest.approx(wrong_by, abs=2)


def test_right_clock(hub: RunningHub, database: EmbeddedDatabase, log: AppLog) -> None:
    """A call that comes too late by itself has the hub asked for its time, and no line is written."""
    with Instance(hub, database.uri, SHORT, clock=ShiftedClock()) as app:
        app.deliver(call_to(new_user(), time=ShiftedClock(-120).now()))
        assert app.app.clock_watch.has_compared
    assert log.events("clock_off") == []
