"""Messages of the MongoDB wire protocol, as far as a proxy has to understand them (pure).

Source: MongoDB manual, "MongoDB Wire Protocol". All integers are little-endian.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bson

HEADER_BYTES = 16
"""messageLength, requestID, responseTo, opCode: four times int32."""

MAX_MESSAGE_BYTES = 48_000_000
_OP_MSG = 2013
_CHECKSUM_PRESENT = 1
"""Flag bit of OP_MSG: a checksum follows the sections."""


@dataclass(frozen=True, slots=True)
class Message:
    """Header and command of one message."""

    request_id: int
    response_to: int
    command: str | None
    """First key of the body document, such as `insert`; `None` for messages other than OP_MSG."""
    collection: str | None
    """Value of that key, if it is text."""


def message_length(header: bytes) -> int:
    """Total length of the message in bytes, from its header; ValueError if it is impossible."""
    (length,) = struct.unpack_from("<i", header)
    if not HEADER_BYTES <= length <= MAX_MESSAGE_BYTES:
        raise ValueError(f"not a message of MongoDB: a length of {length} bytes")
    return int(length)


def parse_message(data: bytes) -> Message:
    """Read one whole message; ValueError if it is malformed."""
    try:
        _, request_id, response_to, opcode = struct.unpack_from("<iiii", data)
        body = message_body(data) if opcode == _OP_MSG else {}
    except (struct.error, IndexError, bson.errors.BSONError) as error:
        raise ValueError(f"not a message of MongoDB: {error}") from None
    command, value = next(iter(body.items()), (None, None))
    return Message(request_id, response_to, command, value if isinstance(value, str) else None)


def reply_message(response_to: int, document: Mapping[str, Any]) -> bytes:
    """An OP_MSG with one document, in answer to the request with that id."""
    body = struct.pack("<Ib", 0, 0) + bson.encode(document)
    return struct.pack("<iiii", HEADER_BYTES + len(body), 0, response_to, _OP_MSG) + body


def with_body(data: bytes, document: Mapping[str, Any]) -> bytes:
    """The OP_MSG `data` with another body document; without its batches of documents and its checksum."""
    _, request_id, response_to, _, flags = struct.unpack_from("<iiiiI", data)
    body = struct.pack("<Ib", flags & ~_CHECKSUM_PRESENT, 0) + bson.encode(document)
    return struct.pack("<iiii", HEADER_BYTES + len(body), request_id, response_to, _OP_MSG) + body


def error_document(code: int, message: str = "a fault of the test", **fields: object) -> dict[str, Any]:
    """The server's answer to a command that failed with `code`; `fields` such as `RetryAfterMs`."""
    return {"ok": 0.0, "errmsg": message, "code": code, "codeName": f"Code{code}", **fields}


def message_body(data: bytes) -> dict[str, Any]:
    """The document of an OP_MSG's first section of kind 0; sections of kind 1 hold batches of documents."""
    position = HEADER_BYTES + 4
    while data[position] != 0:
        (size,) = struct.unpack_from("<i", data, position + 1)
        if size < 4:
            raise ValueError("not a message of MongoDB: an empty section")
        position += 1 + size
    position += 1
    (size,) = struct.unpack_from("<i", data, position)
    return bson.decode(data[position : position + size])
