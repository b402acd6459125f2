"""Readiness: which part fails, how often parts are checked, and that no caller waits for a slow check."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from functools import partial

import pytest

from common.clock_watch import ClockWatch
from common.version import VERSION
from health.readiness import CACHED_SECONDS, Part, Readiness
from health.routes import ready
from models.errors import ConfigurationError
from tests.fakes import app_log


class Time:
    """Seconds that go by when they are told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class Switch:
    """A part that works or not, and counts how often it was checked."""

    def __init__(self, *, on: bool = True) -> None:
        self.on = on
        self.checks = 0

    def problem(self) -> str | None:
        self.checks += 1
        return None if self.on else "switched off"


@pytest.fixture
def time() -> Time:
    return Time()


def password() -> str:
    return "password"


def readiness_of(
    time: Time,
    *parts: Part,
    clock_watch: ClockWatch | None = None,
    sign_in: Callable[[], str] = password,
) -> Readiness:
    return Readiness(parts, time.monotonic, clock_watch or ClockWatch(), sign_in)


class TestState:
    def test_all_parts_work(self, time: Time) -> None:
        """Nothing is failing where every part works."""
        parts = [Part("a", Switch().problem), Part("b", Switch().problem)]
        assert readiness_of(time, *parts).state().failing is None

    def test_first_failing_part(self, time: Time) -> None:
        """The first part that fails is named, its reason is logged, and the parts after it are left alone."""
        last = Switch()
        parts = [Part("a", Switch().problem), Part("b", Switch(on=False).problem), Part("c", last.problem)]
        with app_log() as log:
            assert readiness_of(time, *parts).state().failing == "b"
        assert last.checks == 0
        (line,) = log.events("not_ready")
        assert (line["part"], line["reason"]) == ("b", "switched off")

    def test_an_exception_is_a_failure(self, time: Time) -> None:
        """A part that raises does not work. Only texts of our own are logged, as others may quote secrets."""

        def fails(error: Exception) -> str | None:
            raise error

        with app_log() as log:
            for error in (RuntimeError("secret"), ConfigurationError("Settings to correct: DbName")):
                part = Part("a", partial(fails, error))
                assert readiness_of(time, part).state().failing == "a"
        reasons = [line["reason"] for line in log.events("not_ready")]
        assert reasons == ["RuntimeError", "Settings to correct: DbName"]


class TestNamedHubs:
    def test_one_fails(self, time: Time) -> None:
        """A named hub that fails is named and logged with its reason, and the app stays ready."""
        hubs = [Part("a", Switch().problem), Part("b", Switch(on=False).problem)]
        readiness = Readiness([Part("hub", Switch().problem)], time.monotonic, ClockWatch(), password, hubs)
        with app_log() as log:
            answer = ready(readiness)
        assert answer.status_code == 200
        assert json.loads(answer.get_body())["failingHubs"] == ["b"]
        (line,) = log.events("hub_not_ready")
        assert (line["hub"], line["reason"]) == ("b", "switched off")

    def test_side_by_side(self, time: Time) -> None:
        """All are asked at once: one that takes its time delays the answer by no more than that."""
        together = threading.Barrier(3)

        def problem() -> str | None:
            together.wait(20)
            return None

        hubs = [Part(name, problem) for name in ("a", "b", "c")]
        readiness = Readiness([], time.monotonic, ClockWatch(), password, hubs)
        assert readiness.state().failing_hubs == ()

    def test_only_where_all_else_works(self, time: Time) -> None:
        """Where the app is not ready, the named hubs are left alone."""
        hub = Switch()
        parts = [Part("database", Switch(on=False).problem)]
        state = Readiness(parts, time.monotonic, ClockWatch(), password, [Part("a", hub.problem)]).state()
        assert (state.failing, state.failing_hubs, hub.checks) == ("database", (), 0)


class TestClock:
    @pytest.mark.parametrize("is_on", [True, False])
    def test_off(self, time: Time, *, is_on: bool) -> None:
        """A clock that is off is told and fails nothing."""
        clock_watch = ClockWatch()
        clock_watch.compare(formatdate(1_000_000_000, usegmt=True), 1_000_000_061, 1_000_000_061)
        part = Part("a", Switch(on=is_on).problem)
        answer = ready(readiness_of(time, part, clock_watch=clock_watch))
        document = json.loads(answer.get_body())
        assert answer.status_code == (200 if is_on else 503)
        assert document["clockAheadSeconds"] == pytest.approx(61, abs=1)
        assert document.get("part") == (None if is_on else "a")

    def test_right(self, time: Time) -> None:
        """A clock that is right is not mentioned."""
        answer = ready(readiness_of(time, Part("a", Switch().problem)))
        assert json.loads(answer.get_body()) == {
            "status": "ready",
            "version": VERSION,
            "databaseSignIn": "password",
        }


class TestDatabaseSignIn:
    @pytest.mark.parametrize("is_on", [True, False])
    def test_told(self, time: Time, *, is_on: bool) -> None:
        """In which way the app signs in is told, whether or not every part works."""
        part = Part("a", Switch(on=is_on).problem)
        answer = ready(readiness_of(time, part, sign_in=lambda: "identity"))
        assert json.loads(answer.get_body())["databaseSignIn"] == "identity"

    def test_unknown(self, time: Time) -> None:
        """Settings that cannot be read tell nothing, and that is no second failure."""

        def unreadable() -> str:
            raise ConfigurationError("Settings to correct: MongoDbConnectionString: is missing")

        part = Part("settings", Switch(on=False).problem)
        document = json.loads(ready(readiness_of(time, part, sign_in=unreadable)).get_body())
        assert document["part"] == "settings"
        assert "databaseSignIn" not in document


class TestHowOften:
    def test_cached(self, time: Time) -> None:
        """However often it is asked, parts are checked once in a few seconds."""
        switch = Switch()
        readiness = readiness_of(time, Part("a", switch.problem))
        for _ in range(100):
            readiness.state()
        assert switch.checks == 1
        time.seconds = CACHED_SECONDS
        switch.on = False
        assert readiness.state().failing == "a"
        assert switch.checks == 2

    def test_slow_check(self, time: Time) -> None:
        """While one caller checks, the others get the last result."""
        checking, go_on = threading.Event(), threading.Event()
        slow = threading.Event()

        def problem() -> str | None:
            if slow.is_set():
                checking.set()
                assert go_on.wait(10)
                return "slow"
            return None

        readiness = readiness_of(time, Part("a", problem))
        assert readiness.state().failing is None
        time.seconds = CACHED_SECONDS
        slow.set()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(readiness.state)
            assert checking.wait(10)
            assert readiness.state().failing is None
            go_on.set()
            assert first.result(10).failing == "a"

    def test_first_check_is_shared(self, time: Time) -> None:
        """Callers that come before the first result wait for one check and make no second one."""
        switch = Switch()
        readiness = readiness_of(time, Part("a", switch.problem))
        with ThreadPoolExecutor(8) as pool:
            states = list(pool.map(lambda _: readiness.state(), range(8)))
        assert {state.failing for state in states} == {None}
        assert switch.checks == 1
