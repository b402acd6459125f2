"""Conditions on headers and JSON members that several tables use (pure)."""

import re
from collections.abc import Callable

from local.hub.direct_send import ParsedSend

type Condition = Callable[[ParsedSend], bool]
"""Whether to refuse a request."""


def not_matching(header: str, pattern: str) -> Condition:
    """Refuse a header that is present and does not match; it may be absent."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda send: header in send.headers and not compiled.fullmatch(send.headers[header])


def lacks_object(*path: str) -> Condition:
    """Refuse unless the last name of `path` is present and an object, empty or not."""
    return lambda send: not isinstance(send.member(*path[:-1]).get(path[-1]), dict)


def not_of(types: tuple[type, ...], *path: str) -> Condition:
    """Refuse if the last name of `path` is present and its value has none of these types."""
    return lambda send: (
        path[-1] in send.member(*path[:-1]) and not isinstance(send.member(*path[:-1])[path[-1]], types)
    )


def unknown_member(known: frozenset[str], *path: str) -> Condition:
    """Refuse if the object at `path` has a member of another name."""
    return lambda send: not send.member(*path).keys() <= known
