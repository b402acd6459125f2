"""What a run has done so far: for a person, or as JSON for a program. No token, no MRI."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.table import Table

from migrate.sample_documents import EXPLANATIONS, REPAIRED_BY_THE_APPS, Skipped

MAXIMUM_DETAILS = 1_000
"""As many skipped devices are listed one by one."""


@dataclass(slots=True)
class Report:
    """Counts, at any moment of a run."""

    dry_run: bool
    finished: bool = False
    error: str | None = None
    users: int = 0
    devices: int = 0
    """Entries, taken over or not."""
    taken_over: int = 0
    """In this run."""
    already_taken_over: int = 0
    """By an earlier run; what an app has done with them since stands."""
    shortened: int = 0
    """Of those taken over: how many live shorter than `--ttl-seconds`, because they are Teams users'."""
    skipped: Counter[str] = field(default_factory=Counter)
    details: list[Skipped] = field(default_factory=list)

    def skip(self, skipped: Iterable[Skipped]) -> None:
        """Count devices that are not taken over."""
        for each in skipped:
            self.skipped[each.reason.value] += 1
            if len(self.details) < MAXIMUM_DETAILS:
                self.details.append(each)

    @property
    def lost(self) -> int:
        """Devices that do not ring through this app until their apps register."""
        repaired = {reason.value for reason in REPAIRED_BY_THE_APPS}
        return sum(count for reason, count in self.skipped.items() if reason not in repaired)

    def as_json(self, *, with_details: bool) -> dict[str, object]:
        """The report as an object that stays stable from version to version."""
        report: dict[str, object] = {
            "dryRun": self.dry_run,
            "finished": self.finished,
            "error": self.error,
            "users": self.users,
            "devices": self.devices,
            "takenOver": self.taken_over,
            "alreadyTakenOver": self.already_taken_over,
            "shortenedToOneDay": self.shortened,
            "skipped": dict(self.skipped),
        }
        if with_details:
            report["skippedDevices"] = [
                {"user": each.user, "device": each.device, "reason": each.reason.value}
                for each in self.details
            ]
        return report

    def as_tables(self, *, with_details: bool) -> list[Table]:
        """The report for a person."""
        taken = "would be taken over" if self.dry_run else "taken over"
        summary = Table("users", "devices", taken, "already taken over", "of those taken: one day only")
        counts = (self.users, self.devices, self.taken_over, self.already_taken_over, self.shortened)
        summary.add_row(*(f"{count:,}" for count in counts))
        tables = [summary]
        if self.skipped:
            skipped = Table("skipped", "devices", "why")
            for reason, why in EXPLANATIONS.items():
                if count := self.skipped[reason.value]:
                    skipped.add_row(reason.value, f"{count:,}", why)
            tables.append(skipped)
        if with_details and self.details:
            details = Table("user sha256:", "device UUID sha256:", "skipped")
            for each in self.details:
                details.add_row(each.user, each.device or "-", each.reason.value)
            tables.append(details)
        return tables
