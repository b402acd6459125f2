"""Tokens by which a client signs in to MongoDB: one request at a time for all threads, and no thread waits
longer than its own work may take.

pymongo asks for a token in `AccessTokens.fetch`, under a lock that knows no time limit and with a pause of
0.1 s between two calls: threads that waited there would come out one after the other. So the request runs in
a thread of its own, `prepare` waits for it before pymongo is entered, and `fetch` is left with handing out.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from pymongo.auth_oidc import OIDCCallback, OIDCCallbackContext, OIDCCallbackResult

from common.clock import Clock
from common.time_limit import seconds_left
from common.token_error import TokenError
from models import known_causes
from models.known_causes import Cause

RENEWED_BEFORE_SECONDS = 600.0
"""How long before a token's end a new one is asked for; for a life of less than 50 minutes its last fifth."""

REFUSED_FOR_SECONDS = 5.0
"""For how long a token that the database has refused is not handed out again. Not for ever: it may have
refused the identity, which becomes a user of the cluster later, and Azure hands one token out for hours."""

CALLS_ARE_LOST_AFTER_SECONDS = 30.0
"""Without a token. What passes sooner costs no call: an event that fails comes again after 10 s and after
30 s, while the call rings."""

_ANOTHER_SPELL_AFTER_SECONDS = 60.0
"""Since work was last without a token. Nothing has asked for one meanwhile, so it may have been there."""

_RENEWAL_SHARE = 0.2
_RENEWAL_PAUSE_SECONDS = 60.0
"""After a renewal that brought the same token."""
_RENEWAL_RETRY_SECONDS = 5.0
"""After a renewal that failed."""
_PAUSE_SECONDS = 0.25
"""Between a request that failed and the next one."""
_LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_REQUEST_SECONDS = 10.0
"""A request that takes longer is left alone, and another one may begin."""
_MOST_REQUESTS = 4
_UNUSUAL_SECONDS = 0.5
"""For a request; an endpoint that takes less is not at fault where a wait for it ends."""
_LOCKED_SECONDS = 0.5
"""How long `fetch` waits at most; pymongo holds its lock meanwhile."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token."""

    text: str = field(repr=False)
    expires_at: float
    """Unix time."""


class NoTokenError(Exception):
    """No token was handed out."""

    def __init__(self, answer: str, retry_after_seconds: float | None = None) -> None:
        """Take what was answered, in words that hold nothing of the answer's body."""
        super().__init__(answer)
        self.answer = answer
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class _Held:
    token: AccessToken
    mark: str
    """Names this token to pymongo, which hands it back with the request for another one."""
    renewed_at: float
    """Monotonic time from which on a new one is asked for."""


@dataclass(frozen=True, slots=True)
class _Failed:
    answer: str
    until: float
    """Monotonic time before which no other request begins."""


@dataclass(slots=True)
class _Spell:
    """A time in which work is without a token."""

    began: float
    last: float
    """When work was last without one; monotonic, as `began`."""
    told: int = logging.NOTSET
    """The highest level at which it has been told."""

    def level(self, now: float) -> int:
        """Of the log line that it is worth."""
        is_long = now - self.began >= CALLS_ARE_LOST_AFTER_SECONDS
        return logging.CRITICAL if is_long else logging.WARNING


@dataclass(frozen=True, slots=True)
class _Request:
    began: float
    held: "Future[_Held]" = field(default_factory=Future)


class AccessTokens(OIDCCallback):
    """The tokens of one client of MongoDB. Safe to share between threads."""

    def __init__(
        self,
        ask: Callable[[], AccessToken],
        unavailable: Cause,
        clock: Clock,
        tell: Callable[[int, str], None] = lambda *_: None,
    ) -> None:
        """Take what asks for a token.

        Args:
            ask: gets a new token, not one of its own cache; it may take seconds. NoTokenError if it cannot.
            unavailable: the cause of failure where there is no token.
            clock: the machine's.
            tell: is told what was answered, and the level of `logging` that this is worth: WARNING once, and
                CRITICAL once where it lasts so long that calls are lost; until there is a token again.
        """
        self._ask = ask
        self._unavailable = unavailable
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._refused: tuple[AccessToken, float] | None = None
        """The token that the database has refused, and the monotonic time of that."""
        self._identity_refused_at = float("-inf")
        self._request: _Request | None = None
        self._running = 0
        """Requests that have not ended, those that were left alone among them."""
        self._failed: _Failed | None = None
        self._spell: _Spell | None = None
        self._marks = 0

    def begin(self) -> None:
        """Ask for the first token, and wait for nothing."""
        with self._lock:
            if self._held is None:
                self._join()

    def prepare(self, seconds: float) -> None:
        """Wait until there is a token to hand out.

        A token whose end has come counts as one: the database decides, and its connections may outlive the
        token.

        Args:
            seconds: how long to wait at most.

        Raises:
            TokenError: there is none in time.
        """
        held = self._held
        if held is None:
            self._wait(seconds)
        elif self._clock.monotonic() >= held.renewed_at:
            with self._lock:
                if self._held is held:  # else another thread has renewed it meanwhile
                    self._join()

    def fetch(self, context: OIDCCallbackContext) -> OIDCCallbackResult:
        """Hand a token out to pymongo, which calls this when it has none and when the database has refused
        the one that it had.

        Raises:
            TokenError: there is none in time, or only the one that has just been refused.
        """
        with self._lock:
            held = self._held
            # pymongo keeps the mark as the "refresh token" that belongs to its token, so it tells a refused
            # token from a second sign-in that has had none yet.
            if held is not None and held.mark == context.refresh_token:
                now = self._clock.monotonic()
                if now - self._identity_refused_at >= REFUSED_FOR_SECONDS:
                    self._refused = held.token, now
                self._held = held = None
        if held is None or self._has_ended(held.token):
            held = self._wait(min(_time_left(context), _LOCKED_SECONDS))
        return OIDCCallbackResult(held.token.text, refresh_token=held.mark)

    def identity_refused(self) -> None:
        """Note that the database has refused a token that was new to it: the fault is not in the token. The
        next one that Azure hands out may be tried, even if it is the same."""
        with self._lock:
            self._held = self._refused = None
            self._identity_refused_at = self._clock.monotonic()

    def _wait(self, seconds: float) -> _Held:
        """The token of the request that is under way, or of a new one; or the one that came meanwhile."""
        with self._lock:
            held = self._held
            if held is not None and not self._has_ended(held.token):
                return held
            request = self._join()
            failed = self._failed
        if request is None:
            answer = failed.answer if failed else "earlier requests are still unanswered"
            raise self._error(answer, failed.until if failed else None)
        try:
            return request.held.result(max(0.0, seconds))
        except TimeoutError:
            waited = self._clock.monotonic() - request.began
            if waited < _UNUSUAL_SECONDS:
                raise TokenError(self._unavailable) from None  # it is this work that had no time left
            raise self._error(f"there is no answer after {waited:.1f} s") from None
        except NoTokenError as error:
            failed = self._failed
            raise self._error(error.answer, failed.until if failed else None) from None

    def _error(self, answer: str, until: float | None = None) -> TokenError:
        now = self._clock.monotonic()
        if now - self._identity_refused_at < REFUSED_FOR_SECONDS:
            return TokenError(known_causes.IDENTITY_REFUSED)  # a token would have been refused as well
        with self._lock:
            level = self._level_to_tell(now)
        if level is not None:
            self._tell(level, answer)
        return TokenError(self._unavailable, None if until is None else max(0.0, until - now))

    # --- with the lock

    def _join(self) -> _Request | None:
        """The request that is under way; a new one if there is none. None where it is too early for one."""
        now = self._clock.monotonic()
        request = self._request
        if request is not None and now - request.began < _LONGEST_REQUEST_SECONDS:
            return request
        if (self._failed is not None and now < self._failed.until) or self._running >= _MOST_REQUESTS:
            return None
        request = _Request(now)
        thread = threading.Thread(target=self._run, args=(request,), name="database-token", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the machine has no thread left
            return None
        self._request = request
        self._running += 1
        return request

    def _level_to_tell(self, now: float) -> int | None:
        """Of the line about work that is without a token now; None if it has been written."""
        spell = self._spell
        if spell is None or now - spell.last > _ANOTHER_SPELL_AFTER_SECONDS:
            spell = self._spell = _Spell(now, now)
        spell.last = now
        level = spell.level(now)
        if level <= spell.told:
            return None
        spell.told = level
        return level

    def _keep(self, token: AccessToken) -> _Held:
        """Hold a token that was just handed out.

        Raises:
            NoTokenError: it is the one that the database has refused.
        """
        now = self._clock.monotonic()
        if self._refused is not None and self._refused[0].text == token.text:
            if self._has_ended(token) or now - self._refused[1] < REFUSED_FOR_SECONDS:
                raise NoTokenError("it is the token once more that the database has refused")
            self._refused = None
        life = token.expires_at - self._clock.now().timestamp()
        if self._held is not None and self._held.token.text == token.text:
            # Azure keeps tokens itself. pymongo has to know it by the same mark.
            mark, renewed_at = self._held.mark, now + min(_RENEWAL_PAUSE_SECONDS, max(1.0, life / 20))
        else:
            self._marks += 1
            before_end = min(RENEWED_BEFORE_SECONDS, _RENEWAL_SHARE * life)
            mark, renewed_at = str(self._marks), now + max(1.0, life - before_end)
        return _Held(token, mark, renewed_at)

    # --- in the request's thread

    def _run(self, request: _Request) -> None:
        try:
            token = self._ask()
        except NoTokenError as error:
            self._end(request, error)
        except Exception as error:  # noqa: BLE001 - any error ends the waits
            self._end(request, NoTokenError(type(error).__name__))  # its text may quote a token
        else:
            self._end(request, token)

    def _end(self, request: _Request, result: AccessToken | NoTokenError) -> None:
        with self._lock:
            self._running -= 1
            left_alone = self._request is not request
            if not left_alone:
                self._request = None
            outcome = result if left_alone and isinstance(result, NoTokenError) else self._settle(result)
        if isinstance(outcome, _Held):
            request.held.set_result(outcome)
        else:
            request.held.set_exception(outcome)

    def _settle(self, result: AccessToken | NoTokenError) -> _Held | NoTokenError:
        if isinstance(result, AccessToken):
            try:
                self._held = self._keep(result)
            except NoTokenError as error:
                result = error
            else:
                self._failed = self._spell = None
                return self._held
        pause = min(result.retry_after_seconds or _PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._failed = _Failed(result.answer, self._clock.monotonic() + pause)
        if self._held is not None:
            # It still serves: the next request may wait.
            later = self._clock.monotonic() + max(pause, _RENEWAL_RETRY_SECONDS)
            self._held = _Held(self._held.token, self._held.mark, later)
        return result

    def _has_ended(self, token: AccessToken) -> bool:
        return token.expires_at <= self._clock.now().timestamp()


def _time_left(context: OIDCCallbackContext) -> float:
    """Of the operation. pymongo tells whole seconds, 0 for less than one and 60 for no limit."""
    return min(seconds_left(), max(1.0, context.timeout_seconds))
