"""The limits over HTTP: devices a user, changes a minute across workers, sizes; and revocation."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from local.hub.config import DEVELOPMENT_HUB
from local.samples import event_grid_event, incoming_call_data, phones
from local.stack import Host, Stack
from push.retry import MOST_MISCONFIGURED
from tests.end_to_end.callers import call, problem
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import Documents, another_host, new_user, register_phones

PER_MINUTE = 5
SMALL = {
    "MaxDevicesPerUser": "2",
    "RegistrationsPerMinute": "0",
    "MaxBodyBytes": "1024",
    "MaxMriLength": "128",
    "MaxDeviceUuidLength": "16",
    "MaxDeviceTokenLength": "64",
}
SECRETS = ("first-key-do-not-quote=", "second-key-do-not-quote=", "for-development-only=")


@pytest.fixture(scope="module")
def small(stack: Stack) -> Iterator[Host]:
    """A host whose limits are low."""
    with another_host(stack, HostLog(), SMALL) as running:
        yield running


@pytest.fixture(scope="module")
def pair(stack: Stack) -> Iterator[tuple[Host, Host]]:
    """Two workers over one database that allow few changes a minute."""
    settings = {"RegistrationsPerMinute": str(PER_MINUTE)}
    with (
        another_host(stack, HostLog(), settings) as one,
        another_host(stack, HostLog(), settings) as two,
    ):
        yield one, two


def add(host: Host, user: str, name: str = "phone", token: str = "") -> requests.Response:
    device = {"deviceUUID": name, "deviceToken": token or f"{name}{user[-20:]}", "platform": "android"}
    return host.add_device_token({"acsMri": user, "deviceInfos": [device]})


def delete_all(host: Host, user: str) -> requests.Response:
    key = {"x-functions-key": host.keys.functions["DeleteUserRegistrations"]}
    return call(host, "DeleteUserRegistrations", user, key)


class TestDevices:
    def test_least_recently_refreshed_is_removed(self, small: Host, user: str) -> None:
        """The least recently refreshed device is removed, and the answer names it."""
        answers = [add(small, user, name).json() for name in ("a", "b", "a", "c")]
        assert [each.get("displacedDeviceUUIDs") for each in answers] == [None, None, None, ["b"]]
        found = small.get_device_registrations(user).json()["deviceInfos"]
        assert [each["deviceUUID"] for each in found] == ["a", "c"]

    def test_all_at_once(self, small: Host, user: str) -> None:
        """Of many that register at once exactly as many as allowed stay."""
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: add(small, user, f"d{n}"), range(16)))
        assert {each.status_code for each in answers} == {201}
        left = {each["deviceUUID"] for each in small.get_device_registrations(user).json()["deviceInfos"]}
        told = [name for each in answers for name in each.json().get("displacedDeviceUUIDs", [])]
        assert len(left) == 2
        assert sorted([*told, *left]) == sorted(f"d{n}" for n in range(16))


class TestChangesAMinute:
    def test_across_workers(self, pair: tuple[Host, Host]) -> None:
        """Two workers together allow as many changes as one; the refusal has `Retry-After`."""
        user, other = new_user(), new_user()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: add(pair[n % 2], user, f"d{n}"), range(3 * PER_MINUTE)))
        counts = Counter(each.status_code for each in answers)
        # The minute may end during the test.
        assert PER_MINUTE <= counts[201] <= 2 * PER_MINUTE
        assert counts[201] + counts[429] == 3 * PER_MINUTE
        for refused in (each for each in answers if each.status_code == 429):
            problem(refused, 429, "too_many_changes")
            assert 1 <= int(refused.headers["Retry-After"]) <= 60
            assert user not in refused.text
        assert add(pair[0], other).status_code == 201

    def test_deletions_count(self, pair: tuple[Host, Host]) -> None:
        """A deletion is a change; a look-up is none."""
        user = new_user()
        statuses = []
        for _ in range(2 * PER_MINUTE):
            statuses.append(delete_all(pair[0], user).status_code)
            statuses.append(pair[1].delete_device_registration(user, "x").status_code)
        assert 429 in statuses
        assert all(pair[0].get_device_registrations(user).status_code == 404 for _ in range(3 * PER_MINUTE))

    def test_reports_count_apart(self, pair: tuple[Host, Host]) -> None:
        """Reports have the same limit, of their own: registrations go on beside too many of them."""
        user = new_user()
        report = {"acsMri": user, "deviceUUID": "phone", "callId": "no-call", "state": "ringing"}
        answers = [pair[n % 2].report_call(report) for n in range(3 * PER_MINUTE)]
        counts = Counter(each.status_code for each in answers)
        # The minute may end during the test.
        assert PER_MINUTE <= counts[404] <= 2 * PER_MINUTE
        assert counts[404] + counts[429] == 3 * PER_MINUTE
        for refused in (each for each in answers if each.status_code == 429):
            problem(refused, 429, "too_many_reports")
            assert 1 <= int(refused.headers["Retry-After"]) <= 60
            assert user not in refused.text
        assert add(pair[0], user).status_code == 201

    def test_turned_off(self, small: Host, user: str) -> None:
        """0 is no limit."""
        assert {add(small, user).status_code for _ in range(70)} == {201}

    def test_default(self, host: Host, user: str) -> None:
        """Without the setting it is 60."""
        statuses = Counter(add(host, user).status_code for _ in range(121))
        assert statuses[429] > 0
        # The minute may end during the test.
        assert 60 <= statuses[201] <= 120


class TestSizes:
    def test_body(self, small: Host, user: str) -> None:
        """A body beyond the limit is a 413 and registers no device."""
        device = {"deviceUUID": "phone", "deviceToken": "t", "platform": "android"}
        body = json.dumps({"acsMri": user, "deviceInfos": [device], "padding": "x" * 1_024})
        response = small.call("POST", "add_device_token", function="AddDeviceToken", data=body)
        problem(response, 413, "request_too_large")
        assert small.get_device_registrations(user).status_code == 404

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": "x" * 17}, "deviceInfos[0].deviceUUID"),
            ({"token": "x" * 65}, "deviceInfos[0].deviceToken"),
            ({"user": f"8:acs:{'x' * 128}"}, "acsMri"),
        ],
    )
    def test_fields(self, small: Host, user: str, change: dict[str, str], field: str) -> None:
        """A field beyond its limit is a 400 that names it."""
        found = problem(add(small, **{"user": user, **change}), 400, "invalid_request")
        assert [bad["field"] for bad in found["errors"]] == [field]


class TestRevocation:
    def test_idempotent(self, stack: Stack, host: Host, registrations: Documents, user: str) -> None:
        """All devices are deleted and counted, none rings any more, and a second time is no error."""
        register_phones(host, user)
        assert delete_all(host, user).json() == {"acsMri": user, "deleted": len(phones())}
        for _ in range(2):
            response = delete_all(host, user)
            assert (response.status_code, response.json()) == (200, {"acsMri": user, "deleted": 0})
        assert registrations.find_one({"acsMri": user}) is None
        event = event_grid_event(incoming_call_data(user))
        assert host.deliver(event).status_code == 202
        assert event["data"]["correlationId"] not in stack.hub.summary().calls

    @pytest.mark.parametrize("acs_mri", ["", "4:+14255550123", "8:acs:", "x" * 600])
    def test_bad_user(self, host: Host, acs_mri: str) -> None:
        """An MRI that cannot own devices is a 400."""
        problem(delete_all(host, acs_mri), 400, "invalid_request")


def connection_string(key: str) -> str:
    right = DEVELOPMENT_HUB.connection_string()
    return f"{right[: right.index('SharedAccessKey=')]}SharedAccessKey={key}"


class TestHubKeys:
    @pytest.mark.parametrize(
        ("keys", "answered", "told"),
        [
            ((SECRETS[0], SECRETS[2]), [401, 201], "hub_key_refused"),
            ((SECRETS[0], SECRETS[1]), [401, 401] * MOST_MISCONFIGURED, "misconfigured"),
            ((SECRETS[2], SECRETS[1]), [201], None),
        ],
    )
    def test_rotation(
        self, stack: Stack, user: str, keys: tuple[str, str], answered: list[int], told: str | None
    ) -> None:
        """A refused key costs no call while the other one is good, and one line at CRITICAL; no key is
        logged."""
        phone, log = phones()[0], HostLog()
        assert stack.host.add_device_token(phone.registration(user)).status_code == 201
        settings = {
            "ANHHubConnectionString": connection_string(keys[0]),
            "ANHHubConnectionStringSecondary": connection_string(keys[1]),
        }
        event = event_grid_event(incoming_call_data(user))
        with another_host(stack, log, settings, log_level="DEBUG") as rotating:
            assert rotating.deliver(event).status_code == (500 if told == "misconfigured" else 202)
            line = log.entry(event="incoming_call", event_id=event["id"])
        attempts = [each for each in stack.hub.attempts() if each.device_handle == phone.device_token]
        assert [each.status for each in attempts] == answered
        critical = [each for each in log.entries() if each.level == "CRITICAL"]
        assert [each.fields["event"] for each in critical] == ([told] if told else [])
        assert line.fields["accepted"] == answered.count(201)
        text = "\n".join(log.lines())
        assert all(secret not in text for secret in (*SECRETS, "SharedAccessSignature", phone.device_token))
