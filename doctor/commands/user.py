"""`user`: the devices of one user."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import typer

from common.telemetry import fingerprint
from doctor.checks.database_content import EMPTY_REMEDY, DatabaseContent
from doctor.checks.device_summaries import DeviceState, DeviceSummary, summarize_devices
from doctor.checks.findings import ExitCode, Status
from doctor.options import AppOption, GroupOption, JsonOption, MriArgument, SettingsOption
from doctor.probes.app_settings import SettingsSource, load_settings
from doctor.probes.database_connection import connected
from doctor.probes.records import Records
from doctor.report import Report, run
from doctor.terminal import Terminal
from doctor.usable import device_owner, usable_settings
from models.device import rfc3339
from models.hub import DEFAULT_HUB
from models.identity import Identity


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: 'user 8:acs:0000-1111_2222-3333 --settings local.settings.json'.")
    def user(
        mri: MriArgument,
        *,
        settings: SettingsOption = None,
        app: AppOption = None,
        resource_group: GroupOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Show a user's devices, and what became of the last push to each; tokens as fingerprints."""

        def work() -> Report:
            owner = device_owner(mri)
            known = usable_settings(load_settings(SettingsSource(settings, app, resource_group), os.environ))
            with connected(known) as client:
                records = Records(client, known.database.name)
                return UserReport(owner.mri, devices_of(records, owner), records.content())

        run("user", work, as_json=as_json)


def devices_of(records: Records, owner: Identity) -> list[DeviceSummary]:
    """The devices of a user, with their last pushes."""
    documents = records.registrations_of(owner)
    last_pushes = records.last_pushes([str(document["_id"]) for document in documents])
    return summarize_devices(documents, last_pushes, datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class UserReport:
    """The answer of `user`."""

    acs_mri: str
    devices: Sequence[DeviceSummary]
    content: DatabaseContent

    @property
    def exit_code(self) -> ExitCode:
        """Failed if no device rings, or if something is wrong with one of them.

        Not known where the database is empty.
        """
        if self.content.is_empty:
            return ExitCode.CANNOT_TELL
        states = {device.state for device in self.devices}
        wrong = any(device.status is Status.FAIL for device in self.devices)
        return ExitCode.OK if DeviceState.RINGS in states and not wrong else ExitCode.FAILED

    def as_json(self) -> dict[str, Any]:
        """`devices`, with fingerprints in the place of tokens."""
        return {
            "acsMri": self.acs_mri,
            "callee": fingerprint(self.acs_mri),
            "devices": [_device_as_json(device) for device in self.devices],
        }

    def show(self, terminal: Terminal) -> None:
        """Each device, those that a call rings first."""
        terminal.exact(self.acs_mri)
        terminal.exact(f"In the log lines: callee {fingerprint(self.acs_mri)}")
        terminal.gap()
        for device in self.devices:
            _show_device(terminal, device)
        if self.content.is_empty:
            terminal.text(f"Nothing is known: {self.content}.")
            terminal.remedy(EMPTY_REMEDY)
        elif not any(device.is_rung for device in self.devices):
            terminal.text(
                "No call rings this user: there is no registration, or none that has not expired. The user's "
                "app has to call add_device_token, and again before the registration expires."
            )


def _device_as_json(device: DeviceSummary) -> dict[str, Any]:
    last = device.last_push
    return {
        "device": device.device,
        "deviceUUID": device.device_uuid,
        "platform": device.platform,
        "hub": device.hub,
        "tokenFingerprint": device.token,
        "refreshedAt": None if device.refreshed_at is None else rfc3339(device.refreshed_at),
        "expiresAt": None if device.expires_at is None else rfc3339(device.expires_at),
        "state": device.state.value,
        "problem": device.problem,
        "lastPush": None
        if last is None
        else {"outcome": last.outcome, "reason": last.reason, "at": rfc3339(last.at)},
    }


def _show_device(terminal: Terminal, device: DeviceSummary) -> None:
    terminal.heading(
        device.status, f"{device.platform or '?'} {device.device_uuid or '?'}: {device.state.value}"
    )
    hub = "" if device.hub in {None, DEFAULT_HUB} else f"   hub {device.hub}"
    terminal.exact(f"registration {device.device}   token, sha256 {device.token or '?'}{hub}", 2)
    if device.refreshed_at is not None and device.expires_at is not None:
        terminal.exact(f"refreshed {rfc3339(device.refreshed_at)}   expires {rfc3339(device.expires_at)}", 2)
    if device.problem is not None:
        terminal.text(device.problem, 2)
    if device.state is DeviceState.INVALID_TOKEN:
        terminal.remedy(
            "The device's app has to register again, with the token that its platform gave it.", indent=2
        )
    if device.last_push is not None:
        last = device.last_push
        terminal.text(f"last push {rfc3339(last.at)}: {last.outcome}, {last.reason}", 2)
    elif device.is_rung:
        terminal.text("no push within the last day", 2)
    terminal.gap()
