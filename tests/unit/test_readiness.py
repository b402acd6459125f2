"""Readiness: which part fails, how rarely it is looked at, and that nobody waits for a slow look."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from health.readiness import CACHED_SECONDS, Part, Readiness


class Time:
    """Seconds that go by when they are told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class Switch:
    """A part that works or not, and counts how often it was looked at."""

    def __init__(self, *, on: bool = True) -> None:
        self.on = on
        self.looks = 0

    def works(self) -> bool:
        self.looks += 1
        return self.on


@pytest.fixture
def time() -> Time:
    return Time()


class TestState:
    def test_all_parts_work(self, time: Time) -> None:
        """Nothing is failing where every part works."""
        parts = [Part("a", Switch().works), Part("b", Switch().works)]
        assert Readiness(parts, time.monotonic).state().failing is None

    def test_first_failing_part(self, time: Time) -> None:
        """The first part that fails is named, and those behind it are left alone."""
        last = Switch()
        parts = [Part("a", Switch().works), Part("b", Switch(on=False).works), Part("c", last.works)]
        assert Readiness(parts, time.monotonic).state().failing == "b"
        assert last.looks == 0

    def test_an_exception_is_a_failure(self, time: Time) -> None:
        """A part that raises does not work, whatever it raises."""

        def broken() -> bool:
            raise RuntimeError("secret")

        assert Readiness([Part("a", broken)], time.monotonic).state().failing == "a"


class TestHowOften:
    def test_kept_for_seconds(self, time: Time) -> None:
        """However often it is asked, it looks once in a few seconds."""
        switch = Switch()
        readiness = Readiness([Part("a", switch.works)], time.monotonic)
        for _ in range(100):
            readiness.state()
        assert switch.looks == 1
        time.seconds = CACHED_SECONDS
        switch.on = False
        assert readiness.state().failing == "a"
        assert switch.looks == 2

    def test_nobody_waits_for_a_slow_look(self, time: Time) -> None:
        """While one caller looks, the others hear what was found before."""
        looking, go_on = threading.Event(), threading.Event()
        slow = threading.Event()

        def works() -> bool:
            if slow.is_set():
                looking.set()
                assert go_on.wait(10)
                return False
            return True

        readiness = Readiness([Part("a", works)], time.monotonic)
        assert readiness.state().failing is None
        time.seconds = CACHED_SECONDS
        slow.set()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(readiness.state)
            assert looking.wait(10)
            assert readiness.state().failing is None
            go_on.set()
            assert first.result(10).failing == "a"

    def test_first_look_is_shared(self, time: Time) -> None:
        """Those who ask before anything is known wait for one look, and make no second one."""
        switch = Switch()
        readiness = Readiness([Part("a", switch.works)], time.monotonic)
        with ThreadPoolExecutor(8) as pool:
            states = list(pool.map(lambda _: readiness.state(), range(8)))
        assert {state.failing for state in states} == {None}
        assert switch.looks == 1
