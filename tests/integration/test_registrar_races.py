"""Registrations that race over two worker processes, and a database that dies, hangs or fails over."""

import random
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError
from pymongo.results import UpdateResult

from local.database import EmbeddedDatabase
from local.hub.running_hub import RunningHub
from local.stack import Host, Stack
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import Documents, another_host, new_user
from tests.integration.conftest import SHORT
from tests.rig import FailPoint, Instance, at_once, call_to, eventually

RACES = 5
"""How often each race is run."""

MOST_SECONDS = 10.0
"""By when a caller has heard that the database is not available."""


@pytest.fixture
def documents(stack: Stack) -> Iterator[Documents]:
    """The collection of registrations, behind the app's back."""
    client: MongoClient[dict[str, Any]] = MongoClient(stack.database.uri)
    with client:
        yield client["calling"]["DeviceRegistrations"]


def token() -> str:
    return uuid.uuid4().hex * 2


def body(user: str, device: str, device_token: str, platform: str = "apple") -> dict[str, Any]:
    info = {"deviceUUID": device, "deviceToken": device_token, "platform": platform}
    return {"acsMri": user, "deviceInfos": [info]}


class Racers:
    """Sends requests at once, in any order, each to one of the workers."""

    def __init__(self, hosts: list[Host]) -> None:
        self._hosts = hosts

    def run(self, requests: list[Callable[[Host], int]]) -> list[int]:
        """The statuses, in the requests' order."""
        numbered = list(enumerate(requests))
        random.Random(len(requests)).shuffle(numbered)  # noqa: S311 - dice, not keys
        statuses = at_once(lambda one: (one[0], one[1](self._hosts[one[0] % len(self._hosts)])), numbered)
        return [status for _, status in sorted(statuses)]

    def devices(self, user: str) -> dict[str, str]:
        """Device token by device UUID, as every worker tells them."""
        answers = [host.get_device_registrations(user) for host in self._hosts]
        found = [answer.json()["deviceInfos"] if answer.status_code == 200 else [] for answer in answers]
        assert all(infos == found[0] for infos in found)
        listed = {info["deviceUUID"]: info["deviceToken"] for info in found[0]}
        assert len(listed) == len(found[0])
        return listed


@pytest.fixture
def racers(workers: Stack) -> Racers:
    """Over both workers."""
    return Racers(workers.hosts)


def add(user: str, device: str, device_token: str) -> Callable[[Host], int]:
    return lambda host: host.add_device_token(body(user, device, device_token)).status_code


def remove(user: str, device: str) -> Callable[[Host], int]:
    return lambda host: host.delete_device_registration(user, device).status_code


class TestRaces:
    def test_first_registrations(self, racers: Racers, documents: Documents) -> None:
        """Sixteen devices of one new user, each registered twice at once, are all there, once."""
        for _ in range(RACES):
            user = new_user()
            tokens = {f"device-{number}": token() for number in range(16)}
            statuses = racers.run([add(user, *one) for one in tokens.items()] * 2)
            assert set(statuses) == {201}
            assert racers.devices(user) == tokens
            assert documents.count_documents({"acsMri": user}) == len(tokens)

    def test_refreshes(self, racers: Racers, documents: Documents) -> None:
        """Sixteen refreshes of one registration leave that one."""
        user, device_token = new_user(), token()
        assert set(racers.run([add(user, "phone", device_token)] * 16)) == {201}
        assert racers.devices(user) == {"phone": device_token}
        assert documents.count_documents({"acsMri": user}) == 1

    def test_rotations(self, racers: Racers, documents: Documents) -> None:
        """Tokens that race for one device leave one of them; the next one leaves nothing of the old."""
        for _ in range(RACES):
            user, tokens = new_user(), [token() for _ in range(8)]
            assert set(racers.run([add(user, "phone", one) for one in tokens])) == {201}
            assert racers.devices(user)["phone"] in tokens
            time.sleep(0.002)  # registrations are told apart by the millisecond
            assert racers.run([add(user, "phone", last := token())]) == [201]
            assert racers.devices(user) == {"phone": last}
            assert documents.count_documents({"acsMri": user}) == 1

    def test_deletes_among_them(self, racers: Racers) -> None:
        """Deleting some devices while others register, refresh and rotate takes away no other device."""
        for _ in range(RACES):
            user = new_user()
            kept = {f"kept-{number}": token() for number in range(6)}
            doomed = [f"doomed-{number}" for number in range(6)]
            racers.run([add(user, *one) for one in kept.items()])
            racers.run([add(user, device, token()) for device in doomed])
            rotated = {device: token() for device in kept}
            statuses = racers.run(
                [remove(user, device) for device in doomed]
                + [add(user, *one) for one in kept.items()]
                + [add(user, "new", newcomer := token())]
            )
            assert set(statuses) == {200, 201}
            assert racers.devices(user) == {**kept, "new": newcomer}
            time.sleep(0.002)
            assert set(racers.run([add(user, *one) for one in rotated.items()])) == {201}
            assert racers.devices(user) == {**rotated, "new": newcomer}

    def test_a_device_registered_while_it_is_deleted(self, racers: Racers, documents: Documents) -> None:
        """Whichever comes last counts: the device is there once, or not at all."""
        for _ in range(RACES):
            user, device_token = new_user(), token()
            racers.run([add(user, "phone", device_token)])
            racers.run([add(user, "phone", device_token), remove(user, "phone")])
            assert racers.devices(user) in ({}, {"phone": device_token})
            assert documents.count_documents({"acsMri": user}) <= 1

    def test_two_users_race_for_a_token(self, racers: Racers, documents: Documents) -> None:
        """Exactly one of them has it in the end, and calls for the other do not ring it."""
        for _ in range(2 * RACES):
            users, device_token = [new_user(), new_user()], token()
            statuses = racers.run([add(user, "phone", device_token) for user in users * 4])
            assert set(statuses) == {201}
            owners = [user for user in users if racers.devices(user)]
            assert len(owners) == 1
            assert documents.count_documents({"deviceToken": device_token}) == 1

    def test_two_inserts_of_one_token(
        self, hub: RunningHub, database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that fails one of two first registrations for the other's sake is asked again."""
        with Instance(hub, database.uri) as app:
            # The embedded database settles this race by itself and takes no order to lose it.
            upsert, refusals = Collection.update_one, [DuplicateKeyError("E11000")]

            def update_one(*arguments: Any, **options: Any) -> UpdateResult:
                if refusals:
                    raise refusals.pop()
                return upsert(*arguments, **options)

            monkeypatch.setattr(Collection, "update_one", update_one)
            device = app.register(user := new_user())[0]
            assert [one["deviceToken"] for one in app.registrations(user)] == [device.device_token]
            assert refusals == []


class TestDatabase:
    @pytest.fixture(
        params=[
            {"errorCode": 10107},  # NotWritablePrimary: the replica set is choosing another leader
            {"errorCode": 11600},  # InterruptedAtShutdown
            {"closeConnection": True},
            {"blockConnection": True, "blockTimeMS": 9_000},
        ],
        ids=["not primary", "shutting down", "cuts connections", "hangs"],
    )
    def trouble(self, request: pytest.FixtureRequest, workers: Stack) -> FailPoint:
        """What happens to every command of the app."""
        commands = ["insert", "update", "delete", "find"]
        return FailPoint(workers.database.uri, commands, **request.param)

    def test_trouble_and_recovery(self, workers: Stack, trouble: FailPoint) -> None:
        """503 and a raised event within 10 s while it lasts; all as before once it has passed."""
        user = new_user()
        host = workers.host
        assert host.add_device_token(body(user, "phone", device_token := token())).status_code == 201
        event = call_to(user)
        with trouble:
            requests: list[Callable[[Host], int]] = [
                add(user, "another", token()),
                remove(user, "phone"),
                lambda to: to.get_device_registrations(user).status_code,
                lambda to: to.deliver(event).status_code,
            ]
            started = time.monotonic()
            statuses = at_once(lambda request: request(host), requests)
            assert statuses == [503, 503, 503, 500]
            assert time.monotonic() - started < MOST_SECONDS
        eventually(lambda: host.deliver(event).status_code == 202)
        rings = workers.hub.summary().calls.get(event["data"]["correlationId"], {})
        # A delete that its caller has given up on may still take place in a database that hangs.
        assert rings.get(device_token, 0) <= 1
        assert host.add_device_token(body(user, "phone", token())).status_code == 201

    def test_killed_and_started(self, workers: Stack, host_log: HostLog, tmp_path: Path) -> None:
        """A database that is killed and comes back is found again by the worker that lost it."""
        with (
            EmbeddedDatabase(tmp_path / "data") as database,
            another_host(workers, host_log, SHORT, database=database) as host,
        ):
            user, device_token = new_user(), token()
            assert host.add_device_token(body(user, "phone", device_token)).status_code == 201
            assert host.deliver(call_to(user)).status_code == 202
            event = call_to(user)
            database.kill()
            started = time.monotonic()
            assert host.get_device_registrations(user).status_code == 503
            assert host.deliver(event).status_code == 500
            assert time.monotonic() - started < MOST_SECONDS
            database.start()
            eventually(lambda: host.deliver(event).status_code == 202)
        assert workers.hub.summary().handles[device_token] == 2
