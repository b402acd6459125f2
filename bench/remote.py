"""A Python child process that answers orders: what is measured runs in a process of its own."""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Protocol, Self

_ANSWER_SECONDS = 1_800.0
"""Filling a database with a million registrations takes some minutes."""
_STOP_SECONDS = 15.0


class RemoteError(Exception):
    """The child failed or does not answer; the message says what it said."""


class Service[Order, Answer](Protocol):
    """What runs in the child."""

    def answer(self, order: Order) -> Answer:
        """Carry out one order."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """What a stretch of work took."""

    wall_seconds: float
    cpu_seconds: float
    """User and system time of the whole process, all threads (`getrusage(RUSAGE_SELF)`)."""


class Stopwatch:
    """Measures this process from its making on."""

    def __init__(self) -> None:
        self._cpu = cpu_seconds()
        self._wall = time.perf_counter()

    def usage(self) -> Usage:
        """Since then."""
        return Usage(time.perf_counter() - self._wall, cpu_seconds() - self._cpu)


def cpu_seconds() -> float:
    """CPU time of this process so far, all threads, user and system, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Remote[Order, Answer]:
    """The parent's end: `with Remote(build, environment) as remote: remote.ask(order)`."""

    def __init__(
        self, build: Callable[[], Service[Order, Answer]], environment: Mapping[str, str] | None = None
    ) -> None:
        """`build` is pickled by name and called in the child, whose whole environment is `environment`."""
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        whole = dict(os.environ if environment is None else environment)
        self._process = context.Process(target=_serve, args=(theirs, build, whole), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self._receive()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid or 0

    def ask(self, order: Order) -> Answer:
        """Have an order carried out; raises RemoteError."""
        self._connection.send(order)
        answer: Answer = self._receive()
        return answer

    def close(self) -> None:
        """End the child."""
        self._connection.close()
        self._process.join(_STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self) -> Any:  # noqa: ANN401 - an answer, or nothing where the child has just started
        if not self._connection.poll(_ANSWER_SECONDS):
            raise RemoteError(f"no answer within {_ANSWER_SECONDS:g} s")
        try:
            ok, value = self._connection.recv()
        except EOFError:
            raise RemoteError("the child process ended") from None
        if not ok:
            raise RemoteError(value)
        return value


def _serve[Order, Answer](
    connection: "Connection[object, Order]",
    build: Callable[[], Service[Order, Answer]],
    environment: Mapping[str, str],
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    try:
        service = build()
        connection.send((True, None))
        while True:
            connection.send((True, service.answer(connection.recv())))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        _leave()
    except Exception as error:  # noqa: BLE001 - all that goes wrong is the parent's to tell
        connection.send((False, f"{type(error).__name__}: {error}"))
        _leave()


def _leave() -> None:
    # The app's thread pools would be waited for, without limit.
    os._exit(0)
