"""Carries out the page's commands, and keeps the calls placed and what users did. For one event loop."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import requests

from local import samples
from local.hub.control_client import ControlClient, ControlError
from local.hub.records import PlatformOutcome
from local.page.app_client import AppAnswer, AppClient
from local.page.calls import PlacedCall, SentEvent
from local.page.commands import (
    ActOnCall,
    BadCommandError,
    ClearCalls,
    HangUp,
    PlaceCall,
    Redeliver,
    RegisterBrowser,
    RegisterPhone,
    RemovePhone,
    SetHubMode,
    SetOptions,
    UninstallApp,
)
from local.page.event_grid import EventGrid
from local.page.nicknames import Nicknames
from local.page.phone_calls import OPEN, Action, CallOver, CallState
from local.page.phones import Phone, Taken, handle_of
from local.page.reporter import Reporter, ReportingPhone

KEPT_CALLS = 30
KEPT_ACTIONS = 1_000


class PageController:
    """Calls `on_change` after each change of its own state."""

    def __init__(self, app: AppClient, hub: ControlClient, on_change: Callable[[], None]) -> None:
        self._app = app
        self._hub = hub
        self._on_change = on_change
        self.event_grid = EventGrid(app, on_change)
        self.reporter = Reporter(app, on_change)
        self.nicknames = Nicknames()
        # The user that the forms begin with.
        self.nicknames.of(samples.CALLEE)
        self.call_events = True
        """CallParticipantAdded and CallEnded are published."""
        self.calls: deque[PlacedCall] = deque(maxlen=KEPT_CALLS)
        self.actions: dict[tuple[str, str], Taken] = {}
        """By phone id and call id, oldest first."""
        self.over: dict[str, CallOver] = {}
        """How calls stopped ringing, by call id, oldest first."""
        self.cleared_at = 0.0
        """Calls that began before are not shown."""
        self._phones: dict[str, Phone] = {}

    def look(self, phones: tuple[Phone, ...]) -> None:
        """Take the phones as they are now: their apps report what has changed."""
        self._phones = {phone.id: phone for phone in phones}
        for phone in phones:
            for call in phone.calls:
                self.reporter.look(_reporting(phone), call)

    async def register(self, command: RegisterPhone) -> AppAnswer:
        """Register a phone with new tokens; the API validates the request."""
        of_platform = next(phone for phone in samples.phones() if phone.platform == command.platform)
        phone = replace(of_platform, device_uuid=command.device_uuid or of_platform.device_uuid)
        more = {} if command.ttl_seconds is None else {"ttlSeconds": command.ttl_seconds}
        answer = await self._app.register(phone.registration(command.acs_mri, **more))
        alerts = phone.alerts_registration(command.acs_mri, **more)
        if answer.status == 201 and alerts is not None:
            answer = await self._app.register(alerts)
        self._on_change()
        return answer

    async def register_browser(self, command: RegisterBrowser) -> AppAnswer:
        """Register the browser that shows the page; the API validates the request."""
        info = {"deviceUUID": command.device_uuid, "deviceToken": command.subscription, "platform": "browser"}
        answer = await self._app.register({"acsMri": command.acs_mri, "deviceInfos": [info]})
        self._on_change()
        return answer

    async def remove(self, command: RemovePhone) -> AppAnswer:
        """Delete a phone."""
        answer = await self._app.remove(command.acs_mri, command.device_uuid)
        self._on_change()
        return answer

    async def uninstall(self, command: UninstallApp) -> None:
        """Let the platform refuse the tokens of a phone; raises BadCommandError."""
        phone = self._phones.get(command.phone_id)
        if phone is None:
            raise BadCommandError("There is no such phone any more.")
        try:
            for registration in phone.registrations:
                await asyncio.to_thread(
                    self._hub.set_outcome, handle_of(registration), PlatformOutcome.EXPIRED_CHANNEL
                )
        except (requests.RequestException, ControlError):
            raise BadCommandError("The hub simulator did not accept it.") from None
        self._on_change()

    def place(self, command: PlaceCall) -> PlacedCall:
        """Place a call; raises BadCommandError."""
        call = PlacedCall.begin(command, datetime.now(UTC))
        self.event_grid.deliver(call.incoming_call)
        if len(self.calls) == KEPT_CALLS:
            self._forget(self.calls[0])
        self.calls.append(call)
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
        phone = self._phones.get(command.phone_id)
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
        events = (event for call in self.calls for event in call.events)
        event = next((event for event in events if event.id == command.event_id), None)
        if event is None:
            raise BadCommandError("There is no such event to redeliver.")
        self.event_grid.deliver(event)
        return event

    def clear(self, _command: ClearCalls) -> None:
        """Show only calls that begin from now on."""
        self.cleared_at = time.time()
        for call in self.calls:
            self._forget(call)
        self.calls.clear()
        self._on_change()

    def set_options(self, command: SetOptions) -> None:
        """Switch parts of the surroundings on or off; those that are not named stay."""
        if command.redelivery is not None:
            self.event_grid.redelivers = command.redelivery
        if command.call_events is not None:
            self.call_events = command.call_events
        if command.reports is not None:
            self.reporter.is_on = command.reports
        self._on_change()

    async def set_hub_mode(self, command: SetHubMode) -> None:
        """Replace the hub's faults; raises BadCommandError."""
        try:
            await asyncio.to_thread(self._replace_faults, command)
        except (requests.RequestException, ControlError):
            raise BadCommandError("The hub simulator did not accept the fault.") from None
        self._on_change()

    async def close(self) -> None:
        """Cancel what runs in the background."""
        await self.event_grid.close()
        await self.reporter.close()

    def _replace_faults(self, command: SetHubMode) -> None:
        fault = command.fault()
        self._hub.clear_faults()
        self._hub.set_latency(0)
        if fault is not None:
            self._hub.add_fault(fault)

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
        elif self.call_events:
            self.event_grid.deliver(call.joined(datetime.now(UTC)))

    def _end(self, call: PlacedCall) -> None:
        event = call.ended(datetime.now(UTC))
        self._over(call.call_id, CallOver("ended", time.time()))
        if self.call_events:
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
        return next((call for call in self.calls if call.call_id == call_id.lower()), None)

    def _forget(self, call: PlacedCall) -> None:
        for event in call.events:
            self.event_grid.forget(event)


def _reporting(phone: Phone) -> ReportingPhone:
    return ReportingPhone(phone.id, phone.user, phone.device_uuid)
