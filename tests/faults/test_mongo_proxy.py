"""The MongoDB proxy between pymongo and the embedded database."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, NetworkTimeout, OperationFailure, WriteError

from local.certificates import make_certificates
from local.database import EmbeddedDatabase
from local.hub.server import server_tls
from tests.faults import MongoProxy, mongo_uri, port_of
from tests.faults.mongo_messages import Message, error_document, message_length, parse_message, reply_message

Things = Collection[dict[str, Any]]


@pytest.fixture(scope="module")
def database() -> Iterator[EmbeddedDatabase]:
    """A database in memory."""
    with EmbeddedDatabase() as running:
        yield running


@pytest.fixture
def proxy(database: EmbeddedDatabase) -> Iterator[MongoProxy]:
    """A proxy without faults."""
    with MongoProxy(port_of(database.uri)) as running:
        yield running


@pytest.fixture
def things(proxy: MongoProxy) -> Iterator[Things]:
    """An empty collection, through the proxy."""
    with MongoClient[dict[str, Any]](
        mongo_uri(proxy.port), serverSelectionTimeoutMS=5_000, socketTimeoutMS=1_000, retryReads=False
    ) as client:
        client["test"]["things"].drop()
        yield client["test"]["things"]


def behind(database: EmbeddedDatabase) -> list[str]:
    """The documents' ids, read directly from the database."""
    with MongoClient[dict[str, Any]](database.uri) as client:
        return [one["_id"] for one in client["test"]["things"].find().sort("_id")]


class TestTransparent:
    def test_passes_commands(self, proxy: MongoProxy, things: Things) -> None:
        """Without a fault everything works, and the commands are recorded."""
        things.insert_many([{"_id": str(number), "text": "x" * 100_000} for number in range(50)])
        assert things.count_documents({}) == 50
        assert things.update_one({"_id": "1"}, {"$set": {"a": 1}}).modified_count == 1
        for command in ("insert", "aggregate", "update"):
            assert (command, "things") in proxy.commands

    def test_uri(self, database: EmbeddedDatabase, proxy: MongoProxy) -> None:
        """The proxy's connection string is the database's with another port."""
        assert mongo_uri(port_of(database.uri)) == database.uri
        assert mongo_uri(proxy.port) != database.uri


class TestFaults:
    def test_lost_answer(self, database: EmbeddedDatabase, proxy: MongoProxy, things: Things) -> None:
        """The command is carried out, the client gets a lost connection, the next command works."""
        proxy.lose_answer("insert")
        with pytest.raises(AutoReconnect):
            things.insert_one({"_id": "carried out"})
        assert behind(database) == ["carried out"]
        things.insert_one({"_id": "next"})

    def test_lost_command(self, database: EmbeddedDatabase, proxy: MongoProxy, things: Things) -> None:
        """The server does not see the command."""
        proxy.lose_command("insert", how="reset")
        with pytest.raises(AutoReconnect):
            things.insert_one({"_id": "lost"})
        things.insert_one({"_id": "next"})
        assert behind(database) == ["next"]

    def test_withheld_answer(self, database: EmbeddedDatabase, proxy: MongoProxy, things: Things) -> None:
        """The command is carried out, and the client waits in vain."""
        proxy.withhold_answer("insert")
        with pytest.raises(NetworkTimeout):
            things.insert_one({"_id": "carried out"})
        assert behind(database) == ["carried out"]

    def test_late_answer(self, proxy: MongoProxy, things: Things) -> None:
        """Every answer to this command is late, and to no other one."""
        proxy.delay_answer("find", 0.2)
        for _ in range(2):
            began = time.monotonic()
            assert list(things.find()) == []
            assert time.monotonic() - began >= 0.2

    def test_error(self, database: EmbeddedDatabase, proxy: MongoProxy, things: Things) -> None:
        """The client gets the code with its additional fields; the server does not see the command."""
        proxy.answer_error("insert", 16500, message="Request rate is large", RetryAfterMs=50)
        with pytest.raises(OperationFailure) as raised:
            things.insert_one({"_id": "refused"})
        assert raised.value.code == 16500
        assert raised.value.details is not None
        assert raised.value.details["RetryAfterMs"] == 50
        things.insert_one({"_id": "next"})
        assert behind(database) == ["next"]

    def test_document(self, proxy: MongoProxy, things: Things) -> None:
        """The client gets any document as the answer."""
        error = {"index": 0, "code": 16500, "errmsg": "Request rate is large"}
        proxy.answer("insert", {"ok": 1.0, "n": 0, "writeErrors": [error]})
        with pytest.raises(WriteError) as raised:
            things.insert_one({"_id": "refused"})
        assert raised.value.code == 16500

    def test_other_protocol(self, proxy: MongoProxy) -> None:
        """A client that does not speak the protocol loses its connection."""
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(1) == b""


class TestWhichCommand:
    def test_nth_and_times(self, proxy: MongoProxy, things: Things) -> None:
        """Counted from the call on: the second and the third insert."""
        things.insert_one({"_id": "before"})
        proxy.answer_error("insert", 112, nth=2, times=2)
        outcomes = []
        for number in range(4):
            try:
                things.insert_one({"_id": str(number)})
            except OperationFailure as error:
                outcomes.append(error.code)
            else:
                outcomes.append(None)
        assert outcomes == [None, 112, 112, None]

    def test_collection(self, proxy: MongoProxy, things: Things) -> None:
        """Another collection's commands are not affected and not counted."""
        proxy.answer_error("insert", 112, collection="things")
        things.database["others"].insert_one({"a": 1})
        with pytest.raises(OperationFailure):
            things.insert_one({"a": 1})

    def test_oldest_first(self, proxy: MongoProxy, things: Things) -> None:
        """Of two faults for one command the oldest is applied, then the next."""
        proxy.answer_error("insert", 112)
        proxy.answer_error("insert", 50, nth=2)
        codes = []
        for _ in range(2):
            with pytest.raises(OperationFailure) as raised:
                things.insert_one({"a": 1})
            codes.append(raised.value.code)
        assert codes == [112, 50]

    def test_restore(self, proxy: MongoProxy, things: Things) -> None:
        """No fault is left."""
        proxy.answer_error("insert", 112, times=None)
        proxy.lose_answer("find", times=None)
        proxy.restore()
        things.insert_one({"_id": "one"})
        assert [one["_id"] for one in things.find()] == ["one"]

    def test_network_faults(self, proxy: MongoProxy, things: Things) -> None:
        """The faults of every TCP proxy work, too: a frozen connection times out, a new one works."""
        things.insert_one({"_id": "one"})
        proxy.freeze_existing()
        with pytest.raises(NetworkTimeout):
            things.insert_one({"_id": "two"})
        things.insert_one({"_id": "three"})


def test_tls(database: EmbeddedDatabase, tmp_path: Path) -> None:
    """The proxy terminates TLS: the driver verifies the certificate, and commands are still understood."""
    made = make_certificates(tmp_path, "db.lab.test")
    with MongoProxy(port_of(database.uri), tls=server_tls(made.certificate, made.key)) as proxy:
        uri = mongo_uri(proxy.port, f"directConnection=true&tls=true&tlsCAFile={made.authority}")
        with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=5_000) as client:
            proxy.answer_error("insert", 112)
            with pytest.raises(OperationFailure):
                client["test"]["things"].insert_one({"a": 1})


class TestMessages:
    def test_reply(self) -> None:
        """A reply is a message for its request, as long as its header says."""
        reply = reply_message(7, error_document(112, RetryAfterMs=5))
        assert message_length(reply) == len(reply)
        assert parse_message(reply) == Message(0, 7, "ok", None)

    def test_body_after_a_batch(self) -> None:
        """The command is found behind a section with a batch of documents."""
        reply = reply_message(7, {"insert": "things"})
        document = bson.encode({"a": 1})
        batch = b"documents\0" + document
        section = b"\x01" + (4 + len(batch)).to_bytes(4, "little") + batch
        assert parse_message(reply[:20] + section + reply[20:]).command == "insert"

    @given(st.binary(max_size=200))
    def test_rubbish(self, data: bytes) -> None:
        """Any bytes are a message or a ValueError."""
        header = b"\xdd\x07\x00\x00"
        for whole in (data, data[:12] + header + data[12:]):
            with suppress(ValueError):
                parse_message(whole)

    @pytest.mark.parametrize("length", [-1, 0, 15, 48_000_001])
    def test_impossible_length(self, length: int) -> None:
        """A length that no message has is refused."""
        with pytest.raises(ValueError, match="length"):
            message_length(length.to_bytes(4, "little", signed=True))
