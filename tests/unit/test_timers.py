"""Timer functions of the local host, with a clock that the test turns."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.host.background import Background
from local.host.timers import TimerClock, Timers
from local.host.worker import InvocationFailed, LoadedFunction, StartupError

START = datetime(2026, 11, 25, 21, 50, 30, tzinfo=UTC)


def function(name: str = "Sweep", schedule: str = "0 7 * * * *", **options: Any) -> LoadedFunction:
    trigger = {"type": "timerTrigger", "name": "timer", "schedule": schedule, **options}
    return LoadedFunction(name, name, trigger)


@dataclass
class World:
    """A clock that a wait turns, and what was invoked when. It ends when `ends` is reached."""

    now: datetime = START
    ends: datetime = START + timedelta(hours=3)
    takes: timedelta = timedelta()
    """How long an invocation takes."""
    invoked: list[tuple[str, datetime, dict[str, Any]]] = field(default_factory=list)
    fails: bool = False

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        if self.now > self.ends:
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    async def invoke(self, called: LoadedFunction, info: str) -> None:
        self.invoked.append((called.name, self.now, json.loads(info)))
        self.now += self.takes
        if self.fails:
            raise InvocationFailed("ValueError: no", "")

    def times(self) -> list[str]:
        return [f"{at:%H:%M:%S}" for _, at, _ in self.invoked]

    def run(self, *functions: LoadedFunction, settings: dict[str, str] | None = None) -> None:
        """Let the timers run until nothing happens before the end."""

        async def run() -> None:
            clock = TimerClock(lambda: self.now, self.sleep)
            timers = Timers(functions, self.invoke, Background(), settings or {}, clock)
            running = asyncio.create_task(timers.run())
            for _ in range(500):
                await asyncio.sleep(0)
            running.cancel()

        asyncio.run(run())


def test_runs_when_due() -> None:
    """Each occurrence is one invocation, which is told the last and the due time."""
    world = World()
    world.run(function())
    assert world.times() == ["22:07:00", "23:07:00", "00:07:00"]
    assert [info["ScheduleStatus"]["Next"] for _, _, info in world.invoked] == [
        "2026-11-25T22:07:00+00:00",
        "2026-11-25T23:07:00+00:00",
        "2026-11-26T00:07:00+00:00",
    ]
    assert world.invoked[1][2]["ScheduleStatus"]["Last"] == "2026-11-25T22:07:00+00:00"
    assert not any(info["IsPastDue"] for _, _, info in world.invoked)


def test_goes_on_after_a_failure() -> None:
    """An invocation that fails does not end the schedule."""
    world = World(fails=True)
    world.run(function())
    assert len(world.invoked) == 3


def test_long_invocation() -> None:
    """What was due during an invocation, once or several times, is made up for by one at its end."""
    world = World(takes=timedelta(minutes=150), ends=START + timedelta(hours=5))
    world.run(function())
    assert world.times() == ["22:07:00", "00:37:00"]


def test_at_startup() -> None:
    """`runOnStartup` runs it at once, beside its schedule."""
    world = World(ends=START + timedelta(hours=1))
    world.run(function(runOnStartup=True))
    assert world.times() == ["21:50:30", "22:07:00"]


def test_several() -> None:
    """Each has its own schedule; other triggers are left alone."""
    world = World(ends=START + timedelta(minutes=20))
    other = LoadedFunction("Http", "Http", {"type": "httpTrigger", "name": "req"})
    world.run(function(), function("Often", "0 */10 * * * *"), other)
    assert {name for name, _, _ in world.invoked} == {"Sweep", "Often"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"useMonitor": False}, False),
        ({"schedule": "*/30 * * * * *"}, False),
        ({"schedule": "0 */10 * * * *"}, True),
    ],
)
def test_status(options: dict[str, Any], told: bool) -> None:
    """Without a monitor, or more often than once a minute, there is no status of the schedule."""
    world = World(ends=START + timedelta(minutes=20))
    world.run(function(**options))
    assert world.invoked
    assert {info["ScheduleStatus"] is not None for _, _, info in world.invoked} == {told}


def test_schedule_in_a_setting() -> None:
    """`%Name%` is read from the settings."""
    world = World(ends=START + timedelta(hours=1))
    world.run(function(schedule="%When%"), settings={"When": "0 0 22 * * *"})
    assert world.times() == ["22:00:00"]


@pytest.mark.parametrize("schedule", ["", "%Missing%", "hourly", "0 7 * * * 8"])
def test_malformed(schedule: str) -> None:
    """The message names the function."""
    with pytest.raises(StartupError, match="Sweep"):
        World().run(function(schedule=schedule))


def test_never_due(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the others run."""
    world = World(ends=START + timedelta(hours=1))
    world.run(function("Never", "0 0 0 31 2 *"), function())
    assert world.times() == ["22:07:00"]
    assert "Never is never due" in caplog.text


def test_invocation_outlives_its_timer() -> None:
    """When the host stops, an invocation that is under way is waited for, but not without limit."""

    async def run() -> tuple[bool, bool]:
        background, release = Background(), asyncio.Event()
        ended = False

        async def invoke(_: LoadedFunction, __: str) -> None:
            nonlocal ended
            await release.wait()
            ended = True

        timers = Timers([function(runOnStartup=True)], invoke, background, {})
        running = asyncio.create_task(timers.run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running.cancel()
        await background.wait(0.01)
        before = ended
        release.set()
        await background.wait(5)
        return before, ended

    assert asyncio.run(run()) == (False, True)


def test_waits_no_longer_than_needed() -> None:
    """Nothing runs: nothing is waited for."""
    asyncio.run(Background().wait(60))
