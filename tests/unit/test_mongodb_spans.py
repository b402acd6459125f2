"""What a span says of work with MongoDB: server, database, commands and failure; nothing secret."""

from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from pymongo import monitoring
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from common.mongodb_spans import UNRECORDED, WorkSpans
from models.errors import DatabaseUnavailableError
from tests.recording import Recording

COLLECTION = cast(
    "Collection[Any]", SimpleNamespace(name="CallLedger", database=SimpleNamespace(name="calling"))
)


def work(uri: str, *commands: str, error: Exception | None = None) -> ReadableSpan:
    """The span of a piece of work that sends commands, and perhaps fails."""
    recording = Recording()
    spans = WorkSpans(recording.tracer, uri)
    (listener,) = spans.listeners
    with suppress(Exception), spans.of(COLLECTION):
        for command in commands:
            event = SimpleNamespace(command_name=command, command={"deviceToken": "secret"})
            listener.started(cast("monitoring.CommandStartedEvent", event))
        if error:
            raise error
    (span,) = recording.spans.values()
    return span


@pytest.mark.parametrize(
    ("uri", "address", "port"),
    [
        ("mongodb://127.0.0.1:27017/", "127.0.0.1", 27017),
        ("mongodb://user:pa%2Fss@db.test:10260,other.test:1/?tls=true", "db.test", 10260),
        ("mongodb+srv://user:p%40ss@cluster.test/?retrywrites=false", "cluster.test", None),
        ("mongodb://db.test", "db.test", None),
        ("mongodb://[::1]:27017/", "::1", 27017),
    ],
)
def test_server(uri: str, address: str, port: int | None) -> None:
    """The first server of the connection string, always the same one: a node of the application map."""
    attributes = dict(work(uri, "find").attributes or {})
    assert (attributes["server.address"], attributes.get("server.port")) == (address, port)
    assert attributes["db.system.name"] == "mongodb"
    assert (attributes["db.namespace"], attributes["db.collection.name"]) == ("calling", "CallLedger")


@given(
    user=st.text("abcxyz0123456789", min_size=20, max_size=30),
    password=st.text("abcxyz0123456789:%.", min_size=20, max_size=30),
    scheme=st.sampled_from(["mongodb", "mongodb+srv"]),
)
def test_credentials(user: str, password: str, scheme: str) -> None:
    """Neither user nor password of a connection string is in a span."""
    text = work(f"{scheme}://{user}:{password}@db.test:1/calling?tls=true", "find").to_json()
    assert user not in text
    assert password not in text


def test_commands() -> None:
    """A span is named after the commands, each once, in their order; what they hold is not there."""
    span = work("mongodb://db.test", "update", "delete", "update")
    assert (span.name, span.kind) == ("update, delete CallLedger", SpanKind.CLIENT)
    assert (span.attributes or {})["db.operation.name"] == "update, delete"
    assert "secret" not in span.to_json()


def test_no_server() -> None:
    """A database that cannot be reached is sent no command; it is seen to fail, at its address."""
    span = work("mongodb://db.test:1", error=DatabaseUnavailableError("It does not answer."))
    assert (span.name, span.status.status_code) == ("CallLedger", StatusCode.ERROR)
    attributes = span.attributes or {}
    assert (attributes["error.type"], attributes["server.address"]) == ("DatabaseUnavailableError", "db.test")


def test_duplicate() -> None:
    """A duplicate key is an answer, not a failure."""
    span = work("mongodb://db.test", "insert", error=DuplicateKeyError("E11000 secret", 11000))
    assert span.status.status_code is StatusCode.UNSET
    assert "secret" not in span.to_json()


def test_not_recorded() -> None:
    """Without telemetry the client reports no command, and a block is only a block."""
    assert not UNRECORDED.listeners
    with UNRECORDED.of(COLLECTION):
        pass
