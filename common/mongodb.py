"""Work with MongoDB: bounded in time, repeated while a fault passes, failures as this app's errors."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient, ReadPreference, errors, monitoring
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from common.clock import Clock, SystemClock
from common.mongodb_spans import UNRECORDED, WorkSpans
from common.time_limit import allowed_times, seconds_left, within
from common.token_error import TokenError
from models import known_causes
from models.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    ServiceError,
    UnsupportedServerError,
)
from models.known_causes import Cause, Fault

if TYPE_CHECKING:  # imported where the app signs in with tokens
    from common.access_tokens import AccessTokens

Document = dict[str, Any]

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.5

_MOST_TRIES: Mapping[Fault, float] = {Fault.PASSING: float("inf"), Fault.MISCONFIGURED: 4, Fault.PERMANENT: 1}
"""How often a piece of work is tried at most. Refused credentials may be those of one moment of a
rotation."""

_REFUSED_SIGN_INS = (known_causes.CREDENTIALS_REFUSED, known_causes.IDENTITY_REFUSED)
_REFUSED_SECONDS = 5.0
"""For how long after a refused sign-in a database that seems to be away is taken for one that refuses."""

_ERRORS: Mapping[Fault, type[ServiceError]] = {
    Fault.PASSING: DatabaseUnavailableError,
    Fault.MISCONFIGURED: ConfigurationError,
    Fault.PERMANENT: UnsupportedServerError,
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a piece of work with the database may take."""

    operation_seconds: float
    """All of it, repetitions included."""
    server_selection_seconds: float | None = None
    """Its share to look for a server; None for all the time there is."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure of the driver or the server, in this app's terms."""

    cause: Cause
    code: int | None = None
    """Of the server, where it refused a command for a cause that has no text of its own."""
    wait_seconds: float | None = None
    """How long the server asks to wait before the next try. 0 counts as absent: honouring it would hammer the
    server."""

    @property
    def fault(self) -> Fault:
        """How long it lasts."""
        return self.cause.fault

    @property
    def problem(self) -> str:
        """What is wrong, with the code where that says more."""
        return self.cause.problem if self.code is None else f"{self.cause.problem} (code {self.code})"

    @property
    def error(self) -> ServiceError:
        """As this app's error."""
        return error_of(replace(self.cause, problem=self.problem))


class Work:
    """Does work with the collections of one client. Safe to share between threads."""

    def __init__(
        self,
        timeouts: Timeouts,
        clock: Clock | None = None,
        spans: WorkSpans = UNRECORDED,
        tokens: "AccessTokens | None" = None,
    ) -> None:
        """Take how work is done.

        Args:
            timeouts: how long a piece of work may take.
            clock: the machine's, if left out.
            spans: begins a span for each piece of work.
            tokens: by which the client signs in, if it does that with tokens.
        """
        self._timeouts = timeouts
        self._spans = spans
        self.clock = clock or SystemClock()
        """By which it waits."""
        self._tokens = tokens
        self._opening = threading.Lock()
        self._opened = False
        self._refusal: tuple[Failure, float] | None = None
        """Of a sign-in, and its monotonic time; until work is done again."""

    def run[Result](self, collection: Collection[Document], operation: Callable[[], Result]) -> Result:
        """Do a piece of work, and do it again while a passing fault and the time allow.

        Args:
            collection: what is worked with.
            operation: must be safe to repeat, because the answer to the first try may have been lost.

        Raises:
            DatabaseUnavailableError: the database cannot be reached, does not answer in time, or fails.
            ConfigurationError: it refuses the credentials, or the connection string cannot be used.
            DuplicateKeyError: pymongo's own; its message quotes keys, so no handler may keep it as a cause.
        """
        seconds = self._timeouts.operation_seconds * allowed_times()
        deadline = self.clock.monotonic() + seconds
        pause = _FIRST_PAUSE_SECONDS
        with self._spans.of(collection), within(seconds):
            tries, refusal = 0, None
            while True:
                tries += 1
                try:
                    self._find_server(collection.database.client)
                    self._have_token()
                    result = operation()
                except errors.DuplicateKeyError:
                    raise
                except (errors.PyMongoError, OSError) as error:
                    # What pymongo raises quotes commands and keys: it is neither quoted nor kept as a cause.
                    failure = self._failure(error)
                else:
                    self._refusal = None
                    return result
                if failure.fault is not Fault.PASSING:
                    refusal = failure
                wait = failure.wait_seconds or pause
                time_left = min(deadline - self.clock.monotonic(), seconds_left())
                if tries >= _MOST_TRIES[failure.fault] or wait >= time_left:
                    # What was refused before says more than that the time is up.
                    raise (refusal or failure).error
                self.clock.sleep(wait)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def probe(self, collection: Collection[Document]) -> None:
        """Read from a collection, once: this needs the server, the credentials and the right to read.

        Raises:
            DatabaseUnavailableError, ConfigurationError: it does not come back in time, or it is refused.
        """
        with within(PROBE_SECONDS):
            try:
                self._have_token()
                # By `_id`, and no document has this one: one step in the index, and nothing is returned.
                collection.find_one({"_id": "health"}, {"_id": 1})
            except (errors.PyMongoError, OSError) as error:
                failure = self._failure(error)
            else:
                self._refusal = None
                return
        raise failure.error

    def _have_token(self) -> None:
        """Wait for a token here, where the wait has an end, and not in pymongo."""
        if self._tokens is not None:
            self._tokens.prepare(seconds_left())

    def _failure(self, error: errors.PyMongoError | OSError) -> Failure:
        failure = failure_of(error, by_identity=self._tokens is not None)
        now = self.clock.monotonic()
        if failure.cause in _REFUSED_SIGN_INS:
            self._refusal = failure, now
            if self._tokens is not None:
                self._tokens.identity_refused()
        elif failure.fault is Fault.PASSING and self._refusal is not None:
            # A sign-in that is refused makes pymongo forget the server until it has looked again: the other
            # threads wait for a connection, and are told no more than that there is none.
            refusal, at = self._refusal
            if now - at < _REFUSED_SECONDS:
                return refusal
        return failure

    def _find_server(self, client: MongoClient[Document]) -> None:
        """Wait for a server, for no longer than `server_selection_seconds`; sends nothing where one is
        known."""
        seconds = self._timeouts.server_selection_seconds
        if seconds is None or _knows_a_server(client):
            return
        # Within a time limit pymongo forgets `serverSelectionTimeoutMS` and looks for a server until the
        # limit.
        with within(seconds):
            if self._opened:
                _ = client.is_primary
                return
            # One thread at a time opens the client: pymongo looks up mongodb+srv:// names then, without a
            # lock.
            if not self._opening.acquire(timeout=seconds):
                raise errors.ServerSelectionTimeoutError("another thread is opening the client")
            try:
                _ = client.is_primary
                self._opened = True
            except errors.ServerSelectionTimeoutError:
                self._opened = True
                raise
            finally:
                self._opening.release()


def _knows_a_server(client: MongoClient[Document]) -> bool:
    servers = client.topology_description.server_descriptions()
    return any(server.is_writable for server in servers.values())


def collection(client: MongoClient[Document], database_name: str, name: str) -> Collection[Document]:
    """A collection with the app's own concerns and read preference, independent of the connection string.

    Duplicate events are told apart by a write that is acknowledged and a read from the primary: with `w=0` or
    a read from a secondary a phone would ring twice.
    """
    return client[database_name].get_collection(
        name,
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern("majority"),
    )


PROBE_SECONDS = 1.5


def make_client(
    uri: str,
    timeouts: Timeouts,
    *,
    name: str = "acs-call-push",
    listeners: Sequence[monitoring.CommandListener] = (),
    tokens: "AccessTokens | None" = None,
) -> MongoClient[Document] | Cause:
    """A client whose every wait is bounded, or why the connection string cannot be used.

    pymongo's own default is 30 s, all the time that Event Grid has. The client opens no connection and looks
    up no name before it is used.

    Args:
        uri: the connection string.
        timeouts: how long an operation and the search for a server may take.
        name: by which the server's log knows the client.
        listeners: are told of each command.
        tokens: by which it signs in; they replace the properties of the mechanism in the connection string.
    """
    operation = int(timeouts.operation_seconds * 1_000)
    selection = timeouts.server_selection_seconds
    mechanism: dict[str, Any] = (
        {} if tokens is None else {"authMechanismProperties": {"OIDC_CALLBACK": tokens}}
    )
    try:
        return MongoClient(
            uri,
            connect=False,
            serverSelectionTimeoutMS=operation if selection is None else int(selection * 1_000),
            # Not less than an operation may take: a slow network must not be given up while there is time.
            connectTimeoutMS=operation,
            timeoutMS=operation,
            maxIdleTimeMS=_MOST_IDLE_MILLISECONDS,
            # Half the driver's default. A command without an answer ends one connection, a heartbeat without
            # one ends all that are as old: a firewall that has lost its state costs a call 8 s, not 13.
            heartbeatFrequencyMS=5_000,
            # In Azure Functions this is the driver's default. It finds a new primary at once after a failure,
            # where a stream of the server's changes may take until the next heartbeat.
            serverMonitoringMode="poll",
            # A time beyond those of Python, such as JavaScript's last one, is read as the nearest. By default
            # all that is read with it fails.
            datetime_conversion="DATETIME_CLAMP",
            appname=name,
            event_listeners=listeners,
            **mechanism,
        )
    except OSError:
        return known_causes.CERTIFICATE_FILE
    except (errors.PyMongoError, ValueError, TypeError):
        return known_causes.cause_of_connection_string(uri) or known_causes.CONNECTION_STRING


_MOST_IDLE_MILLISECONDS = 60_000
"""Azure's network silently drops connections that have been idle for four minutes."""


def failure_of(error: errors.PyMongoError | OSError, *, by_identity: bool = False) -> Failure:
    """What an error of pymongo stands for.

    Args:
        error: of a client's operation.
        by_identity: the client signs in with a token.
    """
    match error:
        case TokenError():
            return Failure(error.cause, wait_seconds=error.wait_seconds)
        case OSError():
            # pymongo reads the files of TLS options when it opens a mongodb+srv:// client.
            return Failure(known_causes.CERTIFICATE_FILE)
        case errors.OperationFailure():
            return _refusal(error, by_identity=by_identity)
        case errors.ConfigurationError():
            return Failure(_cause_of_configuration(error))
        case _ if any(sign in str(error).lower() for sign in _FAILED_LOOK_UPS):
            return Failure(known_causes.NAME_NOT_FOUND)
        case _:
            return Failure(known_causes.UNREACHABLE)


_FAILED_LOOK_UPS = (
    "name or service not known", "name resolution", "no address associated", "nodename nor servname",
    "getaddrinfo failed",
)  # fmt: skip
"""How Linux, macOS and Windows say that a host name is not known."""


def _refusal(error: errors.OperationFailure, *, by_identity: bool) -> Failure:
    known = known_causes.cause_of_code_for_identity if by_identity else known_causes.cause_of_code
    cause = known(error.code, message_of(error)) or known_causes.COMMAND_REFUSED
    return Failure(cause, error.code, _seconds_to_wait(error))


def message_of(error: errors.OperationFailure) -> str:
    """What the server wrote: to be searched, never to be quoted."""
    return str((error.details or {}).get("errmsg", ""))


def _cause_of_configuration(error: errors.ConfigurationError) -> Cause:
    # pymongo raises this one class for a server that is too old, for a failed look-up of SRV and TXT records,
    # and for a connection string that is wrong.
    if too_old := known_causes.cause_of_old_server(str(error)):
        return too_old
    if _is_failed_look_up(error.__cause__):
        return known_causes.NAME_NOT_FOUND
    return known_causes.CONNECTION_STRING


def _is_failed_look_up(cause: BaseException | None) -> bool:
    # Imported only where it is used: pymongo imports it for mongodb+srv:// alone.
    from dns.exception import DNSException  # noqa: PLC0415

    return isinstance(cause, DNSException | OSError)


def error_of(cause: Cause) -> ServiceError:
    """This app's error for a known cause of failure."""
    return _ERRORS[cause.fault](str(cause))


_RETRY_AFTER_MS = re.compile(r"RetryAfterMs=(\d+)")


def _seconds_to_wait(error: errors.OperationFailure) -> float | None:
    """Azure Cosmos DB for MongoDB (RU) says with code 16500 how long to wait, as `RetryAfterMs`."""
    milliseconds = (error.details or {}).get("RetryAfterMs")
    if not isinstance(milliseconds, int | float):
        found = _RETRY_AFTER_MS.search(message_of(error))
        milliseconds = int(found.group(1)) if found else None
    return None if milliseconds is None else milliseconds / 1_000


def milliseconds(moment: datetime) -> datetime:
    """`moment` as MongoDB stores it."""
    return moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)
