"""`python -m local`: the stack that stays up, and the lines that it says to try."""

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
        """Where the app listens."""
        line = self.child.wait_for_line("The app listens on", START_SECONDS)
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found
        return found[1]

    def commands(self) -> dict[str, str]:
        """What each command is for → the command, as it would be pasted."""
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
        """Its exit status after a signal."""
        os.kill(self.child.pid, number)
        return self.child.wait(STOP_SECONDS)


@contextmanager
def run(*arguments: str) -> Iterator[Run]:
    environment, mark = marked_environment()
    printed = HostLog()
    # One that is killed cannot remove its temporary files.
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
    """Run a command as a person would who pastes it into a shell; what it prints."""
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


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl to paste its lines into")
def test_the_lines_work_and_sigint_stops_it() -> None:
    """Every printed line does what its heading says; Ctrl-C then stops all of it."""
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
        orders = re.findall(r"HTTP/1.1 (\d+)", answers["Have"])
        assert len(orders) == 2
        assert all(order.startswith("2") for order in orders)
        check_port_in_use(running.port())
        assert len(marked_processes(running.mark)) == 4
        assert running.end(signal.SIGINT) == 0
        assert marked_processes(running.mark) == []
        assert not any("Traceback" in line for line in running.printed.lines())


def check_port_in_use(port: str) -> None:
    """A port that somebody has: exit 1 with a line that says so, and nothing left behind."""
    with run("--port", port) as second:
        assert second.child.wait(START_SECONDS) == 1
        said = "\n".join(second.printed.lines())
        assert "address already in use" in said
        assert port in said
        assert "Traceback" not in said
        assert marked_processes(second.mark) == []


def test_sigterm_stops_it() -> None:
    """SIGTERM, as from a process manager, stops everything with exit 0, even while it still starts."""
    with run("--port", "0") as running:
        running.child.wait_for_line("Starting the Functions host", START_SECONDS)
        assert running.end(signal.SIGTERM) == 0
        assert marked_processes(running.mark) == []


def test_its_death_stops_it() -> None:
    """Killed outright, it takes database, simulator and host with it."""
    with run("--port", "0") as running:
        running.port()
        assert len(marked_processes(running.mark)) == 4
        running.child.kill()
        deadline = time.monotonic() + STOP_SECONDS
        while left := marked_processes(running.mark):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
