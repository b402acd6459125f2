"""The app in Microsoft's own host: where the Functions Core Tools and Azurite are installed."""

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import requests

from local.hub.running_hub import RunningHub
from local.process import Child
from local.samples import event_grid_event, incoming_call_data, phones
from local.stack import FUNCTIONS
from tests.databases import database_for_tests

ROOT = Path(__file__).parents[2]
TOOLS = {name: shutil.which(name) for name in ("func", "azurite")}
PORT = 7075
URL = f"http://127.0.0.1:{PORT}"
MRI = "8:acs:core-tools_user"
START_SECONDS = 180

pytestmark = [
    pytest.mark.skipif(
        not all(TOOLS.values()),
        reason="needs npm install --global azure-functions-core-tools@4 azurite",
    ),
    pytest.mark.timeout(START_SECONDS + 60),
]


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with RunningHub() as running:
        yield running


@pytest.fixture(scope="module")
def host(hub: RunningHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """`func start` over the repository, with storage, database and hub on this machine."""
    storage = tmp_path_factory.mktemp("azurite")
    with (
        database_for_tests() as database,
        Child.spawn(
            "azurite", [str(TOOLS["azurite"]), "--silent", "--skipApiVersionCheck"], directory=storage
        ),
        Child.spawn(
            "func",
            [str(TOOLS["func"]), "start", "--port", str(PORT)],
            environment=_environment(hub, database.uri),
            directory=ROOT,
        ) as running,
    ):
        _wait_for(f"{URL}/api/health/live")
        yield running


def _environment(hub: RunningHub, database: str) -> Mapping[str, str]:
    """Settings as app settings; `func` runs the Python that comes first on the PATH."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(Path(sys.executable).parents[1]),
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "ANHHubConnectionString": hub.connection_string,
        "ANHHubName": hub.hub_name,
        "ANHHubUrl": hub.messages_url,
        "MongoDbConnectionString": database,
        "DbName": "core_tools",
    }


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(1)
    pytest.fail(f"{url} did not answer 200 within {START_SECONDS} s")


def test_functions(host: Child) -> None:
    """The host finds every function of the app."""
    text = "\n".join(host.lines())
    assert [name for name in FUNCTIONS if f"{name}:" not in text] == []


@pytest.mark.usefixtures("host")
def test_a_call_rings(hub: RunningHub) -> None:
    """A device registers over HTTP, an event comes in at the Event Grid webhook, and one push leaves."""
    registration = phones()[0].registration(MRI)
    answer = requests.post(f"{URL}/api/add_device_token", json=registration, timeout=30)
    assert answer.status_code == 201, answer.text

    event = event_grid_event(incoming_call_data(MRI))
    answer = requests.post(
        f"{URL}/runtime/webhooks/EventGrid",
        params={"functionName": "IncomingCallEventHandler"},
        headers={"aeg-event-type": "Notification"},
        json=[event],
        timeout=30,
    )
    assert answer.status_code in (200, 202), answer.text
    assert len(hub.simulator.pushes()) == 1
