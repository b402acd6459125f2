"""HTTP exchanges with one hub, over libcurl (https://curl.se/libcurl/c/).

libcurl does most of what a sender needs: one deadline over look-up, connect, TLS, request and answer; interim
answers; proxies of every kind; both address families. Three things are done here. Nothing is ever sent twice
(`_new_handle`), a kept connection is looked at before each use (`_Connection.is_usable`), and a status counts
once its headers are complete (`_Reply`).
"""

import os
import re
import select
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import certifi
import pycurl

from common.version import VERSION
from push.hub.answers import Answer, NoAnswer

MAX_IDLE_SECONDS = 60.0
"""How long an unused connection is kept. Azure's network silently drops one that has been idle for four
minutes ("Load Balancer TCP Reset and Idle Timeout"): a push sent over it would wait for its time-out."""

MAX_AGE_SECONDS = 300.0
"""How long a connection is used at all, so that pushes follow a change of the hub's address."""

_LONGEST_BODY = 8_192
"""Of an answer, in bytes. A longer one is cut off and ends its connection."""

_FINAL_STATUSES = range(200, 600)
"""Smaller ones are interim, larger ones none of HTTP's (RFC 9110, 15)."""

_STATUS_LINE = re.compile(rb"HTTP/\S+ +(\d{3})(?!\d)")
_ENDS_OF_HEADERS = frozenset({b"\r\n", b"\n"})

_CLOSING_STATUSES = frozenset({401, 403, 404, 408})
"""With 5xx, the answers after which a connection is not kept: one front end of the hub may be at fault."""

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""The first one that is set names the certificate authorities, as in `requests`. libcurl reads none."""

_QUICK_EXIT = 322
"""CURLOPT_QUICK_EXIT, for which pycurl has no name. Without it, closing a handle waits for a name look-up
that hangs, for several seconds after the exchange has timed out."""

_SUPPRESS_CONNECT_HEADERS = 265
"""CURLOPT_SUPPRESS_CONNECT_HEADERS, for which pycurl has no name either. Without it, a proxy's answer to
CONNECT could pass for the hub's."""


@dataclass(frozen=True, slots=True)
class Request:
    """A POST, or a GET if there is no body."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an exchange may take, in seconds."""

    connect: float
    """For the name look-up, TCP, the proxy and TLS together."""
    read: float
    """For request and answer over a kept connection. Over a new one, it is the two times together."""

    @property
    def exchange(self) -> float:
        """The longest that an exchange takes."""
        return self.connect + self.read


class HubWire:
    """Connections to one hub. Safe to share between threads."""

    def __init__(self, timeouts: Timeouts, monotonic: Callable[[], float]) -> None:
        """`monotonic` tells seconds and never runs backwards."""
        self.timeouts = timeouts
        self.monotonic = monotonic
        self._lock = threading.Lock()
        self._idle: deque[_Connection] = deque()
        """In the order of their last use, the latest at the end."""
        self._closed = False

    def exchange(
        self, request: Request, time_left: float, *, fresh_connection: bool = False
    ) -> Answer | NoAnswer:
        """Send once. Redirects are not followed, and nothing is repeated.

        Args:
            request: what to send.
            time_left: seconds in which to be back, whatever the time-outs.
            fresh_connection: use a new connection, because an earlier try has failed.

        Raises:
            ValueError: a header's value cannot be sent.
        """
        header_lines = _header_lines(request.headers)
        if time_left <= 0:
            return NoAnswer.NO_TIME
        started = self.monotonic()
        kept = None if fresh_connection else self._take(started)
        seconds = min(time_left, self.timeouts.read if kept else self.timeouts.exchange)
        connection = kept or _Connection(self.monotonic)
        reply = connection.exchange(request, header_lines, min(seconds, self.timeouts.connect), seconds)
        if _is_healthy(reply):
            self._keep(connection)
            return reply
        connection.close()
        if kept:
            # What broke it, such as a firewall that has lost its state, breaks all that are older.
            self._close_idle(last_used_before=started)
        return reply

    def close(self) -> None:
        """Close the idle connections now, and each of the others when its exchange ends."""
        with self._lock:
            self._closed = True
        self._close_idle(last_used_before=float("inf"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, now: float) -> "_Connection | None":
        """The connection that was used last, so that the surplus of a burst grows old and is closed."""
        self._close_idle(last_used_before=now - MAX_IDLE_SECONDS)
        while connection := self._latest():
            # Not under the lock: looking is a system call, for which other threads would have to wait.
            if now - connection.opened_at <= MAX_AGE_SECONDS and connection.is_usable():
                return connection
            connection.close()
        return None

    def _latest(self) -> "_Connection | None":
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: "_Connection") -> None:
        connection.used_at = self.monotonic()
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _close_idle(self, last_used_before: float) -> None:
        while True:
            with self._lock:
                if not self._idle or self._idle[0].used_at >= last_used_before:
                    return
                oldest = self._idle.popleft()
            oldest.close()


_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def is_header_value(text: str) -> bool:
    """Whether `text` can be a header's value: printable ASCII without white space at its ends.

    libcurl sends a line break as it is, so that a value could add headers, and it drops an empty header.
    """
    return _HEADER_VALUE.fullmatch(text) is not None


def _header_lines(headers: Mapping[str, str]) -> list[str]:
    for name, value in headers.items():
        if not is_header_value(value):
            raise ValueError(f"The value of the header {name} cannot be sent.")
    return [f"{name}: {value}" for name, value in headers.items()]


def _is_healthy(reply: Answer | NoAnswer) -> bool:
    return isinstance(reply, Answer) and reply.status < 500 and reply.status not in _CLOSING_STATUSES


class _Connection:
    """A libcurl handle with one connection at most, for one thread at a time.

    After a failure libcurl may keep a state that spoils the next exchange (curl/curl#18206), so the handle is
    closed with its connection.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.opened_at = self.used_at = monotonic()
        self._reply = _Reply()
        self._handle = _new_handle(self._reply)

    def is_usable(self) -> bool:
        """False once the peer has closed the connection or sent what nothing was asked for.

        libcurl looks as well, but at most once a second.
        """
        descriptor: int = self._handle.getinfo(pycurl.ACTIVESOCKET)
        return descriptor != -1 and not _is_readable(descriptor)

    def exchange(
        self, request: Request, header_lines: Sequence[str], connect_seconds: float, seconds: float
    ) -> Answer | NoAnswer:
        """Send once. If the body of the answer breaks off, libcurl closes the connection itself."""
        handle, reply, body = self._handle, self._reply, request.body or b""
        handle.setopt(pycurl.URL, request.url)
        handle.setopt(pycurl.HTTPHEADER, header_lines)
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, _milliseconds(connect_seconds))
        handle.setopt(pycurl.TIMEOUT_MS, _milliseconds(seconds))
        if request.url.startswith("http:"):
            handle.setopt(pycurl.PROXY, "")  # plain HTTP is for loopback, which no proxy reaches
        if request.body is None:
            handle.setopt(pycurl.HTTPGET, 1)
        else:
            handle.setopt(pycurl.POST, 1)
            handle.setopt(pycurl.POSTFIELDSIZE, len(body))
        reply.expect(body)
        code = _perform(handle)
        return reply.answer() or _no_answer(handle, code, len(body))

    def close(self) -> None:
        self._handle.close()


class _Reply:
    """The callbacks of one handle. They do not refer to it, so there is no reference cycle."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        """As received: status lines, headers, the empty lines that end them, trailers. libcurl's callback
        adds to this very list."""
        self.expect(b"")

    def expect(self, request_body: bytes) -> None:
        """Forget the last exchange."""
        self._request_body = request_body
        self._position = 0
        self.lines.clear()
        self.body = bytearray()

    def answer(self) -> Answer | None:
        """The last header block, with the first value of each header; None if it is interim or incomplete.

        Interim answers precede the final one, and trailers follow it. The status is read here: libcurl takes
        it for 200 where the status line is one of HTTP/2, which proxies that open TLS have passed on.
        """
        status = 0
        headers: dict[str, str] = {}
        is_complete = False
        for line in self.lines:
            if line.startswith(b"HTTP/"):
                found = _STATUS_LINE.match(line)
                status, headers, is_complete = int(found[1]) if found else 0, {}, False
            elif line in _ENDS_OF_HEADERS:
                is_complete = True
            elif not is_complete:  # else it is a trailer
                name, _, value = line.decode("latin-1").partition(":")
                headers.setdefault(name.strip().lower(), value.strip())
        if not is_complete or status not in _FINAL_STATUSES:
            return None
        return Answer(status, headers, bytes(self.body))

    def read(self, size: int) -> bytes:
        """The next piece of the request's body."""
        piece = self._request_body[self._position : self._position + size]
        self._position += len(piece)
        return piece

    def take_body(self, piece: bytes) -> int | None:
        """Returns 0 to end an exchange whose body is too long, None to go on."""
        self.body += piece
        return 0 if len(self.body) > _LONGEST_BODY else None


def _new_handle(reply: _Reply) -> pycurl.Curl:
    handle = pycurl.Curl()
    handle.setopt(pycurl.NOSIGNAL, 1)  # signals are for processes of one thread
    handle.setopt(_QUICK_EXIT, 1)
    handle.setopt(_SUPPRESS_CONNECT_HEADERS, 1)
    handle.setopt(pycurl.MAXCONNECTS, 1)
    handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    handle.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)  # or later
    handle.setopt(pycurl.HEADEROPT, pycurl.HEADER_SEPARATE)  # a proxy does not see the SAS token
    handle.setopt(pycurl.USERAGENT, f"acs-call-push/{VERSION}")
    _trust(handle, os.environ)
    # A kept connection can break before a byte of the answer. libcurl then repeats the request by itself, and
    # the phone rings twice. It cannot do that if the body comes from a read callback without a seek callback:
    # the exchange ends with error 65 (CURLE_SEND_FAIL_REWIND).
    handle.setopt(pycurl.READFUNCTION, reply.read)
    handle.setopt(pycurl.HEADERFUNCTION, reply.lines.append)
    handle.setopt(pycurl.WRITEFUNCTION, reply.take_body)
    return handle


def _trust(handle: pycurl.Curl, environment: Mapping[str, str]) -> None:
    named = (environment.get(variable) for variable in _CA_VARIABLES)
    path = next(filter(None, named), None) or certifi.where()
    if Path(path).is_dir():
        handle.setopt(pycurl.CAPATH, path)
        handle.setopt(pycurl.PROXY_CAPATH, path)
    else:
        handle.setopt(pycurl.CAINFO, path)
        handle.setopt(pycurl.PROXY_CAINFO, path)


def _perform(handle: pycurl.Curl) -> int:
    """One exchange; libcurl's error code. Its message is left behind: it quotes addresses."""
    try:
        handle.perform()
    except pycurl.error as error:
        return int(error.args[0])
    return pycurl.E_OK


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1_000))  # 0 would mean no limit


def _is_readable(descriptor: int) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


_BEFORE_SENDING = {
    pycurl.E_COULDNT_RESOLVE_HOST: NoAnswer.NAME_NOT_FOUND,
    pycurl.E_SSL_CONNECT_ERROR: NoAnswer.TLS_FAILED,
}
_OF_TRUST = {
    pycurl.E_PEER_FAILED_VERIFICATION: NoAnswer.CERTIFICATE_REFUSED,
    pycurl.E_SSL_CACERT_BADFILE: NoAnswer.CA_FILE_UNREADABLE,
}
_AFTER_SENDING = {
    pycurl.E_OK: NoAnswer.NOT_HTTP,  # an interim answer was the last (101), or the status is none
    pycurl.E_OPERATION_TIMEDOUT: NoAnswer.TIMED_OUT,
    pycurl.E_UNSUPPORTED_PROTOCOL: NoAnswer.NOT_HTTP,  # no status line: HTTP/0.9
    pycurl.E_FTP_WEIRD_SERVER_REPLY: NoAnswer.NOT_HTTP,
}


def _no_answer(handle: pycurl.Curl, code: int, body_length: int) -> NoAnswer:
    """Why there is no answer. A request of which a part is missing cannot have rung."""
    is_sent = handle.getinfo(pycurl.REQUEST_SIZE) > 0 and handle.getinfo(pycurl.SIZE_UPLOAD_T) >= body_length
    if is_sent:
        return _AFTER_SENDING.get(code, NoAnswer.CONNECTION_LOST)
    if code in _OF_TRUST:
        return _OF_TRUST[code]
    if handle.getinfo(pycurl.USED_PROXY):
        return NoAnswer.PROXY_FAILED
    if code == pycurl.E_COULDNT_RESOLVE_PROXY or handle.errstr().startswith("Unsupported proxy"):
        return NoAnswer.PROXY_MALFORMED
    return _BEFORE_SENDING.get(code, NoAnswer.NO_CONNECTION)
