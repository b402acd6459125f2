"""Timer functions: invoked when their schedule is due.

The behaviour follows the timer extension's sources (`TimerListener` and `TimerSchedule` in
Azure/azure-webjobs-sdk-extensions). It differs in three points: times are UTC; the status of a schedule is
kept in memory alone, so that no invocation is past due after a restart; and every host runs every timer,
where in Azure one instance of an app does.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from local.host.background import Background
from local.host.next_occurrence import next_occurrence
from local.host.worker import TIMER_TRIGGER, LoadedFunction, StartupError
from models.ncrontab import Ncrontab

Invoke = Callable[[LoadedFunction, str], Coroutine[Any, Any, None]]
"""Runs a timer function with what it is told, as JSON."""

_NEVER = datetime.min.replace(tzinfo=UTC)

_log = logging.getLogger("local.host")


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """What a timer function is told of its schedule; UTC."""

    last: datetime
    """The last invocation by the schedule."""
    next: datetime
    """When the next one is due; during an invocation, when it was due."""

    def document(self) -> dict[str, str]:
        """In the extension's form."""
        last = self.last.isoformat()
        return {"Last": last, "Next": self.next.isoformat(), "LastUpdated": last}


class Timer:
    """One timer function and its schedule."""

    def __init__(
        self, function: LoadedFunction, schedule: Ncrontab, *, use_monitor: bool, run_on_startup: bool
    ) -> None:
        """Take the function and its trigger's options."""
        self.function = function
        self.run_on_startup = run_on_startup
        self._schedule = schedule
        self._use_monitor = use_monitor and not _is_below_a_minute(schedule)
        self._status: ScheduleStatus | None = None

    @classmethod
    def of(cls, function: LoadedFunction, settings: Mapping[str, str]) -> Self:
        """Read the raw trigger binding: `schedule`, `useMonitor`, `runOnStartup`.

        Args:
            function: with a timer trigger.
            settings: a schedule such as `%Name%` is read from here.

        Raises:
            StartupError: the schedule is malformed.
        """
        trigger = function.trigger
        given = str(trigger.get("schedule") or "")
        if len(given) > 1 and given.startswith("%") and given.endswith("%"):
            given = settings.get(given[1:-1], "")
        try:
            schedule = Ncrontab.parse(given)
        except ValueError as error:
            raise StartupError(f"the schedule of the function {function.name}: {error}") from None
        return cls(
            function,
            schedule,
            use_monitor=trigger.get("useMonitor", True) is not False,
            run_on_startup=trigger.get("runOnStartup") is True,
        )

    def started(self, at: datetime) -> datetime | None:
        """When it is due for the first time; None for never."""
        return self._expect(_NEVER, at)

    def invoked(self, at: datetime) -> datetime | None:
        """When it is due after an invocation; None for never."""
        return self._expect(at, at)

    def info(self) -> str:
        """What the function is told, as JSON."""
        status = self._status.document() if self._status and self._use_monitor else None
        document: dict[str, Any] = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": status,
            "IsPastDue": False,
        }
        return json.dumps(document)

    def _expect(self, last: datetime, after: datetime) -> datetime | None:
        due = next_occurrence(self._schedule, after)
        self._status = ScheduleStatus(last, due) if due else None
        return due


def _is_below_a_minute(schedule: Ncrontab) -> bool:
    """It may be due twice in a minute: the extension does not monitor such a schedule."""
    always = Ncrontab.parse("* * * * * *")
    return len(schedule.seconds) > 1 and replace(schedule, seconds=always.seconds) == always


@dataclass(frozen=True, slots=True)
class TimerClock:
    """The time, UTC, and a wait of so many seconds."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep


class Timers:
    """The timer functions of an app."""

    def __init__(
        self,
        functions: Iterable[LoadedFunction],
        invoke: Invoke,
        background: Background,
        settings: Mapping[str, str],
        clock: TimerClock = TimerClock(),
    ) -> None:
        """Take the functions of all triggers, and how to run one.

        Args:
            functions: those with a timer trigger are taken.
            invoke: how to run one.
            background: keeps invocations that are under way.
            settings: of the app.
            clock: tells the time and waits.

        Raises:
            StartupError: a schedule is malformed.
        """
        self._invoke = invoke
        self._background = background
        self._clock = clock
        timers = (Timer.of(one, settings) for one in functions if one.trigger_type == TIMER_TRIGGER)
        self._timers = {timer.function.name: timer for timer in timers}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the functions."""
        return tuple(self._timers)

    async def run(self) -> None:
        """Invoke each function when it is due, until this is cancelled; invocations under way go on."""
        async with asyncio.TaskGroup() as running:
            for timer in self._timers.values():
                running.create_task(self._run(timer))

    async def invoke_now(self, name: str) -> None:
        """Invoke a function, beside its schedule."""
        timer = self._timers[name]
        await self._invoke(timer.function, timer.info())

    async def _run(self, timer: Timer) -> None:
        due = timer.started(self._clock.now())
        if timer.run_on_startup:
            started = self._clock.now()
            await self._background.run(self.invoke_now(timer.function.name))
            due = timer.invoked(started)
        while due is not None:
            await self._clock.sleep(max(0.0, (due - self._clock.now()).total_seconds()))
            # The wait may end a little early: the same occurrence must not be due twice.
            started = max(due, self._clock.now())
            await self._background.run(self.invoke_now(timer.function.name))
            # What was due during the invocation is made up for by one invocation.
            due = timer.invoked(started)
        _log.warning("The schedule of the function %s is never due", timer.function.name)
