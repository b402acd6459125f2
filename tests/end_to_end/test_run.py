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
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import requests

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
        line = self.child.wait_for_line("AddDeviceToken: [POST] http://", START_SECONDS)
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found
        return found[1]

    def value(self, name: str) -> str:
        """The first word behind a printed name, such as `Host key`."""
        line = self.child.wait_for_line(f"{name}   ", START_SECONDS)
        return line.removeprefix(name).split()[0]

    def commands(self) -> dict[str, str]:
        """The printed commands by their headings."""
        self.port()

        self.child.wait_for_line("Ctrl-C stops everything.", START_SECONDS)
        text = "\n".join(self.printed.lines())
        found = re.findall(r"^(\S[^\n]*):\n((?:  [^\n]+\n?)+)", text, re.MULTILINE)
        return {title: command for title, command in found if "curl" in command or "doctor" in command}

    def end(self, number: signal.Signals) -> int:
        """Send a signal; returns the exit status."""
        os.kill(self.child.pid, number)
        return self.child.wait(STOP_SECONDS)


@contextmanager
def run(*arguments: str, data: Path | None = None) -> Iterator[Run]:
    environment, mark = marked_environment()
    printed = HostLog()
    # A killed process cannot remove its temporary files.
    with TemporaryDirectory() as scratch:
        child = Child.spawn(
            "python -m local",
            python_module("local", "--data", str(data or Path(scratch, "data")), *arguments),
            environment={**environment, "TMPDIR": scratch},
            directory=APP_DIRECTORY,
            on_line=printed,
        )
        with child:
            yield Run(child, printed, mark)


def paste(command: str) -> str:
    """Run a command in a shell, in any folder; returns its output."""
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", command],
        cwd="/",
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
        timers = ["Run"] if "timerTrigger" in "\n".join(running.printed.lines()) else []
        first = ["Register", "Look", "Place", "Show", "Let", "Examine", "Uninstall"]
        assert list(answers) == [*first, *timers, "Delete"]
        assert status(answers["Uninstall"]) == 200
        assert all(status(answers[title]) == 202 for title in timers)
        assert status(answers["Register"]) == 201
        assert status(answers["Look"]) == 200
        assert status(answers["Place"]) == 202
        assert status(answers["Delete"]) == 200
        (push,) = json.loads(answers["Show"])["pushes"]
        assert push["format"] == "apple"
        statuses = re.findall(r"HTTP/1.1 (\d+)", answers["Let"])
        assert len(statuses) == 2
        assert all(status.startswith("2") for status in statuses)
        check_port_in_use(running.port())
        check_refusal(running)
        assert len(marked_processes(running.mark)) == 4
        assert running.end(signal.SIGINT) == 0
        assert marked_processes(running.mark) == []
        assert not any("Traceback" in line for line in running.printed.lines())


def check_port_in_use(port: str) -> None:
    """A port in use: exit 1 with a line that says so, and no process remains."""
    with run("--port", port) as second:
        assert second.child.wait(START_SECONDS) == 1
        said = "\n".join(second.printed.lines())
        assert f"Port {port} cannot be used (Address already in use)" in said
        assert f"make run ARGS='--port {int(port) + 2}'" in said
        assert "Traceback" not in said
        assert "Starting" not in said
        assert marked_processes(second.mark) == []


def check_refusal(running: Run) -> None:
    """A refused request has no reason in its answer; the printed log line has it."""
    url = f"http://127.0.0.1:{running.port()}/api/add_device_token"
    assert requests.post(url, headers={"x-functions-key": "wrong"}, timeout=10).status_code == 401
    line = running.child.wait_for_line("/api/add_device_token: answered 401", START_SECONDS)
    assert "an unknown key; it needs the key of AddDeviceToken, the host key or the master key" in line


def test_what_is_printed_and_kept(tmp_path: Path) -> None:
    """Functions with their routes; a host key that the next start has too; a settings file meanwhile."""
    with run("--port", "0", data=tmp_path) as first:
        first.commands()
        text = "\n".join(first.printed.lines())
        route = r"http://127\.0\.0\.1:\d+/api/add_device_token"
        assert re.search(rf"^        AddDeviceToken: \[POST\] {route}$", text, re.M)
        assert re.search(r"^        IncomingCallEventHandler: eventGridTrigger$", text, re.M)
        assert "Successfully indexed" not in text
        key, database = first.value("Host key"), first.value("Database")
        settings = Path(first.value("Settings"))
        values = json.loads(settings.read_text())["Values"]
        assert (values["MongoDbConnectionString"], values["DbName"]) == (database, "calling")
        assert settings.stat().st_mode & 0o077 == 0
        assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0
        assert first.end(signal.SIGINT) == 0
        assert not settings.exists()
    with run("--port", "0", data=tmp_path) as second:
        assert second.value("Host key") == key


def test_unusable_keys(tmp_path: Path) -> None:
    """A keys file that cannot be read is an error that names it, before anything is started."""
    (tmp_path / "keys.json").write_text("{")
    with run("--port", "0", data=tmp_path) as running:
        assert running.child.wait(START_SECONDS) == 1
        said = "\n".join(running.printed.lines())
        assert f"{tmp_path / 'keys.json'} cannot be used" in said
        assert "Starting" not in said


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
