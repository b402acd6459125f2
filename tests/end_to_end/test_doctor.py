"""The doctor as operators run it, against an app that runs: its answers, its exit codes, and no secret."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from pymongo import MongoClient
from typer.testing import CliRunner

from common.telemetry import fingerprint
from doctor.cli import app
from doctor.probes import database_connection
from local.hub.config import DEVELOPMENT_HUB
from local.samples import Phone, event_grid_event, incoming_call_data, phones
from local.stack import APP_DIRECTORY, Stack
from settings import is_setting, setting_names

KEYS = [rule.key for rule in DEVELOPMENT_HUB.rules.values()]
LONG_AGO = datetime.now(UTC) - timedelta(minutes=10)
CHECK_FIELDS = {"area", "name", "status", "detail", "remedy", "commands", "counts"}
DEVICE_FIELDS = {
    "device", "deviceUUID", "platform", "outcome", "reason", "status", "trackingId", "attempts", "ageMs",
    "hub", "notificationId", "platformOutcome", "reports",
}  # fmt: skip
EVENT_FIELDS = {"eventId", "callId", "firstSeenAt", "state", "status", "detail", "remedy", "devices"}


@dataclass(frozen=True)
class Answer:
    """What a command ended with and wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        assert document["exitCode"] == self.code
        return document


@dataclass(frozen=True)
class User:
    """A user with three phones."""

    mri: str
    devices: tuple[Phone, ...]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The app with all that it needs."""
    with Stack() as running:
        yield running


@pytest.fixture
def values(stack: Stack) -> dict[str, str]:
    """The app's settings."""
    return {
        "ANHHubConnectionString": DEVELOPMENT_HUB.connection_string(),
        "ANHHubName": DEVELOPMENT_HUB.hub_name,
        "ANHHubUrl": f"{stack.hub_url}/{DEVELOPMENT_HUB.hub_name}/messages/",
        "MongoDbConnectionString": stack.database.uri,
        "DbName": "calling",
    }


@pytest.fixture
def user(stack: Stack) -> User:
    """A user whom no other test knows."""
    made = User(f"8:acs:{uuid.uuid4()}_{uuid.uuid4()}", phones())
    for phone in made.devices:
        assert stack.host.add_device_token(phone.registration(made.mri)).status_code == 201
    return made


def checked(answer: Answer, *secrets: str) -> Answer:
    """The answer, once it is certain that it gives nothing away."""
    for secret in (*KEYS, *secrets):
        assert secret not in answer.out + answer.err
    assert "SharedAccessKey=" not in answer.out + answer.err
    assert "SharedAccessSignature sr=" not in answer.out + answer.err
    assert "mongodb://" not in answer.out + answer.err
    assert "Traceback" not in answer.err
    return answer


def tokens(user: User) -> list[str]:
    return [phone.device_token for phone in user.devices]


def run(
    values: Mapping[str, str],
    *arguments: str,
    answer: str = "",
    more: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    """`python -m doctor` in a process of its own, with the settings in its environment."""
    kept = {name: value for name, value in os.environ.items() if not is_setting(name)}
    done = subprocess.run(
        [sys.executable, "-m", "doctor", *arguments],
        cwd=APP_DIRECTORY,
        env={**kept, **values, **more},
        input=answer,
        capture_output=True,
        encoding=more.get("PYTHONIOENCODING", "utf-8"),
        timeout=60,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def run_here(values: Mapping[str, str], *arguments: str) -> Answer:
    """The same in this process, with the settings on standard input."""
    text = json.dumps({"IsEncrypted": False, "Values": values})
    done = CliRunner().invoke(app, [*arguments, "--settings", "-"], input=text)
    return Answer(done.exit_code, done.stdout, done.stderr)


class TestCheck:
    def test_for_people(self, values: dict[str, str], user: User) -> None:
        """A good configuration: what cannot be known from here in one line, a count of the rest, and
        0."""
        answer = checked(run(values, "check"), *tokens(user))
        assert answer.code == 0, answer.out + answer.err
        assert "Not known from here: " in answer.out
        assert "bundle id, kind of token" in " ".join(answer.out.split())
        assert "checks pass; --all shows them." in answer.out
        assert "hub: key" not in answer.out
        everything = run(values, "check", "--all").out
        assert "PASS        hub: key" in everything
        assert "CANNOT TELL elsewhere: bundle id" in everything

    def test_console_of_windows(self, stack: Stack, values: dict[str, str]) -> None:
        """A console or pipe of another code page than UTF-8 shows every report."""
        user = f"8:acs:{uuid.uuid4()}"
        phone = replace(phones()[0], device_uuid="t\u00e9l\u00e9phone \u7535\u8bdd")
        assert stack.host.add_device_token(phone.registration(user)).status_code == 201
        windows = {"PYTHONIOENCODING": "cp437", "PYTHONUTF8": "0"}
        for arguments in (["check"], ["calls"], ["user", user], ["user", user, "--json"], ["--help"]):
            answer = run(values, *arguments, more=windows)
            assert answer.code in {0, 1}, answer.err
            assert "Traceback" not in answer.err

    def test_for_scripts(self, values: dict[str, str]) -> None:
        """The same as JSON: every check with its area, name, status, detail, remedy and weight."""
        document = checked(run_here(values, "check", "--json")).json
        assert document["command"] == "check"
        assert all(set(check) == CHECK_FIELDS for check in document["checks"])
        assert {check["status"] for check in document["checks"]} <= {"pass", "fail", "cannot tell"}

    def test_wrong_key(self, values: dict[str, str]) -> None:
        """Something wrong: 1, and the row says what to do."""
        wrong = {**values, "ANHHubConnectionString": DEVELOPMENT_HUB.connection_string() + "secret"}
        answer = checked(run(wrong, "check", "--json"), "secret")
        assert answer.code == 1
        (failed,) = [check for check in answer.json["checks"] if check["status"] == "fail"]
        assert (failed["area"], failed["name"]) == ("hub", "key")

    def test_no_settings(self) -> None:
        """Settings that cannot be used: 2, every one of them listed."""
        answer = checked(run({}, "check", "--json"))
        assert answer.code == 2
        names = {check["name"] for check in answer.json["checks"]}
        assert {"ANHHubConnectionString", "ANHHubName", "MongoDbConnectionString", "DbName"} <= names

    def test_rings_no_phone(self, stack: Stack, values: dict[str, str], user: User) -> None:
        """A check sends nothing to a phone."""
        run_here(values, "check")
        assert not set(tokens(user)) & set(stack.hub.summary().handles)


class TestUsage:
    @pytest.mark.parametrize(
        "arguments", [["nonsense"], ["check", "--nonsense"], ["user"], ["user", "4:+491234"], ["call", "x"]]
    )
    def test_wrong(self, arguments: list[str]) -> None:
        """A wrong command line, a user who can have no device, or no settings: 2."""
        assert CliRunner(env=dict.fromkeys(setting_names(), "")).invoke(app, arguments).exit_code == 2

    def test_no_such_file(self) -> None:
        """So is a settings file that is not there; with --json that is said in JSON."""
        done = CliRunner().invoke(app, ["user", "8:acs:a", "--settings", "/nonexistent", "--json"])
        assert done.exit_code == 2
        assert set(json.loads(done.stdout)) == {"command", "exitCode", "error"}

    def test_database_down(self, values: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        """A database that cannot be reached: 3, because nothing is known of the user."""
        monkeypatch.setattr(database_connection, "CONNECT_SECONDS", 0.3)
        uri = "mongodb://someone:hidden@127.0.0.1:1/?directConnection=true"
        answer = checked(
            run_here({**values, "MongoDbConnectionString": uri}, "user", "8:acs:a", "--json"), "hidden"
        )
        assert answer.code == 3
        assert answer.json["error"]["remedy"]


class TestUser:
    def test_devices(self, values: dict[str, str], user: User) -> None:
        """Every device with platform, expiry and last refresh; its token as a fingerprint."""
        answer = checked(run_here(values, "user", user.mri, "--json"), *tokens(user))
        assert answer.code == 0
        devices = {device["deviceUUID"]: device for device in answer.json["devices"]}
        assert set(devices) == {phone.device_uuid for phone in user.devices}
        for phone in user.devices:
            assert devices[phone.device_uuid]["tokenFingerprint"] == fingerprint(phone.device_token)
            assert devices[phone.device_uuid]["state"] == "rings"

    def test_for_people(self, values: dict[str, str], user: User) -> None:
        """A table, with the fingerprint by which the log names the user."""
        answer = checked(run(values, "user", user.mri), *tokens(user))
        assert answer.code == 0
        assert fingerprint(user.mri) in answer.out
        assert "apple" in answer.out

    @pytest.mark.usefixtures("user")
    def test_no_devices(self, values: dict[str, str]) -> None:
        """A user without devices cannot be rung: 1."""
        assert checked(run_here(values, "user", "8:acs:nobody")).code == 1

    def test_empty_database(self, values: dict[str, str]) -> None:
        """In an empty database, perhaps of a mistyped name, nothing is known of a user: 3."""
        answer = checked(run_here({**values, "DbName": "caling"}, "user", "8:acs:nobody"))
        assert answer.code == 3
        assert "'caling' is empty" in answer.out

    def test_last_push(self, stack: Stack, values: dict[str, str], user: User) -> None:
        """The last push to each device is shown; a device whose push was refused is no healthy one: 1."""
        stack.host.deliver(event_grid_event(incoming_call_data(user.mri)))
        answer = run_here(values, "user", user.mri, "--json")
        assert answer.code == 0
        assert {device["lastPush"]["outcome"] for device in answer.json["devices"]} == {"accepted"}
        wrong = {**values, "ANHHubConnectionString": DEVELOPMENT_HUB.connection_string() + "secret"}
        run_here(wrong, "ring", user.mri, "--yes")
        answer = checked(run_here(values, "user", user.mri, "--json"), *tokens(user))
        assert answer.code == 1
        assert {device["state"] for device in answer.json["devices"]} == {"last push refused"}

    @pytest.mark.parametrize("spelling", ['"{}"', " {} ", "{}\n"])
    def test_pasted(self, values: dict[str, str], user: User, spelling: str) -> None:
        """An MRI is found as people paste it."""
        assert run_here(values, "user", spelling.format(user.mri)).code == 0


class TestCall:
    def test_rung(self, stack: Stack, values: dict[str, str], user: User) -> None:
        """A call that rang, by its correlation id and by its event id, device by device."""
        event = event_grid_event(incoming_call_data(user.mri))
        assert stack.host.deliver(event).status_code == 202
        for name in (event["data"]["correlationId"], event["id"]):
            answer = checked(run_here(values, "call", name, "--json"), user.mri, *tokens(user))
            assert answer.code == 0
            (found,) = answer.json["events"]
            assert set(found) == EVENT_FIELDS
            assert found["state"] == "rung"
            assert [set(device) for device in found["devices"]] == [DEVICE_FIELDS] * 3
            assert {device["status"] for device in found["devices"]} == {201}
            assert {device["trackingId"] for device in found["devices"]} <= {
                push.tracking_id for push in stack.hub.pushes()
            }

    def test_for_people(self, stack: Stack, values: dict[str, str], user: User) -> None:
        """The same as a table."""
        event = event_grid_event(incoming_call_data(user.mri))
        stack.host.deliver(event)
        answer = checked(run(values, "call", event["id"]), user.mri, *tokens(user))
        assert answer.code == 0
        assert "3 of 3 devices" in answer.out

    @pytest.mark.parametrize(
        "case",
        [(None, -10, "missed"), ("8:acs:nobody", 0, "skipped"), ("28:orgid:app", 0, "skipped")],
        ids=["late", "no device", "no owner"],
    )
    def test_not_rung(
        self, stack: Stack, values: dict[str, str], user: User, case: tuple[str | None, int, str]
    ) -> None:
        """A call that was late, or whose callee has no device, is found with the reason."""
        callee, minutes, state = case
        time = datetime.now(UTC) + timedelta(minutes=minutes)
        event = event_grid_event(incoming_call_data(callee or user.mri), time=time)
        assert stack.host.deliver(event).status_code == 202
        answer = checked(run_here(values, "call", event["data"]["correlationId"], "--json"), user.mri)
        assert answer.code == 1
        (found,) = answer.json["events"]
        assert (found["state"], found["devices"]) == (state, [])
        assert found["remedy"]

    def test_not_understood(self, stack: Stack, values: dict[str, str], user: User) -> None:
        """An event that cannot be understood is found by its id, and its next delivery is not hindered."""
        data = incoming_call_data(user.mri)
        event = event_grid_event({**data, "incomingCallContext": "broken"})
        assert stack.host.deliver(event).status_code == 500
        answer = run_here(values, "call", event["id"], "--json")
        assert answer.json["events"][0]["state"] == "failed"
        assert stack.host.deliver({**event, "data": data}).status_code == 202
        assert run_here(values, "call", event["id"], "--json").json["events"][0]["state"] == "rung"

    def test_looked_up_by_an_index(self, stack: Stack, user: User) -> None:
        """The ledger has an index on the call keys once a call has been dealt with."""
        stack.host.deliver(event_grid_event(incoming_call_data(user.mri)))
        with MongoClient[dict[str, Any]](stack.database.uri) as client:
            assert "calls_1" in client["calling"]["CallLedger"].index_information()

    def test_unknown(self, values: dict[str, str]) -> None:
        """A call that the ledger does not know: 3, with where to look."""
        answer = checked(run_here(values, "call", "nothing"))
        assert answer.code == 3
        assert "dead" in answer.out


class TestCalls:
    def test_listed(self, stack: Stack, values: dict[str, str], user: User) -> None:
        """The calls of the last day, newest first, with what became of each."""
        rung, late = (event_grid_event(incoming_call_data(user.mri), time=time) for time in (None, LONG_AGO))
        for event in (rung, late):
            assert stack.host.deliver(event).status_code == 202
        answer = checked(run_here(values, "calls", "--json"), user.mri, *tokens(user))
        found = {event["callId"]: event["state"] for event in answer.json["events"]}
        assert list(found)[:2] == [late["data"]["correlationId"], rung["data"]["correlationId"]]
        assert list(found.values())[:2] == ["missed", "rung"]
        assert answer.code == 1

    def test_filters(self, stack: Stack, values: dict[str, str], user: User) -> None:
        """By result, by user and by time."""
        event = event_grid_event(incoming_call_data(user.mri))
        stack.host.deliver(event)

        def ids(*options: str) -> list[str]:
            return [each["callId"] for each in run_here(values, "calls", "--json", *options).json["events"]]

        call_id = event["data"]["correlationId"]
        assert ids("--user", user.mri) == [call_id]
        assert call_id in ids("--result", "rung", "--since", "1h")
        assert call_id not in ids("--result", "not-rung")
        assert ids("--since", "0s") == []
        assert ids("--limit", "1") == [call_id]
        assert ids("--user", "8:acs:never-called") == []

    def test_for_people(self, stack: Stack, values: dict[str, str], user: User) -> None:
        """An id stands on one line, whole."""
        event = event_grid_event(incoming_call_data(user.mri))
        stack.host.deliver(event)
        answer = checked(run(values, "calls"), user.mri, *tokens(user))
        assert f"  call {event['data']['correlationId']}" in answer.out.splitlines()

    def test_empty_database(self, values: dict[str, str]) -> None:
        """In an empty database nothing is known: 3."""
        answer = checked(run_here({**values, "DbName": "caling"}, "calls"))
        assert answer.code == 3
        assert "'caling' is empty" in answer.out

    def test_wrong_time(self, values: dict[str, str]) -> None:
        """A time that cannot be read is refused."""
        assert run_here(values, "calls", "--since", "yesterday").code == 2


class TestRing:
    def test_rings(self, stack: Stack, values: dict[str, str], user: User) -> None:
        """Each of the user's devices gets one push that names a test as its caller."""
        answer = checked(run(values, "ring", user.mri, "--yes", "--json"), *tokens(user))
        assert answer.code == 0, answer.out + answer.err
        document = answer.json
        assert document["deliveries"] == 1
        assert document["logLine"]["result"] == "delivered"
        (event,) = document["events"]
        assert {device["outcome"] for device in event["devices"]} == {"accepted"}
        pushes = [push for push in stack.hub.pushes() if push.device_handle in tokens(user)]
        assert len(pushes) == 3
        assert all("TEST CALL (doctor)" in push.body for push in pushes)

    @pytest.mark.parametrize("reply", ["n\n", ""], ids=["no", "no answer"])
    def test_asks_first(self, stack: Stack, values: dict[str, str], user: User, reply: str) -> None:
        """Without a yes nothing is sent, and it is said what a yes would do."""
        answer = checked(run(values, "ring", user.mri, answer=reply), *tokens(user))
        assert answer.code == 2
        assert "does not exist" in answer.err
        assert not set(tokens(user)) & set(stack.hub.summary().handles)

    def test_refused(self, values: dict[str, str], user: User) -> None:
        """A hub that refuses the key: 1, with the reason at every device."""
        wrong = {**values, "ANHHubConnectionString": DEVELOPMENT_HUB.connection_string() + "secret"}
        answer = checked(run(wrong, "ring", user.mri, "--yes", "--json"), "secret", *tokens(user))
        assert answer.code == 1
        (event,) = answer.json["events"]
        assert {(d["outcome"], d["status"]) for d in event["devices"]} == {("misconfigured", 401)}

    def test_no_devices(self, values: dict[str, str]) -> None:
        """A user without devices: 1, without a question, and nothing is sent."""
        answer = checked(run_here(values, "ring", "8:acs:nobody", "--json"))
        assert answer.code == 1
        assert answer.json["deliveries"] == 0
