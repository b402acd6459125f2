"""Child processes of the development tools: started, watched, drained, stopped, and never left behind."""

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
"""Called with ("stdout" or "stderr", the line without its end) for every line, from another thread."""

KEPT_LINES = 400
"""How many of the last lines are kept for error messages."""

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class ChildError(Exception):
    """The child did not do what was waited for; the message ends with its last lines."""


def python_module(module: str, *arguments: str) -> list[str]:
    """The command line of `python -m module …` with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


class Child:
    """A child process; made by `spawn`, ended by `stop`, `kill` or leaving the `with` block.

    Both output pipes are read all the time, so the child never blocks on a full one. If this process dies,
    whatever the way, the child gets SIGTERM (Linux only; elsewhere only a regular exit stops it).
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
        """Start `command`; `environment` is the whole environment, this process's own if left out."""
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
        """The child's ready line, a JSON object on stdout with `"ready": true`; raises ChildError."""
        self._wait(lambda: self._ready is not None, "its ready line", timeout)
        return dict(self._ready or {})

    def wait_for_line(self, text: str, timeout: float) -> str:
        """The first kept line, of either stream, that contains `text`; raises ChildError."""
        self._wait(lambda: any(text in line for line in self._lines), f"a line with {text!r}", timeout)
        return next(line for line in self.lines() if text in line)

    def wait(self, timeout: float) -> int:
        """The exit status once the child has ended by itself; raises ChildError."""
        self._wait(lambda: False, "its end", timeout, or_end=True)
        self._reap()
        return self._running().wait()

    def lines(self) -> list[str]:
        """The last lines of both streams, oldest first."""
        with self._changed:
            return list(self._lines)

    def stop(self, grace: float = 15.0) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds; nothing if it has ended already."""
        if self.returncode is None:
            self._running().terminate()
            try:
                self._running().wait(grace)
            except subprocess.TimeoutExpired:
                self._running().kill()
        self._reap()

    def kill(self) -> None:
        """SIGKILL: the child gets no chance to finish anything."""
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
        # Not the command or the environment: both may hold secrets.
        return f"<Child {self.name} pid={self.pid} returncode={self.returncode}>"

    def _start(self, environment: Mapping[str, str] | None, directory: Path | None) -> None:
        # Linux sends the death signal when the *thread* that started the child ends (prctl(2)). The thread
        # that reads the child's stdout lives as long as the child, so that one starts it.
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
                _leashed(self._command),
                env=None if environment is None else dict(environment),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                # A Ctrl-C in the terminal reaches only the parent, which then stops its children in order.
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
                # The end itself notifies nobody, only the end of its pipes does: look now and then.
                self._changed.wait(min(left, 0.1))

    def _has_ended(self) -> bool:
        """Ended, and everything that it wrote has been read."""
        return self.returncode is not None and not any(one.is_alive() for one in self._drains)

    def _explain(self, what: str) -> str:
        return "\n".join([f"{self.name} {what}", *list(self._lines)[-30:]])

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None  # noqa: S101 - `spawn` raises if there is none
        return self._process

    def _reap(self) -> None:
        self._running().wait()
        for drain in self._drains:
            # A pipe that a grandchild keeps open has no end to wait for.
            if drain is not threading.current_thread():
                drain.join(timeout=2.0)
        atexit.unregister(self.stop)


def _ready_line(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.get("ready") is True else None


def _leashed(command: Sequence[str]) -> list[str]:
    """The command that dies with its parent: this file, run as a script, asks for that and becomes it."""
    if sys.platform != "linux":
        return list(command)
    # Between fork and exec a threaded parent should run no Python (`preexec_fn`), so it is done after exec.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent: int, command: Sequence[str]) -> None:
    """Ask the kernel for SIGTERM at the parent's death, then turn into `command`; the process id stays."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel knew
        sys.exit(1)
    try:
        os.execvp(command[0], list(command))  # noqa: S606 - the caller's own command, no shell
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error}")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
