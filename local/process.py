"""Child processes: started, read, stopped, and ended with their parent."""

import atexit
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

OnLine = Callable[[str, str], None]
"""Called from another thread with ("stdout" or "stderr", the line without its line break)."""

KEPT_LINES = 400
"""Number of last lines that are kept for error messages."""

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class ChildError(Exception):
    """The child failed or took too long; the message ends with its last lines."""


def python_module(module: str, *arguments: str) -> list[str]:
    """The command line of `python -m module …` with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


class Child:
    """A child process; `spawn` starts it; `stop`, `kill` or the end of the `with` block ends it.

    Both output pipes are read all the time, so that the child never blocks on a full pipe. If this process
    ends in any way, the child gets SIGTERM (Linux only; on other systems only a regular exit stops it).
    """

    def __init__(self, name: str, command: Sequence[str], on_line: OnLine | None) -> None:
        self.name = name
        self._command = list(command)
        self._on_line = on_line
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._changed = threading.Condition()
        self._ready: dict[str, Any] | None = None
        self._drains: list[threading.Thread] = []
        self._process: subprocess.Popen[str] | None = None
        self._spawn_error: OSError | None = None

    @classmethod
    def spawn(
        cls,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        on_line: OnLine | None = None,
    ) -> Self:
        """Start `command`; `environment` is its whole environment, by default that of this process."""
        child = cls(name, command, on_line)
        child._start(environment, directory)
        atexit.register(child.stop)
        return child

    @property
    def pid(self) -> int:
        """The process id."""
        return self._running().pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; `None` while it runs."""
        return self._running().poll()

    def wait_for_ready(self, timeout: float) -> dict[str, Any]:
        """Wait for the ready line, a JSON object on stdout with `"ready": true`; raises ChildError."""
        self._wait(lambda: self._ready is not None, "its ready line", timeout)
        return dict(self._ready or {})

    def wait_for_line(self, text: str, timeout: float) -> str:
        """Wait for a line of either stream that contains `text`; raises ChildError."""
        self._wait(lambda: any(text in line for line in self._lines), f"a line with {text!r}", timeout)
        return next(line for line in self.lines() if text in line)

    def wait(self, timeout: float) -> int:
        """Wait until the child has ended by itself; returns its exit status, raises ChildError."""
        self._wait(lambda: False, "its end", timeout, or_end=True)
        self._reap()
        return self._running().wait()

    def lines(self) -> list[str]:
        """The last lines of both streams, oldest first."""
        with self._changed:
            return list(self._lines)

    def stop(self, grace: float = 15.0) -> None:
        """Send SIGTERM, and SIGKILL after `grace` seconds; no effect if it has ended."""
        if self.returncode is None:
            self._running().terminate()
            try:
                self._running().wait(grace)
            except subprocess.TimeoutExpired:
                self._running().kill()
        self._reap()

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.returncode is None:
            self._running().kill()
        self._reap()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        # Without command and environment: both may contain secrets.
        return f"<Child {self.name} pid={self.pid} returncode={self.returncode}>"

    def _start(self, environment: Mapping[str, str] | None, directory: Path | None) -> None:
        # Linux sends the death signal when the *thread* that started the child ends (prctl(2)). The thread
        # that reads stdout lives as long as the child, so it starts the child.
        started = threading.Event()
        reader = threading.Thread(
            target=self._launch_and_drain,
            args=(environment, directory, started),
            name=f"{self.name}-stdout",
            daemon=True,
        )
        self._drains.append(reader)
        reader.start()
        started.wait()
        if self._spawn_error is not None:
            raise ChildError(f"{self.name} could not be started: {self._spawn_error}")

    def _launch_and_drain(
        self, environment: Mapping[str, str] | None, directory: Path | None, started: threading.Event
    ) -> None:
        try:
            self._process = process = subprocess.Popen(
                _with_death_signal(self._command),
                env=None if environment is None else dict(environment),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                # Ctrl-C in the terminal then reaches the parent only, which stops its children in order.
                start_new_session=True,
            )
            stderr = threading.Thread(
                target=self._drain, args=("stderr", process.stderr), name=f"{self.name}-stderr", daemon=True
            )
            self._drains.append(stderr)
            stderr.start()
        except OSError as error:
            self._spawn_error = error
            return
        finally:
            started.set()
        self._drain("stdout", process.stdout)

    def _drain(self, stream: str, pipe: IO[str] | None) -> None:
        assert pipe is not None  # noqa: S101 - both are pipes
        with pipe:
            for line in pipe:
                self._take(stream, line.rstrip("\n"))
        with self._changed:
            self._changed.notify_all()

    def _take(self, stream: str, line: str) -> None:
        ready = _ready_line(line) if stream == "stdout" and self._ready is None else None
        with self._changed:
            self._lines.append(line)
            self._ready = self._ready or ready
            self._changed.notify_all()
        if self._on_line is not None:
            self._on_line(stream, line)

    def _wait(self, done: Callable[[], bool], awaited: str, timeout: float, *, or_end: bool = False) -> None:
        deadline = time.monotonic() + timeout
        with self._changed:
            while not done():
                if self._has_ended():
                    if or_end or done():
                        return
                    raise ChildError(self._explain(f"ended with status {self.returncode} before {awaited}"))
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ChildError(self._explain(f"took more than {timeout:g} s for {awaited}"))
                # The end of the process sends no notification, only the end of its pipes: poll.
                self._changed.wait(min(left, 0.1))

    def _has_ended(self) -> bool:
        """The process has ended, and its output has been read."""
        return self.returncode is not None and not any(one.is_alive() for one in self._drains)

    def _explain(self, what: str) -> str:
        return "\n".join([f"{self.name} {what}", *list(self._lines)[-30:]])

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None  # noqa: S101 - `spawn` raises if there is none
        return self._process

    def _reap(self) -> None:
        self._running().wait()
        for drain in self._drains:
            # A grandchild may keep the pipe open, so the wait is bounded.
            if drain is not threading.current_thread():
                drain.join(timeout=2.0)
        atexit.unregister(self.stop)


def _ready_line(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.get("ready") is True else None


def _with_death_signal(command: Sequence[str]) -> list[str]:
    """The command, started through this file as a script, so that it ends with its parent (Linux)."""
    if sys.platform != "linux":
        return list(command)
    # A threaded parent must not run Python between fork and exec (`preexec_fn`): done after exec instead.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent: int, command: Sequence[str]) -> None:
    """Ask the kernel for SIGTERM when the parent ends, then exec `command` in this process."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent ended before the request
        sys.exit(1)
    try:
        os.execvp(command[0], list(command))  # noqa: S606 - the caller's own command, no shell
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error}")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
