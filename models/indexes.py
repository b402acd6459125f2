"""Which indexes a collection needs, and whether one that exists serves (pure).

An operator may have made an index beforehand, under another name or with other options; MongoDB then refuses
the app's own with code 85 or 86. What serves is enough.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True, slots=True)
class NeededIndex:
    """An index on one field."""

    field: str
    expires: bool = False
    """The database deletes a document at the time in the field (a TTL index)."""


@dataclass(frozen=True, slots=True)
class ExistingIndex:
    """An index of a collection, as far as it matters here."""

    name: str
    fields: tuple[str, ...]
    kind: str
    """Of its first field: `1`, `-1`, `hashed`, `text`, …"""
    expire_after_seconds: float | None
    """None if it deletes nothing."""
    covers_all: bool
    """It holds every document (no partial filter) and compares plainly (no collation)."""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "ExistingIndex":
        """From one document of `listIndexes`."""
        keys = dict(document["key"])
        first = next(iter(keys.values()), "")
        return cls(
            name=str(document.get("name", "")),
            fields=tuple(keys),
            # The shell writes 1 as 1.0.
            kind=str(int(first)) if isinstance(first, int | float) else str(first),
            expire_after_seconds=document.get("expireAfterSeconds"),
            covers_all="partialFilterExpression" not in document and "collation" not in document,
        )


class IndexState(Enum):
    """What a collection has of an index that it needs."""

    SERVES = "serves"
    ANOTHER_KIND = "another kind"
    """There is one on the field that does not do the work, and stands in the way of the right one."""
    MISSING = "missing"


def index_state(needed: NeededIndex, existing: Iterable[ExistingIndex]) -> IndexState:
    """Whether one of the existing indexes does the work of the needed one."""
    on_field = [index for index in existing if index.fields[:1] == (needed.field,)]
    if serving_index(needed, on_field):
        return IndexState.SERVES
    if any(len(index.fields) == 1 for index in on_field):
        return IndexState.ANOTHER_KIND
    return IndexState.MISSING


def serving_index(needed: NeededIndex, existing: Iterable[ExistingIndex]) -> ExistingIndex | None:
    """The first of the existing indexes that does the work of the needed one."""
    on_field = (index for index in existing if index.fields[:1] == (needed.field,))
    return next((index for index in on_field if _serves(needed, index)), None)


def _serves(needed: NeededIndex, index: ExistingIndex) -> bool:
    if not index.covers_all:
        return False
    if needed.expires:
        return len(index.fields) == 1 and index.expire_after_seconds is not None
    return index.kind in {"1", "-1", "hashed"}
