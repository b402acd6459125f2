"""Which existing index does the work of a needed one."""

from typing import Any

import pytest

from models.indexes import ExistingIndex, IndexState, NeededIndex, index_state

LOOKUP, TTL = NeededIndex("acsMri"), NeededIndex("expiresAt", expires=True)
ID = {"v": 2, "key": {"_id": 1}, "name": "_id_"}


@pytest.mark.parametrize(
    ("needed", "index", "state"),
    [
        (LOOKUP, {"key": {"acsMri": 1}, "name": "acsMri_1"}, IndexState.SERVES),
        (LOOKUP, {"key": {"acsMri": 1}, "name": "by_user", "background": True}, IndexState.SERVES),
        (LOOKUP, {"key": {"acsMri": -1.0}, "name": "x", "sparse": True}, IndexState.SERVES),
        (LOOKUP, {"key": {"acsMri": "hashed"}, "name": "x"}, IndexState.SERVES),
        (LOOKUP, {"key": {"acsMri": 1, "deviceUUID": 1}, "name": "x"}, IndexState.SERVES),
        (LOOKUP, {"key": {"deviceUUID": 1, "acsMri": 1}, "name": "x"}, IndexState.MISSING),
        (LOOKUP, {"key": {"acsMri": 1}, "collation": {"locale": "en"}, "name": "x"}, IndexState.ANOTHER_KIND),
        (LOOKUP, {"key": {"acsMri": 1}, "partialFilterExpression": {}}, IndexState.ANOTHER_KIND),
        (LOOKUP, {"key": {"acsMri": "text"}, "name": "x"}, IndexState.ANOTHER_KIND),
        (LOOKUP, ID, IndexState.MISSING),
        (TTL, {"key": {"expiresAt": 1}, "expireAfterSeconds": 0, "name": "x"}, IndexState.SERVES),
        (TTL, {"key": {"expiresAt": -1}, "expireAfterSeconds": 3600, "name": "x"}, IndexState.SERVES),
        (TTL, {"key": {"expiresAt": 1}, "name": "x"}, IndexState.ANOTHER_KIND),
        (TTL, {"key": {"expiresAt": 1, "acsMri": 1}, "name": "x"}, IndexState.MISSING),
        (TTL, {"key": {"_ts": 1}, "expireAfterSeconds": 0, "name": "x"}, IndexState.MISSING),
    ],
)  # fmt: skip
def test_state(needed: NeededIndex, index: dict[str, Any], state: IndexState) -> None:
    """An index serves whatever it is called, if it answers the look-up or deletes what has expired."""
    existing = [ExistingIndex.read(document) for document in (ID, index)]
    assert index_state(needed, existing) is state
