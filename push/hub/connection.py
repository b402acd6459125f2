"""One connection to a hub, over libcurl (https://curl.se/libcurl/c/).

libcurl does most of what a sender needs: one deadline over look-up, connect, TLS, request and answer; interim
answers; proxies of every kind; both address families. Three things are done here. Nothing is ever sent twice
(`_new_handle`), a kept connection is looked at before each use (`Connection.is_usable`), and a status counts
once its headers are complete (`_Reply`).
"""

import os
import re
import select
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import certifi
import pycurl

from common.version import VERSION
from push.hub.answers import Answer, NoAnswer

_LONGEST_BODY = 8_192
"""Of an answer, in bytes. A longer one is cut off and ends its connection."""

_FINAL_STATUSES = range(200, 600)
"""Smaller ones are interim, larger ones none of HTTP's (RFC 9110, 15)."""

_STATUS_LINE = re.compile(rb"HTTP/\S+ +(\d{3})(?!\d)")
_ENDS_OF_HEADERS = frozenset({b"\r\n", b"\n"})

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""The first one that is set names the certificate authorities, as in `requests`. libcurl reads none."""

_QUICK_EXIT = 322
"""CURLOPT_QUICK_EXIT, for which pycurl has no name. Without it, closing a handle waits for a name look-up
that hangs, for several seconds after the exchange has timed out."""

_SUPPRESS_CONNECT_HEADERS = 265
"""CURLOPT_SUPPRESS_CONNECT_HEADERS, for which pycurl has no name either. Without it, a proxy's answer to
CONNECT could pass for the hub's."""

_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


@dataclass(frozen=True, slots=True)
class Request:
    """A POST, or a GET if there is no body."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    def header_lines(self) -> list[str]:
        """As libcurl takes them; raises ValueError where a value cannot be sent."""
        lines = []
        for name, value in self.headers.items():
            if not is_header_value(value):
                raise ValueError(f"The value of the header {name} cannot be sent.")
            lines.append(f"{name}: {value}")
        return lines


def is_header_value(text: str) -> bool:
    """Whether `text` can be a header's value: printable ASCII without white space at its ends.

    libcurl sends a line break as it is, so that a value could add headers, and it drops an empty header.
    """
    return _HEADER_VALUE.fullmatch(text) is not None


class Connection:
    """A libcurl handle with one connection at most, for one thread at a time.

    After a failure libcurl may keep a state that spoils the next exchange (curl/curl#18206), so the handle is
    closed with its connection.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` tells the seconds of `opened_at` and `used_at`."""
        self.opened_at = self.used_at = monotonic()
        self._reply = _Reply()
        self._body_length = 0
        self._url = ""
        # The connection belongs to this share. Otherwise it would belong to the multi handle of an exchange
        # that is performed beside others, and end with that.
        self._share = pycurl.CurlShare()
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_CONNECT)
        self.handle = _new_handle(self._reply)
        self.handle.setopt(pycurl.SHARE, self._share)

    def is_usable(self) -> bool:
        """False once the peer has closed the connection or sent what nothing was asked for.

        libcurl looks as well, but at most once a second.
        """
        descriptor: int = self.handle.getinfo(pycurl.ACTIVESOCKET)
        return descriptor != -1 and not _is_readable(descriptor)

    def prepare(
        self, request: Request, header_lines: Sequence[str], connect_seconds: float, seconds: float
    ) -> None:
        """Make the handle ready for one exchange, whose times run from its start."""
        handle, body = self.handle, request.body or b""
        handle.setopt(pycurl.HTTPHEADER, header_lines)
        if request.url != self._url:
            self._url = request.url
            handle.setopt(pycurl.URL, request.url)
            if request.url.startswith("http:"):
                handle.setopt(pycurl.PROXY, "")  # plain HTTP is for loopback, which no proxy reaches
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, _milliseconds(connect_seconds))
        handle.setopt(pycurl.TIMEOUT_MS, _milliseconds(seconds))
        if request.body is None:
            handle.setopt(pycurl.HTTPGET, 1)
        else:
            handle.setopt(pycurl.POST, 1)
            handle.setopt(pycurl.POSTFIELDSIZE, len(body))
        self._body_length = len(body)
        self._reply.expect(body)

    def perform(self) -> int:
        """Carry out the exchange; libcurl's error code. Its message is left behind: it quotes addresses."""
        try:
            self.handle.perform()
        except pycurl.error as error:
            return int(error.args[0])
        return pycurl.E_OK

    def reply(self, code: int) -> Answer | NoAnswer:
        """What came of the exchange that ended with libcurl's `code`.

        If the body of the answer has broken off, libcurl has closed the connection itself.
        """
        return self._reply.answer() or _no_answer(self.handle, code, self._body_length)

    def close(self) -> None:
        """Close it. It must not be under way."""
        self.handle.close()
        self._share.close()


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
