"""Which token a thread gets when, and how long it waits."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from pymongo.auth_oidc import OIDCCallbackContext

from common.access_tokens import (
    CALLS_ARE_LOST_AFTER_SECONDS,
    REFUSED_FOR_SECONDS,
    RENEWED_BEFORE_SECONDS,
    AccessToken,
    AccessTokens,
    NoTokenError,
)
from common.time_limit import within
from common.token_error import TokenError
from models.known_causes import NO_TOKEN
from tests.fakes import NOW, FakeClock
from tests.rig import at_once

PATIENCE = 20.0
"""Seconds for what happens at once."""


class Authenticator:
    """Asks as pymongo does: with what came with the last token, and no time limit of its own."""

    def __init__(self, tokens: AccessTokens) -> None:
        self._tokens = tokens
        self._mark: str | None = None

    def fetch(self, timeout_seconds: float = 60) -> str:
        context = OIDCCallbackContext(timeout_seconds, "", 1, refresh_token=self._mark)
        result = self._tokens.fetch(context)
        self._mark = result.refresh_token
        return result.access_token


@dataclass
class Endpoint:
    """Hands out `token-1`, `token-2`, … unless it is told something else."""

    clock: FakeClock
    lifetime: timedelta = timedelta(hours=1)
    keeps: bool = False
    error: Exception | None = None
    asked: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    _made: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def ask(self) -> AccessToken:
        self.asked += 1
        assert self.gate.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        if not self.keeps or not self._made:
            self._made += 1
        return AccessToken(f"token-{self._made}", (self.clock.now() + self.lifetime).timestamp())


class InterruptedClock(FakeClock):
    """Lets something happen while a thread looks at it, once."""

    meanwhile: Callable[[], None] | None = None

    def monotonic(self) -> float:
        act, self.meanwhile = self.meanwhile, None
        if act is not None:
            act()
        return super().monotonic()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def endpoint(clock: FakeClock) -> Iterator[Endpoint]:
    endpoint = Endpoint(clock)
    yield endpoint
    endpoint.gate.set()


@pytest.fixture
def told() -> list[tuple[int, str]]:
    return []


@pytest.fixture
def tokens(endpoint: Endpoint, clock: FakeClock, told: list[tuple[int, str]]) -> AccessTokens:
    return AccessTokens(endpoint.ask, NO_TOKEN, clock, lambda *line: told.append(line))


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.002)


class TestSharing:
    def test_one_request(self, tokens: AccessTokens, endpoint: Endpoint) -> None:
        """However many threads wait for the first token, it is asked for once."""
        endpoint.gate.clear()
        with ThreadPoolExecutor(64) as pool:
            waiting = [pool.submit(tokens.prepare, PATIENCE) for _ in range(64)]
            until(lambda: endpoint.asked == 1)
            endpoint.gate.set()
            for each in waiting:
                each.result(PATIENCE)
        assert {Authenticator(tokens).fetch() for _ in range(3)} == {"token-1"}
        assert endpoint.asked == 1

    def test_begun_early(self, tokens: AccessTokens, endpoint: Endpoint) -> None:
        """A token may be asked for before it is needed, without waiting for it."""
        endpoint.gate.clear()
        tokens.begin()
        tokens.begin()
        until(lambda: endpoint.asked == 1)
        endpoint.gate.set()
        tokens.prepare(PATIENCE)
        assert endpoint.asked == 1

    def test_a_token_that_comes_meanwhile(self, clock: FakeClock) -> None:
        """A thread that has seen no token, and finds one when its turn comes, asks for no other one."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for _ in range(200):
                endpoint = Endpoint(clock)
                tokens = AccessTokens(endpoint.ask, NO_TOKEN, clock)
                at_once(tokens.prepare, [PATIENCE] * 8)
                assert endpoint.asked == 1
        finally:
            sys.setswitchinterval(interval)

    def test_second_sign_in(self, tokens: AccessTokens, endpoint: Endpoint) -> None:
        """Two sign-ins that race each other get the same token: the second one has refused nothing."""
        first, second = Authenticator(tokens), Authenticator(tokens)
        assert first.fetch() == second.fetch() == "token-1"
        assert endpoint.asked == 1


class TestRenewal:
    def test_refused_token(self, tokens: AccessTokens) -> None:
        """A token that pymongo had, and asks to have replaced, is replaced; others get the new one too."""
        first, second = Authenticator(tokens), Authenticator(tokens)
        assert (first.fetch(), second.fetch()) == ("token-1", "token-1")
        assert first.fetch() == "token-2"
        assert second.fetch() == "token-2"

    def test_never_the_same(
        self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock, told: list[tuple[int, str]]
    ) -> None:
        """Where Azure hands out the refused token again, pymongo gets none, for a while."""
        endpoint.keeps = True
        client = Authenticator(tokens)
        client.fetch()
        with pytest.raises(TokenError) as raised:
            client.fetch()
        assert raised.value.cause is NO_TOKEN
        assert told == [(logging.WARNING, "it is the token once more that the database has refused")]
        clock.sleep(REFUSED_FOR_SECONDS)
        assert client.fetch() == "token-1"

    def test_another_one_in_time(self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock) -> None:
        """As soon as Azure has another token, pymongo gets that."""
        endpoint.keeps = True
        client = Authenticator(tokens)
        client.fetch()
        with pytest.raises(TokenError):
            client.fetch()
        endpoint.keeps = False
        clock.sleep(1)
        assert client.fetch() == "token-2"

    def test_an_ended_one_never(self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock) -> None:
        """A refused token that has ended is not tried again, however long ago that was."""
        endpoint.keeps, endpoint.lifetime = True, timedelta(seconds=-1)
        client = Authenticator(tokens)
        assert client.fetch() == "token-1"
        for _ in range(3):
            clock.sleep(REFUSED_FOR_SECONDS)
            with pytest.raises(TokenError):
                client.fetch()

    def test_refused_identity(self, tokens: AccessTokens, endpoint: Endpoint) -> None:
        """Where the database refuses the identity, the same token may be tried again: the identity may have
        become a user meanwhile."""
        endpoint.keeps = True
        client = Authenticator(tokens)
        client.fetch()
        tokens.identity_refused()
        assert client.fetch() == "token-1"
        assert endpoint.asked == 2

    def test_before_the_end(self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock) -> None:
        """A new token is asked for before the old one ends, while that one serves on."""
        client = Authenticator(tokens)
        client.fetch()
        endpoint.gate.clear()
        clock.sleep(endpoint.lifetime.total_seconds() - RENEWED_BEFORE_SECONDS - 1)
        tokens.prepare(0)
        assert endpoint.asked == 1
        clock.sleep(1)
        tokens.prepare(0)
        until(lambda: endpoint.asked == 2)
        assert Authenticator(tokens).fetch() == "token-1"
        endpoint.gate.set()
        until(lambda: Authenticator(tokens).fetch() == "token-2")
        assert client.fetch() == "token-2"
        assert endpoint.asked == 2

    def test_renewed_meanwhile(self) -> None:
        """A thread that finds the token due, and renewed by another thread when its turn comes, asks for no
        other one."""
        clock = InterruptedClock()
        endpoint = Endpoint(clock)
        tokens = AccessTokens(endpoint.ask, NO_TOKEN, clock)
        tokens.prepare(PATIENCE)
        clock.sleep(endpoint.lifetime.total_seconds() - RENEWED_BEFORE_SECONDS)

        def renew() -> None:
            tokens.prepare(0)
            until(lambda: Authenticator(tokens).fetch() == "token-2")

        clock.meanwhile = renew
        tokens.prepare(0)
        until(lambda: "database-token" not in thread_names())
        assert endpoint.asked == 2

    def test_kept_by_azure(self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock) -> None:
        """A renewal that brings the same token is repeated later, and is no refusal."""
        endpoint.keeps = True
        client = Authenticator(tokens)
        client.fetch()
        clock.sleep(endpoint.lifetime.total_seconds() - RENEWED_BEFORE_SECONDS)
        tokens.prepare(0)
        until(lambda: endpoint.asked == 2)
        until(lambda: not thread_names())
        for _ in range(10):
            tokens.prepare(0)
        assert endpoint.asked == 2
        assert Authenticator(tokens).fetch() == "token-1"

    def test_renewal_that_fails(
        self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock, told: list[tuple[int, str]]
    ) -> None:
        """It costs nothing while the old token lives: no thread waits, and no line is written."""
        tokens.prepare(PATIENCE)
        endpoint.error = NoTokenError("HTTP 500")
        clock.sleep(endpoint.lifetime.total_seconds() - 60)
        tokens.prepare(0)
        until(lambda: endpoint.asked == 2)
        until(lambda: not thread_names())
        tokens.prepare(0)
        assert Authenticator(tokens).fetch() == "token-1"
        assert (endpoint.asked, told) == (2, [])

    def test_ended_by_the_clock(self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock) -> None:
        """A token that has ended is not handed out to a new sign-in; connections that have it go on."""
        tokens.prepare(PATIENCE)
        clock.sleep(endpoint.lifetime.total_seconds())
        endpoint.error = NoTokenError("HTTP 500")
        tokens.prepare(0)
        with pytest.raises(TokenError):
            Authenticator(tokens).fetch()

    def test_wrong_clock(self, endpoint: Endpoint, told: list[tuple[int, str]]) -> None:
        """By a clock that is years ahead every token has ended; fresh ones are handed out all the same."""
        ahead = FakeClock(NOW + timedelta(days=3_650))
        tokens = AccessTokens(endpoint.ask, NO_TOKEN, ahead, lambda *line: told.append(line))
        client = Authenticator(tokens)
        assert [client.fetch(), client.fetch()] == ["token-1", "token-2"]
        assert told == []


def thread_names() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "database-token"]


class TestFailures:
    def test_no_token(self, tokens: AccessTokens, endpoint: Endpoint, told: list[tuple[int, str]]) -> None:
        """The cause is a passing one that quotes nothing; what was answered is told once."""
        endpoint.error = NoTokenError("HTTP 400")
        for _ in range(3):
            with pytest.raises(TokenError) as raised:
                tokens.prepare(PATIENCE)
            assert str(raised.value) == str(NO_TOKEN)
        assert told == [(logging.WARNING, "HTTP 400")]

    def test_told_again(
        self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock, told: list[tuple[int, str]]
    ) -> None:
        """The next failure after a success is told anew."""
        for answer in ("HTTP 400", "HTTP 500"):
            endpoint.error = NoTokenError(answer)
            with pytest.raises(TokenError):
                tokens.prepare(PATIENCE)
            clock.sleep(60)
            endpoint.error = None
            tokens.prepare(PATIENCE)
            tokens.identity_refused()
            clock.sleep(REFUSED_FOR_SECONDS)
        assert told == [(logging.WARNING, "HTTP 400"), (logging.WARNING, "HTTP 500")]

    def test_one_that_passes(
        self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock, told: list[tuple[int, str]]
    ) -> None:
        """A failure that is over before calls are lost is no more than a warning, however often it comes."""
        for _ in range(3):
            endpoint.error = NoTokenError("HTTP 429")
            for _ in range(3):
                with pytest.raises(TokenError):
                    tokens.prepare(PATIENCE)
                clock.sleep(CALLS_ARE_LOST_AFTER_SECONDS / 4)
            endpoint.error = None
            tokens.prepare(PATIENCE)
            tokens.identity_refused()
            clock.sleep(REFUSED_FOR_SECONDS)
        assert told == [(logging.WARNING, "HTTP 429")] * 3

    def test_one_that_lasts(
        self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock, told: list[tuple[int, str]]
    ) -> None:
        """Where calls are lost, it is told once more, as critical."""
        for answer in ("HTTP 429", "HTTP 429", "HTTP 400", "HTTP 400"):
            endpoint.error = NoTokenError(answer)
            with pytest.raises(TokenError):
                tokens.prepare(PATIENCE)
            clock.sleep(CALLS_ARE_LOST_AFTER_SECONDS / 2)
        assert told == [(logging.WARNING, "HTTP 429"), (logging.CRITICAL, "HTTP 400")]

    def test_two_far_apart(
        self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock, told: list[tuple[int, str]]
    ) -> None:
        """Two failures between which nothing asked for a token tell of no long time without one."""
        endpoint.error = NoTokenError("HTTP 429")
        for _ in range(3):
            with pytest.raises(TokenError):
                tokens.prepare(PATIENCE)
            clock.sleep(600)
        assert told == [(logging.WARNING, "HTTP 429")] * 3

    def test_anything_else(
        self, tokens: AccessTokens, endpoint: Endpoint, told: list[tuple[int, str]]
    ) -> None:
        """Every error that a library raises becomes the same failure, without its words."""
        endpoint.error = KeyError("token-secret")
        with pytest.raises(TokenError):
            tokens.prepare(PATIENCE)
        assert told == [(logging.WARNING, "KeyError")]

    def test_time_limit(
        self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock, told: list[tuple[int, str]]
    ) -> None:
        """A wait ends with its own time limit, and the request goes on for the next one. The endpoint is at
        fault only once it takes longer than usual."""
        endpoint.gate.clear()
        with pytest.raises(TokenError):
            tokens.prepare(0.05)
        assert told == []
        clock.sleep(1)
        with pytest.raises(TokenError):
            tokens.prepare(0.05)
        assert told == [(logging.WARNING, "there is no answer after 1.0 s")]
        endpoint.gate.set()
        tokens.prepare(PATIENCE)
        assert endpoint.asked == 1

    @pytest.mark.parametrize("timeout_seconds", [-1, 0, 60])
    def test_within_an_operation(
        self, tokens: AccessTokens, endpoint: Endpoint, timeout_seconds: float
    ) -> None:
        """pymongo is kept waiting no longer than the operation has, and never long: it holds a lock."""
        endpoint.gate.clear()
        began = time.monotonic()
        with within(0.05), pytest.raises(TokenError):
            Authenticator(tokens).fetch(timeout_seconds)
        with pytest.raises(TokenError):
            Authenticator(tokens).fetch(timeout_seconds)
        assert time.monotonic() - began < PATIENCE / 2

    def test_pause(self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock) -> None:
        """After a failure there is a pause, in which the endpoint is left alone."""
        endpoint.error = NoTokenError("HTTP 500")
        for _ in range(10):
            with pytest.raises(TokenError):
                tokens.prepare(PATIENCE)
        assert endpoint.asked == 1
        clock.sleep(0.25)
        with pytest.raises(TokenError):
            tokens.prepare(PATIENCE)
        assert endpoint.asked == 2

    @pytest.mark.parametrize(("retry_after", "pause"), [(2.0, 2.0), (3_600.0, 30.0)])
    def test_throttled(
        self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock, retry_after: float, pause: float
    ) -> None:
        """`Retry-After` is heeded up to half a minute, and work is told how long to wait."""
        endpoint.error = NoTokenError("HTTP 429", retry_after)
        with pytest.raises(TokenError) as raised:
            tokens.prepare(PATIENCE)
        assert raised.value.wait_seconds == pytest.approx(pause)
        clock.sleep(pause - 0.1)
        with pytest.raises(TokenError):
            tokens.prepare(PATIENCE)
        assert endpoint.asked == 1
        clock.sleep(0.2)
        endpoint.error = None
        tokens.prepare(PATIENCE)
        assert endpoint.asked == 2

    def test_a_request_that_hangs(self, tokens: AccessTokens, endpoint: Endpoint, clock: FakeClock) -> None:
        """It is left alone after a while and another one begins; there are never more than a few."""
        endpoint.gate.clear()
        for _ in range(10):
            with pytest.raises(TokenError):
                tokens.prepare(0)
            clock.sleep(11)
        until(lambda: endpoint.asked == 4)
        endpoint.gate.set()
        until(lambda: not thread_names())
        tokens.prepare(0)
        assert endpoint.asked == 4


def test_secrets() -> None:
    """A token does not show where its holder is written down."""
    assert "secret" not in repr(AccessToken("secret", datetime.now().astimezone().timestamp()))
