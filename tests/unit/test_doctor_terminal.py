"""What the doctor writes for people: it can be read, searched, copied, and shown on any console."""

import io
import sys

import pytest

from doctor.checks.findings import Check, Status
from doctor.commands.check import CheckReport, Checks
from doctor.terminal import Terminal, tolerate_any_character

UUID = "abcdefab-cdef-abcd-efab-cdefabcdefab"
COMMAND = "az functionapp config appsettings list --name " + "a" * 80 + " --resource-group " + "b" * 60
PASSED = Check("hub", "key", Status.PASS, "accepted")
FAILED = Check("database", "reachable", Status.FAIL, "no answer", "Paste this:", (COMMAND,))
UNKNOWN = Check("hub", "exists", Status.CANNOT_TELL, "not asked", "Look there.")
IGNORED = Check("elsewhere", "bundle id", Status.CANNOT_TELL, "not known here", "Portal.", counts=False)


def shown(capsys: pytest.CaptureFixture[str], *checks: Check, everything: bool = False) -> str:
    CheckReport(Checks(checks, usable=True), show_all=everything).show(Terminal())
    return capsys.readouterr().out


class TestTerminal:
    def test_ids_stay_whole(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Text is wrapped between words; an id with hyphens is never broken."""
        Terminal().text(" ".join([UUID] * 12), 4)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) > 1
        assert {word for line in lines for word in line.split()} == {UUID}

    def test_console_without_the_character(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a console of another code page a character that it lacks is replaced."""
        written = io.BytesIO()
        console = io.TextIOWrapper(written, encoding="cp1252")
        monkeypatch.setattr(sys, "stdout", console)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        tolerate_any_character()
        Terminal().text("\u7535\u8bdd")
        console.flush()
        assert written.getvalue().split() == [b"??"]


class TestCheckReport:
    def test_order(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Failures come first, then what counts and is not known, then what does not count."""
        text = shown(capsys, PASSED, IGNORED, UNKNOWN, FAILED)
        places = [text.index(name) for name in ("database: reachable", "hub: exists", "bundle id")]
        assert places == sorted(places)
        assert "Not known from here: bundle id." in text
        assert "1 checks pass; --all shows them." in text
        assert "hub: key" not in text

    def test_everything(self, capsys: pytest.CaptureFixture[str]) -> None:
        """With --all every check is shown, and where to look for what cannot be known from here."""
        text = shown(capsys, PASSED, FAILED, IGNORED, everything=True)
        assert "hub: key" in text
        assert "Portal." in text

    def test_command_to_paste(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A command stands on one line of its own, however long it is."""
        assert COMMAND in [line.strip() for line in shown(capsys, FAILED).splitlines()]

    def test_plain_characters(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The report itself needs no character beyond ASCII."""
        assert shown(capsys, PASSED, UNKNOWN, FAILED, IGNORED).isascii()
