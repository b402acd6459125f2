"""The development host in a process of its own, over real HTTP, with the app in `sample_app`."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from local.host.keys import KEYS_VARIABLE, KeyRing, KeyRingError
from local.process import Child, ChildError, python_module
from tests.rig import eventually

SAMPLE_APP = Path(__file__).parent / "sample_app"
ROOT = Path(__file__).parents[2]
TIMEOUT = 20.0  # seconds, for anything that a test waits for

EVENT = {
    "id": "event-1",
    "topic": "/subscriptions/s",
    "subject": "call/ü",
    "eventType": "Sample.Event",
    "eventTime": "2026-01-31T12:00:00.1234567Z",
    "data": {"number": 1},
    "dataVersion": "1.0",
    "metadataVersion": "1",
}
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "cloud-1",
    "source": "/subscriptions/s",
    "type": "Sample.Event",
    "time": "2026-01-31T12:00:00Z",
    "data": {"number": 2},
}


class Host:
    """The host process and a client for it."""

    def __init__(self, keys: KeyRing, app_directory: Path = SAMPLE_APP, **settings: str) -> None:
        self.keys = keys
        self.child = Child.spawn(
            "the host",
            python_module("local.host", "--app-directory", str(app_directory)),
            environment={**os.environ, KEYS_VARIABLE: keys.to_json(), **settings},
            directory=ROOT,
        )
        self.session = requests.Session()
        self.session.trust_env = False
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> "Host":
        try:
            self.ready = self.child.wait_for_ready(TIMEOUT)
        except ChildError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()
        self.child.stop()

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=TIMEOUT, **options)

    def send_events(
        self, body: object, function: str = "OnEvent", kind: str = "Notification", **params: str
    ) -> requests.Response:
        return self.request(
            "POST",
            "/runtime/webhooks/EventGrid",
            params={"functionName": function, **params},
            headers={"aeg-event-type": kind} if kind else {},
            data=body if isinstance(body, bytes) else json.dumps(body).encode(),
        )


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host without a system key, so its webhook is open."""
    with Host(KeyRing.generate(functions=["Echo", "Other"])) as running:
        yield running


@pytest.fixture(scope="module")
def guarded() -> Iterator[Host]:
    """A host with a system key, one pool thread and a limit for request bodies."""
    keys = KeyRing.generate(system=["eventgrid_extension"])
    with Host(keys, PYTHON_THREADPOOL_THREAD_COUNT="1", FUNCTIONS_REQUEST_BODY_SIZE_LIMIT="4096") as running:
        yield running


class TestReadiness:
    def test_ready_line(self, host: Host) -> None:
        """The ready line names the URL and every function with its methods, and no key."""
        functions = host.ready["functions"]
        assert host.url.startswith("http://127.0.0.1:")
        assert functions["Echo"] == {
            "trigger": "httpTrigger",
            "methods": ["GET", "POST"],
            "url": f"{host.url}/sample/echo",
        }
        assert functions["AnyMethod"]["methods"] == ["*"]
        assert functions["OnText"]["url"] == f"{host.url}/runtime/webhooks/EventGrid?functionName=OnText"
        assert host.keys.master not in json.dumps(host.ready)

    def test_start_page(self, host: Host) -> None:
        """The start page needs no key."""
        assert host.request("GET", "/").status_code == 200

    def test_status_needs_the_master_key(self, host: Host) -> None:
        """The status document needs the master key and says Running."""
        answer = host.request("GET", "/admin/host/status", headers={"x-functions-key": host.keys.master})
        assert answer.json()["state"] == "Running"
        refused = host.request("GET", "/admin/host/status", headers={"x-functions-key": host.keys.host})
        assert (refused.status_code, refused.content) == (401, b"")

    def test_prints_of_the_app_are_logged(self, host: Host) -> None:
        """What the app prints goes to the log, not to stdout with the ready line."""
        assert host.child.wait_for_line("printed while importing", TIMEOUT)


class TestTimers:
    """A timer function runs by its schedule, and now for the holder of the master key."""

    @staticmethod
    def run_now(host: Host, name: str = "OnTimer", key: str = "", body: str = "{}") -> requests.Response:
        headers = {"x-functions-key": key or host.keys.master, "Content-Type": "application/json"}
        return host.request("POST", f"/admin/functions/{name}", headers=headers, data=body)

    def test_is_listed(self, host: Host) -> None:
        """The ready line names the route that runs it."""
        url = f"{host.url}/admin/functions/OnTimer"
        assert host.ready["functions"]["OnTimer"] == {
            "trigger": "timerTrigger",
            "methods": ["POST"],
            "url": url,
        }

    def test_runs_at_startup(self, host: Host) -> None:
        """`run_on_startup` runs it at once; it is told of its schedule. No storage is needed."""
        assert host.child.wait_for_line("timer, past due: False, ['Last', 'LastUpdated', 'Next']", TIMEOUT)
        assert host.child.wait_for_line("Executed 'Functions.OnTimer' (Succeeded", TIMEOUT)

    @pytest.mark.parametrize(("name", "body"), [("OnTimer", "{}"), ("ontimer", '{"input": ""}')])
    def test_runs_now(self, host: Host, name: str, body: str) -> None:
        """Answered 202 at once, as by the host in Azure; the name may have any case."""

        def runs() -> int:
            return sum("Executed 'Functions.OnTimer'" in line for line in host.child.lines())

        host.child.wait_for_line("Executed 'Functions.OnTimer'", TIMEOUT)
        before = runs()
        answer = self.run_now(host, name, body=body)
        assert (answer.status_code, answer.content) == (202, b"")
        eventually(lambda: runs() == before + 1)

    def test_needs_the_master_key(self, host: Host) -> None:
        """Neither the host key nor none opens it."""
        assert self.run_now(host, key=host.keys.host).status_code == 401
        assert host.request("POST", "/admin/functions/OnTimer").status_code == 401

    @pytest.mark.parametrize("name", ["Unknown", "Echo", "OnEvent", ""])
    def test_other_functions(self, host: Host, name: str) -> None:
        """Functions with a route of their own are not run here."""
        assert self.run_now(host, name).status_code == 404

    @pytest.mark.parametrize("body", ["", "now", "[]"])
    def test_body(self, host: Host, body: str) -> None:
        """It has to be a JSON object."""
        assert self.run_now(host, body=body).status_code == 400
        assert host.child.wait_for_line("send {}", TIMEOUT)

    def test_failure(self) -> None:
        """A function that raises is a failed invocation in the log; the host goes on."""
        with Host(KeyRing.generate(), SAMPLE_TIMER_FAILS="yes") as host:
            assert host.child.wait_for_line("Executed 'Functions.OnTimer' (Failed", TIMEOUT)
            assert self.run_now(host).status_code == 202
            assert host.request("GET", "/").status_code == 200


class TestRouting:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/sample/unknown"),
            ("GET", "/echo"),
            ("GET", "/api/echo"),
            ("DELETE", "/sample/echo"),
            ("HEAD", "/sample/echo"),
            ("OPTIONS", "/sample/echo"),
            ("POST", "/"),
            ("GET", "/sample/items"),
            ("GET", "/sample/items/"),
            ("GET", "/sample/items/1/2"),
        ],
    )
    def test_unknown_route_or_method(self, host: Host, method: str, path: str) -> None:
        """An unknown route and an undeclared method are a 404 without a body, even with the master key."""
        answer = host.request(method, path, headers={"x-functions-key": host.keys.master})
        assert (answer.status_code, answer.content) == (404, b"")

    def test_letter_case_and_trailing_slash(self, host: Host) -> None:
        """Routes match in any letter case and with a trailing slash."""
        assert host.request("GET", "/Sample/ITEMS/all/").text == "all of them, by GET"

    def test_route_parameter(self, host: Host) -> None:
        """A route parameter arrives decoded, in its own case."""
        assert host.request("GET", "/sample/items/8%3Aacs%3AÄ").text == "8:acs:Ä"

    @pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS"])
    def test_trigger_without_methods(self, host: Host, method: str) -> None:
        """A trigger without methods accepts every method."""
        assert host.request(method, "/sample/any").headers["X-Method"] == method


class TestKeys:
    @pytest.mark.parametrize("kind", ["function", "host", "master"])
    def test_accepted_keys(self, host: Host, kind: str) -> None:
        """The function's key, the host key and the master key are accepted, in the header or the query."""
        key = {
            "function": host.keys.functions["Echo"],
            "host": host.keys.host,
            "master": host.keys.master,
        }[kind]
        assert host.request("GET", "/sample/echo", headers={"X-Functions-Key": key}).status_code == 200
        assert host.request("GET", "/sample/echo", params={"code": key}).status_code == 200

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"headers": {"x-functions-key": "wrong"}},
            {"headers": {"x-functions-key": ""}},
            {"headers": {"x-functions-key": "schlüssel".encode()}},
            {"params": {"code": "wrong"}},
            {"params": {"code": ""}},
        ],
    )
    def test_missing_or_wrong_key(self, host: Host, options: dict[str, Any]) -> None:
        """A missing, empty or wrong key is a 401 without a body."""
        answer = host.request("GET", "/sample/echo", **options)
        assert (answer.status_code, answer.content) == (401, b"")

    def test_header_takes_precedence(self, host: Host) -> None:
        """The header's key decides, even if only the query's is correct."""
        right, wrong = host.keys.functions["Echo"], "wrong"
        by_header = host.request(
            "GET", "/sample/echo", headers={"x-functions-key": right}, params={"code": wrong}
        )
        by_query = host.request(
            "GET", "/sample/echo", headers={"x-functions-key": wrong}, params={"code": right}
        )
        assert (by_header.status_code, by_query.status_code) == (200, 401)

    def test_admin_level(self, host: Host) -> None:
        """A function of the level admin accepts the master key only."""
        for key in (host.keys.functions["Echo"], host.keys.host):
            assert host.request("GET", "/sample/administer", params={"code": key}).status_code == 401
        assert host.request("GET", "/sample/administer", params={"code": host.keys.master}).status_code == 200

    def test_anonymous(self, host: Host) -> None:
        """An anonymous function needs no key and ignores a wrong one."""
        assert host.request("GET", "/sample/items/1", params={"code": "wrong"}).status_code == 200


class TestRequestAndAnswer:
    def echo(self, host: Host, method: str = "POST", query: str = "", **options: Any) -> dict[str, Any]:
        headers = {"x-functions-key": host.keys.host, **options.pop("headers", {})}
        seen = host.request(method, f"/sample/echo{query}", headers=headers, **options).json()
        assert isinstance(seen, dict)
        return seen

    def test_whole_request(self, host: Host) -> None:
        """Method, full URL, query and body reach the function."""
        seen = self.echo(host, query="?acsMri=8%3Aacs%3Aa+b&x=1", data=b"\x00\xffbody")
        assert seen["method"] == "POST"
        assert seen["url"] == f"{host.url}/sample/echo?acsMri=8%3Aacs%3Aa+b&x=1"
        assert seen["params"] == {"acsMri": "8:acs:a b", "x": "1"}
        assert seen["body"].encode("latin-1") == b"\x00\xffbody"

    def test_header_names(self, host: Host) -> None:
        """Header names arrive lower-cased."""
        assert self.echo(host, headers={"X-MiXed-Case": "Value"})["headers"]["x-mixed-case"] == "Value"

    def test_repeated_and_empty_query_values(self, host: Host) -> None:
        """A repeated query name arrives comma-joined under its first spelling; an empty value is dropped."""
        assert self.echo(host, "GET", "?a=1&A=2&b=&c")["params"] == {"a": "1,2"}

    def test_chunked_body(self, host: Host) -> None:
        """A body without a Content-Length arrives empty."""
        assert self.echo(host, data=iter([b"some", b"thing"]))["body"] == ""

    def test_compressed_body(self, host: Host) -> None:
        """A compressed body is passed on unchanged."""
        seen = self.echo(host, data=b"not even gzip", headers={"Content-Encoding": "gzip"})
        assert seen["body"] == "not even gzip"

    def test_long_header(self, host: Host) -> None:
        """A header of 20 kB, such as a large bearer token, is accepted."""
        token = "t" * 20_000
        assert self.echo(host, headers={"Authorization": token})["headers"]["authorization"] == token

    def test_too_large(self, host: Host) -> None:
        """A body announced as larger than 100 MB is refused before it is read."""
        port = int(host.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as client:
            client.sendall(b"POST /sample/bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 104857601\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 413 ")

    def test_body_limit(self, guarded: Host) -> None:
        """`FUNCTIONS_REQUEST_BODY_SIZE_LIMIT` is enforced on functions and on the webhook, chunked or not."""
        fits, exceeds = b"x" * 4_096, b"x" * 4_097
        headers = {"x-functions-key": guarded.keys.host}
        assert guarded.request("POST", "/sample/echo", data=fits, headers=headers).status_code == 200
        assert guarded.request("POST", "/sample/echo", data=exceeds, headers=headers).status_code == 413
        key = guarded.keys.system["eventgrid_extension"]
        event = json.dumps({**EVENT, "data": {"padding": "x" * 4_096}}).encode()
        assert guarded.send_events(event, code=key).status_code == 413
        chunked = guarded.request(
            "POST",
            f"/runtime/webhooks/EventGrid?functionName=OnEvent&code={key}",
            data=iter([event[:1_000], event[1_000:]]),
            headers={"aeg-event-type": "Notification"},
        )
        assert chunked.status_code == 413

    def test_answer(self, host: Host) -> None:
        """Status, headers, cookies, content type and bytes of the answer come through unchanged."""
        answer = host.request("POST", "/sample/bytes", data=b"\x00\x01\xff")
        assert (answer.status_code, answer.content) == (207, b"\x00\x01\xff")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["X-Sample"] == "yes"
        parts = answer.headers["Set-Cookie"].split("; ")
        assert parts[0] == "taste=sweet"
        assert set(parts[1:]) == {"HttpOnly", "Max-Age=60", "Path=/", "SameSite=Lax", "Secure"}

    def test_returned_text(self, host: Host) -> None:
        """Returned text is answered as plain text."""
        answer = host.request("GET", "/sample/items/1")
        assert (answer.text, answer.headers["Content-Type"]) == ("1", "text/plain; charset=utf-8")

    def test_exception(self, host: Host) -> None:
        """An exception is a 500 without a body; the log has the whole stack trace."""
        answer = host.request("GET", "/sample/raise")
        assert (answer.status_code, answer.content) == (500, b"")
        host.child.wait_for_line("RuntimeError: the sample failed on GET", TIMEOUT)
        host.child.wait_for_line("json.decoder.JSONDecodeError", TIMEOUT)
        host.child.wait_for_line("Executed 'Functions.Raise' (Failed", TIMEOUT)

    def test_impossible_status(self, host: Host) -> None:
        """An impossible status is a 500 without a body."""
        answer = host.request("GET", "/sample/odd")
        assert (answer.status_code, answer.content) == (500, b"")

    def test_log_records(self, host: Host) -> None:
        """Log records appear on stderr as one line with level and logger; no line contains a key."""
        self.echo(host)
        assert "INFO    sample: echo was called" in host.child.wait_for_line("echo was called", TIMEOUT)
        log = "\n".join(host.child.lines())
        assert not any(key in log for key in (host.keys.host, host.keys.master))


class TestEventGrid:
    @pytest.mark.parametrize("kind", ["SubscriptionValidation", "subscriptionvalidation"])
    def test_validation_handshake(self, host: Host, kind: str) -> None:
        """The Event Grid schema's handshake answers with the received code."""
        event = {**EVENT, "data": {"validationCode": "512d38b6", "validationUrl": "https://example.test"}}
        answer = host.send_events([event], kind=kind)
        assert (answer.status_code, answer.json()) == (200, {"validationResponse": "512d38b6"})

    @pytest.mark.parametrize("body", [[], [{"data": {}}], b"no JSON", {"data": "no JSON"}, 1])
    def test_validation_without_a_code(self, host: Host, body: object) -> None:
        """A handshake without a code is a 400."""
        assert host.send_events(body, kind="SubscriptionValidation").status_code == 400

    @pytest.mark.parametrize(
        ("origin", "allowed"),
        [
            ("eventgrid.azure.net", "eventgrid.azure.net"),
            ("eventgrid.azure.us", "eventgrid.azure.us"),
            ("attacker.test", "eventgrid.azure.net"),
        ],
    )
    def test_cloud_events_handshake(self, host: Host, origin: str, allowed: str) -> None:
        """The CloudEvents handshake allows the origins of Event Grid only."""
        answer = host.request(
            "OPTIONS",
            "/runtime/webhooks/EventGrid?functionName=OnEvent",
            headers={"WebHook-Request-Origin": origin},
        )
        assert (answer.status_code, answer.headers["WebHook-Allowed-Origin"]) == (200, allowed)

    def test_text_function(self, host: Host) -> None:
        """A function annotated `str` gets the JSON text of one event, compact and unescaped."""
        assert host.send_events([EVENT], "OnText").status_code == 202
        line = host.child.wait_for_line('text event: {"id":"event-1"', TIMEOUT)
        assert json.loads(line.partition("text event: ")[2]) == EVENT
        assert "call/ü" in line

    def test_event_grid_schema(self, host: Host) -> None:
        """A batch in the Event Grid schema arrives event by event."""
        assert host.send_events([EVENT, {**EVENT, "id": "event-2"}]).status_code == 202
        host.child.wait_for_line("EventGridEvent event event-1", TIMEOUT)
        host.child.wait_for_line("EventGridEvent event event-2", TIMEOUT)

    def test_cloud_events_schema(self, host: Host) -> None:
        """CloudEvents arrive as such, a single one or a batch."""
        assert host.send_events(CLOUD_EVENT).status_code == 202
        batch = [{**CLOUD_EVENT, "id": "cloud-2"}, {**CLOUD_EVENT, "id": "cloud-3"}]
        assert host.send_events(batch).status_code == 202
        for number in (1, 2, 3):
            host.child.wait_for_line(f"CloudEvent event cloud-{number}", TIMEOUT)

    def test_one_failure_fails_the_batch(self, host: Host) -> None:
        """One failed event makes the delivery a 500; the others are processed."""
        events = [
            {**EVENT, "id": "first"},
            {**EVENT, "id": "second", "data": {"fail": True}},
            {**EVENT, "id": "third"},
        ]
        assert host.send_events(events).status_code == 500
        for line in ("event first", "event third", "RuntimeError: the event second failed"):
            host.child.wait_for_line(line, TIMEOUT)

    @pytest.mark.parametrize("function", ["", "Unknown", "onevent", "Echo"])
    def test_unknown_function(self, host: Host, function: str) -> None:
        """An unknown function, and one without an Event Grid trigger, is a 404."""
        assert host.send_events([EVENT], function).status_code == 404

    @pytest.mark.parametrize("kind", ["", "Unknown"])
    def test_unknown_type(self, host: Host, kind: str) -> None:
        """A missing or unknown `aeg-event-type` is a 400, for CloudEvents too."""
        assert host.send_events([EVENT], kind=kind).status_code == 400
        assert host.send_events(CLOUD_EVENT, kind=kind).status_code == 400

    @pytest.mark.parametrize("body", [b"", b"no JSON", b"\xff", "text", 1, None, ["text"]])
    def test_body_without_events(self, host: Host, body: object) -> None:
        """A body that is not an object or an array of objects is a 400."""
        assert host.send_events(body).status_code == 400

    def test_empty_batch(self, host: Host) -> None:
        """An empty batch is a success."""
        assert host.send_events([]).status_code == 202

    def test_unsubscribe(self, host: Host) -> None:
        """Unsubscribing is accepted with any body."""
        assert host.send_events(b"", kind="Unsubscribe").status_code == 202

    def test_system_key(self, guarded: Host) -> None:
        """If a system key is set, the webhook accepts it and the master key, in the query or the header."""
        system = guarded.keys.system["eventgrid_extension"]
        for key in (system, guarded.keys.master):
            assert guarded.send_events([EVENT], code=key).status_code == 202
        webhook = "/runtime/webhooks/EventGrid?functionName=OnEvent"
        handshake = guarded.request("OPTIONS", webhook, headers={"x-functions-key": system})
        assert handshake.status_code == 200

    def test_wrong_system_key(self, guarded: Host) -> None:
        """A missing or wrong system key is a 401 without a body, also for an unknown function."""
        webhook = "/runtime/webhooks/EventGrid?functionName=OnEvent"
        answers = [
            guarded.send_events([EVENT]),
            guarded.send_events([EVENT], code="wrong"),
            guarded.send_events([EVENT], code=guarded.keys.host),
            guarded.send_events([EVENT], "Unknown"),
            guarded.request("OPTIONS", webhook),
        ]
        assert [(one.status_code, one.content) for one in answers] == [(401, b"")] * len(answers)


class TestReasons:
    """Answers have no reason, as in Azure; the log has it, without any key."""

    @pytest.mark.parametrize(
        ("send", "status", "reason"),
        [
            pytest.param(
                lambda host: host.request("GET", "/sample/echo"),
                401,
                "/sample/echo: answered 401, because the request has no key",
                id="no key",
            ),
            pytest.param(
                lambda host: host.request("GET", "/sample/echo", params={"code": "wrong"}),
                401,
                "the request has an unknown key; it needs the key of Echo, the host key or the master key",
                id="unknown key",
            ),
            pytest.param(
                lambda host: host.request(
                    "GET", "/sample/echo", params={"code": host.keys.functions["Other"]}
                ),
                401,
                "the request has the key of Other; it needs the key of Echo",
                id="another function's key",
            ),
            pytest.param(
                lambda host: host.request("GET", "/sample/administer", params={"code": host.keys.host}),
                401,
                "the request has the host key; it needs the master key",
                id="admin level",
            ),
            pytest.param(
                lambda host: host.request("DELETE", "/sample/echo"),
                404,
                "/sample/echo: answered 404, because it is served for GET, POST only",
                id="wrong method",
            ),
            pytest.param(
                lambda host: host.request("GET", "/sample/nothing"),
                404,
                "a request: answered 404, because no function has its route",
                id="unknown route",
            ),
            pytest.param(
                lambda host: host.send_events([EVENT], kind=""),
                400,
                "the header aeg-event-type is missing or unknown",
                id="no aeg-event-type",
            ),
            pytest.param(
                lambda host: host.send_events(b"no JSON"),
                400,
                "the body is not a JSON object or an array of objects",
                id="body without events",
            ),
            pytest.param(
                lambda host: host.send_events([{}], kind="SubscriptionValidation"),
                400,
                "the first event has no data.validationCode",
                id="no validation code",
            ),
            pytest.param(
                lambda host: host.send_events([EVENT], "Nothing"),
                404,
                "functionName is not an Event Grid function; there is OnText, OnEvent",
                id="unknown function",
            ),
        ],
    )
    def test_reason_is_logged(
        self, host: Host, send: Callable[[Host], requests.Response], status: int, reason: str
    ) -> None:
        """The line names the route, the status and the cause, and quotes nothing of the request."""

        def logged() -> list[str]:
            return [line for line in host.child.lines() if reason in line]

        before = len(logged())
        assert send(host).status_code == status
        eventually(lambda: len(logged()) > before)
        line = logged()[-1]
        assert "WARNING local.host: " in line
        assert not any(key in line for key in (*host.keys.functions.values(), host.keys.host, "wrong"))

    def test_wrong_system_key(self, guarded: Host) -> None:
        """The webhook names the system key."""
        assert guarded.send_events([EVENT], code=guarded.keys.host).status_code == 401
        assert guarded.child.wait_for_line(
            "the request has the host key; it needs the system key eventgrid_extension", TIMEOUT
        )

    def test_body_limit(self, guarded: Host) -> None:
        """The limit is named."""
        key = guarded.keys.system["eventgrid_extension"]
        assert guarded.send_events(b"x" * 5_000, code=key).status_code == 413
        assert guarded.child.wait_for_line(
            "a request: answered 413, because its body is larger than 4096 bytes", TIMEOUT
        )


class TestProcess:
    def meet(self, host: Host) -> list[int]:
        """The statuses of two concurrent requests to a function that waits for the other request."""

        def ask(_: int) -> int:
            return requests.get(host.url + "/sample/meet", timeout=TIMEOUT).status_code

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(ask, range(2)))

    def test_invocations_run_concurrently(self, host: Host) -> None:
        """Synchronous functions run concurrently on the worker's thread pool."""
        assert self.meet(host) == [200, 200]

    def test_thread_count(self, guarded: Host) -> None:
        """`PYTHON_THREADPOOL_THREAD_COUNT` limits the concurrent invocations."""
        assert 408 in self.meet(guarded)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_stop_waits_for_invocations(self, number: signal.Signals) -> None:
        """After SIGTERM or SIGINT a running invocation is answered, and the host ends with status 0."""
        with Host(KeyRing.generate()) as host, ThreadPoolExecutor(1) as pool:
            running = pool.submit(host.request, "GET", "/sample/meet")
            host.child.wait_for_line("meeting by GET", TIMEOUT)
            os.kill(host.child.pid, number)
            assert running.result(TIMEOUT).status_code == 408
            assert host.child.wait(TIMEOUT) == 0

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
            ("raise RuntimeError('settings are missing')", "RuntimeError: settings are missing"),
            ("import azure.functions as func\napp = func.FunctionApp()", "no functions found"),
            (None, "no functions found"),
        ],
    )
    def test_app_that_cannot_start(self, tmp_path: Path, source: str | None, message: str) -> None:
        """An app that cannot be loaded ends the host with status 1; the last line says why."""
        if source is not None:
            (tmp_path / "function_app.py").write_text(source)
        host = Host(KeyRing.generate(), tmp_path)
        with pytest.raises(ChildError, match="ended with status 1"), host:
            pass
        assert "The host did not start: " in host.child.lines()[-1]
        assert message in host.child.lines()[-1]

    def test_broken_host_json(self, tmp_path: Path) -> None:
        """A malformed host.json is named as the reason."""
        (tmp_path / "host.json").write_text("{")
        host = Host(KeyRing.generate(), tmp_path)
        with pytest.raises(ChildError, match=r"host\.json cannot be read"), host:
            pass


class TestKeyRing:
    def test_repr_is_masked(self) -> None:
        """The representation shows no key."""
        keys = KeyRing.generate(functions=["Echo"], system=["eventgrid_extension"])
        assert repr(keys) == "KeyRing()"

    def test_round_trip(self) -> None:
        """Keys written as JSON are read as the same keys."""
        keys = KeyRing.generate(functions=["Echo"], system=["eventgrid_extension"])
        assert KeyRing.from_json(keys.to_json()) == keys

    def test_missing_keys_are_generated(self) -> None:
        """A missing host, master or function key is generated."""
        first, second = (KeyRing.from_json("{}").completed(["Echo"]) for _ in range(2))
        made = [first.host, first.master, first.functions["Echo"], second.host, second.master]
        assert len(set(made)) == 5
        assert first.system == {}

    @pytest.mark.parametrize(
        "text",
        [
            "sesame",
            '["sesame"]',
            '{"host": ""}',
            '{"sesame": "x"}',
            '{"functions": "sesame"}',
            '{"system": {"a": 1}}',
        ],
    )
    def test_malformed_keys(self, text: str) -> None:
        """The error about malformed keys does not quote them."""
        with pytest.raises(KeyRingError) as refused:
            KeyRing.from_json(text)
        assert "sesame" not in str(refused.value)
