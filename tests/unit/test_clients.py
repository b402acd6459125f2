"""What the wiring asks of the clients that it builds."""

import pytest

from app import mongo_client
from settings import Settings


@pytest.mark.parametrize("option", ["", "?maxIdleTimeMS=120000"])
def test_idle_database_connections(option: str) -> None:
    """None is used that Azure may have dropped silently, whatever the portal's connection string says."""
    settings = Settings.from_mapping(
        {
            "ANHHubConnectionString": (
                "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=k"
            ),
            "ANHHubName": "ring",
            "MongoDbConnectionString": f"mongodb://127.0.0.1:1/{option}",
            "DbName": "calling",
        }
    )
    with mongo_client(settings.database) as client:
        assert client.options.pool_options.max_idle_time_seconds == 60
