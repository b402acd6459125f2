"""What the doctor finds, as values, and what a script is told about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Status(StrEnum):
    """The answer to one question."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    CANNOT_TELL = "cannot tell"


class ExitCode(IntEnum):
    """What the command ends with."""

    WELL = 0
    WRONG = 1
    """Something is wrong, and the output says what to do."""
    USAGE = 2
    """The command line or the settings: nothing was looked at."""
    CANNOT_TELL = 3
    """Nothing was found wrong, but something could not be looked at."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer; nothing in it is secret."""

    area: str
    name: str
    status: Status
    detail: str
    remedy: str = ""
    """What to do about it, or where to look."""
    counts: bool = True
    """False where nobody could tell from here, so that it does not make the exit code."""


def exit_code(statuses: Iterable[Status]) -> ExitCode:
    """The worst of `statuses`, for a script; no answer at all is well."""
    found = set(statuses)
    if Status.FAIL in found:
        return ExitCode.WRONG
    return ExitCode.CANNOT_TELL if Status.CANNOT_TELL in found else ExitCode.WELL


def exit_code_of(checks: Iterable[Check]) -> ExitCode:
    """The same for checks, without those that do not count."""
    return exit_code(check.status for check in checks if check.counts)


@dataclass(frozen=True, slots=True)
class Area:
    """Makes the checks of one area."""

    name: str

    def passed(self, name: str, detail: str) -> Check:
        """It is as it should be."""
        return Check(self.name, name, Status.PASS, detail)

    def failed(self, name: str, detail: str, remedy: str) -> Check:
        """It is not."""
        return Check(self.name, name, Status.FAIL, detail, remedy)

    def unknown(self, name: str, detail: str, remedy: str = "", *, counts: bool = True) -> Check:
        """It cannot be told."""
        return Check(self.name, name, Status.CANNOT_TELL, detail, remedy, counts)
