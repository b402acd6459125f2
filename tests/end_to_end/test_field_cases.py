"""Inputs from public bug reports, recordings and samples, replayed through the real worker.

Each file of `tests/field_cases` is one case: what is registered, which event comes, and what the right
outcome is. A new case is a new file; `Case` below describes its form.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import requests
from pydantic import BaseModel, ConfigDict, Field, model_validator

from local.samples import LONGEST_CONTEXT, call_context_cp, event_time, incoming_call_context
from local.stack import Host, Stack
from tests.answering_server import Asked, Reply, answering
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import another_host, new_user

FOLDER = Path(__file__).parents[1] / "field_cases"

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Want(BaseModel):
    """The right outcome of a step; what is left out is not checked."""

    model_config = _STRICT

    status: int | None = None
    """Of the registrar's answer."""
    mentions: str | None = None
    """Text in the registrar's answer."""
    acknowledged: bool | None = None
    """Whether Event Grid hears a success."""
    pushes: int | None = None
    """Requests that the hub gets because of the event."""
    handle: str | None = None
    """The device handle of the last of them."""
    log: str | None = None
    """Text in the host's log, in any letter case."""


class Step(BaseModel):
    """One request. In its texts these are replaced: `{mri}` by a new user, `{ctx}` by a valid call context,
    `{long ctx}` by the longest one that has been recorded,
    `{id}` and `{corr}` by new ids of an event and a call, `{CORR}` by the second in capitals, `{now}`,
    `{now+00:00}` and `{now, no zone}` by the current time."""

    model_config = _STRICT

    add: Mapping[str, Any] | None = None
    """The body of AddDeviceToken."""
    get: Mapping[str, str] | None = None
    """The query of GetDeviceRegistrations."""
    delete: Mapping[str, str] | None = None
    """The query of DeleteDeviceRegistration."""
    report: Mapping[str, Any] | None = None
    """The body of ReportCall."""
    event: Mapping[str, Any] | None = None
    """An event, as Event Grid delivers it."""
    repeat: bool = False
    """The last event again."""
    headers: Mapping[str, str] = Field(default_factory=dict)
    """Of `add`. With `Transfer-Encoding: chunked` the body is sent so."""
    want: Want

    @model_validator(mode="after")
    def _is_one_request(self) -> Self:
        requested = [self.add, self.get, self.delete, self.report, self.event, self.repeat or None]
        if sum(each is not None for each in requested) != 1:
            raise ValueError("a step is exactly one of add, get, delete, report, event and repeat")
        return self


class HubAnswer(BaseModel):
    """What the hub answers to a push."""

    model_config = _STRICT

    status: int
    headers: Mapping[str, str] = Field(default_factory=dict)
    body: str = ""


class Case(BaseModel):
    """One input and its right outcome."""

    model_config = _STRICT

    source: list[str]
    """Where the input was found."""
    outcome: str
    """What is right, and why."""
    fails: str | None = None
    """Why the outcome is not right yet; the case is then expected to fail."""
    settings: Mapping[str, str] = Field(default_factory=dict)
    """Settings of the app; `{db}` is the connection string of the database, which ends in its options."""
    hub: list[HubAnswer] = Field(default_factory=list)
    """The hub's answers in order; the last one is repeated. Without any, the hub accepts valid pushes."""
    steps: list[Step]


def load(path: Path) -> Case:
    # Not `model_validate_json`, which refuses half an emoji.
    return Case.model_validate(json.loads(path.read_text(encoding="utf-8")))


CASES = {path.stem: load(path) for path in sorted(FOLDER.glob("*.json"))}


class Hub:
    """What the hub has received: the simulator, or a server that answers as the case says."""

    def __init__(self, stack: Stack, answers: list[HubAnswer]) -> None:
        self._stack = stack
        self._answers = answers
        self._asked: list[str] = []

    @contextmanager
    def running(self) -> Iterator[str | None]:
        """The URL of a server that answers as the case says; None for the simulator."""
        if not self._answers:
            yield None
            return
        with answering(self._reply) as url:
            yield url

    def handles(self) -> list[str | None]:
        """The device handle of each request, oldest first."""
        if self._answers:
            return list(self._asked)
        return [attempt.device_handle for attempt in self._stack.hub.attempts()]

    def _reply(self, asked: Asked) -> Reply:
        self._asked.append(asked.headers["servicebusnotification-devicehandle"])
        answer = self._answers[min(len(self._asked), len(self._answers)) - 1]
        return Reply(answer.status, answer.body.encode(), answer.headers)


class Replay:
    """One case against one host."""

    def __init__(self, host: Host, log: HostLog, hub: Hub) -> None:
        self._host = host
        self._log = log
        self._hub = hub
        self._texts = {
            "{mri}": new_user(),
            "{ctx}": incoming_call_context(call_context_cp(str(uuid.uuid4()))),
            "{long ctx}": incoming_call_context(call_context_cp(str(uuid.uuid4()), LONGEST_CONTEXT)),
            "{id}": str(uuid.uuid4()),
            "{corr}": (call_id := str(uuid.uuid4())),
            "{CORR}": call_id.upper(),
            "{now}": event_time(),
            "{now+00:00}": event_time().replace("Z", "+00:00"),
            "{now, no zone}": event_time().removesuffix("Z"),
        }
        self._last_event: Any = None

    def run(self, step: Step) -> None:
        """Send the request and check its outcome."""
        mark, received = self._log.mark(), len(self._hub.handles())
        if step.event is not None or step.repeat:
            self._deliver(step, received)
        else:
            self._check_answer(self._call(step), step.want)
        if step.want.log is not None:
            wanted = step.want.log.lower()
            self._log.wait_until(
                lambda: any(wanted in line.lower() for line in self._log.lines(mark)), repr(wanted), mark
            )

    def _call(self, step: Step) -> requests.Response:
        if step.add is not None:
            raw = json.dumps(self._filled(step.add)).encode()
            chunked = step.headers.get("Transfer-Encoding") == "chunked"
            body: Any = iter([raw]) if chunked else raw
            return self._host.call("POST", "add_device_token", function="AddDeviceToken", data=body)
        if step.get is not None:
            query = self._filled(step.get)
            return self._host.call(
                "GET", "get_device_registrations", function="GetDeviceRegistrations", params=query
            )
        if step.report is not None:
            return self._host.report_call(self._filled(step.report))
        query = self._filled(step.delete)
        return self._host.call(
            "DELETE", "delete_device_registration", function="DeleteDeviceRegistration", params=query
        )

    def _check_answer(self, response: requests.Response, want: Want) -> None:
        assert want.status is None or response.status_code == want.status, response.text
        assert want.mentions is None or want.mentions in response.text

    def _deliver(self, step: Step, received: int) -> None:
        if step.event is not None:
            self._last_event = self._filled(step.event)
        answered = self._host.deliver(self._last_event)
        handles = self._hub.handles()[received:]
        want = step.want
        if want.acknowledged is not None:
            assert (answered.status_code < 300) is want.acknowledged, self._log.lines()
        assert want.pushes is None or len(handles) == want.pushes, handles
        assert want.handle is None or handles[-1] == want.handle

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            for placeholder, text in self._texts.items():
                value = value.replace(placeholder, text)
            return value
        if isinstance(value, Mapping):
            return {name: self._filled(each) for name, each in value.items()}
        return [self._filled(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", CASES)
def test_field_case(stack: Stack, log: HostLog, name: str, request: pytest.FixtureRequest) -> None:
    """Every step of the case has its right outcome."""
    case = CASES[name]
    if case.fails is not None:
        request.node.add_marker(pytest.mark.xfail(reason=case.fails, strict=True))
    hub = Hub(stack, case.hub)
    with ExitStack() as exit_stack:
        host, its_log = stack.host, log
        hub_url = exit_stack.enter_context(hub.running())
        if case.settings or hub_url is not None:
            settings = {
                setting: value.replace("{db}", stack.database.uri) for setting, value in case.settings.items()
            }
            its_log = HostLog()
            host = exit_stack.enter_context(another_host(stack, its_log, settings, hub_url=hub_url))
        replay = Replay(host, its_log, hub)
        for step in case.steps:
            replay.run(step)


def test_cases_are_found() -> None:
    """The folder is read, and every case names its source."""
    assert len(CASES) >= 76
    assert all(case.source and case.outcome and case.steps for case in CASES.values())
