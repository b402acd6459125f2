"""What an operator gets to see: one line an event, unsampled, and metrics where they are asked for."""

import gzip
import json
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from common.telemetry import Metric
from local.database import EmbeddedDatabase
from local.hub.faults import Fault
from local.hub.running_hub import RunningHub
from local.stack import Stack
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import new_user, register_phones
from tests.integration.conftest import SHORT
from tests.rig import Instance, call_to, settings_for

ROOT = Path(__file__).parents[2]

FIELDS = {
    "event",
    "event_id",
    "call_id",
    "callee",
    "result",
    "devices",
    "accepted",
    "already_settled",
    "retried",
    "gone",
    "failed",
    "age_at_first_push_ms",
    "total_ms",
}


class TestLine:
    def test_one_with_all_fields(self, workers: Stack, host_log: HostLog) -> None:
        """An event leaves one structured line: ids, counts, the age at the first push, the time it took."""
        phones = register_phones(workers.host, user := new_user())
        workers.hub.add_fault(Fault(kind="status", status=503, times=1, device_handle=phones[0].device_token))
        workers.hub.add_fault(Fault(kind="status", status=410, device_handle=phones[1].device_token))
        event, mark = call_to(user), host_log.mark()
        assert workers.host.deliver(event).status_code == 202
        entry = host_log.entry(mark, event="incoming_call")
        assert entry.level == "INFO"
        assert entry.fields.keys() == FIELDS | {"troubles"}
        assert (entry.fields["event_id"], entry.fields["call_id"]) == (
            event["id"],
            event["data"]["correlationId"],
        )
        counts = {"devices": 3, "accepted": 2, "retried": 1, "gone": 1, "failed": 0, "already_settled": 0}
        assert {name: entry.fields[name] for name in counts} == counts
        assert 0 <= entry.fields["age_at_first_push_ms"] < 5_000
        assert 0 < entry.fields["total_ms"] < 5_000

    def test_one_whatever_happens(self, workers: Stack, host_log: HostLog) -> None:
        """Raised, duplicate and unintelligible events leave one line each as well."""
        register_phones(workers.host, user := new_user())
        workers.hub.add_fault(Fault(kind="status", status=429, retry_after="60"))
        event = call_to(user)
        broken = {**call_to(user), "data": {}}
        for one, result in ((event, "incomplete"), (broken, "failed")):
            mark = host_log.mark()
            assert workers.host.deliver(one).status_code == 500
            assert host_log.entry(mark, event="incoming_call").fields["result"] == result
        workers.hub.clear_faults()
        for result in ("delivered", "duplicate"):
            mark = host_log.mark()
            assert workers.host.deliver(event).status_code == 202
            assert host_log.entry(mark, event="incoming_call").fields["result"] == result

    def test_nobody_is_named_in_it(self, workers: Stack, host_log: HostLog) -> None:
        """Neither tokens nor users nor names nor the call's context stand in any line."""
        phones = register_phones(workers.host, user := new_user())
        for phone in phones:
            workers.hub.add_fault(Fault(kind="status", status=401, device_handle=phone.device_token))
        event, mark = call_to(user), host_log.mark()
        assert workers.host.deliver(event).status_code == 500
        host_log.entry(mark, event="incoming_call")
        text = "\n".join(host_log.lines(mark))
        data = event["data"]
        secrets = [phone.device_token for phone in phones]
        secrets += [user, data["callerDisplayName"], data["incomingCallContext"], "SharedAccessSignature"]
        assert [secret for secret in secrets if secret in text] == []

    def test_it_is_kept_out_of_sampling(self) -> None:
        """Application Insights takes every trace, which is what the line arrives as."""
        host = json.loads((ROOT / "host.json").read_text())
        sampling = host["logging"]["applicationInsights"]["samplingSettings"]
        assert "Trace" in sampling["excludedTypes"].split(";")


# --- metrics ------------------------------------------------------------------------------------------------

_PLACE_A_CALL = """
import json, os, sys
from app import App

with App(os.environ) as app:
    app.incoming_call_handler.handle(sys.stdin.read())
foreign = [name for name in sys.modules if name.startswith(("opentelemetry", "azure.monitor"))]
print(json.dumps(sorted(foreign)))
"""


def place_a_call(hub: RunningHub, database: EmbeddedDatabase, **settings: str) -> list[str]:
    """Deliver a call to a user with one device in a new process; which foreign modules that took."""
    with Instance(hub, database.uri, SHORT) as app:
        app.register(user := new_user())
        environment = settings_for(hub, database.uri, app.database_name, settings)
    kept = {name: value for name, value in os.environ.items() if "APPLICATIONINSIGHTS" not in name.upper()}
    ended = subprocess.run(
        [sys.executable, "-c", _PLACE_A_CALL],
        cwd=ROOT,
        env={**kept, **environment},
        input=json.dumps(call_to(user)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    modules: list[str] = json.loads(ended.stdout.splitlines()[-1])
    return modules


class Ingestion(ThreadingHTTPServer):
    """Takes what an exporter of Application Insights sends."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Track)
        self.envelopes: list[dict[str, Any]] = []

    @property
    def connection_string(self) -> str:
        """For a resource whose telemetry comes here."""
        key = "InstrumentationKey=00000000-0000-0000-0000-000000000001"
        return f"{key};IngestionEndpoint=http://127.0.0.1:{self.server_address[1]}/"


class _Track(BaseHTTPRequestHandler):
    server: Ingestion

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        elif self.headers.get("Content-Encoding") == "deflate":
            body = zlib.decompress(body)
        taken = json.loads(body)
        self.server.envelopes.extend(taken)
        answer = {"itemsReceived": len(taken), "itemsAccepted": len(taken), "errors": []}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def _served(server: Ingestion) -> Iterator[Ingestion]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def ingestion() -> Iterator[Ingestion]:
    """Application Insights, on loopback."""
    with _served(Ingestion()) as running:
        yield running


class TestMetrics:
    def test_nothing_is_imported_without_a_connection_string(
        self, hub: RunningHub, database: EmbeddedDatabase
    ) -> None:
        """A process that delivers calls and exports no metrics has imported nothing that would."""
        assert place_a_call(hub, database) == []
        assert hub.simulator.summary().accepted == 1

    def test_they_arrive(self, hub: RunningHub, database: EmbeddedDatabase, ingestion: Ingestion) -> None:
        """With a connection string, what a call came to arrives at its endpoint under our names."""
        modules = place_a_call(
            hub,
            database,
            APPLICATIONINSIGHTS_CONNECTION_STRING=ingestion.connection_string,
            APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL="true",
        )
        assert "azure.monitor.opentelemetry.exporter" in modules
        points = [
            (metric["name"], metric.get("count"), envelope["data"]["baseData"].get("properties", {}))
            for envelope in ingestion.envelopes
            for metric in envelope["data"]["baseData"].get("metrics", [])
        ]
        # The exporter adds counts of its own.
        ours = [point for point in points if point[0].startswith("acs_call_push.")]
        named = {name: (count, properties) for name, count, properties in ours}
        # Of every metric but the one for repetitions, of which there were none.
        assert named.keys() == {metric.value for metric in Metric} - {Metric.RETRIES.value}
        assert named[Metric.EVENTS.value][1] == {"result": "delivered"}
        assert named[Metric.PUSHES.value][1] == {"outcome": "accepted"}
        assert named[Metric.FIRST_PUSH_AGE.value][0] == 1
