"""`python -m local`: its printed commands and its end."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import pytest

from local.process import Child, python_module
from local.stack import APP_DIRECTORY
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.processes import linux_only, marked_environment, marked_processes

START_SECONDS = 60.0
STOP_SECONDS = 40.0

pytestmark = linux_only


@dataclass(frozen=True)
class Run:
    """A running `python -m local`."""

    child: Child
    printed: HostLog
    mark: str

    def port(self) -> str:
        """The port of the app."""
        line = self.child.wait_for_line("The app listens on", START_SECONDS)
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found
        return found[1]

    def commands(self) -> dict[str, str]:
        """The printed commands by their headings."""
        self.port()

        def complete() -> bool:
            lines = self.printed.lines()
            last = lines.index("Delete the iPhone:") if "Delete the iPhone:" in lines else len(lines)
            return any("x-functions-key" in line for line in lines[last:])

        self.printed.wait_until(complete, "last of the curl lines")
        text = "\n".join(self.printed.lines())
        found = re.findall(r"^(\S[^\n]*):\n((?:  [^\n]+\n?)+)", text, re.MULTILINE)
        return {title: command for title, command in found if "curl" in command}

    def end(self, number: signal.Signals) -> int:
        """Send a signal; returns the exit status."""
        os.kill(self.child.pid, number)
        return self.child.wait(STOP_SECONDS)


@contextmanager
def run(*arguments: str) -> Iterator[Run]:
    environment, mark = marked_environment()
    printed = HostLog()
    # A killed process cannot remove its temporary files.
    with TemporaryDirectory() as scratch:
        child = Child.spawn(
            "python -m local",
            python_module("local", *arguments),
            environment={**environment, "TMPDIR": scratch},
            directory=APP_DIRECTORY,
            on_line=printed,
        )
        with child:
            yield Run(child, printed, mark)


def paste(command: str) -> str:
    """Run a command in a shell; returns its output."""
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", command],
        cwd=APP_DIRECTORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def status(answer: str) -> int:
    return int(answer.split(maxsplit=2)[1])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_printed_commands_and_sigint() -> None:
    """Every printed command does what its heading says; SIGINT then stops everything."""
    with run("--port", "0") as running:
        commands = running.commands()
        answers = {title.split()[0]: paste(command) for title, command in commands.items()}
        assert list(answers) == ["Register", "Look", "Place", "See", "Have", "Delete"]
        assert status(answers["Register"]) == 201
        assert status(answers["Look"]) == 200
        assert status(answers["Place"]) == 202
        assert status(answers["Delete"]) == 200
        (push,) = json.loads(answers["See"])["pushes"]
        assert push["format"] == "apple"
        statuses = re.findall(r"HTTP/1.1 (\d+)", answers["Have"])
        assert len(statuses) == 2
        assert all(status.startswith("2") for status in statuses)
        check_port_in_use(running.port())
        assert len(marked_processes(running.mark)) == 4
        assert running.end(signal.SIGINT) == 0
        assert marked_processes(running.mark) == []
        assert not any("Traceback" in line for line in running.printed.lines())


def check_port_in_use(port: str) -> None:
    """A port in use: exit 1 with a line that says so, and no process remains."""
    with run("--port", port) as second:
        assert second.child.wait(START_SECONDS) == 1
        said = "\n".join(second.printed.lines())
        assert "address already in use" in said
        assert port in said
        assert "Traceback" not in said
        assert marked_processes(second.mark) == []


def test_sigterm_during_the_start() -> None:
    """SIGTERM during the start stops everything with exit 0."""
    with run("--port", "0") as running:
        running.child.wait_for_line("Starting the Functions host", START_SECONDS)
        assert running.end(signal.SIGTERM) == 0
        assert marked_processes(running.mark) == []


def test_sigkill() -> None:
    """After SIGKILL, database, simulator and host end too."""
    with run("--port", "0") as running:
        running.port()
        assert len(marked_processes(running.mark)) == 4
        running.child.kill()
        deadline = time.monotonic() + STOP_SECONDS
        while left := marked_processes(running.mark):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
