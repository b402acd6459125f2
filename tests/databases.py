"""The database that tests run on: the embedded one, or a real MongoDB that TEST_MONGODB_URI names."""

import os
import uuid
from collections.abc import Iterator

import pytest

from local.database import EmbeddedDatabase

VARIABLE = "TEST_MONGODB_URI"


class RealDatabase(EmbeddedDatabase):
    """A server that runs already. It is used as it is: not started, not stopped."""

    def __init__(self, uri: str) -> None:
        """Take its connection string."""
        super().__init__()
        self._uri = uri

    @property
    def uri(self) -> str:
        """Its connection string."""
        return self._uri

    @property
    def pid(self) -> int | None:
        """None: it is no process of ours."""
        return None

    def start(self) -> None:
        """Do nothing: it runs."""

    def stop(self) -> None:
        """Leave it running."""

    def prune_ttl(self) -> None:
        """A real server sweeps by its own schedule."""
        pytest.skip("a real MongoDB sweeps by its own schedule")


def database_for_tests(*, test_commands: bool = False) -> EmbeddedDatabase:
    """The server for a test module: `with database_for_tests() as database: MongoClient(database.uri)`.

    Args:
        test_commands: allow fail points; a real server has to be started with enableTestCommands=1.
    """
    uri = os.environ.get(VARIABLE)
    return RealDatabase(uri) if uri else EmbeddedDatabase(test_commands=test_commands)


def unique_names(prefix: str) -> Iterator[str]:
    """Names of collections that no other test and no earlier run has used."""
    while True:
        yield f"{prefix}-{uuid.uuid4().hex[:12]}"
