"""What is started and stopped, as a context manager."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Startable(ABC):
    """Runs from `start` to `stop`: `with EmbeddedDatabase() as database: …`."""

    @abstractmethod
    def start(self) -> None:
        """Return when it is ready."""

    @abstractmethod
    def stop(self) -> None:
        """Return when it has ended; no effect on a stopped one."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
