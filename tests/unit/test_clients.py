"""What the wiring asks of the clients that it builds."""

from datetime import UTC, datetime

import bson
import pytest
from bson import DatetimeMS

from app import mongo_client
from models.device import rfc3339
from registrar.document import StoredRegistration, fields_of, read
from settings import DatabaseSettings, Settings
from tests.fakes import NOW, registration


def database(option: str = "") -> DatabaseSettings:
    """Settings with options of the connection string."""
    uri = f"mongodb://127.0.0.1:1/{option}"
    return Settings.from_mapping({"MongoDbConnectionString": uri, "DbName": "calling"}).database


@pytest.mark.parametrize("option", ["", "?maxIdleTimeMS=120000"])
def test_idle_database_connections(option: str) -> None:
    """None is used that Azure may have dropped silently, whatever the portal's connection string says."""
    with mongo_client(database(option)) as client:
        assert client.options.pool_options.max_idle_time_seconds == 60


@pytest.mark.parametrize(
    ("milliseconds", "is_read_as"),
    [
        (8_640_000_000_000_000, datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        (-8_640_000_000_000_000, datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("field", ["expiresAt", "updatedAt"])
def test_times_beyond_those_of_python(field: str, milliseconds: int, is_read_as: datetime) -> None:
    """The first and the last time that JavaScript and the database's shell know are read as those of Python:
    an operator's `new Date(8.64e15)` for "never" must not keep all of the user's devices from being read."""
    written = {"_id": "1", **fields_of(registration(), NOW), field: DatetimeMS(milliseconds)}
    with mongo_client(database()) as client:
        stored = read(bson.decode(bson.encode(written), client["calling"]["devices"].codec_options))
    assert isinstance(stored, StoredRegistration)
    found = stored.registration.expires_at if field == "expiresAt" else stored.updated_at
    assert found == is_read_as
    assert rfc3339(found).endswith("Z")
