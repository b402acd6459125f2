"""Carries out the page's commands about phones, hub and switches. For one event loop."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import requests

from local import samples
from local.hub.control_client import ControlClient, ControlError
from local.hub.records import PlatformOutcome
from local.page.app_client import AppAnswer, AppClient
from local.page.commands import (
    BadCommandError,
    ForgetDeadDevices,
    RegisterBrowser,
    RegisterPhone,
    RemovePhone,
    SetHubMode,
    SetOptions,
    UninstallApp,
)
from local.page.nicknames import Nicknames
from local.page.page_calls import PageCalls
from local.page.phones import handle_of
from models.hub import DEFAULT_HUB


class PageController:
    """Calls `on_change` after each change of its own state."""

    def __init__(
        self, app: AppClient, hub: ControlClient, on_change: Callable[[], None], alerts_hub: str = DEFAULT_HUB
    ) -> None:
        """`alerts_hub`: name of the hub for the alerts of iPhones."""
        self._alerts_hub = alerts_hub
        self._app = app
        self._hub = hub
        self._on_change = on_change
        self.calls = PageCalls(app, on_change)
        self.nicknames = Nicknames()
        # The user that the forms begin with.
        self.nicknames.of(samples.CALLEE)

    async def register(self, command: RegisterPhone) -> AppAnswer:
        """Register a phone with new tokens; the API validates the request."""
        of_platform = next(phone for phone in samples.phones() if phone.platform == command.platform)
        phone = replace(of_platform, device_uuid=command.device_uuid or of_platform.device_uuid)
        more = {} if command.ttl_seconds is None else {"ttlSeconds": command.ttl_seconds}
        answer = await self._app.register(phone.registration(command.acs_mri, **more))
        alerts = phone.alerts_registration(command.acs_mri, self._alerts_hub, **more)
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
        phone = self.calls.phones.get(command.phone_id)
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

    async def forget_dead_devices(self, _command: ForgetDeadDevices) -> AppAnswer:
        """Run the timer function that reads the hubs' feedback."""
        return await self._app.forget_dead_devices()

    def set_options(self, command: SetOptions) -> None:
        """Switch parts of the surroundings on or off; those that are not named stay."""
        if command.redelivery is not None:
            self.calls.event_grid.redelivers = command.redelivery
        if command.call_events is not None:
            self.calls.publish_events = command.call_events
        if command.reports is not None:
            self.calls.reporter.is_on = command.reports
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
        await self.calls.close()

    def _replace_faults(self, command: SetHubMode) -> None:
        fault = command.fault()
        self._hub.clear_faults()
        self._hub.set_latency(0)
        if fault is not None:
            self._hub.add_fault(fault)
