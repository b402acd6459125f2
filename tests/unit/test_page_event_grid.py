"""When the page's Event Grid delivers an event again."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from local.page.app_client import AppAnswer, AppClient
from local.page.calls import PlacedCall, SentEvent
from local.page.commands import PlaceCall
from local.page.event_grid import EventGrid


class ScriptedApp(AppClient):
    """Answers deliveries with the given statuses, then with 202; None: no answer."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)

    async def deliver(self, event: Mapping[str, Any], trace: str) -> AppAnswer:
        """The next answer."""
        assert event["id"]
        assert trace
        status = self.statuses.pop(0) if self.statuses else 202
        return AppAnswer(status, "", 1, None if status else "the app could not be reached")


class Pauses:
    """Waits that end at once, or never after a number of them."""

    def __init__(self, ending: int = 100) -> None:
        self.asked: list[float] = []
        self._ending = ending

    async def __call__(self, seconds: float) -> None:
        """One wait."""
        self.asked.append(seconds)
        if len(self.asked) > self._ending:
            await asyncio.Event().wait()


def event() -> SentEvent:
    return PlacedCall.begin(PlaceCall(callee="8:acs:a"), datetime.now(UTC)).incoming_call


async def deliver(grid: EventGrid, sent: SentEvent, deliveries: int) -> None:
    grid.deliver(sent)
    async with asyncio.timeout(10):
        while len(sent.deliveries) < deliveries or sent.deliveries[-1].is_running:
            await asyncio.sleep(0)
    await grid.settled()


def test_waits_of_event_grid() -> None:
    """A failed delivery is repeated after 10 s, 30 s, a minute and so on, until one is acknowledged."""

    async def scenario() -> None:
        pauses, sent = Pauses(), event()
        grid = EventGrid(ScriptedApp(500, None, 503), lambda: None, pauses)
        await deliver(grid, sent, 4)
        assert pauses.asked == [10, 30, 60]
        assert [one.status for one in sent.deliveries] == [500, None, 503, 202]
        assert sent.due is None
        await grid.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [202, 400, 413])
def test_final_answers(status: int) -> None:
    """Acknowledged events, and those refused with 400 or 413, are not repeated."""

    async def scenario() -> None:
        pauses, sent = Pauses(), event()
        grid = EventGrid(ScriptedApp(status), lambda: None, pauses)
        await deliver(grid, sent, 1)
        assert (pauses.asked, sent.due) == ([], None)
        await grid.close()

    asyncio.run(scenario())


def test_switched_off() -> None:
    """With redelivery switched off, a failed delivery stays the last one."""

    async def scenario() -> None:
        pauses, sent = Pauses(), event()
        grid = EventGrid(ScriptedApp(500), lambda: None, pauses)
        grid.redelivers = False
        await deliver(grid, sent, 1)
        assert (pauses.asked, sent.due) == ([], None)
        await grid.close()

    asyncio.run(scenario())


def test_delivered_by_hand_meanwhile() -> None:
    """A delivery by hand takes the place of the one that is due."""

    async def scenario() -> None:
        sent = event()
        grid = EventGrid(ScriptedApp(500), lambda: None, Pauses(ending=0))
        await deliver(grid, sent, 1)
        assert sent.due is not None
        await deliver(grid, sent, 2)
        assert len(sent.deliveries) == 2
        assert [event.due for event in (sent,)] == [None]
        await grid.close()

    asyncio.run(scenario())


def test_forgotten() -> None:
    """An event that was forgotten is not due any more."""

    async def scenario() -> None:
        sent = event()
        grid = EventGrid(ScriptedApp(500), lambda: None, Pauses(ending=0))
        await deliver(grid, sent, 1)
        grid.forget(sent)
        assert sent.due is None
        await grid.close()

    asyncio.run(scenario())
