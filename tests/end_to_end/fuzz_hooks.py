"""What schemathesis does not try: request lines that no HTTP server takes, which never reach the app."""

from collections.abc import Mapping
from urllib.parse import urlencode

import schemathesis

LONGEST_QUERY = 7_000
"""Bytes; servers stop at 8 kB for the whole line."""


@schemathesis.hook
def filter_query(context: schemathesis.HookContext, query: Mapping[str, object] | None) -> bool:  # noqa: ARG001
    """Keep what fits into a request line."""
    return len(urlencode(dict(query or {}), doseq=True, errors="replace")) <= LONGEST_QUERY
