"""The embedded database and child processes: started, restarted, killed, ended with their parent."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect

from local.database import DatabaseStartError, EmbeddedDatabase
from local.process import Child, ChildError, python_module

ROOT = Path(__file__).parents[2]
TIMEOUT = 20.0  # seconds, for anything that a test waits for

# A child that prints a line and then waits.
WAITS = "import time; print('here', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def eventually(condition: Callable[[], bool]) -> bool:
    """The condition becomes true within TIMEOUT."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid: int) -> bool:
    """No such process runs; a zombie counts as gone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in {"Z", "X"}


def names(database: EmbeddedDatabase) -> list[str]:
    """The documents of the test collection."""
    with connect(database) as client:
        return sorted(one["_id"] for one in things(client).find())


def connect(database: EmbeddedDatabase) -> MongoClient[dict[str, Any]]:
    return MongoClient(database.uri, serverSelectionTimeoutMS=5000, socketTimeoutMS=5000)


def things(client: MongoClient[dict[str, Any]]) -> Collection[dict[str, Any]]:
    return client["test"]["things"]


@pytest.fixture(scope="module")
def database() -> Iterator[EmbeddedDatabase]:
    """A database in memory, with fail points allowed."""
    with EmbeddedDatabase(test_commands=True) as running:
        yield running


class TestTemporary:
    def test_answers(self, database: EmbeddedDatabase) -> None:
        """It listens on loopback as a standalone server."""
        assert database.uri.startswith("mongodb://127.0.0.1:")
        with connect(database) as client:
            assert client.admin.command("ping")["ok"] == 1
            assert "setName" not in client.admin.command("hello")

    def test_ttl_sweep(self, database: EmbeddedDatabase) -> None:
        """A sweep deletes expired documents only."""
        now = datetime.now(UTC)
        with connect(database) as client:
            things(client).create_index("expiresAt", expireAfterSeconds=0)
            things(client).insert_many(
                [
                    {"_id": "expired", "expiresAt": now - timedelta(seconds=60)},
                    {"_id": "valid", "expiresAt": now + timedelta(seconds=60)},
                ]
            )
            database.prune_ttl()
        assert names(database) == ["valid"]

    def test_fail_points(self, database: EmbeddedDatabase) -> None:
        """A fail point can close the connection of the next command."""
        fail_point = {
            "configureFailPoint": "failCommand",
            "mode": {"times": 1},
            "data": {"failCommands": ["insert"], "closeConnection": True},
        }
        with connect(database) as client:
            client.admin.command(fail_point)
            with pytest.raises(AutoReconnect):
                things(client).insert_one({"_id": "lost"})

    def test_second_start_does_nothing(self, database: EmbeddedDatabase) -> None:
        """A second start has no effect."""
        pid = database.pid
        database.start()
        assert database.pid == pid


class TestRestart:
    def test_stop_and_kill_keep_the_data(self, tmp_path: Path) -> None:
        """With a directory, data survives a stop, and acknowledged writes survive SIGKILL; the URI stays."""
        with EmbeddedDatabase(tmp_path / "data") as database:
            uri, first_pid = database.uri, database.pid
            with connect(database) as client:
                things(client).insert_one({"_id": "before the stop"})
            database.stop()
            database.start()
            assert names(database) == ["before the stop"]
            with connect(database) as client:
                things(client).insert_many([{"_id": f"{n:03}"} for n in range(100)])
            database.kill()
            database.start()
            assert len(names(database)) == 101
            assert (database.uri, database.pid != first_pid) == (uri, True)
            database.kill()

    def test_nothing_is_left_behind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """After a kill of a temporary database neither its process nor its files remain."""
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        database = EmbeddedDatabase()
        database.start()
        pid = database.pid
        assert pid is not None
        assert list(tmp_path.iterdir())
        database.kill()
        assert is_gone(pid)
        assert list(tmp_path.iterdir()) == []
        assert database.pid is None

    def test_directory_in_use(self, tmp_path: Path) -> None:
        """A second database on the same directory is an error with the output of the process."""
        with (
            EmbeddedDatabase(tmp_path / "data"),
            pytest.raises(DatabaseStartError, match="ended with status"),
        ):
            EmbeddedDatabase(tmp_path / "data").start()

    def test_uri_before_the_start(self) -> None:
        """There is no URI before the first start."""
        with pytest.raises(DatabaseStartError):
            _ = EmbeddedDatabase().uri


class TestChild:
    def test_ready_line(self) -> None:
        """The ready line is found among other lines of stdout."""
        code = """print('hello\\n{"ready": false}\\n[1]\\n{"ready": true, "url": "u"}\\nmore')"""
        with Child.spawn("child", python(code)) as child:
            assert child.wait_for_ready(TIMEOUT) == {"ready": True, "url": "u"}

    def test_end_before_ready(self) -> None:
        """A child that ends before its ready line is an error with its status and last lines."""
        code = "import sys; print('to stdout'); sys.exit('to stderr')"
        with Child.spawn("child", python(code)) as child, pytest.raises(ChildError) as failed:
            child.wait_for_ready(TIMEOUT)
        assert str(failed.value).startswith("child ended with status 1 before its ready line\n")
        assert "to stdout" in str(failed.value)
        assert "to stderr" in str(failed.value)

    def test_too_late(self) -> None:
        """A child that takes too long is an error that names the limit."""
        with (
            Child.spawn("child", python(WAITS)) as child,
            pytest.raises(ChildError, match=r"took more than 0\.1 s for its ready line"),
        ):
            child.wait_for_ready(0.1)

    def test_much_output(self) -> None:
        """A child that writes more than a pipe can hold is not blocked; the last lines are kept."""
        seen: list[tuple[str, str]] = []
        code = "import sys\nfor n in range(20000): print('out', n); print('err', n, file=sys.stderr)"
        with Child.spawn("child", python(code), on_line=lambda *line: seen.append(line)) as child:
            assert child.wait(TIMEOUT) == 0
            assert len(child.lines()) < 1000
        assert len(seen) == 40000
        assert ("stdout", "out 19999") in seen
        assert ("stderr", "err 19999") in seen

    def test_environment_and_directory(self, tmp_path: Path) -> None:
        """The child has exactly the given environment and directory."""
        code = "import os; print(os.environ['GIVEN'], 'HOME' in os.environ, os.getcwd())"
        with Child.spawn("child", python(code), environment={"GIVEN": "yes"}, directory=tmp_path) as child:
            assert child.wait(TIMEOUT) == 0
            assert child.lines() == [f"yes False {tmp_path.resolve()}"]

    def test_module(self) -> None:
        """A module of the project runs with this interpreter."""
        with Child.spawn("child", python_module("local.host", "--help"), directory=ROOT) as child:
            assert child.wait(TIMEOUT) == 0
            assert "--app-directory" in "\n".join(child.lines())

    def test_unknown_command(self, tmp_path: Path) -> None:
        """A command that does not exist is an error."""
        with (
            pytest.raises(ChildError, match=r"cannot run|could not be started"),
            Child.spawn("child", [str(tmp_path / "nothing")]) as child,
        ):
            child.wait_for_ready(TIMEOUT)

    @pytest.mark.parametrize(("code", "status"), [(WAITS, -signal.SIGTERM), (STUBBORN, -signal.SIGKILL)])
    def test_stop(self, code: str, status: int) -> None:
        """A stop sends SIGTERM, then SIGKILL; a second stop has no effect."""
        child = Child.spawn("child", python(code))
        child.wait_for_line("here", TIMEOUT)
        child.stop(grace=0.2 if code is STUBBORN else TIMEOUT)
        assert child.returncode == status
        child.stop()

    def test_repr_shows_no_secret(self) -> None:
        """The representation shows neither the command line nor the environment."""
        with Child.spawn("child", python("print('sesame')"), environment={"KEY": "sesame"}) as child:
            assert repr(child).startswith(f"<Child child pid={child.pid} ")
            assert "sesame" not in repr(child)

    @pytest.mark.skipif(sys.platform != "linux", reason="the death signal exists on Linux only")
    def test_dies_with_the_parent(self) -> None:
        """When the parent is killed with SIGKILL, its child ends too, from any thread that started it."""
        code = f"""
import sys, threading, time
from local.process import Child
def start():
    child = Child.spawn("grandchild", [sys.executable, "-c", {WAITS!r}])
    child.wait_for_line("here", {TIMEOUT})
    print("pid", child.pid, flush=True)
starter = threading.Thread(target=start)
starter.start()
starter.join()
time.sleep(60)
"""
        with Child.spawn("parent", python(code), directory=ROOT) as parent:
            grandchild = int(parent.wait_for_line("pid", TIMEOUT).removeprefix("pid "))
            assert not is_gone(grandchild)
            os.kill(parent.pid, signal.SIGKILL)
            assert eventually(lambda: is_gone(grandchild))

    def test_ends_with_a_parent_that_exits(self) -> None:
        """A parent that exits without stopping its child ends it."""
        code = f"""
import sys
from local.process import Child
child = Child.spawn("grandchild", [sys.executable, "-c", {WAITS!r}])
child.wait_for_line("here", {TIMEOUT})
print("pid", child.pid, flush=True)
"""
        with Child.spawn("parent", python(code), directory=ROOT) as parent:
            assert parent.wait(TIMEOUT) == 0
            grandchild = int(parent.wait_for_line("pid", TIMEOUT).removeprefix("pid "))
            assert is_gone(grandchild)
