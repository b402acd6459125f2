"""Traces, metrics and log lines through the worker library, as Azure runs it, to Application Insights."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from common.metrics import Metric
from common.version import VERSION
from local.database import EmbeddedDatabase
from local.hub.faults import Fault
from local.hub.running_hub import RunningHub
from local.samples import cloud_event, incoming_call_data
from local.stack import TELEMETRY_PREFIXES
from tests.ingestion import Ingestion, running_ingestion
from tests.integration.conftest import SHORT
from tests.rig import Instance, new_user, settings_for

ROOT = Path(__file__).parents[2]

# One invocation of the Event Grid function, and then, if asked for, everything exported.
_WORKER = """
import asyncio, json, logging, os, sys
from pathlib import Path
from local.host.worker import EVENT_GRID_TRIGGER, FunctionWorker

logging.basicConfig(level=logging.INFO, stream=sys.stderr)

async def ring():
    worker = await FunctionWorker.start(Path.cwd())
    (function,) = [each for each in worker.functions if each.trigger_type == EVENT_GRID_TRIGGER]
    await worker.invoke_event_grid(function, json.load(sys.stdin))

asyncio.run(ring())
if sys.argv[1] == "export":
    from opentelemetry import _logs, metrics, trace
    for provider in trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider():
        provider.force_flush()
print("opentelemetry.sdk" in sys.modules, flush=True)
os._exit(0)  # what cannot be exported is not waited for
"""

ALONE = {
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true",
    # These would ask Microsoft's servers.
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
}
SAMPLE: dict[str, str] = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
DEPLOYED = {
    name: SAMPLE[name]
    for name in (
        "PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
    )
} | ALONE


class Call:
    """A call to a new user with three phones, and what of it must stay secret."""

    def __init__(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        with Instance(hub, database.uri, SHORT) as app:
            self.devices = app.register(user := new_user(), 3)
            self._settings = settings_for(hub, database.uri, app.database_name, {})
        self.hub = hub
        data = incoming_call_data(user, display_name="Rear Admiral Grace Hopper")
        self.event = cloud_event(data)
        self.call_id = data["correlationId"]
        self.secrets = [
            user, "Grace Hopper", data["incomingCallContext"], data["from"]["rawId"], "SharedAccess", "sig=",
            *(device.device_token for device in self.devices),
            *(device.device_uuid for device in self.devices),
        ]  # fmt: skip

    def ring(self, settings: Mapping[str, str], *, export: bool = False) -> str:
        """Deliver the event to a new worker process; its output, log lines included."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith(TELEMETRY_PREFIXES)
        }
        ended = subprocess.run(
            [sys.executable, "-c", _WORKER, "export" if export else "leave"],
            cwd=ROOT,
            env={**kept, "NO_PROXY": "127.0.0.1", **self._settings, **settings},
            input=json.dumps(self.event),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout + ended.stderr

    @property
    def rings(self) -> int:
        """How many of the phones have rung."""
        handles = self.hub.simulator.summary().handles
        return sum(handles.get(device.device_token, 0) for device in self.devices)


@pytest.fixture
def ingestion() -> Iterator[Ingestion]:
    """Application Insights, on loopback."""
    with running_ingestion() as running:
        yield running


TRACE = "0af7651916cd43dd8448eb211c80319c"


class TestTrace:
    @pytest.fixture
    def call(self, hub: RunningHub, database: EmbeddedDatabase, ingestion: Ingestion) -> Call:
        """A call whose second phone is rung at the second try, after its telemetry has arrived."""
        call = Call(hub, database)
        hub.simulator.add_fault(
            Fault(kind="status", status=503, times=1, device_handle=call.devices[1].device_token)
        )
        call.event["traceparent"] = f"00-{TRACE}-b7ad6b7169203331-01"
        where = {"APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string}
        call.ring(DEPLOYED | where, export=True)
        assert call.rings == 3
        return call

    def test_arrives(self, call: Call, ingestion: Ingestion, hub: RunningHub) -> None:
        """One call is one trace: the work, the database and each send, with the log line in it."""
        dependencies = ingestion.items("RemoteDependencyData")
        (whole,) = (each for each in dependencies if each["type"] == "InProc")
        self._check_whole(whole, call)
        assert {each["operation"] for each in dependencies} == {whole["operation"]}
        assert {each["parent"] for each in dependencies if each is not whole} == {whole["id"]}
        work = [each for each in dependencies if each["type"] == "mongodb"]
        self._check_database(work)
        sends = [each for each in dependencies if each["type"] == "HTTP"]
        self._check_sends(sends, hub)
        assert len(dependencies) == 1 + len(work) + len(sends)
        self._check_line(call, whole, ingestion)
        self._check_metrics(ingestion)
        assert [secret for secret in call.secrets if secret in json.dumps(ingestion.envelopes)] == []

    @staticmethod
    def _check_whole(whole: dict[str, Any], call: Call) -> None:
        assert (whole["name"], whole["success"]) == ("incoming call", True)
        properties = whole["properties"]
        assert (properties["result"], properties["call_id"]) == ("delivered", call.call_id)
        (link,) = json.loads(properties["_MS.links"])
        assert link["operation_Id"] == TRACE
        assert whole["parent"]  # the host's span of the invocation
        assert whole["operation"] != TRACE

    @staticmethod
    def _check_database(work: list[dict[str, Any]]) -> None:
        names = [each["name"] for each in work]
        assert names[:2] == ["insert CallLedger", "find DeviceRegistrations"]
        assert "update CallLedger" in names
        (target,) = {each["target"] for each in work}
        assert target.startswith("127.0.0.1:")
        assert "|test-" in target
        assert all(each["success"] for each in work)

    @staticmethod
    def _check_sends(sends: list[dict[str, Any]], hub: RunningHub) -> None:
        outcomes = sorted((each["resultCode"], each["properties"]["outcome"]) for each in sends)
        assert outcomes == [("201", "accepted")] * 3 + [("503", "transient")]
        assert {each["properties"]["platform"] for each in sends} == {"apple", "fcmv1", "windows"}
        assert all(each["success"] == (each["resultCode"] == "201") for each in sends)
        for each in sends:
            assert each["properties"]["hub"] == "default"
            assert len(each["properties"]["tracking_id"]) == 36
            assert each["data"] == hub.messages_url
            assert hub.messages_url.startswith(f"http://{each['target']}/")

    @staticmethod
    def _check_line(call: Call, whole: dict[str, Any], ingestion: Ingestion) -> None:
        messages = ingestion.items("MessageData")
        lines = [each for each in messages if '"incoming_call"' in each["message"]]
        (line,) = lines
        assert line["message"].startswith('{"event": "incoming_call"')
        fields = json.loads(line["message"])
        assert (fields["call_id"], fields["version"]) == (call.call_id, VERSION)
        assert (line["operation"], line["parent"]) == (whole["operation"], whole["id"])
        # Nothing but the app's own lines, and none of them twice.
        assert [each["message"] for each in messages if not each["message"].startswith('{"event": "')] == []

    @staticmethod
    def _check_metrics(ingestion: Ingestion) -> None:
        points = [
            (metric["name"], metric["value"], item.get("properties", {}))
            for item in ingestion.items("MetricData")
            for metric in item["metrics"]
            if metric["name"].startswith("acs_call_push.")
        ]
        of_ends = {Metric.STOPS, Metric.MISSED_CALLS_TOLD, Metric.TIME_TO_RING}
        assert {name for name, *_ in points} == {metric.value for metric in Metric if metric not in of_ends}
        pushes = [(value, properties) for name, value, properties in points if name == Metric.PUSHES.value]
        assert sum(value for value, _ in pushes) == 3
        for _, properties in pushes:
            assert (properties["outcome"], properties["hub"]) == ("accepted", "default")
        assert {properties["platform"] for _, properties in pushes} == {"apple", "fcmv1", "windows"}


KEY = "InstrumentationKey=00000000-0000-0000-0000-000000000001"
RUBBISH: dict[str, dict[str, str]] = {
    "no connection string": {},
    "empty": {"APPLICATIONINSIGHTS_CONNECTION_STRING": ""},
    "rubbish": {"APPLICATIONINSIGHTS_CONNECTION_STRING": "rubbish;=;;\x01"},
    "a key that is none": {"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=rubbish"},
    "an unresolved reference": {
        "APPLICATIONINSIGHTS_CONNECTION_STRING": "@Microsoft.KeyVault(SecretUri=https://kv/secrets/x)"
    },
    "an endpoint that is none": {
        "APPLICATIONINSIGHTS_CONNECTION_STRING": f"{KEY};IngestionEndpoint=http://[::bad;LiveEndpoint=http://127.0.0.1:9/"
    },
    "authentication": {"APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "rubbish"},
    "a format of log lines": {"PYTHON_APPLICATIONINSIGHTS_LOGGING_FORMAT": "%(rubbish)s"},
    "providers": {"OTEL_PYTHON_TRACER_PROVIDER": "rubbish", "OTEL_PYTHON_METER_PROVIDER": "rubbish"},
    "providers without telemetry": {
        "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "rubbish",
        "OTEL_PYTHON_TRACER_PROVIDER": "rubbish",
        "OTEL_PYTHON_METER_PROVIDER": "rubbish",
    },
    "context and propagators": {"OTEL_PYTHON_CONTEXT": "rubbish", "OTEL_PROPAGATORS": "rubbish"},
    "limits": {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "rubbish", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"},
    "sampler": {"OTEL_TRACES_SAMPLER": "rubbish", "OTEL_TRACES_SAMPLER_ARG": "rubbish"},
    "switched off": {"OTEL_SDK_DISABLED": "true"},
}

NOT_SET_UP = {
    "no connection string", "empty", "rubbish", "a key that is none", "an unresolved reference", "limits",
}  # fmt: skip
"""What the worker says of these goes to the log stream alone, so the app has a CRITICAL line of its own."""


class TestRubbish:
    @pytest.mark.parametrize("name", RUBBISH)
    def test_rings(
        self, name: str, hub: RunningHub, database: EmbeddedDatabase, ingestion: Ingestion
    ) -> None:
        """Whatever a setting of telemetry holds, every phone rings, and the log line is written."""
        call = Call(hub, database)
        where = {"APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string}
        if name == "no connection string":
            where = {}
        output = call.ring(DEPLOYED | where | RUBBISH[name])
        assert call.rings == 3
        assert '{"event": "incoming_call"' in output
        assert output.count("could not set up telemetry") == (name in NOT_SET_UP)

    def test_silent_endpoint(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """An endpoint that takes connections and never answers holds nothing up."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            here = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            where = f"{KEY};IngestionEndpoint={here};LiveEndpoint={here}"
            call = Call(hub, database)
            output = call.ring(DEPLOYED | {"APPLICATIONINSIGHTS_CONNECTION_STRING": where})
        assert call.rings == 3
        (line,) = (each for each in output.splitlines() if '{"event": "incoming_call"' in each)
        assert json.loads(line[line.index("{") :])["total_ms"] < 10_000

    def test_off(self, hub: RunningHub, database: EmbeddedDatabase) -> None:
        """Without telemetry the SDK is not even imported."""
        call = Call(hub, database)
        output = call.ring({"PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "false"})
        assert call.rings == 3
        assert "False" in output.splitlines()[0]
