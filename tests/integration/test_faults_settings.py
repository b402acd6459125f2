"""Settings that are wrong in one process, for a while or for its life."""

from collections.abc import Iterator

import pytest

from doctor.checks.findings import Status
from doctor.checks.settings_checks import check_settings
from local.database import EmbeddedDatabase
from local.hub.running_hub import RunningHub
from local.stack import Stack
from push.grace import GRACE_SECONDS
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import another_host, new_user, register_phones
from tests.fakes import AppLog, ShiftedClock
from tests.integration.conftest import SHORT
from tests.integration.fault_rows import FaultRow
from tests.rig import Instance, call_to, settings_for

REFERENCE = "@Microsoft.KeyVault(SecretUri=https://vault.test/secrets/one/)"

WRONG_AT_FIRST = FaultRow(
    "one process has an unresolved Key Vault reference, or a wrong setting that ringing needs, for less than "
    "two minutes",
    (500, 202),
    (0, 1),
    tries=0,
)
WRONG_FOR_GOOD = FaultRow("the same setting, for longer", (202, 202), (0, 0), tries=0)
NOT_NEEDED = FaultRow("a setting that ringing does not need is wrong, for good")
ROWS = (WRONG_AT_FIRST, WRONG_FOR_GOOD, NOT_NEEDED)

NEEDED_AND_WRONG = [
    ("ANHHubConnectionString", REFERENCE),
    ("ANHHubConnectionString", "rubbish"),
    ("ANHHubName", ""),
    ("ANHHubUrl", "https://elsewhere.test/ring/messages/"),
    ("MongoDbConnectionString", REFERENCE),
    ("MongoDbConnectionString", "mongodb://127.0.0.1:27017/?tls=true&tlsCAFile=/nothing.pem"),
    ("MongoDbConnectionString", "mongodb://user:p@ss@127.0.0.1:27017/"),
    ("DbName", "with a blank"),
    ("CallRingSeconds", "3"),
]

NOT_NEEDED_AND_WRONG = [
    ("RegistrationsPerMinute", "many"),
    ("MaxDevicesPerUser", "0"),
    ("DefaultTtlSeconds", "1"),
    ("ANHHubConnectionStringSecondary", "rubbish"),
    ("RegistrarAccess", "oidc"),
    ("RegistrarAccess", "everybody"),
]


@pytest.fixture
def well(hub: RunningHub, database: EmbeddedDatabase) -> Iterator[Instance]:
    """An instance whose settings are right."""
    with Instance(hub, database.uri, SHORT) as running:
        yield running


@pytest.mark.parametrize("setting", NEEDED_AND_WRONG, ids=lambda setting: "=".join(setting)[:40])
def test_needed(
    hub: RunningHub, database: EmbeddedDatabase, well: Instance, log: AppLog, setting: tuple[str, str]
) -> None:
    """Raised for two minutes, since another instance may be right; then acknowledged, each time with a line
    at CRITICAL."""
    device = well.register(user := new_user())[0]
    clock, event, later = ShiftedClock(), call_to(user), call_to(user)
    name, value = setting
    settings = {**SHORT, name: value}
    with Instance(hub, database.uri, settings, clock=clock, observer_uri=database.uri) as wrong:
        statuses = [wrong.deliver(event).status]
        rings = [well.rings(device)]
        statuses.append(well.deliver(event).status)
        rings.append(well.rings(device))
        assert FaultRow(WRONG_AT_FIRST.fault, tuple(statuses), tuple(rings), tries=0) == WRONG_AT_FIRST
        clock.turn(GRACE_SECONDS - 1)
        assert wrong.deliver(later).status == 500
        clock.turn(1)
        hub.simulator.forget()
        assert [wrong.deliver(later).status for _ in range(2)] == list(WRONG_FOR_GOOD.statuses)
        assert (well.rings(device), well.attempts(device)) == (WRONG_FOR_GOOD.rings[-1], 0)
    lines = log.events("misconfigured")
    assert [line["level"] for line in lines] == ["CRITICAL"] * 4
    assert all(name in line["remedy"] for line in lines)
    if value is REFERENCE:
        assert "Key Vault reference is unresolved" in lines[0]["remedy"]


@pytest.mark.parametrize("setting", NOT_NEEDED_AND_WRONG, ids=lambda setting: "=".join(setting)[:60])
def test_not_needed(
    hub: RunningHub, database: EmbeddedDatabase, log: AppLog, setting: tuple[str, str]
) -> None:
    """Every call rings, one line a process is CRITICAL, and the doctor says what is wrong."""
    settings = {**SHORT, **dict([setting])}
    with Instance(hub, database.uri, settings) as app:
        device = app.register(user := new_user())[0]
        event = call_to(user)
        statuses, rings = [], []
        for _ in range(2):
            statuses.append(app.deliver(event).status)
            rings.append(app.rings(device))
        assert FaultRow(NOT_NEEDED.fault, tuple(statuses), tuple(rings)) == NOT_NEEDED
        assert app.deliver(call_to(user)).status == 202
        assert app.rings(device) == 2
        (line,) = log.events("misconfigured")
        assert (line["level"], "Calls ring" in line["remedy"]) == ("CRITICAL", True)
        values = settings_for(hub, database.uri, app.database_name, settings)
    _, checks = check_settings(values)
    assert any(check.status is Status.FAIL for check in checks), [check.name for check in checks]


class TestWorker:
    """The same through the worker library."""

    def test_needed(self, workers: Stack) -> None:
        """The worker with an unresolved reference raises; another one rings."""
        user = new_user()
        phones = register_phones(workers.host, user)
        event, log = call_to(user), HostLog()
        with another_host(workers, log, {**SHORT, "MongoDbConnectionString": REFERENCE}) as wrong:
            assert wrong.deliver(event).status_code == 500
            line = log.entry(event="misconfigured")
        assert line.level == "CRITICAL"
        assert "Key Vault reference is unresolved" in line.fields["remedy"]
        assert workers.host.deliver(event).status_code == 202
        rings = workers.hub.summary().calls[event["data"]["correlationId"]]
        assert rings == {phone.device_token: 1 for phone in phones}

    def test_not_needed(self, workers: Stack) -> None:
        """All of them wrong at once: calls ring."""
        user, log = new_user(), HostLog()
        phones = register_phones(workers.host, user)
        wrong = dict(NOT_NEEDED_AND_WRONG)
        with another_host(workers, log, {**SHORT, **wrong}) as host:
            for _ in range(2):
                event = call_to(user)
                assert host.deliver(event).status_code == 202
                rings = workers.hub.summary().calls[event["data"]["correlationId"]]
                assert rings == {phone.device_token: 1 for phone in phones}
        line = log.entry(event="misconfigured")
        assert (line.level, all(name in line.fields["remedy"] for name in wrong)) == ("CRITICAL", True)
