"""What each system says of a database's host name that cannot be looked up, in the driver's words."""

import pytest
from pymongo import errors

from common.mongodb import failure_of
from models import known_causes


@pytest.mark.parametrize(
    "said",
    [
        "[Errno -2] Name or service not known",
        "[Errno -3] Temporary failure in name resolution",
        "[Errno -5] No address associated with hostname",
        "[Errno 8] nodename nor servname provided, or not known",
        "[Errno 11001] getaddrinfo failed",
    ],
)
def test_cause(said: str) -> None:
    """Three of glibc, of which the last is for a name without an address; one of macOS, one of Windows."""
    error = errors.ServerSelectionTimeoutError(f"db.test:27017: {said} (configured timeouts: …), Timeout: 2s")
    assert failure_of(error).cause is known_causes.NAME_NOT_FOUND
