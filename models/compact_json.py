"""JSON without white space, in UTF-8."""

from json import JSONEncoder

_ENCODER = JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def to_json(value: object) -> bytes:
    """The bytes of a value."""
    return _ENCODER.encode(value).encode()
