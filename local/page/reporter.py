"""The phones' reports to the app, as real phones make them. For one event loop."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from local.page.app_client import AppClient, new_trace
from local.page.phone_calls import CallState, PhoneCall

KEPT_REPORTS = 500
LATEST_SECONDS = 5.0
"""A state that began longer ago, such as before reports were switched on, is not reported."""


@dataclass(frozen=True, slots=True)
class ReportingPhone:
    """A phone, as far as a report names it."""

    id: str
    user: str
    device_uuid: str


@dataclass(slots=True)
class Report:
    """One report and its answer. Times are Unix seconds."""

    phone: str
    call_id: str
    state: str
    at: float
    trace: str
    status: int | None = None
    took_ms: int | None = None
    problem: str | None = None


class Reporter:
    """Reports each state of a call on a phone once. Calls `on_change` when an answer has come."""

    def __init__(
        self, app: AppClient, on_change: Callable[[], None], clock: Callable[[], float] = time.time
    ) -> None:
        """`clock`: Unix seconds."""
        self._app = app
        self._on_change = on_change
        self._clock = clock
        self._seen: dict[tuple[str, str, str], None] = {}
        self._running: set[asyncio.Task[None]] = set()
        self.is_on = True
        self.reports: deque[Report] = deque(maxlen=KEPT_REPORTS)
        """Oldest first."""

    def look(self, phone: ReportingPhone, call: PhoneCall) -> None:
        """Report, in the background, what has changed of a call by itself."""
        now = self._clock()
        if call.rings and now - call.began < LATEST_SECONDS:
            self.report(phone, call.call_id, "ringing")
        if call.state is CallState.MISSED and call.until is not None and now - call.until < LATEST_SECONDS:
            self.report(phone, call.call_id, "missed")

    def report(self, phone: ReportingPhone, call_id: str, state: str) -> None:
        """Report a state in the background, unless it has been."""
        key = (phone.id, call_id, state)
        if not self.is_on or key in self._seen:
            return
        self._seen[key] = None
        while len(self._seen) > 4 * KEPT_REPORTS:
            del self._seen[next(iter(self._seen))]
        report = Report(phone.id, call_id, state, self._clock(), new_trace())
        self.reports.append(report)
        task = asyncio.create_task(self._send(phone, report), name=f"report-{state}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def settled(self) -> None:
        """Wait until every report that runs now has its answer."""
        await asyncio.gather(*self._running)

    async def close(self) -> None:
        """Cancel the reports that have no answer yet."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _send(self, phone: ReportingPhone, report: Report) -> None:
        body = {
            "acsMri": phone.user,
            "deviceUUID": phone.device_uuid,
            "callId": report.call_id,
            "state": report.state,
        }
        answer = await self._app.report(body, report.trace)
        report.status, report.took_ms, report.problem = answer.status, answer.took_ms, answer.problem
        self._on_change()
