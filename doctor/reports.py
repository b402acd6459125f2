"""What each command says: as JSON for a script, as tables for a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.telemetry import fingerprint
from doctor.commands.call import CallStory
from doctor.commands.ring import RingOutcome
from doctor.commands.user import DeviceState, DeviceView
from doctor.findings import Check, ExitCode, Status, exit_code
from models.device import rfc3339

_STYLES = {Status.PASS: "green", Status.FAIL: "bold red", Status.CANNOT_TELL: "yellow"}


class Report(Protocol):
    """The answer of one command."""

    @property
    def exit_code(self) -> ExitCode:
        """For a script."""
        ...

    def as_json(self) -> dict[str, Any]:
        """For a script; `command` and `exitCode` are added to it."""
        ...

    def show(self, console: Console) -> None:
        """For a person."""
        ...


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Of `check`."""

    checks: Sequence[Check]
    exit_code: ExitCode

    def as_json(self) -> dict[str, Any]:
        """`checks`, each with what it is about, its answer, and its remedy."""
        return {
            "checks": [
                {
                    "area": check.area,
                    "name": check.name,
                    "status": check.status.value,
                    "detail": check.detail,
                    "remedy": check.remedy,
                    "counts": check.counts,
                }
                for check in self.checks
            ]
        }

    def show(self, console: Console) -> None:
        """One row a check."""
        table = _table("", "what", "found, and what to do")
        for check in self.checks:
            table.add_row(
                Text(check.status.value, _STYLES[check.status]),
                Text(f"{check.area}: {check.name}"),
                _with_remedy(check.detail, "" if check.status is Status.PASS else check.remedy),
            )
        console.print(table)
        console.print(Text(_VERDICTS[self.exit_code]))


_VERDICTS = {
    ExitCode.WELL: "Nothing is wrong, as far as it can be told from here.",
    ExitCode.WRONG: "Something is wrong: see the rows that fail.",
    ExitCode.USAGE: "Correct the settings first; nothing else was looked at.",
    ExitCode.CANNOT_TELL: "Nothing is known to be wrong, but not everything could be looked at.",
}


@dataclass(frozen=True, slots=True)
class UserReport:
    """Of `user`."""

    acs_mri: str
    devices: Sequence[DeviceView]

    @property
    def exit_code(self) -> ExitCode:
        """Wrong where no call could ring anything."""
        rings = any(device.state is DeviceState.RINGS for device in self.devices)
        return ExitCode.WELL if rings else ExitCode.WRONG

    def as_json(self) -> dict[str, Any]:
        """`devices`, with fingerprints in the place of tokens."""
        return {
            "acsMri": self.acs_mri,
            "callee": fingerprint(self.acs_mri),
            "devices": [
                {
                    "device": device.device,
                    "deviceUUID": device.device_uuid,
                    "platform": device.platform,
                    "tokenFingerprint": device.token,
                    "refreshedAt": rfc3339(device.refreshed_at),
                    "expiresAt": rfc3339(device.expires_at),
                    "state": device.state.value,
                }
                for device in self.devices
            ],
        }

    def show(self, console: Console) -> None:
        """One row a device."""
        console.print(Text(f"{self.acs_mri}\nIn the log lines: callee {fingerprint(self.acs_mri)}"))
        if self.devices:
            table = _table("", "device", "platform", "UUID", "token, sha256", "last refreshed", "expires")
            for device in self.devices:
                style = "green" if device.state is DeviceState.RINGS else "yellow"
                table.add_row(
                    Text(device.state.value, style),
                    *(Text(each) for each in (device.device, device.platform, device.device_uuid)),
                    *(Text(each) for each in (device.token, rfc3339(device.refreshed_at))),
                    Text(rfc3339(device.expires_at)),
                )
            console.print(table)
        if self.exit_code is not ExitCode.WELL:
            console.print(
                Text(
                    "No call can ring this user: no registration, or none that has not expired. The app has "
                    "to call add_device_token, and again before the registration expires."
                )
            )


@dataclass(frozen=True, slots=True)
class CallReport:
    """Of `call`."""

    name: str
    stories: Sequence[CallStory]

    @property
    def exit_code(self) -> ExitCode:
        """Cannot tell where the ledger knows nothing of it."""
        if not self.stories:
            return ExitCode.CANNOT_TELL
        return exit_code(story.status for story in self.stories)

    def as_json(self) -> dict[str, Any]:
        """`events`, each with its devices."""
        return {"id": self.name, "events": [story_as_json(story) for story in self.stories]}

    def show(self, console: Console) -> None:
        """One table an event."""
        for story in self.stories:
            show_story(console, story)
        if not self.stories:
            console.print(
                Text(
                    "The ledger knows no such call or event. It keeps a day. Either the event never came "
                    "(see the Event Grid subscription's metrics and dead letters), or it could not be "
                    "understood or the database was down (see the log for incoming_call lines that failed)."
                )
            )


@dataclass(frozen=True, slots=True)
class RingReport:
    """Of `ring`."""

    acs_mri: str
    outcome: RingOutcome
    stories: Sequence[CallStory]
    devices: int
    """How many should have rung."""

    @property
    def exit_code(self) -> ExitCode:
        """Well only where every device's push was taken."""
        if not self.stories:
            return ExitCode.WRONG
        complete = all(len(story.devices) >= self.devices for story in self.stories)
        return exit_code(story.status for story in self.stories) if complete else ExitCode.WRONG

    def as_json(self) -> dict[str, Any]:
        """`events` as for `call`, and how the deliveries went."""
        return {
            "acsMri": self.acs_mri,
            "deliveries": self.outcome.deliveries,
            "error": self.outcome.error,
            "logLine": self.outcome.last_line,
            "registeredDevices": self.devices,
            "events": [story_as_json(story) for story in self.stories],
        }

    def show(self, console: Console) -> None:
        """The event's table, and its log line's result."""
        for story in self.stories:
            show_story(console, story)
        line = self.outcome.last_line
        said = ", ".join(f"{name} {line[name]}" for name in ("result", "code", "detail") if name in line)
        console.print(Text(f"Deliveries: {self.outcome.deliveries}; the app's log line: {said or 'none'}"))
        if self.outcome.error is not None:
            console.print(Text(self.outcome.error, "bold red"))


def story_as_json(story: CallStory) -> dict[str, Any]:
    """One event and its devices."""
    return {
        "eventId": story.event_id,
        "callId": story.call_id,
        "firstSeenAt": rfc3339(story.first_seen),
        "state": story.state.value,
        "status": story.status.value,
        "detail": story.detail,
        "remedy": story.remedy,
        "devices": [
            {
                "device": device.device,
                "deviceUUID": device.device_uuid,
                "platform": device.platform,
                "outcome": device.outcome,
                "reason": device.reason,
                "status": device.status,
                "trackingId": device.tracking_id,
                "attempts": device.attempts,
                "ageMs": device.age_ms,
            }
            for device in story.devices
        ],
    }


def show_story(console: Console, story: CallStory) -> None:
    """One event: what became of it, then a row a device."""
    console.print(Text(f"Event {story.event_id}, call {story.call_id}, {rfc3339(story.first_seen)}"))
    headline = Text(story.state.value, _STYLES[story.status])
    console.print(headline.append(f": {story.detail}", "default"))
    if story.devices:
        table = _table("device", "platform", "outcome", "status", "tries", "age, ms", "TrackingId", "reason")
        for device in story.devices:
            cells = (
                f"{device.device}\n{device.device_uuid or 'not registered any more'}",
                device.platform or "?",
                device.outcome,
                str(device.status or "none"),
                str(device.attempts),
                str(device.age_ms),
                device.tracking_id or "",
                device.reason,
            )
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)
    console.print(Text(story.remedy, "dim"))


def _with_remedy(detail: str, remedy: str) -> Text:
    return Text(detail).append(f"\n→ {remedy}", "dim") if remedy else Text(detail)


def _table(*columns: str) -> Table:
    table = Table(show_lines=False, expand=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
