"""The calls of the page: placed, ended and delivered again, and what users do on phones. For one event
loop."""

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from local.page.app_client import AppClient
from local.page.calls import PlacedCall, SentEvent
from local.page.commands import ActOnCall, BadCommandError, ClearCalls, HangUp, PlaceCall, Redeliver
from local.page.event_grid import EventGrid
from local.page.phone_calls import OPEN, Action, CallOver, CallState
from local.page.phones import Phone, Taken
from local.page.reporter import Reporter, ReportingPhone

KEPT_CALLS = 30
KEPT_ACTIONS = 1_000


class PageCalls:
    """Calls `on_change` after each change of its own state."""

    def __init__(self, app: AppClient, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.event_grid = EventGrid(app, on_change)
        self.reporter = Reporter(app, on_change)
        self.publish_events = True
        """Calls publish CallParticipantAdded and CallEnded."""
        self.placed: deque[PlacedCall] = deque(maxlen=KEPT_CALLS)
        self.actions: dict[tuple[str, str], Taken] = {}
        """By phone id and call id, oldest first."""
        self.over: dict[str, CallOver] = {}
        """How calls stopped ringing, by call id, oldest first."""
        self.cleared_at = 0.0
        """Calls that began before are not shown."""
        self.phones: dict[str, Phone] = {}
        """By id, as they were last looked at."""

    def look(self, phones: tuple[Phone, ...]) -> None:
        """Take the phones as they are now: their apps report what has changed."""
        self.phones = {phone.id: phone for phone in phones}
        for phone in phones:
            for call in phone.calls:
                self.reporter.look(_reporting(phone), call)

    def place(self, command: PlaceCall) -> PlacedCall:
        """Place a call; raises BadCommandError."""
        call = PlacedCall.begin(command, datetime.now(UTC))
        self.event_grid.deliver(call.incoming_call)
        if len(self.placed) == KEPT_CALLS:
            self._forget(self.placed[0])
        self.placed.append(call)
        return call

    def hang_up(self, command: HangUp) -> PlacedCall:
        """The caller hangs up; raises BadCommandError if the call is over or was not placed here."""
        call = self._placed(command.call_id)
        if call is None or call.ended_at is not None:
            raise BadCommandError("This call is over, or it was not placed on this page.")
        self._end(call)
        for (phone, call_id), taken in list(self.actions.items()):
            if call_id == call.call_id and taken.action is Action.ANSWERED:
                self._take(phone, call_id, Action.ENDED)
        return call

    def act(self, command: ActOnCall) -> None:
        """A user answers, declines or hangs up; raises BadCommandError if the call is not in that state."""
        phone = self.phones.get(command.phone_id)
        call_id = command.call_id.lower()
        state = next((call.state for call in phone.calls if call.call_id == call_id), None) if phone else None
        possible = {CallState.ANSWERED} if command.action is Action.ENDED else OPEN
        # The state may be older than the last action.
        taken = self.actions.get((command.phone_id, call_id))
        stale = taken is not None and (command.action, taken.action) != (Action.ENDED, Action.ANSWERED)
        if phone is None or stale or (state not in possible and taken is None):
            raise BadCommandError("This call cannot be answered, declined or ended any more.")
        self._take(phone.id, call_id, command.action)
        self._tell(phone, call_id, command.action)
        self._on_change()

    def redeliver(self, command: Redeliver) -> SentEvent:
        """Deliver an event again, as Event Grid may at any time; raises BadCommandError."""
        events = (event for call in self.placed for event in call.events)
        event = next((event for event in events if event.id == command.event_id), None)
        if event is None:
            raise BadCommandError("There is no such event to redeliver.")
        self.event_grid.deliver(event)
        return event

    def clear(self, _command: ClearCalls) -> None:
        """Show only calls that begin from now on."""
        self.cleared_at = time.time()
        for call in self.placed:
            self._forget(call)
        self.placed.clear()
        self._on_change()

    async def close(self) -> None:
        """Cancel what runs in the background."""
        await self.event_grid.close()
        await self.reporter.close()

    def _tell(self, phone: Phone, call_id: str, action: Action) -> None:
        """What follows from a user's action: the phone's report, and the events of the call."""
        call = self._placed(call_id)
        if action is Action.ENDED:
            if call is not None and call.ended_at is None:
                self._end(call)
            return
        self._over(call_id, CallOver(action.value, time.time(), phone.id))
        self.reporter.report(_reporting(phone), call_id, action.value)
        if call is None or call.ended_at is not None:
            return
        if action is Action.DECLINED:
            self._end(call)
        elif self.publish_events:
            self.event_grid.deliver(call.joined(datetime.now(UTC)))

    def _end(self, call: PlacedCall) -> None:
        event = call.ended(datetime.now(UTC))
        self._over(call.call_id, CallOver("ended", time.time()))
        if self.publish_events:
            self.event_grid.deliver(event)
        self._on_change()

    def _over(self, call_id: str, over: CallOver) -> None:
        """The first word counts."""
        self.over.setdefault(call_id, over)
        while len(self.over) > KEPT_ACTIONS:
            del self.over[next(iter(self.over))]

    def _take(self, phone_id: str, call_id: str, action: Action) -> None:
        self.actions[phone_id, call_id] = Taken(action, time.time())
        while len(self.actions) > KEPT_ACTIONS:
            del self.actions[next(iter(self.actions))]

    def _placed(self, call_id: str) -> PlacedCall | None:
        return next((call for call in self.placed if call.call_id == call_id.lower()), None)

    def _forget(self, call: PlacedCall) -> None:
        for event in call.events:
            self.event_grid.forget(event)


def _reporting(phone: Phone) -> ReportingPhone:
    return ReportingPhone(phone.id, phone.user, phone.device_uuid)
