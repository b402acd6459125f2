"""The doctor's findings, and the exit code that follows from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Status(StrEnum):
    """The answer to one question."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    CANNOT_TELL = "cannot tell"
    NOTE = "note"
    """Known, and right or wrong depending on what is intended; it does not decide the exit code."""


class ExitCode(IntEnum):
    """The exit code of every command."""

    OK = 0
    FAILED = 1
    """Something is wrong; the output says what to do."""
    USAGE = 2
    """The command line or the settings are wrong; nothing was looked at."""
    CANNOT_TELL = 3
    """Nothing is known to be wrong, but something could not be looked at."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer; nothing in it is secret."""

    area: str
    name: str
    status: Status
    detail: str
    remedy: str = ""
    """What to do, or where to look."""
    commands: tuple[str, ...] = ()
    """Command lines to paste that belong to the remedy."""
    counts: bool = True
    """False where the answer cannot be had from here, so that it does not decide the exit code."""


def exit_code(statuses: Iterable[Status]) -> ExitCode:
    """The worst of `statuses`; without any, `OK`."""
    found = set(statuses)
    if Status.FAIL in found:
        return ExitCode.FAILED
    return ExitCode.CANNOT_TELL if Status.CANNOT_TELL in found else ExitCode.OK


def exit_code_of(checks: Iterable[Check]) -> ExitCode:
    """The worst status of the checks that count."""
    return exit_code(check.status for check in checks if check.counts)


@dataclass(frozen=True, slots=True)
class Area:
    """Makes the checks of one area."""

    name: str

    def passed(self, name: str, detail: str) -> Check:
        """A check that passes."""
        return Check(self.name, name, Status.PASS, detail)

    def failed(self, name: str, detail: str, remedy: str, *commands: str) -> Check:
        """A check that fails, and what to do."""
        return Check(self.name, name, Status.FAIL, detail, remedy, commands)

    def note(self, name: str, detail: str, remedy: str = "", *commands: str) -> Check:
        """Something to know that may be intended."""
        return Check(self.name, name, Status.NOTE, detail, remedy, commands, counts=False)

    def unknown(self, name: str, detail: str, remedy: str = "", *commands: str, counts: bool = True) -> Check:
        """A check whose answer is not known."""
        return Check(self.name, name, Status.CANNOT_TELL, detail, remedy, commands, counts)
