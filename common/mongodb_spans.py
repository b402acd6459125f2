"""Spans of work with MongoDB, with the attributes that make it a node of the application map.

Conventions: https://opentelemetry.io/docs/specs/semconv/database/mongodb/. A command's content is never an
attribute: it holds device tokens.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from pymongo import monitoring
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from common.tracing import NOT_TRACED, Span, SpanKind, Tracer, Value

_commands: ContextVar[list[str] | None] = ContextVar("_commands", default=None)
"""Names of the commands of the piece of work that the current context is in."""


class WorkSpans:
    """Begins a span for each piece of work with one database. Safe to share between threads."""

    def __init__(self, tracer: Tracer, uri: str) -> None:
        """Take the connection string: its first server is the one that the spans name."""
        self._tracer = tracer
        self._attributes: Mapping[str, Value] = {"db.system.name": "mongodb", **_server(uri)}

    @property
    def listeners(self) -> Sequence[monitoring.CommandListener]:
        """What the client has to tell of its commands, so that spans are named after them."""
        return [_CommandNames()] if self._tracer.is_recording else []

    def of(self, collection: Collection[Any]) -> AbstractContextManager[None]:
        """A block of work with a collection."""
        if not self._tracer.is_recording:
            return _NO_SPAN
        attributes = {
            **self._attributes,
            "db.namespace": collection.database.name,
            "db.collection.name": collection.name,
        }
        return _Work(self._tracer.span(collection.name, SpanKind.CLIENT), collection.name, attributes)


_NO_SPAN = nullcontext()


class _Work:
    __slots__ = ("_attributes", "_collection", "_span", "_token")

    def __init__(self, span: Span, collection: str, attributes: Mapping[str, Value]) -> None:
        self._span = span
        self._collection = collection
        self._attributes = attributes
        self._token: Token[list[str] | None] | None = None

    def __enter__(self) -> None:
        self._token = _commands.set([])
        self._span.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        names = ", ".join(dict.fromkeys(_commands.get() or ()))
        if self._token is not None:
            _commands.reset(self._token)
        self._span.set({**self._attributes, "db.operation.name": names or None})
        if names:
            self._span.rename(f"{names} {self._collection}")
        if kind is not None and issubclass(kind, DuplicateKeyError):
            kind = None  # an ordinary answer: a duplicate event, or a lost race
        self._span.__exit__(kind, error, stack)


class _CommandNames(monitoring.CommandListener):
    def started(self, event: monitoring.CommandStartedEvent) -> None:
        names = _commands.get()
        if names is not None:
            names.append(event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def _server(uri: str) -> dict[str, Value]:
    """Address and port of the first server; of mongodb+srv:// the name that is looked up."""
    authority = uri.partition("://")[2].partition("/")[0].partition("?")[0]
    first = authority.rpartition("@")[2].partition(",")[0]
    host, colon, port = first.rpartition(":")
    if not colon or not port.isdecimal():
        return {"server.address": first} if first else {}
    return {"server.address": host.strip("[]"), "server.port": int(port)}


UNRECORDED = WorkSpans(NOT_TRACED, "")
